// A classic queue: messages in order, consumers in turn, deliveries that may come back.

import {
  EntryFlag,
  extentWords,
  Outcome,
  priorityOf,
  priorityShift,
} from '../../shared/bus/wire.ts'
import type { FieldTable } from '../../shared/message/value.ts'
import type { QueueIds } from '../dedup/queue-ids.ts'
import type { QueueLog } from '../log/log.ts'
import { levelOf } from '../log/log.ts'
import type { DeduplicationSettings, QueueSettings } from '../topology/queue-settings.ts'
import type { Annotations } from './annotations.ts'
import type { BoundedQueue } from './bounds.ts'
import { Bounds, needsBounds } from './bounds.ts'
import { takeOut } from './browse.ts'
import type { Consumer, ConsumerChannel } from './consumer.ts'
import { Block, ConsumerRing } from './consumer.ts'
import type { DeathReason, DyingQueue } from './death.ts'
import { DelayedRetries, retryDelay } from './delayed-retry.ts'
import { DeliveryCounts } from './delivery-counts.ts'
import type { Holder } from './holder.ts'
import { Lease } from './lease.ts'
import type { LeveledQueue } from './levels.ts'
import { Levels } from './levels.ts'
import type { Marks } from './marks.ts'
import { failedOf } from './marks.ts'
import type { GroupedQueue } from './message-groups.ts'
import { MessageGroups } from './message-groups.ts'
import { OwedAnswers } from './owed-answers.ts'
import type { PriorityRule } from './priority-list.ts'
import { PriorityList } from './priority-list.ts'
import type { GetOutcome, Queue } from './queue.ts'
import type { QueueContext } from './queue-context.ts'
import type { ReadyList } from './ready-list.ts'
import { Sender } from './sender.ts'
import { dyingMax, dyingRefill } from './shelf.ts'
import type { WaitingList } from './waiting-list.ts'

export class ClassicQueue implements Queue, LeveledQueue, DyingQueue, BoundedQueue, GroupedQueue {
  readonly id: number
  readonly durable: boolean
  readonly logsAll: boolean
  readonly singleActive: boolean
  /** What its arguments and policies come to. */
  settings: QueueSettings
  readonly consumers: ConsumerRing
  /** Deliveries that are not settled. */
  unackedCount: number
  /** Messages on their way to the dead-letter exchange. */
  dyingCount: number
  /** What is remembered of single messages. */
  readonly marks: Marks | undefined
  /** In queues that count deliveries (quorum queues). */
  private readonly counts: DeliveryCounts | undefined
  /** It is on the list of queues to pump. */
  woken: boolean
  deleted: boolean
  /** Position in the log of the last message that `accept` appended; 0 if it needed none. */
  logPosition: number
  refused: boolean
  /** Those of all levels. */
  ready: WaitingList
  private readonly levels: Levels
  readonly lowest: ReadyList
  /** Flags of publishes that need a closer look. */
  private watched: number
  /** In queues that drop duplicates. */
  private ids: QueueIds | undefined
  private readonly context: QueueContext
  private readonly sender: Sender
  /** Undefined in a transient queue. */
  private readonly log: QueueLog | undefined
  private readonly owed: OwedAnswers
  /** Undefined while nothing bounds its messages. */
  private bounds: Bounds | undefined
  private lease: Lease | undefined
  /** Undefined while nothing waits to be tried again. */
  private retries: DelayedRetries | undefined
  /** Undefined where messages have no groups. */
  private readonly groups: MessageGroups | undefined

  constructor(id: number, durable: boolean, settings: QueueSettings, context: QueueContext) {
    this.id = id
    this.durable = durable
    this.logsAll = false
    this.singleActive = settings.singleActiveConsumer
    this.settings = settings
    this.consumers = new ConsumerRing()
    this.unackedCount = 0
    this.dyingCount = 0
    this.woken = false
    this.deleted = false
    this.logPosition = 0
    this.refused = false
    this.context = context
    this.sender = new Sender(this.consumers, context.messages, context.want)
    this.levels = new Levels(this, context)
    this.lowest = this.levels.lowest
    this.ready = this.lowest
    this.log = this.levels.log
    const counts = settings.type === 'quorum'
    this.counts = counts
      ? new DeliveryCounts(context, (position) => this.levels.logOf(position))
      : undefined
    this.marks = this.counts?.marks
    this.owed = new OwedAnswers()
    this.bounds = undefined
    this.lease = undefined
    this.ids = undefined
    this.retries = undefined
    const { messageGroups } = settings
    this.groups =
      messageGroups === undefined ? undefined : new MessageGroups(context.messages, messageGroups)
    this.consumers.aside = this.groups !== undefined
    this.watched = EntryFlag.expiration | (counts ? priorityFlags : 0)
    this.configure(settings)
    if ((settings.priorityMax ?? 0) > 0) this.prioritise('strict')
  }

  /** Takes other settings (a policy has changed). Those that are for a queue's life stay. */
  configure(settings: QueueSettings): void {
    this.settings = settings
    if (this.bounds !== undefined) this.bounds.configure(settings)
    else if (needsBounds(settings)) this.bounds = new Bounds(this, this.context, settings)
    if (settings.expiresMs === undefined) this.lease?.stop()
    this.used()
    this.deduplicate(settings.deduplication)
  }

  private deduplicate(settings: DeduplicationSettings | undefined): void {
    if (settings === undefined) this.ids?.destroy()
    else if (this.ids !== undefined) return this.ids.configure(settings)
    this.ids = settings === undefined ? undefined : this.context.newIds?.(this, settings)
    this.watched &= ~EntryFlag.headers
    if (this.ids !== undefined) this.watched |= EntryFlag.headers
  }

  /** Somebody has used the queue: it may stay unused from now on (see Lease). */
  used(): void {
    const ms = this.settings.expiresMs
    if (ms === undefined || this.consumers.all.size > 0) return
    const { clock, timers, unused } = this.context
    this.lease ??= new Lease(clock, timers, () => unused(this))
    this.lease.renew(ms)
  }

  /** Messages that wait for a consumer. */
  readyCount(): number {
    return this.ready.size() + (this.groups?.count() ?? 0) + (this.retries?.count() ?? 0)
  }

  // HOT: once per publish and queue; bench/micro/queue.ts
  /**
   * Takes a message whose entry words are at `words[e..]`. `row` is its row if another queue keeps it
   * already, else -1. Returns the row, still -1 when it went to a consumer that need not acknowledge.
   */
  accept(words: Int32Array, e: number, flags: number, row: number): number {
    this.logPosition = 0
    // A reply queue may go while a route to it is still remembered.
    if (this.deleted) return row
    if (this.groups !== undefined) this.context.wake(this)
    if (this.bounds !== undefined || (flags & this.watched) !== 0) {
      return this.acceptNew(words, e, flags, row)
    }
    if (this.ready.isEmpty()) {
      for (let c = this.consumers.pick(); c !== undefined; c = this.consumers.pick()) {
        if (c.noAck) {
          if (!this.sender.sendEntry(c, words, e)) continue
          this.ready.pass(0)
          this.consumers.served(c)
          return row
        }
        if (!this.sender.canServe(c)) continue
        const kept = this.keep(words, e, flags, row)
        const position = this.ready.pass(0)
        this.append(flags, position, kept, undefined)
        this.sendRow(c, kept, position, false)
        this.consumers.served(c)
        return kept
      }
    }
    const kept = this.keep(words, e, flags, row)
    const position = this.ready.push(kept, 0)
    this.append(flags, position, kept, undefined)
    return kept
  }

  /** `acceptBounded`, but for duplicates. */
  private acceptNew(words: Int32Array, e: number, flags: number, row: number): number {
    if (this.ids?.isDuplicate(words, e) !== true) return this.acceptBounded(words, e, flags, row)
    this.refused = false
    this.logPosition = this.ids.coveredBy()
    return row
  }

  // HOT: once per publish to a bounded queue
  /** `accept` where messages may expire, be too many, or have priorities. */
  private acceptBounded(words: Int32Array, e: number, flags: number, row: number): number {
    this.bounds ??= new Bounds(this, this.context, this.settings)
    const { bounds } = this
    this.refused = bounds.refuses(words[e + 5] as number)
    if (this.refused) {
      if (bounds.deadLettersRefused()) this.dieAtOnce(words, e, flags, row, 'maxlen')
      return row
    }
    bounds.look(words, e, flags)
    const level = this.levelFor(flags)
    if (this.ready.isEmpty()) {
      for (let c = this.consumers.pick(); c !== undefined; c = this.consumers.pick()) {
        if (c.noAck) {
          if (!this.sender.sendEntry(c, words, e)) continue
          this.ready.pass(level)
          this.ids?.passed()
          this.consumers.served(c)
          return row
        }
        if (!this.sender.canServe(c)) continue
        const kept = this.keep(words, e, flags, row)
        const position = this.ready.pass(level)
        this.append(flags, position, kept, bounds)
        this.ids?.kept(position, this.logPosition)
        bounds.passed(position)
        this.sendRow(c, kept, position, false)
        this.consumers.served(c)
        return kept
      }
    }
    // At-least-once: it is in the log before it dies.
    if (bounds.comesLate() && !this.atLeastOnce()) {
      this.dieAtOnce(words, e, flags, row, 'expired')
      return row
    }
    const kept = this.keep(words, e, flags, row)
    const position = this.ready.push(kept, level)
    this.append(flags, position, kept, bounds)
    this.ids?.kept(position, this.logPosition)
    bounds.queued(kept, position)
    // It may have been one too many itself.
    return this.context.messages.isAlive(kept) ? kept : -1
  }

  /** A message dies that was never in the queue. */
  private dieAtOnce(
    words: Int32Array,
    e: number,
    flags: number,
    row: number,
    reason: DeathReason,
  ): void {
    if (this.settings.deadLetterExchange === undefined) return
    this.die(this.keep(words, e, flags, row), nowhere, reason)
  }

  /** Delivers what can be delivered. */
  pump(): void {
    this.bounds?.enforce()
    this.deliverReady()
    if (this.owed.count > 0) this.owed.answer(this.consumers, this.ready.size())
  }

  private deliverReady(): void {
    const ready = this.ready
    if (this.groups !== undefined) return this.groups.deliver(this)
    while (!ready.isEmpty()) {
      const c = this.consumers.pick()
      if (c === undefined) return
      if (!this.sender.canServe(c)) continue
      if (ready.levelToRead() >= 0) this.fetch()
      // What comes next is on its way from the disk.
      if (!ready.take()) return
      const position = ready.takenPosition
      if (this.isLate(ready.takenRow, position)) continue
      this.sendRow(c, ready.takenRow, position, ready.takenReturned)
      this.consumers.served(c)
    }
  }

  /** BoundedQueue. */
  isIdle(): boolean {
    return this.unackedCount === 0 && this.dyingCount === 0 && this.readyCount() === 0
  }

  /** GroupedQueue: whether `consumer` is in turn and can be sent a message. */
  canServe(consumer: Consumer): boolean {
    return consumer.blocked === 0 && !consumer.ended && this.sender.canServe(consumer)
  }

  /** GroupedQueue: sends a message that was taken. */
  deliver(consumer: Consumer, row: number, position: number, returned: boolean): void {
    this.sendRow(consumer, row, position, returned)
    this.consumers.served(consumer)
  }

  /** GroupedQueue: a message that was taken is too late, and dies. */
  isLate(row: number, position: number): boolean {
    if (this.bounds?.taken(row, position) !== true) return false
    this.levels.at(position)?.forget(position)
    this.die(row, position, 'expired')
    return true
  }

  /** GroupedQueue. */
  backAgain(row: number, position: number): void {
    if (this.bounds?.returned(row, position) === true) {
      this.levels.at(position)?.forget(position)
      this.die(row, position, 'expired')
      return
    }
    if (this.levels.at(position)?.takeBack(row, position) !== true) {
      this.ready.giveBack(row, position)
    }
    this.context.wake(this)
  }

  /** Takes one message for `basic.get` into `request`. False when there is none, or (then nothing changed) no room. */
  get(channel: ConsumerChannel, getter: Holder, request: number, noAck: boolean): GetOutcome {
    this.used()
    if (this.consumers.paused) return 'empty'
    this.bounds?.expireHead()
    const { ready } = this
    const first = ready.first()
    if (ready.levelToRead() >= 0) this.fetch()
    if (first < 0) return ready.size() === 0 ? 'empty' : 'full'
    if (!this.sender.hasRoomForGot(channel, first)) return 'full'
    ready.take()
    const position = ready.takenPosition
    this.bounds?.taken(first, position)
    const flags = this.flagsOf(position, ready.takenReturned)
    const id = noAck ? 0 : channel.unacked.push(first, position, getter.slot)
    this.sender.sendGot(channel, request, first, id, flags, ready.size())
    if (this.owed.count > 0) this.context.wake(this)
    if (noAck) this.drop(first, position)
    else {
      getter.unacked++
      this.unackedCount++
    }
    return 'sent'
  }

  settled(holder: Holder, row: number, position: number, outcome: number): void {
    holder.unacked--
    this.unackedCount--
    if (this.deleted) {
      this.context.messages.release(row)
      return
    }
    this.groups?.settled(holder, position, this)
    if (outcome === Outcome.complete) this.drop(row, position)
    else if (outcome === Outcome.discard) this.die(row, position, 'rejected')
    else this.takeBack(row, position, outcome === Outcome.requeueFailed)
  }

  /** QueueEnd: queues that count keep what consumers say of their messages; others do not (RabbitMQ 4.0). */
  annotate(row: number, position: number, headers: FieldTable): number {
    return this.counts === undefined || this.deleted
      ? row
      : this.counts.annotate(row, position, headers)
  }

  private takeBack(row: number, position: number, failed: boolean): void {
    const { counts } = this
    if (this.bounds?.returned(row, position) === true) {
      this.die(row, position, 'expired')
      return
    }
    if (counts !== undefined) {
      const word = counts.returned(position, failed)
      const limit = this.settings.deliveryLimit
      if (counts.isOver(word, limit)) {
        this.bounds?.left(row)
        this.die(row, position, 'delivery_limit')
        return
      }
      // Without a limit a message that keeps coming back must not hold up the others (RabbitMQ 4.0).
      const next = limit === undefined || limit >= 0 ? position : this.moveToEnd(row, position)
      counts.set(next, word)
      if (next !== position) return
      const delay = retryDelay(this.settings.delayedRetry, failed, failedOf(word))
      if (delay > 0) {
        this.bounds?.taken(row, position)
        this.retries ??= new DelayedRetries(this.context.clock, this.context.timers, this)
        this.retries.add(row, position, delay)
        return
      }
    }
    this.ready.giveBack(row, position)
    this.context.wake(this)
  }

  /** Returns the new position; the old one where the log has no room now. */
  private moveToEnd(row: number, position: number): number {
    const { messages, log } = this.context
    const extents = messages.extentsOf(row)
    const count = extents === undefined ? 0 : extents.length / extentWords
    if (this.log !== undefined && !log.hasRoom(count, 1)) return position
    messages.hold(row)
    const next = this.ready.push(row, levelOf(position))
    this.bounds?.moved(position, next)
    this.append(messages.flags[row] as number, next, row, this.bounds)
    this.drop(row, position)
    this.context.wake(this)
    return next
  }

  // HOT: once per settled delivery
  /** A delivery of `consumer` was settled: it may have come back under its prefetch. */
  afterSettle(consumer: Consumer): void {
    if ((consumer.blocked & Block.prefetch) !== 0 && consumer.unacked < consumer.prefetch) {
      this.unblock(consumer, Block.prefetch)
    }
  }

  unblock(consumer: Consumer, reason: number): void {
    if (!this.consumers.unblock(consumer, reason)) return
    this.groups?.freed(consumer, this)
    if (this.ready.size() > 0) this.context.wake(this)
  }

  /** Link credit for a credited consumer: as Record.linkCredit. */
  grantCredit(consumer: Consumer, deliveryCount: number, credit: number, flags: number): void {
    const { link } = consumer
    if (link === undefined) return
    const owed = link.grant(deliveryCount, credit, flags)
    if (link.credit > 0) this.unblock(consumer, Block.credit)
    else this.consumers.block(consumer, Block.credit)
    if (!owed) return
    this.owed.add(consumer)
    this.context.wake(this)
  }

  addConsumer(consumer: Consumer): void {
    if (this.singleActive && this.consumers.all.size > 0) consumer.blocked |= Block.waiting
    this.consumers.add(consumer)
    this.lease?.stop()
    if (this.ready.size() > 0) this.context.wake(this)
  }

  /** Its unsettled deliveries stay its own; the next consumer in line becomes the active one. */
  removeConsumer(consumer: Consumer): void {
    consumer.ended = true
    const wasActive = this.singleActive && (consumer.blocked & Block.waiting) === 0
    this.consumers.remove(consumer)
    this.used()
    if (!wasActive) return
    for (const next of this.consumers.all) {
      this.unblock(next, Block.waiting)
      return
    }
  }

  /** Drops all ready messages; returns how many. */
  purge(): number {
    this.groups?.putBackAll(this)
    this.retries?.putBackAll()
    const count = this.ready.size()
    this.levels.dropStored()
    this.ids?.emptied((position) => this.isLogged(position))
    while (this.ready.take()) this.drop(this.ready.takenRow, this.ready.takenPosition)
    this.bounds?.emptied()
    if (this.owed.count > 0) this.context.wake(this)
    return count
  }

  /** BacklogQueue. */
  dyingOf(position: number): DeathReason | undefined {
    return this.counts?.reasonOf(position)
  }

  /** BacklogQueue. */
  restoreExpiry(position: number, at: number): void {
    // What is dying already waits no more.
    if (this.dyingOf(position) !== undefined) return
    this.bounds ??= new Bounds(this, this.context, this.settings)
    this.bounds.restoreExpiry(position, at)
  }

  /** BacklogQueue. */
  restoreLevel(level: number): void {
    if (!(this.ready instanceof PriorityList)) this.prioritise('twoToOne')
    if (this.ready instanceof PriorityList) this.ready.level(level)
  }

  /** BacklogQueue. */
  readBack(): void {
    if (this.ready instanceof PriorityList) this.ready.lookAgain()
    this.bounds?.readBack()
    this.context.wake(this)
  }

  /** The queue is gone: its messages are dropped, also those that are settled later. */
  destroy(): void {
    this.groups?.putBackAll(this)
    this.retries?.putBackAll()
    this.deleted = true
    this.bounds?.destroy()
    this.ids?.destroy()
    this.lease?.stop()
    this.levels.destroy()
    while (this.ready.take()) this.context.messages.release(this.ready.takenRow)
  }

  /**
   * Parts with a message that is in no list any more: what becomes of it is up to the queue's settings.
   * Its row is held for the queue until then.
   */
  die(row: number, position: number, reason: DeathReason): void {
    this.bounds?.dying(position)
    // Who drains may have waited for this message.
    if (this.owed.count > 0) this.context.wake(this)
    if (this.settings.deadLetterExchange === undefined) {
      this.drop(row, position)
      return
    }
    if (this.atLeastOnce() && position !== nowhere) {
      this.counts?.setDying(position, reason)
      if (this.dyingCount >= dyingMax && this.levels.shelve(row, position)) return
    }
    this.dyingCount++
    this.context.deaths.add(this, row, position, reason)
  }

  /** RabbitMQ: only where publishers are refused rather than messages dropped. */
  atLeastOnce(): boolean {
    const { deadLetterStrategy, overflow } = this.settings
    return (
      this.counts !== undefined &&
      deadLetterStrategy === 'at-least-once' &&
      overflow === 'reject-publish'
    )
  }

  /** BoundedQueue: with a dead-letter exchange, it is read back for that. */
  dieOnDisk(position: number, reason: DeathReason): void {
    if (this.owed.count > 0) this.context.wake(this)
    const log = this.levels.logOf(position)
    if (log === undefined) return
    this.ids?.gone(position)
    if (this.settings.deadLetterExchange === undefined) {
      this.bounds?.gone(position)
      this.context.log.settle(log, position, 1)
      return
    }
    this.bounds?.dying(position)
    this.levels.lapse(position, reason)
  }

  isLogged(position: number): boolean {
    return this.levels.isLogged(position)
  }

  /** What comes next is to be read back. */
  fetch(): void {
    this.levels.fetch(this.ready.levelToRead())
  }

  /** Messages that are on disk only. */
  onDiskCount(): number {
    return this.levels.onDiskCount()
  }

  /** Takes one message that waits in memory out, to be `buried` or `unburied`. False when it is not there. */
  takeAt(position: number): boolean {
    const row = takeOut(this.ready, position)
    if (row < 0) return false
    this.bounds?.left(row)
    this.dyingCount++
    return true
  }

  /**
   * As `takeAt` for a message that was on disk only and has been read into `row`, held for this. Gives the
   * row that it has now, negative when it is not there any more.
   */
  takeStored(row: number, position: number): number {
    let found = row
    if (this.levels.at(position)?.borrow(position) !== true) {
      this.context.messages.release(row)
      found = takeOut(this.ready, position)
      if (found < 0) return found
    }
    if (this.isLate(found, position)) return -1
    this.dyingCount++
    return found
  }

  /** The first position from `from` on of what waits and is on disk only, and where it is logged. */
  nextStored(from: number): { readonly position: number; readonly log: QueueLog } | undefined {
    return this.levels.nextStored(from)
  }

  /** The message could not go: it waits again. */
  unburied(row: number, position: number): void {
    this.oneLessDying()
    if (this.deleted) this.context.messages.release(row)
    else this.backAgain(row, position)
  }

  buried(row: number, position: number): void {
    if (this.deleted) this.context.messages.release(row)
    else {
      this.levels.at(position)?.forget(position)
      this.drop(row, position)
    }
    this.oneLessDying()
  }

  private oneLessDying(): void {
    this.dyingCount--
    if (this.dyingCount === dyingRefill && !this.deleted) this.levels.goOnDying()
  }

  restoreMark(position: number, word: number): void {
    this.marks?.set(position, word)
  }

  /** BacklogQueue. */
  get annotations(): Annotations | undefined {
    return this.counts?.annotations
  }

  /** BacklogQueue. */
  restoreAnnotation(position: number, table: Uint8Array): void {
    this.counts?.restoreAnnotation(position, table)
  }

  private drop(row: number, position: number): void {
    this.counts?.forget(position)
    this.bounds?.gone(position)
    this.ids?.gone(position)
    const persistent = ((this.context.messages.flags[row] as number) & EntryFlag.persistent) !== 0
    if (this.log !== undefined && position !== nowhere && persistent) {
      const log = this.levels.logOf(position) as QueueLog
      this.context.log.settle(log, position, 1)
    }
    this.context.messages.release(row)
  }

  // HOT: once per publish and queue
  private keep(words: Int32Array, e: number, flags: number, row: number): number {
    if (row < 0) return this.context.messages.add(words, e, flags)
    this.context.messages.hold(row)
    return row
  }

  // HOT: once per publish and queue
  /** `bounds` know the time of the message. */
  private append(flags: number, position: number, row: number, bounds: Bounds | undefined): void {
    if (this.log !== undefined && (flags & EntryFlag.persistent) !== 0) {
      const log = this.levels.logOf(position) as QueueLog
      const expiry = bounds === undefined ? 0 : bounds.wallExpiry()
      this.logPosition = this.context.log.enqueue(log, position, row, expiry)
    }
  }

  // HOT: once per delivery
  /** Sends a kept message; the sender has said that it can. */
  private sendRow(c: Consumer, row: number, position: number, returned: boolean): void {
    this.sender.sendRow(c, row, position, this.flagsOf(position, returned))
    if (c.noAck) this.drop(row, position)
    else this.unackedCount++
  }

  /** Of a delivery. */
  private flagsOf(position: number, returned: boolean): number {
    const counted = this.counts === undefined ? 0 : this.counts.flagsOf(position)
    return returned ? counted | EntryFlag.redelivered : counted
  }

  /** The level of a fresh message with these flags. */
  private levelFor(flags: number): number {
    const priority = priorityOf(flags)
    if (this.counts === undefined) return Math.min(priority, this.settings.priorityMax ?? 0)
    // Quorum queues of RabbitMQ 4.0 know two: above 4, and the others.
    if (priority <= 4) return 0
    if (!(this.ready instanceof PriorityList)) this.prioritise('twoToOne')
    return 1
  }

  private prioritise(rule: PriorityRule): void {
    const { levels } = this
    this.ready = new PriorityList(rule, levels.lowest, (level) => levels.open(level))
    this.bounds ??= new Bounds(this, this.context, this.settings)
  }
}

/** The priority of a publish. */
const priorityFlags: number = 255 << priorityShift

/** In place of a position: the message was never in the queue. */
const nowhere = -1
