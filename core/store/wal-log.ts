// The log of a shard: appends records to the ring of its log thread, and learns from how far that
// ring has been given back what is durable. Message bytes stay in their slabs until then.

import { assert } from '../../shared/assert.ts'
import type { Arena } from '../../shared/bus/arena.ts'
import { BytesAhead } from '../../shared/bus/bytes-ahead.ts'
import type { Doorbell } from '../../shared/bus/doorbell.ts'
import { DurableWord } from '../../shared/bus/link.ts'
import type { RingReader, RingWriter } from '../../shared/bus/ring.ts'
import type { SlabReclaimer } from '../../shared/bus/slab-reclaimer.ts'
import type { SlabWriter } from '../../shared/bus/slab-writer.ts'
import { EntryFlag, entryWords, extentWords } from '../../shared/bus/wire.ts'
import type { AliveSet } from '../log/alive-set.ts'
import type { BacklogOwner, Log, QueueLog, SomeSink } from '../log/log.ts'
import type { StreamLog, StreamOwner, StreamSettings } from '../log/stream-log.ts'
import type { MessageTable } from '../message/message-table.ts'
import { Checkpoint } from './checkpoint.ts'
import {
  enqueueEntryAt,
  expiryWords,
  LogRecord,
  openWords,
  retireWords,
  rollWords,
  targetRecordWords,
} from './log-wire.ts'
import { SegmentDesk } from './segment-desk.ts'
import type { StreamAppender, StreamDesk } from './stream-desk.ts'
import {
  annotateRecord,
  deliveredWords,
  enqueueHeadWords,
  highWord,
  lowWord,
  markWords,
  queueDeletedWords,
  segmentWords,
  settleWords,
  targetsMax,
  timedTargetWords,
  walFileBytes,
} from './wal-format.ts'
import { levelKey, WalQueue } from './wal-queue.ts'

export interface WalLogParts {
  readonly ring: RingWriter
  readonly requests: RingWriter
  readonly replies: RingReader
  /** Of the log thread. */
  readonly bell: Doorbell
  /** See ConfirmGate. */
  readonly durable: SharedArrayBuffer
  readonly arena: Arena
  readonly slabs: SlabWriter
  readonly readSlabs: SlabWriter
  readonly messages: MessageTable
  readonly reclaimer: SlabReclaimer
  readonly generationBytes: number
  readonly salt: number
  /** See SegmentDeskParts. */
  readonly memoryBudget: number
  /** Messages of a queue can't be read back from disk. */
  readonly onLost: (queue: number, count: number) => void
}

/** Where the log goes on after recovery. */
export interface LogStart {
  readonly file: number
  readonly sequence: number
  readonly first: number
  readonly generation: number
}

/**
 * A generation ends when its records reach this. Messages can leave memory only once their generation
 * has ended, so it is half of what a file holds: some 450 000 small messages.
 */
export const generationBytes: number = walFileBytes / 2 - 2 * 1024 * 1024
/** Flags of an entry that a queue needs again after recovery. */
const keptFlags: number = EntryFlag.persistent | EntryFlag.headers | EntryFlag.died
/** Identifies the ring to the reclaimer: gateway links count up from 1, shards down from -1. */
const referenceId = 0

export class WalLog implements Log, StreamAppender {
  committedUpTo: number
  readonly queues: Map<number, WalQueue>
  readonly desk: SegmentDesk
  /** Set once, right after construction: streams append through this. */
  streams: StreamDesk | undefined
  /** StreamAppender: of the ring. */
  readonly words: Int32Array
  private readonly ring: RingWriter
  private readonly bell: Doorbell
  private readonly messages: MessageTable
  private readonly lastReference: Float64Array
  /** Settles and deletions that found no room: words of records, in order. */
  private overflow: number[]
  private overflowFrom: number
  private generation: number
  private generationSize: number
  private readonly generationBytes: number
  private readonly unsynced: BytesAhead
  /** See ConfirmGate. */
  private readonly gate: Int32Array
  /** Somebody found no room in this turn. */
  private refusedRoom: boolean
  /** The log thread rings the shard after each commit. */
  private wantsCommits: boolean
  /** Something was appended that somebody waits for. */
  private urgent: boolean
  /** Settle records since the log thread was rung. */
  private quietSettles: number
  private checkpoint: Checkpoint | undefined
  /** Settles so far, and how many there were (and how far the log was) when segments were looked through. */
  private settles: number
  private collected: number
  private collectedAt: number
  private flushes: number
  /** The row of the last enqueue record, while further targets may be added to it; else -1. */
  private openRow: number
  private openTargets: number
  /** Index of the last record if it is a settle that may still be extended; else -1. */
  private openSettle: number
  private settleQueue: number
  private openEnd: number

  constructor(parts: WalLogParts) {
    const { ring, bell, messages, reclaimer, arena } = parts
    this.ring = ring
    this.bell = bell
    this.messages = messages
    // The log thread holds no slab beyond the records that name it.
    this.lastReference = reclaimer.watch(referenceId, ring, new Int32Array(arena.slabCount))
    this.streams = undefined
    this.words = ring.words
    this.queues = new Map()
    this.desk = new SegmentDesk({
      ...parts,
      queues: this.queues,
      compactBytes: parts.generationBytes / 32,
      onSegment: (generation, number) =>
        this.put([LogRecord.segment, generation, number], segmentWords),
      onDead: (generation, number) => this.sayDropped(generation, number),
      onLost: (queue, from, count, missing) => {
        this.settle(queue, from, count)
        parts.onLost(queue.queue, missing)
      },
    })
    this.unsynced = new BytesAhead()
    this.gate = new Int32Array(parts.durable)
    this.refusedRoom = false
    this.wantsCommits = true
    this.urgent = false
    this.quietSettles = 0
    this.settles = 0
    this.collected = 0
    this.collectedAt = 0
    this.flushes = 0
    this.overflow = []
    this.overflowFrom = 0
    this.generation = 0
    this.generationSize = 0
    this.generationBytes = parts.generationBytes
    this.checkpoint = undefined
    this.committedUpTo = 0
    this.openRow = -1
    this.openTargets = 0
    this.openSettle = -1
    this.settleQueue = 0
    this.openEnd = 0
  }

  /** Recovery is done: the log thread may write. What recovery has read will be retired. */
  start(at: LogStart): void {
    this.generation = at.generation
    const { file, sequence, first, generation } = at
    const open = [LogRecord.open, file, lowWord(sequence), highWord(sequence), generation]
    this.put([...open, lowWord(first), highWord(first)], openWords)
    this.checkpoint = this.checkpointOf(generation - 1)
  }

  /** The node stops in order: of which messages is it known that nobody has seen them? */
  stop(): void {
    for (const { queue, alive, base, owner } of this.queues.values()) {
      if (alive.count === 0) continue
      const position = Math.max(base, owner.undeliveredFrom())
      this.put([LogRecord.delivered, queue, lowWord(position), highWord(position)], deliveredWords)
    }
  }

  openQueue(queue: number, owner: BacklogOwner, level: number): WalQueue {
    const log = new WalQueue(queue, owner, level)
    this.queues.set(levelKey(queue, log.base), log)
    if (level > 0) this.queues.get(queue)?.levels.push(log)
    return log
  }

  deleteQueue(log: QueueLog): void {
    const { queue } = log
    if (!this.queues.delete(queue)) return
    ;(log as WalQueue).deleted = true
    for (const level of (log as WalQueue).levels) {
      level.deleted = true
      this.queues.delete(levelKey(queue, level.base))
    }
    this.settles++
    this.put([LogRecord.queueDeleted, queue], queueDeletedWords)
  }

  hasRoom(extents: number, queues: number): boolean {
    const targets = queues * (targetRecordWords + expiryWords)
    const words = enqueueEntryAt + entryWords + extents * extentWords + expiryWords + targets
    // Several enqueue records, should the targets be many.
    const wanted = words + Math.ceil(queues / targetsMax) * 1024
    const has =
      (this.overflow.length === 0 || this.drained()) &&
      this.unsynced.bytes <= unsyncedBytesMax &&
      this.hasWords(wanted)
    if (!has) this.refusedRoom = true
    return has
  }

  rest(isAwaited: boolean): boolean {
    const wants =
      isAwaited || this.refusedRoom || this.overflow.length > 0 || this.checkpoint !== undefined
    this.refusedRoom = false
    if (wants !== this.wantsCommits) {
      this.wantsCommits = wants
      Atomics.store(this.gate, DurableWord.unwanted, wants ? 0 : 1)
    }
    // The log thread may have committed before it was told.
    return wants && this.ring.releasedTotal() !== this.committedUpTo
  }

  // HOT: once per persistent message and durable queue
  enqueue(log: QueueLog, position: number, row: number, expiry: number): number {
    const { ring } = this
    ;(log as WalQueue).alive.add(position)
    this.openSettle = -1
    if (row === this.openRow && this.openTargets < targetsMax) {
      this.addTarget(log.queue, position, expiry)
      return ring.total
    }
    const extents = this.messages.extentsOf(row)
    const entry = entryWords + (extents === undefined ? 0 : extents.length)
    const size = enqueueEntryAt + entry + (expiry === 0 ? 0 : expiryWords)
    const index = ring.reserve(size)
    assert(index >= 0, 'whoever enqueues has asked for room')
    const to = ring.words
    to[index] = (size << 8) | (expiry === 0 ? LogRecord.enqueue : LogRecord.enqueueTimed)
    to[index + 1] = (this.messages.flags[row] as number) & keptFlags
    to[index + 2] = log.queue
    to[index + 3] = lowWord(position)
    to[index + 4] = highWord(position)
    this.messages.writeEntry(row, to, index + enqueueEntryAt)
    if (expiry !== 0) {
      to[index + size - 2] = lowWord(expiry)
      to[index + size - 1] = highWord(expiry)
    }
    ring.commit(size)
    this.urgent = true
    const { total } = ring
    this.lastReference[to[index + enqueueEntryAt] as number] = total
    if (extents !== undefined) this.refer(extents, total)
    this.openRow = row
    this.openTargets = 1
    const bytes = (enqueueHeadWords + timedTargetWords) * 4 + this.messages.entrySize(row)
    this.generationSize += bytes
    this.unsynced.add(bytes, total)
    return total
  }

  // HOT: once per settled delivery
  settle(log: QueueLog, from: number, count: number): void {
    const { alive } = log as WalQueue
    this.settles++
    if (count === 1) {
      // What is not in the log needs no record of its end.
      if (!alive.remove(from)) return
    } else {
      const before = alive.count
      alive.removeRange(from, from + count)
      if (alive.count === before) return
    }
    this.openRow = -1
    if (this.openSettle >= 0 && this.settleQueue === log.queue && this.openEnd === from) {
      const to = this.ring.words
      const merged = from + count - this.settleFrom()
      to[this.openSettle + 4] = lowWord(merged)
      to[this.openSettle + 5] = highWord(merged)
      this.openEnd = from + count
      return
    }
    this.openNewSettle(log.queue, from, count)
  }

  openStream(queue: number, name: string, settings: StreamSettings, owner: StreamOwner): StreamLog {
    assert(this.streams !== undefined, 'the store has made the desk of streams')
    return this.streams.open(queue, name, settings, owner)
  }

  // HOT: once per message published to a stream
  reserveEntry(words: number): number {
    const index = this.ring.reserve(words)
    assert(index >= 0, 'whoever appends has asked for room')
    return index
  }

  // HOT: once per message published to a stream
  commitEntry(index: number, words: number, e: number, bytes: number): number {
    const { ring } = this
    this.openRow = -1
    this.openSettle = -1
    ring.commit(words)
    const { total } = ring
    this.lastReference[ring.words[e] as number] = total
    const extentsEnd = index + words
    for (let i = e + entryWords; i < extentsEnd; i += extentWords) {
      this.lastReference[ring.words[i] as number] = total
    }
    this.urgent = true
    this.unsynced.add(bytes, total)
    return total
  }

  putRecord(words: readonly number[]): void {
    this.put(words, words.length)
  }

  mark(log: QueueLog, position: number, word: number): void {
    // Of a message that is not in the log nothing needs to be remembered.
    if (!(log as WalQueue).alive.has(position)) return
    this.generationSize += markWords * 4
    this.put([LogRecord.mark, log.queue, lowWord(position), highWord(position), word], markWords)
  }

  annotate(log: QueueLog, position: number, table: Uint8Array): void {
    if (!(log as WalQueue).alive.has(position)) return
    const record = [LogRecord.annotate, ...annotateRecord(log.queue, position, table)]
    this.generationSize += record.length * 4
    this.put(record, record.length)
  }

  isAlive(log: QueueLog, position: number): boolean {
    return (log as WalQueue).alive.has(position)
  }

  nextAlive(log: QueueLog, from: number): number {
    return (log as WalQueue).alive.firstAlive(from)
  }

  fetch(log: QueueLog): void {
    this.desk.fetch(log as WalQueue)
  }

  readSome(log: QueueLog, wanted: AliveSet, sink: SomeSink): () => void {
    return this.desk.readSome(log as WalQueue, wanted, sink)
  }

  rewind(log: QueueLog): void {
    this.desk.rewind(log as WalQueue)
  }

  poll(): boolean {
    const any = this.streams?.poll() === true
    return this.desk.poll() || any
  }

  flush(): void {
    this.streams?.flush()
    this.openRow = -1
    this.openSettle = -1
    if (this.overflow.length > 0) this.drained()
    if (this.generationSize >= this.generationBytes && this.checkpoint === undefined) this.roll()
    if (this.checkpoint !== undefined) this.stepCheckpoint(this.checkpoint)
    const busy = this.ring.publish()
    // Nobody waits for settles alone: they ride with the next message, or go when the log looks around.
    if (busy && (this.urgent || this.quietSettles > quietSettlesMax)) this.urge()
    this.committedUpTo = this.ring.releasedTotal()
    this.unsynced.release(this.committedUpTo)
    // Looking through all segments can wait while there is something better to do.
    if (++this.flushes >= flushesPerCollect || !busy) this.collect()
  }

  barrier(): number {
    if (this.overflow.length > 0 && !this.drained()) return -1
    // What follows is not merged into records that are on their way.
    this.openRow = -1
    this.openSettle = -1
    this.ring.publish()
    const { total } = this.ring
    if (this.ring.releasedTotal() !== total) this.urge()
    return total
  }

  /** Has the log thread take what there is. */
  urge(): void {
    this.urgent = false
    this.quietSettles = 0
    this.bell.ring()
  }

  private collect(): void {
    this.flushes = 0
    if (this.settles === this.collected && this.committedUpTo === this.collectedAt) return
    this.collected = this.settles
    this.collectedAt = this.committedUpTo
    this.desk.collect(this.committedUpTo)
  }

  /** True when all that was appended is durable. */
  isSettled(): boolean {
    return this.overflow.length === 0 && this.ring.releasedTotal() === this.ring.total
  }

  private addTarget(queue: number, position: number, expiry: number): void {
    const { ring } = this
    const size = targetRecordWords + (expiry === 0 ? 0 : expiryWords)
    const index = ring.reserve(size)
    const to = ring.words
    to[index] = (size << 8) | (expiry === 0 ? LogRecord.target : LogRecord.targetTimed)
    to[index + 1] = queue
    to[index + 2] = lowWord(position)
    to[index + 3] = highWord(position)
    if (expiry !== 0) {
      to[index + 4] = lowWord(expiry)
      to[index + 5] = highWord(expiry)
    }
    ring.commit(size)
    this.openTargets++
    this.generationSize += timedTargetWords * 4
  }

  private refer(extents: Int32Array, total: number): void {
    for (let i = 0; i < extents.length; i += extentWords) {
      this.lastReference[extents[i] as number] = total
    }
  }

  private settleFrom(): number {
    const words = this.ring.words
    const low = (words[this.openSettle + 2] as number) >>> 0
    return low + (words[this.openSettle + 3] as number) * 0x100000000
  }

  private openNewSettle(queue: number, from: number, count: number): void {
    const { ring } = this
    this.generationSize += settleWords * 4
    this.quietSettles++
    const index = this.overflow.length > 0 ? -1 : ring.reserve(settleWords)
    if (index < 0) {
      this.openSettle = -1
      this.overflow.push(LogRecord.settle, settleWords, queue)
      this.overflow.push(lowWord(from), highWord(from), lowWord(count), highWord(count))
      return
    }
    const to = ring.words
    to[index] = (settleWords << 8) | LogRecord.settle
    to[index + 1] = queue
    to[index + 2] = lowWord(from)
    to[index + 3] = highWord(from)
    to[index + 4] = lowWord(count)
    to[index + 5] = highWord(count)
    ring.commit(settleWords)
    this.openSettle = index
    this.settleQueue = queue
    this.openEnd = from + count
  }

  /** Appends a record (its type, then its words from the second on), or keeps it until there is room. */
  private put(record: readonly number[], size: number): void {
    this.openRow = -1
    this.openSettle = -1
    this.overflow.push(record[0] as number, size)
    for (let i = 1; i < size; i++) this.overflow.push(record[i] as number)
    this.drained()
  }

  /** Writes what found no room; true when nothing is left. Otherwise the bell rings when there is room. */
  private drained(): boolean {
    const { overflow, ring } = this
    let from = this.overflowFrom
    while (from < overflow.length) {
      const size = overflow[from + 1] as number
      if (!this.hasWords(size)) break
      const index = ring.reserve(size)
      ring.words[index] = (size << 8) | (overflow[from] as number)
      for (let i = 1; i < size; i++) ring.words[index + i] = overflow[from + 1 + i] as number
      ring.commit(size)
      this.urgent = true
      from += size + 1
    }
    this.overflowFrom = from
    if (from < overflow.length) return false
    this.overflow = []
    this.overflowFrom = 0
    return true
  }

  private hasWords(words: number): boolean {
    // Who is refused is rung after the next commit (see `rest`), so room needs no request.
    return this.ring.hasRoom(words)
  }

  private roll(): void {
    const ended = this.generation
    this.generation++
    this.generationSize = 0
    this.put([LogRecord.roll, this.generation], rollWords)
    this.checkpoint = this.checkpointOf(ended)
  }

  private checkpointOf(generation: number): Checkpoint {
    return new Checkpoint(this.queues, this.desk.needed(), generation)
  }

  /** The position of the log that covers it, 0 when there is no room now. */
  private sayDropped(generation: number, number: number): number {
    if (this.overflow.length > 0 || !this.hasWords(segmentWords)) return 0
    this.put([LogRecord.segmentDropped, generation, number], segmentWords)
    return this.ring.total
  }

  /** Repeats a part of what is dead, so that the records that said so first may go. */
  private stepCheckpoint(checkpoint: Checkpoint): void {
    while (this.overflow.length === 0 && this.hasWords(checkpointRoom)) {
      if (!checkpoint.next()) {
        this.put([LogRecord.retire, checkpoint.generation], retireWords)
        this.checkpoint = undefined
        return
      }
      this.put(checkpoint.record, checkpoint.size)
    }
  }
}

/** Words that must be free before a checkpoint goes on: publishes and settles come first. */
const checkpointRoom = 16 * 1024
/** With more settle records than this the log thread is woken for them. */
const quietSettlesMax = 200
/** Bytes of messages that may wait for the disk: what a slow one takes in a fifth of a second. */
const unsyncedBytesMax: number = 32 * 1024 * 1024
/** Flushes between two looks through the segments of a busy shard. */
const flushesPerCollect = 256
