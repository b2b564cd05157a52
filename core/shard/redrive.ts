// Redrive: messages of a dead-letter queue go back to where they died last. A job takes them from the
// front, so many a second, and passes by those that came some other way or cannot go back; each stays
// the queue's until the place that it goes to has it (see dead-letters.ts). What is on disk only is
// read in pieces, and what is passed by stays there.

import { decodeHeaders } from '../../shared/message/properties.ts'
import { fieldOf, textOf } from '../../shared/message/value.ts'
import type { QueueLog } from '../log/log.ts'
import type { DeathTarget } from '../message/death-entry.ts'
import { browse } from '../queue/browse.ts'
import type { ClassicQueue } from '../queue/classic-queue.ts'
import { DiskLook } from '../queue/disk-look.ts'
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
  /** Messages before this position are left alone: `next` of a redrive that did not get to the end. */
  readonly from: number
}

export interface RedriveProgress {
  readonly running: boolean
  readonly moved: number
  /** Messages that stay: they tell of no death, or there is no such queue or exchange any more. */
  readonly skipped: number
  /** Messages that it has still to look at, at most. */
  readonly left: number
  /** The position that it has come to. */
  readonly next: number
}

/** A job looks at its queue this often. */
const tickMs = 20
/** Messages that one look moves at most, and that are on their way at most. */
const movesPerTick = 512
/** Messages on disk that are looked for in one pass. */
const storedPerPass = 65_536

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
  /** Of what is on disk only; undefined: none is under way. */
  private look: DiskLook | undefined
  private reading: boolean
  private exhausted: boolean
  /** What it has brought, and has not been moved: rows and positions from `readAt` on. */
  private rows: number[]
  private positions: number[]
  private readAt: number

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
    this.cursor = options.from
    this.left = options.count ?? queue.readyCount()
    this.moved = 0
    this.skipped = 0
    this.underWay = 0
    this.allowance = 0
    this.lastTick = state.clock.now
    this.look = undefined
    this.reading = false
    this.exhausted = false
    this.rows = []
    this.positions = []
    this.readAt = 0
    this.timer = state.timers.add(state.clock.now, this, 0)
  }

  progress(): RedriveProgress {
    const { moved, skipped, left, cursor } = this
    return { running: this.timer >= 0 || this.underWay > 0, moved, skipped, left, next: cursor }
  }

  /** What is on its way arrives; nothing more is taken. */
  cancel(): void {
    if (this.timer >= 0) this.state.timers.cancel(this.timer)
    this.timer = -1
    this.stopReading()
  }

  /** TimerOwner. */
  onTimer(): number {
    const { clock, timers } = this.state
    this.timer = -1
    const done = this.isOver() ? 0 : this.step()
    if (this.isOver() || this.isAtEnd()) this.stopReading()
    else this.timer = timers.add(clock.now + tickMs, this, 0)
    return 1 + done
  }

  private isOver(): boolean {
    return this.left <= 0 || this.queue.deleted
  }

  /** Nothing further waits, nor is it on its way from the disk. */
  private isAtEnd(): boolean {
    if (this.look !== undefined || this.queue.nextStored(this.cursor) !== undefined) return false
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
    if (this.look !== undefined) return this.stepStored(most)
    const stored = this.queue.nextStored(this.cursor)
    const end = stored?.position ?? Number.POSITIVE_INFINITY
    const found = browse(this.queue.ready, this.cursor, most).filter(
      ({ position }) => position < end,
    )
    for (const { row, position } of found) {
      this.count(position)
      const target = this.targetOf(row)
      if (target === undefined || !this.queue.takeAt(position)) this.skipped++
      else this.move(row, position, target)
    }
    if (stored !== undefined && found.length < most) this.lookAt(stored)
    return found.length
  }

  /** Moves what was read; reads on when all of it is. */
  private stepStored(most: number): number {
    const end = Math.min(this.rows.length, this.readAt + most)
    const from = this.readAt
    while (this.readAt < end) {
      const row = this.rows[this.readAt] as number
      const position = this.positions[this.readAt] as number
      this.readAt++
      this.count(position)
      const target = this.targetOf(row)
      // What a consumer got meanwhile is neither moved nor passed by.
      const taken = target === undefined ? -1 : this.queue.takeStored(row, position)
      if (target === undefined) {
        this.state.messages.release(row)
        this.skipped++
      } else if (taken >= 0) this.move(taken, position, target)
    }
    if (this.readAt === this.rows.length && !this.reading) this.readMore()
    return this.readAt - from
  }

  private lookAt(stored: { readonly position: number; readonly log: QueueLog }): void {
    const onMessage = (row: number, position: number): void => {
      if (this.look !== look) return this.state.messages.release(row)
      this.rows.push(row)
      this.positions.push(position)
    }
    const onEnd = (exhausted: boolean): void => {
      if (this.look !== look) return
      this.reading = false
      this.exhausted = exhausted
      if (this.rows.length === 0) this.readMore()
    }
    const look = new DiskLook(
      this.queue,
      this.state.log,
      stored,
      Math.min(this.left, storedPerPass),
      onMessage,
      onEnd,
    )
    this.look = look
    this.exhausted = false
    this.readMore()
  }

  private readMore(): void {
    const { look } = this
    this.rows = []
    this.positions = []
    this.readAt = 0
    if (look === undefined) return
    if (this.exhausted) {
      this.look = undefined
      this.cursor = Math.max(this.cursor, look.to)
    } else {
      // The end may be told at once.
      this.reading = true
      if (!look.read()) this.reading = false
    }
  }

  private stopReading(): void {
    for (let i = this.readAt; i < this.rows.length; i++) {
      this.state.messages.release(this.rows[i] as number)
    }
    this.rows = []
    this.positions = []
    this.readAt = 0
    this.look = undefined
  }

  /** A message is looked at. */
  private count(position: number): void {
    this.cursor = position + 1
    this.left--
    this.allowance--
  }

  private move(row: number, position: number, target: DeathTarget): void {
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
