// Delayed retries of quorum queues (`x-delayed-retry-type`, -min, -max; RabbitMQ 4.3): what comes back
// waits aside before it is delivered again, the longer the more often it failed. A restart ends the wait.

import type { ShardClock } from '../time/clock.ts'
import type { TimerOwner, TimerWheel } from '../time/timer-wheel.ts'
import type { DelayedRetrySettings } from '../topology/queue-settings.ts'

/** Where messages go back to when they have waited. */
export interface RetryQueue {
  backAgain(row: number, position: number): void
}

/** How long a message waits that has come back; 0: not at all. `failures`: of all its deliveries so far. */
export function retryDelay(
  settings: DelayedRetrySettings | undefined,
  failed: boolean,
  failures: number,
): number {
  if (settings === undefined) return 0
  const { type, minMs, maxMs } = settings
  if (type !== 'all' && (type === 'failed') !== failed) return 0
  return Math.min(minMs * Math.max(1, failures), maxMs)
}

/** The messages of one queue that wait aside. */
export class DelayedRetries implements TimerOwner {
  private readonly clock: ShardClock
  private readonly timers: TimerWheel
  private readonly queue: RetryQueue
  /** Rows and timers by position. */
  private readonly waiting: Map<number, { readonly row: number; readonly timer: number }>

  constructor(clock: ShardClock, timers: TimerWheel, queue: RetryQueue) {
    this.clock = clock
    this.timers = timers
    this.queue = queue
    this.waiting = new Map()
  }

  count(): number {
    return this.waiting.size
  }

  add(row: number, position: number, delayMs: number): void {
    const timer = this.timers.add(this.clock.now + delayMs, this, position)
    this.waiting.set(position, { row, timer })
  }

  /** TimerOwner. */
  onTimer(position: number): number {
    const found = this.waiting.get(position)
    this.waiting.delete(position)
    if (found !== undefined) this.queue.backAgain(found.row, position)
    return 1
  }

  /** Nobody waits any longer. */
  putBackAll(): void {
    const all = [...this.waiting]
    this.waiting.clear()
    for (const [position, { row, timer }] of all) {
      this.timers.cancel(timer)
      this.queue.backAgain(row, position)
    }
  }
}
