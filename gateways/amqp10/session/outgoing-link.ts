// A link on which we send: a consumer of a queue.

import type { DeliverySink, GatewayLink } from '../../../shared/bus/gateway-port.ts'
import { deliveryCost, LinkFlag } from '../../../shared/bus/wire.ts'
import type { ConnectionContext, Unsent } from './connection-context.ts'
import type { OutgoingTransfers, SendingLink } from './outgoing-transfers.ts'
import { advance } from './serial-number.ts'

/** What the link tells its session. */
export interface OutgoingLinkOwner {
  readonly context: ConnectionContext
  readonly transfers: OutgoingTransfers
  /** The shard ended the consumer. */
  onConsumerEnded(link: OutgoingLink): void
  onTooLarge(link: OutgoingLink, size: number): void
}

export interface OutgoingLinkOptions {
  readonly name: string
  readonly handle: number
  readonly queue: string
  /** The shard that owns the queue. */
  readonly shard: number
  readonly settled: boolean
  readonly messageSizeMax: number
}

export class OutgoingLink implements DeliverySink, SendingLink, Unsent {
  readonly kind: 'outgoing'
  readonly name: string
  readonly handle: number
  readonly settled: boolean
  readonly messageSizeMax: number
  queue: string
  readonly shard: number
  /** The consumer's slot on the bus; 0 when given back. */
  slot: number
  live: boolean
  /** The queue is this link's own and goes with it. */
  dynamic: boolean
  /** Deliveries so far, and credit that was drained. */
  deliveryCount: number
  private readonly owner: OutgoingLinkOwner
  // The last grant, where the ring was full.
  private owedCount: number
  private owedCredit: number
  private owedFlags: number

  constructor(owner: OutgoingLinkOwner, options: OutgoingLinkOptions) {
    this.kind = 'outgoing'
    this.owner = owner
    this.name = options.name
    this.handle = options.handle
    this.queue = options.queue
    this.shard = options.shard
    this.settled = options.settled
    this.messageSizeMax = options.messageSizeMax
    this.live = true
    this.dynamic = false
    this.deliveryCount = 0
    this.owedCount = 0
    this.owedCredit = -1
    this.owedFlags = 0
    this.slot = owner.context.port.consumers.add(this)
  }

  // HOT: once per delivery
  onDeliver(from: GatewayLink, at: number, busId: number, flags: number): void {
    if (!this.live) {
      // On its way when the link was detached: its session gives it back, or has ended.
      this.skip(from, at, busId)
      return
    }
    this.deliveryCount = advance(this.deliveryCount, 1)
    this.owner.transfers.deliver(this, from, at, busId, flags)
  }

  onCancelled(): void {
    if (this.live) this.owner.onConsumerEnded(this)
  }

  onLinkState(deliveryCount: number, credit: number, available: number, flags: number): void {
    if (!this.live) return
    this.deliveryCount = deliveryCount >>> 0
    const drain = (flags & LinkFlag.drain) !== 0
    this.owner.transfers.flow(this, deliveryCount, credit, available, drain)
  }

  /** The client grants credit; `deliveryCount` as it has counted. */
  grant(deliveryCount: number, credit: number, drain: boolean, echo: boolean): void {
    this.owedCount = deliveryCount | 0
    this.owedCredit = Math.min(credit, creditMax)
    this.owedFlags = (drain ? LinkFlag.drain : 0) | (echo ? LinkFlag.echo : 0)
    if (!this.retry()) this.owner.context.retryLater(this)
  }

  retry(): boolean {
    if (this.owedCredit < 0 || this.slot === 0) return true
    const link = this.owner.context.port.link(this.shard)
    if (!link.linkCredit(this.slot, this.owedCount, this.owedCredit, this.owedFlags)) return false
    this.owedCredit = -1
    return true
  }

  onTooLarge(size: number): void {
    this.owner.onTooLarge(this, size)
  }

  /** Gives the slot back; nothing can come for it any more. */
  free(): void {
    this.live = false
    this.owner.context.forget(this)
    if (this.slot !== 0) this.owner.context.port.consumers.remove(this.slot)
    this.slot = 0
  }

  private skip(from: GatewayLink, at: number, busId: number): void {
    const { words } = from
    const { context } = this.owner
    const cost = deliveryCost(
      words[at + 2] as number,
      words[at + 4] as number,
      words[at + 5] as number,
    )
    context.window.owe(from.shard, cost)
    context.out.touch()
    if (busId !== 0) this.onStray?.(from.shard, busId)
  }

  /** Set when the link is detached while its session goes on: gets deliveries that come too late. */
  onStray: ((shard: number, busId: number) => void) | undefined
}

/** What the bus takes. */
const creditMax = 0x7fff_ffff
