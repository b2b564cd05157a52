// Who holds an unacknowledged delivery on behalf of a queue: a consumer, or the queue's `basic.get`.

/** The side of a queue that takes settled deliveries back. */
export interface QueueEnd {
  /** `outcome` is one of Outcome (shared/bus/wire.ts). */
  settled(holder: Holder, row: number, position: number, outcome: number): void
}

export interface Holder {
  readonly queue: QueueEnd
  /** Its slot in the shard's table of holders. */
  slot: number
  /** Unacknowledged deliveries. */
  unacked: number
  /** No more deliveries will be made: the slot goes when `unacked` reaches 0. */
  ended: boolean
}
