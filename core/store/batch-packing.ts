// Batches of stream clients unpacked, for consumers of other protocols. gzip is Node's; of snappy and
// lz4 the framed formats, which is what the clients write, are read here; zstd is unpacked where Node
// has it (22.15). Checksums of frames are not tested: the chunk's own covers them.

import { Buffer } from 'node:buffer'
import * as zlib from 'node:zlib'
import { BatchCodec } from '../../shared/stream/chunk.ts'

/** A batch that says it is larger than this is not unpacked. */
const unpackedBytesMax: number = 64 * 1024 * 1024

/** The bytes of a batch, `plainSize` when unpacked; undefined where that cannot be. */
export function unpackBatch(bytes: Buffer, codec: number, plainSize: number): Buffer | undefined {
  if (codec === BatchCodec.none) return bytes
  if (plainSize > unpackedBytesMax) return undefined
  try {
    switch (codec) {
      case BatchCodec.gzip:
        return zlib.gunzipSync(bytes, { maxOutputLength: plainSize + 1 })
      case BatchCodec.snappy:
        return unpackSnappy(bytes, plainSize)
      case BatchCodec.lz4:
        return unpackLz4(bytes, plainSize)
      case BatchCodec.zstd:
        return unpackZstd?.(bytes, { maxOutputLength: plainSize + 1 })
      default:
        return undefined
    }
  } catch {
    return undefined
  }
}

type Unpack = (bytes: Buffer, options: { readonly maxOutputLength: number }) => Buffer

const unpackZstd: Unpack | undefined =
  'zstdDecompressSync' in zlib ? (zlib.zstdDecompressSync as Unpack) : undefined

/** What is being unpacked: each step appends, or copies what was appended before. */
class Output {
  readonly bytes: Buffer
  at: number

  constructor(size: number) {
    this.bytes = Buffer.alloc(size)
    this.at = 0
  }

  append(from: Buffer, start: number, end: number): void {
    if (start > end || end > from.length || this.at + end - start > this.bytes.length) {
      throw new RangeError('a batch does not hold what it says')
    }
    from.copy(this.bytes, this.at, start, end)
    this.at += end - start
  }

  /** Copies `size` bytes from `distance` before the end; what is copied may be copied again. */
  repeat(distance: number, size: number): void {
    const { bytes } = this
    if (distance < 1 || distance > this.at || this.at + size > bytes.length) {
      throw new RangeError('a batch repeats what is not there')
    }
    for (let i = 0; i < size; i++, this.at++) {
      bytes[this.at] = bytes[this.at - distance] as number
    }
  }
}

// The snappy framing format: type u8, size u24, then a checksum u32 before data.
function unpackSnappy(bytes: Buffer, plainSize: number): Buffer {
  const out = new Output(plainSize)
  for (let at = 0; at + 4 <= bytes.length; ) {
    const type = bytes[at]
    const end = at + 4 + bytes.readUIntLE(at + 1, 3)
    if (end > bytes.length) throw new RangeError('a frame is cut short')
    if (type === 0) unpackSnappyBlock(bytes, at + 8, end, out)
    else if (type === 1) out.append(bytes, at + 8, end)
    else if (type !== undefined && type < 0x80) throw new RangeError('an unknown frame')
    at = end
  }
  return out.bytes.subarray(0, out.at)
}

function unpackSnappyBlock(bytes: Buffer, from: number, end: number, out: Output): void {
  let at = from
  // Its size, seven bits at a time; the frames' sum is known.
  while ((bytes.readUInt8(at++) & 0x80) !== 0);
  while (at < end) {
    const tag = bytes.readUInt8(at++)
    const kind = tag & 3
    if (kind === 0) {
      let size = tag >> 2
      if (size >= 60) {
        const more = size - 59
        size = bytes.readUIntLE(at, more)
        at += more
      }
      out.append(bytes, at, at + size + 1)
      at += size + 1
    } else if (kind === 1) {
      out.repeat(((tag >> 5) << 8) | bytes.readUInt8(at), ((tag >> 2) & 7) + 4)
      at += 1
    } else {
      const wide = kind === 2 ? 2 : 4
      out.repeat(bytes.readUIntLE(at, wide), (tag >> 2) + 1)
      at += wide
    }
  }
}

const lz4Magic = 0x184d2204

// The lz4 frame format: a header, blocks of size u32 (the highest bit: not packed), a size of 0.
function unpackLz4(bytes: Buffer, plainSize: number): Buffer {
  const out = new Output(plainSize)
  if (bytes.readUInt32LE(0) !== lz4Magic) throw new RangeError('no lz4 frame')
  const flags = bytes.readUInt8(4)
  const blockChecksum = (flags & 0x10) === 0 ? 0 : 4
  let at = 7 + ((flags & 0x08) === 0 ? 0 : 8) + ((flags & 0x01) === 0 ? 0 : 4)
  for (let head = bytes.readUInt32LE(at); head !== 0; head = bytes.readUInt32LE(at)) {
    const end = at + 4 + (head & 0x7fffffff)
    if (end > bytes.length) throw new RangeError('a block is cut short')
    if (head >= 0x80000000) out.append(bytes, at + 4, end)
    else unpackLz4Block(bytes, at + 4, end, out)
    at = end + blockChecksum
  }
  return out.bytes.subarray(0, out.at)
}

function unpackLz4Block(bytes: Buffer, from: number, end: number, out: Output): void {
  let at = from
  const length = (short: number): number => {
    let size = short
    if (short === 15) {
      let more = 255
      while (more === 255) {
        more = bytes.readUInt8(at++)
        size += more
      }
    }
    return size
  }
  while (at < end) {
    const token = bytes.readUInt8(at++)
    const literals = length(token >> 4)
    out.append(bytes, at, at + literals)
    at += literals
    // The last sequence has literals alone.
    if (at >= end) return
    const distance = bytes.readUInt16LE(at)
    at += 2
    out.repeat(distance, length(token & 15) + 4)
  }
}
