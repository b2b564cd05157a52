// Copies the few live messages out of slabs that are mostly dead, so that a handful of old messages
// can't hold a whole arena.

import type { Arena } from '../../shared/bus/arena.ts'
import { slabBytes } from '../../shared/bus/arena.ts'
import type { SlabReclaimer } from '../../shared/bus/slab-reclaimer.ts'
import type { SlabWriter } from '../../shared/bus/slab-writer.ts'
import { copyBytes } from '../../shared/bytes/copy.ts'
import type { MessageTable } from './message-table.ts'

/** A pass starts when the arena has grown by this many slabs since the last one (64 MiB). */
const growthSlabs = 32
/** A slab is worth emptying below a quarter of live bytes: a pass then frees four for each it fills. */
const liveBytesMax: number = slabBytes / 4
/** Rows looked at in one step: about 50 us. */
const rowsPerStep = 4096

/** One pass walks all rows, a step at a time. */
export class Compactor {
  private readonly arena: Arena
  private readonly messages: MessageTable
  private readonly reclaimer: SlabReclaimer
  private readonly slabs: SlabWriter
  private readonly sparse: Uint8Array
  private usedAtLastPass: number
  /** Row to look at next; -1 between passes. */
  private next: number

  constructor(arena: Arena, messages: MessageTable, reclaimer: SlabReclaimer, slabs: SlabWriter) {
    this.arena = arena
    this.messages = messages
    this.reclaimer = reclaimer
    this.slabs = slabs
    this.sparse = new Uint8Array(arena.slabCount)
    this.usedAtLastPass = 0
    this.next = -1
  }

  /** Does a little. True while a pass is under way. */
  step(): boolean {
    if (this.next < 0 && !this.begin()) return false
    const end = Math.min(this.next + rowsPerStep, this.messages.rowsEnd())
    for (let row = this.next; row < end; row++) {
      if (this.isStranded(row) && !this.moveOut(row)) return this.finish()
    }
    this.next = end
    return end < this.messages.rowsEnd() || this.finish()
  }

  private begin(): boolean {
    const used = this.arena.used()
    if (used < this.usedAtLastPass) this.usedAtLastPass = used
    if (used - this.usedAtLastPass < growthSlabs) return false
    this.usedAtLastPass = used
    let candidates = 0
    for (let slab = 0; slab < this.arena.slabCount; slab++) {
      const live = this.messages.slabLiveBytes[slab] as number
      const sparse = live > 0 && live < liveBytesMax && this.reclaimer.isSealed(slab)
      this.sparse[slab] = sparse ? 1 : 0
      if (sparse) candidates++
    }
    if (candidates < growthSlabs / 4) return false
    this.next = 0
    return true
  }

  private finish(): false {
    this.next = -1
    this.usedAtLastPass = this.arena.used()
    return false
  }

  private isStranded(row: number): boolean {
    return (
      this.messages.isAlive(row) &&
      this.sparse[this.messages.slab[row] as number] === 1 &&
      // The first part of a body in several extents ends with its slab: it can't be moved alone.
      this.messages.extentsOf(row) === undefined
    )
  }

  /** False when there is no slab to move to. */
  private moveOut(row: number): boolean {
    const size = this.messages.firstExtentSize(row)
    if (!this.slabs.take(size)) return false
    const from = this.arena.slab(this.messages.slab[row] as number)
    const { slab, at } = this.slabs
    copyBytes(from, this.messages.at[row] as number, this.arena.slab(slab), at, size)
    this.messages.move(row, slab, at)
    this.slabs.close(slab)
    return true
  }
}
