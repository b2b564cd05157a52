/** 16 B, 1:1, with the two kinds of acknowledgement apart and together. */

import type { Scenario } from './scenario.ts'
import { throughputScenario } from './scenario.ts'

/** One ack covers a tenth of the prefetch, so the consumer never runs dry waiting for itself. */
const acks = { ack: '100', prefetch: 1000 } as const
const confirms = { confirm: 1000 } as const

export const acknowledgementScenarios: readonly Scenario[] = [
  throughputScenario('acks', '16 B, 1:1, acks of 100, prefetch 1000', acks),
  throughputScenario('single-acks', '16 B, 1:1, single acks, prefetch 1000', {
    ack: 'single',
    prefetch: 1000,
  }),
  throughputScenario('confirms', '16 B, 1:1, confirms, window 1000', confirms),
  throughputScenario(
    'confirms-acks',
    '16 B, 1:1, confirms and acks',
    { ...acks, ...confirms },
    { of: 'ratio', atLeast: 20 },
  ),
  throughputScenario('confirms-acks-1kib', '1 KiB, 1:1, confirms and acks', {
    ...acks,
    ...confirms,
    size: 1024,
  }),
  throughputScenario('confirms-one-by-one', '16 B, confirm awaited after each publish', {
    confirm: 1,
  }),
]
