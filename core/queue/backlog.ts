// The log's side of a queue, or of one level of a queue with priorities: what leaves memory because it
// can be read back, what comes back, and what a restart puts back.

import { AliveSet } from '../log/alive-set.ts'
import type { BacklogOwner, Log, QueueLog, SomeSink } from '../log/log.ts'
import type { MessageTable } from '../message/message-table.ts'
import type { ShardClock } from '../time/clock.ts'
import type { TimerOwner, TimerWheel } from '../time/timer-wheel.ts'
import type { Annotations } from './annotations.ts'
import type { DeathReason } from './death.ts'
import type { Marks } from './marks.ts'
import type { ReadyList } from './ready-list.ts'

/** What a backlog asks of its queue. */
export interface BacklogQueue {
  readonly marks: Marks | undefined
  /** What consumers have said of messages. */
  readonly annotations: Annotations | undefined
  /** Messages that are dying. */
  readonly dyingCount: number
  /** Why the message was dying when the node stopped; undefined: it was not. */
  dyingOf(position: number): DeathReason | undefined
  die(row: number, position: number, reason: DeathReason): void
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

/** Between two passes over the disk: what expires meanwhile is read together. */
const passMs = 20
/** No more is read while so many that were read have not got where they go. */
const dyingMax = 2000
const dyingWaitMs = 2
/** What so many passes in a row did not find is lost. */
const emptyPassesMax = 3

export class Backlog implements BacklogOwner, SomeSink, TimerOwner {
  readonly list: ReadyList
  /** Undefined in a transient queue. */
  log: QueueLog | undefined
  private readonly queue: BacklogQueue
  private readonly context: BacklogContext
  /** Messages on disk only whose time has come: they die when they are read back. */
  private lapsed: AliveSet | undefined
  /** Goes on with the pass for those; undefined: none is under way. */
  private readOn: (() => void) | undefined
  /** The pass has brought something; passes in a row that have not. */
  private found: boolean
  private emptyPasses: number
  /** -1: none is set. */
  private timer: number

  constructor(queue: BacklogQueue, list: ReadyList, context: BacklogContext) {
    this.queue = queue
    this.list = list
    this.context = context
    this.log = undefined
    this.lapsed = undefined
    this.readOn = undefined
    this.found = false
    this.emptyPasses = 0
    this.timer = -1
  }

  /** The message at `position`, which is on disk only and waits no more, dies once it is read back. */
  lapse(position: number): void {
    this.lapsed ??= new AliveSet()
    this.lapsed.add(position)
    if (this.readOn === undefined) this.wait(passMs)
  }

  /** SomeSink: a message that lapsed is here. */
  loadSome(row: number, position: number): void {
    if (this.lapsed?.remove(position) === true) {
      this.found = true
      this.queue.die(this.annotated(row, position), position, 'expired')
    } else this.context.messages.release(row)
  }

  /** SomeSink. */
  someEnd(exhausted: boolean): void {
    const { lapsed } = this
    if (lapsed === undefined || lapsed.count === 0) {
      this.readOn = undefined
      return
    }
    if (!exhausted) {
      if (this.queue.dyingCount > dyingMax) this.wait(dyingWaitMs)
      else this.readOn?.()
      return
    }
    this.readOn = undefined
    this.emptyPasses = this.found ? 0 : this.emptyPasses + 1
    if (this.emptyPasses < emptyPassesMax) this.wait(passMs)
    else this.giveUp(lapsed)
  }

  /** TimerOwner: begins a pass, or goes on with it. */
  onTimer(): number {
    this.timer = -1
    const { lapsed, log } = this
    if (lapsed === undefined || log === undefined) return 1
    if (this.readOn === undefined) {
      this.found = false
      this.readOn = this.context.log.readSome(log, lapsed, this)
    }
    this.readOn()
    return 1
  }

  /** The queue is gone. */
  destroy(): void {
    this.list.stored.drop()
    this.lapsed = undefined
    this.readOn = undefined
    if (this.timer >= 0) this.context.timers.cancel(this.timer)
    this.timer = -1
  }

  private wait(ms: number): void {
    if (this.timer >= 0) return
    const { clock, timers } = this.context
    this.timer = timers.add(clock.now + ms, this, 0)
  }

  private annotated(row: number, position: number): number {
    const { annotations } = this.queue
    return annotations === undefined ? row : annotations.apply(row, position)
  }

  /** What can't be read back can't be dead-lettered. */
  private giveUp(lapsed: AliveSet): void {
    this.emptyPasses = 0
    const { log } = this
    for (let at = lapsed.firstAlive(0); log !== undefined && at < Number.POSITIVE_INFINITY; ) {
      lapsed.remove(at)
      this.context.log.settle(log, at, 1)
      at = lapsed.firstAlive(at + 1)
    }
  }

  get marks(): Marks | undefined {
    return this.queue.marks
  }

  /** BacklogOwner. */
  get annotations(): ReadonlyMap<number, Uint8Array> | undefined {
    return this.queue.annotations?.tables
  }

  restore(plain: number, position: number): void {
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
    if (this.lapsed?.remove(position) === true) {
      this.queue.die(row, position, 'expired')
      return
    }
    const reason = this.queue.dyingOf(position)
    if (reason === undefined) stored.load(row, position, bytes)
    else {
      stored.loadAside(position, bytes)
      this.queue.die(row, position, reason)
    }
  }

  loadEnd(exhausted: boolean): number {
    const missing = this.list.stored.loadEnd(exhausted)
    this.queue.readBack()
    return missing
  }
}
