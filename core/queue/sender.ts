// Puts deliveries on the rings to gateways, as far as consumers may be served.

import {
  deliverWords,
  deliveryCost,
  EntryFlag,
  entryWords,
  extentsMax,
  extentWords,
  Record,
} from '../../shared/bus/wire.ts'
import type { MessageTable } from '../message/message-table.ts'
import type { Consumer, ConsumerChannel, ConsumerRing } from './consumer.ts'
import { Block } from './consumer.ts'
import { commitDelivery } from './delivery-record.ts'

/** For the consumers of one queue. */
export class Sender {
  private readonly consumers: ConsumerRing
  private readonly messages: MessageTable
  private readonly want: (channel: ConsumerChannel) => void

  /** `want`: as in QueueContext. */
  constructor(
    consumers: ConsumerRing,
    messages: MessageTable,
    want: (channel: ConsumerChannel) => void,
  ) {
    this.consumers = consumers
    this.messages = messages
    this.want = want
  }

  // HOT: once per delivery
  /** Whether `c` can be sent a message now; if not it is blocked and out of turn. */
  canServe(c: Consumer): boolean {
    const { channel } = c
    if (channel.window.bytes <= 0) {
      this.consumers.block(c, Block.window)
      channel.window.stalled.push(c)
      return false
    }
    if (channel.tokenMode && !c.noAck && channel.tokens === 0) {
      this.consumers.block(c, Block.token)
      channel.starved.push(c)
      this.want(channel)
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
  sendEntry(c: Consumer, words: Int32Array, e: number): boolean {
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
  /** Sends a kept message; `canServe` has said yes. `flags`: of the delivery, but for `settled`. */
  sendRow(c: Consumer, row: number, position: number, flags: number): void {
    const { channel } = c
    const { outlet } = channel
    const { messages } = this
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
    words[index + 3] = c.noAck ? flags | EntryFlag.settled : flags
    messages.writeEntry(row, words, index + 4)
    channel.window.bytes -= deliveryCost(
      messages.exrkSize[row] as number,
      messages.propsSize[row] as number,
      messages.bodySize[row] as number,
    )
    commitDelivery(outlet, size, messages.slab[row] as number, extents)
    if (c.link?.spend()) this.consumers.block(c, Block.credit)
    if (c.noAck) return
    c.unacked++
    if (channel.tokenMode) channel.tokens--
    if (c.prefetch !== 0 && c.unacked >= c.prefetch) this.consumers.block(c, Block.prefetch)
  }

  /** Whether the message of `row` can be sent to whoever asked for one (`basic.get`). */
  hasRoomForGot(channel: ConsumerChannel, row: number): boolean {
    return channel.outlet.lane.hasRoom(this.gotWords(row))
  }

  /** Sends it, as the answer to `request`; `id` 0: it is settled. `ready` messages are left. */
  sendGot(
    { outlet }: ConsumerChannel,
    request: number,
    row: number,
    id: number,
    flags: number,
    ready: number,
  ): void {
    const { messages } = this
    const size = this.gotWords(row)
    const index = outlet.lane.reserve(size)
    const { words } = outlet.lane.ring
    words[index] = (size << 8) | Record.got
    words[index + 1] = request
    words[index + 2] = id
    words[index + 3] = id === 0 ? flags | EntryFlag.settled : flags
    messages.writeEntry(row, words, index + 4)
    words[index + size - 1] = ready
    commitDelivery(outlet, size, messages.slab[row] as number, messages.extentsOf(row))
  }

  private gotWords(row: number): number {
    return deliverWords + (this.messages.extentsOf(row)?.length ?? 0) + 1
  }
}

/** Room that `canServe` asks for, in words: a delivery with as many extents as there can be. */
const deliverRoom: number = deliverWords + 2 + extentsMax * extentWords
