// The messages that a shard keeps, as columns of integers: where each one's entry lies in the slabs.
// A message that is in many queues has one row and counts its holders.

import type { Arena } from '../../shared/bus/arena.ts'
import type { SlabReclaimer } from '../../shared/bus/slab-reclaimer.ts'
import { entryWords, extentWords } from '../../shared/bus/wire.ts'

const firstCapacity = 1024

/** See shared/bus/wire.ts for what an entry is. Rows are reused; a row is alive from `add` to the last `release`. */
export class MessageTable {
  slab: Int32Array
  at: Int32Array
  exrkSize: Int32Array
  extraSize: Int32Array
  propsSize: Int32Array
  bodySize: Int32Array
  flags: Int32Array
  /** Rows alive. */
  count: number
  /** Bytes of entries alive, per slab. */
  readonly slabLiveBytes: Int32Array
  private holders: Int32Array
  private readonly extents: Map<number, Int32Array>
  private readonly reclaimer: SlabReclaimer
  private readonly arena: Arena
  private readonly slabBytes: number
  private free: Int32Array
  private freeCount: number
  private capacity: number
  private top: number

  constructor(arena: Arena, reclaimer: SlabReclaimer) {
    this.slab = new Int32Array(firstCapacity)
    this.at = new Int32Array(firstCapacity)
    this.exrkSize = new Int32Array(firstCapacity)
    this.extraSize = new Int32Array(firstCapacity)
    this.propsSize = new Int32Array(firstCapacity)
    this.bodySize = new Int32Array(firstCapacity)
    this.flags = new Int32Array(firstCapacity)
    this.holders = new Int32Array(firstCapacity)
    this.free = new Int32Array(firstCapacity)
    this.freeCount = 0
    this.extents = new Map()
    this.reclaimer = reclaimer
    this.arena = arena
    this.slabBytes = arena.slabBytes
    this.capacity = firstCapacity
    this.top = 0
    this.count = 0
    this.slabLiveBytes = new Int32Array(arena.slabCount)
  }

  // HOT: once per message kept
  /** Adds the message whose entry words are at `words[e..]`, held once. Returns its row. */
  add(words: Int32Array, e: number, flags: number): number {
    const row = this.freeCount > 0 ? (this.free[--this.freeCount] as number) : this.grow()
    const slab = words[e] as number
    this.slab[row] = slab
    this.at[row] = words[e + 1] as number
    this.exrkSize[row] = words[e + 2] as number
    this.extraSize[row] = words[e + 3] as number
    this.propsSize[row] = words[e + 4] as number
    this.bodySize[row] = words[e + 5] as number
    this.flags[row] = flags
    this.holders[row] = 1
    this.count++
    this.retain(slab, this.firstExtentSize(row))
    const count = words[e + 6] as number
    if (count !== 0) this.addExtents(row, words, e + entryWords, count)
    return row
  }

  // HOT: once per further queue
  hold(row: number): void {
    this.holders[row] = (this.holders[row] as number) + 1
  }

  // HOT: once per settled delivery
  /** One holder less; with the last one the row is free and its bytes may be reused. */
  release(row: number): void {
    const left = (this.holders[row] as number) - 1
    this.holders[row] = left
    if (left !== 0) return
    if (this.extents.size !== 0) this.dropExtents(row)
    const slab = this.slab[row] as number
    this.slabLiveBytes[slab] = (this.slabLiveBytes[slab] as number) - this.firstExtentSize(row)
    this.reclaimer.release(slab)
    this.count--
    this.free[this.freeCount++] = row
  }

  /** (slab, offset, size) of the further extents of a row, if it has any. */
  extentsOf(row: number): Int32Array | undefined {
    return this.extents.size === 0 ? undefined : this.extents.get(row)
  }

  /** Writes the entry words of a row to `words[e..]`, further extents behind them. */
  writeEntry(row: number, words: Int32Array, e: number): void {
    const extents = this.extentsOf(row)
    words[e] = this.slab[row] as number
    words[e + 1] = this.at[row] as number
    words[e + 2] = this.exrkSize[row] as number
    words[e + 3] = this.extraSize[row] as number
    words[e + 4] = this.propsSize[row] as number
    words[e + 5] = this.bodySize[row] as number
    words[e + 6] = extents === undefined ? 0 : extents.length / extentWords
    if (extents !== undefined) words.set(extents, e + entryWords)
  }

  /** Bytes of the entry in its first slab. */
  firstExtentSize(row: number): number {
    return Math.min(this.entrySize(row), this.slabBytes - (this.at[row] as number))
  }

  /** Bytes of the entry. */
  entrySize(row: number): number {
    return (
      (this.exrkSize[row] as number) +
      (this.extraSize[row] as number) +
      (this.propsSize[row] as number) +
      (this.bodySize[row] as number)
    )
  }

  /** The bytes of a slab. */
  slabBytesOf(slab: number): Buffer {
    return this.arena.slab(slab)
  }

  /** Rows that may be alive are below this. */
  rowsEnd(): number {
    return this.top
  }

  isAlive(row: number): boolean {
    return (this.holders[row] as number) > 0
  }

  /** The first extent of `row` has been copied to (slab, at). */
  move(row: number, slab: number, at: number): void {
    const size = this.firstExtentSize(row)
    const old = this.slab[row] as number
    this.retain(slab, size)
    this.slab[row] = slab
    this.at[row] = at
    this.slabLiveBytes[old] = (this.slabLiveBytes[old] as number) - size
    this.reclaimer.release(old)
  }

  private retain(slab: number, size: number): void {
    this.reclaimer.retain(slab)
    this.slabLiveBytes[slab] = (this.slabLiveBytes[slab] as number) + size
  }

  private addExtents(row: number, words: Int32Array, from: number, count: number): void {
    const kept = words.slice(from, from + count * extentWords)
    this.extents.set(row, kept)
    for (let i = 0; i < kept.length; i += extentWords) {
      this.retain(kept[i] as number, kept[i + 2] as number)
    }
  }

  private dropExtents(row: number): void {
    const kept = this.extents.get(row)
    if (kept === undefined) return
    this.extents.delete(row)
    for (let i = 0; i < kept.length; i += extentWords) {
      const slab = kept[i] as number
      this.slabLiveBytes[slab] = (this.slabLiveBytes[slab] as number) - (kept[i + 2] as number)
      this.reclaimer.release(slab)
    }
  }

  private grow(): number {
    if (this.top < this.capacity) return this.top++
    const capacity = this.capacity * 2
    this.slab = wider(this.slab, capacity)
    this.at = wider(this.at, capacity)
    this.exrkSize = wider(this.exrkSize, capacity)
    this.extraSize = wider(this.extraSize, capacity)
    this.propsSize = wider(this.propsSize, capacity)
    this.bodySize = wider(this.bodySize, capacity)
    this.holders = wider(this.holders, capacity)
    this.free = wider(this.free, capacity)
    this.flags = wider(this.flags, capacity)
    this.capacity = capacity
    return this.top++
  }
}

function wider(column: Int32Array, capacity: number): Int32Array {
  const made = new Int32Array(capacity)
  made.set(column)
  return made
}
