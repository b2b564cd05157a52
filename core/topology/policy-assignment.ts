// Which policies apply to a queue or exchange, and what follows from it.

import { fieldOf, textOf } from '../../shared/message/value.ts'
import type { PolicyDefinition } from './policy-keys.ts'
import { mergeDefinitions } from './policy-keys.ts'
import type { DeduplicationSettings } from './queue-settings.ts'
import { deduplicationSettings, queueSettings } from './queue-settings.ts'
import type { ExchangeRecord, QueueRecord } from './records.ts'

/** Finds the policies of a queue anew. True when its settings have changed. */
export function assignQueuePolicies(queue: QueueRecord): boolean {
  const { policies, operatorPolicies } = queue.vhost
  const policy = policies.forQueue(queue.name, queue.type)
  const operatorPolicy = operatorPolicies.forQueue(queue.name, queue.type)
  if (policy === queue.policy && operatorPolicy === queue.operatorPolicy) return false
  queue.policy = policy
  queue.operatorPolicy = operatorPolicy
  queue.settings = queueSettings(queue.arguments, queue.type, effectiveDefinition(queue))
  return true
}

/** The exchange type that holds messages back. */
const delayedType = 'x-delayed-message'
/** The exchange type that drops duplicates. */
const deduplicatingType = 'x-message-deduplication'

/**
 * Finds the policies of an exchange anew. The default exchange has none. True when it does other things
 * with messages than before.
 */
export function assignExchangePolicies(exchange: ExchangeRecord): boolean {
  const { name, vhost } = exchange
  exchange.policy = name === '' ? undefined : vhost.policies.forExchange(name)
  exchange.operatorPolicy = name === '' ? undefined : vhost.operatorPolicies.forExchange(name)
  const definition = effectiveDefinition(exchange)
  const byPolicy = definition['alternate-exchange']
  exchange.alternate =
    textOf(fieldOf(exchange.arguments, 'alternate-exchange')) ??
    (typeof byPolicy === 'string' ? byPolicy : undefined)
  const delays = delaysByItself(exchange) || definition['delayed-message'] === true
  const before = exchange.deduplication
  exchange.deduplication = exchangeDeduplication(exchange, definition)
  const changed =
    delays !== exchange.delayed || JSON.stringify(before) !== JSON.stringify(exchange.deduplication)
  exchange.delayed = delays
  if (delays) exchange.mayHold = true
  return changed
}

function exchangeDeduplication(
  exchange: ExchangeRecord,
  definition: PolicyDefinition,
): DeduplicationSettings | undefined {
  if (exchange.name === '') return undefined
  const byType = exchange.type === deduplicatingType
  return deduplicationSettings(
    exchange.arguments,
    byType ? { ...definition, 'message-deduplication': true } : definition,
  )
}

/** Whether type or arguments of an exchange make it hold messages back, without a policy. */
export function delaysByItself(exchange: Pick<ExchangeRecord, 'type' | 'arguments'>): boolean {
  if (exchange.type === delayedType) return true
  return fieldOf(exchange.arguments, 'x-delayed-exchange')?.value === true
}

/** What the policies of a queue or exchange set together. */
export function effectiveDefinition(of: QueueRecord | ExchangeRecord): PolicyDefinition {
  return mergeDefinitions(of.policy?.definition, of.operatorPolicy?.definition)
}
