/** One producer, one consumer, one queue, automatic acknowledgement, four sizes. */

import type { Scenario } from './scenario.ts'
import { throughputScenario } from './scenario.ts'

export const throughputScenarios: readonly Scenario[] = [
  throughputScenario(
    'throughput-16b',
    '16 B, 1:1, auto-ack',
    { size: 16 },
    { of: 'ratio', atLeast: 25 },
  ),
  throughputScenario(
    'throughput-1kib',
    '1 KiB, 1:1, auto-ack',
    { size: 1024 },
    { of: 'ratio', atLeast: 8 },
  ),
  throughputScenario(
    'throughput-64kib',
    '64 KiB, 1:1, auto-ack',
    { size: 64 * 1024 },
    { of: 'ratio', atLeast: 2 },
  ),
  throughputScenario('throughput-1mib', '1 MiB, 1:1, auto-ack', { size: 1024 * 1024 }),
]
