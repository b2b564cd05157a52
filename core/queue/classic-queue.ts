// A classic queue: messages in order, consumers in turn, deliveries that may come back.

import {
  deliverWords,
  deliveryCost,
  EntryFlag,
  entryWords,
  extentsMax,
  extentWords,
  LinkFlag,
  Outcome,
  Record,
} from '../../shared/bus/wire.ts'
import type { BacklogOwner, Log, QueueLog } from '../log/log.ts'
import type { MessageTable } from '../message/message-table.ts'
import type { ShardClock } from '../time/clock.ts'
import type { TimerWheel } from '../time/timer-wheel.ts'
import type { QueueSettings } from '../topology/queue-settings.ts'
import type { BoundedQueue } from './bounds.ts'
import { Bounds, needsBounds } from './bounds.ts'
import type { Consumer, ConsumerChannel, Outlet } from './consumer.ts'
import { Block, ConsumerRing } from './consumer.ts'
import type { DeathReason, DeathSink, DyingQueue } from './death.ts'
import { DeliveryCounts } from './delivery-counts.ts'
import type { Holder } from './holder.ts'
import { Lease } from './lease.ts'
import type { Marks } from './marks.ts'
import type { GetOutcome, Queue } from './queue.ts'
import { ReadyList } from './ready-list.ts'

/** What all queues of a shard share. */
export interface QueueContext {
  readonly messages: MessageTable
  readonly log: Log
  /** Bytes of messages that a queue keeps in memory when they are on disk too. */
  readonly queueMemoryBudget: number
  readonly clock: ShardClock
  readonly timers: TimerWheel
  readonly deaths: DeathSink
  /** Asks for `pump` before the batch ends. */
  readonly wake: (queue: Queue) => void
  /** The queue was not used for as long as it may: it is to be deleted. */
  readonly unused: (queue: Queue) => void
  /** Tells the gateway that a channel with global prefetch could use a token. */
  readonly want: (channel: ConsumerChannel) => void
}

export class ClassicQueue implements Queue, BacklogOwner, DyingQueue, BoundedQueue {
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
  /** BacklogOwner. */
  readonly marks: Marks | undefined
  /** In queues that count deliveries (quorum queues). */
  private readonly counts: DeliveryCounts | undefined
  /** It is on the list of queues to pump. */
  woken: boolean
  deleted: boolean
  /** Position in the log of the last message that `accept` appended; 0 if it needed none. */
  logPosition: number
  refused: boolean
  readonly ready: ReadyList
  private readonly context: QueueContext
  /** Undefined in a transient queue. */
  private readonly log: QueueLog | undefined
  /** Credited consumers that wait to hear how they stand. */
  private owed: Consumer[]
  /** Undefined while nothing bounds its messages. */
  private bounds: Bounds | undefined
  private lease: Lease | undefined

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
    this.ready = new ReadyList()
    this.context = context
    this.log = durable ? context.log.openQueue(id, this) : undefined
    const counts = settings.type === 'quorum'
    this.counts = counts ? new DeliveryCounts(context.log, this.log) : undefined
    this.marks = this.counts?.marks
    this.owed = []
    this.bounds = undefined
    this.lease = undefined
    this.configure(settings)
  }

  /** Takes other settings (a policy has changed). Those that are for a queue's life stay. */
  configure(settings: QueueSettings): void {
    this.settings = settings
    if (this.bounds !== undefined) this.bounds.configure(settings)
    else if (needsBounds(settings)) this.bounds = new Bounds(this, this.context, settings)
    if (settings.expiresMs === undefined) this.lease?.stop()
    this.used()
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
    return this.ready.size()
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
    if (this.bounds !== undefined || (flags & EntryFlag.expiration) !== 0) {
      return this.acceptBounded(words, e, flags, row)
    }
    if (this.ready.size() === 0) {
      for (let c = this.consumers.pick(); c !== undefined; c = this.consumers.pick()) {
        if (c.noAck) {
          if (!this.sendEntry(c, words, e)) continue
          this.ready.pass()
          this.consumers.served(c)
          return row
        }
        if (!this.canServe(c)) continue
        const kept = this.keep(words, e, flags, row)
        const position = this.ready.pass()
        this.append(flags, position, kept)
        this.sendRow(c, kept, position, false)
        this.consumers.served(c)
        return kept
      }
    }
    const kept = this.keep(words, e, flags, row)
    const position = this.ready.push(kept)
    this.append(flags, position, kept)
    return kept
  }

  // HOT: once per publish to a bounded queue
  /** `accept` where messages may expire or be too many. */
  private acceptBounded(words: Int32Array, e: number, flags: number, row: number): number {
    this.bounds ??= new Bounds(this, this.context, this.settings)
    const { bounds } = this
    this.refused = bounds.refuses(words[e + 5] as number)
    if (this.refused) {
      if (bounds.deadLettersRefused()) this.dieAtOnce(words, e, flags, row, 'maxlen')
      return row
    }
    const expiry = bounds.expiryOf(words, e, flags)
    if (this.ready.size() === 0) {
      for (let c = this.consumers.pick(); c !== undefined; c = this.consumers.pick()) {
        if (c.noAck) {
          if (!this.sendEntry(c, words, e)) continue
          this.ready.pass()
          this.consumers.served(c)
          return row
        }
        if (!this.canServe(c)) continue
        const kept = this.keep(words, e, flags, row)
        const position = this.ready.pass()
        this.append(flags, position, kept)
        bounds.passed(position, expiry)
        this.sendRow(c, kept, position, false)
        this.consumers.served(c)
        return kept
      }
    }
    if (expiry !== 0 && expiry <= this.context.clock.now) {
      this.dieAtOnce(words, e, flags, row, 'expired')
      return row
    }
    const kept = this.keep(words, e, flags, row)
    const position = this.ready.push(kept)
    this.append(flags, position, kept)
    bounds.queued(kept, position, expiry)
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
    if (this.owed.length > 0) this.answerLinks()
  }

  private deliverReady(): void {
    const ready = this.ready
    while (ready.size() > 0) {
      const c = this.consumers.pick()
      if (c === undefined) return
      if (!this.canServe(c)) continue
      if (ready.wantsMore()) this.fetch()
      // What comes next is on its way from the disk.
      if (!ready.take()) return
      if (this.bounds?.taken(ready.takenRow, ready.takenPosition) === true) {
        this.die(ready.takenRow, ready.takenPosition, 'expired')
        continue
      }
      this.sendRow(c, ready.takenRow, ready.takenPosition, ready.takenReturned)
      this.consumers.served(c)
    }
  }

  /** Takes one message for `basic.get` into `request`. False when there is none, or (then nothing changed) no room. */
  get(channel: ConsumerChannel, getter: Holder, request: number, noAck: boolean): GetOutcome {
    this.used()
    this.bounds?.expireHead()
    const first = this.ready.first()
    if (this.ready.wantsMore()) this.fetch()
    if (first < 0) return this.ready.size() === 0 ? 'empty' : 'full'
    const extents = this.context.messages.extentsOf(first)
    const size = deliverWords + (extents === undefined ? 0 : extents.length) + 1
    const index = channel.outlet.lane.reserve(size)
    if (index < 0) return 'full'
    const { ready } = this
    ready.take()
    this.bounds?.taken(first, ready.takenPosition)
    const words = channel.outlet.lane.ring.words
    words[index] = (size << 8) | Record.got
    words[index + 1] = request
    words[index + 2] = noAck ? 0 : channel.unacked.push(first, ready.takenPosition, getter.slot)
    words[index + 3] =
      (noAck ? EntryFlag.settled : 0) |
      (ready.takenReturned ? EntryFlag.redelivered : 0) |
      (this.counts === undefined ? 0 : this.counts.flagsOf(ready.takenPosition))
    this.context.messages.writeEntry(first, words, index + 4)
    words[index + size - 1] = this.ready.size()
    this.commit(channel.outlet, size, first, extents)
    if (this.owed.length > 0) this.context.wake(this)
    if (noAck) this.drop(first, ready.takenPosition)
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
    if (outcome === Outcome.complete) this.drop(row, position)
    else if (outcome === Outcome.discard) this.die(row, position, 'rejected')
    else this.takeBack(row, position, outcome === Outcome.requeueFailed)
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
    const next = this.ready.push(row)
    this.append(messages.flags[row] as number, next, row)
    this.bounds?.moved(position, next)
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
    if (this.consumers.unblock(consumer, reason) && this.ready.size() > 0) this.context.wake(this)
  }

  /** Link credit for a credited consumer: as Record.linkCredit. */
  grantCredit(consumer: Consumer, deliveryCount: number, credit: number, flags: number): void {
    const { link } = consumer
    if (link === undefined) return
    const owed = link.grant(deliveryCount, credit, flags)
    if (link.credit > 0) this.unblock(consumer, Block.credit)
    else this.consumers.block(consumer, Block.credit)
    if (!owed) return
    if (!this.owed.includes(consumer)) this.owed.push(consumer)
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
    const count = this.ready.size()
    const { diskFrom, to } = this.ready.stored
    if (this.log !== undefined && this.ready.stored.drop() > 0) {
      this.context.log.settle(this.log, diskFrom, to - diskFrom)
    }
    this.bounds?.emptied()
    while (this.ready.take()) this.drop(this.ready.takenRow, this.ready.takenPosition)
    if (this.owed.length > 0) this.context.wake(this)
    return count
  }

  /** After a restart: message `row` (which the caller has held) was in the queue at `position`. In rising order. */
  restore(row: number, position: number): void {
    const reason = this.counts?.reasonOf(position)
    if (reason !== undefined) {
      this.die(row, position, reason)
      return
    }
    this.ready.restore(row, position)
  }

  /** After a restart: the `count` messages in [from, to) are on disk only. */
  restoreStored(count: number, from: number, to: number): void {
    this.ready.restoreStored(count, from, to)
  }

  pageOut(to: number): void {
    this.ready.pageOut(to, this.context.queueMemoryBudget, this.context.messages)
  }

  undeliveredFrom(): number {
    return this.ready.deliveredTo
  }

  storedFrom(): number {
    const { stored } = this.ready
    return stored.onDisk === 0 ? stored.to : stored.diskFrom
  }

  storedTo(): number {
    return this.ready.stored.to
  }

  load(row: number, position: number): void {
    const reason = this.counts?.reasonOf(position)
    if (reason === undefined)
      this.ready.stored.load(row, position, this.context.messages.bodySize[row] as number)
    else {
      this.ready.stored.loadAside(position, this.context.messages.bodySize[row] as number)
      this.die(row, position, reason)
    }
  }

  loadEnd(exhausted: boolean): number {
    const missing = this.ready.stored.loadEnd(exhausted)
    this.context.wake(this)
    return missing
  }

  /** After a restart: fresh messages get positions from `position` on. */
  restoreEnd(next: number, deliveredTo: number): void {
    this.ready.startAt(next, deliveredTo)
  }

  /** The queue is gone: its messages are dropped, also those that are settled later. */
  destroy(): void {
    this.deleted = true
    this.bounds?.destroy()
    this.lease?.stop()
    this.ready.stored.drop()
    if (this.log !== undefined) this.context.log.deleteQueue(this.log)
    while (this.ready.take()) this.context.messages.release(this.ready.takenRow)
  }

  /**
   * Parts with a message that is in no list any more: what becomes of it is up to the queue's settings.
   * Its row is held for the queue until then.
   */
  die(row: number, position: number, reason: DeathReason): void {
    this.bounds?.gone(position)
    if (this.settings.deadLetterExchange === undefined) {
      this.drop(row, position)
      return
    }
    if (this.atLeastOnce()) this.counts?.setDying(position, reason)
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

  /** A message that is on disk only has expired, and is in no list any more. */
  dieOnDisk(position: number): void {
    if (this.log !== undefined) this.context.log.settle(this.log, position, 1)
  }

  isLogged(position: number): boolean {
    return this.log !== undefined && this.context.log.isAlive(this.log, position)
  }

  /** What comes next is to be read back. */
  fetch(): void {
    if (this.log !== undefined) this.context.log.fetch(this.log)
  }

  buried(row: number, position: number): void {
    this.dyingCount--
    if (this.deleted) this.context.messages.release(row)
    else this.drop(row, position)
  }

  /** Tells credited consumers how they stand; one that drains has to be sent what there is first. */
  private answerLinks(): void {
    const { owed } = this
    this.owed = []
    const available = this.ready.size()
    for (const c of owed) {
      const { link } = c
      if (link === undefined || c.ended) continue
      const drain = link.drain
      if (drain && link.credit > 0) {
        // Not now for want of window, ring or disk: whoever has room again pumps again.
        if (available > 0 && (c.blocked & Block.waiting) === 0) {
          this.owed.push(c)
          continue
        }
        link.useUp()
        this.consumers.block(c, Block.credit)
      }
      link.answered()
      const { lane } = c.channel.outlet
      const flags = drain ? LinkFlag.drain : 0
      lane.short(Record.linkState, c.id, link.deliveryCount, link.credit, available, flags)
    }
  }

  restoreMark(position: number, word: number): void {
    this.marks?.set(position, word)
  }

  private drop(row: number, position: number): void {
    this.counts?.forget(position)
    this.bounds?.gone(position)
    if (
      this.log !== undefined &&
      position !== nowhere &&
      ((this.context.messages.flags[row] as number) & EntryFlag.persistent) !== 0
    ) {
      this.context.log.settle(this.log, position, 1)
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
  private append(flags: number, position: number, row: number): void {
    if (this.log !== undefined && (flags & EntryFlag.persistent) !== 0) {
      this.logPosition = this.context.log.enqueue(this.log, position, row)
    }
  }

  // HOT: once per delivery
  /** Whether `c` can be sent a message now; if not it is blocked and out of turn. */
  private canServe(c: Consumer): boolean {
    const { channel } = c
    if (channel.window.bytes <= 0) {
      this.consumers.block(c, Block.window)
      channel.window.stalled.push(c)
      return false
    }
    if (channel.tokenMode && !c.noAck && channel.tokens === 0) {
      this.consumers.block(c, Block.token)
      channel.starved.push(c)
      this.context.want(channel)
      return false
    }
    if (!channel.outlet.lane.hasRoom(deliverRoom)) {
      this.consumers.block(c, Block.ring)
      channel.outlet.stalled.push(c)
      return false
    }
    return true
  }

  // HOT: once per delivery without acknowledgement
  /** Sends the entry of a publish record to a consumer that need not acknowledge. */
  private sendEntry(c: Consumer, words: Int32Array, e: number): boolean {
    if (!this.canServe(c)) return false
    const { outlet, window } = c.channel
    const extents = (words[e + 6] as number) * extentWords
    const size = deliverWords + extents
    const index = outlet.lane.reserve(size)
    const to = outlet.lane.ring.words
    to[index] = (size << 8) | Record.deliver
    to[index + 1] = c.id
    to[index + 2] = 0
    to[index + 3] = EntryFlag.settled
    const slab = words[e] as number
    const exrkSize = words[e + 2] as number
    const propsSize = words[e + 4] as number
    const bodySize = words[e + 5] as number
    to[index + 4] = slab
    to[index + 5] = words[e + 1] as number
    to[index + 6] = exrkSize
    to[index + 7] = words[e + 3] as number
    to[index + 8] = propsSize
    to[index + 9] = bodySize
    to[index + 10] = words[e + 6] as number
    outlet.lane.ring.commit(size)
    outlet.lastReference[slab] = outlet.lane.ring.total
    if (extents > 0) {
      for (let i = 0; i < extents; i++)
        to[index + deliverWords + i] = words[e + entryWords + i] as number
      for (let i = 0; i < extents; i += extentWords) {
        outlet.lastReference[words[e + entryWords + i] as number] = outlet.lane.ring.total
      }
    }
    window.bytes -= deliveryCost(exrkSize, propsSize, bodySize)
    if (c.link?.spend()) this.consumers.block(c, Block.credit)
    return true
  }

  // HOT: once per delivery
  /** Sends a kept message; `canServe` has said yes. */
  private sendRow(c: Consumer, row: number, position: number, returned: boolean): void {
    const { channel } = c
    const { outlet } = channel
    const { messages } = this.context
    const extents = messages.extentsOf(row)
    const size = deliverWords + (extents === undefined ? 0 : extents.length) + (c.positions ? 2 : 0)
    const index = outlet.lane.reserve(size)
    const words = outlet.lane.ring.words
    if (c.positions) {
      words[index + size - 2] = position | 0
      words[index + size - 1] = Math.floor(position / 0x1_0000_0000)
    }
    words[index] = (size << 8) | Record.deliver
    words[index + 1] = c.id
    words[index + 2] = c.noAck ? 0 : channel.unacked.push(row, position, c.slot)
    words[index + 3] =
      (c.noAck ? EntryFlag.settled : 0) |
      (returned ? EntryFlag.redelivered : 0) |
      (this.counts === undefined ? 0 : this.counts.flagsOf(position))
    messages.writeEntry(row, words, index + 4)
    channel.window.bytes -= deliveryCost(
      messages.exrkSize[row] as number,
      messages.propsSize[row] as number,
      messages.bodySize[row] as number,
    )
    this.commit(outlet, size, row, extents)
    if (c.link?.spend()) this.consumers.block(c, Block.credit)
    if (c.noAck) {
      this.drop(row, position)
      return
    }
    this.unackedCount++
    c.unacked++
    if (channel.tokenMode) channel.tokens--
    if (c.prefetch !== 0 && c.unacked >= c.prefetch) this.consumers.block(c, Block.prefetch)
  }

  // HOT: once per delivery
  private commit(outlet: Outlet, size: number, row: number, extents: Int32Array | undefined): void {
    outlet.lane.ring.commit(size)
    const { total } = outlet.lane.ring
    outlet.lastReference[this.context.messages.slab[row] as number] = total
    if (extents === undefined) return
    for (let i = 0; i < extents.length; i += extentWords) {
      outlet.lastReference[extents[i] as number] = total
    }
  }
}

/** In place of a position: the message was never in the queue. */
const nowhere = -1

/** Room that `canServe` asks for, in words: a delivery with as many extents as there can be. */
const deliverRoom: number = deliverWords + 2 + extentsMax * extentWords
