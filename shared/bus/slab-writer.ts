// Bump allocation into slabs on the writing side of a link.

import { assert } from '../assert.ts'
import type { Arena } from './arena.ts'

/** Entries up to this size never straddle two slabs; so at most this much of a slab is wasted. */
export const contiguousMax: number = 64 * 1024

/**
 * Hands out room in slabs that belong to one link. A room is *open* from `take` until `close`; a
 * slab is reported by `onSealed` once it is full and nothing in it is open, which is when the other
 * side may start to count it down.
 */
export class SlabWriter {
  /** The slab and offset that the last successful `take` or `takeSome` gave. */
  slab: number
  at: number
  /** Bytes that the last `takeSome` gave. */
  size: number
  private readonly arena: Arena
  private readonly slabBytes: number
  private readonly contiguousMax: number
  private readonly owner: number
  private readonly spare: number
  private readonly onSealed: (slab: number) => void
  private current: number
  private used: number
  private readonly open: Int32Array

  /** `spare`: slabs of the arena that this writer leaves to others (see `spareSlabs`). */
  constructor(arena: Arena, owner: number, spare: number, onSealed: (slab: number) => void) {
    this.arena = arena
    this.slabBytes = arena.slabBytes
    this.contiguousMax = Math.min(contiguousMax, arena.slabBytes >> 2)
    this.owner = owner
    this.spare = spare
    this.onSealed = onSealed
    this.current = -1
    this.used = 0
    this.slab = -1
    this.at = 0
    this.size = 0
    this.open = new Int32Array(arena.slabCount)
  }

  // HOT: once per publish
  /** Takes `size` contiguous bytes (at most a slab). False when the arena is exhausted. */
  take(size: number): boolean {
    if (this.current < 0 || this.used + size > this.slabBytes) {
      if (!this.roll(size)) return false
    }
    this.slab = this.current
    this.at = this.used
    this.used += size
    this.open[this.current] = (this.open[this.current] as number) + 1
    return true
  }

  /**
   * Takes `prefix` contiguous bytes and as much of `body` behind them as fits in the slab; `size`
   * says how much in all. False when the arena is exhausted.
   */
  takeSome(prefix: number, body: number): boolean {
    const whole = prefix + body
    if (whole <= this.contiguousMax) {
      this.size = whole
      return this.take(whole)
    }
    const rest = this.current < 0 ? 0 : this.slabBytes - this.used
    if (rest < prefix + sliver && !this.roll(prefix)) return false
    const size = Math.min(whole, this.slabBytes - this.used)
    this.size = size
    return this.take(size)
  }

  /** How many more slabs an entry needs that `takeSome` is called for until all of it has room. */
  slabsFor(prefix: number, body: number): number {
    const whole = prefix + body
    const rest = this.current < 0 ? 0 : this.slabBytes - this.used
    if (whole <= this.contiguousMax) return whole > rest ? 1 : 0
    const here = rest < prefix + sliver ? 0 : rest
    return Math.ceil(Math.max(0, whole - here) / this.slabBytes)
  }

  // HOT: once per publish
  /** The room in `slab` is written and announced, or given up. */
  close(slab: number): void {
    const left = (this.open[slab] as number) - 1
    this.open[slab] = left
    if (left === 0 && slab !== this.current) this.onSealed(slab)
  }

  private roll(size: number): boolean {
    assert(size <= this.slabBytes, 'a room fits in a slab')
    const next = this.arena.acquire(this.owner, this.spare)
    if (next < 0) return false
    const last = this.current
    this.current = next
    this.used = 0
    if (last >= 0 && this.open[last] === 0) this.onSealed(last)
    return true
  }
}

/** Less than this behind the prefix is not worth an extent. */
const sliver = 4096
