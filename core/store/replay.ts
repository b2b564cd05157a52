// Puts the ops of a log back into effect: which messages are in which queues. Ops come in the order
// in which they were written; those for queues that are not known any more are counted.

import { levelOf, levelSpan } from '../log/log.ts'
import type { MessageKeeper } from './entry-keeper.ts'
import type { Expiries } from './expiries.ts'
import { ReplayQueue } from './replay-queue.ts'
import type { Run } from './segment-writer.ts'
import {
  annotationAt,
  enqueueHeadWords,
  entryBytes,
  inParts,
  joinWords,
  Op,
  partHeadWords,
  segmentName,
  settleBitsPositions,
  targetCountOf,
  targetWordsOf,
  timedTargetWords,
} from './wal-format.ts'
import { levelKey, queueOfKey } from './wal-queue.ts'

export class Replay {
  /** By `levelKey`. */
  readonly queues: Map<number, ReplayQueue>
  /** Messages for queues that are unknown and were not deleted in the log, by queue. */
  readonly orphans: Map<number, number>
  /** Queues that were deleted in the log. */
  readonly deleted: Set<number>
  /** Messages of which a part was damaged, once per queue. */
  incomplete: number
  /** Segments that have to be there: generation and number, as in their names. */
  readonly segments: Set<string>
  private readonly keeper: MessageKeeper
  private pending: Buffer[]
  private hasLevels: boolean

  /** `queues`: the durable queues that there are. */
  constructor(keeper: MessageKeeper, queues: Iterable<number>) {
    this.keeper = keeper
    this.queues = new Map()
    for (const queue of queues) this.queues.set(queue, new ReplayQueue(keeper, 0))
    this.orphans = new Map()
    this.deleted = new Set()
    this.incomplete = 0
    this.segments = new Set()
    this.pending = []
    this.hasLevels = false
  }

  /** Applies the ops in `words[from, to)`; `bytes` are the same memory. */
  apply(words: Int32Array, bytes: Buffer, from: number, to: number): void {
    for (let w = from; w < to; ) {
      const head = words[w] as number
      const type = head & 255
      if (type === Op.enqueue) this.enqueue(words, bytes, w)
      else if (type === Op.settle) this.settle(words, w)
      else if (type === Op.part) this.addPart(words, bytes, w)
      else if (type === Op.settleBits) this.settleBits(words, w)
      else if (type === Op.mark) this.mark(words, w)
      else if (type === Op.annotate) this.annotate(words, w)
      else if (type === Op.queueDeleted) this.deleteQueue(words[w + 1] as number)
      else if (type === Op.segment) this.segments.add(segmentAt(words, w))
      else if (type === Op.segmentDropped) this.segments.delete(segmentAt(words, w))
      else if (type === Op.delivered) this.noteDelivered(words, w)
      w += head >>> 8
    }
  }

  /** Blocks are missing here: a message that is in parts has lost some of them. */
  skip(): void {
    this.pending = []
  }

  /** Takes note that the messages of a run may be in a segment; call before `apply`. */
  addStored(run: Run): void {
    this.queueAt(run.queue, run.from)?.addStored(run)
  }

  /** Messages that may be in segments expire: see Expiries. */
  addExpiries(id: number, { positions, times }: Expiries): void {
    for (let i = 0; i < positions.length; i++) {
      const position = positions[i] as number
      this.queueAt(id, position)?.expire(position, times[i] as number)
    }
  }

  private enqueue(words: Int32Array, bytes: Buffer, w: number): void {
    const count = targetCountOf(words[w + 1] as number)
    const size = targetWordsOf(words[w + 1] as number)
    const inline = ((words[w + 1] as number) & inParts) === 0
    const source = inline ? bytes : Buffer.concat(this.pending)
    this.pending = []
    if (!inline && source.length !== entryBytes(words, w)) {
      this.incomplete += count
      return
    }
    const targets = w + ((words[w] as number) >>> 8) - count * size
    let row = -1
    for (let i = 0; i < count; i++) {
      const t = targets + i * size
      const id = words[t] as number
      const position = joinWords(words[t + 1] as number, words[t + 2] as number)
      const queue = this.queueAt(id, position)
      if (queue === undefined) {
        this.orphans.set(id, (this.orphans.get(id) ?? 0) + 1)
        continue
      }
      if (queue.isAlive(position)) continue
      if (row >= 0) this.keeper.hold(row)
      else {
        row = this.keeper.keep(words, w, source, inline ? (w + enqueueHeadWords) * 4 : 0)
        if (row < 0) throw noMemory()
      }
      queue.add(position, row)
      if (size === timedTargetWords) {
        queue.expire(position, joinWords(words[t + 3] as number, words[t + 4] as number))
      }
    }
  }

  private addPart(words: Int32Array, bytes: Buffer, w: number): void {
    const from = (w + partHeadWords) * 4
    // Copied: the block's memory is used again before the entry is whole.
    this.pending.push(Buffer.from(bytes.subarray(from, from + (words[w + 1] as number))))
  }

  private settle(words: Int32Array, w: number): void {
    const from = joinWords(words[w + 2] as number, words[w + 3] as number)
    const queue = this.queueAt(words[w + 1] as number, from)
    if (queue === undefined) return
    queue.settle(from, joinWords(words[w + 4] as number, words[w + 5] as number))
  }

  private settleBits(words: Int32Array, w: number): void {
    const from = joinWords(words[w + 2] as number, words[w + 3] as number)
    const queue = this.queueAt(words[w + 1] as number, from)
    if (queue === undefined) return
    for (let i = 0; i < settleBitsPositions; i++) {
      if (((words[w + 4 + (i >> 5)] as number) & (1 << (i & 31))) === 0) queue.settle(from + i, 1)
    }
  }

  private mark(words: Int32Array, w: number): void {
    const position = joinWords(words[w + 2] as number, words[w + 3] as number)
    const word = words[w + 4] as number
    this.queueAt(words[w + 1] as number, position)?.marks.set(position, word)
  }

  private annotate(words: Int32Array, w: number): void {
    const position = joinWords(words[w + 2] as number, words[w + 3] as number)
    this.queueAt(words[w + 1] as number, position)?.annotations.set(
      position,
      annotationAt(words, w),
    )
  }

  private noteDelivered(words: Int32Array, w: number): void {
    const position = joinWords(words[w + 2] as number, words[w + 3] as number)
    const queue = this.queueAt(words[w + 1] as number, position)
    if (queue !== undefined) queue.deliveredTo = position
  }

  private deleteQueue(id: number): void {
    this.orphans.delete(id)
    this.deleted.add(id)
    const queue = this.queues.get(id)
    if (queue === undefined) return
    // A queue that got the id of a deleted one: what is in the log so far was the other's.
    queue.clear()
    this.queues.set(id, new ReplayQueue(this.keeper, 0))
    if (!this.hasLevels) return
    for (const [key, level] of this.queues) {
      if (key === id || queueOfKey(key) !== id) continue
      level.clear()
      this.queues.delete(key)
    }
  }

  /** The part of a queue that holds `position`; undefined when the queue is not known. */
  private queueAt(id: number, position: number): ReplayQueue | undefined {
    const lowest = this.queues.get(id)
    if (position < levelSpan || lowest === undefined) return lowest
    const key = levelKey(id, position)
    let found = this.queues.get(key)
    if (found === undefined) {
      found = new ReplayQueue(this.keeper, levelOf(position) * levelSpan)
      this.queues.set(key, found)
      this.hasLevels = true
    }
    return found
  }
}

function segmentAt(words: Int32Array, w: number): string {
  return segmentName(words[w + 1] as number, words[w + 2] as number)
}

function noMemory(): Error {
  return new Error('the messages of the log do not fit in the memory that the node may use')
}
