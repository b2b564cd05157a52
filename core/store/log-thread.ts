// What a log thread does, without the thread: takes what a shard has appended, writes it in blocks,
// syncs once, and gives the ring's space back, which is how the shard learns what is durable.

import { assert } from '../../shared/assert.ts'
import type { Arena } from '../../shared/bus/arena.ts'
import type { Doorbell } from '../../shared/bus/doorbell.ts'
import type { RingReader } from '../../shared/bus/ring.ts'
import { EntrySource } from '../message/entry-source.ts'
import { BlockBuilder } from './block-builder.ts'
import { DeadPositions } from './dead-positions.ts'
import type { DurableMark } from './durable-mark.ts'
import { GenerationSpan } from './generation-span.ts'
import type { LogBackground } from './log-background.ts'
import { enqueueEntryAt, LogRecord, StreamRecord } from './log-wire.ts'
import type { StreamWriters } from './stream-writers.ts'
import type { WalFiles } from './wal.ts'
import {
  enqueueHeadWords,
  inlineBytesMax,
  inParts,
  joinWords,
  Op,
  partHeadWords,
  targetCountOf,
  targetWordsOf,
  timed,
  timedTargetWords,
} from './wal-format.ts'

export interface LogThreadParts {
  readonly ring: RingReader
  readonly durable: DurableMark
  /** Rung when something became durable that the shard awaits. */
  readonly shardBell: Doorbell
  /** How long settles may wait for a message to share a sync with, in milliseconds. */
  readonly settleWaitMs: number
  /** How long retiring a generation may wait for its last messages to be settled, in milliseconds. */
  readonly retireWaitMs: number
  readonly arena: Arena
  readonly background: LogBackground
  readonly streams: StreamWriters
  readonly salt: number
  /** Makes the files once the shard has said where writing goes on. */
  readonly openWal: (at: LogPlace) => WalFiles
  /** The disk refuses writes, or takes them again. */
  readonly onTrouble: (cause: unknown) => void
  readonly onRelief: () => void
}

/** Where writing goes on after recovery (see WalStart). */
export interface LogPlace {
  readonly file: number
  readonly sequence: number
  readonly first: number
  readonly generation: number
}

/** A commit of this much goes to the disk before more is taken. */
const commitBytesMax: number = 8 * 1024 * 1024

/** A generation of which so little is alive may soon be dead: retiring it waits for that, but not long. */
const aliveFew = 10_000
/** Looking at more queues than this is not worth it. */
const queuesFew = 64

/** More settles than this are not worth holding back. */
const fewSettles = 200

export class LogThread {
  private readonly parts: LogThreadParts
  private readonly ring: RingReader
  private readonly block: BlockBuilder
  private readonly source: EntrySource
  private wal: WalFiles | undefined
  /** Word in the block of the enqueue op that a target record would extend; -1 for none. */
  private openOp: number
  /** Generation to retire once what was read is synced; -1 for none. Since when it waits, or -1. */
  private toRetire: number
  private toRetireSince: number
  /** What each generation holds that is not to be retired yet, but for those from before the start. */
  private readonly spans: Map<number, GenerationSpan>
  /** Of the generation that is written. */
  private span: GenerationSpan
  /** There are generations from before the start. */
  private hasOld: boolean
  /** What was settled since the last roll; undefined when nobody asks. */
  private dead: DeadPositions | undefined
  /** `dead` and `toRetire` as they were before this commit, which may fail and come again. */
  private deadBefore: DeadPositions | undefined
  private retireBefore: number
  private written: number
  private troubled: boolean
  /** When settles began to wait for company; -1 when none do. */
  private waitingSince: number

  constructor(parts: LogThreadParts) {
    this.parts = parts
    this.ring = parts.ring
    this.block = new BlockBuilder(parts.salt)
    this.source = new EntrySource(parts.arena)
    this.wal = undefined
    this.openOp = -1
    this.toRetire = -1
    this.toRetireSince = -1
    this.retireBefore = -1
    this.spans = new Map()
    this.span = new GenerationSpan()
    this.hasOld = true
    this.dead = undefined
    this.deadBefore = undefined
    this.written = 0
    this.troubled = false
    this.waitingSince = -1
  }

  /**
   * Writes and syncs all that is visible. 'idle' when there was nothing, 'failed' when the disk
   * refused: nothing is lost then, the next turn tries again.
   */
  turn(): 'busy' | 'idle' | 'waiting' | 'failed' {
    const { background, streams } = this.parts
    let any = false
    let committed = false
    let waits = false
    try {
      if (this.ring.look()) {
        waits = this.canWait()
        if (!waits) this.commit()
        committed = !waits
      }
    } catch (error) {
      this.recoverFrom(error)
      background.serve()
      this.parts.shardBell.ring()
      return 'failed'
    }
    if (this.toRetire >= 0) this.startRetiring(false)
    if (background.serve()) any = true
    if (this.wal !== undefined) streams.retain()
    if (streams.announce()) any = true
    if (this.wal !== undefined && background.step(this.wal, this.written)) any = true
    if (background.failure !== undefined) this.tell(background.failure)
    else if ((any || committed) && this.troubled) {
      this.troubled = false
      this.parts.onRelief()
    }
    // Of a commit the shard knows, if it wants to: each ring may wake it.
    if (committed && !any) return 'busy'
    if (!any) {
      if (this.wal?.prepare() === true) return 'busy'
      return waits ? 'waiting' : 'idle'
    }
    this.parts.shardBell.ring()
    return 'busy'
  }

  /**
   * Whether there are but a few settles, and for a moment only: nobody waits for those to be durable,
   * while a sync for them alone would hold up the message that comes next.
   */
  private canWait(): boolean {
    if (this.parts.settleWaitMs === 0) return false
    const now = performance.now()
    if (this.waitingSince < 0) this.waitingSince = now
    if (now - this.waitingSince >= this.parts.settleWaitMs) return false
    let count = 0
    let few = true
    for (let i = this.ring.next(); i >= 0 && few; i = this.ring.next()) {
      const type = (this.ring.words[i] as number) & 255
      few = (type === LogRecord.settle || type === LogRecord.mark) && ++count < fewSettles
    }
    this.ring.rewind()
    return few
  }

  private commit(): void {
    this.waitingSince = -1
    this.written = 0
    this.take()
    this.writeBlock()
    this.parts.streams.write(this.ring.words)
    this.wal?.sync()
    this.parts.streams.sync()
    const announced = this.parts.streams.announce()
    this.startRetiring(false)
    this.deadBefore = this.dead
    this.retireBefore = this.toRetire
    this.ring.release()
    const { durable, shardBell } = this.parts
    durable.advance(this.ring.releasedPosition())
    if (announced || durable.isShardAwaiting()) shardBell.ring()
  }

  /** All that the shard has said before it asked for it is synced. */
  private startRetiring(now: boolean): void {
    const { dead } = this
    if (this.toRetire < 0 || dead === undefined) return
    const alive = this.aliveMax(this.toRetire, dead)
    if (alive > 0 && alive <= aliveFew && !now) {
      const time = performance.now()
      if (this.toRetireSince < 0) this.toRetireSince = time
      if (time - this.toRetireSince < this.parts.retireWaitMs) return
    }
    this.parts.background.retire(this.toRetire, dead, alive === 0)
    for (const generation of this.spans.keys()) {
      if (generation <= this.toRetire) this.spans.delete(generation)
    }
    this.hasOld = false
    this.toRetire = -1
    this.toRetireSince = -1
    this.dead = undefined
  }

  /** Messages of generations up to `generation` that may be alive, at most. */
  private aliveMax(generation: number, dead: DeadPositions): number {
    let alive = this.hasOld ? Number.POSITIVE_INFINITY : 0
    for (const [each, span] of this.spans) {
      if (each <= generation) alive += span.aliveMax(dead, queuesFew)
    }
    return alive
  }

  private turnToSpan(generation: number): void {
    this.span = this.spans.get(generation) ?? new GenerationSpan()
    this.spans.set(generation, this.span)
  }

  private recoverFrom(error: unknown): void {
    this.ring.rewind()
    this.block.clear()
    this.openOp = -1
    this.toRetire = this.retireBefore
    this.dead = this.deadBefore
    this.wal?.fail()
    this.parts.streams.fail()
    this.tell(error)
  }

  private tell(error: unknown): void {
    if (this.troubled) return
    this.troubled = true
    this.parts.onTrouble(error)
  }

  // HOT: the loop over what the shard has appended
  private take(): void {
    const { words } = this.ring
    for (;;) {
      const i = this.ring.next()
      if (i < 0) return
      const type = (words[i] as number) & 255
      const isTarget = type === LogRecord.target || type === LogRecord.targetTimed
      // What is left comes with the next commit: a confirm does not wait for all that gathers meanwhile.
      // But a target is a part of the op before it, and of its block.
      if (this.written >= commitBytesMax && !isTarget) {
        this.ring.unread(i)
        return
      }
      if (type === LogRecord.enqueue) this.enqueue(words, i)
      else if (isTarget) this.target(words, i)
      else if (type < LogRecord.enqueue) this.copyOp(words, i)
      else if (type === LogRecord.enqueueTimed) this.enqueue(words, i)
      else if (type >= StreamRecord.entry) {
        this.written += this.parts.streams.take(words, i, type)
      } else this.control(words, i, type)
    }
  }

  private control(words: Int32Array, i: number, type: number): void {
    if (type === LogRecord.open) {
      this.dead = new DeadPositions()
      this.turnToSpan(words[i + 4] as number)
      this.wal ??= this.parts.openWal({
        file: words[i + 1] as number,
        sequence: joinWords(words[i + 2] as number, words[i + 3] as number),
        first: joinWords(words[i + 5] as number, words[i + 6] as number),
        generation: words[i + 4] as number,
      })
    } else if (type === LogRecord.roll) {
      this.writeBlock()
      this.wal?.sync()
      // With what is known now: the next generation's settles say nothing of the one before.
      this.startRetiring(true)
      this.wal?.roll(words[i + 1] as number)
      this.turnToSpan(words[i + 1] as number)
      this.dead = new DeadPositions()
    } else if (type === LogRecord.retire) {
      this.toRetire = words[i + 1] as number
    }
  }

  // HOT: once per record that is an op already
  private copyOp(words: Int32Array, i: number): void {
    const size = (words[i] as number) >>> 8
    if (this.block.room() < size) this.writeBlock()
    const { block } = this
    for (let k = 0; k < size; k++) block.words[block.at + k] = words[i + k] as number
    block.at += size
    this.openOp = -1
    this.dead?.note(words, i)
  }

  // HOT: once per persistent message
  private enqueue(words: Int32Array, i: number): void {
    const e = i + enqueueEntryAt
    const size =
      (words[e + 2] as number) +
      (words[e + 3] as number) +
      (words[e + 4] as number) +
      (words[e + 5] as number)
    this.source.start(words, e, size)
    const inline = size <= inlineBytesMax
    if (!inline) this.writeParts(size)
    const bytes = inline ? size : 0
    const isTimed = ((words[i] as number) & 255) === LogRecord.enqueueTimed
    const target = isTimed ? timedTargetWords : targetWordsOf(0)
    const opWords = enqueueHeadWords + ((bytes + 3) >> 2) + target
    if (this.block.room() < opWords) this.writeBlock()
    const { block } = this
    const to = block.words
    const at = block.at
    to[at] = (opWords << 8) | Op.enqueue
    to[at + 1] = (words[i + 1] as number) | (inline ? 0 : inParts) | (isTimed ? timed : 0) | 256
    to[at + 2] = words[e + 2] as number
    to[at + 3] = words[e + 3] as number
    to[at + 4] = words[e + 4] as number
    to[at + 5] = words[e + 5] as number
    const end = at + opWords - target
    if (bytes > 0) {
      to[end - 1] = 0
      this.source.copyTo(block.view, (at + enqueueHeadWords) * 4, bytes)
    }
    to[end] = words[i + 2] as number
    to[end + 1] = words[i + 3] as number
    to[end + 2] = words[i + 4] as number
    this.span.note(
      words[i + 2] as number,
      joinWords(words[i + 3] as number, words[i + 4] as number),
    )
    if (isTimed) {
      const last = i + ((words[i] as number) >>> 8)
      to[end + 3] = words[last - 2] as number
      to[end + 4] = words[last - 1] as number
    }
    block.at = at + opWords
    this.openOp = at
  }

  private target(words: Int32Array, i: number): void {
    assert(this.openOp >= 0, 'a target follows its op')
    const isTimed = ((words[i] as number) & 255) === LogRecord.targetTimed
    if (this.block.room() < timedTargetWords) this.moveOpenOp()
    if (isTimed && ((this.block.words[this.openOp + 1] as number) & timed) === 0)
      this.widenTargets()
    const { block } = this
    const to = block.words
    const op = this.openOp
    const size = targetWordsOf(to[op + 1] as number)
    to[block.at] = words[i + 1] as number
    to[block.at + 1] = words[i + 2] as number
    to[block.at + 2] = words[i + 3] as number
    this.span.note(
      words[i + 1] as number,
      joinWords(words[i + 2] as number, words[i + 3] as number),
    )
    if (size === timedTargetWords) {
      to[block.at + 3] = isTimed ? (words[i + 4] as number) : 0
      to[block.at + 4] = isTimed ? (words[i + 5] as number) : 0
    }
    block.at += size
    to[op] = (to[op] as number) + (size << 8)
    to[op + 1] = (to[op + 1] as number) + 256
  }

  /** The op that is being extended gets a target with an expiry, its first: the others get room for one. */
  private widenTargets(): void {
    const narrow = targetWordsOf(0)
    const more = timedTargetWords - narrow
    const count = targetCountOf(this.block.words[this.openOp + 1] as number)
    if (this.block.room() < count * more + timedTargetWords) this.moveOpenOp()
    const { block, openOp: op } = this
    const to = block.words
    const from = block.at - count * narrow
    for (let t = count - 1; t >= 0; t--) {
      const at = from + t * timedTargetWords
      to[at + 4] = 0
      to[at + 3] = 0
      for (let k = narrow - 1; k >= 0; k--) to[at + k] = to[from + t * narrow + k] as number
    }
    block.at += count * more
    to[op] = (to[op] as number) + ((count * more) << 8)
    to[op + 1] = (to[op + 1] as number) | timed
  }

  /** The block is full: the op that is being extended goes to the next one. */
  private moveOpenOp(): void {
    const { block } = this
    const op = block.words.slice(this.openOp, block.at)
    block.at = this.openOp
    this.writeBlock()
    block.words.set(op, block.at)
    this.openOp = block.at
    block.at += op.length
  }

  /** Writes `size` bytes of the entry as part ops, as many as it takes. */
  private writeParts(size: number): void {
    const { block } = this
    let left = size
    while (left > 0) {
      if (block.room() < partHeadWords + 1024) this.writeBlock()
      const piece = Math.min(left, (block.room() - partHeadWords) * 4)
      const opWords = partHeadWords + ((piece + 3) >> 2)
      block.words[block.at] = (opWords << 8) | Op.part
      block.words[block.at + 1] = piece
      block.words[block.at + opWords - 1] = 0
      this.source.copyTo(block.view, (block.at + partHeadWords) * 4, piece)
      block.at += opWords
      left -= piece
    }
  }

  private writeBlock(): void {
    if (this.block.isEmpty()) return
    this.written += this.block.at * 4
    this.wal?.append(this.block)
    this.block.clear()
    this.openOp = -1
  }
}
