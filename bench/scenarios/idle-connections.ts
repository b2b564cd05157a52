/** The 1:1 stream beside a thousand connections that get a message a second each. */

import type { Scenario } from './scenario.ts'

export const idleConnectionScenarios: readonly Scenario[] = [
  {
    name: 'idle-connections',
    metrics: [
      {
        id: 'rate',
        title: '16 B, 1:1, beside 1000 mostly idle connections',
        unit: 'msg/s',
        better: 'more',
      },
      { id: 'setup', title: 'opening those 1000 connections', unit: 's', better: 'less' },
    ],
    run: async (context) => {
      const result = await context.load({ idle: context.quick ? 50 : 1000 })
      return { rate: result.deliveredPerS, setup: result.setupSeconds }
    },
  },
]
