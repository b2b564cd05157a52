// The log's side of a queue, or of one level of a queue with priorities: what leaves memory because it
// can be read back, what comes back, and what a restart puts back.

import { AliveSet } from '../log/alive-set.ts'
import type { BacklogOwner, Log, QueueLog } from '../log/log.ts'
import type { MessageTable } from '../message/message-table.ts'
import type { ShardClock } from '../time/clock.ts'
import type { TimerWheel } from '../time/timer-wheel.ts'
import type { Annotations } from './annotations.ts'
import type { DeathReason } from './death.ts'
import type { Marks } from './marks.ts'
import { reasonOf } from './marks.ts'
import type { ReadyList } from './ready-list.ts'
import type { ShelfQueue } from './shelf.ts'
import { Shelf } from './shelf.ts'

/** What a backlog asks of its queue. */
export interface BacklogQueue extends ShelfQueue {
  readonly marks: Marks | undefined
  /** What consumers have said of messages. */
  readonly annotations: Annotations | undefined
  restoreExpiry(position: number, at: number): void
  restoreMark(position: number, word: number): void
  restoreAnnotation(position: number, table: Uint8Array): void
  restoreLevel(level: number): void
  /** What was asked for has come back, or has not: deliveries may go on. */
  readBack(): void
}

export interface BacklogContext {
  readonly messages: MessageTable
  readonly log: Log
  readonly queueMemoryBudget: number
  readonly clock: ShardClock
  readonly timers: TimerWheel
}

export class Backlog implements BacklogOwner {
  readonly list: ReadyList
  /** Undefined in a transient queue. */
  log: QueueLog | undefined
  private readonly queue: BacklogQueue
  private readonly context: BacklogContext
  /** What is to die, and cannot just now. */
  readonly shelf: Shelf
  /** Positions of what was on disk only, and is on its way elsewhere. */
  private borrowed: AliveSet | undefined
  /** No message below was in memory after a restart. */
  private restoredFrom: number

  constructor(queue: BacklogQueue, list: ReadyList, context: BacklogContext) {
    this.queue = queue
    this.list = list
    this.context = context
    this.log = undefined
    this.shelf = new Shelf(queue, context, this)
    this.borrowed = undefined
    this.restoredFrom = Number.POSITIVE_INFINITY
  }

  /**
   * Takes the message at `position`, which is on disk only, out of the list. Whoever has read it has it
   * until `forget` or `takeBack`. False when it is not there.
   */
  borrow(position: number): boolean {
    if (!this.isStored(position)) return false
    this.list.remove(position, true)
    this.borrowed ??= new AliveSet()
    this.borrowed.add(position)
    return true
  }

  /** Whether the message at `position` waits, and is on disk only. */
  isStored(position: number): boolean {
    const { log } = this
    return (
      log !== undefined &&
      this.list.stored.spans(position) &&
      this.context.log.isAlive(log, position) &&
      this.shelf.firstLapsed(position) !== position &&
      this.borrowed?.has(position) !== true
    )
  }

  /** What was borrowed is gone. */
  forget(position: number): void {
    this.borrowed?.remove(position)
  }

  /** What was borrowed is on disk only again, and `row` released; false where it has to stay in memory. */
  takeBack(row: number, position: number): boolean {
    if (this.borrowed?.remove(position) !== true) return false
    const { messages } = this.context
    if (!this.list.stored.putBack(position, messages.bodySize[row] as number)) return false
    messages.release(row)
    return true
  }

  /** The lowest position from `from` on of what waits and is on disk only; `Infinity`: there is none. */
  nextStored(from: number): number {
    const { stored } = this.list
    if (this.log === undefined || stored.onDisk === 0) return Number.POSITIVE_INFINITY
    let at = Math.max(from, stored.diskFrom)
    for (;;) {
      at = this.context.log.nextAlive(this.log, at)
      if (at >= stored.to) return Number.POSITIVE_INFINITY
      if (this.shelf.firstLapsed(at) !== at && this.borrowed?.has(at) !== true) return at
      at++
    }
  }

  /** What waits on disk only is settled unread; what is to die is not. */
  dropStored(): void {
    const { diskFrom, to } = this.list.stored
    if (this.list.stored.drop() === 0 || this.log === undefined) return
    for (let at = diskFrom; at < to; ) {
      const end = Math.min(to, this.shelf.firstLapsed(at))
      if (end > at) this.context.log.settle(this.log, at, end - at)
      at = end + 1
    }
  }

  /** The queue is gone. */
  destroy(): void {
    this.list.stored.drop()
    this.shelf.destroy()
    this.borrowed = undefined
  }

  /** The message as consumers have annotated it; the hold on `row` passes to what this gives. */
  annotated(row: number, position: number): number {
    const { annotations } = this.queue
    return annotations === undefined ? row : annotations.apply(row, position)
  }

  get marks(): Marks | undefined {
    return this.queue.marks
  }

  /** BacklogOwner. */
  get annotations(): ReadonlyMap<number, Uint8Array> | undefined {
    return this.queue.annotations?.tables
  }

  restore(plain: number, position: number): void {
    this.restoredFrom = Math.min(this.restoredFrom, position)
    const row = this.annotated(plain, position)
    const reason = this.queue.dyingOf(position)
    if (reason !== undefined) {
      this.queue.die(row, position, reason)
      return
    }
    this.list.restore(row, position)
  }

  restoreStored(count: number, from: number, to: number, bytes: number): void {
    this.list.restoreStored(count, from, to, bytes)
  }

  restoreEnd(next: number, deliveredTo: number): void {
    this.list.startAt(next, deliveredTo)
    this.shelf.pageOut(Math.min(this.list.stored.to, this.restoredFrom))
    this.shelveDying()
    this.queue.readBack()
  }

  restoreExpiry(position: number, at: number): void {
    this.queue.restoreExpiry(position, at)
  }

  restoreMark(position: number, word: number): void {
    this.queue.restoreMark(position, word)
  }

  restoreAnnotation(position: number, table: Uint8Array): void {
    this.queue.restoreAnnotation(position, table)
  }

  restoreLevel(level: number): void {
    this.queue.restoreLevel(level)
  }

  pageOut(to: number, bytes: number): void {
    const { messages, queueMemoryBudget } = this.context
    this.list.pageOut(to, Math.min(queueMemoryBudget, bytes), messages)
    this.shelf.pageOut(to)
  }

  undeliveredFrom(): number {
    return this.list.deliveredTo
  }

  storedFrom(): number {
    const { stored } = this.list
    return stored.onDisk === 0 ? stored.to : stored.diskFrom
  }

  storedTo(): number {
    return this.list.stored.to
  }

  load(plain: number, position: number): void {
    const row = this.annotated(plain, position)
    const bytes = this.context.messages.bodySize[row] as number
    const { stored } = this.list
    if (this.shelf.meets(row, position)) return
    if (this.borrowed?.has(position) === true) {
      this.context.messages.release(row)
      stored.passBy(position)
      return
    }
    stored.load(row, position, bytes)
  }

  loadEnd(exhausted: boolean): number {
    const missing = this.list.stored.loadEnd(exhausted)
    this.queue.readBack()
    return missing
  }

  /** After a restart: what was dying then and is on disk only does not wait. */
  private shelveDying(): void {
    if (this.list.stored.onDisk === 0) return
    const dying = new Map<number, DeathReason>()
    this.queue.marks?.each((position, word) => {
      const reason = reasonOf(word)
      if (reason !== undefined && this.isStored(position)) dying.set(position, reason)
    })
    for (const [position, reason] of dying) {
      this.list.remove(position, true)
      this.shelf.lapse(position, reason)
    }
  }
}
