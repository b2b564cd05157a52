// The shard's side of segments: which there are, what queues can read back from them, and when they
// are not needed any more.

import { assert } from '../../shared/assert.ts'
import type { Arena } from '../../shared/bus/arena.ts'
import type { Doorbell } from '../../shared/bus/doorbell.ts'
import type { RingReader, RingWriter } from '../../shared/bus/ring.ts'
import type { SlabWriter } from '../../shared/bus/slab-writer.ts'
import { SlotTable } from '../../shared/bus/slot-table.ts'
import type { AliveSet } from '../log/alive-set.ts'
import type { SomeSink } from '../log/log.ts'
import { levelOf } from '../log/log.ts'
import type { MessageTable } from '../message/message-table.ts'
import { ChunkReader } from './chunk-reader.ts'
import {
  dropRequestWords,
  LogReply,
  LogRequest,
  ReadFailure,
  readRequestWords,
} from './log-wire.ts'
import { PassOwner } from './pass-owner.ts'
import type { Segment } from './sparse-segments.ts'
import { isDead, SparseSegments } from './sparse-segments.ts'
import { highWord, joinWords, lowWord, segmentBlockBytes } from './wal-format.ts'
import type { StoredRun } from './wal-queue.ts'
import { levelKey, WalQueue } from './wal-queue.ts'

/** What one read brings: some 10 000 small messages, 16 of 64 KiB; and where memory is short. */
const chunkBytes: number = 1024 * 1024
const smallChunkBytes: number = 2 * segmentBlockBytes

/** A read that the disk refused is tried again after this. */
const retryMs = 1000

interface Fetch {
  readonly queue: WalQueue
  readonly run: StoredRun
  readonly slab: number
  readonly at: number
  readonly size: number
}

export interface SegmentDeskParts {
  readonly requests: RingWriter
  readonly replies: RingReader
  readonly bell: Doorbell
  readonly arena: Arena
  /** For messages, and for the pieces of files that are read. */
  readonly slabs: SlabWriter
  readonly readSlabs: SlabWriter
  readonly messages: MessageTable
  readonly salt: number
  /** Bytes of slabs in use by the node above which a backlog keeps nothing in memory. */
  readonly memoryBudget: number
  /** Smaller segments are left as they are, however little is alive in them. */
  readonly compactBytes: number
  readonly queues: ReadonlyMap<number, WalQueue>
  /** A segment was made. */
  readonly onSegment: (generation: number, number: number) => void
  /** A segment is not needed any more: the position of the log that says so, or 0 to be asked again later. */
  readonly onDead: (generation: number, number: number) => number
  /** `missing` of the `count` messages from `from` on can't be read back. */
  readonly onLost: (queue: WalQueue, from: number, count: number, missing: number) => void
}

export class SegmentDesk {
  /** Bytes of all segments. */
  bytes: number
  private readonly parts: SegmentDeskParts
  private readonly chunk: ChunkReader
  private segments: Segment[]
  private readonly fetches: SlotTable<Fetch>
  /** Queues whose fetch found no slab or no room in the ring. */
  private postponed: WalQueue[]
  /** Queues whose read the disk refused; asked again at `retryAt`. */
  private readonly refused: WalQueue[]
  private retryAt: number
  /** Queues of the segments that were announced since the last `retired`, and up to where. */
  private readonly announced: Map<WalQueue, number>
  private readonly sparse: SparseSegments

  constructor(parts: SegmentDeskParts) {
    this.bytes = 0
    this.parts = parts
    this.chunk = new ChunkReader(parts.arena, parts.slabs, parts.messages, parts.salt)
    this.segments = []
    this.fetches = new SlotTable()
    this.postponed = []
    this.refused = []
    this.retryAt = 0
    this.announced = new Map()
    this.sparse = new SparseSegments(parts.requests, parts.compactBytes)
  }

  /** A segment is there. */
  add(generation: number, number: number, size: number): void {
    this.segments.push({
      generation,
      number,
      size,
      runs: [],
      count: 0,
      compacting: false,
      firstAlive: 0,
      deadAt: 0,
      damaged: false,
    })
    this.bytes += size
  }

  /** The segments that are needed. */
  needed(): readonly Segment[] {
    return this.segments
  }

  /** The segment added last holds these `count` messages of a queue. */
  addRun(id: number, from: number, to: number, count: number, offset: number): void {
    const segment = this.segments[this.segments.length - 1]
    const queue = this.parts.queues.get(levelKey(id, from))
    if (segment === undefined) return
    segment.count += count
    if (queue === undefined) return
    segment.runs.push({ queue, from, to, offset })
    if (this.sparse.isReplacing()) {
      this.sparse.replaceRun(queue, { segment, from, to, offset })
      return
    }
    const alive = queue.alive.firstAlive(0)
    while (queue.runs[0] !== undefined && queue.runs[0].to <= alive) queue.runs.shift()
    queue.runs.push({ segment, from, to, offset })
    this.announced.set(queue, Math.max(to, this.announced.get(queue) ?? 0))
  }

  /** Takes what the log thread has answered. True when there was anything. */
  poll(): boolean {
    const { replies } = this.parts
    if (this.postponed.length > 0 || this.refused.length > 0) this.retry()
    if (!replies.look()) return false
    const { words } = replies
    for (let i = replies.next(); i >= 0; i = replies.next()) {
      const type = (words[i] as number) & 255
      if (type === LogReply.read) this.onRead(words[i + 1] as number, words[i + 2] as number)
      else if (type === LogReply.segment) {
        const size = joinWords(words[i + 3] as number, words[i + 4] as number)
        this.add(words[i + 1] as number, words[i + 2] as number, size)
        this.parts.onSegment(words[i + 1] as number, words[i + 2] as number)
      } else if (type === LogReply.run) {
        const from = joinWords(words[i + 2] as number, words[i + 3] as number)
        const to = joinWords(words[i + 4] as number, words[i + 5] as number)
        const offset = joinWords(words[i + 7] as number, words[i + 8] as number)
        this.addRun(words[i + 1] as number, from, to, words[i + 6] as number, offset)
      } else this.onStep(type, words, i)
    }
    if (replies.release()) this.parts.bell.ring()
    return true
  }

  /** Reads the next chunk of the queue's stored part, unless it is being read. */
  fetch(queue: WalQueue): void {
    if (queue.fetching) return
    queue.fetching = true
    this.request(queue)
  }

  /** Forgets how far the queue's stored part was read. */
  rewind(queue: WalQueue): void {
    queue.loadedTo = 0
    queue.parts = []
    queue.runs.length = 0
    this.collectRuns(queue, queue.runs)
  }

  /** See Log. */
  readSome(queue: WalQueue, wanted: AliveSet, sink: SomeSink): () => void {
    const owner = new PassOwner(queue.owner, wanted, sink)
    const pass = new WalQueue(queue.queue, owner, levelOf(queue.base))
    pass.alive = wanted
    this.collectRuns(queue, pass.runs)
    return () => {
      if (!queue.deleted) this.fetch(pass)
    }
  }

  private collectRuns(queue: WalQueue, found: StoredRun[]): void {
    for (const segment of this.segments) {
      for (const { queue: owner, from, to, offset } of segment.runs) {
        if (owner === queue) found.push({ segment, from, to, offset })
      }
    }
  }

  /**
   * Lets go of segments in which nothing is alive, once what settled their messages is durable:
   * `committed` is a position of the log.
   */
  collect(committed: number): void {
    const { requests } = this.parts
    let kept = 0
    for (const segment of this.segments) {
      if (segment.deadAt === 0 && isDead(segment)) {
        segment.deadAt = this.parts.onDead(segment.generation, segment.number)
      }
      const done = segment.deadAt !== 0 && segment.deadAt <= committed
      if (!done || !requests.hasRoom(dropRequestWords)) {
        this.segments[kept++] = segment
        continue
      }
      const index = requests.reserve(dropRequestWords)
      requests.words[index] = (dropRequestWords << 8) | LogRequest.drop
      requests.words[index + 1] = segment.generation
      requests.words[index + 2] = segment.number
      requests.words[index + 3] = segment.damaged ? 1 : 0
      requests.commit(dropRequestWords)
      this.bytes -= segment.size
    }
    this.segments.length = kept
    this.send()
  }

  private onStep(type: number, words: Int32Array, i: number): void {
    if (type === LogReply.compacting) {
      this.sparse.begin(this.segments, words[i + 1] as number, words[i + 2] as number)
    } else if (type === LogReply.compacted) {
      this.segments = this.sparse.end(this.segments, words[i + 1] === 1)
    } else if (type === LogReply.retired) this.onRetired()
  }

  private onRetired(): void {
    this.sparse.look(this.segments)
    const bytes = Math.max(0, this.memoryLeft()) / this.announced.size
    for (const [queue, to] of this.announced) if (!queue.deleted) queue.owner.pageOut(to, bytes)
    this.announced.clear()
    this.send()
  }

  private memoryLeft(): number {
    const { arena, memoryBudget } = this.parts
    return memoryBudget - arena.used() * arena.slabBytes
  }

  private retry(): void {
    const again = this.postponed
    this.postponed = []
    if (this.refused.length > 0 && performance.now() >= this.retryAt) {
      again.push(...this.refused.splice(0))
    }
    for (const queue of again) if (!queue.deleted) this.request(queue)
  }

  private request(queue: WalQueue): void {
    const { readSlabs: slabs, requests } = this.parts
    const run = this.currentRun(queue)
    if (run === undefined) {
      this.end(queue, true)
      return
    }
    // Int32 words are read from the slab, so the chunk begins at a multiple of 4.
    const size = this.memoryLeft() > 0 ? chunkBytes : smallChunkBytes
    if (!requests.hasRoom(readRequestWords) || !slabs.take(size + 4)) {
      this.postponed.push(queue)
      return
    }
    const at = (slabs.at + 3) & ~3
    const fetch = { queue, run, slab: slabs.slab, at, size }
    const index = requests.reserve(readRequestWords)
    const { words } = requests
    words[index] = (readRequestWords << 8) | LogRequest.read
    words[index + 1] = this.fetches.add(fetch)
    words[index + 2] = run.segment.generation
    words[index + 3] = run.segment.number
    words[index + 4] = lowWord(run.offset)
    words[index + 5] = highWord(run.offset)
    words[index + 6] = fetch.slab
    words[index + 7] = at
    words[index + 8] = size
    requests.commit(readRequestWords)
    this.send()
  }

  /** The run that holds the next messages that are on disk only; runs before it are forgotten. */
  private currentRun(queue: WalQueue): StoredRun | undefined {
    const { alive, owner, runs } = queue
    const from = Math.max(owner.storedFrom(), queue.loadedTo)
    const to = owner.storedTo()
    for (let run = runs[0]; run !== undefined && from < to; run = runs[0]) {
      const next = alive.firstAlive(Math.max(run.from, from))
      if (next < run.to) return next < to ? run : undefined
      if (run.to > to) return undefined
      runs.shift()
    }
    return undefined
  }

  private onRead(request: number, size: number): void {
    const fetch = this.fetches.remove(request)
    assert(fetch !== undefined, 'each read is answered once')
    const { queue, run, slab, at, size: asked } = fetch
    let outcome: 'more' | 'full' | 'end' = 'end'
    if (!queue.deleted && size >= 0) {
      outcome = this.chunk.read(queue, run, slab, at, size, asked)
      if (this.chunk.damaged) run.segment.damaged = true
    }
    this.parts.readSlabs.close(slab)
    if (queue.deleted) return
    // It was replaced meanwhile: what comes next is read from the start of another.
    if (queue.runs[0] !== run) queue.parts = []
    if (size === ReadFailure.refused) {
      this.refused.push(queue)
      this.retryAt = performance.now() + retryMs
      return
    }
    if (outcome === 'full') {
      this.postponed.push(queue)
      return
    }
    if (outcome === 'end' && queue.runs[0] === run) {
      queue.runs.shift()
      queue.parts = []
    }
    this.end(queue, this.currentRun(queue) === undefined)
  }

  private end(queue: WalQueue, exhausted: boolean): void {
    const from = queue.owner.storedFrom()
    const to = queue.owner.storedTo()
    queue.fetching = false
    const missing = queue.owner.loadEnd(exhausted)
    if (missing > 0) this.parts.onLost(queue, from, to - from, missing)
  }

  private send(): void {
    if (this.parts.requests.publish()) this.parts.bell.ring()
  }
}
