// Credit of an AMQP 1.0 link, as its sender counts it. Pure arithmetic of serial numbers (RFC 1982,
// 32 bits): counts wrap, and a difference of two says which is ahead.

import { LinkFlag } from '../../shared/bus/wire.ts'

/** What a receiver has granted and the queue has used. */
export class LinkCredit {
  /** Deliveries sent on the link, and credit that a drain has used up; wraps as an int32. */
  deliveryCount: number
  /** Deliveries that may still be sent. */
  credit: number
  /** What finds no message is to be used up, and that is to be told. */
  drain: boolean
  /** The receiver wants to hear how the link stands. */
  echo: boolean

  constructor() {
    this.deliveryCount = 0
    this.credit = 0
    this.drain = false
    this.echo = false
  }

  /**
   * The receiver grants `credit` (at most 2^31 - 1) as of `deliveryCount` deliveries received: what
   * is on its way to it already counts against that (AMQP 1.0, 2.6.7). True when an answer is owed.
   */
  grant(deliveryCount: number, credit: number, flags: number): boolean {
    const left = (deliveryCount + credit - this.deliveryCount) | 0
    this.credit = Math.max(left, 0)
    this.drain = (flags & LinkFlag.drain) !== 0
    if ((flags & LinkFlag.echo) !== 0) this.echo = true
    return this.drain || this.echo
  }

  // HOT: once per delivery on a link
  /** A delivery was sent. True when that was the last that may be. */
  spend(): boolean {
    this.deliveryCount = (this.deliveryCount + 1) | 0
    return --this.credit === 0
  }

  /** Uses up what is left, as the receiver asked. */
  useUp(): void {
    this.deliveryCount = (this.deliveryCount + this.credit) | 0
    this.credit = 0
  }

  /** The answer goes out: nothing is owed any more. */
  answered(): void {
    this.drain = false
    this.echo = false
  }
}
