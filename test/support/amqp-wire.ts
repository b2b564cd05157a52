// A small AMQP 0-9-1 encoder and decoder for test peers. It is written apart from the broker's
// codec on purpose: a mistake that both sides share would go unseen.

export type FieldValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | Uint8Array
  | FieldTable
  | TypedValue
  | readonly FieldValue[]

export interface FieldTable {
  readonly [key: string]: FieldValue
}

/** A table value with its type letter, for types that JavaScript cannot tell apart. */
export class TypedValue {
  readonly letter: string
  readonly value: FieldValue
  constructor(letter: string, value: FieldValue) {
    this.letter = letter
    this.value = value
  }
}

export interface Method {
  readonly name: string
  readonly fields: Record<string, FieldValue>
}

export interface Properties {
  readonly contentType?: string
  readonly contentEncoding?: string
  readonly headers?: FieldTable
  readonly deliveryMode?: number
  readonly priority?: number
  readonly correlationId?: string
  readonly replyTo?: string
  readonly expiration?: string
  readonly messageId?: string
  readonly timestamp?: number
  readonly type?: string
  readonly userId?: string
  readonly appId?: string
  readonly clusterId?: string
}

export const FrameType = { method: 1, header: 2, body: 3, heartbeat: 8 } as const
export const FRAME_END = 0xce
export const PROTOCOL_HEADER: Buffer = Buffer.from('AMQP\x00\x00\x09\x01', 'latin1')

/** One whole frame. */
export function encodeFrame(type: number, channel: number, payload: Uint8Array): Buffer {
  const frame = Buffer.alloc(payload.length + 8)
  frame.writeUInt8(type, 0)
  frame.writeUInt16BE(channel, 1)
  frame.writeUInt32BE(payload.length, 3)
  frame.set(payload, 7)
  frame.writeUInt8(FRAME_END, payload.length + 7)
  return frame
}

/** One method frame; fields that are left out are zero, empty or false. */
export function encodeMethod(
  channel: number,
  name: string,
  fields: Readonly<Record<string, FieldValue>> = {},
): Buffer {
  const { classId, methodId, layout } = methodNamed(name)
  for (const key of Object.keys(fields)) {
    if (!layout.some((item) => item.name === key)) throw new Error(`${name} has no field ${key}`)
  }
  const out = new Sink()
  out.u16(classId)
  out.u16(methodId)
  let bits = 0
  let bitCount = 0
  for (const { name: key, kind } of layout) {
    const value = fields[key]
    if (kind === 'b') {
      if (value === true) bits |= 1 << bitCount
      bitCount += 1
      continue
    }
    if (bitCount > 0) out.u8(bits)
    bits = 0
    bitCount = 0
    writeField(out, kind, value)
  }
  if (bitCount > 0) out.u8(bits)
  return encodeFrame(FrameType.method, channel, out.bytes())
}

/** A content header frame. `bodySize` may lie. */
export function encodeHeader(
  channel: number,
  bodySize: number,
  properties: Properties = {},
  classId = 60,
): Buffer {
  const out = new Sink()
  out.u16(classId)
  out.u16(0)
  out.u64(BigInt(bodySize))
  let flags = 0
  const values = new Sink()
  for (let i = 0; i < propertyLayout.length; i += 1) {
    const [key, kind] = propertyLayout[i] as [keyof Properties, string]
    const value = properties[key]
    if (value === undefined) continue
    flags |= 1 << (15 - i)
    writeField(values, kind, value)
  }
  out.u16(flags)
  out.raw(values.bytes())
  return encodeFrame(FrameType.header, channel, out.bytes())
}

/** A published message as method, header and body frames of at most `frameMax` bytes each. */
export function encodePublish(
  channel: number,
  fields: Readonly<Record<string, FieldValue>>,
  body: Uint8Array,
  properties: Properties = {},
  frameMax = 131072,
): Buffer {
  const frames = [
    encodeMethod(channel, 'basic.publish', fields),
    encodeHeader(channel, body.length, properties),
  ]
  for (let at = 0; at < body.length; at += frameMax - 8) {
    frames.push(encodeFrame(FrameType.body, channel, body.subarray(at, at + frameMax - 8)))
  }
  return Buffer.concat(frames)
}

export function decodeMethod(payload: Buffer): Method {
  const input = new Source(payload)
  const classId = input.u16()
  const methodId = input.u16()
  const found = METHODS.find((item) => item.classId === classId && item.methodId === methodId)
  if (found === undefined) throw new Error(`unknown method ${classId},${methodId}`)
  const fields: Record<string, FieldValue> = {}
  let bits = 0
  let bitCount = 0
  for (const { name, kind } of found.layout) {
    if (kind === 'b') {
      if (bitCount === 0) bits = input.u8()
      fields[name] = (bits & (1 << bitCount)) !== 0
      bitCount += 1
      continue
    }
    bitCount = 0
    fields[name] = readField(input, kind)
  }
  if (input.left() > 0) throw new Error(`${found.name}: ${input.left()} bytes too many`)
  return { name: found.name, fields }
}

export function decodeHeader(payload: Buffer): { bodySize: number; properties: Properties } {
  const input = new Source(payload)
  if (input.u16() !== 60) throw new Error('content header of a class that is not basic')
  input.u16()
  const bodySize = Number(input.u64())
  const flags = input.u16()
  const properties: Record<string, FieldValue> = {}
  for (let i = 0; i < propertyLayout.length; i += 1) {
    const [key, kind] = propertyLayout[i] as [string, string]
    if ((flags & (1 << (15 - i))) !== 0) properties[key] = readField(input, kind)
  }
  if (input.left() > 0) throw new Error(`content header: ${input.left()} bytes too many`)
  return { bodySize, properties: properties as Properties }
}

/** A field table without its length prefix, as AMQPLAIN carries it. */
export function encodeTableBody(table: FieldTable): Buffer {
  const out = new Sink()
  for (const [key, value] of Object.entries(table)) {
    out.shortstr(key)
    writeTableValue(out, value)
  }
  return out.bytes()
}

interface MethodLayout {
  readonly name: string
  readonly classId: number
  readonly methodId: number
  readonly layout: readonly { readonly name: string; readonly kind: string }[]
}

// Kinds: o octet, s short, l long, q longlong, S shortstr, X longstr, T table, b bit.
const CLOSE = 'replyCode:s replyText:S classId:s methodId:s'
const BIND = 'ticket:s queue:S exchange:S routingKey:S'
const E2E = 'ticket:s destination:S source:S routingKey:S nowait:b arguments:T'
const METHODS: readonly MethodLayout[] = [
  method('connection.start', 10, 10, 'major:o minor:o serverProperties:T mechanisms:X locales:X'),
  method('connection.start-ok', 10, 11, 'clientProperties:T mechanism:S response:X locale:S'),
  method('connection.secure', 10, 20, 'challenge:X'),
  method('connection.secure-ok', 10, 21, 'response:X'),
  method('connection.tune', 10, 30, 'channelMax:s frameMax:l heartbeat:s'),
  method('connection.tune-ok', 10, 31, 'channelMax:s frameMax:l heartbeat:s'),
  method('connection.open', 10, 40, 'virtualHost:S reserved1:S reserved2:b'),
  method('connection.open-ok', 10, 41, 'reserved1:S'),
  method('connection.close', 10, 50, CLOSE),
  method('connection.close-ok', 10, 51, ''),
  method('connection.blocked', 10, 60, 'reason:S'),
  method('connection.unblocked', 10, 61, ''),
  method('connection.update-secret', 10, 70, 'newSecret:X reason:S'),
  method('connection.update-secret-ok', 10, 71, ''),
  method('channel.open', 20, 10, 'reserved1:S'),
  method('channel.open-ok', 20, 11, 'reserved1:X'),
  method('channel.flow', 20, 20, 'active:b'),
  method('channel.flow-ok', 20, 21, 'active:b'),
  method('channel.close', 20, 40, CLOSE),
  method('channel.close-ok', 20, 41, ''),
  method('access.request', 30, 10, 'realm:S exclusive:b passive:b active:b write:b read:b'),
  method('access.request-ok', 30, 11, 'ticket:s'),
  method(
    'exchange.declare',
    40,
    10,
    'ticket:s exchange:S type:S passive:b durable:b autoDelete:b internal:b nowait:b arguments:T',
  ),
  method('exchange.declare-ok', 40, 11, ''),
  method('exchange.delete', 40, 20, 'ticket:s exchange:S ifUnused:b nowait:b'),
  method('exchange.delete-ok', 40, 21, ''),
  method('exchange.bind', 40, 30, E2E),
  method('exchange.bind-ok', 40, 31, ''),
  method('exchange.unbind', 40, 40, E2E),
  method('exchange.unbind-ok', 40, 51, ''),
  method(
    'queue.declare',
    50,
    10,
    'ticket:s queue:S passive:b durable:b exclusive:b autoDelete:b nowait:b arguments:T',
  ),
  method('queue.declare-ok', 50, 11, 'queue:S messageCount:l consumerCount:l'),
  method('queue.bind', 50, 20, `${BIND} nowait:b arguments:T`),
  method('queue.bind-ok', 50, 21, ''),
  method('queue.purge', 50, 30, 'ticket:s queue:S nowait:b'),
  method('queue.purge-ok', 50, 31, 'messageCount:l'),
  method('queue.delete', 50, 40, 'ticket:s queue:S ifUnused:b ifEmpty:b nowait:b'),
  method('queue.delete-ok', 50, 41, 'messageCount:l'),
  method('queue.unbind', 50, 50, `${BIND} arguments:T`),
  method('queue.unbind-ok', 50, 51, ''),
  method('basic.qos', 60, 10, 'prefetchSize:l prefetchCount:s global:b'),
  method('basic.qos-ok', 60, 11, ''),
  method(
    'basic.consume',
    60,
    20,
    'ticket:s queue:S consumerTag:S noLocal:b noAck:b exclusive:b nowait:b arguments:T',
  ),
  method('basic.consume-ok', 60, 21, 'consumerTag:S'),
  method('basic.cancel', 60, 30, 'consumerTag:S nowait:b'),
  method('basic.cancel-ok', 60, 31, 'consumerTag:S'),
  method('basic.publish', 60, 40, 'ticket:s exchange:S routingKey:S mandatory:b immediate:b'),
  method('basic.return', 60, 50, 'replyCode:s replyText:S exchange:S routingKey:S'),
  method(
    'basic.deliver',
    60,
    60,
    'consumerTag:S deliveryTag:q redelivered:b exchange:S routingKey:S',
  ),
  method('basic.get', 60, 70, 'ticket:s queue:S noAck:b'),
  method('basic.get-ok', 60, 71, 'deliveryTag:q redelivered:b exchange:S routingKey:S count:l'),
  method('basic.get-empty', 60, 72, 'reserved1:S'),
  method('basic.ack', 60, 80, 'deliveryTag:q multiple:b'),
  method('basic.reject', 60, 90, 'deliveryTag:q requeue:b'),
  method('basic.recover-async', 60, 100, 'requeue:b'),
  method('basic.recover', 60, 110, 'requeue:b'),
  method('basic.recover-ok', 60, 111, ''),
  method('basic.nack', 60, 120, 'deliveryTag:q multiple:b requeue:b'),
  method('confirm.select', 85, 10, 'nowait:b'),
  method('confirm.select-ok', 85, 11, ''),
  method('tx.select', 90, 10, ''),
  method('tx.select-ok', 90, 11, ''),
  method('tx.commit', 90, 20, ''),
  method('tx.commit-ok', 90, 21, ''),
  method('tx.rollback', 90, 30, ''),
  method('tx.rollback-ok', 90, 31, ''),
]

const propertyLayout: readonly (readonly [keyof Properties, string])[] = [
  ['contentType', 'S'],
  ['contentEncoding', 'S'],
  ['headers', 'T'],
  ['deliveryMode', 'o'],
  ['priority', 'o'],
  ['correlationId', 'S'],
  ['replyTo', 'S'],
  ['expiration', 'S'],
  ['messageId', 'S'],
  ['timestamp', 'q'],
  ['type', 'S'],
  ['userId', 'S'],
  ['appId', 'S'],
  ['clusterId', 'S'],
]

function method(name: string, classId: number, methodId: number, spec: string): MethodLayout {
  const layout = spec
    .split(' ')
    .filter((item) => item !== '')
    .map((item) => {
      const [field = '', kind = ''] = item.split(':')
      return { name: field, kind }
    })
  return { name, classId, methodId, layout }
}

function methodNamed(name: string): MethodLayout {
  const found = METHODS.find((item) => item.name === name)
  if (found === undefined) throw new Error(`no method ${name}`)
  return found
}

function writeField(out: Sink, kind: string, value: FieldValue | undefined): void {
  switch (kind) {
    case 'o':
      return out.u8(Number(value ?? 0))
    case 's':
      return out.u16(Number(value ?? 0))
    case 'l':
      return out.u32(Number(value ?? 0))
    case 'q':
      return out.u64(BigInt((value as number | undefined) ?? 0))
    case 'S':
      return out.shortstr(String(value ?? ''))
    case 'X':
      return out.longstr(bytesOf(value ?? ''))
    case 'T':
      return out.longstr(encodeTableBody((value ?? {}) as FieldTable))
    default:
      throw new Error(`no field kind ${kind}`)
  }
}

function readField(input: Source, kind: string): FieldValue {
  switch (kind) {
    case 'o':
      return input.u8()
    case 's':
      return input.u16()
    case 'l':
      return input.u32()
    case 'q':
      return Number(input.u64())
    case 'S':
      return input.take(input.u8()).toString('utf8')
    case 'X':
      return input.take(input.u32()).toString('utf8')
    case 'T':
      return readTable(new Source(input.take(input.u32())))
    default:
      throw new Error(`no field kind ${kind}`)
  }
}

function writeTableValue(out: Sink, value: FieldValue): void {
  if (value instanceof TypedValue) return writeTypedValue(out, value.letter, value.value)
  if (typeof value === 'string') return writeTypedValue(out, 'S', value)
  if (typeof value === 'boolean') return writeTypedValue(out, 't', value)
  if (typeof value === 'bigint') return writeTypedValue(out, 'l', value)
  if (typeof value === 'number') {
    if (!Number.isInteger(value)) return writeTypedValue(out, 'd', value)
    return writeTypedValue(out, Math.abs(value) < 2 ** 31 ? 'I' : 'l', value)
  }
  if (value === null) return writeTypedValue(out, 'V', value)
  if (value instanceof Uint8Array) return writeTypedValue(out, 'x', value)
  return writeTypedValue(out, Array.isArray(value) ? 'A' : 'F', value)
}

function writeTypedValue(out: Sink, letter: string, value: FieldValue): void {
  out.raw(Buffer.from(letter, 'latin1'))
  const number = (): number => Number(value)
  const sized = (size: number): Buffer => Buffer.alloc(size)
  switch (letter) {
    case 't':
      return out.u8(value === true ? 1 : 0)
    case 'b':
      return out.u8(number() & 0xff)
    case 'B':
      return out.u8(number())
    case 's':
      return out.u16(number() & 0xffff)
    case 'u':
      return out.u16(number())
    case 'I':
      return out.u32(number() >>> 0)
    case 'i':
      return out.u32(number())
    case 'l':
    case 'L':
    case 'T':
      return out.u64(BigInt.asUintN(64, BigInt(value as number)))
    case 'f': {
      const four = sized(4)
      four.writeFloatBE(number())
      return out.raw(four)
    }
    case 'd': {
      const eight = sized(8)
      eight.writeDoubleBE(number())
      return out.raw(eight)
    }
    case 'S':
    case 'x':
      return out.longstr(bytesOf(value))
    case 'F':
      return out.longstr(encodeTableBody(value as FieldTable))
    case 'A': {
      const items = new Sink()
      for (const item of value as readonly FieldValue[]) writeTableValue(items, item)
      return out.longstr(items.bytes())
    }
    case 'V':
      return
    default:
      throw new Error(`cannot write table value of type ${letter}`)
  }
}

function readTable(input: Source): FieldTable {
  const table: Record<string, FieldValue> = {}
  while (input.left() > 0) {
    const key = input.take(input.u8()).toString('utf8')
    table[key] = readTableValue(input)
  }
  return table
}

function readTableValue(input: Source): FieldValue {
  const letter = String.fromCharCode(input.u8())
  switch (letter) {
    case 't':
      return input.u8() !== 0
    case 'b':
      return input.take(1).readInt8()
    case 'B':
      return input.u8()
    case 's':
      return input.take(2).readInt16BE()
    case 'u':
      return input.u16()
    case 'I':
      return input.take(4).readInt32BE()
    case 'i':
      return input.u32()
    case 'l':
    case 'L':
      return Number(input.take(8).readBigInt64BE())
    case 'T':
      return Number(input.u64())
    case 'f':
      return input.take(4).readFloatBE()
    case 'd':
      return input.take(8).readDoubleBE()
    case 'S':
      return input.take(input.u32()).toString('utf8')
    case 'x':
      return input.take(input.u32())
    case 'F':
      return readTable(new Source(input.take(input.u32())))
    case 'A': {
      const items = new Source(input.take(input.u32()))
      const list: FieldValue[] = []
      while (items.left() > 0) list.push(readTableValue(items))
      return list
    }
    case 'V':
      return null
    default:
      throw new Error(`cannot read table value of type ${letter}`)
  }
}

function bytesOf(value: FieldValue): Buffer {
  return value instanceof Uint8Array ? Buffer.from(value) : Buffer.from(String(value), 'utf8')
}

class Sink {
  readonly #parts: Buffer[] = []

  raw(bytes: Uint8Array): void {
    this.#parts.push(Buffer.from(bytes))
  }

  u8(value: number): void {
    this.raw(Uint8Array.of(value))
  }

  u16(value: number): void {
    const bytes = Buffer.alloc(2)
    bytes.writeUInt16BE(value)
    this.raw(bytes)
  }

  u32(value: number): void {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(value)
    this.raw(bytes)
  }

  u64(value: bigint): void {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64BE(value)
    this.raw(bytes)
  }

  shortstr(value: string): void {
    const bytes = Buffer.from(value, 'utf8')
    this.u8(bytes.length)
    this.raw(bytes)
  }

  longstr(bytes: Uint8Array): void {
    this.u32(bytes.length)
    this.raw(bytes)
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts)
  }
}

class Source {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  left(): number {
    return this.#bytes.length - this.#at
  }

  take(size: number): Buffer {
    if (size > this.left()) throw new Error('field runs past the end of its frame')
    this.#at += size
    return this.#bytes.subarray(this.#at - size, this.#at)
  }

  u8(): number {
    return this.take(1).readUInt8()
  }

  u16(): number {
    return this.take(2).readUInt16BE()
  }

  u32(): number {
    return this.take(4).readUInt32BE()
  }

  u64(): bigint {
    return this.take(8).readBigUInt64BE()
  }
}
