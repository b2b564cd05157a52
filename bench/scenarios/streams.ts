/** Streams: published and read by the stream protocol, and read again from the start by AMQP. */

import type { Scenario } from './scenario.ts'
import { throughputScenario } from './scenario.ts'

const replayed = 5_000_000
const replayedQuick = 200_000

const replay: Scenario = {
  name: 'stream-replay',
  metrics: [
    {
      id: 'rate',
      title: 'stream of 5 M messages of 16 B, read from the start by AMQP 0-9-1',
      unit: 'msg/s',
      better: 'more',
      target: { of: 'ratio', atLeast: 5 },
    },
  ],
  run: async (context) => {
    const messages = context.quick ? replayedQuick : replayed
    return { rate: (await context.load({ mode: 'replay', messages })).deliveredPerS }
  },
}

/** What a sync for each stream costs: a frame of 100 messages is under way to each of fifty. */
const many: Scenario = {
  name: 'stream-many',
  metrics: [
    {
      id: 'rate',
      title: '50 streams, 16 B, 100 unconfirmed messages to each',
      unit: 'msg/s',
      better: 'more',
    },
  ],
  run: async (context) => {
    const load = { mode: 'log', size: 16, queues: 50, confirm: 100, consumers: 0 } as const
    return { rate: (await context.load(load)).confirmedPerS }
  },
}

export const streamScenarios: readonly Scenario[] = [
  throughputScenario(
    'stream-16b',
    'stream protocol 16 B, 1:1, confirmed',
    { mode: 'log', size: 16 },
    { of: 'ratio', atLeast: 1.5 },
  ),
  throughputScenario('stream-1kib', 'stream protocol 1 KiB, 1:1, confirmed', {
    mode: 'log',
    size: 1024,
  }),
  many,
  replay,
]
