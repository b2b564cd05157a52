// A link on which we send: a consumer of a queue.

import type { DeliverySink, GatewayLink } from '../../../shared/bus/gateway-port.ts'
import { deliveryCost, LinkFlag } from '../../../shared/bus/wire.ts'
import { MessageFields } from '../mapping/filter/message-fields.ts'
import type { MessageFilter } from '../mapping/filter/message-filter.ts'
import type { ConnectionContext, Unsent } from './connection-context.ts'
import { FilteredCredit } from './filtered-credit.ts'
import type { OutgoingTransfers, SendingLink } from './outgoing-transfers.ts'
import { advance } from './serial-number.ts'

/** What the link tells its session. */
export interface OutgoingLinkOwner {
  readonly context: ConnectionContext
  readonly transfers: OutgoingTransfers
  /** The shard ended the consumer. */
  onConsumerEnded(link: OutgoingLink): void
  onTooLarge(link: OutgoingLink, size: number): void
  /** Settles a delivery that the client does not want. */
  complete(shard: number, busId: number): void
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
  private filter: MessageFilter | undefined
  private filteredCredit: FilteredCredit | undefined
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
    this.filter = undefined
    this.filteredCredit = undefined
    this.owedCount = 0
    this.owedCredit = -1
    this.owedFlags = 0
    this.slot = owner.context.port.consumers.add(this)
  }

  /** From now on the client gets what `filter` passes. Before any credit is granted. */
  screen(filter: MessageFilter): void {
    this.filter = filter
    this.filteredCredit = new FilteredCredit()
  }

  // HOT: once per delivery
  onDeliver(from: GatewayLink, at: number, busId: number, flags: number): void {
    if (!this.live) {
      // On its way when the link was detached: its session gives it back, or has ended.
      this.skip(from, at)
      if (busId !== 0) this.onStray?.(from.shard, busId)
      return
    }
    if (this.filter !== undefined && !this.passes(this.filter, from, at, busId)) return
    this.deliveryCount = advance(this.deliveryCount, 1)
    this.owner.transfers.deliver(this, from, at, busId, flags)
  }

  onCancelled(): void {
    if (this.live) this.owner.onConsumerEnded(this)
  }

  onLinkState(deliveryCount: number, credit: number, available: number, flags: number): void {
    if (!this.live) return
    const drain = (flags & LinkFlag.drain) !== 0
    if (this.filteredCredit !== undefined) {
      this.tellFiltered(this.filteredCredit, deliveryCount, available, drain)
      return
    }
    this.deliveryCount = deliveryCount >>> 0
    this.owner.transfers.flow(this, deliveryCount, credit, available, drain)
  }

  /** The client grants credit; `deliveryCount` as it has counted. */
  grant(deliveryCount: number, credit: number, drain: boolean, echo: boolean): void {
    const filtered = this.filteredCredit
    this.owedCredit = Math.min(credit, creditMax)
    this.owedCount = (filtered?.grant(deliveryCount, this.owedCredit, drain) ?? deliveryCount) | 0
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

  // A delivery that does not pass takes no credit of the client.
  private passes(filter: MessageFilter, from: GatewayLink, at: number, busId: number): boolean {
    const credit = this.filteredCredit as FilteredCredit
    const { host, port } = this.owner.context
    if (fields.pass(filter, host, port.arena, from.words, at)) {
      credit.passed()
      return true
    }
    credit.heldBack()
    this.skip(from, at)
    if (busId !== 0) this.owner.complete(from.shard, busId)
    // A drain ends with the shard's answer, and is granted again then.
    if (!credit.draining && credit.left(this.deliveryCount) > 0) this.grantAgain(credit, 0)
    return false
  }

  private tellFiltered(
    filtered: FilteredCredit,
    shardCount: number,
    available: number,
    drain: boolean,
  ): void {
    const standing = filtered.standing(this.deliveryCount, shardCount, drain)
    if (standing === undefined) {
      this.grantAgain(filtered, LinkFlag.drain)
      return
    }
    const { deliveryCount, credit } = standing
    this.deliveryCount = deliveryCount
    this.owner.transfers.flow(this, deliveryCount, credit, available, drain)
  }

  private grantAgain(filtered: FilteredCredit, flags: number): void {
    if (this.owedCredit < 0) this.owedFlags = 0
    this.owedCount = advance(this.deliveryCount, filtered.filtered) | 0
    this.owedCredit = filtered.left(this.deliveryCount)
    this.owedFlags |= flags
    this.owner.context.sendAfterFlush(this)
  }

  /** Gives back the bytes of a delivery that is not sent. */
  private skip(from: GatewayLink, at: number): void {
    const { words } = from
    const { context } = this.owner
    const cost = deliveryCost(
      words[at + 2] as number,
      words[at + 4] as number,
      words[at + 5] as number,
    )
    context.window.owe(from.shard, cost)
    context.out.touch()
  }

  /** Set when the link is detached while its session goes on: gets deliveries that come too late. */
  onStray: ((shard: number, busId: number) => void) | undefined
}

/** What the bus takes. */
const creditMax = 0x7fff_ffff

// The message that a filter looks at.
const fields = new MessageFields()
