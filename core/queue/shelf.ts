// Messages of one level that are to die and cannot just now: too many of the queue are dying already,
// or they are on disk only. They wait in no list. Those in memory leave it as others do once they can
// be read back; what is on disk only is read back little by little, as there is room for deaths.

import { AliveSet } from '../log/alive-set.ts'
import type { Log, QueueLog, SomeSink } from '../log/log.ts'
import type { MessageTable } from '../message/message-table.ts'
import type { ShardClock } from '../time/clock.ts'
import type { TimerOwner, TimerWheel } from '../time/timer-wheel.ts'
import type { DeathReason } from './death.ts'
import { PositionHeap } from './position-heap.ts'

/** What a shelf asks of its queue. */
export interface ShelfQueue {
  /** Messages that are dying. */
  readonly dyingCount: number
  /** Why the message was to die; undefined: that is in no mark. */
  dyingOf(position: number): DeathReason | undefined
  die(row: number, position: number, reason: DeathReason): void
}

/** Where the messages come from. */
export interface ShelfLevel {
  /** Undefined in a transient queue. */
  readonly log: QueueLog | undefined
  annotated(row: number, position: number): number
}

export interface ShelfContext {
  readonly messages: MessageTable
  readonly log: Log
  readonly clock: ShardClock
  readonly timers: TimerWheel
}

/** While so many of a queue are dying, no more are taken off its shelves. */
export const dyingMax = 2000
/** They are when so few are left. */
export const dyingRefill: number = dyingMax / 2
/** Between two passes over the disk: what expires meanwhile is read together. */
const passMs = 20
/** What so many passes in a row did not find is lost. */
const emptyPassesMax = 3

export class Shelf implements SomeSink, TimerOwner {
  private readonly queue: ShelfQueue
  private readonly context: ShelfContext
  private readonly level: ShelfLevel
  private readonly inMemory: PositionHeap
  /** Those on disk only. */
  private readonly lapsed: AliveSet
  /** Of those, the ones that were too many; the others' time is over, or marks say why they die. */
  private readonly crowded: AliveSet
  /** All messages below can be read back. */
  private readableTo: number
  /** What dies now was read back just now: it stays, since no more is read before it is gone. */
  private taking: boolean
  /** Goes on with the pass for those; undefined: none is under way. */
  private readOn: (() => void) | undefined
  /** The pass has brought something; passes in a row that have not. */
  private found: boolean
  private emptyPasses: number
  /** -1: none is set. */
  private timer: number

  constructor(queue: ShelfQueue, context: ShelfContext, level: ShelfLevel) {
    this.queue = queue
    this.context = context
    this.level = level
    this.inMemory = new PositionHeap()
    this.lapsed = new AliveSet()
    this.crowded = new AliveSet()
    this.readableTo = 0
    this.taking = false
    this.readOn = undefined
    this.found = false
    this.emptyPasses = 0
    this.timer = -1
  }

  /** Takes over the queue's hold on a message that is in the log. */
  put(row: number, position: number): void {
    if (this.taking || position >= this.readableTo) {
      this.inMemory.push(row, position)
      return
    }
    this.context.messages.release(row)
    this.lapsed.add(position)
  }

  /** The message at `position`, which is on disk only and waits no more, dies once it is read back. */
  lapse(position: number, reason: DeathReason): void {
    this.lapsed.add(position)
    if (reason === 'maxlen') this.crowded.add(position)
    if (this.readOn === undefined) this.wait()
  }

  /** All persistent messages below `to` can be read back: none of them stays in memory. */
  pageOut(to: number): void {
    this.readableTo = Math.max(this.readableTo, to)
    if (this.inMemory.count === 0) return
    this.inMemory.removeIf((row, position) => {
      if (position >= to) return false
      this.context.messages.release(row)
      this.lapsed.add(position)
      return true
    })
    if (!this.isFull() && this.readOn === undefined) this.wait()
  }

  /**
   * The queue reads on and has come by `position`. True: the message was to die, and the hold on `row` is
   * gone.
   */
  meets(row: number, position: number): boolean {
    if (this.lapsed.count === 0 || !this.lapsed.has(position)) return false
    // Those that are too many in front would be read again and again.
    if (this.isFull() && !this.crowded.has(position)) this.context.messages.release(row)
    else this.take(row, position)
    return true
  }

  /** The lowest position from `from` on that is here and on disk only; `Infinity`: there is none. */
  firstLapsed(from: number): number {
    return this.lapsed.count === 0 ? Number.POSITIVE_INFINITY : this.lapsed.firstAlive(from)
  }

  /** There is room for deaths again. */
  goOn(): void {
    const { inMemory } = this
    while (inMemory.count > 0 && this.queue.dyingCount < dyingMax) {
      const position = inMemory.position()
      const row = inMemory.pop()
      this.queue.die(row, position, this.reasonOf(position))
    }
    if (this.lapsed.count === 0 || this.isFull()) return
    if (this.readOn === undefined) this.wait()
    else this.readOn()
  }

  /** SomeSink: a message that lapsed is here. */
  loadSome(row: number, position: number): void {
    if (this.lapsed.has(position)) this.take(this.level.annotated(row, position), position)
    else this.context.messages.release(row)
  }

  /** SomeSink. */
  someEnd(exhausted: boolean): void {
    const { lapsed } = this
    if (lapsed.count === 0) {
      this.readOn = undefined
      return
    }
    if (!exhausted) {
      if (!this.isFull()) this.readOn?.()
      return
    }
    this.readOn = undefined
    this.emptyPasses = this.found ? 0 : this.emptyPasses + 1
    if (this.emptyPasses >= emptyPassesMax) this.giveUp()
    else if (!this.isFull()) this.wait()
  }

  /** TimerOwner: begins a pass. */
  onTimer(): number {
    this.timer = -1
    const { log } = this.level
    if (this.lapsed.count === 0 || log === undefined || this.readOn !== undefined) return 1
    this.found = false
    this.readOn = this.context.log.readSome(log, this.lapsed, this)
    this.readOn()
    return 1
  }

  /** The queue is gone. */
  destroy(): void {
    while (this.inMemory.count > 0) this.context.messages.release(this.inMemory.pop())
    this.lapsed.removeRange(0, Number.POSITIVE_INFINITY)
    this.crowded.removeRange(0, Number.POSITIVE_INFINITY)
    this.readOn = undefined
    if (this.timer >= 0) this.context.timers.cancel(this.timer)
    this.timer = -1
  }

  private take(row: number, position: number): void {
    this.lapsed.remove(position)
    this.found = true
    this.taking = true
    const reason = this.crowded.remove(position) ? 'maxlen' : this.reasonOf(position)
    this.queue.die(row, position, reason)
    this.taking = false
  }

  private reasonOf(position: number): DeathReason {
    return this.queue.dyingOf(position) ?? 'expired'
  }

  private isFull(): boolean {
    return this.queue.dyingCount >= dyingMax || this.inMemory.count > 0
  }

  private wait(): void {
    if (this.timer >= 0) return
    const { clock, timers } = this.context
    this.timer = timers.add(clock.now + passMs, this, 0)
  }

  /** What can't be read back can't be dead-lettered. */
  private giveUp(): void {
    this.emptyPasses = 0
    const { lapsed } = this
    const { log } = this.level
    for (let at = lapsed.firstAlive(0); log !== undefined && at < Number.POSITIVE_INFINITY; ) {
      lapsed.remove(at)
      this.crowded.remove(at)
      this.context.log.settle(log, at, 1)
      at = lapsed.firstAlive(at + 1)
    }
  }
}
