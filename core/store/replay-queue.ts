// One queue while the log is replayed: its messages in rising order of position.

import { AliveSet } from '../log/alive-set.ts'
import { Marks } from '../queue/marks.ts'
import type { MessageKeeper } from './entry-keeper.ts'
import type { Run } from './segment-writer.ts'

const firstCapacity = 16

export class ReplayQueue {
  /** Messages that are alive. */
  count: number
  /** Its first position: that of its level. */
  readonly base: number
  /** When messages expire (wall clock, ms), by position; also of some that are settled. */
  readonly expiries: Map<number, number>
  /** One more than the highest position that the log has named. */
  next: number
  /** Positions of messages in segments that are not settled. */
  readonly stored: AliveSet
  /** Messages that segments hold, settled or not, and bytes of their bodies. */
  private runCount: number
  private runBytes: number
  /** One more than the highest position that a segment may hold. */
  storedTo: number
  /** Of messages that are not settled. */
  readonly marks: Marks
  /** Header tables, likewise. */
  readonly annotations: Map<number, Uint8Array>
  /** No message from here on had been delivered when the log was closed, if it was closed in order. */
  deliveredTo: number
  private readonly keeper: MessageKeeper
  private positions: Float64Array
  /** -1 where the message is settled. */
  private rows: Int32Array
  /** Entries are in [head, end); none before is alive. */
  private head: number
  private end: number

  constructor(keeper: MessageKeeper, base: number) {
    this.count = 0
    this.base = base
    this.next = base
    this.expiries = new Map()
    this.stored = new AliveSet()
    this.storedTo = 0
    this.marks = new Marks()
    this.annotations = new Map()
    this.runCount = 0
    this.runBytes = 0
    this.deliveredTo = Number.POSITIVE_INFINITY
    this.keeper = keeper
    this.positions = new Float64Array(firstCapacity)
    this.rows = new Int32Array(firstCapacity)
    this.head = 0
    this.end = 0
  }

  /** Calls back for each message alive, in order. */
  each(onMessage: (position: number, row: number) => void): void {
    for (let i = this.head; i < this.end; i++) {
      const row = this.rows[i] as number
      if (row >= 0) onMessage(this.positions[i] as number, row)
    }
  }

  addStored({ from, to, count, bytes }: Run): void {
    this.runCount += count
    this.runBytes += bytes
    for (let position = from; position < to; position++) this.stored.add(position)
    this.storedTo = Math.max(this.storedTo, to)
    if (to > this.next) this.next = to
  }

  /** About how many bytes of bodies those in segments have that are not settled. */
  bytesStored(): number {
    if (this.runCount === 0) return 0
    return (this.runBytes * Math.min(this.stored.count, this.runCount)) / this.runCount
  }

  /** The message at `position` expires at `at`; 0: never. */
  expire(position: number, at: number): void {
    if (at !== 0) this.expiries.set(position, at)
  }

  isAlive(position: number): boolean {
    if (this.stored.has(position)) return true
    if (this.end === this.head || position > (this.positions[this.end - 1] as number)) return false
    const i = this.indexOf(position)
    return i < this.end && this.positions[i] === position && (this.rows[i] as number) >= 0
  }

  /** Adds a message that is not alive; its row is held for this queue. */
  add(position: number, row: number): void {
    if (position >= this.next) this.next = position + 1
    this.count++
    if (this.end === this.positions.length) this.makeRoom()
    const last = this.end > this.head ? (this.positions[this.end - 1] as number) : -1
    if (position > last) {
      this.positions[this.end] = position
      this.rows[this.end] = row
      this.end++
      return
    }
    const i = this.indexOf(position)
    if (this.positions[i] !== position) {
      this.positions.copyWithin(i + 1, i, this.end)
      this.rows.copyWithin(i + 1, i, this.end)
      this.positions[i] = position
      this.end++
    }
    this.rows[i] = row
  }

  /** Settles what there is of the `count` positions from `from` on. */
  settle(from: number, count: number): void {
    const to = from + count
    if (to > this.next) this.next = to
    this.stored.removeRange(from, to)
    if (this.marks.count > 0) this.forget(from, to)
    if (this.annotations.size > 0) this.forgetAnnotations(from, to)
    if (this.expiries.size > 0 && count < this.expiries.size) {
      for (let position = from; position < to; position++) this.expiries.delete(position)
    }
    for (let i = this.indexOf(from); i < this.end && (this.positions[i] as number) < to; i++) {
      const row = this.rows[i] as number
      if (row < 0) continue
      this.keeper.release(row)
      this.rows[i] = -1
      this.count--
    }
    while (this.head < this.end && (this.rows[this.head] as number) < 0) this.head++
  }

  private forget(from: number, to: number): void {
    if (to - from < this.marks.count) {
      for (let position = from; position < to; position++) this.marks.delete(position)
      return
    }
    const gone: number[] = []
    this.marks.each((position) => {
      if (position >= from && position < to) gone.push(position)
    })
    for (const position of gone) this.marks.delete(position)
  }

  private forgetAnnotations(from: number, to: number): void {
    for (const position of this.annotations.keys()) {
      if (position >= from && position < to) this.annotations.delete(position)
    }
  }

  /** Settles all. */
  clear(): void {
    this.settle(this.base, this.next - this.base)
    this.expiries.clear()
  }

  /** Index of the first entry at or above `position`. */
  private indexOf(position: number): number {
    let low = this.head
    let high = this.end
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.positions[middle] as number) < position) low = middle + 1
      else high = middle
    }
    return low
  }

  private makeRoom(): void {
    const { positions, rows, head, end } = this
    if (head < end / 2) {
      this.positions = new Float64Array(positions.length * 2)
      this.rows = new Int32Array(rows.length * 2)
    }
    this.positions.set(positions.subarray(head, end))
    this.rows.set(rows.subarray(head, end))
    this.head = 0
    this.end = end - head
  }
}
