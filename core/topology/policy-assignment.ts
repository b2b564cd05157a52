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

/** Finds the policies of an exchange anew. The default exchange has none. */
export function assignExchangePolicies(exchange: ExchangeRecord): void {
  const { name, vhost } = exchange
  exchange.policy = name === '' ? undefined : vhost.policies.forExchange(name)
  exchange.operatorPolicy = name === '' ? undefined : vhost.operatorPolicies.forExchange(name)
  const byPolicy = effectiveDefinition(exchange)['alternate-exchange']
  exchange.alternate =
    textOf(fieldOf(exchange.arguments, 'alternate-exchange')) ??
    (typeof byPolicy === 'string' ? byPolicy : undefined)
}

/** What the policies of a queue or exchange set together. */
export function effectiveDefinition(of: QueueRecord | ExchangeRecord): PolicyDefinition {
  return mergeDefinitions(of.policy?.definition, of.operatorPolicy?.definition)
}
