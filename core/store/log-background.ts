// What a log thread does between two commits: moves old generations to segments, reads segments
// back, and removes those that are not needed any more.

import { join } from 'node:path'
import type { Arena } from '../../shared/bus/arena.ts'
import type { RingReader, RingWriter } from '../../shared/bus/ring.ts'
import type { DeadPositions } from './dead-positions.ts'
import type { Disk } from './disk.ts'
import {
  compactedReplyWords,
  compactingReplyWords,
  LogReply,
  LogRequest,
  ReadFailure,
  readReplyWords,
  retiredReplyWords,
  segmentReplyWords,
} from './log-wire.ts'
import type { FinishedSegment, StoreFolders } from './retirement.ts'
import { Retirement } from './retirement.ts'
import type { WalFiles } from './wal.ts'
import { highWord, joinWords, lowWord, runWords, segmentName, walFileName } from './wal-format.ts'

/** Bytes of old files looked at between two commits: about a millisecond. */
const stepBytes: number = 256 * 1024
/** With more old files than this, retiring comes first: messages stay in memory until it is done. */
const filesBehindMax = 1
const catchUpBytes: number = 32 * 1024 * 1024
/** A disk that refused a segment is asked again after this. */
const retryMs = 500
/** Segments that stay open after a read. */
const openMax = 16

export interface BackgroundParts {
  readonly requests: RingReader
  readonly replies: RingWriter
  readonly arena: Arena
  readonly disk: Disk
  readonly salt: number
  readonly folders: StoreFolders
  /** Old files held `bytes` that could not be read: what is alive of them is in memory at most. */
  readonly onDamage: (generation: number, bytes: number) => void
}

interface Compaction {
  /** Of the segment that is written anew. */
  readonly number: number
  readonly retirement: Retirement
}

interface Waiting {
  readonly generation: number
  readonly dead: DeadPositions
  readonly empty: boolean
}

export class LogBackground {
  private readonly parts: BackgroundParts
  /** Why retiring does not get on; it is tried again after a while. */
  failure: Error | undefined
  private retryAt: number
  private retirement: Retirement | undefined
  /** What is to be retired next. */
  private waiting: Waiting | undefined
  private dead: DeadPositions | undefined
  /** Files of generations up to this are to be recycled; -1: none. */
  private toRecycle: number
  /** Segments to be written anew, once it is known what is dead. */
  private sparse: { readonly generation: number; readonly number: number }[]
  private compaction: Compaction | undefined
  /** Words of replies that found no room. */
  private outbox: number[]
  private readonly open: Map<string, number>

  constructor(parts: BackgroundParts) {
    this.parts = parts
    this.failure = undefined
    this.retryAt = 0
    this.retirement = undefined
    this.waiting = undefined
    this.dead = undefined
    this.toRecycle = -1
    this.sparse = []
    this.compaction = undefined
    this.outbox = []
    this.open = new Map()
  }

  /**
   * Generations up to `generation` are to be retired; `dead` says what of them is not needed. `empty`:
   * nothing of what was not retired before is.
   */
  retire(generation: number, dead: DeadPositions, empty: boolean): void {
    this.waiting = { generation, dead, empty: empty && (this.waiting?.empty ?? true) }
  }

  /** Answers requests. True when there was any. */
  serve(): boolean {
    const { requests } = this.parts
    if (!requests.look()) return this.send()
    const { words } = requests
    for (let i = requests.next(); i >= 0; i = requests.next()) {
      const type = (words[i] as number) & 255
      if (type === LogRequest.read) this.read(words, i)
      else if (type === LogRequest.compact) {
        this.sparse.push({ generation: words[i + 1] as number, number: words[i + 2] as number })
      } else this.drop(words[i + 1] as number, words[i + 2] as number, words[i + 3] === 1)
    }
    requests.release()
    this.send()
    return true
  }

  /** Goes on with retiring, in step with the `written` bytes of the log. True while there is more. */
  step(wal: WalFiles, written: number): boolean {
    if (this.failure !== undefined && performance.now() < this.retryAt) return false
    try {
      const more = this.goOn(wal, written)
      this.failure = undefined
      return more
    } catch (error) {
      this.failure = error instanceof Error ? error : new Error(String(error))
      this.retryAt = performance.now() + retryMs
      this.startAgain()
      return false
    }
  }

  private goOn(wal: WalFiles, written: number): boolean {
    if (this.toRecycle >= 0) this.recycle(wal)
    this.retirement ??= this.begin(wal)
    const { retirement } = this
    if (retirement === undefined) return this.compact()
    // Files are read twice, so this is twice as fast as they are written; the log waits where even
    // that is not enough.
    const behind = wal.oldFiles() > filesBehindMax ? catchUpBytes : stepBytes
    if (!retirement.step(Math.max(behind, 4 * written))) return true
    const { damagedBytes } = retirement
    if (damagedBytes > 0) this.parts.onDamage(retirement.generation, damagedBytes)
    for (const segment of retirement.finished) this.announce(segment)
    this.outbox.push((retiredReplyWords << 8) | LogReply.retired, retirement.generation)
    this.toRecycle = retirement.generation
    this.retirement = undefined
    this.send()
    this.recycle(wal)
    return this.waiting !== undefined || this.sparse.length > 0
  }

  /**
   * Goes on with writing sparse segments anew, between retirements, by what was dead at the last one.
   * True while there is more.
   */
  private compact(): boolean {
    const { dead } = this
    if (dead === undefined) return false
    this.compaction ??= this.nextCompaction(dead)
    const { compaction } = this
    if (compaction === undefined) {
      this.dead = undefined
      return false
    }
    const { retirement, number } = compaction
    let done = false
    try {
      if (!retirement.step(stepBytes)) return true
      done = true
    } catch {
      // The segment stays as it is: that costs space only.
      this.giveUp(retirement)
    }
    this.compaction = undefined
    const { generation } = retirement
    this.outbox.push((compactingReplyWords << 8) | LogReply.compacting, generation, number)
    if (done) for (const segment of retirement.finished) this.announce(segment)
    this.outbox.push((compactedReplyWords << 8) | LogReply.compacted, done ? 1 : 0)
    this.send()
    return true
  }

  private nextCompaction(dead: DeadPositions): Compaction | undefined {
    const segment = this.sparse.shift()
    if (segment === undefined) return undefined
    const { generation, number } = segment
    const path = join(this.parts.folders.segments, segmentName(generation, number))
    const source = { path, file: generation }
    return { number, retirement: new Retirement(this.parts, generation, [source], dead) }
  }

  /** Apart from retiring, which must not be done again for files of which some are gone. */
  private recycle(wal: WalFiles): void {
    wal.recycle(this.toRecycle)
    this.toRecycle = -1
  }

  /** The disk refused something: retiring starts again from the beginning, later. */
  private startAgain(): void {
    const { retirement, dead } = this
    if (retirement === undefined || dead === undefined) return
    this.giveUp(retirement)
    this.retirement = undefined
    const { generation } = retirement
    this.waiting = { generation, dead, ...this.waiting, empty: false }
  }

  private giveUp(retirement: Retirement): void {
    try {
      retirement.abandon()
    } catch {
      // What can't be closed or removed changes nothing: it is not finished.
    }
  }

  private begin(wal: WalFiles): Retirement | undefined {
    const { waiting } = this
    if (waiting === undefined) return undefined
    const { generation, dead, empty } = waiting
    const sources = (empty ? [] : wal.filesUpTo(generation)).map((file) => ({
      path: join(this.parts.folders.wal, walFileName(file)),
      file,
    }))
    const retirement = new Retirement(this.parts, generation, sources, dead)
    this.waiting = undefined
    this.dead = dead
    return retirement
  }

  private announce({ generation, number, size, runs }: FinishedSegment): void {
    this.outbox.push((segmentReplyWords << 8) | LogReply.segment, generation, number)
    this.outbox.push(lowWord(size), highWord(size))
    for (const { queue, from, to, count, offset, bytes } of runs) {
      this.outbox.push((runWords << 8) | LogReply.run, queue)
      this.outbox.push(lowWord(from), highWord(from), lowWord(to), highWord(to), count)
      this.outbox.push(lowWord(offset), highWord(offset), lowWord(bytes), highWord(bytes))
    }
  }

  private read(words: Int32Array, i: number): void {
    const name = segmentName(words[i + 2] as number, words[i + 3] as number)
    const offset = joinWords(words[i + 4] as number, words[i + 5] as number)
    const slab = this.parts.arena.slab(words[i + 6] as number)
    let size: number
    try {
      const fd = this.descriptor(name)
      size = this.parts.disk.read(fd, slab, words[i + 7] as number, words[i + 8] as number, offset)
    } catch (error) {
      size = isMissing(error) ? ReadFailure.missing : ReadFailure.refused
    }
    this.outbox.push((readReplyWords << 8) | LogReply.read, words[i + 1] as number, size)
  }

  /** Removes a segment; a damaged one is moved aside. */
  private drop(generation: number, number: number, damaged: boolean): void {
    const { disk, folders } = this.parts
    const name = segmentName(generation, number)
    const path = join(folders.segments, name)
    this.close(name)
    try {
      if (damaged) {
        disk.makeFolder(folders.aside)
        disk.rename(path, join(folders.aside, name))
      } else disk.remove(path)
    } catch {
      // It stays, and is found to be dead again at the next start.
    }
  }

  private descriptor(name: string): number {
    const known = this.open.get(name)
    if (known !== undefined) return known
    for (const oldest of this.open.keys()) {
      if (this.open.size < openMax) break
      this.close(oldest)
    }
    const fd = this.parts.disk.open(join(this.parts.folders.segments, name), false)
    this.open.set(name, fd)
    return fd
  }

  private close(name: string): void {
    const fd = this.open.get(name)
    if (fd === undefined) return
    this.open.delete(name)
    this.parts.disk.close(fd)
  }

  /** Sends replies as far as there is room. True when any went. */
  private send(): boolean {
    const { outbox, parts } = this
    const { replies } = parts
    let from = 0
    while (from < outbox.length) {
      const size = (outbox[from] as number) >>> 8
      const index = replies.reserve(size)
      if (index < 0) break
      for (let i = 0; i < size; i++) replies.words[index + i] = outbox[from + i] as number
      replies.commit(size)
      from += size
    }
    if (from === 0) return false
    this.outbox = outbox.slice(from)
    return replies.publish()
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
