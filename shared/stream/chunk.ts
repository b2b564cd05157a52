// Streams on disk and on the wire: chunks in segment files, and an index record per chunk. The format
// is RabbitMQ's (osiris log version 1), so that a chunk goes from file to socket as it is. Big endian.
//
//   segment = "OSIL" u32 version | chunks          <first offset, 20 digits>.segment
//   index   = "OSII" u32 version | index records   <first offset, 20 digits>.index
//   index record = first offset u64 | timestamp i64 | epoch u64 | position in segment u32 | chunk type u8
//
//   chunk = 0x50 | type u8 | entries u16 | records u32 | timestamp i64 (ms) | epoch u64
//         | first offset u64 | crc32 of data u32 | data bytes u32 | trailer bytes u32
//         | bloom bytes u8 | reserved u24 | bloom filter | data | trailer
//
//   data = entries, each  0 bit, size u31, message                                   a message
//                      or 1 bit, codec u3, u4, records u16, plain bytes u32, size u32, bytes   a batch
//   trailer = tracking records: type u8, name size u8, name, value u64

import type { Buffer } from 'node:buffer'
import { viewOf } from '../bytes/view.ts'

export const chunkHeaderBytes = 48
/** Magic and version in front of the chunks of a segment, and of the records of an index. */
export const fileHeaderBytes = 8
export const segmentMagic = 0x4f53494c
export const indexMagic = 0x4f534949
export const fileVersion = 1
export const indexRecordBytes = 29
/** Before the entries of a batch. */
export const batchHeaderBytes = 11
const chunkMagic = 0x50

export const ChunkType = { user: 0, trackingDelta: 1, trackingSnapshot: 2 } as const

/** Of records in trailers and in tracking chunks. In a snapshot a sequence also has its chunk's id. */
export const TrackingType = { sequence: 0, offset: 1, timestamp: 2 } as const

/** Codecs of batches. */
export const BatchCodec = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 } as const

/** How far a stream is committed: readers stop there. */
export interface StreamEnd {
  /** First offset of the segment that is being written; -1: nothing was ever written. */
  readonly base: number
  /** Byte in that segment behind the last committed chunk. */
  readonly position: number
  /** Offset of the next message. */
  readonly next: number
  /** First offset of the last chunk with messages; -1: there is none. */
  readonly lastChunk: number
}

/** The header of a chunk. Reused: `read` sets everything anew. */
export class ChunkHeader {
  type = 0
  entries = 0
  records = 0
  timestamp = 0
  firstOffset = 0
  crc = 0
  dataSize = 0
  trailerSize = 0
  bloomSize = 0

  /** False unless a chunk of this version begins at `bytes[at]`. */
  read(bytes: Buffer, at: number): boolean {
    const view = viewOf(bytes)
    if (view.getUint8(at) !== chunkMagic) return false
    this.type = view.getUint8(at + 1)
    this.entries = view.getUint16(at + 2)
    this.records = view.getUint32(at + 4)
    this.timestamp = readU64(view, at + 8)
    this.firstOffset = readU64(view, at + 24)
    this.crc = view.getUint32(at + 32)
    this.dataSize = view.getUint32(at + 36)
    this.trailerSize = view.getUint32(at + 40)
    this.bloomSize = view.getUint8(at + 44)
    return this.type <= ChunkType.trackingSnapshot
  }

  /** Writes it to `bytes[at..]`; the epoch is 1, the log's first and only one. */
  write(bytes: Buffer, at: number): void {
    const view = viewOf(bytes)
    view.setUint8(at, chunkMagic)
    view.setUint8(at + 1, this.type)
    view.setUint16(at + 2, this.entries)
    view.setUint32(at + 4, this.records)
    writeU64(view, at + 8, this.timestamp)
    writeU64(view, at + 16, 1)
    writeU64(view, at + 24, this.firstOffset)
    view.setUint32(at + 32, this.crc)
    view.setUint32(at + 36, this.dataSize)
    view.setUint32(at + 40, this.trailerSize)
    view.setUint32(at + 44, this.bloomSize << 24)
  }

  /** Bytes of the chunk on disk. */
  size(): number {
    return chunkHeaderBytes + this.bloomSize + this.dataSize + this.trailerSize
  }
}

/** Name of a segment's file, without its suffix. */
export function segmentBaseName(firstOffset: number): string {
  return String(firstOffset).padStart(20, '0')
}

/** First offset that a segment file is named by; undefined for another file. */
export function segmentBaseOf(name: string): number | undefined {
  return /^\d{20}\.segment$/.test(name) ? Number(name.slice(0, 20)) : undefined
}

/** A u64 that is below 2^53: offsets and milliseconds are. */
export function readU64(view: DataView, at: number): number {
  return view.getUint32(at) * 0x100000000 + view.getUint32(at + 4)
}

export function writeU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / 0x100000000))
  view.setUint32(at + 4, value >>> 0)
}
