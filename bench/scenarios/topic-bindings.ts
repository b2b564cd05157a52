/**
 * Publishing to a topic exchange with few and with many bindings of random keys; a thousand
 * different routing keys in turn, each of which one queue gets once.
 */

import type { Scenario } from './scenario.ts'

const FEW = 10
const MANY = 100_000
/** Enough to walk the code in a smoke run. */
const MANY_QUICK = 1000

export const topicBindingsScenarios: readonly Scenario[] = [
  {
    name: 'topic-bindings',
    // A peer may need minutes to make 100 k bindings.
    roundsMax: 1,
    metrics: [
      { id: 'few', title: 'topic exchange, 10 bindings', unit: 'msg/s', better: 'more' },
      { id: 'many', title: 'topic exchange, 100 k bindings', unit: 'msg/s', better: 'more' },
      { id: 'setup', title: 'making those 100 k bindings', unit: 's', better: 'less' },
      {
        id: 'slowdown',
        title: '100 k bindings: times slower than 10',
        unit: 'x',
        better: 'less',
        target: { of: 'value', atMost: 1.5 },
      },
    ],
    run: async (context) => {
      const options = { exchange: 'topic', size: 16 } as const
      const few = await context.load({ ...options, bindings: FEW })
      const bindings = context.quick ? MANY_QUICK : MANY
      const many = await context.load({ ...options, bindings })
      return {
        few: few.deliveredPerS,
        many: many.deliveredPerS,
        setup: many.setupSeconds,
        slowdown: few.deliveredPerS / many.deliveredPerS,
      }
    },
  },
]
