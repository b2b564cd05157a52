// Who holds an unacknowledged delivery on behalf of a queue: a consumer, or the queue's `basic.get`.

import type { FieldTable } from '../../shared/message/value.ts'

/** The side of a queue that takes settled deliveries back. */
export interface QueueEnd {
  /** `outcome` is one of Outcome (shared/bus/wire.ts). */
  settled(holder: Holder, row: number, position: number, outcome: number): void
  /**
   * A delivery that is about to be settled: its message gets these headers, if the queue keeps such.
   * Gives the row that is held in place of `row`.
   */
  annotate?(row: number, position: number, headers: FieldTable): number
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
