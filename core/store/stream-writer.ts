// The log of one stream as its log thread writes it: messages gathered into chunks, chunks appended to
// the last segment, segments rolled over and let go. What was written counts only once it is synced;
// after a failure everything goes back to what was.

import { crc32 } from 'node:zlib'
import type { StreamEnd } from '../../shared/stream/chunk.ts'
import {
  ChunkHeader,
  ChunkType,
  chunkHeaderBytes,
  fileHeaderBytes,
  indexMagic,
  indexRecordBytes,
  segmentMagic,
} from '../../shared/stream/chunk.ts'
import type { StreamSettings } from '../log/stream-log.ts'
import type { Disk } from './disk.ts'
import { placeMark } from './disk.ts'
import type { StreamSegment, StreamState } from './stream-scan.ts'
import {
  fileHeader,
  indexPath,
  lastTimestampOf,
  removeSegment,
  scanStream,
  segmentPath,
  writeIndexRecord,
} from './stream-scan.ts'
import type { StreamTracking } from './stream-tracking.ts'

/** As RabbitMQ: an index beyond this would be slow to search. */
const segmentChunksMax = 256_000

/**
 * A segment grows ahead of what is written, in zeros: to overwrite these costs a sync a fraction of
 * what growing a file does. By as much as it holds, within these bounds.
 */
const growthBytesMin: number = 16 * 1024
const growthBytesMax: number = 1024 * 1024
/** A chunk that is larger grows the file itself: its sync is long anyway. */
const overwrittenBytesMax: number = 64 * 1024
const zeros: Buffer = Buffer.alloc(64 * 1024)

/** What `fail` goes back to. */
interface Durable {
  base: number
  position: number
  next: number
  lastChunk: number
  chunks: number
}

export class StreamWriter {
  readonly folder: string
  settings: StreamSettings
  readonly tracking: StreamTracking
  /** Oldest first; the last one is being written. */
  readonly segments: StreamSegment[]
  next: number
  private readonly disk: Disk
  private readonly header: ChunkHeader
  private readonly records: Buffer
  private readonly durable: Durable
  private base: number
  private position: number
  private lastChunk: number
  private lastTimestamp: number
  /** What the clock said when time last went on though the clock was behind it. */
  private advancedAt: number
  private chunks: number
  private fd: number
  /** Bytes of the segment's file, with the zeros behind what was written. */
  private allocated: number
  private indexFd: number
  private unsynced: boolean
  /** File that is to be there once something is synced; undefined: it is there, or not wanted. */
  private mark: string | undefined

  /** Continues what is in `folder`, which is made if it is not there. `mark`: see streamMark. */
  constructor(disk: Disk, folder: string, settings: StreamSettings, mark?: string) {
    disk.makeFolder(folder)
    const state: StreamState = scanStream(disk, folder, false)
    const { end } = state
    this.disk = disk
    this.folder = folder
    this.settings = settings
    this.tracking = state.tracking
    this.segments = state.segments
    this.header = new ChunkHeader()
    this.records = Buffer.alloc(indexRecordBytes)
    this.base = end.base
    this.position = end.position
    this.next = end.next
    this.lastChunk = end.lastChunk
    this.lastTimestamp = state.lastTimestamp
    this.advancedAt = -2
    this.chunks = end.base < 0 ? 0 : indexRecordsOf(disk, folder, end.base)
    this.fd = -1
    this.allocated = 0
    this.indexFd = -1
    this.unsynced = false
    this.mark = mark
    this.durable = { ...end, chunks: this.chunks }
  }

  /** Offset of the oldest message that there is, or will be. */
  first(): number {
    return this.segments[0]?.base ?? this.next
  }

  /** How far the log is synced. */
  end(): StreamEnd {
    const { base, position, next, lastChunk } = this.durable
    return { base, position, next, lastChunk }
  }

  /**
   * Appends the chunk whose data is `bytes[dataAt, dataAt + dataSize)`; before that there is room for a
   * header and `bloomSize` bytes of filter, which is there, behind it for the trailer, which is too.
   */
  append(
    bytes: Buffer,
    dataAt: number,
    dataSize: number,
    entries: number,
    records: number,
    bloomSize: number,
    trailerSize: number,
    now: number,
  ): void {
    this.write(
      ChunkType.user,
      bytes,
      dataAt,
      dataSize,
      entries,
      records,
      bloomSize,
      trailerSize,
      now,
    )
    this.lastChunk = this.next
    this.next += records
  }

  /** Appends a chunk of changes of tracking. */
  appendTracking(changes: Buffer, now: number): void {
    this.writeTracking(ChunkType.trackingDelta, changes, now)
  }

  /** Everything appended is on disk. */
  sync(): void {
    if (!this.unsynced) return
    this.disk.sync(this.fd)
    this.unsynced = false
    const { durable } = this
    durable.base = this.base
    durable.position = this.position
    durable.next = this.next
    durable.lastChunk = this.lastChunk
    durable.chunks = this.chunks
    // Behind the first sync: a mark without messages would tell of a loss that never was. Where it fails,
    // the next sync tries again.
    if (this.mark !== undefined && placeMark(this.disk, this.mark)) this.mark = undefined
  }

  /** A write or a sync failed: what was appended since the last `sync` is to be appended anew. */
  fail(): void {
    this.closeFiles()
    const { base, position, next, lastChunk, chunks } = this.durable
    while (this.segments.length > 0 && (this.segments.at(-1)?.base ?? 0) > base) this.segments.pop()
    this.base = base
    this.position = position
    this.next = next
    this.lastChunk = lastChunk
    this.chunks = chunks
    this.unsynced = false
    const segment = this.segments.at(-1)
    if (segment !== undefined) segment.size = position
  }

  /** Lets go of whole segments beyond the limits, the oldest first. True when any went. */
  retain(now: number): boolean {
    const { bytesMax, ageMaxMs } = this.settings
    if (ageMaxMs !== undefined) this.ageFromNow(now)
    let total = 0
    for (const { size } of this.segments) total += size
    let gone = 0
    while (gone < this.segments.length - 1) {
      const segment = this.segments[gone] as StreamSegment
      const large = bytesMax !== undefined && total > bytesMax
      if (!large && (ageMaxMs === undefined || this.ageOf(segment, now) <= ageMaxMs)) break
      removeSegment(this.disk, this.folder, segment.base)
      total -= segment.size
      gone++
    }
    this.segments.splice(0, gone)
    return gone > 0
  }

  close(): void {
    this.closeFiles()
  }

  /** The stream is deleted. */
  remove(): void {
    this.closeFiles()
    this.disk.removeFolder(this.folder)
  }

  /** Segments of a time that is still to come, since the clock has gone back, grow old from here on. */
  private ageFromNow(now: number): void {
    for (let i = this.segments.length - 1; i >= 0; i--) {
      const segment = this.segments[i] as StreamSegment
      if (this.ageOf(segment, now) >= 0) return
      segment.lastTimestamp = now
    }
  }

  private ageOf(segment: StreamSegment, now: number): number {
    if (segment.lastTimestamp < 0) {
      segment.lastTimestamp = lastTimestampOf(this.disk, this.folder, segment.base)
    }
    return now - segment.lastTimestamp
  }

  private write(
    type: number,
    bytes: Buffer,
    dataAt: number,
    dataSize: number,
    entries: number,
    records: number,
    bloomSize: number,
    trailerSize: number,
    now: number,
  ): void {
    const size = chunkHeaderBytes + bloomSize + dataSize + trailerSize
    this.makeRoom(size, type, now)
    const { header } = this
    this.advance(now)
    header.type = type
    header.entries = entries
    header.records = records
    header.timestamp = this.lastTimestamp
    header.firstOffset = this.next
    header.crc = crc32(bytes.subarray(dataAt, dataAt + dataSize))
    header.dataSize = dataSize
    header.trailerSize = trailerSize
    header.bloomSize = bloomSize
    const at = dataAt - bloomSize - chunkHeaderBytes
    header.write(bytes, at)
    writeIndexRecord(this.records, 0, header, this.position)
    this.unsynced = true
    this.disk.write(this.fd, bytes.subarray(at, at + size), size, this.position)
    if (this.position + size > this.allocated) this.grow(size)
    const indexAt = fileHeaderBytes + this.chunks * indexRecordBytes
    this.disk.write(this.indexFd, this.records, indexRecordBytes, indexAt)
    this.position += size
    this.chunks++
    const segment = this.segments.at(-1)
    if (segment === undefined) return
    segment.size = this.position
    segment.lastTimestamp = this.lastTimestamp
  }

  /**
   * Times never go back within a log, so that it can be searched by them. Nor do they stand still while
   * the clock is behind them, since they tell commits apart: they go on slowly, so that it comes up.
   */
  private advance(now: number): void {
    if (now >= this.lastTimestamp) this.lastTimestamp = now
    else if (Math.abs(now - this.advancedAt) >= 2) {
      this.lastTimestamp++
      this.advancedAt = now
    }
  }

  private makeRoom(size: number, type: number, now: number): void {
    if (this.base < 0) {
      this.openSegment(this.next)
      return
    }
    if (this.fd < 0) this.openFiles()
    const full =
      this.position + size > this.settings.segmentBytesMax || this.chunks >= segmentChunksMax
    if (!full || type !== ChunkType.user || this.next === this.base) return
    this.roll(now)
  }

  /** Puts zeros behind a chunk of `size` bytes that was written over the end of the file. */
  private grow(size: number): void {
    const end = this.position + size
    this.allocated = end
    if (size > overwrittenBytesMax) return
    const more = Math.min(growthBytesMax, Math.max(growthBytesMin, end))
    const upTo = Math.min(end + more, this.settings.segmentBytesMax)
    try {
      for (let at = end; at < upTo; at = this.allocated) {
        const some = Math.min(zeros.length, upTo - at)
        this.disk.write(this.fd, zeros, some, at)
        this.allocated = at + some
      }
    } catch {
      // The chunk is written: on a disk that is nearly full the file grows chunk by chunk.
    }
  }

  private roll(now: number): void {
    // Only the last segment may have zeros at its end.
    if (this.allocated > this.position) this.disk.truncate(this.fd, this.position)
    this.disk.sync(this.fd)
    this.disk.sync(this.indexFd)
    this.unsynced = false
    this.durable.position = this.position
    this.durable.next = this.next
    this.durable.lastChunk = this.lastChunk
    this.closeFiles()
    this.openSegment(this.next)
    this.retain(now)
    const snapshot = this.tracking.snapshot(this.first())
    if (snapshot.length > 0) this.writeTracking(ChunkType.trackingSnapshot, snapshot, now)
  }

  private writeTracking(type: number, content: Buffer, now: number): void {
    const bytes = Buffer.alloc(chunkHeaderBytes + 4 + content.length)
    bytes.writeUInt32BE(content.length, chunkHeaderBytes)
    content.copy(bytes, chunkHeaderBytes + 4)
    this.write(type, bytes, chunkHeaderBytes, content.length + 4, 1, 0, 0, 0, now)
  }

  private openSegment(base: number): void {
    const { disk, folder } = this
    // A failed roll-over may have left one.
    removeSegment(disk, folder, base)
    this.fd = disk.open(segmentPath(folder, base), true)
    this.indexFd = disk.open(indexPath(folder, base), true)
    disk.write(this.fd, fileHeader(segmentMagic), fileHeaderBytes, 0)
    disk.write(this.indexFd, fileHeader(indexMagic), fileHeaderBytes, 0)
    disk.syncFolder(folder)
    this.base = base
    this.position = fileHeaderBytes
    this.allocated = fileHeaderBytes
    this.chunks = 0
    this.segments.push({ base, size: fileHeaderBytes, lastTimestamp: this.lastTimestamp })
  }

  private openFiles(): void {
    const { disk, folder, base } = this
    this.fd = disk.open(segmentPath(folder, base), true)
    this.allocated = disk.size(this.fd)
    this.indexFd = disk.open(indexPath(folder, base), true)
  }

  private closeFiles(): void {
    if (this.fd >= 0) this.disk.close(this.fd)
    if (this.indexFd >= 0) this.disk.close(this.indexFd)
    this.fd = -1
    this.indexFd = -1
  }
}

function indexRecordsOf(disk: Disk, folder: string, base: number): number {
  const fd = disk.open(indexPath(folder, base), true)
  try {
    return Math.max(0, Math.floor((disk.size(fd) - fileHeaderBytes) / indexRecordBytes))
  } finally {
    disk.close(fd)
  }
}
