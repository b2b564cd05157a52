// Redrive: messages of a dead-letter queue go back to where they died last. A job takes them from the
// front, so many a second, and passes by those that came some other way or cannot go back; each stays
// the queue's until the place that it goes to has it (see dead-letters.ts).

import { decodeHeaders } from '../../shared/message/properties.ts'
import { fieldOf, textOf } from '../../shared/message/value.ts'
import type { DeathTarget } from '../message/death-entry.ts'
import { browse } from '../queue/browse.ts'
import type { ClassicQueue } from '../queue/classic-queue.ts'
import type { TimerOwner } from '../time/timer-wheel.ts'
import type { QueueRecord } from '../topology/records.ts'
import type { ShardState } from './shard-state.ts'

export interface RedriveOptions {
  /** `queue`: straight to the queue it died in; `exchange`: to the exchange, by the key it had then. */
  readonly to: 'queue' | 'exchange'
  /** Messages a second; undefined: as many as there is room for. */
  readonly rate: number | undefined
  /** Messages in all; undefined: those that are there now. */
  readonly count: number | undefined
  /** Whether the messages keep what they tell of their deaths. */
  readonly keepDeaths: boolean
}

export interface RedriveProgress {
  readonly running: boolean
  readonly moved: number
  /** Messages that stay: they tell of no death, or there is no such queue or exchange any more. */
  readonly skipped: number
}

/** A job looks at its queue this often. */
const tickMs = 20
/** Messages that one look moves at most, and that are on their way at most. */
const movesPerTick = 512

export class Redrive implements TimerOwner {
  private readonly state: ShardState
  private readonly queue: ClassicQueue
  private readonly record: QueueRecord
  private readonly options: RedriveOptions
  /** All messages below were looked at. */
  private cursor: number
  private left: number
  private moved: number
  private skipped: number
  private underWay: number
  /** What the rate allows now. */
  private allowance: number
  private lastTick: number
  private timer: number

  constructor(
    state: ShardState,
    queue: ClassicQueue,
    record: QueueRecord,
    options: RedriveOptions,
  ) {
    this.state = state
    this.queue = queue
    this.record = record
    this.options = options
    this.cursor = 0
    this.left = options.count ?? queue.readyCount()
    this.moved = 0
    this.skipped = 0
    this.underWay = 0
    this.allowance = 0
    this.lastTick = state.clock.now
    this.timer = state.timers.add(state.clock.now, this, 0)
  }

  progress(): RedriveProgress {
    const { moved, skipped } = this
    return { running: this.timer >= 0 || this.underWay > 0, moved, skipped }
  }

  /** What is on its way arrives; nothing more is taken. */
  cancel(): void {
    if (this.timer >= 0) this.state.timers.cancel(this.timer)
    this.timer = -1
  }

  /** TimerOwner. */
  onTimer(): number {
    const { clock, timers } = this.state
    this.timer = -1
    const before = this.cursor
    const done = this.isOver() ? 0 : this.step()
    const waits = this.cursor === before && this.underWay === 0 && this.allowance >= 1
    if (!this.isOver() && !(waits && done === 0 && this.isAtEnd())) {
      this.timer = timers.add(clock.now + tickMs, this, 0)
    }
    return 1 + done
  }

  private isOver(): boolean {
    return this.left <= 0 || this.queue.deleted
  }

  /** Nothing further is in memory, nor on its way there. */
  private isAtEnd(): boolean {
    return browse(this.queue.ready, this.cursor, 1).length === 0
  }

  private step(): number {
    const { clock } = this.state
    const { rate } = this.options
    const passed = clock.now - this.lastTick
    this.lastTick = clock.now
    this.allowance =
      rate === undefined
        ? movesPerTick
        : Math.min(this.allowance + (rate * passed) / 1000, Math.max(1, rate))
    const most = Math.min(Math.floor(this.allowance), movesPerTick - this.underWay, this.left)
    if (most <= 0) return 0
    const found = browse(this.queue.ready, this.cursor, most)
    for (const { row, position } of found) {
      this.cursor = position + 1
      this.left--
      this.allowance--
      this.move(row, position)
    }
    this.queue.readAhead()
    return found.length
  }

  private move(row: number, position: number): void {
    const target = this.targetOf(row)
    if (target === undefined || !this.queue.takeAt(position)) {
      this.skipped++
      return
    }
    this.underWay++
    this.state.deaths.redirect(this.queue, this.record, row, position, {
      target,
      keepDeaths: this.options.keepDeaths,
      onEnd: (arrived) => {
        this.underWay--
        if (arrived) this.moved++
        else this.skipped++
      },
    })
  }

  /** Where the message died last, if that is still there. */
  private targetOf(row: number): DeathTarget | undefined {
    const { messages, arena } = this.state
    const at =
      (messages.at[row] as number) +
      (messages.exrkSize[row] as number) +
      (messages.extraSize[row] as number)
    const bytes = arena.slab(messages.slab[row] as number)
    const headers = decodeHeaders(bytes, at, messages.propsSize[row] as number)
    const deaths = fieldOf(headers, 'x-death')
    const last = deaths?.type === 'A' ? deaths.value[0] : undefined
    if (last?.type !== 'F') return undefined
    const { exchanges, queues } = this.record.vhost
    if (this.options.to === 'queue') {
      const queue = textOf(fieldOf(last.value, 'queue'))
      if (queue === undefined || !queues.has(queue)) return undefined
      return { exchange: '', routingKey: queue }
    }
    const exchange = textOf(fieldOf(last.value, 'exchange'))
    const keys = fieldOf(last.value, 'routing-keys')
    const routingKey = keys?.type === 'A' ? textOf(keys.value[0]) : undefined
    if (exchange === undefined || routingKey === undefined || !exchanges.has(exchange)) {
      return undefined
    }
    return { exchange, routingKey }
  }
}
