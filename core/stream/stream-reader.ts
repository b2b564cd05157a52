// One consumer of a stream: what has come from the log for it and not been delivered, and how much more
// may come. Prefetch (or link credit) says what may be delivered; reading goes a little ahead of that.

import {
  deliverWords,
  deliveryCost,
  EntryFlag,
  entryWords,
  extentsMax,
  extentWords,
  LinkFlag,
  Record,
} from '../../shared/bus/wire.ts'
import type { CursorOwner, StreamCursor } from '../log/stream-log.ts'
import type { MessageTable } from '../message/message-table.ts'
import type { Consumer } from '../queue/consumer.ts'
import { Block } from '../queue/consumer.ts'
import { AckWindow } from './ack-window.ts'
import type { ActiveGroup, GroupMember } from './active-group.ts'
import type { ReadOptions, StreamQueue } from './stream-queue.ts'

/** Messages that may be read ahead, at least and at most: bytes are bounded by who reads. */
const aheadMin = 64
const aheadMax = 2048
/** Progress of a named consumer is stored after so many messages, and when it ends. */
const storeEvery = 500

/** Room for a delivery with as many extents as there can be, in words. */
const deliverRoom: number = deliverWords + extentsMax * extentWords

export class StreamReader implements CursorOwner, GroupMember {
  /** It is on its stream's list of readers to pump. */
  touched: boolean
  private readonly stream: StreamQueue
  private readonly consumer: Consumer
  private readonly options: ReadOptions
  private readonly messages: MessageTable
  private cursor: StreamCursor | undefined
  /** Rows and offsets that wait for the consumer, from `head` on. */
  private rows: number[]
  private offsets: number[]
  private head: number
  /** Messages that were asked for and have not come. */
  private asked: number
  /** What was taken since the last `allow`. */
  private takenBytes: number
  private caughtUpTo: number
  private linkOwed: boolean
  private group: ActiveGroup | undefined
  private readonly acks: AckWindow | undefined
  private ackedTo: number
  private storedTo: number
  private acksSinceStore: number
  /** Words behind a delivery's extents: its offset, where the consumer asked for positions. */
  private readonly extraWords: number

  constructor(
    stream: StreamQueue,
    consumer: Consumer,
    options: ReadOptions,
    messages: MessageTable,
  ) {
    this.touched = false
    this.stream = stream
    this.consumer = consumer
    this.options = options
    this.messages = messages
    this.cursor = undefined
    this.rows = []
    this.offsets = []
    this.head = 0
    this.asked = 0
    this.takenBytes = 0
    this.caughtUpTo = -1
    this.linkOwed = false
    this.group = undefined
    this.acks = options.name === undefined ? undefined : new AckWindow()
    this.ackedTo = -1
    this.storedTo = -1
    this.acksSinceStore = 0
    this.extraWords = consumer.positions ? 2 : 0
  }

  /** It is one of several consumers of a name, and reads when its turn comes. */
  join(group: ActiveGroup): void {
    this.group = group
    this.stream.consumers.block(this.consumer, Block.waiting)
    group.add(this)
  }

  activate(): void {
    const { name, from, filter, matchUnfiltered } = this.options
    const stored = name === undefined ? undefined : this.stream.storedOffset(name)
    const start = stored === undefined ? from : ({ kind: 'offset', value: stored + 1 } as const)
    this.cursor = this.stream.log.openCursor({ from: start, filter, matchUnfiltered }, this)
    this.stream.consumers.unblock(this.consumer, Block.waiting)
    this.stream.touch(this)
  }

  /** Only a super stream takes an active consumer's turn away; AMQP consumers have no part in those. */
  deactivate(done: () => void): void {
    done()
  }

  /** The consumer is gone. */
  end(): void {
    this.cursor?.close()
    this.cursor = undefined
    for (let i = this.head; i < this.rows.length; i++) this.messages.release(this.rows[i] as number)
    this.rows = []
    this.offsets = []
    this.head = 0
    this.store()
    this.group?.remove(this)
  }

  /** Delivers what can be, asks for more. */
  pump(): void {
    this.touched = false
    const { consumer } = this
    if (consumer.ended) return
    while (this.head < this.rows.length && consumer.blocked === 0 && this.canServe()) {
      this.sendRow(this.rows[this.head] as number, this.offsets[this.head] as number)
      this.head++
    }
    if (this.head === this.rows.length && this.head > 0) {
      this.rows.length = 0
      this.offsets.length = 0
      this.head = 0
    }
    this.ask()
    if (this.linkOwed) this.answerLink()
  }

  // HOT: once per message read
  onEntry(offset: number, words: Int32Array, e: number, flags: number): void {
    const { consumer } = this
    this.asked--
    if (consumer.blocked === 0 && this.head === this.rows.length && this.canServe()) {
      this.sendEntry(words, e, offset)
    } else {
      this.rows.push(this.messages.add(words, e, flags))
      this.offsets.push(offset)
    }
    if (this.asked < aheadMin >> 1 || this.takenBytes > 8192) this.stream.touch(this)
  }

  onCaughtUp(offset: number): void {
    this.caughtUpTo = offset
    if (this.linkOwed) this.stream.touch(this)
  }

  /** A delivery was settled. */
  settled(offset: number): void {
    if (this.acks === undefined) return
    const upTo = this.acks.settle(offset)
    if (upTo < 0) return
    this.ackedTo = upTo
    if (++this.acksSinceStore >= storeEvery) this.store()
  }

  afterSettle(): void {
    const { consumer } = this
    if ((consumer.blocked & Block.prefetch) !== 0 && consumer.unacked < consumer.prefetch) {
      this.stream.unblock(consumer, Block.prefetch)
    }
  }

  grantCredit(deliveryCount: number, credit: number, flags: number): void {
    const { consumer } = this
    const { link } = consumer
    if (link === undefined) return
    if (link.grant(deliveryCount, credit, flags)) this.linkOwed = true
    if (link.credit > 0) this.stream.consumers.unblock(consumer, Block.credit)
    else this.stream.consumers.block(consumer, Block.credit)
    this.stream.touch(this)
  }

  private store(): void {
    const { name } = this.options
    this.acksSinceStore = 0
    if (name === undefined || this.ackedTo < 0 || this.ackedTo === this.storedTo) return
    this.storedTo = this.ackedTo
    this.stream.storeOffset(name, this.ackedTo)
  }

  /** Lets the log bring more when half of what it may bring has come. */
  private ask(): void {
    if (this.cursor === undefined) return
    const { link, prefetch } = this.consumer
    const wanted = link === undefined ? prefetch * 2 : link.credit
    const ahead = Math.min(aheadMax, Math.max(aheadMin, wanted))
    const missing = ahead - this.asked - (this.rows.length - this.head)
    const more = missing > ahead >> 1 ? missing : 0
    if (more === 0 && this.takenBytes === 0) return
    this.cursor.allow(more, this.takenBytes)
    this.asked += more
    this.takenBytes = 0
  }

  /** Tells a credited consumer how it stands; one that drains is sent first what there is. */
  private answerLink(): void {
    const { consumer, stream } = this
    const { link } = consumer
    if (link === undefined) return
    const isEmpty = this.head === this.rows.length && this.caughtUpTo >= stream.end.next
    const { drain } = link
    if (drain && link.credit > 0) {
      if (!isEmpty && (consumer.blocked & Block.waiting) === 0) return
      link.useUp()
      stream.consumers.block(consumer, Block.credit)
    }
    this.linkOwed = false
    link.answered()
    const flags = drain ? LinkFlag.drain : 0
    const available = isEmpty ? 0 : Math.max(1, this.rows.length - this.head)
    const { lane } = consumer.channel.outlet
    lane.short(Record.linkState, consumer.id, link.deliveryCount, link.credit, available, flags)
  }

  // HOT: once per delivery
  private canServe(): boolean {
    const c = this.consumer
    const { channel } = c
    if (channel.window.bytes <= 0) {
      this.stream.consumers.block(c, Block.window)
      channel.window.stalled.push(c)
      return false
    }
    if (!channel.outlet.lane.hasRoom(deliverRoom)) {
      this.stream.consumers.block(c, Block.ring)
      channel.outlet.stalled.push(c)
      return false
    }
    return true
  }

  // HOT: once per delivery that need not wait
  private sendEntry(words: Int32Array, e: number, offset: number): void {
    const { outlet } = this.consumer.channel
    const extents = (words[e + 6] as number) * extentWords
    const size = deliverWords + extents + this.extraWords
    const index = outlet.lane.reserve(size)
    const to = outlet.lane.ring.words
    for (let i = 0; i < entryWords + extents; i++) to[index + 4 + i] = words[e + i] as number
    this.finish(to, index, size, offset)
  }

  private sendRow(row: number, offset: number): void {
    const { outlet } = this.consumer.channel
    const extents = this.messages.extentsOf(row)
    const size = deliverWords + (extents === undefined ? 0 : extents.length) + this.extraWords
    const index = outlet.lane.reserve(size)
    const to = outlet.lane.ring.words
    this.messages.writeEntry(row, to, index + 4)
    this.finish(to, index, size, offset)
    this.messages.release(row)
  }

  // HOT: once per delivery
  private finish(to: Int32Array, index: number, size: number, offset: number): void {
    const c = this.consumer
    const { channel } = c
    const { lane, lastReference } = channel.outlet
    to[index] = (size << 8) | Record.deliver
    to[index + 1] = c.id
    // The row says only that it is not settled: there is none.
    to[index + 2] = c.noAck ? 0 : channel.unacked.push(0, offset, c.slot)
    to[index + 3] = EntryFlag.headers | (c.noAck ? EntryFlag.settled : 0)
    const cost =
      (to[index + 6] as number) +
      (to[index + 7] as number) +
      (to[index + 8] as number) +
      (to[index + 9] as number)
    channel.window.bytes -= deliveryCost(
      to[index + 6] as number,
      to[index + 8] as number,
      to[index + 9] as number,
    )
    this.takenBytes += cost
    lane.ring.commit(size)
    const { total } = lane.ring
    lastReference[to[index + 4] as number] = total
    const end = index + size - this.extraWords
    if (c.positions) {
      to[end] = offset | 0
      to[end + 1] = Math.floor(offset / 0x100000000)
    }
    for (let i = index + deliverWords; i < end; i += extentWords) {
      lastReference[to[i] as number] = total
    }
    if (c.link?.spend()) this.stream.consumers.block(c, Block.credit)
    if (c.noAck) return
    this.acks?.push(offset)
    this.stream.unackedCount++
    c.unacked++
    if (c.prefetch !== 0 && c.unacked >= c.prefetch) this.stream.consumers.block(c, Block.prefetch)
  }
}
