// Finds the keys that an MQTT topic filter matches in an ordered store, skipping what cannot match.
// A key is a path of levels parted by zero bytes, which sort below all others: so the keys below a
// path follow it at once, and a whole subtree is skipped by one seek.

import { behind, keptBytes } from './keyed-key.ts'

/**
 * What to do about a key: it matches (one that was cut: perhaps), or the next one to look at is
 * `skipTo` (undefined: none).
 */
export type PathVerdict =
  | { readonly matches: true }
  | { readonly matches: false; readonly skipTo: Buffer | undefined }

const separator = 0
const dollar = 0x24
const match: PathVerdict = { matches: true }

export class PathFilter {
  private readonly prefix: Buffer
  /** Literal levels as bytes; undefined for `+`. */
  private readonly levels: readonly (Buffer | undefined)[]
  /** A `#` follows the levels. */
  private readonly open: boolean

  /** `prefix` is what all keys begin with. */
  constructor(prefix: Buffer, filter: string) {
    const levels = filter.split('/')
    this.open = levels.at(-1) === '#'
    if (this.open) levels.pop()
    this.prefix = prefix
    this.levels = levels.map((level) => (level === '+' ? undefined : Buffer.from(level)))
  }

  /** The first key that can match. */
  start(): Buffer {
    const levels: Buffer[] = []
    for (const level of this.levels) {
      if (level === undefined) break
      levels.push(level)
    }
    return this.path(levels)
  }

  /** Looks at `key`, which begins with the prefix. */
  judge(key: Buffer): PathVerdict {
    const { levels, prefix } = this
    // A wildcard in front hides what begins with `$` [MQTT-4.7.2-1].
    if (levels[0] === undefined && key[prefix.length] === dollar) {
      return { matches: false, skipTo: behind(Buffer.concat([prefix, Buffer.of(dollar)])) }
    }
    const kept = keptBytes(key)
    let at = prefix.length
    for (let i = 0; i < levels.length; i++) {
      if (at > key.length) return this.deeper(key, i)
      let end = key.indexOf(separator, at)
      if (end < 0) end = key.length
      const wanted = levels[i]
      // Whoever has the whole key can tell.
      if (end >= kept && kept < key.length) return match
      if (wanted !== undefined) {
        const order = key.compare(wanted, 0, wanted.length, at, end)
        if (order < 0) {
          const skipTo = Buffer.concat([key.subarray(0, at), wanted])
          return { matches: false, skipTo }
        }
        if (order > 0) return this.behindParent(key, at)
      }
      at = end + 1
    }
    if (this.open || at > key.length) return match
    // More levels than the filter has: past everything below this path.
    return { matches: false, skipTo: past(key.subarray(0, at - 1)) }
  }

  /** The key has too few levels; `a/#` matches `a` too. */
  private deeper(key: Buffer, level: number): PathVerdict {
    const wanted = this.levels[level]
    const below = Buffer.concat([key, Buffer.of(separator), wanted ?? Buffer.alloc(0)])
    return { matches: false, skipTo: below }
  }

  /** The level at `at` sorts behind what is wanted, so nothing else below its parent matches. */
  private behindParent(key: Buffer, at: number): PathVerdict {
    if (at === this.prefix.length) return { matches: false, skipTo: undefined }
    return { matches: false, skipTo: past(key.subarray(0, at - 1)) }
  }

  private path(levels: readonly Buffer[]): Buffer {
    const parts: Buffer[] = [this.prefix]
    for (const [i, level] of levels.entries()) {
      if (i > 0) parts.push(Buffer.of(separator))
      parts.push(level)
    }
    return Buffer.concat(parts)
  }
}

/** The first key that is neither `path` nor below it. */
function past(path: Buffer): Buffer {
  return Buffer.concat([path, Buffer.of(separator + 1)])
}
