// The sections of a message that no 1.0 client published, from its 0-9-1 properties.

import { decodeUtf8 } from '../../../shared/bytes/utf8.ts'
import { Writer } from '../../../shared/bytes/writer.ts'
import { decodeProperties } from '../../../shared/message/properties.ts'
import type { FieldTable, FieldValue } from '../../../shared/message/value.ts'
import { fieldOf, textOf as fieldText } from '../../../shared/message/value.ts'
import { Descriptor } from '../codec/spec.ts'
import type { AmqpMap, AmqpValue } from '../codec/value.ts'
import { binary, map, NULL, symbol, ulong, utf8 } from '../codec/value.ts'
import { writeValue } from '../codec/value-writer.ts'
import { queueAddress } from './address.ts'
import { toAmqp } from './fields.ts'

/** The parts that do not depend on the delivery. */
export interface ForeignSections {
  readonly durable: boolean
  /** -1 where there is none. */
  readonly priority: number
  readonly ttl: number
  /** Entries of message-annotations, encoded one behind the other, and how many values that are. */
  readonly annotations: Uint8Array
  readonly annotationValues: number
  /** properties and application-properties. */
  readonly bare: Uint8Array
  /** The body is 1.0 sections already. */
  readonly encoded: boolean
  /** The broker has dead-lettered it. */
  readonly died: boolean
}

/** Converts the properties in `bytes[at..at + size)`. */
export function convertForeign(bytes: Uint8Array, at: number, size: number): ForeignSections {
  const properties = decodeProperties(bytes, at, size)
  const headers = properties.headers ?? []
  const annotations = annotationsOf(headers)
  if (properties.type !== undefined) {
    annotations.push([symbol('x-basic-type'), utf8(properties.type)])
  }
  const { timestamp, userId, replyTo, contentType, contentEncoding, appId } = properties
  const fields: AmqpValue[] = [
    idOf(properties.messageId) ?? longId(headers, 'x-message-id'),
    userId === undefined ? NULL : binary(Buffer.from(userId)),
    NULL,
    NULL,
    replyTo === undefined ? topicAddress(headers) : utf8(replyAddress(replyTo)),
    idOf(properties.correlationId) ?? longId(headers, 'x-correlation-id'),
    contentType === undefined ? NULL : symbol(contentType),
    contentEncoding === undefined ? NULL : symbol(contentEncoding),
    NULL,
    timestamp === undefined ? NULL : toAmqp({ type: 'T', value: timestamp }),
    appId === undefined ? NULL : utf8(appId),
  ]
  const application: AmqpMap = headers
    .filter(([key, value]) => isApplication(key, value))
    .map(([key, value]) => [utf8(key), toAmqp(value)])
  const bare = new Writer(256)
  while (fields.at(-1)?.type === 'null') fields.pop()
  if (fields.length > 0) writeSection(bare, Descriptor.properties, { type: 'list', value: fields })
  if (application.length > 0) {
    writeSection(bare, Descriptor.applicationProperties, map(application))
  }
  return {
    durable: properties.deliveryMode === 2,
    priority: properties.priority ?? -1,
    ttl: ttlOf(properties.expiration),
    ...encodeEntries(annotations),
    bare: bare.finish(),
    encoded: properties.type === 'amqp-1.0',
    died: fieldOf(headers, 'x-death') !== undefined,
  }
}

/** Entries of a map, encoded, and how many values (keys count) they are. */
export function encodeEntries(entries: AmqpMap): {
  readonly annotations: Uint8Array
  readonly annotationValues: number
} {
  const writer = new Writer(256)
  for (const [key, value] of entries) {
    writeValue(writer, key)
    writeValue(writer, value)
  }
  return { annotations: writer.finish(), annotationValues: entries.length * 2 }
}

/** Message annotations in a header table: what begins with x-, the further keys, the deaths. */
export function annotationsOf(headers: FieldTable): [AmqpValue, AmqpValue][] {
  const entries: [AmqpValue, AmqpValue][] = []
  for (const [key, value] of headers) {
    if (key === 'x-death') entries.push([symbol('x-opt-deaths'), deathsOf(value)])
    else if (key === 'CC' && value.type === 'A') entries.push([symbol('x-cc'), toAmqp(value)])
    else if (key === 'timestamp_in_ms' && value.type === 'l') {
      const time: AmqpValue = { type: 'timestamp', value: value.value }
      entries.push([symbol('x-opt-rabbitmq-received-time'), time])
    } else if (key.startsWith('x-') && !isKept(key)) entries.push([symbol(key), toAmqp(value)])
  }
  return entries
}

/** The array of x-death as 1.0 clients know it: most recent first, times in milliseconds. */
function deathsOf(field: FieldValue): AmqpValue {
  const tables = field.type === 'A' ? field.value : []
  const deaths = tables.flatMap((each) => (each.type === 'F' ? [deathOf(each.value)] : []))
  return { type: 'array', element: 0xd1, value: deaths }
}

function deathOf(table: FieldTable): AmqpValue {
  const text = (key: string): AmqpValue => utf8(fieldText(fieldOf(table, key)) ?? '')
  const time = fieldOf(table, 'time')
  const at: AmqpValue = time?.type === 'T' ? toAmqp(time) : { type: 'timestamp', value: 0 }
  const count = fieldOf(table, 'count')
  const keys = fieldOf(table, 'routing-keys')
  const expiration = fieldText(fieldOf(table, 'original-expiration'))
  const entries: [AmqpValue, AmqpValue][] = [
    [symbol('queue'), text('queue')],
    [symbol('reason'), symbol(fieldText(fieldOf(table, 'reason')) ?? '')],
    [symbol('count'), ulong(count?.type === 'l' ? count.value : 1)],
    [symbol('first-time'), at],
    [symbol('last-time'), at],
    [symbol('exchange'), text('exchange')],
    [
      symbol('routing-keys'),
      {
        type: 'array',
        element: 0xb1,
        value: (keys?.type === 'A' ? keys.value : []).map((key) => utf8(fieldText(key) ?? '')),
      },
    ],
  ]
  if (expiration !== undefined && /^\d+$/.test(expiration)) {
    entries.unshift([
      symbol('ttl'),
      { type: 'uint', value: Math.min(Number(expiration), 0xffff_ffff) },
    ])
  }
  return map(entries)
}

/** Arrays and tables are no application properties (3.2.5), and x- headers are annotations. */
function isApplication(key: string, value: FieldValue): boolean {
  return !key.startsWith('x-') && value.type !== 'A' && value.type !== 'F' && !isKept(key)
}

/** Headers that stand for something else. */
function isKept(key: string): boolean {
  return key === 'x-message-id' || key === 'x-correlation-id' || key === 'timestamp_in_ms'
}

function idOf(text: string | undefined): AmqpValue | undefined {
  if (text === undefined) return undefined
  const hex = urnUuid.exec(text)
  return hex === null
    ? utf8(text)
    : { type: 'uuid', value: Buffer.from(text.slice(9).replaceAll('-', ''), 'hex') }
}

function longId(headers: FieldTable, key: string): AmqpValue {
  const field = fieldOf(headers, key)
  if (field?.type === 'x') return binary(field.value)
  if (field?.type !== 'S') return NULL
  return typeof field.value === 'string' ? utf8(field.value) : binary(field.value)
}

/** The response topic of an MQTT publisher, which is kept as a routing key. */
function topicAddress(headers: FieldTable): AmqpValue {
  const key = fieldText(fieldOf(headers, 'x-reply-to-topic'))
  return key === undefined ? NULL : utf8(`/exchanges/amq.topic/${encodeURIComponent(key)}`)
}

function replyAddress(replyTo: string): string {
  return replyTo.startsWith('/') ? replyTo : queueAddress(replyTo)
}

function ttlOf(expiration: string | undefined): number {
  const ms = expiration === undefined ? -1 : Number.parseInt(expiration, 10)
  return Number.isNaN(ms) || ms < 0 ? -1 : Math.min(ms, 0xffff_ffff)
}

export function writeSection(writer: Writer, code: number, value: AmqpValue): void {
  writeValue(writer, { type: 'described', descriptor: ulong(code), value })
}

/** The digits of a TTL, as in the property; -1 for none. */
export function readTtl(bytes: Uint8Array, at: number, size: number): number {
  return ttlOf(decodeUtf8(bytes, at, at + size))
}

const urnUuid = /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
