// What bounds the messages that wait in a queue: their time (x-message-ttl, expiration) and their
// number (see length-limit.ts). A queue that has no such bound has none of this.
//
// Messages expire when their time comes, wherever in the queue they are. One that is delivered and
// not settled does not; when it comes back too late, it dies then. As long as messages expire in the
// order in which they came, their times are runs (expiry-runs.ts); those of others are in an index.

import { EntryFlag } from '../../shared/bus/wire.ts'
import { expirationOf } from '../../shared/message/expiration.ts'
import { levelSpan } from '../log/log.ts'
import type { MessageTable } from '../message/message-table.ts'
import type { ShardClock } from '../time/clock.ts'
import type { TimerOwner, TimerWheel } from '../time/timer-wheel.ts'
import type { QueueSettings } from '../topology/queue-settings.ts'
import type { DeathReason } from './death.ts'
import type { ExpiryOwner } from './expiry-index.ts'
import { ExpiryIndex } from './expiry-index.ts'
import { ExpiryRuns } from './expiry-runs.ts'
import { LengthLimit, limitsLength } from './length-limit.ts'
import type { ReadyList } from './ready-list.ts'
import type { WaitingList } from './waiting-list.ts'
import { notThere, removedOnDisk } from './waiting-list.ts'

/** The queue, as its bounds see it. */
export interface BoundedQueue {
  readonly settings: QueueSettings
  readonly ready: WaitingList
  /** Of the messages in `ready`, those of the lowest level. */
  readonly lowest: ReadyList
  /** Whether no message is left, neither waiting nor delivered nor dying. */
  isIdle(): boolean
  /** A message that was taken out of `ready` dies. */
  die(row: number, position: number, reason: DeathReason): void
  /** A message that is on disk only, and was taken out of `ready`, dies. */
  dieOnDisk(position: number, reason: DeathReason): void
  /** Whether the message is in the log and not settled. */
  isLogged(position: number): boolean
  /** The first position from `from` on of what waits and is on disk only. */
  nextStored(from: number): { readonly position: number } | undefined
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
/** Keys of timers. */
const sweepKey = 0
const runsKey = 1
/** Messages of runs that expire at once: others have their turn before more do. */
const sliceMax = 500
const never: number = Number.POSITIVE_INFINITY

export class Bounds implements ExpiryOwner, TimerOwner {
  private readonly queue: BoundedQueue
  private readonly context: BoundsContext
  private readonly expiry: ExpiryIndex
  private readonly runs: ExpiryRuns
  /** When the message that is being accepted expires; 0: never. */
  private readonly at: Float64Array
  private limit: LengthLimit | undefined
  private ttlMs: number
  /** Of the sweep through what came back; -1: none is needed. */
  private sweep: number
  /** For the first message of `lowest`, if that is in a run; -1: none, and when it fires. */
  private runsTimer: number
  private runsDue: number
  /** What was on disk only below this has been dropped. */
  private droppedTo: number

  constructor(queue: BoundedQueue, context: BoundsContext, settings: QueueSettings) {
    this.queue = queue
    this.context = context
    this.expiry = new ExpiryIndex(context.clock, context.timers, this)
    this.runs = new ExpiryRuns(context.clock)
    this.at = new Float64Array(1)
    this.limit = undefined
    this.ttlMs = never
    this.sweep = -1
    this.runsTimer = -1
    this.runsDue = never
    this.droppedTo = 0
    this.configure(settings)
  }

  /** Other settings: the time holds for messages that come from now on, the limit for all. */
  configure(settings: QueueSettings): void {
    this.ttlMs = settings.messageTtlMs ?? never
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
  /** Finds when the message whose entry words are at `words[e..]` expires, for the calls that follow. */
  look(words: Int32Array, e: number, flags: number): void {
    let ms = this.ttlMs
    if ((flags & EntryFlag.expiration) !== 0) {
      const at = (words[e + 1] as number) + (words[e + 2] as number) + (words[e + 3] as number)
      const own = expirationOf(this.context.messages.slabBytesOf(words[e] as number), at)
      if (own >= 0 && own < ms) ms = own
    }
    this.at[0] = 0
    if (ms === never) return
    this.at[0] = this.context.clock.now + ms
    if (!this.runs.isOpen() && this.queue.isIdle()) this.runs.start()
  }

  /** Whether the message that was looked at has to be delivered at once. */
  comesLate(): boolean {
    const at = this.at[0] as number
    return at !== 0 && at <= this.context.clock.now
  }

  /** When the message that was looked at expires, for what is written to disk; 0: never. */
  wallExpiry(): number {
    const at = this.at[0] as number
    return at === 0 ? 0 : this.context.clock.toWall(at)
  }

  // HOT: once per message that waits in a bounded queue
  /** The message of `row`, which was looked at, waits now. */
  queued(row: number, position: number): void {
    if ((this.at[0] as number) !== 0) this.keepTime(position, true)
    else if (this.runs.isOpen()) this.timeless(position)
    const { limit } = this
    if (limit === undefined) return
    if (limit.countsBytes) limit.bytes += this.context.messages.bodySize[row] as number
    if (limit.dropsHead) this.enforce()
  }

  // HOT: once per message that goes straight to a consumer
  /** The message at `position`, which was looked at, was delivered, and may come back. */
  passed(position: number): void {
    if ((this.at[0] as number) !== 0) this.keepTime(position, false)
    else if (this.runs.isOpen()) this.timeless(position)
  }

  private keepTime(position: number, waiting: boolean): void {
    const at = this.at[0] as number
    if (position >= levelSpan || !this.runs.add(position, this.at)) {
      this.expiry.set(position, at, waiting)
    } else if (waiting && at < this.runsDue) this.armRuns(at)
  }

  /** A message that never expires comes: those behind it may be the first to expire. */
  private timeless(position: number): void {
    if (position < levelSpan) this.runs.close(position)
  }

  // HOT: once per delivery from a bounded queue
  /** A message was taken out of those that wait. True when its time has come: then it must die. */
  taken(row: number, position: number): boolean {
    this.left(row)
    if (this.expiry.count > 0) {
      const { now } = this.context.clock
      const at = this.expiry.at(position)
      if (at !== 0) {
        if (at > now) this.expiry.hide(position)
        return at <= now
      }
    }
    return position < levelSpan && this.runs.isDue(position)
  }

  /** A message has come back. True when it is too late: then it must die; else it waits again. */
  returned(row: number, position: number): boolean {
    const at = this.timeOf(position)
    if (at <= this.context.clock.now) return true
    if (at < never) {
      this.expiry.show(position)
      if (at < this.runsDue) this.armRuns(at)
    }
    if (this.limit?.countsBytes === true) {
      this.limit.bytes += this.context.messages.bodySize[row] as number
    }
    return false
  }

  /** A message waits in another place than before; then it is as if it had been looked at. */
  moved(from: number, to: number): void {
    const at = this.timeOf(from)
    this.at[0] = at === never ? 0 : at
    if (at === never) this.timeless(to)
    else this.expiry.set(to, at, true)
  }

  /** The message at `position` waits no more, and is gone soon. */
  dying(position: number): void {
    if (this.expiry.count > 0 && position >= 0) this.expiry.hide(position)
  }

  // HOT: once per message that a bounded queue parts with
  /** The message at `position` is gone, which is to be said once; negative: it never was in the queue. */
  gone(position: number): void {
    if (position < 0 || (this.expiry.count > 0 && this.expiry.clear(position))) return
    if (position < levelSpan && this.runs.isUsed()) this.runs.gone(position)
  }

  /** After a restart: the message at `position` expires at the wall-clock time `wallAt`. */
  restoreExpiry(position: number, wallAt: number): void {
    const { clock } = this.context
    // Where the wall clock has gone back meanwhile, no message has longer than it was given.
    const latest = clock.now + (this.queue.settings.declaredTtlMs ?? never)
    // What expired before the clock began expires now; times are above 0.
    const at = Math.max(1, Math.min(latest, clock.fromWall(wallAt)))
    this.expiry.set(position, at, true)
  }

  /** What was on disk only is in memory: it may have other sizes than was thought. */
  readBack(): void {
    const { lowest } = this.queue
    if (this.runs.isUsed() && lowest.size() > 0) this.armRuns(this.timeOf(lowest.firstPosition()))
    if (this.limit?.countsBytes !== true) return
    this.limit.bytes = this.queue.ready.bytes(this.context.messages)
  }

  /** A message does not wait any more. */
  left(row: number): void {
    if (this.limit?.countsBytes === true) {
      this.limit.bytes -= this.context.messages.bodySize[row] as number
    }
  }

  /** All that waited is gone, but for what was delivered and may come back. */
  emptied(): void {
    this.expiry.clearWaiting(0, never)
    if (this.runs.isOpen() && this.queue.isIdle()) this.runs.start()
    if (this.limit !== undefined) this.limit.bytes = 0
  }

  /** Lets those in front die whose time has come and whose timers have not. */
  expireHead(): void {
    const { ready } = this.queue
    while (ready.first() >= 0 && this.isLate(ready.firstPosition())) {
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
        if (this.dropStored(limit)) continue
        queue.fetch()
        return
      }
      this.left(ready.takenRow)
      const late = this.isLate(ready.takenPosition)
      queue.die(ready.takenRow, ready.takenPosition, late ? 'expired' : 'maxlen')
    }
  }

  /** Drops the first message, which is on disk only. False where it has to be read for that. */
  private dropStored(limit: LengthLimit): boolean {
    const { queue } = this
    // How large each is, is known of those in memory alone.
    if (limit.countsBytes) return false
    if (queue.ready !== queue.lowest) return false
    const { stored } = queue.lowest
    const position = this.nextStored(Math.max(stored.diskFrom, this.droppedTo))
    if (position >= stored.to || queue.lowest.remove(position, true) !== removedOnDisk) return false
    this.droppedTo = position + 1
    queue.dieOnDisk(position, this.isLate(position) ? 'expired' : 'maxlen')
    // To be dead-lettered it is read, best in one go with what comes next.
    if (queue.settings.deadLetterExchange === undefined) stored.skipTo(position + 1)
    else queue.fetch()
    return true
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
      queue.dieOnDisk(position, 'expired')
    } else if (row === notThere && this.sweep < 0) {
      const { clock, timers } = this.context
      const wait = sweepMs + queue.ready.returnedCount() / sweptPerMs
      this.sweep = timers.add(clock.now + wait, this, sweepKey)
    }
  }

  /** TimerOwner. */
  onTimer(key: number): number {
    return key === sweepKey ? this.sweepReturned() : this.expireRuns()
  }

  /** Looks through what came back. */
  private sweepReturned(): number {
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

  /** Lets those in front die whose time has come, as many as one slice may have. */
  private expireRuns(): number {
    this.runsTimer = -1
    this.runsDue = never
    const { lowest } = this.queue
    let done = 0
    while (lowest.size() > 0) {
      if (done >= sliceMax) {
        this.armRuns(this.context.clock.now)
        break
      }
      if (lowest.first() < 0) {
        const deaths = this.expireStored()
        if (deaths === 0) break
        done += deaths
        continue
      }
      const position = lowest.firstPosition()
      if (!this.isLate(position)) {
        this.armRuns(this.timeOf(position))
        break
      }
      lowest.take()
      this.left(lowest.takenRow)
      this.queue.die(lowest.takenRow, position, 'expired')
      done++
    }
    return done + 1
  }

  /** As `expireRuns` for what comes next on disk; returns how many died, as many as one slice may have. */
  private expireStored(): number {
    const { queue } = this
    const { stored } = queue.lowest
    let deaths = 0
    let position = this.nextStored(stored.diskFrom)
    while (deaths < sliceMax && position < levelSpan && this.isLate(position)) {
      this.expired(position)
      deaths++
      position = this.nextStored(position + 1)
    }
    stored.skipTo(Math.min(position, stored.to))
    if (deaths === 0 && position < levelSpan) this.armRuns(this.timeOf(position))
    return deaths
  }

  private nextStored(from: number): number {
    return this.queue.nextStored(from)?.position ?? never
  }

  private armRuns(at: number): void {
    const { timers } = this.context
    if (this.runsTimer >= 0) timers.cancel(this.runsTimer)
    this.runsTimer = at === never ? -1 : timers.add(at, this, runsKey)
    this.runsDue = at
  }

  /** The queue is gone. */
  destroy(): void {
    this.expiry.destroy()
    if (this.sweep >= 0) this.context.timers.cancel(this.sweep)
    this.sweep = -1
    this.armRuns(never)
  }

  private isLate(position: number): boolean {
    return this.timeOf(position) <= this.context.clock.now
  }

  /** When the message at `position` expires; `Infinity`: never. */
  private timeOf(position: number): number {
    const at = this.expiry.count > 0 ? this.expiry.at(position) : 0
    if (at !== 0) return at
    return position < levelSpan ? this.runs.at(position) : never
  }
}
