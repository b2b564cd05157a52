// Credit of a link whose deliveries are filtered here: the shard counts those that do not pass, the
// client does not. Grants are absolute (delivery-count plus credit), so they can be told again at any
// time.

import { advance, distance } from './serial-number.ts'

/** What the client is told of its link. */
export interface LinkStanding {
  readonly deliveryCount: number
  readonly credit: number
}

export class FilteredCredit {
  /** The shard's delivery-count less the client's. */
  filtered: number
  /** The client waits for its credit to be used up. */
  draining: boolean
  /** The shard's delivery-count as of what has come from it. */
  private shardCount: number
  /** Where the client's credit ends, by its count. */
  private limit: number
  private filteredSinceGrant: boolean

  constructor() {
    this.filtered = 0
    this.draining = false
    this.shardCount = 0
    this.limit = 0
    this.filteredSinceGrant = false
  }

  /** The client grants credit; gives the count that the shard is told with it. */
  grant(deliveryCount: number, credit: number, drain: boolean): number {
    this.limit = advance(deliveryCount, credit)
    this.draining = drain
    this.filteredSinceGrant = false
    return advance(deliveryCount, this.filtered)
  }

  // HOT: once per delivery on a filtered link
  /** A delivery came that the client gets. */
  passed(): void {
    this.shardCount = advance(this.shardCount, 1)
  }

  /** A delivery came that it does not get. */
  heldBack(): void {
    this.shardCount = advance(this.shardCount, 1)
    this.filtered = advance(this.filtered, 1)
    this.filteredSinceGrant = true
  }

  /** The client's credit that is left when it has had `deliveryCount`. */
  left(deliveryCount: number): number {
    return Math.max(0, distance(this.limit, deliveryCount))
  }

  /**
   * The shard says how the link stands, where the client has had `deliveryCount`. Undefined: what was
   * to be drained has gone to deliveries that did not pass; the shard must be granted it once more.
   */
  standing(deliveryCount: number, shardCount: number, drained: boolean): LinkStanding | undefined {
    const usedUp = distance(shardCount, this.shardCount)
    this.shardCount = shardCount >>> 0
    if (!drained || !this.draining) {
      const count = advance(deliveryCount, usedUp)
      return { deliveryCount: count, credit: this.left(count) }
    }
    if (usedUp === 0 && this.filteredSinceGrant && this.left(deliveryCount) > 0) {
      this.filteredSinceGrant = false
      return undefined
    }
    this.draining = false
    this.filtered = advance(this.shardCount, -this.limit)
    return { deliveryCount: this.limit, credit: 0 }
  }
}
