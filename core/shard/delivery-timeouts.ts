// How long a consumer may hold a delivery without settling it. Channels are looked at now and then,
// the more often the shorter the shortest timeout is; a channel that holds something for too long is
// told to its gateway, which closes it (RabbitMQ up to 4.2, on every type of queue).

import { Consumer } from '../queue/consumer.ts'
import type { Holder } from '../queue/holder.ts'
import type { TimerOwner } from '../time/timer-wheel.ts'
import type { ShardChannel } from './channel.ts'
import type { ShardState } from './shard-state.ts'

/** Looks per shortest timeout: a timeout is found this part of it too late at most. */
const looksPerTimeout = 4
const lookMsMin = 50
const lookMsMax = 60_000

export class DeliveryTimeouts implements TimerOwner {
  private readonly state: ShardState
  /** `consumer_timeout`; 0: none. */
  private readonly presetMs: number
  private shortestMs: number
  /** Handle of the timer for the next look; -1: there is nothing to look at. */
  private timer: number
  private due: number

  constructor(state: ShardState, presetMs: number) {
    this.state = state
    this.presetMs = presetMs
    this.shortestMs = presetMs > 0 ? presetMs : Number.POSITIVE_INFINITY
    this.timer = -1
    this.due = 0
  }

  /** Deliveries begin that may take `ownMs` (a consumer's), what their queue says, or as long as any. */
  watch(queue: number, ownMs: number | undefined): void {
    const ms = ownMs ?? this.queueMs(queue)
    if (ms > 0 && ms < this.shortestMs) this.shortestMs = ms
    if (this.shortestMs === Number.POSITIVE_INFINITY) return
    const { clock, timers } = this.state
    const wait = Math.min(Math.max(this.shortestMs / looksPerTimeout, lookMsMin), lookMsMax)
    if (this.timer >= 0) {
      if (this.due <= clock.now + wait) return
      timers.cancel(this.timer)
    }
    this.due = clock.now + wait
    this.timer = timers.add(this.due, this, 0)
  }

  /** TimerOwner. */
  onTimer(): number {
    this.timer = -1
    let looked = 0
    let open = false
    for (const end of this.state.ends) {
      for (const channel of end.channels) {
        if (channel === undefined) continue
        open = true
        looked++
        if (!channel.timedOut) this.look(channel)
      }
    }
    if (open) this.watch(0, 0)
    // Looking at a hundred channels is about the work of one message.
    return 1 + looked / 100
  }

  private look(channel: ShardChannel): void {
    const { unacked } = channel
    const { now } = this.state.clock
    const oldest = unacked.oldestTime()
    if (now - oldest < this.shortestMs) return
    const { holders } = this.state
    for (let id = unacked.base; id !== unacked.next; id = (id + 1) | 0) {
      const slot = unacked.slotOf(id)
      if (slot < 0) continue
      const held = now - (unacked.times[slot] as number)
      if (held < this.shortestMs) return
      const ms = this.timeoutOf(holders.get(unacked.holders[slot] as number))
      if (ms === 0 || held < ms) continue
      channel.timedOut = true
      this.state.event(channel.outlet, {
        event: 'deliveryTimeout',
        channel: channel.id,
        timeoutMs: ms,
      })
      return
    }
  }

  private timeoutOf(holder: Holder | undefined): number {
    if (holder === undefined) return 0
    const own = holder instanceof Consumer ? holder.timeoutMs : undefined
    return own ?? this.queueMs((holder.queue as { readonly id?: number }).id ?? 0)
  }

  /** 0: no timeout. */
  private queueMs(queue: number): number {
    const record = this.state.topology.queuesById.get(queue)
    return record?.settings.consumerTimeoutMs ?? this.presetMs
  }
}
