// What a session sends: deliveries to transfer frames, within the client's incoming-window (2.5.6).
//
// Most deliveries are one frame and go out at once. What finds the window shut, or is larger than a
// frame, waits in `pending`, in order; a shard sends no more than the connection's window of bytes
// ahead, so that is bounded.

import type { GatewayLink } from '../../../shared/bus/gateway-port.ts'
import { deliveryCost, entryWords, extentWords } from '../../../shared/bus/wire.ts'
import { copyBytes } from '../../../shared/bytes/copy.ts'
import {
  encodeFlow,
  encodeTransfer,
  FLOW_SIZE_MAX,
  TRANSFER_SIZE_MAX,
} from '../codec/frame-writer.ts'
import { MessageOut } from '../mapping/message-out.ts'
import { BodyLayout } from '../mapping/native-part.ts'
import type { ConnectionContext } from './connection-context.ts'
import type { IncomingWindow } from './incoming-window.ts'
import { MessagePieces } from './message-pieces.ts'
import { advance, distance } from './serial-number.ts'
import type { UnsettledMap } from './unsettled-map.ts'

/** A link as what is sent on it needs it. */
export interface SendingLink {
  readonly handle: number
  readonly settled: boolean
  /** Largest message that the client takes, bytes. */
  readonly messageSizeMax: number
  /** False: detached. */
  readonly live: boolean
  /** A delivery is larger than `messageSizeMax`. */
  onTooLarge(size: number): void
}

/** A delivery that is not sent whole. */
interface PendingDelivery {
  readonly kind: 'delivery'
  readonly link: SendingLink
  readonly from: GatewayLink
  /** Its entry words. */
  readonly words: Int32Array
  readonly busId: number
  readonly flags: number
  /** -1: nothing is sent. */
  deliveryId: number
  /** Bytes of the message that are sent. */
  sent: number
}

/** How a link stands, to be told behind the deliveries that it counts. */
interface PendingFlow {
  readonly kind: 'flow'
  readonly link: SendingLink
  readonly deliveryCount: number
  readonly credit: number
  readonly available: number
  readonly drain: boolean
}

/** A message of our own, settled. */
interface PendingMessage {
  readonly kind: 'message'
  readonly link: SendingLink
  readonly bytes: Uint8Array
  deliveryId: number
  sent: number
}

type Pending = PendingDelivery | PendingFlow | PendingMessage

export class OutgoingTransfers {
  /** The id of the next transfer frame. */
  nextOutgoingId: number
  private readonly context: ConnectionContext
  private readonly channel: number
  private readonly unsettled: UnsettledMap
  private readonly incoming: IncomingWindow
  private nextDeliveryId: number
  /** Transfer frames that the client takes. */
  private window: number
  /** From `pendingAt` on; empty when nothing waits. */
  private pending: Pending[]
  private pendingAt: number

  constructor(
    context: ConnectionContext,
    channel: number,
    unsettled: UnsettledMap,
    incoming: IncomingWindow,
    window: number,
  ) {
    this.context = context
    this.channel = channel
    this.unsettled = unsettled
    this.incoming = incoming
    this.nextOutgoingId = 0
    this.nextDeliveryId = 0
    this.window = window
    this.pending = []
    this.pendingAt = 0
  }

  /** The client's flow: `nextIncomingId` -1 where it has not seen our begin. False: it is ahead of us. */
  setWindow(nextIncomingId: number, size: number): boolean {
    const from = Math.max(nextIncomingId, 0)
    const unseen = distance(this.nextOutgoingId, from)
    if (unseen < 0) return false
    this.window = Math.max(0, size - unseen)
    this.pump()
    return true
  }

  // HOT: once per delivery; nothing is allocated for a message that fits a frame
  /** Sends the delivery whose entry words are at `at`, or keeps it. */
  deliver(link: SendingLink, from: GatewayLink, at: number, busId: number, flags: number): void {
    if (this.pending.length === 0 && this.window > 0) {
      const { words } = from
      out.render(this.context.port.arena, words, at, flags)
      const bodySize = words[at + 5] as number
      const size = out.head.at + bodySize + out.tailSize
      if (
        size <= wholeMax &&
        size <= this.context.frameMax - TRANSFER_SIZE_MAX &&
        size <= link.messageSizeMax &&
        words[at + 6] === 0 &&
        out.layout !== BodyLayout.dataList
      ) {
        this.sendWhole(link, from, at, busId, size)
        return
      }
    }
    const extents = (from.words[at + 6] as number) * extentWords
    const words = from.words.slice(at, at + entryWords + extents)
    pinAll(from, words)
    this.pending.push({
      kind: 'delivery',
      link,
      from,
      words,
      busId,
      flags,
      deliveryId: -1,
      sent: 0,
    })
    this.pump()
  }

  /** Tells the client how a link stands, behind what waits. */
  flow(
    link: SendingLink,
    deliveryCount: number,
    credit: number,
    available: number,
    drain: boolean,
  ): void {
    this.pending.push({ kind: 'flow', link, deliveryCount, credit, available, drain })
    this.pump()
  }

  /** Sends a message of our own. */
  message(link: SendingLink, bytes: Uint8Array): void {
    this.pending.push({ kind: 'message', link, bytes, deliveryId: -1, sent: 0 })
    this.pump()
  }

  /** Forgets what waits for `link`, or for all; `giveBack` gets the deliveries that are not settled. */
  drop(link: SendingLink | undefined, giveBack: (shard: number, busId: number) => void): void {
    const kept: Pending[] = []
    for (const item of this.pending.slice(this.pendingAt)) {
      if (link !== undefined && item.link !== link) kept.push(item)
      else if (item.kind === 'delivery') {
        this.owe(item)
        unpinAll(item.from, item.words)
        if (!item.link.settled) giveBack(item.from.shard, item.busId)
      }
    }
    this.pending = kept
    this.pendingAt = 0
  }

  // HOT: once per delivery
  private sendWhole(
    link: SendingLink,
    from: GatewayLink,
    at: number,
    busId: number,
    size: number,
  ): void {
    const { context } = this
    const { words } = from
    const outbox = context.out
    const id = this.nextDeliveryId
    this.nextDeliveryId = advance(id, 1)
    this.countFrame()
    outbox.reserve(TRANSFER_SIZE_MAX + size)
    const { bytes } = outbox
    let to = encodeTransfer(
      bytes,
      outbox.at,
      this.channel,
      link.handle,
      id,
      link.settled,
      false,
      size,
    )
    const exrkSize = words[at + 2] as number
    const extraSize = words[at + 3] as number
    const propsSize = words[at + 4] as number
    const bodySize = words[at + 5] as number
    copyBytes(out.head.bytes, 0, bytes, to, out.head.at)
    to += out.head.at
    const entry = context.port.arena.slab(words[at] as number)
    const bodyAt = (words[at + 1] as number) + exrkSize + extraSize + propsSize
    copyBytes(entry, bodyAt, bytes, to, bodySize)
    to += bodySize
    if (out.tailSize > 0) copyBytes(out.tail, out.tailAt, bytes, to, out.tailSize)
    outbox.at = to + out.tailSize
    if (!link.settled) this.unsettled.add(id, link.handle, from.shard, busId)
    context.window.owe(from.shard, deliveryCost(exrkSize, propsSize, bodySize))
    context.touch()
  }

  /** Sends what waits, as far as the window goes. */
  private pump(): void {
    while (this.pendingAt < this.pending.length) {
      const item = this.pending[this.pendingAt] as Pending
      if (item.kind === 'flow') this.sendFlow(item)
      else if (item.kind === 'message') {
        if (!this.sendMessage(item)) break
      } else if (!this.sendDelivery(item)) break
      // A message that is too large ends its link, and with that what waits for it.
      if (this.pending[this.pendingAt] === item) this.pendingAt++
    }
    if (this.pendingAt === this.pending.length) this.pending = noPending(this.pending)
    else if (this.pendingAt < sweepMin) return
    else this.pending.splice(0, this.pendingAt)
    this.pendingAt = 0
  }

  private sendFlow(item: PendingFlow): void {
    if (!item.link.live) return
    const { out: outbox } = this.context
    outbox.reserve(FLOW_SIZE_MAX)
    outbox.at = encodeFlow(
      outbox.bytes,
      outbox.at,
      this.channel,
      this.incoming.nextIncomingId,
      this.incoming.size(),
      this.nextOutgoingId,
      item.link.handle,
      item.deliveryCount >>> 0,
      item.credit,
      item.available,
      item.drain,
    )
    this.context.touch()
  }

  private sendMessage(item: PendingMessage): boolean {
    pieces.set(item.bytes)
    return !item.link.live || this.sendFrames(item, true)
  }

  /** False: the window is shut before its end. */
  private sendDelivery(item: PendingDelivery): boolean {
    const { link, from, words } = item
    if (this.window === 0) return false
    out.render(this.context.port.arena, words, 0, item.flags)
    pieces.setEntry(this.context.port.arena, out, from, words)
    if (pieces.size > link.messageSizeMax) {
      link.onTooLarge(pieces.size)
      return true
    }
    if (!this.sendFrames(item, link.settled)) return false
    if (!link.settled) {
      this.unsettled.add(item.deliveryId, link.handle, from.shard, item.busId)
    }
    this.owe(item)
    unpinAll(from, words)
    return true
  }

  private sendFrames(item: PendingDelivery | PendingMessage, settled: boolean): boolean {
    const { context } = this
    const payloadMax = Math.min(context.frameMax - TRANSFER_SIZE_MAX, wholeMax)
    while (item.sent < pieces.size || item.deliveryId < 0) {
      if (this.window === 0) return false
      if (item.deliveryId < 0) {
        item.deliveryId = this.nextDeliveryId
        this.nextDeliveryId = advance(this.nextDeliveryId, 1)
      }
      const size = Math.min(pieces.size - item.sent, payloadMax)
      const more = item.sent + size < pieces.size
      const { out: outbox } = context
      outbox.reserve(TRANSFER_SIZE_MAX)
      outbox.at = encodeTransfer(
        outbox.bytes,
        outbox.at,
        this.channel,
        item.link.handle,
        item.deliveryId,
        settled,
        more,
        size,
      )
      pieces.write(outbox, item.sent, size)
      item.sent += size
      this.countFrame()
    }
    context.touch()
    return true
  }

  private countFrame(): void {
    this.window--
    this.nextOutgoingId = advance(this.nextOutgoingId, 1)
  }

  private owe({ from, words }: PendingDelivery): void {
    const cost = deliveryCost(words[2] as number, words[4] as number, words[5] as number)
    this.context.window.owe(from.shard, cost)
    this.context.out.touch()
  }
}

function pinAll(from: GatewayLink, words: Int32Array): void {
  from.pin(words[0] as number)
  for (let i = entryWords; i < words.length; i += extentWords) from.pin(words[i] as number)
}

function unpinAll(from: GatewayLink, words: Int32Array): void {
  from.unpin(words[0] as number)
  for (let i = entryWords; i < words.length; i += extentWords) from.unpin(words[i] as number)
}

// The same array, empty.
function noPending(pending: Pending[]): Pending[] {
  pending.length = 0
  return pending
}

/** Items that were sent and are still in the list. */
const sweepMin = 256

/** Payload of one frame at most: with its head it fits an outbox block. */
const wholeMax = 96 * 1024

// One message is rendered at a time, and is with the outbox before the next.
const out = new MessageOut()
const pieces = new MessagePieces()
