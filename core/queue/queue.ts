// What a shard asks of any queue, whatever its type. Hot calls go through this interface: with one
// type in use they are monomorphic, with two they stay inlined (bench/micro/queue.ts).

import type { QueueSettings } from '../topology/queue-settings.ts'
import type { Consumer, ConsumerChannel, ConsumerRing } from './consumer.ts'
import type { Holder, QueueEnd } from './holder.ts'

/** What became of a `get`: 'full' means that nothing changed, try again when there is room. */
export type GetOutcome = 'sent' | 'empty' | 'full'

/** Where a message may go: a queue, or what stands between an exchange and its queues. */
export interface MessageTarget {
  /** Unique in the node's life; negative: a reply queue. */
  readonly id: number
  readonly durable: boolean
  /** Takes room in the log for every message, not only for persistent ones. */
  readonly logsAll: boolean
  /** Position in the log of the last message that `accept` appended; 0 if it needed none. */
  readonly logPosition: number
  /** `accept` has refused its last message: its publisher is to hear of it. */
  readonly refused: boolean
  /**
   * Takes a message whose entry words are at `words[e..]`. `row` is its row if another queue keeps it
   * already, else -1. Returns the row, still -1 when it keeps none. For `durable` targets the shard has
   * asked the log for room, where the message is persistent or the target `logsAll`.
   */
  accept(words: Int32Array, e: number, flags: number, row: number): number
}

export interface Queue extends QueueEnd, MessageTarget {
  /** One consumer at a time is served. */
  readonly singleActive: boolean
  readonly consumers: ConsumerRing
  /** Deliveries that are not settled. */
  readonly unackedCount: number
  readonly deleted: boolean
  /** It is on the shard's list of queues to pump. Kept by the shard. */
  woken: boolean

  /** Takes other settings (a policy has changed). Those that are for a queue's life stay. */
  configure(settings: QueueSettings): void
  /** Somebody has asked for the queue without consuming: see Lease. */
  used(): void
  /** Messages that wait for a consumer. */
  readyCount(): number
  /** Delivers what can be delivered. Called after it has asked its context to `wake` it. */
  pump(): void
  /** Takes one message for `basic.get`. */
  get(channel: ConsumerChannel, getter: Holder, request: number, noAck: boolean): GetOutcome
  /** A delivery of `consumer` was settled: it may have come back under its prefetch. */
  afterSettle(consumer: Consumer): void
  /** A reason (`Block`) not to serve `consumer` has gone. */
  unblock(consumer: Consumer, reason: number): void
  /** Link credit for a credited consumer: as Record.linkCredit. */
  grantCredit(consumer: Consumer, deliveryCount: number, credit: number, flags: number): void
  addConsumer(consumer: Consumer): void
  /** Its unsettled deliveries stay its own. */
  removeConsumer(consumer: Consumer): void
  /** Drops all ready messages; returns how many. */
  purge(): number
  /** The queue is gone, with all that it holds. */
  destroy(): void
}
