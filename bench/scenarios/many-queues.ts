/** Ten producers and ten consumers on ten queues, each pair for itself. */

import type { Scenario } from './scenario.ts'
import { throughputScenario } from './scenario.ts'

export const tenPairs = { producers: 10, consumers: 10, queues: 10 } as const

export const manyQueuesScenarios: readonly Scenario[] = [
  throughputScenario('ten-queues', '16 B, 10:10 on 10 queues, auto-ack', tenPairs),
  throughputScenario('ten-queues-confirms-acks', '16 B, 10:10 on 10 queues, confirms and acks', {
    ...tenPairs,
    ack: '100',
    prefetch: 1000,
    confirm: 1000,
  }),
]
