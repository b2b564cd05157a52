// The messages that one exchange holds back on one shard, until they are due.
//
// An entry is kept as it will be delivered (its x-delay negated), with the time at which it is due, in
// milliseconds since 1970 (Float64, little-endian), in front of it: as part of its exrk region, so
// that the log keeps both. In memory are the times of all (16 bytes each) and, up to a budget, the
// messages that are due first; of persistent ones the others are on disk only, and are read back
// in time by a pass over what is there, which takes those that it wants.

import type { Arena } from '../../shared/bus/arena.ts'
import { EntryFlag } from '../../shared/bus/wire.ts'
import { viewOf } from '../../shared/bytes/view.ts'
import { Writer } from '../../shared/bytes/writer.ts'
import type { BacklogOwner, Log, QueueLog } from '../log/log.ts'
import type { MessageTable } from '../message/message-table.ts'
import type { MessageTarget } from '../queue/queue.ts'
import type { ShardClock } from '../time/clock.ts'
import type { TimerOwner, TimerWheel } from '../time/timer-wheel.ts'
import { delayOf, withServedDelay } from './delay-header.ts'
import { DueHeap } from './due-heap.ts'

/** What lies before the body of an entry (as EntryHead of core/message/entry-copier.ts). */
interface EntryHead {
  readonly bytes: Uint8Array
  readonly exrkSize: number
  readonly extraSize: number
  readonly propsSize: number
}

/** Makes copies of entries with another head; `words` are the entry words of the last one. */
interface EntryCopies {
  readonly words: Int32Array
  copyUnder(source: Int32Array, e: number, head: EntryHead): boolean
  close(): void
}

export interface DelayContext {
  readonly messages: MessageTable
  readonly arena: Arena
  readonly log: Log
  readonly clock: ShardClock
  readonly timers: TimerWheel
  /** Bytes of messages that stay in memory when they are on disk too. */
  readonly memoryBudget: number
  readonly copies: EntryCopies
  /** Asks for `turn` before the batch ends. */
  readonly wake: (delayed: DelayedMessages) => void
  /** `count` messages can't be read back from disk: they are lost. */
  readonly lost: (delayed: DelayedMessages, count: number) => void
}

/** Bytes in front of a held entry. */
export const dueBytes = 8
/** What is to be read back is asked for this long before it is due. */
const leadMs = 5000
/** Messages that one pass over the disk brings back at most. */
const wantedMax = 200_000
/** How many times are looked at to find one that divides them. */
const sampleSize = 1024
/** In place of a position that was wanted and has come. */
const came = -1
const keptFlags: number = ~(
  EntryFlag.mandatory |
  EntryFlag.confirm |
  EntryFlag.redelivered |
  EntryFlag.transactional |
  EntryFlag.settled |
  EntryFlag.lenient
)

export class DelayedMessages implements MessageTarget, BacklogOwner, TimerOwner {
  readonly id: number
  readonly durable: boolean
  readonly logsAll: boolean
  readonly marks: undefined
  logPosition: number
  /** The last message could not be taken: there was no slab for it. */
  refused: boolean
  deleted: boolean
  /** It is on the shard's list of those with something due. */
  woken: boolean
  /** Everything is due at once: the exchange does not delay any more. */
  hurried: boolean
  private readonly context: DelayContext
  private readonly log: QueueLog | undefined
  private readonly heap: DueHeap
  /** Rows of the messages that are in memory, by position. */
  private readonly rows: Map<number, number>
  /** Positions that are in the heap though they have gone. */
  private readonly gone: Set<number>
  /** Bytes of the messages that are in memory. */
  private bytes: number
  private next: number
  /** What is on disk only is due later than this, or wanted by the pass under way. */
  private horizon: number
  private timer: number
  private timerDue: number
  /** After a restart: messages on disk that are not in the heap yet. */
  private unindexed: number
  private reading: boolean
  /** What the pass under way is to bring, rising; how far it has come. */
  private wanted: Float64Array
  private wantedAt: number
  private readTo: number
  private readonly writer: Writer

  constructor(id: number, durable: boolean, context: DelayContext) {
    this.id = id
    this.durable = durable
    this.logsAll = false
    this.marks = undefined
    this.logPosition = 0
    this.refused = false
    this.deleted = false
    this.woken = false
    this.hurried = false
    this.context = context
    this.heap = new DueHeap()
    this.rows = new Map()
    this.gone = new Set()
    this.bytes = 0
    this.next = 0
    this.horizon = Number.POSITIVE_INFINITY
    this.timer = -1
    this.timerDue = Number.POSITIVE_INFINITY
    this.unindexed = 0
    this.reading = false
    this.wanted = new Float64Array(0)
    this.wantedAt = 0
    this.readTo = 0
    this.writer = new Writer(1024)
    this.log = durable ? context.log.openQueue(id, this, 0) : undefined
  }

  /** Messages that are held back. */
  count(): number {
    return this.heap.size - this.gone.size + this.unindexed
  }

  // HOT: once per delayed message
  /** Holds a message back; a copy of it, whatever row it has. */
  accept(words: Int32Array, e: number, flags: number, row: number): number {
    const { context, writer } = this
    this.logPosition = 0
    this.refused = false
    if (this.deleted) return row
    const bytes = context.arena.slab(words[e] as number)
    const at = words[e + 1] as number
    const keysSize = (words[e + 2] as number) + (words[e + 3] as number)
    const propsAt = at + keysSize
    const propsSize = words[e + 4] as number
    const delayMs = delayOf(bytes, propsAt, propsSize)
    const due = context.clock.now + delayMs
    writer.at = 0
    const dueAt = writer.reserve(dueBytes)
    viewOf(writer.bytes).setFloat64(dueAt, context.clock.toWall(due), true)
    writer.raw(bytes.subarray(at, propsAt))
    const props = withServedDelay(bytes, propsAt, propsSize, delayMs)
    writer.raw(props)
    const head = {
      bytes: writer.bytes,
      exrkSize: dueBytes + (words[e + 2] as number),
      extraSize: words[e + 3] as number,
      propsSize: props.length,
    }
    if (!context.copies.copyUnder(words, e, head)) {
      this.refused = true
      return row
    }
    const kept = context.messages.add(context.copies.words, 0, flags & keptFlags)
    context.copies.close()
    this.hold(kept, this.next++, due, flags)
    return row
  }

  private hold(row: number, position: number, due: number, flags: number): void {
    if (this.log !== undefined && (flags & EntryFlag.persistent) !== 0) {
      this.logPosition = this.context.log.enqueue(this.log, position, row, 0)
    }
    this.keep(row, position)
    this.heap.push(due, position)
    this.arm()
  }

  /** Everything is due now, and so is what comes from the disk. */
  hurry(): void {
    this.hurried = true
    this.context.wake(this)
  }

  /**
   * The position of a message that is due and in memory, or -1. Asks for what is due and on disk only.
   * `take` it before the next call.
   */
  due(): number {
    const { heap, gone } = this
    const now = this.hurried ? Number.POSITIVE_INFINITY : this.context.clock.now
    while (heap.size > 0 && gone.delete(heap.first())) heap.pop()
    if (heap.size > 0 && heap.due() <= now) {
      if (this.rows.has(heap.first())) return heap.first()
      this.readBack(true)
      return -1
    }
    this.arm()
    return -1
  }

  /** The row of the message that `due` has named. */
  dueRow(): number {
    return this.rows.get(this.heap.first()) as number
  }

  /** Takes the message that `due` has named; `end` it when others have it. */
  take(): void {
    const position = this.heap.first()
    this.forget(position, this.dueRow())
    this.heap.pop()
  }

  /** The message that was taken is where it was routed. */
  end(row: number, position: number): void {
    const { context, log } = this
    const isLogged = ((context.messages.flags[row] as number) & EntryFlag.persistent) !== 0
    if (log !== undefined && !this.deleted && isLogged) context.log.settle(log, position, 1)
    context.messages.release(row)
  }

  /** Drops the message at `position`. False when it is not here. */
  cancel(position: number): boolean {
    if (this.gone.has(position) || this.heap.indexOf(position) < 0) return false
    const row = this.rows.get(position)
    this.gone.add(position)
    if (row === undefined) {
      if (this.log !== undefined) this.context.log.settle(this.log, position, 1)
      return true
    }
    this.forget(position, row)
    this.end(row, position)
    return true
  }

  /** Makes the message at `position` due now. False when it is not here. */
  deliverNow(position: number): boolean {
    const i = this.gone.has(position) ? -1 : this.heap.indexOf(position)
    if (i < 0) return false
    this.heap.hurry(i)
    this.context.wake(this)
    return true
  }

  /** Calls back for the `count` messages that are due first; row -1: on disk only, `due` monotonic. */
  soonest(count: number, onMessage: (position: number, due: number, row: number) => void): void {
    for (const i of this.heap.soonest(count + this.gone.size)) {
      const position = this.heap.positionAt(i)
      if (this.gone.has(position)) continue
      onMessage(position, this.heap.dueAt(i), this.rows.get(position) ?? -1)
    }
  }

  /** TimerOwner. */
  onTimer(_key: number): number {
    this.timer = -1
    this.timerDue = Number.POSITIVE_INFINITY
    if (this.horizon - leadMs <= this.context.clock.now) this.readBack(false)
    this.context.wake(this)
    return 1
  }

  /** The exchange is gone, with all that it holds. */
  destroy(): void {
    this.deleted = true
    if (this.timer >= 0) this.context.timers.cancel(this.timer)
    this.timer = -1
    if (this.log !== undefined) this.context.log.deleteQueue(this.log)
    for (const row of this.rows.values()) this.context.messages.release(row)
    this.rows.clear()
  }

  /** BacklogOwner. */
  restore(row: number, position: number): void {
    this.keep(row, position)
    this.heap.push(this.restoredDue(row), position)
  }

  /** BacklogOwner: the times of these are only on disk too. */
  restoreStored(count: number, _from: number, to: number): void {
    this.unindexed = count
    this.readTo = to
  }

  /** BacklogOwner. */
  restoreEnd(next: number, _deliveredTo: number): void {
    this.next = next
    this.context.wake(this)
  }

  /** BacklogOwner: no message has one. */
  restoreMark(_position: number, _word: number): void {}

  /** BacklogOwner: nothing expires here. */
  restoreExpiry(_position: number, _at: number): void {}

  /** BacklogOwner: there is one level. */
  restoreLevel(_level: number): void {}

  undeliveredFrom(): number {
    return 0
  }

  /** BacklogOwner: those that are due last leave memory when all of them take too much. */
  pageOut(to: number): void {
    const { messages, memoryBudget } = this.context
    if (this.bytes <= memoryBudget) return
    const sample: number[] = []
    const step = Math.max(1, Math.floor(this.rows.size / sampleSize))
    let i = 0
    for (const row of this.rows.values()) if (i++ % step === 0) sample.push(this.dueOf(row))
    const limit = quantile(sample, memoryBudget / 2 / this.bytes)
    for (const [position, row] of this.rows) {
      if (position >= to || this.dueOf(row) <= limit) continue
      if (((messages.flags[row] as number) & EntryFlag.persistent) === 0) continue
      this.forget(position, row)
      messages.release(row)
    }
    this.horizon = Math.min(this.horizon, limit)
    this.arm()
  }

  storedFrom(): number {
    return this.wanted[this.wantedAt] ?? (this.unindexed > 0 ? 0 : this.readTo)
  }

  storedTo(): number {
    return this.readTo
  }

  /** BacklogOwner: keeps what the pass is for; after a restart it learns the times of all. */
  load(row: number, position: number): void {
    const { messages, memoryBudget } = this.context
    if (this.unindexed > 0) {
      const due = this.restoredDue(row)
      this.unindexed--
      this.heap.push(due, position)
      if (this.bytes <= memoryBudget) this.keep(row, position)
      else {
        this.horizon = Math.min(this.horizon, due - 1)
        messages.release(row)
      }
      return
    }
    while ((this.wanted[this.wantedAt] ?? Number.POSITIVE_INFINITY) < position) this.wantedAt++
    const isWanted = this.wanted[this.wantedAt] === position
    if (isWanted) this.wanted[this.wantedAt++] = came
    if (!isWanted || this.rows.has(position) || this.gone.has(position)) messages.release(row)
    else this.keep(row, position)
  }

  /** BacklogOwner. */
  loadEnd(exhausted: boolean): number {
    if (this.deleted) return 0
    if (!exhausted) {
      if (this.log !== undefined) this.context.log.fetch(this.log)
      return 0
    }
    this.reading = false
    if (this.unindexed > 0) this.context.lost(this, this.unindexed)
    this.unindexed = 0
    this.dropUnread()
    this.context.wake(this)
    return 0
  }

  /** What a pass was to bring and did not is lost. */
  private dropUnread(): void {
    let lost = 0
    for (const position of this.wanted) {
      if (position === came || this.gone.has(position)) continue
      lost++
      this.gone.add(position)
      if (this.log !== undefined) this.context.log.settle(this.log, position, 1)
    }
    this.wanted = new Float64Array(0)
    this.wantedAt = 0
    if (lost > 0) this.context.lost(this, lost)
  }

  /** Starts a pass over the disk; `must`: something is due already. */
  private readBack(must: boolean): void {
    const { heap, rows, log } = this
    if (this.reading || log === undefined) return
    if (this.unindexed > 0) {
      this.reading = true
      this.context.log.fetch(log)
      return
    }
    const limit = this.nextHorizon()
    const found: number[] = []
    for (let i = 0; i < heap.size && found.length < wantedMax; i++) {
      if (heap.dueAt(i) <= limit && !rows.has(heap.positionAt(i))) found.push(heap.positionAt(i))
    }
    if (must && !rows.has(heap.first()) && !found.includes(heap.first())) found.push(heap.first())
    this.horizon = limit
    if (found.length === 0) {
      this.arm()
      return
    }
    this.wanted = Float64Array.from(found).sort()
    this.wantedAt = 0
    this.readTo = (this.wanted[this.wanted.length - 1] as number) + 1
    this.reading = true
    this.context.log.rewind(log)
    this.context.log.fetch(log)
  }

  /** Up to which time a pass brings back what there is: about half of the budget, at least what is due soon. */
  private nextHorizon(): number {
    const { heap, rows, bytes } = this
    const onDisk = heap.size - rows.size
    const each = rows.size === 0 ? 1024 : Math.max(64, bytes / rows.size)
    const many = Math.min(wantedMax, this.context.memoryBudget / 2 / each)
    if (onDisk <= many) return Number.POSITIVE_INFINITY
    const sample: number[] = []
    const step = Math.max(1, Math.floor(heap.size / sampleSize))
    for (let i = 0; i < heap.size; i += step) {
      if (!rows.has(heap.positionAt(i))) sample.push(heap.dueAt(i))
    }
    return Math.max(quantile(sample, many / onDisk), this.context.clock.now)
  }

  private keep(row: number, position: number): void {
    this.rows.set(position, row)
    this.bytes += this.context.messages.entrySize(row)
  }

  private forget(position: number, row: number): void {
    this.rows.delete(position)
    this.bytes -= this.context.messages.entrySize(row)
  }

  /** When the message in `row` is due, by what stands in front of it. */
  private dueOf(row: number): number {
    const { messages, arena, clock } = this.context
    const view = viewOf(arena.slab(messages.slab[row] as number))
    return clock.fromWall(view.getFloat64(messages.at[row] as number, true))
  }

  /** `dueOf` after a restart: where the wall clock has gone back meanwhile, nothing waits longer than it asked. */
  private restoredDue(row: number): number {
    const { messages, arena, clock } = this.context
    const bytes = arena.slab(messages.slab[row] as number)
    const propsAt =
      (messages.at[row] as number) +
      (messages.exrkSize[row] as number) +
      (messages.extraSize[row] as number)
    const served = -delayOf(bytes, propsAt, messages.propsSize[row] as number)
    return Math.min(this.dueOf(row), clock.now + Math.max(0, served))
  }

  private arm(): void {
    const { timers } = this.context
    if (this.unindexed > 0 && !this.reading) this.readBack(false)
    const due = Math.min(this.heap.due(), this.horizon - leadMs)
    if (due >= this.timerDue || due === Number.POSITIVE_INFINITY) return
    if (this.timer >= 0) timers.cancel(this.timer)
    this.timerDue = due
    this.timer = timers.add(due, this, 0)
  }
}

/** The value below which about a part `share` of `values` lies. */
function quantile(values: number[], share: number): number {
  if (values.length === 0) return Number.POSITIVE_INFINITY
  values.sort((a, b) => a - b)
  const i = Math.min(values.length - 1, Math.floor(values.length * share))
  return values[i] as number
}
