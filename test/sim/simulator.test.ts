// A few hundred seeds; `npm run sim -- --seeds 100000` runs more, SIM_SEED=n one again.

import { describe, expect, test } from 'vitest'
import { runSeed } from './simulation.ts'

const only = process.env['SIM_SEED']
const seeds = only === undefined ? 200 : 1
const first = only === undefined ? 1 : Number(only)
const perTest = 25

describe('shards and gateways, by chance', () => {
  for (let from = first; from < first + seeds; from += perTest) {
    const to = Math.min(from + perTest, first + seeds)
    test(`seeds ${from} to ${to - 1}`, { timeout: 60_000 }, () => {
      let deliveries = 0
      for (let seed = from; seed < to; seed++) deliveries += runSeed(seed).deliveries
      expect(deliveries).toBeGreaterThan(0)
    })
  }
})
