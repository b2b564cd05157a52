// A transaction's share of the gateway: acknowledgements that wait for commit. Its publishes wait at
// the ingress shard.

import type { UnackedTags } from '../../../shared/bus/unacked-tags.ts'

interface DeferredSettle {
  readonly tag: number
  readonly shard: number
  readonly deliveryId: number
  readonly counted: number
  readonly outcome: number
}

export class Transaction {
  /** Something was published since the last commit or rollback. */
  published: boolean
  private deferred: DeferredSettle[]

  constructor() {
    this.published = false
    this.deferred = []
  }

  /** Settles at commit. */
  defer(tag: number, shard: number, deliveryId: number, counted: number, outcome: number): void {
    this.deferred.push({ tag, shard, deliveryId, counted, outcome })
  }

  /** True while there are acknowledgements to commit. */
  hasDeferred(): boolean {
    return this.deferred.length > 0
  }

  /** Commit: gives each deferred acknowledgement to `settle` and forgets it. */
  drain(
    settle: (shard: number, deliveryId: number, counted: number, outcome: number) => void,
  ): void {
    const items = this.deferred
    this.deferred = []
    for (const item of items) settle(item.shard, item.deliveryId, item.counted, item.outcome)
  }

  /** Rollback: the deliveries are unacknowledged again, in tag order. */
  restore(unacked: UnackedTags): void {
    const items = this.deferred
    this.deferred = []
    unacked.takeAll((tag, shard, deliveryId, counted) => {
      items.push({ tag, shard, deliveryId, counted, outcome: 0 })
    })
    items.sort((a, b) => a.tag - b.tag)
    for (const item of items) unacked.add(item.tag, item.shard, item.deliveryId, item.counted)
  }
}
