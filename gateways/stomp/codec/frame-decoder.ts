// Frames out of chunks. A frame that lies whole in one chunk is parsed there; one that was cut is
// gathered in a buffer of its own, of which it takes no more than it needs.

import { viewOf } from '../../../shared/bytes/view.ts'
import { Frame, malformed, Parsed } from './frame.ts'

/** What `next` found. */
export const FrameKind = {
  needMore: 0,
  /** A frame: see `frame`. */
  frame: 1,
  /** A frame whose head is byte for byte the remembered one: only `body...` is set. */
  repeat: 2,
} as const
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind]

/** Decodes the frames of one connection. */
export class FrameDecoder {
  /** The frame that `next` has found; shared by all connections of the thread. */
  readonly frame: Frame
  /** Bytes of a frame at most. */
  frameMax: number
  /** Values lose their leading spaces, as in STOMP 1.0. */
  trim: boolean
  /** The body of a `repeat`. */
  body: Uint8Array
  bodyAt: number
  bodySize: number
  private chunk: Uint8Array
  private at: number
  private readonly store: Gathering
  // What the next call steps over: the frame that the last one gave.
  private given: number
  private remembered: Uint8Array
  private rememberedBody: number

  constructor(frameMax: number) {
    this.frame = frame
    this.frameMax = frameMax
    this.trim = false
    this.body = noBytes
    this.bodyAt = 0
    this.bodySize = 0
    this.chunk = noBytes
    this.at = 0
    this.store = new Gathering()
    this.given = 0
    this.remembered = noBytes
    this.rememberedBody = 0
  }

  /** Takes a chunk, once all before it is used up. Its memory must stay until then, or `keep`. */
  push(chunk: Uint8Array): void {
    this.chunk = chunk
    this.at = 0
  }

  /** Copies what is not read yet: the chunk's memory is about to be used again. */
  keep(): void {
    this.chunk = copyOf(this.chunk, this.at, this.chunk.length)
    this.at = 0
  }

  /** The frame that was given last comes again. */
  rewind(): void {
    this.given = 0
  }

  /**
   * Frames with the head of the present one come as `repeat` from now on; their body has the same
   * size if content-length is part of that head.
   */
  remember(sized: boolean): void {
    const { frame: from } = this
    this.remembered = copyOf(from.bytes, from.at, from.at + from.bodyFrom)
    this.rememberedBody = sized ? from.bodySize : -1
  }

  /** No frame comes as `repeat` any more. */
  forget(): void {
    this.remembered = noBytes
  }

  // HOT: once per frame
  /** The next frame. Throws DecodeError where none can be found any more. */
  next(): FrameKind {
    if (this.given > 0) this.step()
    if (this.store.size > 0) return this.nextGathered()
    const { chunk } = this
    const end = chunk.length
    while (this.at < end && isFiller(chunk[this.at] as number)) this.at++
    if (this.at === end) {
      this.chunk = noBytes
      this.at = 0
      return FrameKind.needMore
    }
    if (this.remembered.length > 0 && this.isRepeat()) return FrameKind.repeat
    const parsed = frame.parse(chunk, this.at, end, this.trim)
    if (parsed === Parsed.whole) {
      if (frame.size > this.frameMax) malformed(tooLarge)
      this.given = frame.size
      return FrameKind.frame
    }
    this.checkSize(parsed, end - this.at)
    this.store.begin(chunk, this.at, end, parsed, frame.missing)
    this.chunk = noBytes
    this.at = 0
    return FrameKind.needMore
  }

  // A frame that an earlier chunk began.
  private nextGathered(): FrameKind {
    const { store } = this
    for (;;) {
      if (store.ready) {
        const parsed = frame.parse(store.bytes, 0, store.size, this.trim)
        if (parsed === Parsed.whole) {
          if (frame.size > this.frameMax) malformed(tooLarge)
          // What was gathered beyond the frame's end came from this chunk, and stays there.
          this.at -= store.size - frame.size
          store.size = frame.size
          this.given = frame.size
          return FrameKind.frame
        }
        this.checkSize(parsed, store.size)
        store.wait(parsed, frame.missing)
      }
      if (this.at === this.chunk.length) {
        this.chunk = noBytes
        this.at = 0
        return FrameKind.needMore
      }
      this.at += store.take(this.chunk, this.at)
      if (!store.ready && store.size > this.frameMax) malformed(tooLarge)
    }
  }

  // Over the frame that was given.
  private step(): void {
    const { store, given } = this
    this.given = 0
    if (store.size === 0) this.at += given
    else store.clear()
  }

  // HOT: once per frame
  private isRepeat(): boolean {
    const { chunk, at, remembered } = this
    const size = remembered.length
    const bodyAt = at + size
    if (bodyAt >= chunk.length || !isSame(chunk, at, remembered, size)) return false
    let bodySize = this.rememberedBody
    if (bodySize < 0) bodySize = chunk.subarray(bodyAt).indexOf(0)
    // What is cut, or broken, goes the long way.
    if (bodySize < 0 || chunk[bodyAt + bodySize] !== 0) return false
    if (size + bodySize >= this.frameMax) return false
    this.body = chunk
    this.bodyAt = bodyAt
    this.bodySize = bodySize
    this.given = size + bodySize + 1
    return true
  }

  private checkSize(parsed: Parsed, size: number): void {
    const whole = parsed === Parsed.body && frame.missing > 0 ? size + frame.missing : size
    if (whole > this.frameMax) malformed(tooLarge)
  }
}

/** Gathers one frame that does not lie whole in any chunk. */
class Gathering {
  bytes: Buffer
  size: number
  /** Worth a look: what the last one lacked may be there. */
  ready: boolean
  private missing: number
  private waitsForNul: boolean

  constructor() {
    this.bytes = noBuffer
    this.size = 0
    this.ready = false
    this.missing = 0
    this.waitsForNul = false
  }

  begin(chunk: Uint8Array, from: number, to: number, parsed: Parsed, missing: number): void {
    this.reserve(to - from + Math.max(missing, 0))
    this.bytes.set(chunk.subarray(from, to), 0)
    this.size = to - from
    this.wait(parsed, missing)
  }

  /** What the frame lacks: `missing` bytes, a NUL, or (in its head) a line's end. */
  wait(parsed: Parsed, missing: number): void {
    this.ready = false
    this.missing = missing
    this.waitsForNul = parsed === Parsed.body
  }

  /** Takes some of `chunk[at..)`; returns how much. */
  take(chunk: Uint8Array, at: number): number {
    const left = chunk.length - at
    const piece = Math.min(left, this.missing > 0 ? this.missing : gatherBytes)
    this.reserve(this.size + piece + Math.max(this.missing - piece, 0))
    const taken = chunk.subarray(at, at + piece)
    this.bytes.set(taken, this.size)
    this.size += piece
    if (this.missing > 0) {
      this.missing -= piece
      this.ready = this.missing === 0
    } else {
      this.ready = taken.includes(this.waitsForNul ? 0 : lf)
    }
    return piece
  }

  clear(): void {
    this.size = 0
    this.ready = false
    if (this.bytes.length > keptBytes) this.bytes = noBuffer
  }

  private reserve(size: number): void {
    if (size <= this.bytes.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(size, this.bytes.length * 2, gatherBytes * 2))
    grown.set(this.bytes.subarray(0, this.size))
    this.bytes = grown
  }
}

// Not slice(), which for a Buffer is only another view.
function copyOf(bytes: Uint8Array, from: number, to: number): Uint8Array {
  return new Uint8Array(bytes.subarray(from, to))
}

// HOT: once per frame
function isSame(bytes: Uint8Array, at: number, other: Uint8Array, size: number): boolean {
  const a = viewOf(bytes)
  const b = viewOf(other)
  let i = 0
  for (; i + 4 <= size; i += 4) if (a.getInt32(at + i) !== b.getInt32(i)) return false
  for (; i < size; i++) if (bytes[at + i] !== other[i]) return false
  return true
}

// Line ends between frames are heart-beats; RabbitMQ lets NULs pass too.
function isFiller(byte: number): boolean {
  return byte === lf || byte === 0x0d || byte === 0
}

const lf = 0x0a
const tooLarge = 'it is larger than stomp.max_frame_size'

/** How much is gathered at a time where the frame's size is not known. */
const gatherBytes = 2048

/** A connection keeps no more than this between two cut frames. */
const keptBytes = 16 * 1024

const noBytes = new Uint8Array(0)
const noBuffer = Buffer.alloc(0)
const frame = new Frame()
