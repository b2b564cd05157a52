// Moves what is still alive of old generations to segments, a step at a time between two commits of
// the log. First it counts what each queue has there, then it copies: a queue with much gets a
// segment of its own, the others share one. What came and went is never written again.

import { join } from 'node:path'
import { BlockReader } from './block-reader.ts'
import type { DeadPositions } from './dead-positions.ts'
import type { Disk } from './disk.ts'
import type { Run } from './segment-writer.ts'
import { SegmentWriter, targetsPerOpMax } from './segment-writer.ts'
import {
  blockAlign,
  blockBytesMax,
  entryBytes,
  inParts,
  joinWords,
  Op,
  partHeadWords,
  segmentId,
  segmentName,
  targetCountOf,
  targetWordsOf,
} from './wal-format.ts'
import { levelKey } from './wal-queue.ts'

/** A queue with less than this in a generation shares a segment: or there would be a file per queue. */
const ownSegmentBytes: number = 512 * 1024
/** A file is read through a window of this size; a block is at most half of it. */
const windowBytes: number = 2 * blockBytesMax
/** More segments of their own than this are open at no time. */
const ownSegmentsMax = 64

export interface FinishedSegment {
  readonly generation: number
  readonly number: number
  readonly size: number
  readonly runs: readonly Run[]
}

interface QueueShare {
  bytes: number
  /** Has messages that other queues have too: those are stored once, in the shared segment. */
  shares: boolean
  writer: SegmentWriter | undefined
}

export interface StoreFolders {
  readonly wal: string
  readonly segments: string
  /** For what is damaged. */
  readonly aside: string
}

/** Where retirements take place. */
export interface RetirementPlace {
  readonly disk: Disk
  readonly folders: StoreFolders
  readonly salt: number
}

/** A file of blocks: of the log, or a segment. */
export interface Source {
  readonly path: string
  /** The number of the file that its blocks carry. */
  readonly file: number
}

export class Retirement {
  readonly generation: number
  readonly finished: FinishedSegment[]
  private readonly disk: Disk
  private readonly folders: StoreFolders
  private readonly salt: number
  private readonly sources: readonly Source[]
  private readonly dead: DeadPositions
  /** By `levelKey`. */
  private readonly shares: Map<number, QueueShare>
  private readonly writers: SegmentWriter[]
  private shared: SegmentWriter | undefined
  private phase: 'count' | 'copy' | 'done'
  private fileIndex: number
  /** Of the file that is read; -1 between files. */
  private fd: number
  private readonly memory: Buffer
  private reader: BlockReader
  /** Where in the file the window in `memory` begins, and where in the window to go on. */
  private start: number
  private at: number
  /** Of the next segment; -1 before the first. */
  private number: number
  private readonly targets: number[]
  /** Part ops since the last enqueue op: copies of their bytes. */
  private pending: Buffer[]
  /** Bytes of the sources that were left out: nothing in them could be read. */
  damagedBytes: number

  /** `sources`: all files of generations up to `generation`, oldest first; or a segment of it. */
  constructor(
    { disk, folders, salt }: RetirementPlace,
    generation: number,
    sources: readonly Source[],
    dead: DeadPositions,
  ) {
    this.disk = disk
    this.folders = folders
    this.salt = salt
    this.generation = generation
    this.sources = sources
    this.dead = dead
    this.finished = []
    this.shares = new Map()
    this.writers = []
    this.shared = undefined
    this.phase = 'count'
    this.fileIndex = 0
    this.fd = -1
    this.memory = Buffer.from(new ArrayBuffer(windowBytes))
    this.reader = new BlockReader(this.memory, 0, 0, salt)
    this.start = 0
    this.at = 0
    this.number = -1
    this.targets = []
    this.pending = []
    this.damagedBytes = 0
  }

  /** Goes on for about `bytes` of the files. True when all is in segments that are durable. */
  step(bytes: number): boolean {
    let left = bytes
    while (left > 0 && this.phase !== 'done') {
      if (this.fd < 0 && !this.open()) {
        this.endPass()
        continue
      }
      const reader = this.nextBlock()
      if (reader === undefined) {
        this.close()
        continue
      }
      this.readBlock(reader)
      left -= reader.following() - reader.at
      this.at = reader.following()
    }
    return this.phase === 'done'
  }

  /** The reader at the next valid block, or undefined at the end of the file. */
  private nextBlock(): BlockReader | undefined {
    if (this.reader.look(this.at) === 'valid') return this.reader
    // It may go on behind what was read.
    if (this.at > 0 && this.load(this.start + this.at) && this.reader.look(0) === 'valid') {
      return this.reader
    }
    const from = this.start + this.at
    for (;;) {
      const next = this.reader.findValid(this.at)
      if (next >= 0) {
        // What is between was damaged, and with it a message that is in parts.
        this.pending = []
        if (this.phase === 'count') this.damagedBytes += this.start + next - from
        this.at = next
        return this.reader
      }
      if (!this.load(this.start + windowBytes - blockBytesMax)) return undefined
    }
  }

  /** Reads the window that begins at `start`; false when the file ends before. */
  private load(start: number): boolean {
    const size = this.disk.read(this.fd, this.memory, 0, windowBytes, start)
    this.reader = new BlockReader(
      this.memory,
      size,
      this.sources[this.fileIndex]?.file ?? 0,
      this.salt,
    )
    this.start = start
    this.at = 0
    return size >= blockAlign
  }

  /** Gives up: what was written so far is removed. Throws where the disk refuses that. */
  abandon(): void {
    this.phase = 'done'
    this.close()
    for (const writer of this.writers) writer.abandon()
  }

  private open(): boolean {
    const source = this.sources[this.fileIndex]
    if (source === undefined) return false
    this.fd = this.disk.open(source.path, false)
    this.load(0)
    return true
  }

  private close(): void {
    const { fd } = this
    this.fd = -1
    this.fileIndex++
    if (fd >= 0) this.disk.close(fd)
  }

  private endPass(): void {
    this.fileIndex = 0
    if (this.phase === 'count' && this.shares.size > 0) {
      this.phase = 'copy'
      return
    }
    this.phase = 'done'
    for (const writer of this.writers) {
      writer.finish()
      const { at: size, number } = writer
      this.finished.push({
        generation: this.generation,
        number,
        size,
        runs: [...writer.runs.values()],
      })
    }
    if (this.writers.length > 0) this.disk.syncFolder(this.folders.segments)
    this.writers.length = 0
  }

  private readBlock(reader: BlockReader): void {
    const { words } = reader
    const end = reader.opsTo()
    for (let w = reader.opsFrom(); w < end; ) {
      const size = (words[w] as number) >>> 8
      const type = (words[w] as number) & 255
      if (type === Op.enqueue) this.readEnqueue(reader, w, size)
      else if (type === Op.part && this.phase === 'copy') {
        const from = (w + partHeadWords) * 4
        const part = reader.bytes.subarray(from, from + (words[w + 1] as number))
        this.pending.push(Buffer.from(part))
      }
      w += size
    }
  }

  // HOT: once per message of an old generation
  private readEnqueue(reader: BlockReader, w: number, size: number): void {
    const { words } = reader
    const each = targetWordsOf(words[w + 1] as number)
    const from = w + size - targetCountOf(words[w + 1] as number) * each
    const { targets } = this
    let filled = 0
    for (let t = from; t < w + size; t += each) {
      const position = joinWords(words[t + 1] as number, words[t + 2] as number)
      if (!this.dead.isAlive(words[t] as number, position)) continue
      for (let k = 0; k < each; k++) targets[filled++] = words[t + k] as number
    }
    if (targets.length !== filled) targets.length = filled
    if (filled > 0) {
      if (this.phase === 'count') this.count(words, w, each)
      else this.copy(words, w, from, each)
    }
    if (this.pending.length > 0) this.pending = []
  }

  private count(words: Int32Array, w: number, each: number): void {
    const { targets } = this
    const bytes = entryBytes(words, w)
    for (let i = 0; i < targets.length; i += each) {
      const queue = this.keyOf(i)
      let share = this.shares.get(queue)
      if (share === undefined) {
        share = { bytes: 0, shares: false, writer: undefined }
        this.shares.set(queue, share)
      }
      share.bytes += bytes + 40
      if (targets.length > each) share.shares = true
    }
  }

  /** The `levelKey` of a target: each level of a queue is kept together. */
  private keyOf(i: number): number {
    const [queue, low, high] = [this.targets[i], this.targets[i + 1], this.targets[i + 2]]
    return levelKey(queue as number, joinWords(low as number, high as number))
  }

  private copy(words: Int32Array, w: number, end: number, each: number): void {
    const { targets } = this
    const writer = this.writerFor(this.keyOf(0))
    const partWise = ((words[w + 1] as number) & inParts) !== 0
    if (partWise && sizeOf(this.pending) !== entryBytes(words, w)) return
    for (let i = 0; i < targets.length; i += targetsPerOpMax * each) {
      if (partWise) for (const part of this.pending) writer.addPart(part, 0, part.length)
      writer.addEnqueue(words, w, end, targets.slice(i, i + targetsPerOpMax * each))
    }
  }

  private writerFor(queue: number): SegmentWriter {
    const share = this.shares.get(queue)
    if (share?.writer !== undefined) return share.writer
    const own =
      share !== undefined &&
      !share.shares &&
      share.bytes >= ownSegmentBytes &&
      this.writers.length <= ownSegmentsMax
    if (own) {
      share.writer = this.newWriter()
      return share.writer
    }
    // A queue stays with its segment, so that its messages there are in order.
    this.shared ??= this.newWriter()
    if (share !== undefined) share.writer = this.shared
    return this.shared
  }

  private newWriter(): SegmentWriter {
    this.disk.makeFolder(this.folders.segments)
    if (this.number < 0) this.number = this.firstFree()
    const name = segmentName(this.generation, this.number)
    const path = join(this.folders.segments, name)
    const id = { generation: this.generation, number: this.number++ }
    const writer = new SegmentWriter(this.disk, path, this.salt, id)
    this.writers.push(writer)
    return writer
  }

  /** A finished segment is never written over, nor what could not be removed of an unfinished one. */
  private firstFree(): number {
    let free = 0
    for (const name of this.disk.list(this.folders.segments)) {
      const id = segmentId(name)
      if (id?.generation === this.generation) free = Math.max(free, id.number + 1)
    }
    return free
  }
}

function sizeOf(parts: readonly Buffer[]): number {
  let size = 0
  for (const part of parts) size += part.length
  return size
}
