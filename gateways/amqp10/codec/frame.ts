// Cuts a byte stream into AMQP 1.0 frames without making objects.
//
//   +------+------+------+---------+------------------+--------------+---------+
//   | size | doff | type | channel | extended header  | performative | payload |
//   |  u32 |  u8  |  u8  |   u16   | 4 * doff - 8     |              |         |
//   +------+------+------+---------+------------------+--------------+---------+
//
// The decoder is a cursor: next() names the frame and sets the fields of that kind, positions that
// point into `decoder.bytes` (the chunk itself, or the carry-over buffer when a frame straddles
// chunks). Only transfer, disposition and flow are parsed here; others are left to composite.ts.

import { copyBytes } from '../../../shared/bytes/copy.ts'
import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import { viewOf } from '../../../shared/bytes/view.ts'
import { Code, skipValue, truncated } from './constructors.ts'
import { FaultCode } from './fault.ts'
import { codeOfSymbol, Descriptor } from './spec.ts'

/** What next() found. */
export const FrameKind = {
  /** All bytes are used up; the decoder no longer refers to the chunk. */
  needMore: 0,
  /** handle to batchable; payloadAt, payloadSize. */
  transfer: 1,
  /** role to stateEnd. */
  disposition: 2,
  /** nextIncomingId to echo. */
  flow: 3,
  /** Any other: `performativeAt` to `performativeEnd`, to be read by composite.ts. */
  performative: 4,
  /** No body: keeps the connection from being idle. */
  empty: 5,
  /** The eight bytes at `performativeAt` are a protocol header: only while `expectHeader`. */
  header: 6,
} as const

export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind]

export const FrameType = { amqp: 0, sasl: 1 } as const

/** What an absent (null) number of a hot frame is; booleans are 0, 1 or this. */
export const ABSENT = -1

/**
 * The cursor. Call order: push(chunk), then next() until `needMore` (or stop earlier and go on
 * later), then the next push. The fields of a frame hold until the next call of next() or push().
 *
 * next() throws DecodeError with a FaultCode; then the connection can only be closed.
 */
export class FrameDecoder {
  /** Largest frame that is taken. */
  frameMax: number
  /** The type that frames must have: FrameType. */
  frameType: number
  /** A protocol header comes next, and no frame. */
  expectHeader: boolean

  /** What the positions below point into. */
  bytes: Uint8Array = NO_BYTES
  channel = 0
  performativeAt = 0
  performativeEnd = 0

  /** transfer, flow */
  handle: number = ABSENT
  /** transfer */
  deliveryId: number = ABSENT
  tagAt: number = ABSENT
  tagSize = 0
  messageFormat: number = ABSENT
  settled: number = ABSENT
  more: number = ABSENT
  rcvSettleMode: number = ABSENT
  resume: number = ABSENT
  aborted: number = ABSENT
  payloadAt = 0
  payloadSize = 0

  /** disposition */
  role: number = ABSENT
  first = 0
  last = 0
  /** Descriptor code of the state; ABSENT for none, 0 for one without a known descriptor. */
  state: number = ABSENT
  stateAt = 0
  stateEnd = 0

  /** flow */
  nextIncomingId: number = ABSENT
  incomingWindow = 0
  nextOutgoingId = 0
  outgoingWindow = 0
  deliveryCount: number = ABSENT
  linkCredit: number = ABSENT
  drain: number = ABSENT
  echo: number = ABSENT

  private chunk: Uint8Array = NO_BYTES
  private view: DataView = viewOf(NO_BYTES)
  private at = 0
  private end = 0
  // A frame whose rest has not come yet.
  private carry: Uint8Array = NO_BYTES
  private carrySize = 0
  // For rewind(): where the last frame began in the chunk; -1: it was carried over.
  private frameAt = 0
  private carriedAgain = false
  private carriedSize = 0
  // While a performative is parsed.
  private fieldView: DataView = viewOf(NO_BYTES)
  private pos = 0
  private stop = 0
  private fields = 0

  constructor(frameMax: number, frameType: number) {
    this.frameMax = frameMax
    this.frameType = frameType
    this.expectHeader = false
  }

  /**
   * Hands over `chunk[from..)`. The memory must stay as it is until next() gives `needMore` or keep()
   * is called. Only after all of the chunk before was used up.
   */
  push(chunk: Uint8Array, from = 0): void {
    this.chunk = chunk
    this.view = viewOf(chunk)
    this.at = from
    this.end = chunk.length
  }

  /** Copies the bytes not read yet, so that the caller may use the chunk's memory again. */
  keep(): void {
    if (this.at === this.end) return
    const rest = Uint8Array.prototype.slice.call(this.chunk, this.at, this.end)
    this.chunk = rest
    this.view = viewOf(rest)
    this.at = 0
    this.end = rest.length
    this.frameAt = 0
  }

  /** Puts the last frame back: next() gives it again. */
  rewind(): void {
    if (this.frameAt >= 0) {
      this.at = this.frameAt
      return
    }
    this.carriedAgain = true
    this.carrySize = this.carriedSize
  }

  // HOT: no allocation per frame
  /** Finds the next frame and sets its fields. */
  next(): FrameKind {
    if (this.carrySize > 0) return this.nextCarried()
    const { view, at } = this
    const left = this.end - at
    if (left < 8) return this.carryRest(left)
    const size = this.expectHeader ? 8 : view.getUint32(at)
    this.checkHead(view, at, size)
    if (left < size) return this.carryRest(left)
    this.frameAt = at
    this.at = at + size
    this.bytes = this.chunk
    return this.parse(view, at, at + size)
  }

  private nextCarried(): FrameKind {
    if (!this.carriedAgain) {
      if (this.carrySize < 8) {
        this.gather(8)
        if (this.carrySize < 8) return FrameKind.needMore
      }
      const head = viewOf(this.carry)
      const size = this.expectHeader ? 8 : head.getUint32(0)
      this.checkHead(head, 0, size)
      this.gather(size)
      if (this.carrySize < size) return FrameKind.needMore
    }
    this.carriedAgain = false
    const view = viewOf(this.carry)
    const size = this.expectHeader ? 8 : view.getUint32(0)
    this.frameAt = -1
    this.bytes = this.carry
    this.carriedSize = size
    this.carrySize = 0
    return this.parse(view, 0, size)
  }

  /** Moves bytes of the chunk to the carry-over buffer until that has `size`. */
  private gather(size: number): void {
    const wanted = Math.min(size - this.carrySize, this.end - this.at)
    if (this.carry.length < size) {
      const larger = new Uint8Array(Math.max(size, carryKeptBytes))
      larger.set(this.carry.subarray(0, this.carrySize))
      this.carry = larger
    }
    copyBytes(this.chunk, this.at, this.carry, this.carrySize, wanted)
    this.carrySize += wanted
    this.at += wanted
  }

  private carryRest(left: number): FrameKind {
    if (this.carry.length > carryKeptBytes) this.carry = NO_BYTES
    if (left > 0) {
      const size = left < 8 ? 8 : this.view.getUint32(this.at)
      this.gather(size)
    }
    this.chunk = NO_BYTES
    return FrameKind.needMore
  }

  private checkHead(view: DataView, at: number, size: number): void {
    if (this.expectHeader) return
    if (size < 8) framing(`frame size (${size} bytes) < minimum frame size (8 bytes)`)
    if (size > this.frameMax) {
      framing(`frame size (${size} bytes) > maximum frame size (${this.frameMax} bytes)`)
    }
    const doff = view.getUint8(at + 4)
    if (doff < 2) framing(`data offset (${doff}) < minimum data offset (2)`)
    if (doff * 4 > size) framing(`data offset (${doff * 4} bytes) > frame size (${size} bytes)`)
    const type = view.getUint8(at + 5)
    if (type !== this.frameType) {
      const mode = this.frameType === FrameType.sasl ? 'sasl' : 'amqp'
      framing(`unexpected frame type ${type} in ${mode} mode (expected ${this.frameType})`)
    }
  }

  // HOT: once per frame
  private parse(view: DataView, at: number, end: number): FrameKind {
    if (this.expectHeader) {
      this.performativeAt = at
      return FrameKind.header
    }
    this.channel = view.getUint16(at + 6)
    const from = at + view.getUint8(at + 4) * 4
    if (from === end) return FrameKind.empty
    this.performativeAt = from
    this.performativeEnd = end
    if (this.frameType === FrameType.sasl) return FrameKind.performative
    this.fieldView = view
    this.pos = from
    this.stop = end
    const descriptor = this.readDescriptor()
    if (descriptor === Descriptor.transfer) return this.parseTransfer()
    if (descriptor === Descriptor.disposition) return this.parseDisposition()
    if (descriptor === Descriptor.flow) return this.parseFlow()
    return FrameKind.performative
  }

  // HOT: once per transfer
  private parseTransfer(): FrameKind {
    const end = this.enterList()
    this.handle = this.required(this.uint(), 'transfer', 'handle')
    this.deliveryId = this.uint()
    this.binary()
    this.messageFormat = this.uint()
    this.settled = this.truth()
    this.more = this.truth()
    this.rcvSettleMode = this.ubyte()
    if (this.fields > 0) this.skip()
    this.resume = this.truth()
    this.aborted = this.truth()
    this.leaveList(end)
    this.payloadAt = this.pos
    this.payloadSize = this.stop - this.pos
    return FrameKind.transfer
  }

  // HOT: once per disposition
  private parseDisposition(): FrameKind {
    const end = this.enterList()
    this.role = this.required(this.truth(), 'disposition', 'role')
    this.first = this.required(this.uint(), 'disposition', 'first')
    const last = this.uint()
    this.last = last === ABSENT ? this.first : last
    this.settled = this.truth()
    this.state = ABSENT
    this.stateAt = this.pos
    if (this.fields > 0) this.readState()
    this.leaveList(end)
    this.endFrame()
    return FrameKind.disposition
  }

  private parseFlow(): FrameKind {
    const end = this.enterList()
    this.nextIncomingId = this.uint()
    this.incomingWindow = this.required(this.uint(), 'flow', 'incoming-window')
    this.nextOutgoingId = this.required(this.uint(), 'flow', 'next-outgoing-id')
    this.outgoingWindow = this.required(this.uint(), 'flow', 'outgoing-window')
    this.handle = this.uint()
    this.deliveryCount = this.uint()
    this.linkCredit = this.uint()
    this.uint()
    this.drain = this.truth()
    this.echo = this.truth()
    this.leaveList(end)
    this.endFrame()
    return FrameKind.flow
  }

  private readState(): void {
    const view = this.fieldView
    if (this.pos >= this.stop) truncated()
    if (view.getUint8(this.pos) !== Code.described) {
      this.skip()
      this.state = view.getUint8(this.stateAt) === Code.null ? ABSENT : 0
    } else {
      this.state = this.readDescriptor()
      this.fields--
      this.pos = skipValue(view, this.pos, this.stop)
    }
    this.stateEnd = this.pos
  }

  /** The code of a descriptor; 0 for one that is not known. */
  private readDescriptor(): number {
    const { fieldView: view, pos, stop } = this
    if (stop - pos >= 3 && view.getUint16(pos) === 0x0053) {
      this.pos = pos + 3
      return view.getUint8(pos + 2)
    }
    if (view.getUint8(pos) !== Code.described) throw new DecodeError(0, 'no performative')
    const at = pos + 1
    const to = skipValue(view, at, stop)
    this.pos = to
    const code = view.getUint8(at)
    if (code === Code.ulong && view.getUint32(at + 1) === 0) return view.getUint32(at + 5)
    const textAt = at + (code === Code.symbol8 ? 2 : 5)
    if (code !== Code.symbol8 && code !== Code.symbol32) return 0
    const { bytes } = this
    const text = Buffer.from(bytes.buffer, bytes.byteOffset + textAt, to - textAt)
    return Math.max(0, codeOfSymbol(text.toString('latin1')))
  }

  /** Steps into a list: `fields` are to come. Gives where it ends. */
  private enterList(): number {
    const { fieldView: view, pos, stop } = this
    const code = pos < stop ? view.getUint8(pos) : truncated()
    let size = 0
    if (code === Code.list8) {
      if (pos + 3 > stop) truncated()
      size = view.getUint8(pos + 1) + 2
      this.fields = view.getUint8(pos + 2)
      this.pos = pos + 3
    } else if (code === Code.list32) {
      if (pos + 9 > stop) truncated()
      size = view.getUint32(pos + 1) + 5
      this.fields = view.getUint32(pos + 5)
      this.pos = pos + 9
    } else if (code === Code.list0) {
      this.fields = 0
      this.pos = pos + 1
      return this.pos
    } else {
      throw new DecodeError(0, 'performative is not a list')
    }
    const end = pos + size
    if (end > stop || end < this.pos) truncated()
    return end
  }

  private leaveList(end: number): void {
    // Fields that a later version may have added, or that nobody needs.
    while (this.fields > 0) this.skip()
    if (this.pos !== end) throw new DecodeError(0, 'list is not as long as its size says')
  }

  private endFrame(): void {
    if (this.pos !== this.stop) throw new DecodeError(0, 'bytes behind the performative')
  }

  private skip(): void {
    this.fields--
    this.pos = skipValue(this.fieldView, this.pos, this.stop)
  }

  // HOT: once per field
  private uint(): number {
    if (this.fields === 0) return ABSENT
    this.fields--
    const { fieldView: view, pos } = this
    const left = this.stop - pos
    if (left < 1) truncated()
    const code = view.getUint8(pos)
    if (code === Code.smallUint && left >= 2) {
      this.pos = pos + 2
      return view.getUint8(pos + 1)
    }
    if (code === Code.uint && left >= 5) {
      this.pos = pos + 5
      return view.getUint32(pos + 1)
    }
    this.pos = pos + 1
    if (code === Code.uint0) return 0
    return code === Code.null ? ABSENT : wrongType()
  }

  private truth(): number {
    if (this.fields === 0) return ABSENT
    this.fields--
    const { fieldView: view, pos } = this
    if (pos >= this.stop) truncated()
    const code = view.getUint8(pos)
    this.pos = pos + 1
    if (code === Code.true) return 1
    if (code === Code.false) return 0
    if (code === Code.null) return ABSENT
    if (code !== Code.boolean || this.pos >= this.stop) return wrongType()
    this.pos = pos + 2
    return view.getUint8(pos + 1) === 0 ? 0 : 1
  }

  private ubyte(): number {
    if (this.fields === 0) return ABSENT
    this.fields--
    const { fieldView: view, pos } = this
    if (pos >= this.stop) truncated()
    const code = view.getUint8(pos)
    this.pos = pos + 1
    if (code === Code.null) return ABSENT
    if (code !== Code.ubyte || this.pos >= this.stop) return wrongType()
    this.pos = pos + 2
    return view.getUint8(pos + 1)
  }

  private binary(): void {
    this.tagAt = ABSENT
    this.tagSize = 0
    if (this.fields === 0) return
    const { fieldView: view, pos } = this
    this.skip()
    const code = view.getUint8(pos)
    if (code === Code.binary8) this.tagAt = pos + 2
    else if (code === Code.binary32) this.tagAt = pos + 5
    else if (code !== Code.null) wrongType()
    if (this.tagAt >= 0) this.tagSize = this.pos - this.tagAt
  }

  private required(value: number, performative: string, name: string): number {
    if (value !== ABSENT) return value
    throw new DecodeError(FaultCode.invalidField, `${performative} without mandatory field ${name}`)
  }
}

function wrongType(): never {
  throw new DecodeError(FaultCode.invalidField, 'field of another type')
}

function framing(text: string): never {
  throw new DecodeError(FaultCode.framing, text)
}

const NO_BYTES = new Uint8Array(0)

/** Carry-over memory that is kept between frames; most frames that straddle chunks are smaller. */
const carryKeptBytes = 4096
