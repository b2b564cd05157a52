// Which gateways a node has, and which services share one.

import type { Config } from '../../shared/config/schema.ts'
import type { ServiceName } from '../../shared/config/services.ts'
import { countListeners } from '../../shared/config/services.ts'

/** One gateway: a thread, or a process with a thread that stands in for it. */
export interface GatewayPlan {
  readonly name: string
  readonly services: readonly ServiceName[]
  readonly isolation: 'thread' | 'process'
}

/** The gateways of a node, AMQP first. A service without listeners needs none. */
export function planGateways(config: Config): GatewayPlan[] {
  const plans: GatewayPlan[] = []
  const shared: ServiceName[] = []
  for (const service of ['amqp', 'mqtt', 'stomp', 'stream'] as const) {
    if (countListeners(config, service) === 0) continue
    const isolation = config[`gateways.${service}.isolation`]
    const asked = config[`gateways.${service}.workers`]
    const workers = isolation === 'process' ? Math.max(1, asked) : asked
    if (workers === 0) shared.push(service)
    for (let i = 1; i <= workers; i++) {
      const name = i === 1 ? service : `${service}-${i}`
      plans.push({ name, services: [service], isolation })
    }
  }
  if (shared.length > 0) {
    const isolation = config['gateways.shared.isolation']
    plans.push({ name: shared.join('+'), services: shared, isolation })
  }
  return plans
}
