// The filter set of a source: what of it is understood, as arguments of a consumer.

import type { FieldEntry, FieldValue } from '../../../shared/message/value.ts'
import type { AmqpMap, AmqpValue } from '../codec/value.ts'
import { integerOf, textOf } from '../codec/value.ts'

export interface ParsedFilter {
  readonly arguments: readonly FieldEntry[]
  /** The filters in place: the client compares them with those that it asked for. */
  readonly effective: AmqpMap | undefined
}

/** Reads a filter set; filters that are not understood are left out, not refused. */
export function parseFilter(filter: AmqpMap | undefined): ParsedFilter {
  if (filter === undefined) return { arguments: [], effective: undefined }
  const table: FieldEntry[] = []
  const effective: (readonly [AmqpValue, AmqpValue])[] = []
  for (const [key, value] of filter) {
    const argument =
      value.type === 'described' ? argumentOf(value.descriptor, value.value) : undefined
    if (argument === undefined) continue
    table.push(argument)
    effective.push([key, value])
  }
  return { arguments: table, effective }
}

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
