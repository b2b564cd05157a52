// What bounds the messages that wait in a queue: their time (x-message-ttl, expiration) and their
// number (see length-limit.ts). A queue that has no such bound has none of this.
//
// Messages expire when their time comes, wherever in the queue they are. One that is delivered and
// not settled does not; when it comes back too late, it dies then.

import { EntryFlag } from '../../shared/bus/wire.ts'
import { expirationOf } from '../../shared/message/expiration.ts'
import type { MessageTable } from '../message/message-table.ts'
import type { ShardClock } from '../time/clock.ts'
import type { TimerOwner, TimerWheel } from '../time/timer-wheel.ts'
import type { QueueSettings } from '../topology/queue-settings.ts'
import type { DeathReason } from './death.ts'
import type { ExpiryOwner } from './expiry-index.ts'
import { ExpiryIndex } from './expiry-index.ts'
import { LengthLimit, limitsLength } from './length-limit.ts'
import type { WaitingList } from './waiting-list.ts'
import { notThere, removedOnDisk } from './waiting-list.ts'

/** The queue, as its bounds see it. */
export interface BoundedQueue {
  readonly ready: WaitingList
  /** A message that was taken out of `ready` dies. */
  die(row: number, position: number, reason: DeathReason): void
  /** A message that was on disk only, and was taken out of `ready`, has expired. */
  dieOnDisk(position: number): void
  /** Whether the message is in the log and not settled. */
  isLogged(position: number): boolean
  /** What comes next in `ready` is to be read back, if it is not in memory. */
  fetch(): void
}

export interface BoundsContext {
  readonly messages: MessageTable
  readonly clock: ShardClock
  readonly timers: TimerWheel
}

/** Whether settings ask for bounds. */
export function needsBounds(settings: QueueSettings): boolean {
  return settings.messageTtlMs !== undefined || limitsLength(settings)
}

/** A look through what came back waits for this and more, the more there is. */
const sweepMs = 5
const sweptPerMs = 20_000

export class Bounds implements ExpiryOwner, TimerOwner {
  private readonly queue: BoundedQueue
  private readonly context: BoundsContext
  private readonly expiry: ExpiryIndex
  private limit: LengthLimit | undefined
  private ttlMs: number
  /** Of the sweep through what came back; -1: none is needed. */
  private sweep: number

  constructor(queue: BoundedQueue, context: BoundsContext, settings: QueueSettings) {
    this.queue = queue
    this.context = context
    this.expiry = new ExpiryIndex(context.clock, context.timers, this)
    this.limit = undefined
    this.ttlMs = Number.POSITIVE_INFINITY
    this.sweep = -1
    this.configure(settings)
  }

  /** Other settings: the time holds for messages that come from now on, the limit for all. */
  configure(settings: QueueSettings): void {
    this.ttlMs = settings.messageTtlMs ?? Number.POSITIVE_INFINITY
    if (!limitsLength(settings)) {
      this.limit = undefined
      return
    }
    const counted = this.limit?.countsBytes === true
    const bytes = counted ? this.limit?.bytes : undefined
    const known = settings.bytesMax === undefined ? 0 : bytes
    this.limit = new LengthLimit(settings, known ?? this.queue.ready.bytes(this.context.messages))
    this.enforce()
  }

  // HOT: once per publish to a bounded queue
  /** Whether the queue is so full that it takes no message of so many bytes. */
  refuses(bodySize: number): boolean {
    return this.limit?.refuses(this.queue.ready.size(), bodySize) === true
  }

  /** Whether what is refused is to be dead-lettered. */
  deadLettersRefused(): boolean {
    return this.limit?.deadLetters === true
  }

  // HOT: once per publish to a bounded queue
  /**
   * When the message whose entry words are at `words[e..]` expires; 0: never. Not later than now: it has to
   * be delivered at once.
   */
  expiryOf(words: Int32Array, e: number, flags: number): number {
    let ms = this.ttlMs
    if ((flags & EntryFlag.expiration) !== 0) {
      const at = (words[e + 1] as number) + (words[e + 2] as number) + (words[e + 3] as number)
      const own = expirationOf(this.context.messages.slabBytesOf(words[e] as number), at)
      if (own >= 0 && own < ms) ms = own
    }
    return ms === Number.POSITIVE_INFINITY ? 0 : this.context.clock.now + ms
  }

  // HOT: once per message that waits in a bounded queue
  /** The message of `row` waits now; it expires at `at` (0: never). */
  queued(row: number, position: number, at: number): void {
    if (at !== 0) this.expiry.set(position, at, true)
    const { limit } = this
    if (limit === undefined) return
    if (limit.countsBytes) limit.bytes += this.context.messages.bodySize[row] as number
    if (limit.dropsHead) this.enforce()
  }

  // HOT: once per message that goes straight to a consumer
  /** The message at `position` was delivered, and may come back. */
  passed(position: number, at: number): void {
    if (at !== 0) this.expiry.set(position, at, false)
  }

  // HOT: once per delivery from a bounded queue
  /** A message was taken out of those that wait. True when its time has come: then it must die. */
  taken(row: number, position: number): boolean {
    this.left(row)
    if (this.expiry.count === 0) return false
    const at = this.expiry.at(position)
    if (at === 0) return false
    if (at <= this.context.clock.now) return true
    this.expiry.hide(position)
    return false
  }

  /** A message has come back. True when it is too late: then it must die; else it waits again. */
  returned(row: number, position: number): boolean {
    const at = this.expiry.at(position)
    if (at !== 0) {
      if (at <= this.context.clock.now) return true
      this.expiry.show(position)
    }
    if (this.limit?.countsBytes === true) {
      this.limit.bytes += this.context.messages.bodySize[row] as number
    }
    return false
  }

  /** A message waits in another place than before. */
  moved(from: number, to: number): number {
    const at = this.expiry.at(from)
    if (at === 0) return 0
    this.expiry.clear(from)
    this.expiry.set(to, at, true)
    return this.wallExpiryOf(at)
  }

  // HOT: once per message that a bounded queue parts with
  /** The message at `position` is gone; negative: it never was in the queue. */
  gone(position: number): void {
    if (this.expiry.count > 0 && position >= 0) this.expiry.clear(position)
  }

  /** After a restart: the message at `position` expires at the wall-clock time `wallAt`. */
  restoreExpiry(position: number, wallAt: number): void {
    // What expired before the clock began expires now; times are above 0.
    this.expiry.set(position, Math.max(1, this.context.clock.fromWall(wallAt)), true)
  }

  /** What was on disk only may have had other sizes than was thought. */
  recount(): void {
    if (this.limit?.countsBytes !== true) return
    this.limit.bytes = this.queue.ready.bytes(this.context.messages)
  }

  /** When the message at `position` expires, for what is written to disk; 0: never. */
  wallExpiryOf(expiry: number): number {
    return expiry === 0 ? 0 : this.context.clock.toWall(expiry)
  }

  /** A message does not wait any more. */
  left(row: number): void {
    if (this.limit?.countsBytes === true) {
      this.limit.bytes -= this.context.messages.bodySize[row] as number
    }
  }

  /** All that waited is gone, but for what was delivered and may come back. */
  emptied(): void {
    this.expiry.clearWaiting(0, Number.POSITIVE_INFINITY)
    if (this.limit !== undefined) this.limit.bytes = 0
  }

  /** Lets those in front die whose time has come and whose timers have not. */
  expireHead(): void {
    const { ready } = this.queue
    const { now } = this.context.clock
    while (this.expiry.count > 0 && ready.first() >= 0) {
      const at = this.expiry.at(ready.firstPosition())
      if (at === 0 || at > now) return
      ready.take()
      this.left(ready.takenRow)
      this.queue.die(ready.takenRow, ready.takenPosition, 'expired')
    }
  }

  /** Lets messages die in front until there are not too many. */
  enforce(): void {
    const { limit, queue } = this
    if (limit === undefined || !limit.dropsHead) return
    const { ready } = queue
    while (limit.isOver(ready.size())) {
      if (!ready.take()) {
        queue.fetch()
        return
      }
      this.left(ready.takenRow)
      const late = this.isLate(ready.takenPosition)
      queue.die(ready.takenRow, ready.takenPosition, late ? 'expired' : 'maxlen')
    }
  }

  /** ExpiryOwner. */
  expired(position: number): void {
    const { queue } = this
    const row = queue.ready.remove(position, queue.isLogged(position))
    if (row >= 0) {
      this.left(row)
      queue.die(row, position, 'expired')
    } else if (row === removedOnDisk) {
      if (this.limit?.countsBytes === true) this.limit.bytes -= queue.ready.removedBytes
      this.expiry.clear(position)
      queue.dieOnDisk(position)
    } else if (row === notThere && this.sweep < 0) {
      const { clock, timers } = this.context
      const wait = sweepMs + queue.ready.returnedCount() / sweptPerMs
      this.sweep = timers.add(clock.now + wait, this, 0)
    }
  }

  /** TimerOwner: looks through what came back. */
  onTimer(): number {
    this.sweep = -1
    const late: number[] = []
    this.queue.ready.removeReturned((row, position) => {
      if (!this.isLate(position)) return false
      late.push(row, position)
      return true
    })
    for (let i = 0; i < late.length; i += 2) {
      this.left(late[i] as number)
      this.queue.die(late[i] as number, late[i + 1] as number, 'expired')
    }
    return 1 + late.length / 2
  }

  /** The queue is gone. */
  destroy(): void {
    this.expiry.destroy()
    if (this.sweep >= 0) this.context.timers.cancel(this.sweep)
    this.sweep = -1
  }

  private isLate(position: number): boolean {
    const at = this.expiry.at(position)
    return at !== 0 && at <= this.context.clock.now
  }
}
