// The filter set of a source: what of it is understood, as arguments of a consumer and as a filter
// over messages.

import type { FieldEntry, FieldValue } from '../../../../shared/message/value.ts'
import type { AmqpMap, AmqpValue } from '../../codec/value.ts'
import { integerOf, textOf } from '../../codec/value.ts'
import type { MessageFilter } from './message-filter.ts'
import { allOf } from './message-filter.ts'
import type { FilteredSection, PropertyFilter } from './property-filter.ts'
import { parsePropertyFilter } from './property-filter.ts'
import { parseSqlFilter } from './sql-filter.ts'

export interface ParsedFilter {
  readonly arguments: readonly FieldEntry[]
  /** Which messages are wanted; undefined: all. */
  readonly messages: MessageFilter | undefined
  /** The filters in place: the client compares them with those that it asked for. */
  readonly effective: AmqpMap | undefined
}

/**
 * Reads a filter set. Filters that are not understood are left out, not refused; so are a second one
 * of a section, and property filters beside an SQL expression: what is last in the map is taken.
 */
export function parseFilter(filter: AmqpMap | undefined): ParsedFilter {
  const table: FieldEntry[] = []
  const effective: (readonly [AmqpValue, AmqpValue])[] = []
  const properties: PropertyFilter[] = []
  let sql: MessageFilter | undefined
  // From the end, as RabbitMQ goes through it.
  for (const entry of [...(filter ?? [])].reverse()) {
    const [key, value] = entry
    if (value.type !== 'described') continue
    const argument = argumentOf(value.descriptor, value.value)
    if (argument !== undefined) table.unshift(argument)
    else if (textOf(key) === 'sql-filter') {
      const found = sqlOf(value.descriptor, value.value)
      if (found === undefined || sql !== undefined || properties.length > 0) continue
      sql = found
    } else {
      const found = propertyFilterOf(value.descriptor, value.value)
      if (found === undefined || sql !== undefined) continue
      if (properties.some(({ section }) => section === found.section)) continue
      properties.push(found)
    }
    effective.unshift(entry)
  }
  return {
    arguments: table,
    messages: sql ?? (properties.length > 0 ? allOf(properties) : undefined),
    effective: filter === undefined ? undefined : effective,
  }
}

function sqlOf(descriptor: AmqpValue, value: AmqpValue): MessageFilter | undefined {
  const known = textOf(descriptor) === 'amqp:sql-filter' || integerOf(descriptor) === 0x120
  return known && value.type === 'utf8' ? parseSqlFilter(value.value) : undefined
}

function propertyFilterOf(descriptor: AmqpValue, value: AmqpValue): PropertyFilter | undefined {
  const section = SECTIONS.get(textOf(descriptor) ?? integerOf(descriptor) ?? '')
  if (section === undefined || value.type !== 'map') return undefined
  return parsePropertyFilter(section, value.value)
}

const SECTIONS: ReadonlyMap<string | number, FilteredSection> = new Map<
  string | number,
  FilteredSection
>([
  ['amqp:properties-filter', 'properties'],
  [0x173, 'properties'],
  ['amqp:application-properties-filter', 'application'],
  [0x174, 'application'],
])

function argumentOf(descriptor: AmqpValue, value: AmqpValue): FieldEntry | undefined {
  switch (textOf(descriptor)) {
    case 'rabbitmq:stream-offset-spec': {
      const offset = offsetOf(value)
      return offset === undefined ? undefined : ['x-stream-offset', offset]
    }
    case 'rabbitmq:stream-filter': {
      const values = value.type === 'list' || value.type === 'array' ? value.value : [value]
      const texts = values.map((each) => textOf(each))
      if (texts.length === 0 || texts.includes(undefined)) return undefined
      const fields = texts.map((each): FieldValue => ({ type: 'S', value: each ?? '' }))
      return ['x-stream-filter', { type: 'A', value: fields }]
    }
    case 'rabbitmq:stream-match-unfiltered':
      if (value.type !== 'boolean') return undefined
      return ['x-stream-match-unfiltered', { type: 't', value: value.value }]
    default:
      return undefined
  }
}

function offsetOf(value: AmqpValue): FieldValue | undefined {
  const text = textOf(value)
  if (text !== undefined) {
    return OFFSETS.test(text) ? { type: 'S', value: text } : undefined
  }
  if (value.type === 'timestamp') {
    return { type: 'T', value: Math.floor(Number(value.value) / 1000) }
  }
  const offset = integerOf(value)
  return offset === undefined || offset < 0 ? undefined : { type: 'l', value: offset }
}

/** Names, and intervals as RabbitMQ writes them. */
const OFFSETS = /^(?:first|last|next|\d+[YMDhms])$/
