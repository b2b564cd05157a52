// The sections of AMQP 1.0 as 0-9-1 keys and properties.

import { Buffer } from 'node:buffer'
import { EntryForm } from '../bus/wire.ts'
import type { Reader } from '../bytes/reader.ts'
import { decodeUtf8 } from '../bytes/utf8.ts'
import { Writer } from '../bytes/writer.ts'
import { encodedBodyType, encodedLayout } from './amqp10-encode.ts'
import { readAmqp10Map, readAmqp10Value, skipAmqp10Value, textOfAmqp10 } from './amqp10-value.ts'
import type { BasicProperties } from './properties.ts'
import { encodeProperties } from './properties.ts'
import type { FieldEntry, FieldTable, FieldValue } from './value.ts'

/** Header with a message's offset in its stream. */
export const offsetHeader = 'x-stream-offset'

/** What was found before and about the body of a message. */
export class Amqp10Head {
  exchange: string | undefined
  routingKey: string | undefined
  bodyAt: number
  bodySize: number
  joined: Buffer | undefined
  /** Where the head ends if a single data section follows and nothing else; else -1. */
  headEnd: number
  /** Where properties and application properties are; -1: there are none. */
  bareAt: number
  bareEnd: number
  readonly headers: FieldEntry[]
  readonly properties: { -readonly [K in keyof BasicProperties]: BasicProperties[K] }

  constructor() {
    this.exchange = undefined
    this.routingKey = undefined
    this.bodyAt = 0
    this.bodySize = 0
    this.joined = undefined
    this.headEnd = -1
    this.bareAt = -1
    this.bareEnd = -1
    this.headers = []
    this.properties = {}
  }

  /**
   * The bytes of keys, native part and properties, with a header for the offset (0 for now) at
   * `offsetAt`. `message`: what the sections were read from.
   */
  finish(
    queue: string,
    message: Uint8Array,
  ): {
    readonly bytes: Uint8Array
    readonly exrkSize: number
    readonly extraSize: number
    readonly offsetAt: number
  } {
    const keys = new Writer(64)
    shortText(keys, this.exchange ?? '')
    shortText(keys, this.routingKey ?? queue)
    const offset: FieldEntry = [offsetHeader, { type: 'l', value: 0 }]
    const others = this.headers.filter(([name]) => name !== offsetHeader)
    const props = encodeProperties({ ...this.properties, headers: [offset, ...others] })
    const exrkSize = keys.at
    if (this.bareAt >= 0 && this.joined === undefined) this.writeNativePart(keys, message)
    const propsAt = keys.at
    keys.raw(props)
    // Behind the size of the table, the key with its length, and the type of the value.
    const offsetAt = propsAt + headersAt(props) + 4 + 1 + offsetHeader.length + 1
    return { bytes: keys.finish(), exrkSize, extraSize: propsAt - exrkSize, offsetAt }
  }

  /** What readers of AMQP 1.0 shall get as it was (see amqp10-encode.ts); annotations come from headers. */
  private writeNativePart(to: Writer, message: Uint8Array): void {
    to.u8(0)
    to.u8(EntryForm.amqp10)
    to.u8(this.properties.type === encodedBodyType ? encodedLayout : 0)
    to.u32(0)
    to.longBytes(message.subarray(this.bareAt, this.bareEnd))
  }
}

/** Reads all sections. Throws DecodeError where they are not well-formed or there is no body. */
export function headFromSections(reader: Reader): Amqp10Head {
  const head = new Amqp10Head()
  const data: Buffer[] = []
  let bodyFrom = -1
  let only = true
  while (reader.left() > 0) {
    const from = reader.at
    const code = descriptor(reader)
    if (code >= 0x75 && code <= 0x77) {
      if (bodyFrom >= 0) only = false
      else bodyFrom = from
      if (code === 0x75) data.push(readData(reader, head))
      else {
        skipAmqp10Value(reader)
        only = false
      }
    } else {
      if (bodyFrom >= 0) only = false
      readSection(reader, code, head)
      if (code === 0x73 || code === 0x74) {
        if (head.bareAt < 0) head.bareAt = from
        head.bareEnd = reader.at
      }
    }
  }
  if (bodyFrom < 0) reader.fail('no body')
  if (data.length === 0) {
    // Values and sequences have no form in 0-9-1: they stay encoded.
    head.bodyAt = bodyFrom
    head.bodySize = reader.at - bodyFrom
    head.properties.type = encodedBodyType
  } else if (data.length > 1) {
    head.joined = Buffer.concat(data)
    head.bodyAt = 0
    head.bodySize = head.joined.length
  }
  if (only) head.headEnd = bodyFrom
  return head
}

/** The descriptor of a section, its numeric code. */
function descriptor(reader: Reader): number {
  if (reader.u8() !== 0) reader.fail('a section was expected')
  const kind = reader.u8()
  if (kind === 0x53) return reader.u8()
  if (kind === 0x80) return reader.u64()
  reader.at--
  const name = textOfAmqp10(readAmqp10Value(reader))
  const code = sectionNames.indexOf(name ?? '')
  return code < 0 ? reader.fail('unknown section') : 0x70 + code
}

const sectionNames: readonly string[] = [
  'amqp:header:list',
  'amqp:delivery-annotations:map',
  'amqp:message-annotations:map',
  'amqp:properties:list',
  'amqp:application-properties:map',
  'amqp:data:binary',
  'amqp:amqp-sequence:list',
  'amqp:amqp-value:*',
  'amqp:footer:map',
]

function readData(reader: Reader, head: Amqp10Head): Buffer {
  const code = reader.u8()
  if (code !== 0xa0 && code !== 0xb0) reader.fail('data was expected')
  const size = code === 0xa0 ? reader.u8() : reader.u32()
  const at = reader.take(size)
  head.bodyAt = at
  head.bodySize = size
  const { bytes } = reader
  return Buffer.from(bytes.buffer, bytes.byteOffset + at, size)
}

function readSection(reader: Reader, code: number, head: Amqp10Head): void {
  if (code === 0x70) readHeader(readList(reader), head)
  else if (code === 0x72) readAnnotations(readAmqp10Map(reader), head)
  else if (code === 0x73) readProperties(readList(reader), head)
  else if (code === 0x74) readApplicationProperties(readAmqp10Map(reader), head)
  else if (code === 0x71 || code === 0x78) skipAmqp10Value(reader)
  else reader.fail('unknown section')
}

type Fields = readonly (FieldValue | undefined)[]

function readList(reader: Reader): Fields {
  if (reader.bytes[reader.at] === 0x45) {
    reader.u8()
    return []
  }
  const value = readAmqp10Value(reader)
  if (value?.type !== 'A') return reader.fail('a list was expected')
  return value.value
}

function readHeader([durable, priority, ttl]: Fields, head: Amqp10Head): void {
  const { properties } = head
  if (durable?.type === 't') properties.deliveryMode = durable.value ? 2 : 1
  if (priority?.type === 'B') properties.priority = priority.value
  if (ttl?.type === 'i') properties.expiration = String(ttl.value)
}

function readAnnotations(annotations: FieldTable, head: Amqp10Head): void {
  for (const [name, value] of annotations) {
    if (name === 'x-exchange') head.exchange = textOfAmqp10(value)
    else if (name === 'x-routing-key') head.routingKey = textOfAmqp10(value)
    else if (name === 'x-basic-type') put(head, 'type', clipped(value))
    else if (name === 'x-cc') head.headers.push(['CC', value])
    else if (name === 'x-opt-rabbitmq-received-time' && value.type === 'T') {
      head.headers.push(['timestamp_in_ms', { type: 'l', value: Number(value.value) * 1000 }])
    } else if (name.startsWith('x-') && !name.startsWith('x-basic-')) {
      head.headers.push([name, value])
    }
  }
}

function readProperties(fields: Fields, head: Amqp10Head): void {
  const [messageId, userId, , , replyTo, correlationId, contentType, contentEncoding] = fields
  put(head, 'messageId', identity(messageId, 'x-message-id', head))
  put(head, 'correlationId', identity(correlationId, 'x-correlation-id', head))
  put(head, 'userId', userId?.type === 'x' ? utf8Of(userId.value) : clipped(userId))
  const address = clipped(replyTo)
  const isQueue = address?.startsWith('/queues/') === true
  put(head, 'replyTo', isQueue ? decoded(address.slice('/queues/'.length)) : address)
  put(head, 'contentType', clipped(contentType))
  put(head, 'contentEncoding', clipped(contentEncoding))
  const created = fields[9]
  if (created?.type === 'T' && created.value >= 0) head.properties.timestamp = created.value
  put(head, 'appId', clipped(fields[10]))
}

function readApplicationProperties(table: FieldTable, head: Amqp10Head): void {
  for (const entry of table) head.headers.push(entry)
}

/** A message id as text; what is too long or no text becomes a header. */
function identity(
  value: FieldValue | undefined,
  header: string,
  head: Amqp10Head,
): string | undefined {
  if (value === undefined || value.type === 'V') return undefined
  if (value.type === 'l') return String(value.value)
  const text = clipped(value)
  if (text !== undefined) return text
  head.headers.push([header, value])
  return undefined
}

type TextProperty = {
  [K in keyof BasicProperties]-?: BasicProperties[K] extends string | undefined ? K : never
}[keyof BasicProperties]

function put(head: Amqp10Head, name: TextProperty, value: string | undefined): void {
  if (value !== undefined) head.properties[name] = value
}

function utf8Of(bytes: Uint8Array): string | undefined {
  return bytes.length <= 255 ? decodeUtf8(bytes, 0, bytes.length) : undefined
}

/** Text that fits a shortstr; undefined for anything else. */
function clipped(value: FieldValue | undefined): string | undefined {
  const text = textOfAmqp10(value)
  return text === undefined || Buffer.byteLength(text) > 255 ? undefined : text
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

function shortText(writer: Writer, text: string): void {
  writer.shortstr(Buffer.byteLength(text) <= 255 ? text : '')
}

/** Position of the header table's size in property bytes that have one. */
function headersAt(props: Uint8Array): number {
  const flags = ((props[0] as number) << 8) | (props[1] as number)
  let at = 2
  if ((flags & 0x8000) !== 0) at += 1 + (props[at] as number)
  if ((flags & 0x4000) !== 0) at += 1 + (props[at] as number)
  return at
}
