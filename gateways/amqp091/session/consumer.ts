// One consumer of a channel: turns the deliveries that a shard sends into frames.

import type { DeliverySink, GatewayLink } from '../../../shared/bus/gateway-port.ts'
import type { UnackedTags } from '../../../shared/bus/unacked-tags.ts'
import { deliveryCost, EntryFlag } from '../../../shared/bus/wire.ts'
import { shortstrBytes } from '../../../shared/bytes/utf8.ts'
import type { ByteView } from '../../../shared/bytes/view.ts'
import { viewOf } from '../../../shared/bytes/view.ts'
import type { ConnectionContext } from './connection-context.ts'
import { hasCounts, writeCountedDelivery, writeDelivery } from './delivery.ts'
import type { GlobalPrefetch } from './global-prefetch.ts'

/** What a consumer needs of its channel. */
export interface DeliveringChannel {
  readonly number: number
  readonly unacked: UnackedTags
  readonly globalPrefetch: GlobalPrefetch
  nextDeliveryTag: number
  /** The shard ended the consumer. */
  onConsumerCancelled(consumer: Consumer): void
}

export class Consumer implements DeliverySink {
  readonly tag: string
  /** The shard that owns the queue. */
  readonly shard: number
  /** The consumer's slot on the bus; 0 when given back. */
  slot: number
  /** False when the channel is closed: what still comes is not for the client. */
  live: boolean
  /** A cancel op is on its way, whose answer frees the slot. */
  cancelling: boolean
  /** Consumes from the reply-to pseudo queue. */
  readonly replies: boolean
  private readonly context: ConnectionContext
  private readonly channel: DeliveringChannel
  private readonly tagView: ByteView

  constructor(
    context: ConnectionContext,
    channel: DeliveringChannel,
    tag: string,
    shard: number,
    replies: boolean,
  ) {
    this.context = context
    this.channel = channel
    this.tag = tag
    this.shard = shard
    this.replies = replies
    this.tagView = viewOf(shortstrBytes(tag))
    this.slot = context.port.consumers.add(this)
    this.live = true
    this.cancelling = false
  }

  // HOT: once per delivery
  onDeliver(link: GatewayLink, at: number, deliveryId: number, flags: number): void {
    const { context, channel } = this
    const words = link.words
    context.window.owe(
      link.shard,
      deliveryCost(words[at + 2] as number, words[at + 4] as number, words[at + 5] as number),
    )
    if (!this.live) {
      context.out.touch()
      return
    }
    const tag = channel.nextDeliveryTag
    channel.nextDeliveryTag = tag + 1
    if ((flags & EntryFlag.settled) === 0) {
      channel.unacked.add(tag, link.shard, deliveryId, 1)
      channel.globalPrefetch.onDelivered()
    }
    if (hasCounts(flags)) {
      writeCountedDelivery(context, channel.number, this.tagView.bytes, tag, flags, link, at)
      return
    }
    const redelivered = (flags & EntryFlag.redelivered) !== 0
    writeDelivery(context, channel.number, this.tagView, tag, redelivered, link, at)
  }

  onCancelled(): void {
    this.channel.onConsumerCancelled(this)
  }

  /** Gives the slot back; nothing can come for it any more. */
  free(): void {
    if (this.slot !== 0) this.context.port.consumers.remove(this.slot)
    this.slot = 0
  }
}
