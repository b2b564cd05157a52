/**
 * Counts deliveries and confirms in a byte stream by walking frame headers. Contents are skipped by
 * size, never read, except for the time stamp that a latency run puts into the first body bytes.
 */

import { FRAME_END, FRAME_HEADER_SIZE, FrameKind, MethodId } from './wire.ts'

/** What the scanner tells its owner; nothing of it is called per delivery. */
export type ScannerListener = {
  /** basic.ack or basic.nack from the broker. */
  onConfirm(channel: number, tag: number, multiple: boolean, nack: boolean): void
  /** Any other method than those and basic.deliver; `args` is a copy that may be kept. */
  onMethod(channel: number, id: number, args: Buffer): void
  /** Stamps, once per message when `stamps` is on: the value its publisher wrote. */
  onStamp(stamp: number): void
}

/** Bytes of a frame that decide what to do with it: header, method id, tag, multiple. */
const PREFIX_MAX = FRAME_HEADER_SIZE + 13

/** One connection's scanner: push chunks as they come, split anywhere. */
export class FrameScanner {
  readonly #listener: ScannerListener
  readonly #stamps: boolean
  /** Deliveries seen, in total and by channel number. */
  deliveries: number
  readonly deliveriesOn: Float64Array
  #stampDue: boolean
  /** Bytes of the current frame, end mark included, still to be passed over. */
  #skip: number
  /** A frame's first bytes when a chunk ended inside them, or a rare method being gathered. */
  readonly #prefix: Buffer
  #prefixSize: number
  #gathered: Buffer | undefined
  #gatheredSize: number

  constructor(listener: ScannerListener, channelMax: number, stamps: boolean) {
    this.#listener = listener
    this.#stamps = stamps
    this.deliveries = 0
    this.deliveriesOn = new Float64Array(channelMax + 1)
    this.#stampDue = false
    this.#skip = 0
    this.#prefix = Buffer.alloc(PREFIX_MAX)
    this.#prefixSize = 0
    this.#gathered = undefined
    this.#gatheredSize = 0
  }

  /** HOT: the next `size` bytes of the stream, `chunk[0..size)`; they are not kept. */
  push(chunk: Buffer, size: number): void {
    let at = this.#resume(chunk, size)
    while (at < size) {
      const next = this.#frame(chunk, at, size)
      if (next < 0) {
        this.#prefixSize = size - at
        this.#prefix.set(chunk.subarray(at, size), 0)
        return
      }
      if (next > size) {
        this.#skip = next - size
        return
      }
      if (chunk[next - 1] !== FRAME_END) throw new Error('frame end expected')
      at = next
    }
  }

  /** Finishes what the last chunk left open; returns where the next whole frame begins. */
  #resume(chunk: Buffer, size: number): number {
    if (this.#prefixSize > 0) return this.#resumePrefix(chunk, size)
    if (this.#skip === 0) return 0
    const taken = Math.min(this.#skip, size)
    if (this.#gathered !== undefined) {
      this.#gathered.set(chunk.subarray(0, taken), this.#gatheredSize)
      this.#gatheredSize += taken
    }
    this.#skip -= taken
    if (this.#skip > 0) return taken
    if (chunk[taken - 1] !== FRAME_END) throw new Error('frame end expected')
    this.#finishGathered()
    return taken
  }

  /** Adds bytes one by one to a split prefix until it decides; rare, so speed does not matter. */
  #resumePrefix(chunk: Buffer, size: number): number {
    let at = 0
    while (at < size) {
      this.#prefix[this.#prefixSize++] = chunk[at++] as number
      const next = this.#frame(this.#prefix, 0, this.#prefixSize)
      if (next < 0) continue
      this.#skip = next - this.#prefixSize
      this.#prefixSize = 0
      if (this.#skip > 0) return at + this.#resume(chunk.subarray(at, size), size - at)
      if (chunk[at - 1] !== FRAME_END) throw new Error('frame end expected')
      this.#finishGathered()
      return at
    }
    return at
  }

  /**
   * HOT: acts on the frame at `at`. Returns the position after it, which may lie beyond `end`, or -1
   * when too little of it has arrived to act on it.
   */
  #frame(bytes: Buffer, at: number, end: number): number {
    if (at + FRAME_HEADER_SIZE > end) return -1
    const kind = bytes[at] as number
    const size =
      (bytes[at + 3] as number) * 0x1000000 +
      (((bytes[at + 4] as number) << 16) |
        ((bytes[at + 5] as number) << 8) |
        (bytes[at + 6] as number))
    const next = at + FRAME_HEADER_SIZE + size + 1
    if (kind === FrameKind.method) return this.#method(bytes, at, end, next)
    if (kind === FrameKind.body && this.#stampDue) {
      if (at + FRAME_HEADER_SIZE + 4 > end) return -1
      this.#stampDue = false
      this.#listener.onStamp(bytes.readUInt32BE(at + FRAME_HEADER_SIZE))
    }
    return next
  }

  #method(bytes: Buffer, at: number, end: number, next: number): number {
    if (at + FRAME_HEADER_SIZE + 4 > end) return -1
    const id = bytes.readUInt32BE(at + FRAME_HEADER_SIZE)
    const channel = ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number)
    if (id === MethodId.basicDeliver) {
      this.deliveries++
      this.deliveriesOn[channel] = (this.deliveriesOn[channel] as number) + 1
      this.#stampDue = this.#stamps
      return next
    }
    if (id === MethodId.basicAck || id === MethodId.basicNack) {
      if (at + PREFIX_MAX > end) return -1
      const args = at + FRAME_HEADER_SIZE + 4
      const tag = bytes.readUInt32BE(args) * 0x100000000 + bytes.readUInt32BE(args + 4)
      const multiple = ((bytes[args + 8] as number) & 1) === 1
      this.#listener.onConfirm(channel, tag, multiple, id === MethodId.basicNack)
      return next
    }
    this.#gathered = Buffer.alloc(next - at)
    const present = Math.min(next, end) - at
    this.#gathered.set(bytes.subarray(at, at + present), 0)
    this.#gatheredSize = present
    if (present === this.#gathered.length) this.#finishGathered()
    return next
  }

  #finishGathered(): void {
    const frame = this.#gathered
    if (frame === undefined) return
    this.#gathered = undefined
    const args = frame.subarray(FRAME_HEADER_SIZE + 4, frame.length - 1)
    this.#listener.onMethod(frame.readUInt16BE(1), frame.readUInt32BE(FRAME_HEADER_SIZE), args)
  }
}
