/** One producer to a fanout exchange, ten queues with a consumer each; counts deliveries. */

import type { Scenario } from './scenario.ts'
import { throughputScenario } from './scenario.ts'

const tenQueues = { exchange: 'fanout', queues: 10, consumers: 10 } as const

export const fanOutScenarios: readonly Scenario[] = [
  throughputScenario('fan-out-16b', '16 B, fan-out 1:10, auto-ack', tenQueues),
  throughputScenario('fan-out-1kib', '1 KiB, fan-out 1:10, auto-ack', {
    ...tenQueues,
    size: 1024,
  }),
]
