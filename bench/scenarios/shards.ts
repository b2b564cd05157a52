/** Warren against itself: what three shards cost or gain over one on ten queues. */

import { tenPairs } from './many-queues.ts'
import type { Scenario } from './scenario.ts'
import { throughputScenario } from './scenario.ts'

export const shardScenarios: readonly Scenario[] = [
  {
    ...throughputScenario(
      'shards',
      '16 B, 10:10 on 10 queues, 3 shards and 1',
      tenPairs,
      // Noise between two equal brokers in one run is some percent.
      { of: 'ratio', atLeast: 0.95 },
    ),
    variants: [
      { label: '3 shards', args: ['--set', 'shards=3'] },
      { label: '1 shard', args: ['--set', 'shards=1'] },
    ],
  },
]
