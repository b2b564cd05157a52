// Requests and responses of management: HTTP over AMQP (a message's properties are the request line).

import { Writer } from '../../../shared/bytes/writer.ts'
import { SectionScan } from '../codec/sections.ts'
import { Descriptor } from '../codec/spec.ts'
import type { AmqpValue } from '../codec/value.ts'
import { NULL, stringMap, textOf, utf8 } from '../codec/value.ts'
import { decodeValue, ValueReader } from '../codec/value-reader.ts'
import { unquote } from './address.ts'
import { writeSection } from './foreign-message.ts'

export interface ManagementRequest {
  readonly messageId: AmqpValue
  /** GET, PUT, ... */
  readonly method: string
  /** The parts of the path, still percent-encoded. */
  readonly path: readonly string[]
  readonly query: ReadonlyMap<string, string>
  /** Null where there is none. */
  readonly body: AmqpValue
}

export interface ManagementResponse {
  readonly status: number
  readonly body: AmqpValue
}

/** A request that can't be carried out, with the text for the client. */
export function failure(status: number, text: string): ManagementResponse {
  return { status, body: utf8(text) }
}

/** Reads a request. Undefined where message-id, target or method are not there; DecodeError for no message. */
export function readRequest(bytes: Uint8Array): ManagementRequest | undefined {
  const scan = new SectionScan()
  scan.scan(bytes, 0, bytes.length)
  if (scan.propertiesAt < 0) return undefined
  const section = decodeValue(bytes, scan.propertiesAt, scan.propertiesEnd)
  if (section.type !== 'described' || section.value.type !== 'list') return undefined
  const [messageId = NULL, , to, subject] = section.value.value
  const target = textOf(to)
  const method = textOf(subject)
  if (target === undefined || method === undefined) return undefined
  const [path = '', query = ''] = target.split('?')
  return {
    messageId,
    method,
    path: path.split('/').slice(1),
    query: queryOf(query),
    body: bodyOf(bytes, scan),
  }
}

/** The bytes of a response. */
export function encodeResponse(
  messageId: AmqpValue,
  { status, body }: ManagementResponse,
): Uint8Array {
  const writer = new Writer(256)
  const properties: AmqpValue[] = [NULL, NULL, NULL, utf8(String(status)), NULL, messageId]
  writeSection(writer, Descriptor.properties, { type: 'list', value: properties })
  writeSection(
    writer,
    Descriptor.applicationProperties,
    stringMap({ 'http:response': utf8('1.1') }),
  )
  writeSection(writer, Descriptor.value, body)
  return writer.finish()
}

function bodyOf(bytes: Uint8Array, scan: SectionScan): AmqpValue {
  if (scan.bodyCode !== Descriptor.value) return NULL
  const section = new ValueReader(bytes, scan.bodyAt, scan.bodyEnd).read()
  return section.type === 'described' ? section.value : NULL
}

function queryOf(text: string): Map<string, string> {
  const query = new Map<string, string>()
  for (const part of text.split('&')) {
    const [name = '', value = ''] = part.split('=')
    const plain = unquote(value.replaceAll('+', ' '))
    if (name !== '' && plain !== undefined) query.set(name, plain)
  }
  return query
}
