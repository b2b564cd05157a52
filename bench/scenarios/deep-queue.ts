/**
 * Backlogs: 5 million messages one way and back, drawn over time; and backlogs far beyond memory, with
 * a promise about the memory.
 */

import type { LoadOptions } from '../load/options.ts'
import type { DeepRun, Measurement, Metric, Scenario, ScenarioContext } from './scenario.ts'

const load = { persistent: true, confirm: 1000, ack: '100', prefetch: 1000 } as const
const smallBudget = {
  label: 'Warren, 1 MiB a queue',
  args: ['--set', 'queue_memory_budget=1MiB', '--set', 'shards=1'],
} as const
/** Samples (of a quarter of a second) in a window of which the slowest counts. */
const windowSamples = 8

export const deepQueueScenarios: readonly Scenario[] = [
  {
    name: 'deep-queue',
    once: true,
    drawnAs: 'deep-queue.svg',
    metrics: metricsOf('5 M x 16 B'),
    run: (context) => run(context, { size: 16, messages: 5_000_000 }),
  },
  beyondMemory('beyond-memory-16b', '20 M x 16 B, 1 MiB in memory', { messages: 20_000_000 }),
  beyondMemory('beyond-memory-64kib', '200 k x 64 KiB, 1 MiB in memory', {
    size: 64 * 1024,
    messages: 200_000,
    // Messages of 64 MiB in flight would be memory that says nothing of the backlog.
    confirm: 100,
    ack: '10',
    prefetch: 100,
  }),
]

function beyondMemory(name: string, title: string, options: Partial<LoadOptions>): Scenario {
  return {
    name,
    once: true,
    onDemand: true,
    drawnAs: `${name}.svg`,
    variants: [smallBudget],
    metrics: metricsOf(title, true),
    run: (context) => run(context, options),
  }
}

function metricsOf(title: string, promised = false): readonly Metric[] {
  const memory = promised ? { target: { of: 'value', atMost: 400 } as const } : {}
  const steady = promised ? { target: { of: 'value', atLeast: 0.4 } as const } : {}
  return [
    { id: 'publish', title: `${title}: publish`, unit: 'msg/s', better: 'more' },
    { id: 'drain', title: `${title}: drain`, unit: 'msg/s', better: 'more' },
    { id: 'memory', title: `${title}: most memory`, unit: 'MB', better: 'less', ...memory },
    {
      id: 'steady',
      title: `${title}: slowest 2 s of publishing, of its mean`,
      unit: 'x',
      better: 'more',
      ...steady,
    },
  ]
}

async function run(context: ScenarioContext, options: Partial<LoadOptions>): Promise<Measurement> {
  const messages = options.messages ?? 0
  const count = context.quick ? Math.ceil(messages / 200) : messages
  const deep = await context.deep({ ...load, ...options, messages: count })
  const { result } = deep
  return {
    publish: result.publishedPerS,
    drain: result.deliveredPerS,
    memory: Math.max(...deep.samples.map(({ megabytes }) => megabytes ?? Number.NaN)),
    steady: slowestOf(deep) / result.publishedPerS,
  }
}

/** The lowest rate of publishing over any window; the first is warm-up. */
function slowestOf({ samples, result }: DeepRun): number {
  const published = samples.filter(({ phase }) => phase === 'publish')
  let slowest = result.publishedPerS
  for (let i = 2 * windowSamples; i < published.length; i++) {
    const from = published[i - windowSamples]
    const to = published[i]
    if (from === undefined || to === undefined) continue
    slowest = Math.min(slowest, (to.done - from.done) / (to.seconds - from.seconds))
  }
  return slowest
}
