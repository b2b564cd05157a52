// What a queue remembers of single messages beside their bytes: how often each was delivered in vain,
// and that it is dying. Most messages have nothing to remember, so this is a sparse table by
// position: open addressing over typed arrays, 12 bytes a slot.
//
//   word   bits 0-13 deliveries that failed   bits 14-27 deliveries that came back, failed or not
//          bits 28-30 reason of its death (deathReasons), 0: it lives
//
// Counts stop at their largest value. The word is logged as it is (core/store/wal-format.ts).

import type { DeathReason } from './death.ts'

/** Numbers of the reasons, as they are logged; 0: alive. */
export const deathReasons: readonly (DeathReason | undefined)[] = [
  undefined,
  'rejected',
  'expired',
  'maxlen',
  'delivery_limit',
]

/** The largest count that a mark holds; a larger delivery limit is none. */
export const markCountMax = 0x3fff

const firstCapacity = 16
const acquiredShift = 14
const reasonShift = 28
const countBits: number = (1 << reasonShift) - 1

export function failedOf(word: number): number {
  return word & markCountMax
}

export function acquiredOf(word: number): number {
  return (word >>> acquiredShift) & markCountMax
}

/** Why it is dying; undefined: it is not. */
export function reasonOf(word: number): DeathReason | undefined {
  return deathReasons[word >>> reasonShift]
}

/** `word` for one more delivery that came back. */
export function returnedOnce(word: number, failed: boolean): number {
  let next = word
  if (acquiredOf(word) < markCountMax) next += 1 << acquiredShift
  if (failed && failedOf(word) < markCountMax) next += 1
  return next
}

/** `word` for a message that dies for `reason`. */
export function dying(word: number, reason: DeathReason): number {
  return (word & countBits) | (deathReasons.indexOf(reason) << reasonShift)
}

/** Mark words by position; 0 is what a position without a mark has. */
export class Marks {
  count: number
  private keys: Float64Array
  private words: Int32Array

  constructor() {
    this.count = 0
    this.keys = new Float64Array(0)
    this.words = new Int32Array(0)
  }

  // HOT: once per delivery of a queue that has marks
  get(position: number): number {
    if (this.count === 0) return 0
    const slot = this.find(position)
    return this.keys[slot] === position ? (this.words[slot] as number) : 0
  }

  set(position: number, word: number): void {
    if (this.count * 2 >= this.keys.length) this.resize(Math.max(firstCapacity, this.count * 4))
    const slot = this.find(position)
    if (this.keys[slot] !== position) {
      this.keys[slot] = position
      this.count++
    }
    this.words[slot] = word
  }

  /** Forgets a position; true if it had a mark. */
  delete(position: number): boolean {
    if (this.count === 0) return false
    const slot = this.find(position)
    if (this.keys[slot] !== position) return false
    this.count--
    this.closeGap(slot)
    if (this.count * 8 < this.keys.length && this.keys.length > firstCapacity) {
      this.resize(Math.max(firstCapacity, this.count * 4))
    }
    return true
  }

  clear(): void {
    this.count = 0
    this.keys = new Float64Array(0)
    this.words = new Int32Array(0)
  }

  /** All marks, in no order. */
  each(onMark: (position: number, word: number) => void): void {
    const { keys, words } = this
    for (let slot = 0; slot < keys.length; slot++) {
      const position = keys[slot] as number
      if (position >= 0) onMark(position, words[slot] as number)
    }
  }

  /** The slot of a position, or the free one where it would be put. */
  private find(position: number): number {
    const mask = this.keys.length - 1
    let slot = home(position) & mask
    for (;;) {
      const key = this.keys[slot] as number
      if (key === position || key < 0) return slot
      slot = (slot + 1) & mask
    }
  }

  /** Moves what comes behind an emptied slot forward, as far as its own home allows. */
  private closeGap(emptied: number): void {
    const { keys, words } = this
    const mask = keys.length - 1
    let gap = emptied
    for (let slot = (gap + 1) & mask; (keys[slot] as number) >= 0; slot = (slot + 1) & mask) {
      const from = home(keys[slot] as number) & mask
      if (((slot - from) & mask) < ((slot - gap) & mask)) continue
      keys[gap] = keys[slot] as number
      words[gap] = words[slot] as number
      gap = slot
    }
    keys[gap] = free
  }

  private resize(least: number): void {
    let capacity = firstCapacity
    while (capacity < least) capacity *= 2
    const { keys, words } = this
    this.keys = new Float64Array(capacity).fill(free)
    this.words = new Int32Array(capacity)
    for (let i = 0; i < keys.length; i++) {
      if ((keys[i] as number) < 0) continue
      const slot = this.find(keys[i] as number)
      this.keys[slot] = keys[i] as number
      this.words[slot] = words[i] as number
    }
  }
}

const free = -1

function home(position: number): number {
  // Positions are safe integers, mostly neighbours: low bits spread by the golden ratio.
  const mixed = Math.imul(position | 0, 0x9e3779b1)
  return mixed ^ (mixed >>> 15)
}
