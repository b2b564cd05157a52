// Says again which segments there are, which messages of which queues are dead, and what is remembered
// of those alive, queue by queue, while the shard goes on. Once it has been said in a younger
// generation, older ones are needed only for what is alive. Settling is idempotent, and a mark is said
// as it is by then, so it does not matter that queues change between one step and the next.

import type { AliveSet } from '../log/alive-set.ts'
import type { Marks } from '../queue/marks.ts'
import {
  annotateRecord,
  highWord,
  lowWord,
  markWords,
  Op,
  segmentWords,
  settleBitsPositions,
  settleBitsWords,
  settleWords,
} from './wal-format.ts'

interface CheckpointQueue {
  readonly queue: number
  readonly alive: AliveSet
  readonly owner: {
    readonly marks: Marks | undefined
    readonly annotations?: ReadonlyMap<number, Uint8Array> | undefined
  }
  /** Its first position. */
  readonly base: number
}

interface CheckpointSegment {
  readonly generation: number
  readonly number: number
  /** 0 while it is needed. */
  readonly deadAt: number
}

/** A page with more holes than this is said as bits: 24 bytes a range, 144 a page. */
const rangesPerPageMax = 5

export class Checkpoint {
  /** The generation that has ended. */
  readonly generation: number
  /** After `next`: type, then the words of the record from the second on. */
  readonly record: number[]
  /** Words of the record. */
  size: number
  private readonly queues: CheckpointQueue[]
  private readonly segments: CheckpointSegment[]
  private index: number
  /** All below this has been said of the queue at `index`; -1: it has not been named yet. */
  private from: number
  /** Positions of the queue at `index` whose marks are to be said. */
  private marked: number[]
  /** Likewise annotations. */
  private annotated: number[]

  constructor(
    queues: ReadonlyMap<number, CheckpointQueue>,
    segments: readonly CheckpointSegment[],
    generation: number,
  ) {
    this.segments = [...segments]
    this.generation = generation
    this.queues = [...queues.values()]
    this.record = []
    this.size = 0
    this.index = 0
    this.from = -1
    this.marked = []
    this.annotated = []
  }

  /** Makes the next record; false when all is said. */
  next(): boolean {
    for (let segment = this.segments.pop(); segment !== undefined; segment = this.segments.pop()) {
      // It was dropped since, and the log says so already.
      if (segment.deadAt !== 0) continue
      this.record.length = 0
      this.record.push(Op.segment, segment.generation, segment.number)
      this.size = segmentWords
      return true
    }
    for (;;) {
      const queue = this.queues[this.index]
      if (queue === undefined) return false
      if (this.from < 0) {
        this.sayFirst(queue)
        queue.owner.marks?.each((position) => this.marked.push(position))
        this.annotated.push(...(queue.owner.annotations?.keys() ?? []))
        return true
      }
      const from = queue.alive.firstDead(this.from)
      if (from < queue.alive.next) {
        this.say(queue, from)
        return true
      }
      if (this.sayMark(queue) || this.sayAnnotation(queue)) return true
      this.index++
      this.from = -1
    }
  }

  private sayMark({ queue, owner }: CheckpointQueue): boolean {
    const { marked, record } = this
    for (let position = marked.pop(); position !== undefined; position = marked.pop()) {
      const word = owner.marks?.get(position) ?? 0
      if (word === 0) continue
      record.length = 0
      record.push(Op.mark, queue, lowWord(position), highWord(position), word)
      this.size = markWords
      return true
    }
    return false
  }

  private sayAnnotation({ queue, owner }: CheckpointQueue): boolean {
    const { annotated, record } = this
    for (let position = annotated.pop(); position !== undefined; position = annotated.pop()) {
      const table = owner.annotations?.get(position)
      if (table === undefined) continue
      record.length = 0
      record.push(Op.annotate, ...annotateRecord(queue, position, table))
      this.size = record.length
      return true
    }
    return false
  }

  /** Each queue is named at least once: a queue that is not is taken for deleted. */
  private sayFirst({ queue, alive, base }: CheckpointQueue): void {
    const end = Math.min(alive.firstAlive(base), alive.next)
    const count = end - base
    this.record.length = 0
    this.record.push(Op.settle, queue, lowWord(base), highWord(base))
    this.record.push(lowWord(count), highWord(count))
    this.size = settleWords
    this.from = end
  }

  private say({ queue, alive }: CheckpointQueue, from: number): void {
    const to = Math.min(alive.firstAlive(from), alive.next)
    this.record.length = 0
    const page = from - (from % settleBitsPositions)
    if (from > page && this.isFragmented(alive, from, page + settleBitsPositions)) {
      this.sayBits(queue, alive, page)
      return
    }
    const count = to - from
    this.record.push(Op.settle, queue, lowWord(from), highWord(from))
    this.record.push(lowWord(count), highWord(count))
    this.size = settleWords
    this.from = to
  }

  private isFragmented(alive: AliveSet, from: number, end: number): boolean {
    let ranges = 0
    let at = from
    while (at < end && ranges <= rangesPerPageMax) {
      ranges++
      at = alive.firstDead(alive.firstAlive(at))
    }
    return ranges > rangesPerPageMax && end <= alive.next
  }

  private sayBits(queue: number, alive: AliveSet, page: number): void {
    this.record.push(Op.settleBits, queue, lowWord(page), highWord(page))
    for (let word = 0; word < settleBitsPositions / 32; word++) {
      let bits = 0
      for (let bit = 0; bit < 32; bit++) if (alive.has(page + word * 32 + bit)) bits |= 1 << bit
      this.record.push(bits)
    }
    this.size = settleBitsWords
    this.from = page + settleBitsPositions
  }
}
