// Properties between MQTT 5 and AMQP 0-9-1, as RabbitMQ 4 maps them.
//
//   content type       content_type, where it is ASCII and a shortstr
//   correlation data   correlation_id, where it is UTF-8 and a shortstr, else header x-correlation-id
//   response topic     header x-reply-to-topic, as a routing key; from AMQP 1.0 also a reply-to that is
//                      an address of amq.topic
//   message expiry     expiration, in milliseconds
//   user properties    headers, sorted, each name once

import { Buffer } from 'node:buffer'
import { decodeUtf8, decodeUtf8Lossy, encodeUtf8 } from '../../../shared/bytes/utf8.ts'
import { Writer } from '../../../shared/bytes/writer.ts'
import { foldTopic } from '../../../shared/message/native-part.ts'
import type { BasicProperties } from '../../../shared/message/properties.ts'
import { encodeProperties } from '../../../shared/message/properties.ts'
import type { FieldEntry, FieldValue } from '../../../shared/message/value.ts'
import { PropertyId } from '../codec/constants.ts'
import type { PropertyScan } from '../codec/property-scan.ts'

const shortstrMax = 255
const correlationHeader = 'x-correlation-id'
const replyHeader = 'x-reply-to-topic'

/** The 0-9-1 properties of a publish whose properties `scan` has scanned in `bytes[at, at + size)`. */
export function basicProperties(
  bytes: Uint8Array,
  at: number,
  size: number,
  scan: PropertyScan,
  deliveryMode: number,
): { readonly encoded: Uint8Array; readonly hasHeaders: boolean } {
  const headers: FieldEntry[] = []
  const contentType = contentTypeOf(bytes, scan)
  const correlationId = correlationOf(bytes, scan, headers)
  if (scan.responseTopicAt >= 0) {
    const from = scan.responseTopicAt
    const topic = decodeUtf8Lossy(bytes, from, from + scan.responseTopicSize)
    headers.push([replyHeader, { type: 'S', value: foldTopic(topic) }])
  }
  if (scan.userPropertyCount > 0) addUserProperties(bytes, at, size, headers)
  const expiration = scan.expirySeconds < 0 ? undefined : String(scan.expirySeconds * 1000)
  const properties: BasicProperties = {
    deliveryMode,
    ...(contentType === undefined ? {} : { contentType }),
    ...(headers.length === 0 ? {} : { headers }),
    ...(correlationId === undefined ? {} : { correlationId }),
    ...(expiration === undefined ? {} : { expiration }),
  }
  return { encoded: encodeProperties(properties), hasHeaders: headers.length > 0 }
}

/** The MQTT 5 properties, without message expiry, of a message that another protocol published. */
export function mqttProperties(properties: BasicProperties): Uint8Array {
  const writer = new Writer(64)
  const { contentType, correlationId, replyTo, headers = [] } = properties
  if (contentType !== undefined) writeText(writer, PropertyId.contentType, encodeUtf8(contentType))
  const reply = textValue(headers.find(([key]) => key === replyHeader)?.[1]) ?? topicOf(replyTo)
  if (reply !== undefined && !/[#+*]/.test(reply)) {
    writeText(writer, PropertyId.responseTopic, encodeUtf8(unfoldTopic(reply)))
  }
  const correlation = headers.find(([key]) => key === correlationHeader)?.[1]
  if (correlation !== undefined && (correlation.type === 'S' || correlation.type === 'x')) {
    const { value } = correlation
    const data = typeof value === 'string' ? encodeUtf8(value) : value
    writeText(writer, PropertyId.correlationData, data)
  } else if (correlationId !== undefined) {
    writeText(writer, PropertyId.correlationData, encodeUtf8(correlationId))
  }
  for (const [key, field] of headers) {
    if (key === replyHeader || key === correlationHeader) continue
    const value = textValue(field)
    if (value === undefined || !isMqttText(key) || !isMqttText(value)) continue
    writeText(writer, PropertyId.userProperty, encodeUtf8(key))
    writeSized(writer, encodeUtf8(value))
  }
  return writer.finish()
}

/** The routing key in an AMQP 1.0 address of the topic exchange. */
function topicOf(replyTo: string | undefined): string | undefined {
  if (replyTo?.startsWith(topicAddress) !== true) return undefined
  try {
    return decodeURIComponent(replyTo.slice(topicAddress.length))
  } catch {
    return undefined
  }
}

const topicAddress = '/exchanges/amq.topic/'

/** A topic from a routing key. */
export function unfoldTopic(key: string): string {
  return key.replaceAll('.', '/')
}

function contentTypeOf(bytes: Uint8Array, scan: PropertyScan): string | undefined {
  const { contentTypeAt: from, contentTypeSize: size } = scan
  if (from < 0 || size > shortstrMax) return undefined
  for (let i = from; i < from + size; i++) if ((bytes[i] as number) > 127) return undefined
  return decodeUtf8Lossy(bytes, from, from + size)
}

function correlationOf(
  bytes: Uint8Array,
  scan: PropertyScan,
  headers: FieldEntry[],
): string | undefined {
  const { correlationAt: from, correlationSize: size } = scan
  if (from < 0) return undefined
  const text = size > shortstrMax ? undefined : decodeUtf8(bytes, from, from + size)
  if (text !== undefined) return text
  const value = new Uint8Array(bytes.subarray(from, from + size))
  headers.push([correlationHeader, { type: 'S', value }])
  return undefined
}

/** Walks the (checked) properties for their pairs. */
function addUserProperties(
  bytes: Uint8Array,
  at: number,
  size: number,
  headers: FieldEntry[],
): void {
  const found = new Map<string, FieldValue>()
  let to = at
  const end = at + size
  const text = (): string => {
    const length = ((bytes[to] as number) << 8) | (bytes[to + 1] as number)
    const from = to + 2
    to = from + length
    return decodeUtf8Lossy(bytes, from, to)
  }
  while (to < end) {
    const id = bytes[to++] as number
    if (id === PropertyId.userProperty) {
      const key = text()
      const value = text()
      if (Buffer.byteLength(key) <= shortstrMax && !found.has(key)) {
        found.set(key, { type: 'S', value })
      }
    } else if (id === PropertyId.payloadFormat) to += 1
    else if (id === PropertyId.messageExpiry) to += 4
    else if (id === PropertyId.topicAlias) to += 2
    else text()
  }
  const sorted = [...found].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  for (const [key, value] of sorted) headers.push([key, value])
}

/** A header as text; tables, arrays and nothing have none. */
function textValue(field: FieldValue | undefined): string | undefined {
  if (field === undefined) return undefined
  switch (field.type) {
    case 'S':
      return typeof field.value === 'string' ? field.value : undefined
    case 't':
      return field.value ? 'true' : 'false'
    case 'x':
    case 'A':
    case 'F':
    case 'V':
    case 'D':
      return undefined
    default:
      return String(field.value)
  }
}

function isMqttText(text: string): boolean {
  return !text.includes('\0') && Buffer.byteLength(text) <= 65535
}

function writeText(writer: Writer, id: number, bytes: Uint8Array): void {
  if (bytes.length > 65535) return
  writer.u8(id)
  writeSized(writer, bytes)
}

function writeSized(writer: Writer, bytes: Uint8Array): void {
  writer.u16(bytes.length)
  writer.raw(bytes)
}
