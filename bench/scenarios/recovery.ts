/** How long a start takes after a kill: with a million messages in the log, and when most are settled. */

import type { LoadOptions } from '../load/options.ts'
import type { Measurement, Metric, Scenario, ScenarioContext } from './scenario.ts'

const target = { of: 'value', atMost: 3 } as const

export const recoveryScenarios: readonly Scenario[] = [
  recovery('recovery-1m', '1 M x 16 B', { size: 16 }),
  recovery('recovery-1m-1kib', '1 M x 1 KiB', { size: 1024 }),
]

function recovery(name: string, title: string, options: Partial<LoadOptions>): Scenario {
  return {
    name,
    once: true,
    onDemand: true,
    variants: [{ label: 'Warren', args: [] }],
    metrics: [
      metric('full', `${title} there: kill to ready`, 's', target),
      metric('fullMemory', `${title} there: memory when ready`, 'MB'),
      metric('again', `${title} there: a second kill to ready`, 's', target),
      metric('settled', `${title}, 90 % settled: kill to ready`, 's', target),
    ],
    run: (context) => run(context, { ...options, run: name }),
  }
}

function metric(id: string, title: string, unit: Metric['unit'], goal?: Metric['target']): Metric {
  return { id, title, unit, better: 'less', ...(goal === undefined ? {} : { target: goal }) }
}

async function run(context: ScenarioContext, options: Partial<LoadOptions>): Promise<Measurement> {
  const messages = context.quick ? 20_000 : 1_000_000
  const most = messages * 0.9
  const load = { ...options, mode: 'deep', persistent: true, confirm: 1000 } as const
  const consume = { ...load, role: 'consume', ack: '100', prefetch: 1000 } as const
  await context.load({ ...load, role: 'publish', messages })
  const full = await context.restart()
  const fullMemory = context.megabytes()
  const again = await context.restart()
  await context.load({ ...consume, messages: most })
  const settled = await context.restart()
  // In order, without a gap.
  await context.load({ ...consume, messages: 0 })
  return { full, fullMemory, again, settled }
}
