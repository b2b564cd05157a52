/** AMQP 1.0, 1:1: settled, and unsettled both ways with ranges of dispositions. */

import type { Scenario } from './scenario.ts'
import { throughputScenario } from './scenario.ts'

const settled = { mode: 'amqp10', ack: 'auto', prefetch: 1000 } as const
const unsettled = { mode: 'amqp10', ack: '100', prefetch: 1000, confirm: 1000 } as const

export const amqp10Scenarios: readonly Scenario[] = [
  throughputScenario(
    'amqp10-settled',
    'AMQP 1.0 16 B, 1:1, settled, credit 1000',
    { ...settled, size: 16 },
    { of: 'ratio', atLeast: 6 },
  ),
  throughputScenario(
    'amqp10-unsettled',
    'AMQP 1.0 16 B, 1:1, unsettled, credit 1000',
    { ...unsettled, size: 16 },
    { of: 'ratio', atLeast: 6 },
  ),
  throughputScenario(
    'amqp10-1kib',
    'AMQP 1.0 1 KiB, 1:1, settled, credit 1000',
    { ...settled, size: 1024 },
    { of: 'ratio', atLeast: 3 },
  ),
]
