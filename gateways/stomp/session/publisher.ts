// SEND: from a frame to an entry in a slab, announced to the ingress shard. What is made of a head
// is kept: a client that sends to one destination pays for its head once.

import type { ShardEvent } from '../../../shared/bus/control.ts'
import type { ChannelSink, GatewayLink } from '../../../shared/bus/gateway-port.ts'
import { contiguousMax } from '../../../shared/bus/slab-writer.ts'
import { EntryFlag } from '../../../shared/bus/wire.ts'
import { copyBytes } from '../../../shared/bytes/copy.ts'
import { utf8Size } from '../../../shared/bytes/utf8.ts'
import { Writer } from '../../../shared/bytes/writer.ts'
import { PropertyScan, propertyFlags } from '../../../shared/message/properties.ts'
import { mixHash, placeQueue } from '../../../shared/placement.ts'
import type { Frame } from '../codec/frame.ts'
import type { Route } from '../mapping/destination.ts'
import type { Failure } from '../mapping/failure.ts'
import { messageRejected, processingError, refusal } from '../mapping/failure.ts'
import { writeProperties } from '../mapping/send-properties.ts'
import type { StompContext, Unsent } from './context.ts'
import { Wait } from './context.ts'

export class Publisher implements ChannelSink, Unsent {
  /** Of SENDs whose confirm is still to come, in order. */
  private readonly receipts: string[]
  private readonly context: StompContext
  private slot: number
  private link: GatewayLink | undefined
  /** Called when the last receipt that was owed has gone out. */
  private onSettled: (() => void) | undefined
  // What is stored in front of the body: names, then properties.
  private readonly prefix: Writer
  private exrkSize: number
  private flags: number
  // A publish that found the ring full.
  private pending: readonly number[]
  private extents: number[]

  constructor(context: StompContext) {
    this.receipts = []
    this.context = context
    this.slot = 0
    this.link = undefined
    this.onSettled = undefined
    this.prefix = new Writer(256)
    this.exrkSize = 0
    this.flags = 0
    this.pending = []
    this.extents = []
  }

  /**
   * Publishes a SEND. With `Wait.bus` set and nothing `unsent` afterwards there was no room and
   * nothing has happened: the frame must come again.
   */
  send(frame: Frame, route: Route, replyTo: string | undefined): Failure | undefined {
    const { context, prefix } = this
    if (utf8Size(route.exchange) > 255 || utf8Size(route.key) > 255) {
      return processingError('a destination is longer than 255 bytes')
    }
    if (frame.bodySize > context.settings.messageSizeMax) {
      return this.tooLarge(frame.bodySize)
    }
    prefix.at = 0
    prefix.shortstr(route.exchange)
    prefix.shortstr(route.key)
    this.exrkSize = prefix.at
    const failure = writeProperties(prefix, frame, context, replyTo)
    if (failure !== undefined) return failure
    const propsSize = prefix.at - this.exrkSize
    if (prefix.at > context.port.arena.slabBytes) {
      return processingError(`headers of ${propsSize} bytes are too large`)
    }
    scan.scan(prefix.bytes, this.exrkSize, propsSize)
    this.flags = propertyFlags(scan)
    this.open(route)
    return undefined
  }

  // HOT: once per SEND
  /**
   * Publishes a body with the head of the last `send`; with a receipt it is to be confirmed. False
   * when there is no room: nothing has happened.
   */
  publish(body: Uint8Array, at: number, size: number, receipt: string | undefined): boolean {
    const { context, link, prefix } = this
    if (link === undefined) return true
    const { slabs } = link
    const prefixSize = prefix.at
    const total = prefixSize + size
    const flags = receipt === undefined ? this.flags : this.flags | EntryFlag.confirm
    if (total > smallMax) return this.publishLarge(link, body, at, size, flags, receipt)
    if (!slabs.take(total)) {
      context.waits |= Wait.bus
      return false
    }
    const { slab, at: to } = slabs
    const bytes = context.port.arena.slab(slab)
    copyBytes(prefix.bytes, 0, bytes, to, prefixSize)
    copyBytes(body, at, bytes, to + prefixSize, size)
    if (receipt !== undefined) this.receipts.push(receipt)
    const { exrkSize } = this
    if (link.publish(this.slot, flags, slab, to, exrkSize, 0, prefixSize - exrkSize, size)) {
      context.published()
    } else {
      this.keepUnsent([flags, slab, to, exrkSize, prefixSize - exrkSize, size], noExtents)
    }
    return true
  }

  /** Unsent: announces what found the ring full. */
  retry(): boolean {
    const { link, extents } = this
    const [flags = 0, slab = 0, at = 0, exrkSize = 0, propsSize = 0, bodySize = 0] = this.pending
    if (link === undefined) return true
    const sent =
      extents.length === 0
        ? link.publish(this.slot, flags, slab, at, exrkSize, 0, propsSize, bodySize)
        : link.publishExtents(this.slot, flags, slab, at, exrkSize, 0, propsSize, bodySize, extents)
    if (sent) this.context.published()
    return sent
  }

  /**
   * Calls `next` when everything sent before is where it was routed, and the receipts that were asked
   * for have gone out.
   */
  settle(next: () => void): void {
    const { context, link, slot } = this
    if (link === undefined) {
      next()
      return
    }
    const fenced = (): void => {
      if (this.receipts.length === 0) next()
      else this.onSettled = next
    }
    context.port.request(link.shard, { op: 'fence', channel: slot }, { onReply: fenced })
  }

  /** The connection is gone: gives back what it had. */
  close(): void {
    const { link, pending } = this
    if (this.context.unsent === this && link !== undefined) {
      link.slabs.close(pending[1] as number)
      for (let i = 0; i < this.extents.length; i += 3) link.slabs.close(this.extents[i] as number)
      this.context.unsent = undefined
    }
    this.onSettled = undefined
  }

  /** The shards have forgotten the channel: its slot may be used again. */
  release(): void {
    if (this.slot !== 0) this.context.port.channels.remove(this.slot)
    this.slot = 0
  }

  onConfirm(count: number, nack: boolean): void {
    const { context, receipts } = this
    for (const id of receipts.splice(0, count)) {
      if (!context.alive) continue
      if (nack) context.sendError(messageRejected(), id)
      else context.sendReceipt(id)
    }
    if (receipts.length > 0 || this.onSettled === undefined) return
    const next = this.onSettled
    this.onSettled = undefined
    next()
  }

  onError(event: Extract<ShardEvent, { event: 'channelError' }>): void {
    this.context.fail(refusal(event.error))
  }

  onReturn(): void {
    // Nothing is sent as mandatory.
  }

  onWant(): void {
    // It consumes nothing.
  }

  onUnused(): void {
    // It consumes nothing.
  }

  /** Opens the channel at the first SEND; what one connection sends takes one way and keeps its order. */
  private open(route: Route): void {
    if (this.link !== undefined) return
    const { context } = this
    const { port, vhost } = context
    this.slot = port.channels.add(this)
    context.port.notifyAll({ op: 'openChannel', connection: context.slot, channel: this.slot })
    const shard =
      route.exchange === ''
        ? placeQueue(vhost, route.key, port.shardCount)
        : mixHash(this.slot) % port.shardCount
    this.link = port.link(shard)
  }

  private publishLarge(
    link: GatewayLink,
    body: Uint8Array,
    at: number,
    size: number,
    flags: number,
    receipt: string | undefined,
  ): boolean {
    const { context, exrkSize, prefix } = this
    const { slabs } = link
    const prefixSize = prefix.at
    if (!slabs.takeSome(prefixSize, size)) {
      context.waits |= Wait.bus
      return false
    }
    const { slab, at: to } = slabs
    const bytes = context.port.arena.slab(slab)
    copyBytes(prefix.bytes, 0, bytes, to, prefixSize)
    let taken = slabs.size - prefixSize
    copyBytes(body, at, bytes, to + prefixSize, taken)
    const extents: number[] = []
    while (taken < size) {
      if (!slabs.takeSome(0, size - taken)) {
        slabs.close(slab)
        for (let i = 0; i < extents.length; i += 3) slabs.close(extents[i] as number)
        context.waits |= Wait.bus
        return false
      }
      const further = context.port.arena.slab(slabs.slab)
      copyBytes(body, at + taken, further, slabs.at, slabs.size)
      extents.push(slabs.slab, slabs.at, slabs.size)
      taken += slabs.size
    }
    if (receipt !== undefined) this.receipts.push(receipt)
    this.pending = [flags, slab, to, exrkSize, prefixSize - exrkSize, size]
    this.extents = extents
    if (!this.retry()) this.keepUnsent(this.pending, extents)
    return true
  }

  private keepUnsent(pending: readonly number[], extents: number[]): void {
    this.pending = pending
    this.extents = extents
    this.context.unsent = this
    this.context.waits |= Wait.bus
  }

  private tooLarge(size: number): Failure {
    const { messageSizeMax } = this.context.settings
    const text = `message size ${size} is larger than configured max size ${messageSizeMax}`
    return refusal({ scope: 'channel', code: 406, text: `PRECONDITION_FAILED - ${text}` })
  }
}

/** As the slab writer: up to this, entries lie in one piece. */
const smallMax: number = contiguousMax

const noExtents: number[] = []
const scan = new PropertyScan()
