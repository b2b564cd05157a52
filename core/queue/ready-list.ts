// The messages of one queue that wait for a consumer, in the order of their positions.
//
// Fresh messages form a ring; position = base + place in the ring, so it is not stored. Returned
// messages, and those that may not leave memory while others around them do, come from before the
// ring's head and wait in a heap by position. Between the two
// may lie a stored part: messages that are on disk only, and in front of them those that were read
// back already.

import { EntryFlag } from '../../shared/bus/wire.ts'
import { levelOf } from '../log/log.ts'
import type { MessageTable } from '../message/message-table.ts'
import { PositionHeap } from './position-heap.ts'
import { StoredPart } from './stored-part.ts'
import type { WaitingList } from './waiting-list.ts'
import { notThere, removedOnDisk } from './waiting-list.ts'

const firstCapacity = 16
/** What a message in memory costs beside its entry: its row, its place here, its share of a slab's waste. */
const messageOverhead = 64

/** Places of messages that are gone, between others that a restart brings back. */
const holesMax = 4096

/** Positions count a queue's messages from 0; a requeued message keeps its own. */
export class ReadyList implements WaitingList {
  /** Of the message that `take` gave last. */
  takenRow: number
  takenPosition: number
  takenReturned: boolean
  removedBytes: number
  /** Rows, -1 where a message was removed; the first is none of these. */
  private ring: Int32Array
  private head: number
  private count: number
  private holes: number
  private base: number
  private readonly returned: PositionHeap
  readonly stored: StoredPart
  /** Of the bodies that the last `dropReturned` let go of. */
  private droppedBytes: number
  /**
   * Messages below this may have been delivered before. As messages go out in order, that is one more
   * than the highest position that ever did.
   */
  deliveredTo: number

  /** Positions begin at `base`. */
  constructor(base: number = 0) {
    this.takenRow = -1
    this.takenPosition = 0
    this.takenReturned = false
    this.removedBytes = 0
    this.ring = new Int32Array(firstCapacity)
    this.head = 0
    this.count = 0
    this.holes = 0
    this.base = base
    this.returned = new PositionHeap()
    this.stored = new StoredPart()
    this.droppedBytes = 0
    this.deliveredTo = base
  }

  size(): number {
    return this.count - this.holes + this.returned.count + this.stored.size()
  }

  isEmpty(): boolean {
    return this.size() === 0
  }

  // HOT: once per queued message
  /** Adds a fresh message at the end; returns its position. */
  push(row: number): number {
    if (this.count === this.ring.length) this.grow()
    this.ring[(this.head + this.count) & (this.ring.length - 1)] = row
    return this.base + this.count++
  }

  // HOT: once per message that goes straight to a consumer
  /** The position of a message that is delivered without waiting; the list must be empty of fresh ones. */
  pass(): number {
    this.deliveredTo = this.base + 1
    return this.base++
  }

  // HOT: once per delivery from a backlog
  /** Takes the first message into the `taken` fields. False when there is none. */
  take(): boolean {
    if (this.returned.count > 0 || this.stored.size() > 0) return this.takeOld()
    if (this.count === 0) return false
    this.takenRow = this.ring[this.head] as number
    this.takenPosition = this.base
    this.takenReturned = this.base < this.deliveredTo
    this.head = (this.head + 1) & (this.ring.length - 1)
    this.count--
    if (++this.base > this.deliveredTo) this.deliveredTo = this.base
    if (this.holes > 0) this.skipHoles()
    return true
  }

  remove(position: number, logged: boolean): number {
    const place = position - this.base
    if (place < 0) {
      const row = this.stored.remove(position, logged)
      if (row === removedOnDisk) this.removedBytes = this.stored.removedBytes
      return row
    }
    if (place >= this.count) return notThere
    const at = (this.head + place) & (this.ring.length - 1)
    const row = this.ring[at] as number
    if (row < 0) return notThere
    this.ring[at] = -1
    this.holes++
    if (place === 0) this.skipHoles()
    return row
  }

  returnedCount(): number {
    return this.returned.count
  }

  removeReturned(go: (row: number, position: number) => boolean): void {
    this.returned.removeIf(go)
  }

  each(from: number, most: number, onMessage: (row: number, position: number) => void): void {
    this.returned.each(from, onMessage)
    this.stored.each(from, most, onMessage)
    let left = most
    for (let i = Math.max(0, from - this.base); i < this.count && left > 0; i++) {
      const row = this.ring[(this.head + i) & (this.ring.length - 1)] as number
      if (row < 0) continue
      left--
      onMessage(row, this.base + i)
    }
  }

  bytes(messages: MessageTable): number {
    let bytes = this.stored.bytes(messages) + this.returned.bytes(messages)
    for (let i = 0; i < this.count; i++) {
      const row = this.ring[(this.head + i) & (this.ring.length - 1)] as number
      if (row >= 0) bytes += messages.bodySize[row] as number
    }
    return bytes
  }

  /** The row that `take` would take, or -1: there is none, or it must be read back first. */
  first(): number {
    const { returned, stored } = this
    if (returned.count > 0 && returned.position() < stored.firstPosition()) return returned.row()
    if (stored.size() > 0) return stored.firstRow()
    return this.count === 0 ? -1 : (this.ring[this.head] as number)
  }

  firstPosition(): number {
    const { returned, stored } = this
    const first = stored.firstPosition()
    if (returned.count > 0 && returned.position() < first) return returned.position()
    return stored.size() > 0 ? first : this.base
  }

  /** After a restart: the message of `row` was at `position`. In rising order, before `startAt`. */
  restore(row: number, position: number): void {
    this.reach(position)
    this.push(row)
  }

  /** After a restart: fresh messages get positions from `next` on, those below `deliveredTo` may have been delivered. */
  startAt(next: number, deliveredTo: number): void {
    this.reach(next)
    this.deliveredTo = deliveredTo
  }

  levelToRead(): number {
    return this.stored.wantsMore() ? levelOf(this.base) : -1
  }

  /** After a restart: the `count` messages in [from, to) that are on disk only. */
  restoreStored(count: number, from: number, to: number, bytes: number): void {
    this.stored.extend(count, bytes, from, to)
  }

  /**
   * All persistent messages below `to` can be read back: drops the rows of those that a memory of
   * `budget` bytes does not hold. Messages that are not persistent stay.
   */
  pageOut(to: number, budget: number, messages: MessageTable): void {
    const { stored } = this
    let dropped = 0
    this.droppedBytes = 0
    if (stored.size() === 0) {
      if (!this.keepHead(to, budget, messages)) return
    } else if (this.returned.count > 0) {
      // After a restart: what the log gave back comes behind what was on disk already.
      dropped = this.dropReturned(to, messages)
    }
    const from = dropped > 0 ? stored.to : this.base
    const end = Math.min(to, this.base + this.count)
    let bytes = this.droppedBytes
    while (this.base < end) {
      const row = this.ring[this.head] as number
      if (row < 0) this.holes--
      else if (((messages.flags[row] as number) & EntryFlag.persistent) !== 0) {
        bytes += messages.bodySize[row] as number
        messages.release(row)
        dropped++
      } else this.returned.push(row, this.base)
      this.head = (this.head + 1) & (this.ring.length - 1)
      this.count--
      this.base++
    }
    if (this.holes > 0) this.skipHoles()
    if (dropped > 0) stored.extend(dropped, bytes, from, Math.max(end, stored.to))
  }

  private dropReturned(to: number, messages: MessageTable): number {
    const before = this.returned.count
    const { stored } = this
    this.returned.removeIf((row, position) => {
      if (position < stored.to || position >= to) return false
      if (((messages.flags[row] as number) & EntryFlag.persistent) === 0) return false
      this.droppedBytes += messages.bodySize[row] as number
      messages.release(row)
      return true
    })
    return before - this.returned.count
  }

  /**
   * Moves as much of the fresh messages as the budget holds to the front of the (empty) stored part.
   * False when it holds all of them: then nothing happened.
   */
  private keepHead(to: number, budget: number, messages: MessageTable): boolean {
    const mask = this.ring.length - 1
    const most = Math.min(this.count, to - this.base)
    let kept = 0
    let bytes = 0
    while (kept < most) {
      const row = this.ring[(this.head + kept) & mask] as number
      if (row >= 0) bytes += messages.entrySize(row) + messageOverhead
      if (bytes > budget) break
      kept++
    }
    if (kept >= most) return false
    for (let i = 0; i < kept; i++) {
      const row = this.ring[(this.head + i) & mask] as number
      if (row >= 0) this.stored.keep(row, this.base + i)
      else this.holes--
    }
    this.head = (this.head + kept) & mask
    this.count -= kept
    this.base += kept
    return true
  }

  /** The next message pushed will be at `position`: leaves holes, or has those before it come first. */
  private reach(position: number): void {
    const gap = position - this.base - this.count
    if (this.count > 0 && this.holes + gap <= holesMax + 8 * (this.count - this.holes)) {
      for (let i = 0; i < gap; i++) this.push(-1)
      this.holes += gap
      return
    }
    for (let i = 0; i < this.count; i++) {
      const row = this.ring[(this.head + i) & (this.ring.length - 1)] as number
      if (row >= 0) this.returned.push(row, this.base + i)
    }
    this.head = 0
    this.count = 0
    this.holes = 0
    this.base = position
  }

  private skipHoles(): void {
    const mask = this.ring.length - 1
    while (this.count > 0 && (this.ring[this.head] as number) < 0) {
      this.head = (this.head + 1) & mask
      this.count--
      this.holes--
      this.base++
    }
  }

  private takeOld(): boolean {
    const { returned, stored } = this
    if (returned.count > 0 && returned.position() < stored.firstPosition()) {
      this.takenPosition = returned.position()
      this.takenRow = returned.pop()
    } else {
      if (!stored.take()) return false
      this.takenRow = stored.takenRow
      this.takenPosition = stored.takenPosition
    }
    this.takenReturned = this.takenPosition < this.deliveredTo
    if (!this.takenReturned) this.deliveredTo = this.takenPosition + 1
    return true
  }

  /** Puts a message that was taken back to its position. */
  giveBack(row: number, position: number): void {
    this.returned.push(row, position)
  }

  private grow(): void {
    const wider = new Int32Array(this.ring.length * 2)
    const tail = this.ring.length - this.head
    wider.set(this.ring.subarray(this.head), 0)
    wider.set(this.ring.subarray(0, this.head), tail)
    this.ring = wider
    this.head = 0
  }
}
