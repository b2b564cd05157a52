// A stream's log read at start: where it ends, and what it says of publishers and consumers. Only the
// last segment can be unfinished, since each is synced before the next one begins.
//
//   what is found in the last segment          came of                        is
//   whole chunks to the end of the file        orderly stop, or luck          kept
//   a chunk that is cut short, or zeros        crash while writing            cut there, reported
//   a chunk whose checksum is wrong            crash, or damage               cut there, reported
//   a chunk out of order                       left from a failed write       cut there, reported
//   not one whole chunk                        crash at the roll-over         removed; the one before is last
//
// What is cut is moved aside: chunks that were whole may lie behind one that is damaged.

import { basename, dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import { viewOf } from '../../shared/bytes/view.ts'
import type { StreamEnd } from '../../shared/stream/chunk.ts'
import {
  ChunkHeader,
  ChunkType,
  chunkHeaderBytes,
  fileHeaderBytes,
  fileVersion,
  indexMagic,
  indexRecordBytes,
  readU64,
  segmentBaseName,
  segmentBaseOf,
  segmentMagic,
  writeU64,
} from '../../shared/stream/chunk.ts'
import type { Disk } from './disk.ts'
import { StreamTracking } from './stream-tracking.ts'

/** One segment, as retention judges it. */
export interface StreamSegment {
  readonly base: number
  size: number
  /** Of its last chunk, milliseconds; -1: not looked at yet. */
  lastTimestamp: number
}

/** Bytes that were no whole chunk. */
export interface StreamDamage {
  readonly path: string
  readonly offset: number
  readonly size: number
  /** Where the bytes were moved; undefined where they are still there. */
  readonly savedAs: string | undefined
}

/** What a log holds. */
export interface StreamState {
  readonly end: StreamEnd
  /** Offset of the oldest message that there is, or will be. */
  readonly first: number
  readonly segments: StreamSegment[]
  readonly lastTimestamp: number
  readonly tracking: StreamTracking
  readonly damage: StreamDamage | undefined
}

/** Bytes read at once; a chunk that is larger is read alone. */
const windowBytes: number = 1024 * 1024

/**
 * Reads the log in `folder`. With `verify` checksums are tested. What can't be read is cut off and kept
 * in the folder `aside`; undefined: the log has been read that way before.
 */
export function scanStream(
  disk: Disk,
  folder: string,
  aside?: string,
  verify: boolean = aside !== undefined,
): StreamState {
  const segments: StreamSegment[] = segmentBases(disk, folder).map((base) => ({
    base,
    size: 0,
    lastTimestamp: -1,
  }))
  const tracking = new StreamTracking()
  let damage: StreamDamage | undefined
  for (let last = segments.pop(); last !== undefined; last = segments.pop()) {
    const scan = new SegmentScan(disk, folder, last.base, tracking, verify)
    scan.run()
    if (aside !== undefined) {
      // It was not to be expected, so nothing is taken for granted any more.
      if (!verify && scan.position < scan.size) return scanStream(disk, folder, aside, true)
      if (verify) scan.mend(aside)
    }
    damage ??= scan.damage
    if (scan.chunks === 0) {
      removeSegment(disk, folder, last.base)
      continue
    }
    last.size = scan.position
    last.lastTimestamp = scan.lastTimestamp
    for (const segment of segments) segment.size = sizeOf(disk, segmentPath(folder, segment.base))
    segments.push(last)
    const lastChunk = scan.lastChunk >= 0 ? scan.lastChunk : lastUserChunk(disk, folder, segments)
    const end = { base: last.base, position: scan.position, next: scan.next, lastChunk }
    const first = segments[0]?.base ?? 0
    return { end, first, segments, lastTimestamp: scan.lastTimestamp, tracking, damage }
  }
  const end = { base: -1, position: 0, next: 0, lastChunk: -1 }
  return { end, first: 0, segments, lastTimestamp: 0, tracking, damage }
}

export function segmentPath(folder: string, base: number): string {
  return join(folder, `${segmentBaseName(base)}.segment`)
}

export function indexPath(folder: string, base: number): string {
  return join(folder, `${segmentBaseName(base)}.index`)
}

export function removeSegment(disk: Disk, folder: string, base: number): void {
  disk.remove(segmentPath(folder, base))
  disk.remove(indexPath(folder, base))
}

/** The first bytes of a segment or an index. */
export function fileHeader(magic: number): Buffer {
  const bytes = Buffer.alloc(fileHeaderBytes)
  bytes.writeUInt32BE(magic, 0)
  bytes.writeUInt32BE(fileVersion, 4)
  return bytes
}

/** Writes the index record of a chunk at `bytes[at..]`. */
export function writeIndexRecord(
  bytes: Buffer,
  at: number,
  header: ChunkHeader,
  position: number,
): void {
  const view = viewOf(bytes)
  writeU64(view, at, header.firstOffset)
  writeU64(view, at + 8, header.timestamp)
  writeU64(view, at + 16, 1)
  view.setUint32(at + 24, position)
  view.setUint8(at + 28, header.type)
}

/** Time of the last chunk of a segment, by its index. */
export function lastTimestampOf(disk: Disk, folder: string, base: number): number {
  let found = 0
  eachIndexRecord(disk, folder, base, (view) => {
    found = readU64(view, 8)
    return true
  })
  return found
}

function lastUserChunk(disk: Disk, folder: string, segments: readonly StreamSegment[]): number {
  let found = -1
  for (let i = segments.length - 1; i >= 0 && found < 0; i--) {
    eachIndexRecord(disk, folder, segments[i]?.base ?? 0, (view) => {
      if (view.getUint8(28) === ChunkType.user) found = readU64(view, 0)
      return found >= 0
    })
  }
  return found
}

/** From the last record to the first, until `onRecord` says true. */
function eachIndexRecord(
  disk: Disk,
  folder: string,
  base: number,
  onRecord: (view: DataView) => boolean,
): void {
  const fd = disk.open(indexPath(folder, base), true)
  try {
    const record = Buffer.alloc(indexRecordBytes)
    const count = Math.floor((disk.size(fd) - fileHeaderBytes) / indexRecordBytes)
    for (let i = count - 1; i >= 0; i--) {
      disk.read(fd, record, 0, indexRecordBytes, fileHeaderBytes + i * indexRecordBytes)
      if (onRecord(viewOf(record))) return
    }
  } finally {
    disk.close(fd)
  }
}

/** Copies the bytes [from, to) of `fd` to a new file at `path`, and syncs it. */
function copyRest(disk: Disk, fd: number, from: number, to: number, path: string): void {
  const piece = Buffer.allocUnsafeSlow(Math.min(to - from, windowBytes))
  const copy = disk.open(path, true)
  try {
    disk.truncate(copy, 0)
    for (let at = from; at < to; at += piece.length) {
      const size = disk.read(fd, piece, 0, Math.min(piece.length, to - at), at)
      disk.write(copy, piece, size, at - from)
    }
    disk.sync(copy)
    disk.syncFolder(dirname(path))
  } finally {
    disk.close(copy)
  }
}

function sizeOf(disk: Disk, path: string): number {
  const fd = disk.open(path, false)
  try {
    return disk.size(fd)
  } finally {
    disk.close(fd)
  }
}

/** Whether all of a segment can be read, and what is in it; changes nothing. */
export interface SegmentFacts {
  /** Offset behind its last message. */
  readonly next: number
  readonly size: number
  /** Where the first chunk begins that is not whole; `size` when all are. */
  readonly wholeTo: number
}

export function inspectSegment(disk: Disk, folder: string, base: number): SegmentFacts {
  const scan = new SegmentScan(disk, folder, base, new StreamTracking(), true)
  scan.run()
  return { next: scan.next, size: scan.size, wholeTo: scan.position }
}

/** Offsets of the first messages of the segments in `folder`, in order. */
export function segmentBases(disk: Disk, folder: string): number[] {
  return disk
    .list(folder)
    .flatMap((name) => segmentBaseOf(name) ?? [])
    .sort((a, b) => a - b)
}

/** Reads one segment from its beginning. */
class SegmentScan {
  /** Bytes of the file. */
  size: number
  position: number
  next: number
  lastChunk: number
  lastTimestamp: number
  chunks: number
  damage: StreamDamage | undefined
  private readonly disk: Disk
  private readonly folder: string
  private readonly base: number
  private readonly tracking: StreamTracking
  private readonly verify: boolean
  private readonly header: ChunkHeader
  private readonly index: Buffer[]
  private window: Buffer
  private windowAt: number
  private windowSize: number

  constructor(disk: Disk, folder: string, base: number, tracking: StreamTracking, verify: boolean) {
    this.disk = disk
    this.folder = folder
    this.base = base
    this.tracking = tracking
    this.verify = verify
    this.size = 0
    this.position = fileHeaderBytes
    this.next = base
    this.lastChunk = -1
    this.lastTimestamp = 0
    this.chunks = 0
    this.damage = undefined
    this.header = new ChunkHeader()
    this.index = []
    this.window = Buffer.allocUnsafeSlow(windowBytes)
    this.windowAt = 0
    this.windowSize = 0
  }

  run(): void {
    const path = segmentPath(this.folder, this.base)
    const fd = this.disk.open(path, false)
    try {
      const size = this.disk.size(fd)
      this.size = size
      if (this.load(fd, 0, fileHeaderBytes) && this.window.readUInt32BE(0) === segmentMagic) {
        while (this.position < size && this.chunk(fd, size)) this.pass()
      } else this.position = size < fileHeaderBytes ? size : 0
    } finally {
      this.disk.close(fd)
    }
  }

  /** Cuts off what can't be read, and has the index say what is there. */
  mend(aside: string): void {
    if (this.position < this.size) this.cut(aside)
    this.writeIndex()
  }

  private cut(aside: string): void {
    const { disk, folder, base, position, size } = this
    const path = segmentPath(folder, base)
    const fd = disk.open(path, false)
    try {
      const savedAs = join(aside, `stream-${basename(folder)}-${basename(path)}-${position}`)
      disk.makeFolder(aside)
      copyRest(disk, fd, position, size, savedAs)
      this.damage = { path, offset: position, size: size - position, savedAs }
      disk.truncate(fd, position)
      disk.sync(fd)
    } finally {
      disk.close(fd)
    }
  }

  /** Whether a whole chunk in its order stands at `position`. */
  private chunk(fd: number, size: number): boolean {
    const { header, position } = this
    if (position + chunkHeaderBytes > size || !this.load(fd, position, chunkHeaderBytes))
      return false
    if (!header.read(this.window, position - this.windowAt)) return false
    if (header.firstOffset !== this.next || position + header.size() > size) return false
    const dataAt = position + chunkHeaderBytes + header.bloomSize
    if (this.verify) {
      if (!this.load(fd, position, header.size())) return false
      const at = dataAt - this.windowAt
      if (crc32(this.window.subarray(at, at + header.dataSize)) !== header.crc) return false
    }
    return this.track(fd, dataAt)
  }

  private track(fd: number, dataAt: number): boolean {
    const { header } = this
    if (header.type !== ChunkType.user) {
      if (!this.load(fd, dataAt, header.dataSize)) return false
      const at = dataAt - this.windowAt + 4
      const size = header.dataSize - 4
      if (header.type === ChunkType.trackingSnapshot) this.tracking.restore(this.window, at, size)
      else this.tracking.apply(this.window, at, size, header.firstOffset)
    } else if (header.trailerSize > 0) {
      const trailerAt = dataAt + header.dataSize
      if (!this.load(fd, trailerAt, header.trailerSize)) return false
      const at = trailerAt - this.windowAt
      this.tracking.apply(this.window, at, header.trailerSize, header.firstOffset)
    }
    return true
  }

  private pass(): void {
    const { header } = this
    if (this.verify) {
      const record = Buffer.alloc(indexRecordBytes)
      writeIndexRecord(record, 0, header, this.position)
      this.index.push(record)
    }
    if (header.type === ChunkType.user) this.lastChunk = header.firstOffset
    this.lastTimestamp = header.timestamp
    this.next += header.records
    this.position += header.size()
    this.chunks++
  }

  /** Makes bytes [at, at + size) of the file lie in the window. False when they are not all there. */
  private load(fd: number, at: number, size: number): boolean {
    if (at >= this.windowAt && at + size <= this.windowAt + this.windowSize) return true
    if (size > this.window.length) this.window = Buffer.allocUnsafeSlow(size)
    this.windowAt = at
    // Without a check of the data, chunks are hopped over: little of what lies between is needed.
    const wanted = this.verify ? this.window.length : Math.max(size, 4096)
    this.windowSize = this.disk.read(fd, this.window, 0, wanted, at)
    return this.windowSize >= size
  }

  private writeIndex(): void {
    const bytes = Buffer.concat([fileHeader(indexMagic), ...this.index])
    const fd = this.disk.open(indexPath(this.folder, this.base), true)
    try {
      if (this.disk.size(fd) === bytes.length) {
        const have = Buffer.alloc(bytes.length)
        this.disk.read(fd, have, 0, have.length, 0)
        if (have.equals(bytes)) return
      }
      this.disk.truncate(fd, 0)
      this.disk.write(fd, bytes, bytes.length, 0)
      this.disk.sync(fd)
    } finally {
      this.disk.close(fd)
    }
  }
}
