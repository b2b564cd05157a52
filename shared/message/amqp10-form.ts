// Messages in the form in which streams keep them: the sections of AMQP 1.0, as RabbitMQ writes and
// reads them (mc_amqpl, mc_amqp of RabbitMQ 4.3). Both directions remember the last message's head:
// messages of one publisher differ, as a rule, in their bodies alone.
//
//   header 0x70 list | message annotations 0x72 map | properties 0x73 list
//   | application properties 0x74 map | data 0x75 binary

import { Buffer } from 'node:buffer'
import { copyBytes } from '../bytes/copy.ts'
import { DecodeError } from '../bytes/decode-error.ts'
import { Reader } from '../bytes/reader.ts'
import { viewOf } from '../bytes/view.ts'
import { Amqp10Head, headFromSections } from './amqp10-decode.ts'
import { amqp10Sections } from './amqp10-encode.ts'

/** Longest head that is remembered. */
const rememberedMax = 4096

/** From an entry of the bus (exchange and routing key, 0-9-1 properties) to sections. */
export class Amqp10Encoder {
  /** Everything before the body's own bytes but the data section's head; valid until the next `prepare`. */
  head: Uint8Array
  headSize: number
  /** The body is encoded sections itself (type `amqp-1.0`): no data section around it. */
  bodyEncoded: boolean
  /** Value of x-stream-filter-value; empty without one. */
  filter: Uint8Array
  private readonly last: Buffer
  private lastSize: number

  constructor() {
    this.head = new Uint8Array(0)
    this.headSize = 0
    this.bodyEncoded = false
    this.filter = new Uint8Array(0)
    this.last = Buffer.alloc(rememberedMax)
    this.lastSize = -1
  }

  // HOT: once per message published to a stream
  /** Turns to an entry whose keys and properties lie at `bytes[at..]` with these sizes. */
  prepare(bytes: Buffer, at: number, exrkSize: number, extraSize: number, propsSize: number): void {
    const size = exrkSize + extraSize + propsSize
    if (size === this.lastSize && same(this.last, 0, bytes, at, size)) return
    const made = amqp10Sections(bytes, at, exrkSize, extraSize, propsSize)
    this.head = made.head
    this.headSize = made.head.length
    this.bodyEncoded = made.bodyEncoded
    this.filter = made.filter
    this.lastSize = -1
    if (size > rememberedMax) return
    copyBytes(bytes, at, this.last, 0, size)
    this.lastSize = size
  }

  /** Bytes of the whole message with a body of `bodySize`. */
  size(bodySize: number): number {
    if (this.bodyEncoded) return this.headSize + bodySize
    return this.headSize + (bodySize < 256 ? 5 : 8) + bodySize
  }

  // HOT: once per message published to a stream
  /** Writes what comes before the body; returns the position behind. */
  writeHead(to: Buffer, at: number, bodySize: number): number {
    copyBytes(this.head, 0, to, at, this.headSize)
    let end = at + this.headSize
    if (this.bodyEncoded) return end
    const view = viewOf(to)
    view.setUint8(end, 0)
    view.setUint16(end + 1, 0x5375)
    if (bodySize < 256) {
      view.setUint16(end + 3, 0xa000 | bodySize)
      end += 5
    } else {
      view.setUint8(end + 3, 0xb0)
      view.setUint32(end + 4, bodySize)
      end += 8
    }
    return end
  }
}

/** From sections to an entry of the bus. */
export class Amqp10Decoder {
  /** Exchange and routing key, native part, properties with the header x-stream-offset. */
  bytes: Uint8Array
  exrkSize: number
  extraSize: number
  propsSize: number
  /** Where in `bytes` the eight bytes of the offset are. */
  offsetAt: number
  /** The body within the message given to `prepare`. */
  bodyAt: number
  bodySize: number
  /** Bodies of several data sections are put together here; undefined: it lies in the message. */
  joined: Buffer | undefined
  private readonly queue: string
  private readonly last: Buffer
  private lastSize: number
  private readonly reader: Reader

  /** `queue`: the routing key of messages that say none. */
  constructor(queue: string) {
    this.bytes = new Uint8Array(0)
    this.exrkSize = 0
    this.extraSize = 0
    this.propsSize = 0
    this.offsetAt = 0
    this.bodyAt = 0
    this.bodySize = 0
    this.joined = undefined
    this.queue = queue
    this.last = Buffer.alloc(rememberedMax)
    this.lastSize = -1
    this.reader = new Reader(this.last, 0, 0)
  }

  // HOT: once per message read from a stream for a consumer of another protocol
  /**
   * Turns to the message at `bytes[at, at + size)`. What is no message of AMQP 1.0 is given as a
   * body as it is: stream clients may publish any bytes.
   */
  prepare(bytes: Buffer, at: number, size: number): void {
    this.joined = undefined
    const { lastSize } = this
    const headEnd = at + lastSize
    if (lastSize >= 0 && lastSize + 5 <= size && same(this.last, 0, bytes, at, lastSize)) {
      const view = viewOf(bytes)
      if (view.getUint8(headEnd) === 0 && view.getUint16(headEnd + 1) === 0x5375) {
        const code = view.getUint8(headEnd + 3)
        if (code === 0xa0) {
          this.bodyAt = headEnd + 5
          this.bodySize = view.getUint8(headEnd + 4)
        } else if (code === 0xb0 && lastSize + 8 <= size) {
          this.bodyAt = headEnd + 8
          this.bodySize = view.getUint32(headEnd + 4)
        } else {
          this.bodySize = -1
        }
        if (this.bodySize >= 0 && this.bodyAt + this.bodySize === at + size) return
      }
    }
    this.decode(bytes, at, size)
  }

  private decode(bytes: Buffer, at: number, size: number): void {
    this.lastSize = -1
    this.reader.set(bytes, at, at + size)
    let head: Amqp10Head
    try {
      head = headFromSections(this.reader)
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      head = new Amqp10Head()
      head.bodyAt = at
      head.bodySize = size
    }
    const { bytes: made, exrkSize, extraSize, offsetAt } = head.finish(this.queue, bytes)
    this.bytes = made
    this.exrkSize = exrkSize
    this.extraSize = extraSize
    this.propsSize = made.length - exrkSize - extraSize
    this.offsetAt = offsetAt
    this.bodyAt = head.bodyAt
    this.bodySize = head.bodySize
    this.joined = head.joined
    const headSize = head.headEnd - at
    if (head.headEnd < 0 || headSize > rememberedMax) return
    copyBytes(bytes, at, this.last, 0, headSize)
    this.lastSize = headSize
  }
}

// HOT: once per message of a stream
function same(a: Buffer, from: number, b: Buffer, at: number, size: number): boolean {
  if (size > 192) return b.compare(a, from, from + size, at, at + size) === 0
  const left = viewOf(a)
  const right = viewOf(b)
  let i = 0
  for (; i + 4 <= size; i += 4) {
    if (left.getInt32(from + i) !== right.getInt32(at + i)) return false
  }
  for (; i < size; i++) {
    if (left.getUint8(from + i) !== right.getUint8(at + i)) return false
  }
  return true
}
