// Property filters (AMQP Filter Expressions 1.0, working draft 9, section 4): fields that must have
// certain values.

import type { AmqpMap, AmqpType, AmqpValue } from '../../codec/value.ts'
import { FilterFault } from './filter-fault.ts'
import type { FilterValue } from './filter-value.ts'
import { equal, textBytes, toFilterValue } from './filter-value.ts'
import type { FilteredMessage, MessageFilter } from './message-filter.ts'

/** Which section a filter looks at; a set has one filter for each at most. */
export type FilteredSection = 'properties' | 'application'

export interface PropertyFilter extends MessageFilter {
  readonly section: FilteredSection
}

/** The filter that `fields` describe. Throws a FilterFault where that is none. */
export function parsePropertyFilter(section: FilteredSection, fields: AmqpMap): PropertyFilter {
  if (fields.length === 0 || fields.length > fieldsMax) {
    throw new FilterFault(`a filter has 1 to ${fieldsMax} fields`)
  }
  const tests = fields.map(([key, value]) =>
    section === 'properties' ? propertyTest(key, value) : applicationTest(key, value),
  )
  return { section, matches: (message) => tests.every((test) => test(message)) }
}

type Test = (message: FilteredMessage) => boolean

/** What a field must be. */
type Reference =
  | { readonly kind: 'any' }
  | { readonly kind: 'prefix' | 'suffix'; readonly text: string }
  | { readonly kind: 'equal'; readonly value: FilterValue }

function propertyTest(key: AmqpValue, value: AmqpValue): Test {
  if (key.type !== 'symbol') throw new FilterFault('names of properties are symbols')
  const place = PROPERTIES.findIndex(([name]) => name === key.value)
  const types = PROPERTIES[place]?.[1]
  if (types === undefined) throw new FilterFault(`there is no property '${key.value}'`)
  if (value.type !== 'null' && !types.includes(value.type)) {
    throw new FilterFault(`${key.value} cannot be ${value.type}, but ${types.join(' or ')}`)
  }
  const reference = referenceOf(key.value, value)
  return (message) => holds(reference, message.property(place))
}

function applicationTest(key: AmqpValue, value: AmqpValue): Test {
  if (key.type !== 'utf8') throw new FilterFault('names of application properties are strings')
  const name = textBytes(key.value)
  const reference = referenceOf(key.value, value)
  if (reference.kind === 'any') return (message) => message.hasApplication(name)
  return (message) => holds(reference, message.application(name))
}

function referenceOf(name: string, value: AmqpValue): Reference {
  if (value.type === 'null') return { kind: 'any' }
  if (value.type === 'utf8') return textReference(name, value.value)
  const wanted = toFilterValue(value)
  if (wanted === undefined) throw new FilterFault(`${name} cannot be compared to a ${value.type}`)
  return { kind: 'equal', value: wanted }
}

/**
 * Text with a modifier in front (4.1.1 of the draft). `&` is the draft's sign; `$` that of its
 * revisions before, which some clients write: then only what is a modifier counts as one.
 */
function textReference(name: string, text: string): Reference {
  const rest = textBytes(text.slice(3))
  if (text.startsWith('&p:') || text.startsWith('$p:')) return { kind: 'prefix', text: rest }
  if (text.startsWith('&s:') || text.startsWith('$s:')) return { kind: 'suffix', text: rest }
  if (text.startsWith('&&') || text.startsWith('$$')) {
    return { kind: 'equal', value: textBytes(text.slice(1)) }
  }
  if (text.startsWith('&'))
    throw new FilterFault(`${name}: no modifier begins '${text.slice(0, 3)}'`)
  return { kind: 'equal', value: textBytes(text) }
}

function holds(reference: Reference, value: FilterValue): boolean {
  switch (reference.kind) {
    case 'any':
      return true
    case 'prefix':
      return typeof value === 'string' && value.startsWith(reference.text)
    case 'suffix':
      return typeof value === 'string' && value.endsWith(reference.text)
    case 'equal':
      return value !== undefined && equal(value, reference.value)
  }
}

const IDS: readonly AmqpType[] = ['ulong', 'uuid', 'binary', 'utf8']

/** The fields of the properties section in their order (3.2.4), and what they may be compared to. */
export const PROPERTIES: readonly (readonly [string, readonly AmqpType[]])[] = [
  ['message-id', IDS],
  ['user-id', ['binary']],
  ['to', ['utf8']],
  ['subject', ['utf8']],
  ['reply-to', ['utf8']],
  ['correlation-id', IDS],
  ['content-type', ['symbol']],
  ['content-encoding', ['symbol']],
  ['absolute-expiry-time', ['timestamp']],
  ['creation-time', ['timestamp']],
  ['group-id', ['utf8']],
  ['group-sequence', ['uint']],
  ['reply-to-group-id', ['utf8']],
]

/** As RabbitMQ 4.1 limits it. */
const fieldsMax = 16
