/**
 * Publishing to a topic exchange with few and with many bindings of random keys; a thousand
 * different routing keys in turn, each of which one queue gets once.
 */

import type { Measurement, Metric, Scenario, ScenarioContext } from './scenario.ts'

const FEW = 10
const SOME = 1000
/** On the first broker only: a peer may need ten minutes to make and unmake them. */
const MANY = 100_000

const rate = { unit: 'msg/s', better: 'more' } as const

const metrics: readonly Metric[] = [
  { id: 'few', title: 'topic exchange, 10 bindings', ...rate },
  { id: 'some', title: 'topic exchange, 1000 bindings', ...rate },
  { id: 'someSetup', title: 'making 1000 bindings', unit: 's', better: 'less' },
  { id: 'many', title: 'topic exchange, 100 k bindings', ...rate },
  { id: 'manySetup', title: 'making 100 k bindings', unit: 's', better: 'less' },
  {
    id: 'slowdown',
    title: '100 k bindings: times slower than 10',
    unit: 'x',
    better: 'less',
    target: { of: 'value', atMost: 1.5 },
  },
]

export const topicBindingsScenarios: readonly Scenario[] = [
  { name: 'topic-bindings', metrics, run: measure },
]

async function measure(context: ScenarioContext): Promise<Measurement> {
  const options = { exchange: 'topic', size: 16 } as const
  const few = await context.load({ ...options, bindings: FEW })
  const some = await context.load({ ...options, bindings: SOME })
  const both = { few: few.deliveredPerS, some: some.deliveredPerS, someSetup: some.setupSeconds }
  if (!context.first || context.quick) return both
  const many = await context.load({ ...options, bindings: MANY })
  return {
    ...both,
    many: many.deliveredPerS,
    manySetup: many.setupSeconds,
    slowdown: few.deliveredPerS / many.deliveredPerS,
  }
}
