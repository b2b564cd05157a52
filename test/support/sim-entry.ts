// Entries (shared/bus/wire.ts) to and from plain values.

import type { Arena } from '../../shared/bus/arena.ts'
import { entryWords, extentWords } from '../../shared/bus/wire.ts'

export interface SimEntry {
  readonly exchange: string
  readonly key: string
  readonly extraKeys: readonly string[]
  readonly props: Buffer
  readonly body: Buffer
}

export function entryBytes(entry: SimEntry): {
  readonly bytes: Buffer
  readonly exrkSize: number
  readonly extraSize: number
} {
  const exrk = Buffer.concat([shortstr(entry.exchange), shortstr(entry.key)])
  const { extraKeys } = entry
  const extra = extraKeys.length === 0 ? Buffer.alloc(0) : keyList(extraKeys)
  return {
    bytes: Buffer.concat([exrk, extra, entry.props, entry.body]),
    exrkSize: exrk.length,
    extraSize: extra.length,
  }
}

/** Copies the entry whose words begin at `at` out of the arena. */
export function readEntry(arena: Arena, words: Int32Array, at: number): SimEntry {
  const word = (i: number): number => words[at + i] as number
  const [exrk, extra, props, body] = [word(2), word(3), word(4), word(5)]
  const count = word(6)
  let first = exrk + extra + props + body
  for (let k = 0; k < count; k++) first -= word(entryWords + k * extentWords + 2)
  const parts = [piece(arena, word(0), word(1), first)]
  for (let k = 0; k < count; k++) {
    const e = entryWords + k * extentWords
    parts.push(piece(arena, word(e), word(e + 1), word(e + 2)))
  }
  const bytes = Buffer.concat(parts)
  const exchangeSize = bytes[0] as number
  const keyAt = 1 + exchangeSize
  const extraKeys: string[] = []
  for (let at = exrk + 1; at < exrk + extra; at += 1 + (bytes[at] as number)) {
    extraKeys.push(bytes.toString('utf8', at + 1, at + 1 + (bytes[at] as number)))
  }
  return {
    exchange: bytes.toString('utf8', 1, keyAt),
    key: bytes.toString('utf8', keyAt + 1, exrk),
    extraKeys,
    props: bytes.subarray(exrk + extra, exrk + extra + props),
    body: bytes.subarray(exrk + extra + props),
  }
}

function piece(arena: Arena, slab: number, at: number, size: number): Buffer {
  return arena.slab(slab).subarray(at, at + size)
}

function keyList(keys: readonly string[]): Buffer {
  return Buffer.concat([Buffer.from([keys.length]), ...keys.map(shortstr)])
}

function shortstr(text: string): Buffer {
  const bytes = Buffer.from(text)
  return Buffer.concat([Buffer.from([bytes.length]), bytes])
}
