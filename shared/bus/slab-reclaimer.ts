// Who may reuse a slab: counted per slab by the side that owns the messages in it.

import type { Arena } from './arena.ts'
import type { RingWriter } from './ring.ts'

interface Reference {
  readonly ring: RingWriter
  /** Slabs that the other side still reads from outside the ring (bodies on their way to a socket). */
  readonly pins: Int32Array
  /** Per slab: the ring's `total` behind the last record that referred to it. */
  readonly last: Float64Array
}

/**
 * Frees a slab when it is sealed, no message in it is alive, and every ring that carried a reference
 * to it has been read past that reference, with no pin left.
 */
export class SlabReclaimer {
  private readonly arena: Arena
  private readonly live: Int32Array
  private readonly sealed: Uint8Array
  private readonly references: Map<number, Reference>
  private waiting: number[]

  constructor(arena: Arena) {
    this.arena = arena
    this.live = new Int32Array(arena.slabCount)
    this.sealed = new Uint8Array(arena.slabCount)
    this.references = new Map()
    this.waiting = []
  }

  /** Starts to watch a ring; returns the array in which its writer notes `ring.total` per slab. */
  watch(id: number, ring: RingWriter, pins: Int32Array): Float64Array {
    const last = new Float64Array(this.arena.slabCount)
    this.references.set(id, { ring, pins, last })
    return last
  }

  /** Forgets a ring whose reader is gone, and all its references. */
  unwatch(id: number): void {
    this.references.delete(id)
  }

  // HOT: once per message kept
  retain(slab: number): void {
    this.live[slab] = (this.live[slab] as number) + 1
  }

  // HOT: once per message dropped
  release(slab: number): void {
    const left = (this.live[slab] as number) - 1
    this.live[slab] = left
    if (left === 0 && this.sealed[slab] === 1) this.waiting.push(slab)
  }

  /** The writer of the slab is done with it. */
  seal(slab: number): void {
    this.sealed[slab] = 1
    if (this.live[slab] === 0) this.waiting.push(slab)
  }

  /** Frees what can be freed; call once per batch. Returns how many slabs are still in waiting. */
  sweep(): number {
    if (this.waiting.length === 0) return 0
    const still: number[] = []
    for (const slab of this.waiting) {
      if (this.live[slab] !== 0 || this.sealed[slab] === 0) continue
      if (this.referenced(slab)) still.push(slab)
      else {
        this.sealed[slab] = 0
        this.arena.free(slab)
      }
    }
    this.waiting = still
    return still.length
  }

  /** Messages alive in a slab. */
  liveIn(slab: number): number {
    return this.live[slab] as number
  }

  isSealed(slab: number): boolean {
    return this.sealed[slab] === 1
  }

  private referenced(slab: number): boolean {
    for (const { ring, pins, last } of this.references.values()) {
      if ((last[slab] as number) > ring.releasedTotal()) return true
      if (Atomics.load(pins, slab) !== 0) return true
    }
    return false
  }
}
