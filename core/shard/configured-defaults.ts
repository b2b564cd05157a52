// The defaults of new virtual hosts, as the configuration gives them. Throws where it asks for what
// cannot be.

import type { Config } from '../../shared/config/schema.ts'
import { compilePattern } from '../topology/name-matcher.ts'
import { checkPolicyValues } from '../topology/policy-keys.ts'
import type { LimitDefault, PolicyDefault, VhostDefaults } from '../topology/vhost-defaults.ts'

type Fields = Readonly<Record<string, unknown>>

const limitFields = ['max_connections', 'max_queues']
const policyFields = ['expires', 'message_ttl', 'max_length', 'max_length_bytes', 'delivery_limit']

export function vhostDefaults(config: Config): VhostDefaults {
  return {
    limits: config['default_limits.vhosts'].map(limitDefault),
    operatorPolicies: config['default_policies.operator'].map(policyDefault),
  }
}

function limitDefault(entry: Config['default_limits.vhosts'][number]): LimitDefault {
  const key = `default_limits.vhosts.${entry.id}`
  return {
    matches: matcher(`${key}.pattern`, entry.pattern),
    limits: numbers(key, entry, limitFields),
  }
}

function policyDefault(entry: Config['default_policies.operator'][number]): PolicyDefault {
  const key = `default_policies.operator.${entry.id}`
  const definition = numbers(key, entry, policyFields)
  matcher(`${key}.queue_pattern`, entry.queue_pattern)
  const problem = checkPolicyValues(definition)
  if (problem !== undefined) throw new Error(`${key}: ${problem}`)
  return {
    matches: matcher(`${key}.vhost_pattern`, entry.vhost_pattern),
    policy: {
      name: entry.id,
      pattern: entry.queue_pattern,
      applyTo: 'queues',
      priority: 0,
      definition,
    },
  }
}

function matcher(key: string, text: string): (name: string) => boolean {
  const pattern = compilePattern(text)
  if ('problem' in pattern) throw new Error(`${key}: ${pattern.problem}`)
  return (name) => pattern.test(name)
}

/** Those of the fields that are given, by their names in definitions. */
function numbers(key: string, entry: Fields, fields: readonly string[]): Record<string, number> {
  const found: Record<string, number> = {}
  for (const field of fields) {
    const text = entry[field]
    if (text === '' || text === undefined) continue
    if (!/^\d{1,15}$/.test(String(text))) throw new Error(`${key}.${field}: not a number`)
    found[field.replaceAll('_', '-')] = Number(text)
  }
  return found
}
