// The exchange types there are, by the name a declare gives.

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

/** The names of all types. */
export const exchangeTypeNames: readonly string[] = [...types.keys()]

/** The type of that name, undefined where there is none. */
export function exchangeTypeOf(name: string): ExchangeType | undefined {
  return types.get(name)
}
