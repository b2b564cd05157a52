// The bodies of management: queues, exchanges and bindings as maps.

import { createHash } from 'node:crypto'
import { Writer } from '../../../shared/bytes/writer.ts'
import { writeTable } from '../../../shared/message/field-table.ts'
import type { FieldTable } from '../../../shared/message/value.ts'
import type { AmqpValue } from '../codec/value.ts'
import { bool, stringMap, uint, ulong, utf8 } from '../codec/value.ts'
import { quote, unquote } from './address.ts'
import { toStringMap, toTable } from './fields.ts'

/** What a field of a body may be. */
type FieldKind = 'boolean' | 'text' | 'table'

/** The fields of a body by name; a text says what is wrong with it. */
export type BodyFields = Readonly<Record<string, boolean | string | FieldTable>>

const QUEUE: Readonly<Record<string, FieldKind>> = {
  durable: 'boolean',
  exclusive: 'boolean',
  auto_delete: 'boolean',
  arguments: 'table',
}

const EXCHANGE: Readonly<Record<string, FieldKind>> = {
  type: 'text',
  durable: 'boolean',
  auto_delete: 'boolean',
  internal: 'boolean',
  arguments: 'table',
}

const BINDING: Readonly<Record<string, FieldKind>> = {
  source: 'text',
  destination_queue: 'text',
  destination_exchange: 'text',
  binding_key: 'text',
  arguments: 'table',
}

export function readQueue(body: AmqpValue): BodyFields | string {
  return readFields(body, QUEUE, 'queue property')
}

export function readExchange(body: AmqpValue): BodyFields | string {
  return readFields(body, EXCHANGE, 'exchange property')
}

export function readBinding(body: AmqpValue): BodyFields | string {
  return readFields(body, BINDING, 'binding field')
}

function readFields(
  body: AmqpValue,
  kinds: Readonly<Record<string, FieldKind>>,
  what: string,
): BodyFields | string {
  if (body.type !== 'map') return `expected a map, got ${body.type}`
  const fields: Record<string, boolean | string | FieldTable> = {}
  for (const [key, value] of body.value) {
    const name = key.type === 'utf8' ? key.value : ''
    const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined
    if (kind === 'boolean' && value.type === 'boolean') fields[name] = value.value
    else if (kind === 'text' && value.type === 'utf8') fields[name] = value.value
    else if (kind === 'table' && value.type === 'map') {
      const odd = value.value.find(([each]) => each.type !== 'utf8' && each.type !== 'symbol')
      if (odd !== undefined) return `unsupported argument ${String(odd[0].value)}`
      fields[name] = toTable(value.value)
    } else return `bad ${what} ${String(key.value)}`
  }
  return fields
}

export function flagIn(fields: BodyFields, name: string, preset: boolean): boolean {
  const value = fields[name]
  return typeof value === 'boolean' ? value : preset
}

export function textIn(fields: BodyFields, name: string): string | undefined {
  const value = fields[name]
  return typeof value === 'string' ? value : undefined
}

export function tableIn(fields: BodyFields, name: string): FieldTable {
  const value = fields[name]
  return Array.isArray(value) ? (value as FieldTable) : []
}

/** A queue as its owner shard describes it (op describeQueue). */
export function queueBody(
  queue: Readonly<Record<string, unknown>>,
  vhost: string,
  node: string,
): AmqpValue {
  const text = (name: string): AmqpValue => utf8(String(queue[name]))
  return stringMap({
    leader: utf8(node),
    message_count: ulong(Number(queue['messages'])),
    consumer_count: uint(Number(queue['consumers'])),
    name: text('name'),
    vhost: utf8(vhost),
    durable: bool(queue['durable'] === true),
    auto_delete: bool(queue['autoDelete'] === true),
    exclusive: bool(queue['exclusive'] === true),
    type: text('type'),
    arguments: toStringMap(queue['arguments'] as FieldTable),
    replicas: { type: 'array', element: 0xb1, value: [utf8(node)] },
  })
}

export function countBody(messages: unknown): AmqpValue {
  return stringMap({ message_count: ulong(Number(messages ?? 0)) })
}

/** What a binding joins. */
export interface BindingEnds {
  readonly source: string
  readonly destination: string
  readonly destinationKind: 'queue' | 'exchange'
  readonly routingKey: string
}

/** A binding as it is listed. */
export function bindingBody(ends: BindingEnds, table: FieldTable): AmqpValue {
  return stringMap({
    source: utf8(ends.source),
    [`destination_${ends.destinationKind}`]: utf8(ends.destination),
    binding_key: utf8(ends.routingKey),
    arguments: toStringMap(table),
    location: utf8(bindingLocation(ends, table)),
  })
}

/** The path of a binding, by which it is deleted. */
export function bindingLocation(ends: BindingEnds, table: FieldTable): string {
  const kind = ends.destinationKind === 'queue' ? 'q' : 'e'
  const [source, destination, key] = [ends.source, ends.destination, ends.routingKey].map(quote)
  return `/bindings/src=${source};dst${kind}=${destination};key=${key};args=${hashOf(table)}`
}

/** A binding's path, read; undefined where it is none. */
export function readLocation(
  segment: string,
): (BindingEnds & { readonly hash: string }) | undefined {
  const match = LOCATION.exec(segment)
  if (match === null) return undefined
  const [, src = '', kind, dst = '', key = '', hash = ''] = match
  const [source, destination, routingKey] = [src, dst, key].map(unquote)
  if (source === undefined || destination === undefined || routingKey === undefined)
    return undefined
  const destinationKind = kind === 'q' ? 'queue' : 'exchange'
  return { source, destination, destinationKind, routingKey, hash }
}

/** Tells arguments apart; empty for none. Only ever compared with what this has made. */
export function hashOf(table: FieldTable): string {
  if (table.length === 0) return ''
  const writer = new Writer(256)
  writeTable(
    writer,
    [...table].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)),
  )
  return createHash('sha256').update(writer.finish()).digest('base64url').slice(0, 12)
}

/** A list of maps. */
export function listBody(values: readonly AmqpValue[]): AmqpValue {
  return { type: 'list', value: values }
}

const LOCATION = /^src=([\w\-.~%]+);dst([eq])=([\w\-.~%]+);key=([\w\-.~%]*);args=([\w-]*)$/
