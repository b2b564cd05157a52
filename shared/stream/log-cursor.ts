// A place in a stream's log: found by offset or time, moved on chunk by chunk, from segment to segment.
// The files are read by whoever holds the cursor; what is written is never changed again.

import { Buffer } from 'node:buffer'
import { viewOf } from '../bytes/view.ts'
import type { StreamEnd } from './chunk.ts'
import {
  ChunkHeader,
  ChunkType,
  chunkHeaderBytes,
  fileHeaderBytes,
  indexRecordBytes,
  readU64,
  segmentBaseName,
  segmentBaseOf,
} from './chunk.ts'
import type { ReadWindow } from './read-window.ts'

/** The file operations of a reader; they throw what the system says. */
export interface LogFiles {
  list(folder: string): string[]
  open(path: string): number
  close(fd: number): void
  size(fd: number): number
  read(fd: number, bytes: Buffer, at: number, size: number, position: number): number
}

/** Where to begin. Times in milliseconds since 1970. `fromEnd`: so many messages before the end. */
export type OffsetSpec =
  | { readonly kind: 'first' | 'last' | 'next' }
  | { readonly kind: 'offset' | 'fromEnd' | 'timestamp'; readonly value: number }

/** What stands at a cursor: a chunk whose header is in `header`, nothing yet, or bytes that are no chunk. */
export type AtCursor = 'chunk' | 'end' | 'damaged'

export class LogCursor {
  readonly header: ChunkHeader
  /** Messages before this offset are not wanted: chunks are entered at their beginning. */
  startOffset: number
  /** Position of the chunk in its segment. */
  position: number
  /** Open segment; -1: none yet. */
  fd: number
  private readonly files: LogFiles
  private readonly folder: string
  private base: number

  constructor(files: LogFiles, folder: string) {
    this.files = files
    this.folder = folder
    this.header = new ChunkHeader()
    this.startOffset = 0
    this.position = 0
    this.fd = -1
    this.base = -1
  }

  /** Goes to where `spec` says; what is out of range goes to the nearest end. */
  attach(spec: OffsetSpec, end: StreamEnd): void {
    this.close()
    this.startOffset = 0
    const bases = end.base < 0 ? [] : this.bases().filter((base) => base <= end.base)
    const first = bases[0]
    if (first === undefined) return this.toEnd(end)
    switch (spec.kind) {
      case 'next':
        return this.toEnd(end)
      case 'first':
        return this.toOffset(bases, end, first)
      case 'last':
        return end.lastChunk < 0 ? this.toEnd(end) : this.toOffset(bases, end, end.lastChunk)
      case 'offset':
        return this.toOffset(bases, end, Math.max(first, spec.value))
      case 'fromEnd':
        return this.toOffset(bases, end, Math.max(first, end.next - spec.value))
      case 'timestamp':
        return this.toTimestamp(bases, end, spec.value)
    }
  }

  // HOT: once per chunk
  /**
   * Looks at what stands at `position`, through `window`, and goes on to the next segment where this
   * one has ended.
   */
  look(end: StreamEnd, window: ReadWindow): AtCursor {
    for (;;) {
      if (this.base < 0 && !this.begin(end)) return 'end'
      const last = this.base >= end.base
      if (last && this.position >= end.position) return 'end'
      const at = window.find(this.fd, this.position, chunkHeaderBytes, this.limit(end))
      if (at >= 0 && this.header.read(window.bytes, at)) {
        const isWhole = this.position + this.header.size() <= this.limit(end)
        return isWhole ? 'chunk' : 'damaged'
      }
      // Zeros: the file grew ahead of what was written.
      const isOver = at < 0 || window.bytes[at] === 0
      if (last || !isOver || !this.nextSegment()) return 'damaged'
    }
  }

  /** Goes behind the chunk that `look` found. */
  pass(): void {
    this.position += this.header.size()
  }

  /** Position in the segment up to which it is committed; a complete one ends where its file does. */
  limit(end: StreamEnd): number {
    return this.base === end.base ? end.position : Number.MAX_SAFE_INTEGER
  }

  /**
   * What stands at `position` is no chunk, or not what was written: goes on with the next chunk that
   * the index knows of, else with the next segment that is there. False: nothing is behind it yet.
   */
  skipDamage(end: StreamEnd): boolean {
    const index = this.openIndex(this.base)
    const behind = index.search((record) => record.getUint32(24) <= this.position)
    const found = behind < index.count ? index.record(behind).getUint32(24) : 0
    index.close()
    if (found > this.position && found < this.limit(end)) {
      this.position = found
      return true
    }
    return this.base < end.base && this.nextSegment()
  }

  close(): void {
    if (this.fd >= 0) this.files.close(this.fd)
    this.fd = -1
    this.base = -1
  }

  /** The log had no segment when the cursor came: it has one now, or not. */
  private begin(end: StreamEnd): boolean {
    if (end.base < 0) return false
    const first = this.bases()[0]
    if (first === undefined) return false
    this.enter(first, fileHeaderBytes)
    return true
  }

  private nextSegment(): boolean {
    for (const base of this.bases()) {
      if (base <= this.base) continue
      try {
        this.enter(base, fileHeaderBytes)
        return true
      } catch {
        // Retention took it meanwhile.
      }
    }
    return false
  }

  private toEnd(end: StreamEnd): void {
    this.startOffset = end.next
    if (end.base >= 0) this.enter(end.base, end.position)
  }

  private toOffset(bases: readonly number[], end: StreamEnd, offset: number): void {
    if (offset >= end.next) return this.toEnd(end)
    this.startOffset = offset
    const base = bases.findLast((candidate) => candidate <= offset) ?? bases[0] ?? 0
    const index = this.openIndex(base)
    // The last chunk that begins at or before the offset.
    const behind = index.search((view) => readU64(view, 0) <= offset)
    this.enterAt(base, index, Math.max(0, behind - 1))
  }

  private toTimestamp(bases: readonly number[], end: StreamEnd, time: number): void {
    // The last segment that begins before the time; messages of that time are there or in the next.
    for (let i = bases.length - 1; i >= 0; i--) {
      const base = bases[i] as number
      const index = this.openIndex(base)
      const isBefore = (view: DataView): boolean => readU64(view, 8) < time
      if (i > 0 && (index.count === 0 || !isBefore(index.record(0)))) {
        index.close()
        continue
      }
      const found = index.search(isBefore)
      if (found < index.count) return this.enterAt(base, index, found)
      index.close()
      const next = bases[i + 1]
      return next === undefined ? this.toEnd(end) : this.enter(next, fileHeaderBytes)
    }
  }

  private enterAt(base: number, index: IndexFile, record: number): void {
    const position = record < index.count ? index.record(record).getUint32(24) : fileHeaderBytes
    index.close()
    this.enter(base, position)
  }

  private enter(base: number, position: number): void {
    const fd = this.files.open(`${this.folder}/${segmentBaseName(base)}.segment`)
    this.close()
    this.fd = fd
    this.base = base
    this.position = position
  }

  private bases(): number[] {
    const found: number[] = []
    for (const name of this.files.list(this.folder)) {
      const base = segmentBaseOf(name)
      if (base !== undefined) found.push(base)
    }
    return found.sort((a, b) => a - b)
  }

  private openIndex(base: number): IndexFile {
    return new IndexFile(this.files, `${this.folder}/${segmentBaseName(base)}.index`)
  }
}

/** The index of one segment; without records where there is none. */
class IndexFile {
  /** Whole records. */
  readonly count: number
  private readonly files: LogFiles
  private readonly fd: number
  private readonly bytes: Buffer

  constructor(files: LogFiles, path: string) {
    this.files = files
    this.bytes = Buffer.allocUnsafeSlow(indexRecordBytes)
    let fd = -1
    let count = 0
    try {
      fd = files.open(path)
      count = Math.floor((files.size(fd) - fileHeaderBytes) / indexRecordBytes)
    } catch {
      // Then the segment is read from its beginning.
    }
    this.fd = fd
    this.count = Math.max(0, count)
  }

  /** The bytes of one record, until the next call. */
  record(index: number): DataView {
    const position = fileHeaderBytes + index * indexRecordBytes
    this.files.read(this.fd, this.bytes, 0, indexRecordBytes, position)
    return viewOf(this.bytes)
  }

  /** How many records come before the first that `isBefore` says no to. */
  search(isBefore: (record: DataView) => boolean): number {
    let low = 0
    let high = this.count
    while (low < high) {
      const middle = (low + high) >> 1
      if (isBefore(this.record(middle))) low = middle + 1
      else high = middle
    }
    return low
  }

  close(): void {
    if (this.fd >= 0) this.files.close(this.fd)
  }
}

/** Whether readers get what is in a chunk. */
export function holdsMessages(header: ChunkHeader): boolean {
  return header.type === ChunkType.user
}
