// Frames out of chunks, and fields out of frames. A frame that lies whole in a chunk is read where it
// is; one that does not is gathered first.
//
//   frame = size u32 | key u16 | version u16 | ...      string = size i16 (-1: null) | UTF-8
//   bytes = size i32 (-1: null) | bytes                 array = count i32 | items

import { Buffer } from 'node:buffer'
import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import { decodeUtf8Lossy } from '../../../shared/bytes/utf8.ts'
import { viewOf } from '../../../shared/bytes/view.ts'
import { Code } from './commands.ts'

/** Splits what comes into frames. */
export class FrameReader {
  /** The frame found last: `bytes[at, end)`, without its size. */
  bytes: Buffer
  at: number
  end: number
  /** A frame that is larger ends the connection. */
  frameMax: number
  private chunk: Buffer
  private from: number
  /** A frame that began in an earlier chunk; empty: none. */
  private partial: Buffer
  private have: number
  private readonly sizeBytes: Buffer

  constructor(frameMax: number) {
    this.bytes = nothing
    this.at = 0
    this.end = 0
    this.frameMax = frameMax
    this.chunk = nothing
    this.from = 0
    this.partial = nothing
    this.have = 0
    this.sizeBytes = Buffer.alloc(4)
  }

  /** True while there are bytes that are in no frame yet. */
  get unfinished(): boolean {
    return this.from < this.chunk.length
  }

  push(chunk: Buffer): void {
    this.chunk = this.from < this.chunk.length ? Buffer.concat([this.rest(), chunk]) : chunk
    this.from = 0
  }

  /** The memory of the last chunk is about to be used again. */
  keep(): void {
    if (this.bytes === this.chunk) {
      this.bytes = Buffer.from(this.bytes.subarray(this.at, this.end))
      this.end -= this.at
      this.at = 0
    }
    this.chunk = Buffer.from(this.rest())
    this.from = 0
  }

  /** Turns to the next frame. 'none': not all of it is there. */
  next(): 'frame' | 'none' | 'large' {
    this.bytes = nothing
    const left = this.chunk.length - this.from
    if (this.have > 0 || left < 4) return this.gather()
    const size = viewOf(this.chunk).getUint32(this.from)
    if (this.isTooLarge(size)) return 'large'
    if (left < 4 + size) return this.gather()
    this.found(this.chunk, this.from + 4, size)
    this.from += 4 + size
    return 'frame'
  }

  private gather(): 'frame' | 'none' | 'large' {
    while (this.have < 4 && this.from < this.chunk.length) {
      this.sizeBytes[this.have++] = this.chunk[this.from++] as number
    }
    if (this.have < 4) return this.drained()
    const size = viewOf(this.sizeBytes).getUint32(0)
    if (this.have === 4) {
      if (this.isTooLarge(size)) return 'large'
      this.partial = Buffer.allocUnsafeSlow(size)
    }
    const done = this.have - 4
    const piece = Math.min(size - done, this.chunk.length - this.from)
    this.chunk.copy(this.partial, done, this.from, this.from + piece)
    this.from += piece
    this.have += piece
    if (this.have < 4 + size) return this.drained()
    this.found(this.partial, 0, size)
    this.partial = nothing
    this.have = 0
    return 'frame'
  }

  private isTooLarge(size: number): boolean {
    return this.frameMax !== 0 && size > this.frameMax
  }

  private drained(): 'none' {
    this.chunk = nothing
    this.from = 0
    return 'none'
  }

  private found(bytes: Buffer, at: number, size: number): void {
    this.bytes = bytes
    this.at = at
    this.end = at + size
  }

  private rest(): Buffer {
    return this.chunk.subarray(this.from)
  }
}

const nothing = Buffer.alloc(0)

/** Takes fields from a frame in order. Throws DecodeError where the frame is too short. */
export class FieldReader {
  bytes: Buffer
  at: number
  end: number

  constructor() {
    this.bytes = nothing
    this.at = 0
    this.end = 0
  }

  set(bytes: Buffer, at: number, end: number): void {
    this.bytes = bytes
    this.at = at
    this.end = end
  }

  u8(): number {
    return viewOf(this.bytes).getUint8(this.take(1))
  }

  u16(): number {
    return viewOf(this.bytes).getUint16(this.take(2))
  }

  u32(): number {
    return viewOf(this.bytes).getUint32(this.take(4))
  }

  /** Exact below 2^53, which offsets and times are. */
  u64(): number {
    const at = this.take(8)
    const view = viewOf(this.bytes)
    return view.getUint32(at) * 0x100000000 + view.getUint32(at + 4)
  }

  i64(): number {
    return Number(viewOf(this.bytes).getBigInt64(this.take(8)))
  }

  /** Null is an empty one. */
  string(): string {
    const size = viewOf(this.bytes).getInt16(this.take(2))
    if (size < 0) return ''
    const at = this.take(size)
    return decodeUtf8Lossy(this.bytes, at, at + size)
  }

  /** A copy; null is an empty one. */
  binary(): Buffer {
    const size = viewOf(this.bytes).getInt32(this.take(4))
    if (size < 0) return nothing
    const at = this.take(size)
    return Buffer.from(this.bytes.subarray(at, at + size))
  }

  strings(): string[] {
    return this.array(() => this.string())
  }

  pairs(): Map<string, string> {
    return new Map(this.array(() => [this.string(), this.string()] as const))
  }

  array<T>(item: () => T): T[] {
    const count = this.u32()
    // Each item takes a byte at least.
    if (count > this.end - this.at) malformed()
    return Array.from({ length: count }, item)
  }

  /** Passes `size` bytes; returns where they are. */
  take(size: number): number {
    const { at } = this
    if (at + size > this.end) malformed()
    this.at = at + size
    return at
  }
}

function malformed(): never {
  throw new DecodeError(Code.unknownFrame, 'a frame is shorter than its fields')
}
