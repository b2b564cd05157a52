// One channel: what it is, what the shards tell it, and how it ends. What clients ask of it is in
// channel-methods.ts and the files beside it.

import type { ControlReply, ShardEvent } from '../../../shared/bus/control.ts'
import type { ChannelSink, GatewayLink } from '../../../shared/bus/gateway-port.ts'
import { NodeWord } from '../../../shared/bus/link.ts'
import { UnackedTags } from '../../../shared/bus/unacked-tags.ts'
import { EntryFlag } from '../../../shared/bus/wire.ts'
import { decodeUtf8Lossy } from '../../../shared/bytes/utf8.ts'
import type { PeerError } from '../../../shared/errors.ts'
import { mixHash, placeQueue } from '../../../shared/placement.ts'
import { ClassId } from '../codec/constants.ts'
import { encodeAck, encodeNack, SETTLE_FRAME_SIZE } from '../codec/frame-writer.ts'
import { methodKind } from '../codec/method.ts'
import { deliveryTimedOut } from '../mapping/refusals.ts'
import type { AcknowledgingChannel } from './acknowledgement.ts'
import type { ConnectionContext } from './connection-context.ts'
import type { Consumer, DeliveringChannel } from './consumer.ts'
import type { PublishingChannel } from './content.ts'
import { ContentAssembly } from './content.ts'
import { writeReturn } from './delivery.ts'
import { GlobalPrefetch } from './global-prefetch.ts'
import type { OperatingChannel } from './operation.ts'
import { Traffic } from './operation.ts'
import { Transaction } from './transaction.ts'

export class Channel
  implements
    ChannelSink,
    PublishingChannel,
    DeliveringChannel,
    AcknowledgingChannel,
    OperatingChannel
{
  readonly number: number
  readonly context: ConnectionContext
  /** The channel's slot on the bus. */
  readonly slot: number
  /** False as soon as either side closes it; until close-ok its number is still taken. */
  open: boolean
  readonly content: ContentAssembly
  readonly unacked: UnackedTags
  readonly globalPrefetch: GlobalPrefetch
  readonly traffic: Traffic
  /** By tag; also those whose consume or cancel has no answer yet. */
  readonly consumers: Map<string, Consumer>
  nextDeliveryTag: number
  /** EntryFlag bits of the channel's mode: confirm, transactional. */
  publishFlags: number
  transaction: Transaction | undefined
  /** For consumers to come; 0: no limit. */
  prefetch: number
  /** The most recently declared queue. */
  lastQueue: string | undefined
  replyTo: string | undefined
  private link: GatewayLink | undefined
  // Publishes confirmed so far, either way.
  private confirmed: number
  private released: boolean
  private readonly onForgotten: (channel: Channel) => void

  /** `onForgotten`: its number may be used again. */
  constructor(context: ConnectionContext, number: number, onForgotten: (channel: Channel) => void) {
    this.context = context
    this.onForgotten = onForgotten
    this.number = number
    this.slot = context.port.channels.add(this)
    this.open = true
    this.content = new ContentAssembly(context, this)
    this.unacked = new UnackedTags()
    this.globalPrefetch = new GlobalPrefetch(context, this.slot)
    this.traffic = new Traffic(context.port.shardCount)
    this.consumers = new Map()
    this.nextDeliveryTag = 1
    this.publishFlags = 0
    this.transaction = undefined
    this.prefetch = 0
    this.lastQueue = undefined
    this.replyTo = undefined
    this.link = undefined
    this.confirmed = 0
    this.released = false
  }

  /** Opens it on all shards; `onReply` gets the answer of the registry's. */
  start(registryShard: number, onReply: (reply: ControlReply) => void): void {
    const { port, slot } = this.context
    const op = { op: 'openChannel', connection: slot, channel: this.slot } as const
    for (let shard = 0; shard < port.shardCount; shard++) {
      if (shard === registryShard) port.request(shard, op, { onReply })
      else port.notify(shard, op)
    }
  }

  // HOT: once per publish
  ingress(names: Uint8Array, at: number, exchangeSize: number, keySize: number): GatewayLink {
    return this.link ?? this.chooseIngress(names, at, exchangeSize, keySize)
  }

  // HOT: once per publish
  onPublished(): void {
    this.traffic.published = true
    if (this.transaction !== undefined) this.transaction.published = true
    // A plain read: an alarm need not stop this very message.
    const alarms = this.context.port.nodeWords[NodeWord.alarms] as number
    if (alarms !== 0) this.context.blockPublisher(alarms)
  }

  // HOT: once per batch of confirms
  onConfirm(count: number, nack: boolean): void {
    this.confirmed += count
    if (!this.open) return
    const { out } = this.context
    // Confirms come in publish order, so everything up to the last one is settled.
    const multiple = count > 1
    out.reserve(SETTLE_FRAME_SIZE)
    out.at = nack
      ? encodeNack(out.bytes, out.at, this.number, this.confirmed, multiple)
      : encodeAck(out.bytes, out.at, this.number, this.confirmed, multiple)
    this.context.touch()
  }

  onReturn(link: GatewayLink, at: number, code: number): void {
    if (this.open) writeReturn(this.context, this.number, code, link, at)
  }

  onError(event: Extract<ShardEvent, { event: 'channelError' }>): void {
    this.fail(event.error, ClassId.basic, basicPublish)
  }

  onTimeout(timeoutMs: number): void {
    this.fail(deliveryTimedOut(this.number, timeoutMs), 0, 0)
  }

  onWant(link: GatewayLink): void {
    if (this.open) this.globalPrefetch.onWant(link.shard)
  }

  onUnused(count: number): void {
    if (this.open) this.globalPrefetch.onUnused(count)
  }

  onConsumerCancelled(consumer: Consumer): void {
    if (!this.open || this.consumers.get(consumer.tag) !== consumer) return
    const tell = (): void => this.tellCancelled(consumer.tag)
    // As in RabbitMQ, who deletes a queue hears that first, and of its consumers' end later.
    if (this.context.operating === this) this.context.late.push(tell)
    else tell()
    // A cancel op on its way still names the slot: its answer frees it.
    if (!consumer.cancelling) this.removeConsumer(consumer)
  }

  /** Forgets a consumer for which nothing can come any more. */
  removeConsumer(consumer: Consumer): void {
    if (this.consumers.get(consumer.tag) === consumer) this.consumers.delete(consumer.tag)
    if (consumer.replies) this.replyTo = undefined
    consumer.free()
  }

  /** Begins a transaction mode that lasts as long as the channel. */
  selectTransactions(): void {
    this.transaction ??= new Transaction()
    this.publishFlags = EntryFlag.transactional
  }

  /** Ends the channel, or the connection where the error's scope says so. */
  fail(error: PeerError, classId: number, methodId: number): void {
    if (!this.open) return
    if (error.scope === 'connection') {
      this.context.fail(error, classId, methodId)
      return
    }
    const { log, peer } = this.context.host
    log.error(`channel error on connection ${peer.name}, channel ${this.number}: ${error.text}`, {
      vhost: this.context.vhost,
      user: this.context.user,
      operation: methodKind(classId, methodId),
    })
    this.context.send(this.number, {
      kind: 'channel.close',
      replyCode: error.code,
      replyText: error.text,
      classId,
      methodId,
    })
    this.close(() => undefined)
  }

  /** Both sides have closed it. */
  forget(): void {
    this.onForgotten(this)
  }

  /** Closes the channel on all shards; `onClosed` is called when its messages are back. */
  close(onClosed: () => void): void {
    this.shut()
    this.context.port.requestAll({ op: 'closeChannel', channel: this.slot }, () => {
      this.release()
      onClosed()
    })
  }

  /** The client's view of the channel ends: nothing more is sent or taken. */
  shut(): void {
    this.open = false
    this.content.abort()
    this.context.settles.drop(this.slot)
    this.context.ungranted.delete(this.globalPrefetch)
    for (const consumer of this.consumers.values()) consumer.live = false
  }

  /** The shards have forgotten the channel: its slots may be used again. */
  release(): void {
    if (this.released) return
    this.released = true
    // A shard does not answer for a channel that it has closed.
    this.context.abandon(this)
    for (const consumer of this.consumers.values()) consumer.free()
    this.consumers.clear()
    this.context.port.channels.remove(this.slot)
  }

  private tellCancelled(consumerTag: string): void {
    if (!this.open || !this.context.capabilities.consumerCancelNotify) return
    this.context.send(this.number, { kind: 'basic.cancel', consumerTag, noWait: true })
  }

  // Chosen once: what one channel publishes keeps its order because it takes one way.
  private chooseIngress(
    names: Uint8Array,
    at: number,
    exchangeSize: number,
    keySize: number,
  ): GatewayLink {
    const { port, vhost } = this.context
    let shard = mixHash(this.slot) % port.shardCount
    if (exchangeSize === 0) {
      const key = decodeUtf8Lossy(names, at + 2, at + 2 + keySize)
      shard = placeQueue(vhost, key, port.shardCount)
    }
    this.traffic.ingress = shard
    this.link = port.link(shard)
    return this.link
  }
}

const basicPublish = 40
