// Settings from environment variables: WARREN_<KEY> for every key, and the few of RabbitMQ's that
// people script. A WARREN_ variable wins over RabbitMQ's.

import { settingTable } from '../../shared/config/schema.ts'
import { keyOfEnv } from './key.ts'
import type { Assignment } from './syntax.ts'

/** What the environment says. */
export interface EnvironmentReading {
  readonly assignments: readonly Assignment[]
  readonly configFile: string | undefined
  readonly warnings: readonly string[]
}

/** Reads the variables that concern Warren. An empty one counts as not set, as compose files have it. */
export function readEnvironment(
  env: Readonly<Record<string, string | undefined>>,
): EnvironmentReading {
  const assignments: Assignment[] = []
  const warnings: string[] = []
  for (const [key, setting] of Object.entries(settingTable)) {
    const value = setting.env === undefined ? '' : (env[setting.env] ?? '')
    if (value === '') continue
    const target = setting.type === 'listeners' ? `${key}.default` : key
    assignments.push(assignment(target, value, String(setting.env)))
  }
  for (const [name, value = ''] of Object.entries(env)) {
    if (!name.startsWith('WARREN_') || name === 'WARREN_CONFIG_FILE' || value === '') continue
    const key = keyOfEnv(name)
    if (key !== undefined) assignments.push(assignment(key, value, name))
    else if (!isServiceLink(name)) warnings.push(`environment ${name}: no such setting, ignored`)
  }
  const configFile = env['WARREN_CONFIG_FILE'] || env['RABBITMQ_CONFIG_FILE'] || undefined
  return { assignments, configFile, warnings }
}

function assignment(key: string, value: string, name: string): Assignment {
  return { key, value, layer: 'environment', origin: `environment ${name}` }
}

/** Kubernetes puts these into every container beside a service that is called warren. */
function isServiceLink(name: string): boolean {
  return /^WARREN_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_.*)?)$/.test(name)
}
