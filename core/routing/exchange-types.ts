// The exchange types there are, by the name a declare gives.

import type { FieldTable } from '../../shared/message/value.ts'
import { fieldOf, textOf } from '../../shared/message/value.ts'
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

function innerType(args: FieldTable): ExchangeType {
  return types.get(textOf(fieldOf(args, 'x-delayed-type')) ?? '') ?? directExchange
}

/** The names of all types. */
export const exchangeTypeNames: readonly string[] = [...types.keys(), delayedName]

/** The type of that name, undefined where there is none. */
export function exchangeTypeOf(name: string): ExchangeType | undefined {
  return name === delayedName ? delayedExchange : types.get(name)
}
