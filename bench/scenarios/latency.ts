/**
 * Time from making a message to having it, at half of what the broker itself can do, and at half of
 * what the peer can do (the same rate for both).
 */

import type { LoadOptions } from '../load/options.ts'
import type { Measurement, Metric, Scenario, ScenarioContext } from './scenario.ts'

export const latencyScenarios: readonly Scenario[] = [
  {
    name: 'latency-peer-half',
    metrics: metrics("at half of the peer's maximum", true),
    run: async (context) => measure(context, (await context.peerMax()) / 2, {}),
  },
  {
    name: 'latency-own-half',
    metrics: [
      { id: 'rate', title: 'half of its own maximum', unit: 'msg/s', better: 'more' },
      ...metrics('at half of its own maximum', false),
    ],
    run: async (context) => {
      const rate = (await context.ownMax()) / 2
      return { rate, ...(await measure(context, rate, {})) }
    },
  },
  {
    name: 'latency-acks',
    metrics: metrics("at a quarter of the peer's maximum, single acks", false),
    run: async (context) =>
      measure(context, (await context.peerMax()) / 4, { ack: 'single', prefetch: 1000 }),
  },
]

function metrics(where: string, promised: boolean): readonly Metric[] {
  const metric = { unit: 'us', better: 'less' } as const
  const target = promised ? { target: { of: 'ratio', atMost: 0.5 } as const } : {}
  return [
    { id: 'p50', title: `p50 latency ${where}`, ...metric },
    { id: 'p99', title: `p99 latency ${where}`, ...metric, ...target },
    { id: 'p999', title: `p99.9 latency ${where}`, ...metric },
  ]
}

async function measure(
  context: ScenarioContext,
  rate: number,
  options: Partial<LoadOptions>,
): Promise<Measurement> {
  const result = await context.load({ ...options, latency: true, rate: Math.round(rate) })
  if (result.saturated || result.latencyUs === undefined) {
    throw new Error(`the broker could not take ${Math.round(rate)} msg/s`)
  }
  const { p50, p99, p999 } = result.latencyUs
  return { p50, p99, p999 }
}
