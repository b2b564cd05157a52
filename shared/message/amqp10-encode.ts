// 0-9-1 keys and properties as the sections of AMQP 1.0 that come before a body. What a publisher of
// AMQP 1.0 said itself is in the entry's native part, and goes out as it came in:
//
//   form u8 | layout u8 | size u32, annotations section | size u32, properties and application
//   properties sections | ...          layout 2: the body region holds encoded sections

import type { Buffer } from 'node:buffer'
import { EntryForm } from '../bus/wire.ts'
import { decodeUtf8Lossy, encodeUtf8 } from '../bytes/utf8.ts'
import { Writer } from '../bytes/writer.ts'
import {
  writeAmqp10Binary,
  writeAmqp10Map,
  writeAmqp10Symbol,
  writeAmqp10Text,
  writeAmqp10Value,
  writeCompound,
} from './amqp10-value.ts'
import type { BasicProperties } from './properties.ts'
import { decodeProperties } from './properties.ts'
import type { FieldEntry, FieldTable, FieldValue } from './value.ts'
import { fieldOf, textField } from './value.ts'

/** Layout of native parts whose body region holds encoded sections. */
export const encodedLayout = 2
/** Type of messages whose body is encoded sections. */
export const encodedBodyType = 'amqp-1.0'
/** Header that says what a chunk's Bloom filter is made of. */
export const filterHeader = 'x-stream-filter-value'

/** What comes before the body of a message. */
export interface Amqp10Sections {
  readonly head: Uint8Array
  readonly bodyEncoded: boolean
  readonly filter: Uint8Array
}

/** `bytes[at..]` holds exchange and routing key, then the extra region, then the properties. */
export function amqp10Sections(
  bytes: Buffer,
  at: number,
  exrkSize: number,
  extraSize: number,
  propsSize: number,
): Amqp10Sections {
  const properties = decodeProperties(bytes, at + exrkSize + extraSize, propsSize)
  const headers = properties.headers ?? []
  const keyAt = at + 1 + (bytes[at] as number)
  const exchange = decodeUtf8Lossy(bytes, at + 1, keyAt)
  const key = decodeUtf8Lossy(bytes, keyAt + 1, at + exrkSize)
  const writer = new Writer(256)
  const native = nativeOf(bytes, at + exrkSize, extraSize)
  writeHeader(writer, properties)
  writeAnnotations(writer, exchange, key, properties, headers)
  if (native === undefined) {
    writeProperties(writer, properties)
    writeApplicationProperties(writer, headers)
  } else writer.raw(native.bare)
  const filter = fieldOf(headers, filterHeader)
  return {
    head: writer.finish(),
    bodyEncoded: native?.bodyEncoded ?? properties.type === encodedBodyType,
    filter: filter?.type === 'S' ? bytesOf(filter.value) : new Uint8Array(0),
  }
}

/** The native part of AMQP 1.0 in an extra region, if it has one. */
function nativeOf(
  bytes: Buffer,
  at: number,
  size: number,
): { readonly bare: Buffer; readonly bodyEncoded: boolean } | undefined {
  if (size === 0) return undefined
  let to = at + 1
  for (let keys = bytes[at] as number; keys > 0; keys--) to += 1 + (bytes[to] as number)
  if (to >= at + size || bytes[to] !== EntryForm.amqp10) return undefined
  const bodyEncoded = bytes[to + 1] === encodedLayout
  const bareAt = to + 6 + bytes.readUInt32BE(to + 2)
  const bareSize = bytes.readUInt32BE(bareAt)
  return { bare: bytes.subarray(bareAt + 4, bareAt + 4 + bareSize), bodyEncoded }
}

function writeApplicationProperties(writer: Writer, headers: FieldTable): void {
  const plain = headers.filter(([name, value]) => isPlain(name, value))
  if (plain.length === 0) return
  section(writer, 0x74)
  writeAmqp10Map(writer, plain, writeAmqp10Text)
}

function section(writer: Writer, code: number): void {
  writer.u8(0)
  writer.u8(0x53)
  writer.u8(code)
}

// durable, priority, ttl, first-acquirer, delivery-count
function writeHeader(
  writer: Writer,
  { deliveryMode, priority, expiration }: BasicProperties,
): void {
  section(writer, 0x70)
  writeCompound(writer, 0xd0, 5, () => {
    writer.u8(deliveryMode === 2 ? 0x41 : 0x42)
    if (priority === undefined) writer.u8(0x40)
    else {
      writer.u8(0x50)
      writer.u8(priority)
    }
    const ttl = expiration === undefined ? Number.NaN : Number(expiration)
    if (Number.isInteger(ttl) && ttl >= 0 && ttl <= 0xffffffff) {
      writer.u8(0x70)
      writer.u32(ttl)
    } else writer.u8(0x40)
    writer.u8(0x41)
    writer.u8(0x43)
  })
}

function writeAnnotations(
  writer: Writer,
  exchange: string,
  key: string,
  { type }: BasicProperties,
  headers: FieldTable,
): void {
  const annotations: FieldEntry[] = [
    ['x-exchange', textField(exchange)],
    ['x-routing-key', textField(key)],
  ]
  if (type !== undefined) annotations.push(['x-basic-type', textField(type)])
  for (const [name, value] of headers) {
    if (name.startsWith('x-')) annotations.push([name, value])
    else if (name === 'CC' && value.type === 'A') annotations.push(['x-cc', value])
  }
  section(writer, 0x72)
  writeAmqp10Map(writer, annotations, writeAmqp10Symbol)
}

// message-id, user-id, to, subject, reply-to, correlation-id, content-type, content-encoding,
// absolute-expiry-time, creation-time, group-id
function writeProperties(writer: Writer, properties: BasicProperties): void {
  const { messageId, userId, replyTo, correlationId, contentType, contentEncoding } = properties
  const { timestamp, appId } = properties
  const fields: ((writer: Writer) => void)[] = [
    idWriter(messageId),
    userId === undefined ? writeNull : (to) => writeAmqp10Binary(to, encodeUtf8(userId)),
    writeNull,
    writeNull,
    replyTo === undefined
      ? writeNull
      : (to) => writeAmqp10Text(to, `/queues/${encodeURIComponent(replyTo)}`),
    idWriter(correlationId),
    contentType === undefined ? writeNull : (to) => writeAmqp10Symbol(to, contentType),
    contentEncoding === undefined ? writeNull : (to) => writeAmqp10Symbol(to, contentEncoding),
    writeNull,
    timestamp === undefined
      ? writeNull
      : (to) => writeAmqp10Value(to, { type: 'T', value: timestamp }),
    appId === undefined ? writeNull : (to) => writeAmqp10Text(to, appId),
  ]
  while (fields.length > 0 && fields[fields.length - 1] === writeNull) fields.pop()
  if (fields.length === 0) return
  section(writer, 0x73)
  writeCompound(writer, 0xd0, fields.length, () => {
    for (const write of fields) write(writer)
  })
}

function writeNull(writer: Writer): void {
  writer.u8(0x40)
}

function idWriter(id: string | undefined): (writer: Writer) => void {
  if (id === undefined) return writeNull
  const uuid = /^urn:uuid:([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$/i.exec(id)
  const hex = uuid?.[1]?.replaceAll('-', '')
  if (hex === undefined) return (writer) => writeAmqp10Text(writer, id)
  return (writer) => {
    writer.u8(0x98)
    for (let i = 0; i < 32; i += 2) writer.u8(Number.parseInt(hex.slice(i, i + 2), 16))
  }
}

function isPlain(name: string, value: FieldValue): boolean {
  return !name.startsWith('x-') && value.type !== 'A' && value.type !== 'F'
}

function bytesOf(value: string | Uint8Array): Uint8Array {
  return typeof value === 'string' ? encodeUtf8(value) : value
}
