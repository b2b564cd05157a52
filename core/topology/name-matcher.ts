// One permission pattern, compiled. Operators write these, so no pattern may take long: re2js is
// linear in pattern and name, and the patterns most people use need no regex at all.

import { RE2JS } from 're2js'

// Names per pattern that we remember the answer for; then it starts afresh. An answer is a map
// entry of some 100 bytes, so one pattern holds at most about 100 KB.
const MEMO_MAX = 1024

/** Says whether names match. */
export interface NameMatcher {
  test(name: string): boolean
}

/**
 * Compiles a pattern, unanchored as RabbitMQ's; the empty one matches only the empty name. RE2 has no
 * look-around, but a look-ahead right at the start (`^(?!amq\\.).*`, as operators write it) is only a
 * second question to the same name.
 */
export function compilePattern(pattern: string): NameMatcher | { readonly problem: string } {
  const simple = simplePattern(pattern)
  if (simple !== undefined) return simple
  const ahead = /^\^\(\?([!=])/.exec(pattern)
  const end = ahead === null ? -1 : closingParenthesis(pattern, 1)
  if (end > 0) {
    const looked = compileRegex(`^(?:${pattern.slice(4, end)})`)
    const rest = compilePattern(`^${pattern.slice(end + 1)}`)
    if ('problem' in looked) return looked
    if ('problem' in rest) return rest
    const wanted = ahead?.[1] === '='
    return { test: (name) => looked.test(name) === wanted && rest.test(name) }
  }
  return compileRegex(pattern)
}

function compileRegex(pattern: string): NameMatcher | { readonly problem: string } {
  try {
    return new RegexMatcher(RE2JS.compile(pattern))
  } catch (cause) {
    // The message of re2js says what is wrong and where.
    return { problem: cause instanceof Error ? cause.message : String(cause) }
  }
}

/** `pattern` with its literal characters kept from being read as regex syntax. */
export function quotePattern(literal: string): string {
  return RE2JS.quote(literal)
}

/** Where the group that opens at `open` closes; -1: nowhere. */
function closingParenthesis(pattern: string, open: number): number {
  let depth = 0
  let inClass = false
  for (let i = open; i < pattern.length; i++) {
    const character = pattern[i]
    if (character === '\\') i++
    else if (inClass) inClass = character !== ']'
    else if (character === '[') inClass = true
    else if (character === '(') depth++
    else if (character === ')' && --depth === 0) return i
  }
  return -1
}

function simplePattern(pattern: string): NameMatcher | undefined {
  if (/^\^?(\.\*\$?)?$/.test(pattern) && pattern !== '') return { test: () => true }
  if (pattern === '' || pattern === '^$') return { test: (name) => name === '' }
  const literal = /^\^([\w-]+)(\$|\.\*\$?)?$/.exec(pattern)
  if (literal === null) return undefined
  const text = literal[1] as string
  if (literal[2] === '$') return { test: (name) => name === text }
  return { test: (name) => name.startsWith(text) }
}

class RegexMatcher implements NameMatcher {
  readonly #regex: RE2JS
  readonly #memo: Map<string, boolean> = new Map()

  constructor(regex: RE2JS) {
    this.#regex = regex
  }

  test(name: string): boolean {
    const known = this.#memo.get(name)
    if (known !== undefined) return known
    if (this.#memo.size >= MEMO_MAX) this.#memo.clear()
    const answer = this.#regex.test(name)
    this.#memo.set(name, answer)
    return answer
  }
}
