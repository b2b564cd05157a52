// A stream's log read at start: where it ends, and what it says of publishers and consumers. Only the
// last segment can be unfinished, since each is synced before the next one begins.
//
//   what is found in the last segment          came of                        is
//   whole chunks to the end of the file        orderly stop, or luck          kept
//   zeros up to the end                        the file grew ahead            cut there
//   a chunk that is cut short                  crash while writing            cut there, reported
//   a chunk whose checksum is wrong            crash, or damage               cut there, reported
//   the same, and chunks of later commits      damage: what comes later       left where it is, reported;
//   behind it                                  was written after its sync     readers pass it
//   a chunk out of order                       left from a failed write       cut there, reported
//   not one whole chunk                        crash at the roll-over         removed; the one before is last

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
import { isNoSpace } from './disk.ts'
import { StreamTracking } from './stream-tracking.ts'

/** One segment, as retention judges it. */
export interface StreamSegment {
  readonly base: number
  size: number
  /** Of its last chunk, milliseconds; -1: not looked at yet. */
  lastTimestamp: number
}

/** Bytes that were no whole chunk: cut off, or left because there are chunks behind. */
export interface StreamDamage {
  readonly path: string
  readonly offset: number
  readonly size: number
  readonly cut: boolean
  /** Where the bytes that were cut off are kept; undefined where they are still there. */
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
 * Reads the log in `folder`. With `verify` checksums are tested, and what is found to be damaged is
 * cut off, and kept in the folder `aside`; else the log has been read that way before.
 */
export function scanStream(
  disk: Disk,
  folder: string,
  verify: boolean,
  aside?: string,
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
    if (verify) scan.mend(aside)
    // It was not to be expected, so nothing is taken for granted any more.
    else if (aside !== undefined && !scan.isZeroBehind()) {
      return scanStream(disk, folder, true, aside)
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

/**
 * Copies the bytes [from, to) of `fd` to a file at `path`, and syncs it. False where a full disk has no
 * room for it, which stops no start.
 */
function copyRest(disk: Disk, fd: number, from: number, to: number, path: string): boolean {
  try {
    copyBytes(disk, fd, from, to, path)
    return true
  } catch (error) {
    if (!isNoSpace(error)) throw error
    disk.remove(path)
    return false
  }
}

function copyBytes(disk: Disk, fd: number, from: number, to: number, path: string): void {
  disk.makeFolder(dirname(path))
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

/** Whether all of a segment can be read, and what is in it. */
export interface SegmentFacts {
  /** Offset behind its last message. */
  readonly next: number
  readonly size: number
  /** Where the part behind its last chunk begins, if there is anything in it; else `size`. */
  readonly wholeTo: number
  /** A part that lies between chunks. */
  readonly damage: StreamDamage | undefined
}

/** Reads the whole segment and changes nothing. */
export function inspectSegment(disk: Disk, folder: string, base: number): SegmentFacts {
  const scan = new SegmentScan(disk, folder, base, new StreamTracking(), true)
  scan.run()
  const { next, size, damage } = scan
  return { next, size, wholeTo: scan.isZeroBehind() ? size : scan.position, damage }
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
        while (this.position < size) {
          if (this.chunk(fd, size)) this.pass()
          else if (!this.passDamage(fd, size)) break
        }
      }
    } finally {
      this.disk.close(fd)
    }
  }

  /** Cuts off what is behind the last chunk, and has the index say what there is. */
  mend(aside: string | undefined): void {
    const { disk, folder, base, position, size } = this
    const path = segmentPath(folder, base)
    if (position < size) {
      const fd = disk.open(path, false)
      try {
        if (!this.isZero(fd, size)) {
          const name = `stream-${basename(folder)}-${basename(path)}-${position}`
          // Chunks that were whole may lie behind one that is not.
          const kept = aside === undefined ? undefined : join(aside, name)
          const isKept = kept !== undefined && copyRest(disk, fd, position, size, kept)
          const savedAs = isKept ? kept : undefined
          this.damage = { path, offset: position, size: size - position, cut: true, savedAs }
        }
        disk.truncate(fd, position)
        disk.sync(fd)
      } finally {
        disk.close(fd)
      }
    }
    this.writeIndex()
  }

  /** Nothing was ever written behind the last chunk. */
  isZeroBehind(): boolean {
    if (this.position >= this.size) return true
    const fd = this.disk.open(segmentPath(this.folder, this.base), false)
    try {
      return this.isZero(fd, this.size)
    } finally {
      this.disk.close(fd)
    }
  }

  /**
   * Goes behind a chunk that is damaged, if it was synced: what a crash leaves is of one commit, whose
   * chunks have one time, so that a later chunk says that the one before was on disk. False: it is the end.
   */
  private passDamage(fd: number, size: number): boolean {
    const { position, next } = this
    const { header } = this
    const plausible =
      this.load(fd, position, chunkHeaderBytes) &&
      header.read(this.window, position - this.windowAt)
    const hop = plausible && header.firstOffset === next ? position + header.size() : size
    const timestamp = plausible ? header.timestamp : -1
    for (const at of [hop, ...this.indexedBehind(position)]) {
      if (at >= size || !this.isLater(fd, size, at, timestamp)) continue
      this.damage ??= {
        path: segmentPath(this.folder, this.base),
        offset: position,
        size: at - position,
        cut: false,
        savedAs: undefined,
      }
      this.load(fd, at, chunkHeaderBytes)
      header.read(this.window, at - this.windowAt)
      this.position = at
      this.next = header.firstOffset
      return true
    }
    this.position = position
    this.next = next
    return false
  }

  /** Whether whole chunks stand at `from` and behind, one of them later than `time` (-1: than the first). */
  private isLater(fd: number, size: number, from: number, time: number): boolean {
    const { header, next } = this
    let first = time
    for (let at = from; at + chunkHeaderBytes <= size; at += header.size()) {
      if (!this.load(fd, at, chunkHeaderBytes)) return false
      if (!header.read(this.window, at - this.windowAt) || header.firstOffset < next) return false
      this.position = at
      this.next = header.firstOffset
      const isWhole = this.isWhole(fd, size)
      this.next = next
      if (!isWhole) return false
      // What was found to be torn is cut off already.
      if (!this.verify) return true
      if (first < 0) first = header.timestamp
      else if (header.timestamp > first) return true
    }
    return false
  }

  /** Positions behind `position` that the index knows of. */
  private indexedBehind(position: number): number[] {
    const found: number[] = []
    eachIndexRecord(this.disk, this.folder, this.base, (view) => {
      const at = view.getUint32(24)
      if (at > position) found.push(at)
      return at <= position
    })
    return found.reverse()
  }

  /** Whether nothing was ever written from `position` up to `size`. */
  private isZero(fd: number, size: number): boolean {
    for (let at = this.position; at < size; at += this.windowSize) {
      this.windowSize = 0
      if (!this.load(fd, at, 1)) return true
      for (let i = 0; i < this.windowSize; i++) if (this.window[i] !== 0) return false
    }
    return true
  }

  /** Whether a whole chunk in its order stands at `position`. */
  private chunk(fd: number, size: number): boolean {
    const { header, position } = this
    return this.isWhole(fd, size) && this.track(fd, position + chunkHeaderBytes + header.bloomSize)
  }

  private isWhole(fd: number, size: number): boolean {
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
    return true
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
