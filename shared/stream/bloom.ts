// The Bloom filter of a chunk: which filter values its messages were published with. Bit 0 says that
// some have none; each value sets two other bits. Only the broker reads it, so the hash is its own.

import { Buffer } from 'node:buffer'
import { hashBytes, mixHash } from '../placement.ts'

/** Collects the values of one chunk. */
export class BloomWriter {
  readonly bytes: Buffer
  /** A value other than none is in. */
  used: boolean

  /** `size`: bytes of the filter, 16 to 255. */
  constructor(size: number) {
    this.bytes = Buffer.alloc(size)
    this.used = false
  }

  /** Adds the value `from[at, at + size)`; size 0: a message without one. */
  add(from: Uint8Array, at: number, size: number): void {
    if (size === 0) {
      setBit(this.bytes, 0)
      return
    }
    this.used = true
    const bits = this.bytes.length * 8 - 1
    const first = hashBytes(from, at, at + size)
    setBit(this.bytes, 1 + (mixHash(first) % bits))
    setBit(this.bytes, 1 + (mixHash(first ^ secondHash) % bits))
  }

  clear(): void {
    this.bytes.fill(0)
    this.used = false
  }
}

/** What a reader is looking for. */
export class BloomMatcher {
  private readonly hashes: readonly number[]
  private readonly matchUnfiltered: boolean

  constructor(values: readonly string[], matchUnfiltered: boolean) {
    this.matchUnfiltered = matchUnfiltered
    this.hashes = values.map((value) => {
      const bytes = Buffer.from(value)
      return hashBytes(bytes, 0, bytes.length)
    })
  }

  /** Whether the chunk with filter `bytes[at, at + size)` may hold a message that is looked for. */
  matches(bytes: Uint8Array, at: number, size: number): boolean {
    // No filter: none of its messages has a value.
    if (size === 0) return this.matchUnfiltered
    if (this.matchUnfiltered && hasBit(bytes, at, 0)) return true
    const bits = size * 8 - 1
    for (const hash of this.hashes) {
      if (
        hasBit(bytes, at, 1 + (mixHash(hash) % bits)) &&
        hasBit(bytes, at, 1 + (mixHash(hash ^ secondHash) % bits))
      ) {
        return true
      }
    }
    return false
  }
}

const secondHash = 0x5bd1e995

function setBit(bytes: Uint8Array, bit: number): void {
  bytes[bit >> 3] = (bytes[bit >> 3] as number) | (1 << (bit & 7))
}

function hasBit(bytes: Uint8Array, at: number, bit: number): boolean {
  return ((bytes[at + (bit >> 3)] as number) & (1 << (bit & 7))) !== 0
}
