// Which policies apply to a queue or exchange, and what follows from it.

import { fieldOf, textOf } from '../../shared/message/value.ts'
import type { PolicyDefinition } from './policy-keys.ts'
import { mergeDefinitions } from './policy-keys.ts'
import { queueSettings } from './queue-settings.ts'
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
  const changed = delays !== exchange.delayed
  exchange.delayed = delays
  if (delays) exchange.mayHold = true
  return changed
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
