// The filter set of a source: what of it is understood, as arguments of a consumer and as a filter
// over messages.

import type { FieldEntry, FieldValue } from '../../../../shared/message/value.ts'
import type { AmqpMap, AmqpValue } from '../../codec/value.ts'
import { integerOf, textOf } from '../../codec/value.ts'
import { FilterFault } from './filter-fault.ts'
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
  /** The others. */
  readonly faults: readonly FilterProblem[]
}

export interface FilterProblem {
  /** Its key in the set. */
  readonly name: string
  readonly reason: string
}

/**
 * Reads a filter set. Filters that are not understood are left out, not refused (RabbitMQ: its clients
 * look for them in the answer); so are a second one of a section, and property filters beside an SQL
 * expression: what is last in the map is taken.
 */
export function parseFilter(filter: AmqpMap | undefined): ParsedFilter {
  const set = new FilterSet()
  const effective: (readonly [AmqpValue, AmqpValue])[] = []
  const faults: FilterProblem[] = []
  // From the end, as RabbitMQ goes through it.
  for (const entry of [...(filter ?? [])].reverse()) {
    try {
      set.add(entry)
      effective.unshift(entry)
    } catch (error) {
      if (!(error instanceof FilterFault)) throw error
      faults.unshift({ name: String(entry[0].value), reason: error.message })
    }
  }
  return {
    arguments: set.arguments,
    messages: set.messages(),
    effective: filter === undefined ? undefined : effective,
    faults,
  }
}

class FilterSet {
  readonly arguments: FieldEntry[] = []
  private sql: MessageFilter | undefined
  private readonly properties: PropertyFilter[] = []

  add([key, value]: AmqpMap[number]): void {
    if (value.type !== 'described') throw new FilterFault('a filter is a described value')
    const argument = argumentOf(value.descriptor, value.value)
    if (argument !== undefined) this.arguments.unshift(argument)
    else if (textOf(key) === 'sql-filter') this.addSql(value.descriptor, value.value)
    else this.addProperties(value.descriptor, value.value)
  }

  messages(): MessageFilter | undefined {
    return this.sql ?? (this.properties.length > 0 ? allOf(this.properties) : undefined)
  }

  private addSql(descriptor: AmqpValue, value: AmqpValue): void {
    const known = textOf(descriptor) === 'amqp:sql-filter' || integerOf(descriptor) === 0x120
    if (!known) throw new FilterFault('sql-filter is described as amqp:sql-filter')
    if (value.type !== 'utf8') throw new FilterFault('an expression is a string')
    const found = parseSqlFilter(value.value)
    if (this.sql !== undefined || this.properties.length > 0) throw new FilterFault(together)
    this.sql = found
  }

  private addProperties(descriptor: AmqpValue, value: AmqpValue): void {
    const name = textOf(descriptor) ?? integerOf(descriptor) ?? ''
    const section = SECTIONS.get(name)
    if (section === undefined) throw new FilterFault(unknownFilter(name))
    if (value.type !== 'map') throw new FilterFault('a filter of properties is a map')
    const found = parsePropertyFilter(section, value.value)
    if (this.sql !== undefined) throw new FilterFault(together)
    if (this.properties.some((other) => other.section === section)) {
      throw new FilterFault('there is another filter of the same section')
    }
    this.properties.push(found)
  }
}

const together = 'an SQL expression goes with no other filter of messages'

function unknownFilter(name: string | number): string {
  if (name === 'amqp:sql-filter' || name === 0x120) return "its name must be 'sql-filter'"
  return `no filter is described as ${name}`
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
      if (offset === undefined) {
        throw new FilterFault('an offset is first, last, next, an interval, a time or a number')
      }
      return ['x-stream-offset', offset]
    }
    case 'rabbitmq:stream-filter': {
      const values = value.type === 'list' || value.type === 'array' ? value.value : [value]
      const texts = values.map((each) => textOf(each))
      if (texts.length === 0 || texts.includes(undefined)) {
        throw new FilterFault('values of a stream filter are strings')
      }
      const fields = texts.map((each): FieldValue => ({ type: 'S', value: each ?? '' }))
      return ['x-stream-filter', { type: 'A', value: fields }]
    }
    case 'rabbitmq:stream-match-unfiltered':
      if (value.type !== 'boolean') throw new FilterFault('match-unfiltered is true or false')
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
