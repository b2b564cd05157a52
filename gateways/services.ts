// Which protocols a gateway can serve: the only list of them. Each is loaded where it is asked for.

import type { Config } from '../shared/config/schema.ts'
import type { Service } from './host/gateway.ts'
import { planAmqpListeners, supportsSharedPort } from './host/listener-plan.ts'

/** The services that `protocols` names, with their listeners by `config`. Throws for an unknown name. */
export function loadServices(protocols: readonly string[], config: Config): Promise<Service[]> {
  return Promise.all(protocols.map((name) => loadService(name, config)))
}

async function loadService(name: string, config: Config): Promise<Service> {
  if (name !== 'amqp091') throw new Error(`no such protocol: ${name}`)
  const { amqp091 } = await import('./amqp091/index.ts')
  const shared =
    config['gateways.amqp.workers'] > 1 &&
    supportsSharedPort(process.versions.node, process.platform)
  return { protocol: amqp091, listeners: planAmqpListeners(config, shared) }
}
