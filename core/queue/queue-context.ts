// What a queue is given by its shard.

import type { FieldTable } from '../../shared/message/value.ts'
import type { QueueIds } from '../dedup/queue-ids.ts'
import type { Log } from '../log/log.ts'
import type { MessageTable } from '../message/message-table.ts'
import type { ShardClock } from '../time/clock.ts'
import type { TimerWheel } from '../time/timer-wheel.ts'
import type { DeduplicationSettings } from '../topology/queue-settings.ts'
import type { ConsumerChannel } from './consumer.ts'
import type { DeathSink } from './death.ts'
import type { Queue } from './queue.ts'

/** A queue whose messages have ids. */
export interface IdentifiedQueue {
  readonly id: number
  readonly durable: boolean
  /** Whether the message at `position` is in the log and not settled. */
  isLogged(position: number): boolean
}

/** What all queues of a shard share. */
export interface QueueContext {
  readonly messages: MessageTable
  readonly log: Log
  /** Bytes of messages that a queue keeps in memory when they are on disk too. */
  readonly queueMemoryBudget: number
  readonly clock: ShardClock
  readonly timers: TimerWheel
  readonly deaths: DeathSink
  /** Asks for `pump` before the batch ends. */
  readonly wake: (queue: Queue) => void
  /** The queue was not used for as long as it may: it is to be deleted. */
  readonly unused: (queue: Queue) => void
  /** Tells the gateway that a channel with global prefetch could use a token. */
  readonly want: (channel: ConsumerChannel) => void
  /** A copy of a message with these headers, held once; -1 when there is no room for it. */
  readonly copyWithHeaders?: (row: number, headers: FieldTable) => number
  /** What a queue that drops duplicates knows of ids. */
  readonly newIds?: (queue: IdentifiedQueue, settings: DeduplicationSettings) => QueueIds
}
