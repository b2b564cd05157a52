// Numbers for byte strings: find the number of some bytes of a message without making a string.
//
// Open addressing with linear probing over pairs of words; deletion shifts back, so there are no
// tombstones and churn costs nothing later. Two or three cache lines per look-up.
//
//   slots    [hash, number + 1] ...        0: empty
//   places   [offset in pool, length] ...  by number
//   pool     the bytes, one after another; compacted when more than half is dead

import { hashBytes } from '../../shared/placement.ts'

/** Gives each distinct byte string a small number, reused after `release`. */
export class ByteIndex {
  /** How many byte strings have a number. */
  size = 0
  /** One more than the largest number ever given. */
  bound = 0
  #slots: Int32Array = new Int32Array(2 * 16)
  #mask = 15
  #places: Int32Array = new Int32Array(2 * 16)
  #pool: Uint8Array = new Uint8Array(256)
  #poolEnd = 0
  #poolDead = 0
  #free: number[] = []

  /** The number of `bytes[start, end)`, or -1. */
  // HOT: once per topic word or key; no allocation (bench/micro/topic-trie.ts).
  find(bytes: Uint8Array, start: number, end: number): number {
    const slots = this.#slots
    const mask = this.#mask
    const hash = hashBytes(bytes, start, end) | 0
    let at = spread(hash) & mask
    for (;;) {
      const number = slots[2 * at + 1] as number
      if (number === 0) return -1
      if (slots[2 * at] === hash && this.#equals(number - 1, bytes, start, end)) return number - 1
      at = (at + 1) & mask
    }
  }

  /** The number of `bytes[start, end)`; a new one where it had none. */
  intern(bytes: Uint8Array, start: number, end: number): number {
    const found = this.find(bytes, start, end)
    if (found >= 0) return found
    if (2 * (this.size + 1) > this.#mask) this.#growSlots()
    const number = this.#free.pop() ?? this.bound++
    this.#store(number, bytes, start, end)
    this.#insert(hashBytes(bytes, start, end) | 0, number)
    this.size++
    return number
  }

  /** Forgets a byte string; its number may be given again. */
  release(number: number): void {
    const offset = this.#places[2 * number] as number
    const length = this.#places[2 * number + 1] as number
    const slots = this.#slots
    const mask = this.#mask
    let at = spread(hashBytes(this.#pool, offset, offset + length) | 0) & mask
    while (slots[2 * at + 1] !== number + 1) at = (at + 1) & mask
    this.#shiftBack(at)
    this.#places[2 * number + 1] = 0
    this.#poolDead += length
    this.#free.push(number)
    this.size--
  }

  #equals(number: number, bytes: Uint8Array, start: number, end: number): boolean {
    const offset = this.#places[2 * number] as number
    const length = this.#places[2 * number + 1] as number
    if (length !== end - start) return false
    const pool = this.#pool
    for (let i = 0; i < length; i++) if (pool[offset + i] !== bytes[start + i]) return false
    return true
  }

  #store(number: number, bytes: Uint8Array, start: number, end: number): void {
    if (2 * number >= this.#places.length) this.#places = doubled(this.#places)
    const length = end - start
    if (this.#poolEnd + length > this.#pool.length) this.#makeRoom(length)
    this.#places[2 * number] = this.#poolEnd
    this.#places[2 * number + 1] = length
    for (let i = start; i < end; i++) this.#pool[this.#poolEnd++] = bytes[i] as number
  }

  #makeRoom(length: number): void {
    const live = this.#poolEnd - this.#poolDead
    const pool = new Uint8Array(Math.max(256, 2 * (live + length)))
    let end = 0
    for (let number = 0; number < this.bound; number++) {
      const size = this.#places[2 * number + 1] as number
      const from = this.#places[2 * number] as number
      pool.set(this.#pool.subarray(from, from + size), end)
      this.#places[2 * number] = end
      end += size
    }
    this.#pool = pool
    this.#poolEnd = end
    this.#poolDead = 0
  }

  #insert(hash: number, number: number): void {
    const slots = this.#slots
    const mask = this.#mask
    let at = spread(hash) & mask
    while (slots[2 * at + 1] !== 0) at = (at + 1) & mask
    slots[2 * at] = hash
    slots[2 * at + 1] = number + 1
  }

  #growSlots(): void {
    const old = this.#slots
    this.#mask = 2 * this.#mask + 1
    this.#slots = new Int32Array(2 * (this.#mask + 1))
    for (let i = 0; i < old.length; i += 2) {
      const number = old[i + 1] as number
      if (number !== 0) this.#insert(old[i] as number, number - 1)
    }
  }

  /** Empties slot `hole`, moving up the entries that had probed past it. */
  #shiftBack(hole: number): void {
    const slots = this.#slots
    const mask = this.#mask
    let empty = hole
    let at = (hole + 1) & mask
    while (slots[2 * at + 1] !== 0) {
      const home = spread(slots[2 * at] as number) & mask
      // It may move if its home is not between the hole and where it lies (cyclically).
      if (((at - home) & mask) >= ((at - empty) & mask)) {
        slots[2 * empty] = slots[2 * at] as number
        slots[2 * empty + 1] = slots[2 * at + 1] as number
        empty = at
      }
      at = (at + 1) & mask
    }
    slots[2 * empty] = 0
    slots[2 * empty + 1] = 0
  }
}

/** FNV's low bits alone are uneven for short keys. */
function spread(hash: number): number {
  const h = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return h ^ (h >>> 13)
}

function doubled(words: Int32Array): Int32Array {
  const more = new Int32Array(2 * words.length)
  more.set(words)
  return more
}
