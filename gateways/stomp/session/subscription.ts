// One subscription: its consumer on the bus, and what it has delivered and not seen settled. Each
// has a channel of its own, so that ids rise within it and a cumulative ACK is one record.

import type { ShardEvent } from '../../../shared/bus/control.ts'
import type { ChannelSink, DeliverySink, GatewayLink } from '../../../shared/bus/gateway-port.ts'
import { UnackedTags } from '../../../shared/bus/unacked-tags.ts'
import { deliveryCost, EntryFlag } from '../../../shared/bus/wire.ts'
import { deliveryTimedOut } from '../../../shared/errors.ts'
import type { Destination } from '../mapping/destination.ts'
import { refusal } from '../mapping/failure.ts'
import type { StompContext } from './context.ts'
import { MessageWriter } from './message-writer.ts'

export type AckMode = 'auto' | 'client' | 'client-individual'

/** What a SUBSCRIBE says. */
export interface SubscriptionFacts {
  /** `T_<id>`, or `Q_<destination>` without an id: what message ids begin with. */
  readonly tag: string
  readonly id: string | undefined
  /** The id, or the destination where there is none. */
  readonly name: string
  /** `id='1'` or `destination='/queue/q'`. */
  readonly description: string
  readonly destination: Destination
  readonly ackMode: AckMode
}

/** What a subscription tells its table. */
export interface SubscriptionOwner {
  /** The shard ended the consumer. */
  onServerCancelled(subscription: Subscription): void
}

export class Subscription implements DeliverySink, ChannelSink {
  readonly facts: SubscriptionFacts
  readonly queue: string
  /** The shard that owns the queue. */
  readonly shard: number
  readonly unacked: UnackedTags
  readonly writer: MessageWriter
  /** Slots on the bus; 0 when given back. */
  channel: number
  consumer: number
  /** An UNSUBSCRIBE is on its way. */
  cancelling: boolean
  private readonly context: StompContext
  private readonly owner: SubscriptionOwner

  constructor(
    context: StompContext,
    owner: SubscriptionOwner,
    facts: SubscriptionFacts,
    queue: string,
    shard: number,
  ) {
    this.context = context
    this.owner = owner
    this.facts = facts
    this.queue = queue
    this.shard = shard
    this.unacked = new UnackedTags()
    const acks = context.version === '1.2' && facts.ackMode !== 'auto'
    this.writer = new MessageWriter(context, facts.tag, facts.id, acks)
    this.channel = context.port.channels.add(this)
    this.consumer = context.port.consumers.add(this)
    this.cancelling = false
    context.port.notifyAll({ op: 'openChannel', connection: context.slot, channel: this.channel })
  }

  // HOT: once per delivery
  onDeliver(link: GatewayLink, at: number, deliveryId: number, flags: number): void {
    const { context } = this
    const { words } = link
    context.window.owe(
      link.shard,
      deliveryCost(words[at + 2] as number, words[at + 4] as number, words[at + 5] as number),
    )
    if (!context.alive) {
      context.out.touch()
      return
    }
    const tag = context.nextTag++
    if ((flags & EntryFlag.settled) === 0) this.unacked.add(tag, link.shard, deliveryId, 0)
    this.writer.write(link, at, tag, (flags & EntryFlag.redelivered) !== 0)
  }

  onCancelled(): void {
    this.owner.onServerCancelled(this)
  }

  // HOT: once per acknowledgement
  /** Settles a delivery, or with ack mode `client` all up to it. False for an unknown tag. */
  settle(tag: number, outcome: number): boolean {
    const { context, unacked } = this
    if (this.facts.ackMode !== 'client') {
      if (!unacked.take(tag)) return false
      context.settle(unacked.shard, this.channel, unacked.deliveryId, outcome, false)
      return true
    }
    // A tag of 0 would mean all.
    if (tag === 0) return false
    context.rangePresent.fill(0)
    if (!unacked.takeRange(tag, context.rangeIds, context.rangePresent)) return false
    const id = context.rangeIds[this.shard] as number
    if (context.rangePresent[this.shard] === 1)
      context.settle(this.shard, this.channel, id, outcome, true)
    return true
  }

  onError(event: Extract<ShardEvent, { event: 'channelError' }>): void {
    this.context.fail(refusal(event.error))
  }

  onTimeout(timeoutMs: number): void {
    this.context.fail(refusal(deliveryTimedOut(timeoutMs)))
  }

  onConfirm(): void {
    // It publishes nothing.
  }

  onReturn(): void {
    // It publishes nothing.
  }

  onWant(): void {
    // Its prefetch is the consumer's own.
  }

  onUnused(): void {
    // Its prefetch is the consumer's own.
  }

  /** The shard has ended the consumer: its slot may be used again. */
  freeConsumer(): void {
    if (this.consumer !== 0) this.context.port.consumers.remove(this.consumer)
    this.consumer = 0
  }

  /** Closes the channel: what is unsettled goes back. */
  closeChannel(): void {
    const { channel, context } = this
    if (channel === 0) return
    this.channel = 0
    context.settles.drop(channel)
    context.port.requestAll({ op: 'closeChannel', channel }, () =>
      context.port.channels.remove(channel),
    )
  }

  /** The shards have forgotten the connection. */
  release(): void {
    this.freeConsumer()
    if (this.channel !== 0) this.context.port.channels.remove(this.channel)
    this.channel = 0
  }
}
