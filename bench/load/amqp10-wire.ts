/**
 * The frames of AMQP 1.0 that the generator sends, and a scanner that counts what comes. Nothing is
 * shared with the broker's own codec: the generator must not inherit its mistakes.
 */

const frameHead = 8

export const amqp10Headers: { readonly sasl: Buffer; readonly amqp: Buffer } = {
  sasl: Buffer.from([0x41, 0x4d, 0x51, 0x50, 3, 1, 0, 0]),
  amqp: Buffer.from([0x41, 0x4d, 0x51, 0x50, 0, 1, 0, 0]),
}

/** Fields as they are encoded. */
export const wire: {
  readonly none: Buffer
  readonly yes: Buffer
  readonly no: Buffer
  text(value: string): Buffer
  symbol(value: string): Buffer
  bytes(value: Buffer): Buffer
  uint(value: number): Buffer
  ubyte(value: number): Buffer
  /** A described list: source, target, an outcome. */
  list(code: number, fields: readonly Buffer[]): Buffer
} = {
  none: Buffer.from([0x40]),
  yes: Buffer.from([0x41]),
  no: Buffer.from([0x42]),
  text: (value) => sized(0xa1, Buffer.from(value)),
  symbol: (value) => sized(0xa3, Buffer.from(value)),
  bytes: (value) => sized(0xa0, value),
  uint: (value) => {
    const out = Buffer.alloc(5)
    out[0] = 0x70
    out.writeUInt32BE(value >>> 0, 1)
    return out
  },
  ubyte: (value) => Buffer.from([0x50, value]),
  list: described,
}

/** A frame of one performative. */
export function amqp10Frame(type: number, code: number, fields: readonly Buffer[]): Buffer {
  const body = described(code, fields)
  const head = Buffer.alloc(frameHead)
  head.writeUInt32BE(frameHead + body.length, 0)
  head[4] = 2
  head[5] = type
  return Buffer.concat([head, body])
}

/** Pre-encoded transfers of equal length; ids are written into them before each use. */
export class TransferBlock {
  readonly bytes: Buffer
  readonly count: number
  readonly messageSize: number
  readonly #idAt: number

  constructor(handle: number, settled: boolean, bodySize: number, count: number) {
    const data = Buffer.alloc(bodySize, 0x61)
    const size = Buffer.alloc(4)
    size.writeUInt32BE(bodySize)
    const section =
      bodySize < 256
        ? Buffer.concat([Buffer.from([0, 0x53, 0x75, 0xa0, bodySize]), data])
        : Buffer.concat([Buffer.from([0, 0x53, 0x75, 0xb0]), size, data])
    const fields = [
      Buffer.from([0x52, handle]),
      wire.uint(0),
      wire.bytes(Buffer.alloc(4)),
      Buffer.from([0x43]),
      settled ? wire.yes : wire.no,
    ]
    const one = Buffer.concat([amqp10Frame(0, 0x14, fields), section])
    one.writeUInt32BE(one.length, 0)
    this.messageSize = one.length
    this.count = count
    this.bytes = Buffer.alloc(one.length * count)
    for (let i = 0; i < count; i++) this.bytes.set(one, i * one.length)
    // Head, descriptor (3), list8 (3), handle (2), format code.
    this.#idAt = frameHead + 9
  }

  /** Numbers `n` transfers from `id` on: delivery-id and, the same, delivery-tag. */
  number(from: number, n: number, id: number): void {
    let at = from * this.messageSize + this.#idAt
    for (let i = 0; i < n; i++) {
      const value = (id + i) >>> 0
      this.bytes.writeUInt32BE(value, at)
      this.bytes.writeUInt32BE(value, at + 6)
      at += this.messageSize
    }
  }
}

/** What the scanner tells. */
export type Amqp10Listener = {
  /** next-incoming-id and incoming-window, and of a link delivery-count and credit (-1: none). */
  onFlow(nextIncomingId: number, window: number, deliveryCount: number, credit: number): void
  onDisposition(first: number, last: number, accepted: boolean): void
  /** Any other performative but transfer, its fields as numbers (see readFields). */
  onFrame(code: number, fields: readonly number[]): void
}

/** Counts transfers; bodies are skipped by size, never read. */
export class Amqp10Scanner {
  transfers: number
  readonly #listener: Amqp10Listener
  #rest: Buffer
  #skip: number
  #headerBytes: number

  constructor(listener: Amqp10Listener) {
    this.transfers = 0
    this.#listener = listener
    this.#rest = Buffer.alloc(0)
    this.#skip = 0
    this.#headerBytes = 0
  }

  /** A protocol header comes next. */
  expectHeader(): void {
    this.#headerBytes = amqp10Headers.sasl.length
  }

  /** HOT: the next bytes of the stream; they are not kept. */
  push(given: Buffer): void {
    let chunk = given
    if (this.#rest.length > 0) {
      chunk = Buffer.concat([this.#rest, given])
      this.#rest = Buffer.alloc(0)
    }
    let at = Math.min(this.#skip, chunk.length)
    this.#skip -= at
    while (at < chunk.length) {
      if (this.#headerBytes > 0) {
        const taken = Math.min(this.#headerBytes, chunk.length - at)
        this.#headerBytes -= taken
        at += taken
        continue
      }
      const left = chunk.length - at
      if (left < frameHead) break
      const size = chunk.readUInt32BE(at)
      const code = left > 10 ? chunk[at + 10] : -1
      // A transfer counts as soon as its head is there; others are needed whole.
      if (code === 0x14) {
        this.transfers++
        if (left < size) {
          this.#skip = size - left
          return
        }
      } else {
        if (left < size) break
        if (size > frameHead) this.#onFrame(chunk, at, size)
      }
      at += size
    }
    if (at < chunk.length) this.#rest = Buffer.from(chunk.subarray(at))
  }

  #onFrame(bytes: Buffer, at: number, size: number): void {
    const code = bytes[at + 10] ?? 0
    const fields = readFields(bytes, at + 11, at + size)
    if (code !== 0x13 && code !== 0x15) {
      this.#listener.onFrame(code, fields)
      return
    }
    const field = (i: number): number => fields[i] ?? -1
    if (code === 0x13) this.#listener.onFlow(field(0), field(1), field(5), field(6))
    else {
      const last = field(2)
      this.#listener.onDisposition(field(1), last < 0 ? field(1) : last, field(4) === 0x24)
    }
  }
}

/** Bytes behind a format code, by its high nibble; -1, -4: a size of that many bytes first. */
const WIDTHS = [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, -1, -4, -1, -4, -1, -4] as const

/** The fields of a list as numbers: uints, booleans, the code of a described value; -1 for others. */
function readFields(bytes: Buffer, at: number, end: number): number[] {
  const code = bytes[at]
  let to = at + (code === 0xd0 ? 9 : code === 0xc0 ? 3 : 1)
  const fields: number[] = []
  while (to < end) {
    fields.push(readField(bytes, to))
    // A descriptor is always small here.
    to = skipField(bytes, bytes[to] === 0x00 ? to + 3 : to)
  }
  return fields
}

function readField(bytes: Buffer, at: number): number {
  switch (bytes[at]) {
    case 0x00:
      return bytes[at + 2] ?? 0
    case 0x52:
      return bytes[at + 1] ?? 0
    case 0x70:
      return bytes.readUInt32BE(at + 1)
    case 0x42:
    case 0x43:
      return 0
    case 0x41:
      return 1
    default:
      return -1
  }
}

function skipField(bytes: Buffer, at: number): number {
  const width = WIDTHS[(bytes[at] ?? 0) >> 4] ?? 0
  if (width === -1) return at + 2 + (bytes[at + 1] ?? 0)
  return width === -4 ? at + 5 + bytes.readUInt32BE(at + 1) : at + 1 + width
}

function described(code: number, fields: readonly Buffer[]): Buffer {
  const body = Buffer.concat(fields)
  const head = Buffer.from([0, 0x53, code, 0xd0, 0, 0, 0, 0, 0, 0, 0, 0])
  if (body.length < 255) {
    return Buffer.concat([Buffer.from([0, 0x53, code, 0xc0, body.length + 1, fields.length]), body])
  }
  head.writeUInt32BE(body.length + 4, 4)
  head.writeUInt32BE(fields.length, 8)
  return Buffer.concat([head, body])
}

function sized(code: number, bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from([code, bytes.length]), bytes])
}
