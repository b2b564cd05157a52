// basic.qos with global=true: one prefetch for all consumers of a channel, on whatever shards their
// queues are. The gateway holds the limit and hands out tokens; a shard delivers only with one.
//
//   limit = in use (unacknowledged) + granted (at shards) + available

import type { ConnectionContext, Unsent } from './connection-context.ts'
import { Wait } from './connection-context.ts'

export class GlobalPrefetch implements Unsent {
  /** 0: off. */
  limit: number
  private readonly context: ConnectionContext
  private readonly channel: number
  private inUse: number
  private granted: number
  // Shards with messages and no token, in the order in which they asked.
  private readonly wanting: number[]

  constructor(context: ConnectionContext, channel: number) {
    this.context = context
    this.channel = channel
    this.limit = 0
    this.inUse = 0
    this.granted = 0
    this.wanting = []
  }

  /** Sets the limit (0: none). */
  setLimit(limit: number): void {
    if (limit === 0) {
      this.granted = 0
      this.wanting.length = 0
    }
    this.limit = limit
    this.grant()
  }

  /** `shard` has messages and no token. */
  onWant(shard: number): void {
    if (this.limit === 0) return
    if (!this.wanting.includes(shard)) this.wanting.push(shard)
    this.grant()
  }

  /** Tokens that found no message. */
  onUnused(count: number): void {
    this.granted = Math.max(0, this.granted - count)
    this.grant()
  }

  /** A delivery that waits for an acknowledgement was made. Counted also without a limit: one may come. */
  onDelivered(): void {
    this.inUse++
    if (this.granted > 0) this.granted--
  }

  /** `count` such deliveries are settled. */
  onSettled(count: number): void {
    this.inUse -= count
    if (this.wanting.length > 0) this.grant()
  }

  /** Tries again after a ring was full. */
  retry(): boolean {
    return this.grant()
  }

  // Hands out what is available to those who asked.
  private grant(): boolean {
    while (this.wanting.length > 0) {
      const available = this.limit - this.inUse - this.granted
      if (available <= 0) return true
      // Shared out evenly: what one shard doesn't use comes back as unused.
      const share = Math.ceil(available / this.wanting.length)
      const link = this.context.port.link(this.wanting[0] as number)
      if (!link.grant(this.channel, share)) {
        this.context.ungranted.add(this)
        this.context.waits |= Wait.bus
        return false
      }
      this.granted += share
      this.wanting.shift()
    }
    return true
  }
}
