// Requests and responses of management: HTTP over AMQP (a message's properties are the request line).

import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import { Writer } from '../../../shared/bytes/writer.ts'
import { Descriptor } from '../codec/spec.ts'
import type { AmqpValue } from '../codec/value.ts'
import { NULL, stringMap, textOf, utf8 } from '../codec/value.ts'
import { ValueReader } from '../codec/value-reader.ts'
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

/**
 * Reads a request. Undefined where message-id, target or method are not there; DecodeError for no
 * message. Sections are taken in any order: Proton writes a body that is null in front of the properties.
 */
export function readRequest(bytes: Uint8Array): ManagementRequest | undefined {
  const values = new ValueReader(bytes)
  let properties: AmqpValue = NULL
  let body: AmqpValue = NULL
  while (!values.done()) {
    const section = values.read()
    if (section.type !== 'described') throw new DecodeError(0, 'not a section')
    const { descriptor, value } = section
    if (isSection(descriptor, Descriptor.properties, 'amqp:properties:list')) properties = value
    else if (isSection(descriptor, Descriptor.value, 'amqp:amqp-value:*')) body = value
  }
  if (properties.type !== 'list') return undefined
  const [messageId = NULL, , to, subject] = properties.value
  const target = textOf(to)
  const method = textOf(subject)
  if (target === undefined || method === undefined) return undefined
  const [path = '', query = ''] = target.split('?')
  return {
    messageId,
    method,
    path: path.split('/').slice(1),
    query: queryOf(query),
    body,
  }
}

function isSection(descriptor: AmqpValue, code: number, name: string): boolean {
  return descriptor.value === code || descriptor.value === name
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

function queryOf(text: string): Map<string, string> {
  const query = new Map<string, string>()
  for (const part of text.split('&')) {
    const [name = '', value = ''] = part.split('=')
    const plain = unquote(value.replaceAll('+', ' '))
    if (name !== '' && plain !== undefined) query.set(name, plain)
  }
  return query
}
