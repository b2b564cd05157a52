// Patterns of LIKE: `_` stands for one character, `%` for any number of them.

/** What a pattern is made of: bytes to match, and two wildcards. */
export type LikePattern = Int16Array

const anyOne = -1
const anyMany = -2

/**
 * Parses a pattern of characters; what follows `sign` stands for itself. Undefined for control
 * characters, and `sign` at the end.
 */
export function parseLike(pattern: string, sign: string | undefined): LikePattern | undefined {
  const items: number[] = []
  let escaped = false
  for (const char of pattern) {
    if (!escaped && char === sign) {
      escaped = true
      continue
    }
    if (!escaped && char === '_') items.push(anyOne)
    else if (!escaped && char === '%') items.push(anyMany)
    else if (isControl(char)) return undefined
    else items.push(...Buffer.from(char))
    escaped = false
  }
  return escaped ? undefined : Int16Array.from(items)
}

/**
 * Whether `subject` (FilterValue: UTF-8) is as the pattern says. Goes back to the last `%` only, so
 * that the work is the product of both lengths at most; undefined (unknown) for the few pairs where
 * that is beyond all measure: a filter must not hold up its thread.
 */
export function isLike(subject: string, pattern: LikePattern): boolean | undefined {
  let steps = stepsMin + subject.length * stepsPerByte
  let at = 0
  let to = 0
  let manyAt = -1
  let manyTo = 0
  while (at < subject.length) {
    if (--steps < 0) return undefined
    const item = to < pattern.length ? (pattern[to] as number) : undefined
    if (item === anyMany) {
      manyAt = at
      manyTo = ++to
    } else if (item === anyOne && !continues(subject, at)) {
      at++
      while (continues(subject, at)) at++
      to++
    } else if (item === subject.charCodeAt(at)) {
      at++
      to++
    } else if (manyAt >= 0) {
      at = ++manyAt
      to = manyTo
    } else return false
  }
  while (to < pattern.length && pattern[to] === anyMany) to++
  return to === pattern.length
}

/** Comparisons: those that any subject may cost, and further ones for each of its bytes. */
const stepsMin = 1_000_000
const stepsPerByte = 2

/** Not the first byte of a character. */
function continues(subject: string, at: number): boolean {
  return at < subject.length && (subject.charCodeAt(at) & 0xc0) === 0x80
}

/** Characters that have no place in patterns and names. */
export function isControl(char: string): boolean {
  return char < ' ' || char === '\x7f'
}
