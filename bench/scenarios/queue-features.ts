/** What times, limits, priorities and dead-lettering cost a queue that uses them, and how late expiries are. */

import { setTimeout as sleep } from 'node:timers/promises'
import { expiryLead } from '../load/expiry-run.ts'
import type { LoadOptions } from '../load/options.ts'
import type { Metric, Scenario } from './scenario.ts'

/**
 * Acknowledged deliveries, so that what a queue remembers of them counts too; confirms, so that the
 * producer leaves the consumer its share.
 */
const shape: Partial<LoadOptions> = { size: 16, ack: '100', prefetch: 5000, confirm: 1000 }

/** None of them comes into effect: it is the bookkeeping that is measured. */
const features: Readonly<Record<string, Partial<LoadOptions>>> = {
  ttl: { queueArguments: 'x-message-ttl=600000' },
  expiration: { expiration: 600_000 },
  length: { queueArguments: 'x-max-length=100000000,x-max-length-bytes=10000000000' },
  priorities: { queueArguments: 'x-max-priority=10', priorities: 10 },
  'dead-letter': { queueArguments: 'x-dead-letter-exchange=amq.fanout' },
}

function metricOf(id: string): Metric {
  return {
    id,
    title: `16 B, 1:1, confirms and acks, with ${id}, to plain`,
    unit: 'x',
    better: 'more',
    target: { of: 'value', atLeast: 0.85 },
  }
}

export const queueFeatureScenarios: readonly Scenario[] = [
  {
    name: 'queue-features',
    metrics: Object.keys(features).map(metricOf),
    run: async ({ load }) => {
      const measured: Record<string, number> = {}
      for (const [id, options] of Object.entries(features)) {
        // Plain before and after: what changes in the machine meanwhile counts half for each.
        const before = await load(shape)
        const used = await load({ ...shape, ...options })
        const after = await load(shape)
        measured[id] = (2 * used.deliveredPerS) / (before.deliveredPerS + after.deliveredPerS)
      }
      return measured
    },
  },
  {
    name: 'dead-letters',
    metrics: [
      {
        id: 'per-s',
        title: '16 B messages that expire at once, dead-lettered to another queue',
        unit: 'msg/s',
        better: 'more',
      },
    ],
    run: async ({ load, quick }) => {
      const messages = quick ? 5000 : 200_000
      const died = await load({ mode: 'expiry', messages, size: 16, spread: 0, rate: 1 })
      if (died.backlog !== 0) throw new Error(`${died.backlog} messages were not dead-lettered`)
      return { 'per-s': died.deliveredPerS }
    },
  },
  {
    name: 'ttl-lag',
    once: true,
    metrics: [
      {
        id: 'p99',
        title: '1 M messages of random TTL in a queue: expiry late by, p99',
        unit: 'us',
        better: 'less',
        target: { of: 'value', atMost: 50_000 },
      },
      {
        id: 'others',
        title: 'another queue meanwhile, to without',
        unit: 'x',
        better: 'more',
        target: { of: 'value', atLeast: 0.9 },
      },
    ],
    run: async ({ load, quick }) => {
      const messages = quick ? 20_000 : 1_000_000
      const expiry = { mode: 'expiry', messages, size: 16, spread: quick ? 2 : 60 } as const
      const watched = await load({ ...expiry, rate: 1 })
      if (watched.backlog !== 0) throw new Error(`${watched.backlog} messages did not expire`)
      const seconds = quick ? 1 : 20
      const alone = await load({ size: 16, seconds })
      const expiring = load(expiry)
      // Until the first of them expire.
      await sleep(1000 * (1 + expiryLead(messages)))
      const meanwhile = await load({ size: 16, seconds })
      await expiring
      return {
        p99: watched.latencyUs?.p99 ?? Number.NaN,
        others: meanwhile.deliveredPerS / alone.deliveredPerS,
      }
    },
  },
]
