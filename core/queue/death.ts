// Why a queue parts with a message that nobody has processed: the reasons of `x-death`.

import type { QueueSettings } from '../topology/queue-settings.ts'

export type DeathReason = 'expired' | 'maxlen' | 'rejected' | 'delivery_limit'

/** What dead-lettering asks of the queue that a message dies in. */
export interface DyingQueue {
  readonly id: number
  readonly deleted: boolean
  readonly settings: QueueSettings
  /** A dead letter stays until all that it goes to have it. */
  atLeastOnce(): boolean
  /** The message is where it should go, or nowhere: its row and its record in the log may go. */
  buried(row: number, position: number): void
  /** The message could not go where it was to: it stays in the queue. */
  unburied(row: number, position: number): void
}

/** Where queues put what dies in them. */
export interface DeathSink {
  /** Takes over the queue's hold on `row` until `queue.buried`. */
  add(queue: DyingQueue, row: number, position: number, reason: DeathReason): void
}
