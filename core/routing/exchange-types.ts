// The exchange types there are, by the name a declare gives.

import type { FieldTable, FieldValue } from '../../shared/message/value.ts'
import { fieldOf, integerOf, textOf } from '../../shared/message/value.ts'
import type { ExchangeType } from './exchange-type.ts'
import {
  consistentHashExchange,
  localRandomExchange,
  modulusHashExchange,
  randomExchange,
} from './hash-exchanges.ts'
import { headersExchange } from './headers-exchange.ts'
import { directExchange, fanoutExchange, topicExchange } from './key-tables.ts'

const types: ReadonlyMap<string, ExchangeType> = new Map([
  ['direct', directExchange],
  ['fanout', fanoutExchange],
  ['topic', topicExchange],
  ['headers', headersExchange],
  ['x-consistent-hash', consistentHashExchange],
  ['x-modulus-hash', modulusHashExchange],
  ['x-random', randomExchange],
  ['x-local-random', localRandomExchange],
])

/**
 * x-delayed-message: routes as the type that its argument names; that it holds messages back is seen
 * by the router. Texts are those of the plugin.
 */
const delayedExchange: ExchangeType = {
  checkArguments(args: FieldTable): string | undefined {
    const name = textOf(fieldOf(args, 'x-delayed-type'))
    if (name === delayedName) {
      return `Invalid argument, '${delayedName}' can't be used for 'x-delayed-type'`
    }
    if (name === undefined) {
      return "Invalid argument, 'x-delayed-type' must be an existing exchange type"
    }
    const type = types.get(name)
    return type === undefined ? `unknown exchange type '${name}'` : type.checkArguments(args)
  },
  checkBinding: (draft, args) => innerType(args).checkBinding(draft, args),
  createTable: (args) => innerType(args).createTable(args),
}

const delayedName = 'x-delayed-message'

/** x-message-deduplication: a fanout, as RabbitMQ's plugin has it; duplicates are dropped in front of it. */
const deduplicatingExchange: ExchangeType = {
  ...fanoutExchange,
  checkArguments(args: FieldTable): string | undefined {
    const size = fieldOf(args, 'x-cache-size')
    if (size === undefined || !isPositive(size)) {
      return "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0"
    }
    const ttl = fieldOf(args, 'x-cache-ttl')
    if (ttl !== undefined && !isPositive(ttl)) {
      return "Invalid argument, 'x-cache-ttl' must be an integer greater than 0"
    }
    const persistence = fieldOf(args, 'x-cache-persistence')
    if (persistence === undefined || ['disk', 'memory'].includes(textOf(persistence) ?? '')) {
      return undefined
    }
    return "Invalid argument, 'x-cache-persistence' must be either 'disk' or 'memory'"
  },
}

const deduplicatingName = 'x-message-deduplication'

function isPositive(field: FieldValue): boolean {
  return Number(field.type === 'S' ? field.value : (integerOf(field) ?? 0)) > 0
}

function innerType(args: FieldTable): ExchangeType {
  return types.get(textOf(fieldOf(args, 'x-delayed-type')) ?? '') ?? directExchange
}

/** The names of all types. */
export const exchangeTypeNames: readonly string[] = [
  ...types.keys(),
  delayedName,
  deduplicatingName,
]

/** The type of that name, undefined where there is none. */
export function exchangeTypeOf(name: string): ExchangeType | undefined {
  if (name === delayedName) return delayedExchange
  return name === deduplicatingName ? deduplicatingExchange : types.get(name)
}
