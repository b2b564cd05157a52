// The part of a queue that is on disk: how many messages there are, and those of its front that were
// read back (or never left memory).

import type { MessageTable } from '../message/message-table.ts'
import { notThere, removedOnDisk } from './waiting-list.ts'

const firstCapacity = 16

export class StoredPart {
  /** Of the message that `take` gave last. */
  takenRow: number
  takenPosition: number
  /** Of the message that `remove` found on disk only. */
  removedBytes: number
  /** All messages of the part are below this position. */
  to: number
  /** Messages that are on disk only, all of them behind those in memory. */
  onDisk: number
  /** Bytes of the bodies of those, as far as it is known. */
  diskBytes: number
  /** Rows of those in memory, -1 where one was removed; the first is none of these. */
  private rows: Int32Array
  private positions: Float64Array
  private head: number
  private count: number
  private holes: number
  /** No message that is on disk only is below this. */
  diskFrom: number
  /** Messages that the last read has brought. */
  private lastRead: number
  private thisRead: number

  constructor() {
    this.takenRow = -1
    this.takenPosition = 0
    this.removedBytes = 0
    this.to = 0
    this.onDisk = 0
    this.diskBytes = 0
    this.rows = new Int32Array(0)
    this.positions = new Float64Array(0)
    this.head = 0
    this.count = 0
    this.holes = 0
    this.diskFrom = 0
    this.lastRead = 0
    this.thisRead = 0
  }

  size(): number {
    return this.count - this.holes + this.onDisk
  }

  /** Lower bound of the position of the first message; `Infinity` when there is none. */
  firstPosition(): number {
    if (this.count > 0) return this.positions[this.head] as number
    return this.onDisk > 0 ? this.diskFrom : Number.POSITIVE_INFINITY
  }

  /** The row of the first message, -1 when it must be read first. */
  firstRow(): number {
    return this.count > 0 ? (this.rows[this.head] as number) : -1
  }

  wantsMore(): boolean {
    return this.onDisk > 0 && this.count * 2 <= this.lastRead
  }

  // HOT: once per delivery from a backlog on disk
  take(): boolean {
    if (this.count === 0) return false
    this.takenRow = this.rows[this.head] as number
    this.takenPosition = this.positions[this.head] as number
    this.head = (this.head + 1) & (this.rows.length - 1)
    this.count--
    if (this.holes > 0) this.skipHoles()
    return true
  }

  /**
   * Takes the message at `position` out: gives its row, `removedOnDisk` or `notThere`. `logged`: it is in
   * the log and not settled.
   */
  remove(position: number, logged: boolean): number {
    if (logged && this.onDisk > 0 && position >= this.diskFrom && position < this.to) {
      // How large it was is not known: as large as the others.
      this.removedBytes = this.diskBytes / this.onDisk
      this.onDisk--
      this.diskBytes = this.onDisk === 0 ? 0 : this.diskBytes - this.removedBytes
      return removedOnDisk
    }
    const mask = this.rows.length - 1
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.positions[(this.head + middle) & mask] as number) < position) low = middle + 1
      else high = middle
    }
    const at = (this.head + low) & mask
    if (low === this.count || this.positions[at] !== position) return notThere
    const row = this.rows[at] as number
    if (row < 0) return notThere
    this.rows[at] = -1
    this.holes++
    if (low === 0) this.skipHoles()
    return row
  }

  /** `count` messages more, of `bytes` in all, from `from` on, are on disk only; the part now ends before `to`. */
  extend(count: number, bytes: number, from: number, to: number): void {
    if (this.onDisk === 0) this.diskFrom = from
    this.onDisk += count
    this.diskBytes += bytes
    this.to = to
  }

  /** Adds a message that stays in memory at the end; there must be none on disk only. */
  keep(row: number, position: number): void {
    this.append(row, position)
    this.to = position + 1
  }

  // HOT: once per message read back
  /** A message of `bytes` that was on disk only is in memory. */
  load(row: number, position: number, bytes: number): void {
    this.append(row, position)
    this.onDisk--
    this.diskBytes = this.onDisk === 0 ? 0 : Math.max(0, this.diskBytes - bytes)
    this.thisRead++
    this.skipTo(position + 1)
  }

  /** What was read does not wait here any more. */
  passBy(position: number): void {
    this.skipTo(position + 1)
  }

  /** Whether a message at `position` that waits here would be on disk only. */
  spans(position: number): boolean {
    return this.onDisk > 0 && position >= this.diskFrom && position < this.to
  }

  /** A message that was taken out waits on disk again. False where it would not be found there. */
  putBack(position: number, bytes: number): boolean {
    if (!this.spans(position)) return false
    this.onDisk++
    this.diskBytes += bytes
    return true
  }

  /** Visits the first `most` in memory from position `from` on. */
  each(from: number, most: number, onMessage: (row: number, position: number) => void): void {
    let left = most
    for (let i = 0; i < this.count && left > 0; i++) {
      const at = (this.head + i) & (this.rows.length - 1)
      const position = this.positions[at] as number
      if (position >= from && (this.rows[at] as number) >= 0) {
        left--
        onMessage(this.rows[at] as number, position)
      }
    }
  }

  /** Nothing that is on disk only is below `position`. */
  skipTo(position: number): void {
    if (position > this.diskFrom) this.diskFrom = position
  }

  loadEnd(exhausted: boolean): number {
    this.lastRead = this.thisRead
    this.thisRead = 0
    if (!exhausted) return 0
    return this.drop()
  }

  drop(): number {
    const dropped = this.onDisk
    this.onDisk = 0
    this.diskBytes = 0
    return dropped
  }

  /** Bytes of the bodies of all its messages. */
  bytes(messages: MessageTable): number {
    let bytes = this.diskBytes
    for (let i = 0; i < this.count; i++) {
      const row = this.rows[(this.head + i) & (this.rows.length - 1)] as number
      if (row >= 0) bytes += messages.bodySize[row] as number
    }
    return bytes
  }

  private skipHoles(): void {
    while (this.count > 0 && (this.rows[this.head] as number) < 0) {
      this.head = (this.head + 1) & (this.rows.length - 1)
      this.count--
      this.holes--
    }
  }

  private append(row: number, position: number): void {
    if (this.count === this.rows.length) this.grow()
    const at = (this.head + this.count) & (this.rows.length - 1)
    this.rows[at] = row
    this.positions[at] = position
    this.count++
  }

  private grow(): void {
    const capacity = Math.max(firstCapacity, this.rows.length * 2)
    const rows = new Int32Array(capacity)
    const positions = new Float64Array(capacity)
    for (let i = 0; i < this.count; i++) {
      const from = (this.head + i) & (this.rows.length - 1)
      rows[i] = this.rows[from] as number
      positions[i] = this.positions[from] as number
    }
    this.rows = rows
    this.positions = positions
    this.head = 0
  }
}
