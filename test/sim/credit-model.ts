// Link credit as a receiver understands it: how far a credited consumer may be served.

import { LinkFlag } from '../../shared/bus/wire.ts'
import { check } from './model.ts'

/** The link of one credited consumer; counts do not wrap here. */
export class CreditModel {
  /** Deliveries so far, and credit that drains have used up. */
  count = 0
  /** The count up to which deliveries may come. */
  limit = 0
  /** A drain has no answer yet. */
  draining = false
  /** The highest limit of the turn: which of a turn's deliveries came before a grant is not seen. */
  private highest = 0
  private turn = 0

  granted(turn: number, count: number, credit: number, flags: number): void {
    if (turn !== this.turn) this.highest = this.limit
    this.turn = turn
    this.limit = Math.max(count + credit, this.count)
    this.highest = Math.max(this.highest, this.limit)
    this.draining = (flags & LinkFlag.drain) !== 0
  }

  delivered(turn: number, at: string): void {
    this.count++
    const limit = turn === this.turn ? this.highest : this.limit
    check(this.count <= limit, () => `${at}: delivery ${this.count}, credit up to ${limit}`)
    // Less credit than was in use already counts as none.
    this.limit = Math.max(this.limit, this.count)
  }

  stated(count: number, credit: number, flags: number, at: string): void {
    if ((flags & LinkFlag.drain) !== 0) {
      check(credit === 0, () => `${at}: drained, but ${credit} left`)
      check(count >= this.count, () => `${at}: delivery-count went back to ${count}`)
      this.count = count
      this.limit = Math.max(this.limit, count)
      this.draining = false
    }
    check(count === this.count, () => `${at}: delivery-count ${count}, should be ${this.count}`)
  }

  left(): number {
    return this.limit - this.count
  }
}
