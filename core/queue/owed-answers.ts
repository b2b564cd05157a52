// Credited consumers that wait to hear how their links stand.

import { LinkFlag, Record } from '../../shared/bus/wire.ts'
import type { Consumer, ConsumerRing } from './consumer.ts'
import { Block } from './consumer.ts'

export class OwedAnswers {
  /** Consumers that wait. */
  count: number
  private consumers: Consumer[]

  constructor() {
    this.count = 0
    this.consumers = []
  }

  add(consumer: Consumer): void {
    if (!this.consumers.includes(consumer)) this.consumers.push(consumer)
    this.count = this.consumers.length
  }

  /** Tells them, `available` messages being left; one that drains has to be sent what there is first. */
  answer(ring: ConsumerRing, available: number): void {
    const waiting = this.consumers
    this.consumers = []
    for (const c of waiting) {
      const { link } = c
      if (link === undefined || c.ended) continue
      const drain = link.drain
      if (drain && link.credit > 0) {
        // Not now for want of window, ring or disk: whoever has room again pumps again.
        if (available > 0 && (c.blocked & Block.waiting) === 0) {
          this.consumers.push(c)
          continue
        }
        link.useUp()
        ring.block(c, Block.credit)
      }
      link.answered()
      const { lane } = c.channel.outlet
      const flags = drain ? LinkFlag.drain : 0
      lane.short(Record.linkState, c.id, link.deliveryCount, link.credit, available, flags)
    }
    this.count = this.consumers.length
  }
}
