// One session: its windows and links, what the shards tell it, and how it ends. How links begin is in
// attach.ts. On the bus it is one channel.

import type { ShardEvent } from '../../../shared/bus/control.ts'
import type { ChannelSink, GatewayLink } from '../../../shared/bus/gateway-port.ts'
import { NodeWord } from '../../../shared/bus/link.ts'
import { Outcome } from '../../../shared/bus/wire.ts'
import { deliveryTimedOut } from '../../../shared/errors.ts'
import { mixHash, placeQueue } from '../../../shared/placement.ts'
import { composite } from '../codec/composite.ts'
import type { FrameDecoder } from '../codec/frame.ts'
import { ABSENT } from '../codec/frame.ts'
import { encodeFlow, FLOW_SIZE_MAX } from '../codec/frame-writer.ts'
import type { Composite } from '../codec/spec.ts'
import { Descriptor } from '../codec/spec.ts'
import type { AmqpError } from '../mapping/conditions.ts'
import {
  amqpError,
  Condition,
  fromPeerError,
  isAccessRefusal,
  toComposite,
} from '../mapping/conditions.ts'
import { overflowError } from '../mapping/outcome.ts'
import { sendConfirms } from './confirms.ts'
import type { ConnectionContext } from './connection-context.ts'
import { detachByClient, dropLink } from './detach.ts'
import type { IncomingLink } from './incoming-link.ts'
import { Taken } from './incoming-link.ts'
import { IncomingWindow } from './incoming-window.ts'
import type { ManagementPairs } from './management-link.ts'
import { newManagementPairs } from './management-link.ts'
import { fence, Traffic } from './operation.ts'
import type { OutgoingLink } from './outgoing-link.ts'
import { OutgoingTransfers } from './outgoing-transfers.ts'
import type { PublishingSession } from './publishing.ts'
import { Publishing } from './publishing.ts'
import type { DoomedLink, Link, OpenLink, SessionState } from './session-state.ts'
import { settleDeliveries } from './settling.ts'
import { UnconfirmedQueue } from './unconfirmed.ts'
import { UnsettledMap } from './unsettled-map.ts'

export class Amqp10Session implements ChannelSink, SessionState, PublishingSession {
  readonly context: ConnectionContext
  /** The channel number, ours as the client's. */
  readonly channel: number
  readonly slot: number
  /** False as soon as either side ends it. */
  open: boolean
  readonly traffic: Traffic
  readonly incoming: IncomingWindow
  readonly transfers: OutgoingTransfers
  readonly publishing: Publishing
  readonly unconfirmed: UnconfirmedQueue
  readonly unsettled: UnsettledMap
  /** By the client's handle, which is ours too. */
  readonly links: (Link | undefined)[]
  readonly handleMax: number
  readonly pairs: ManagementPairs
  /** Links to detach once the outcome of what doomed them is sent. */
  doomed: DoomedLink[]
  private link: GatewayLink | undefined
  private released: boolean
  private readonly onForgotten: (session: Amqp10Session) => void

  /** Opens the session on all shards and answers the client's begin. */
  constructor(
    context: ConnectionContext,
    channel: number,
    begin: Composite<'begin'>,
    onForgotten: (session: Amqp10Session) => void,
  ) {
    const { port, settings } = context
    this.context = context
    this.channel = channel
    this.onForgotten = onForgotten
    this.slot = port.channels.add(this)
    this.open = true
    this.traffic = new Traffic(port.shardCount)
    this.incoming = new IncomingWindow(
      begin.nextOutgoingId,
      settings.incomingWindowMax,
      this.alarmed(),
    )
    this.unsettled = new UnsettledMap()
    this.transfers = new OutgoingTransfers(
      context,
      channel,
      this.unsettled,
      this.incoming,
      begin.incomingWindow,
    )
    this.publishing = new Publishing(this)
    this.unconfirmed = new UnconfirmedQueue()
    this.links = []
    this.handleMax = Math.min(begin.handleMax ?? 0xffff_ffff, settings.linksMax - 1)
    this.pairs = newManagementPairs()
    this.doomed = []
    this.link = undefined
    this.released = false
    port.notifyAll({ op: 'openChannel', connection: context.slot, channel: this.slot })
    context.send(channel, 'begin', {
      remoteChannel: channel,
      nextOutgoingId: 0,
      incomingWindow: this.incoming.size(),
      outgoingWindow: 0xffff_ffff,
      handleMax: this.handleMax,
    })
  }

  /** IncomingLinkOwner. */
  get granting(): boolean {
    return !this.incoming.shut
  }

  // HOT: once per transfer frame
  /** False: there was no room, and the same frame has to come again. */
  onTransfer(decoder: FrameDecoder): boolean {
    const link = this.links[decoder.handle]
    if (link === undefined) {
      this.fail(amqpError(Condition.unattachedHandle, `Unknown link handle: ${decoder.handle}`))
      return true
    }
    if (link.kind === 'incoming') {
      const taken = link.onTransfer(decoder)
      if (taken === Taken.again) return false
      this.countFrame()
      if (taken !== Taken.ok) this.detach(link, taken as AmqpError)
      return true
    }
    this.countFrame()
    if (link.kind === 'management') link.onTransfer(decoder)
    else if (link.kind === 'outgoing') {
      this.fail(amqpError(Condition.notAllowed, 'transfer on a link of a receiver'))
    }
    return true
  }

  /** A disposition of the client as a receiver. */
  onDisposition(decoder: FrameDecoder): void {
    // As a sender it has settled what it published: nothing waits for that.
    if (decoder.role === 1) settleDeliveries(this, decoder)
  }

  onFlow(decoder: FrameDecoder): void {
    const { nextIncomingId, incomingWindow, handle } = decoder
    if (!this.transfers.setWindow(nextIncomingId, incomingWindow)) {
      const ours = this.transfers.nextOutgoingId
      this.fail(
        amqpError(
          Condition.windowViolation,
          `next-incoming-id from FLOW (${nextIncomingId}) leads next-outgoing-id (${ours})`,
        ),
      )
      return
    }
    if (handle === ABSENT) {
      if (decoder.echo === 1) this.sendFlow(-1, 0, 0)
      return
    }
    const link = this.links[handle]
    const echo = decoder.echo === 1
    if (link === undefined) {
      this.fail(amqpError(Condition.unattachedHandle, `Unattached link handle: ${handle}`))
    } else if (link.kind === 'outgoing') {
      const count = decoder.deliveryCount === ABSENT ? 0 : decoder.deliveryCount
      const credit = decoder.linkCredit === ABSENT ? 0 : decoder.linkCredit
      link.grant(count, credit, decoder.drain === 1, echo)
    } else if (link.kind === 'management') link.onFlow(decoder)
    else if (link.kind === 'incoming' && echo) this.sendCredit(link)
  }

  onDetach(detach: Composite<'detach'>): void {
    detachByClient(this, detach.handle)
  }

  /** The client ends the session: answered when all it has sent is where it belongs. */
  onEnd(): void {
    if (!this.open) {
      this.forget()
      return
    }
    const { context } = this
    context.await(this)
    fence(this, () => {
      this.shut()
      context.port.requestAll({ op: 'closeChannel', channel: this.slot }, () => {
        context.answered(this)
        this.release()
        if (context.slot !== 0) context.send(this.channel, 'end', {})
        this.forget()
      })
    })
  }

  // HOT: once per delivery of the client that is complete
  ingress(exchange: string, routingKey: string): GatewayLink {
    return this.link ?? this.chooseIngress(exchange, routingKey)
  }

  // HOT: once per publish
  onPublished(): void {
    this.traffic.published = true
    // A plain read: an alarm need not stop this very message.
    if (this.context.port.nodeWords[NodeWord.alarms] !== 0) this.lookAtAlarms()
  }

  /** Opens or shuts the window as alarms come and go. */
  lookAtAlarms(): void {
    if (!this.open || !this.incoming.setShut(this.alarmed())) return
    this.sendFlow(-1, 0, 0)
    if (this.incoming.shut) return
    for (const link of this.links) if (link?.kind === 'incoming') link.grant()
  }

  // HOT: once per batch of confirms
  onConfirm(count: number, nack: boolean): void {
    if (nack) {
      for (let i = 0; i < count; i++) {
        const link = this.links[this.unconfirmed.handleAt(i)]
        const queue = link?.kind === 'incoming' ? link.destination?.queue : undefined
        this.unconfirmed.mark(i, Descriptor.rejected, overflowError(queue, this.context.vhost))
      }
    }
    sendConfirms(this, count)
  }

  onReturn(_link: GatewayLink, _at: number, _code: number, sequence: number): void {
    const place = this.unconfirmed.placeOf(sequence)
    if (place >= 0) this.unconfirmed.mark(place, Descriptor.released, undefined)
  }

  onRefused(event: Extract<ShardEvent, { event: 'publishRefused' }>): void {
    const { error, sequence, exchange } = event
    if (isAccessRefusal(error)) {
      this.fail(fromPeerError(error))
      return
    }
    const place = sequence < 0 ? -1 : this.unconfirmed.placeOf(sequence)
    const told = fromPeerError(error)
    if (place < 0) {
      for (const link of this.links) {
        if (link?.kind === 'incoming' && link.destination?.exchange === exchange) {
          this.detach(link, told)
        }
      }
      return
    }
    const link = this.links[this.unconfirmed.handleAt(place)]
    if (link?.kind !== 'incoming') return
    if (link.destination !== undefined) {
      this.unconfirmed.mark(place, Descriptor.released, undefined)
      this.doomed.push({ link, error: told, sequence })
    } else if (this.unconfirmed.outcomeAt(place) === 0) this.detach(link, told)
    else this.unconfirmed.mark(place, Descriptor.rejected, told)
  }

  onError(event: Extract<ShardEvent, { event: 'channelError' }>): void {
    this.fail(fromPeerError(event.error))
  }

  /** What it holds goes back. */
  onTimeout(timeoutMs: number): void {
    this.fail(fromPeerError(deliveryTimedOut(timeoutMs)))
  }

  // No global prefetch here.
  onWant(): void {}

  onUnused(): void {}

  /** OutgoingLinkOwner. */
  onConsumerEnded(link: OutgoingLink): void {
    const queue = `queue '${link.queue}' in vhost '${this.context.vhost}'`
    const error = amqpError(Condition.resourceDeleted, `${queue} was deleted`)
    this.tellDetached(link.handle, error)
    dropLink(this, link)
    link.free()
  }

  /** OutgoingLinkOwner. */
  onTooLarge(link: OutgoingLink, size: number): void {
    const limit = `maximum message size (${link.messageSizeMax} bytes)`
    this.detach(
      link,
      amqpError(Condition.messageSizeExceeded, `message size (${size} bytes) > ${limit}`),
    )
  }

  /** OutgoingLinkOwner. */
  complete(shard: number, busId: number): void {
    this.traffic.settled[shard] = 1
    this.context.settle(shard, this.slot, busId, Outcome.complete, false)
  }

  /** Ends a link for an error. */
  detach(link: OpenLink, error: AmqpError): void {
    if (!this.open || this.links[link.handle] !== link) return
    const { log, peer } = this.context.host
    log.warn(`detaching link ${link.handle} of ${peer.name}: ${error.description}`)
    this.tellDetached(link.handle, error)
    dropLink(this, link)
    if (link.kind !== 'outgoing' || link.slot === 0) return
    const op = { op: 'cancel', channel: this.slot, consumer: link.slot } as const
    this.context.port.request(link.shard, op, { onReply: () => link.free() })
  }

  /** IncomingLinkOwner. */
  sendCredit(link: IncomingLink): void {
    this.sendFlow(link.handle, link.deliveryCount, link.credit)
  }

  /** IncomingLinkOwner: one delivery is rejected. */
  sendOutcome(deliveryId: number, error: AmqpError): void {
    this.context.send(this.channel, 'disposition', {
      role: true,
      first: deliveryId,
      settled: true,
      state: composite('rejected', { error: toComposite(error) }),
    })
  }

  /** Writes a flow of a receiving link, or (`handle` -1) of the session. */
  sendFlow(handle: number, deliveryCount: number, credit: number): void {
    const { out } = this.context
    out.reserve(FLOW_SIZE_MAX)
    out.at = encodeFlow(
      out.bytes,
      out.at,
      this.channel,
      this.incoming.nextIncomingId,
      this.incoming.size(),
      this.transfers.nextOutgoingId,
      handle,
      deliveryCount,
      credit,
      ABSENT,
      false,
    )
    this.context.touch()
  }

  /** Gives back a delivery that the client does not get. */
  readonly giveBack = (shard: number, busId: number): void => {
    this.traffic.settled[shard] = 1
    this.context.settle(shard, this.slot, busId, Outcome.requeue, false)
  }

  /** Ends the session for an error; the client's end is to come. */
  fail(error: AmqpError): void {
    if (!this.open) return
    const { log, peer } = this.context.host
    log.error(`ending session ${this.channel} of ${peer.name}: ${error.description}`, {
      vhost: this.context.vhost,
      user: this.context.user,
      condition: error.condition,
    })
    this.shut()
    this.context.answered(this)
    this.context.send(this.channel, 'end', { error: toComposite(error) })
    this.context.port.requestAll({ op: 'closeChannel', channel: this.slot }, () => this.release())
  }

  /** The client's view of the session ends: nothing more is sent or taken. */
  shut(): void {
    this.open = false
    this.publishing.abort()
    this.context.settles.drop(this.slot)
    // What waits is the connection's to count; it goes back with the channel.
    this.transfers.drop(undefined, () => undefined)
    for (const link of this.links) {
      if (link?.kind === 'incoming') link.drop()
      if (link?.kind !== 'closing' && link !== undefined) link.live = false
    }
  }

  /** The shards have forgotten the session: its slots may be used again. */
  release(): void {
    if (this.released) return
    this.released = true
    this.context.answered(this)
    for (const link of this.links) if (link?.kind === 'outgoing') link.free()
    this.links.length = 0
    this.context.port.channels.remove(this.slot)
  }

  private tellDetached(handle: number, error: AmqpError): void {
    this.links[handle] = { kind: 'closing' }
    this.context.send(this.channel, 'detach', { handle, closed: true, error: toComposite(error) })
  }

  private forget(): void {
    this.onForgotten(this)
  }

  // HOT: once per transfer frame
  private countFrame(): void {
    const { incoming } = this
    if (incoming.take()) this.sendFlow(-1, 0, 0)
    else if (incoming.left < 0 && incoming.violated()) {
      this.fail(amqpError(Condition.windowViolation, 'incoming window violation'))
    }
  }

  private alarmed(): boolean {
    return this.context.port.nodeWords[NodeWord.alarms] !== 0
  }

  // Chosen once: what one session publishes keeps its order because it takes one way.
  private chooseIngress(exchange: string, routingKey: string): GatewayLink {
    const { port, vhost } = this.context
    const shard =
      exchange === ''
        ? placeQueue(vhost, routingKey, port.shardCount)
        : mixHash(this.slot) % port.shardCount
    this.traffic.ingress = shard
    this.link = port.link(shard)
    return this.link
  }
}
