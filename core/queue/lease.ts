// x-expires: a queue that nobody uses ends. To use it is to consume from it, to get from it or to
// declare it again (RabbitMQ: publishing to it and binding it count for nothing).

import type { ShardClock } from '../time/clock.ts'
import type { TimerOwner, TimerWheel } from '../time/timer-wheel.ts'

export class Lease implements TimerOwner {
  private readonly clock: ShardClock
  private readonly timers: TimerWheel
  private readonly onEnd: () => void
  private ms: number
  /** -1: none is set. */
  private timer: number

  /** `onEnd` is called when the queue has not been used for as long as it may. */
  constructor(clock: ShardClock, timers: TimerWheel, onEnd: () => void) {
    this.clock = clock
    this.timers = timers
    this.onEnd = onEnd
    this.ms = 0
    this.timer = -1
  }

  /** The queue was used; from now on it may stay unused for `ms`. */
  renew(ms: number): void {
    this.stop()
    this.ms = ms
    this.timer = this.timers.add(this.clock.now + ms, this, 0)
  }

  /** The queue is in use, or has no such limit any more. */
  stop(): void {
    if (this.timer >= 0) this.timers.cancel(this.timer)
    this.timer = -1
  }

  /** The time that it was renewed for last. */
  period(): number {
    return this.ms
  }

  onTimer(): number {
    this.timer = -1
    this.onEnd()
    return 1
  }
}
