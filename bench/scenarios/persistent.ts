/**
 * Persistent messages: what comes back after a crash, confirmed when it does. Warren confirms after the
 * sync; RabbitMQ's classic queues write and confirm before it, its quorum queues sync. Both are measured.
 */

import type { LoadOptions } from '../load/options.ts'
import type { LoadResult } from '../load/result.ts'
import { tenPairs } from './many-queues.ts'
import type { Scenario, ScenarioContext, Target } from './scenario.ts'

const durable = { persistent: true, confirm: 1000 } as const
const consumed = { ack: '100', prefetch: 1000 } as const
/** A queue that only grows. */
const alone = { consumers: 0 } as const

export const persistentScenarios: readonly Scenario[] = [
  rateScenario('persistent-16b', '16 B, 1:1, confirms and acks', { ...durable, ...consumed }, 20),
  rateScenario('persistent-16b-publish', '16 B, publish only, confirms', { ...durable, ...alone }),
  rateScenario(
    'persistent-1kib',
    '1 KiB, 1:1, confirms and acks',
    { ...durable, ...consumed, size: 1024 },
    8,
  ),
  rateScenario('persistent-1kib-publish', '1 KiB, publish only, confirms', {
    ...durable,
    ...alone,
    size: 1024,
  }),
  rateScenario('persistent-ten-queues', '16 B, 10:10 on 10 queues, confirms and acks', {
    ...durable,
    ...consumed,
    ...tenPairs,
  }),
  rateScenario('persistent-ten-queues-1kib', '1 KiB, 10:10 on 10 queues, confirms and acks', {
    ...durable,
    ...consumed,
    ...tenPairs,
    size: 1024,
  }),
  confirmScenario('persistent-one-by-one', '16 B, each confirm awaited', consumed),
  confirmScenario('persistent-one-by-one-publish', '16 B, publish only, each awaited', alone),
  confirmScenario('persistent-one-by-one-1kib', '1 KiB, each confirm awaited', {
    ...consumed,
    size: 1024,
  }),
  {
    name: 'persistent-to-transient',
    metrics: [16, 1024].map((size) => ({
      id: `share${size}`,
      title: `${size === 16 ? '16 B' : '1 KiB'} persistent, of the rate of transient ones`,
      unit: 'x',
      better: 'more',
      ...(size === 16 ? { target: { of: 'value', atLeast: 0.6 } as const } : {}),
    })),
    run: async (context) => ({
      share16: await share(context, 16),
      share1024: await share(context, 1024),
    }),
  },
]

/** Confirms per second, against classic and quorum queues. */
function rateScenario(
  name: string,
  title: string,
  options: Partial<LoadOptions>,
  atLeast?: number,
): Scenario {
  const target: Target | undefined = atLeast === undefined ? undefined : { of: 'ratio', atLeast }
  return {
    name,
    metrics: ['classic', 'quorum'].map((type) => ({
      id: type,
      title: `persistent ${title}; ${type}`,
      unit: 'msg/s',
      better: 'more',
      ...(target === undefined ? {} : { target }),
    })),
    run: async (context) => {
      const [classic, quorum] = await onBothTypes(context, options)
      return { classic: rateOf(classic, options), quorum: rateOf(quorum, options) }
    },
  }
}

/** How long a confirm takes when nothing else is under way. */
function confirmScenario(name: string, title: string, options: Partial<LoadOptions>): Scenario {
  const target = { of: 'ratio', atMost: 0.5 } as const
  return {
    name,
    metrics: ['classic', 'quorum'].flatMap((type) => [
      { id: `${type}50`, title: `p50 ${title}; ${type}`, unit: 'us', better: 'less', target },
      { id: `${type}99`, title: `p99 ${title}; ${type}`, unit: 'us', better: 'less' },
    ]),
    run: async (context) => {
      const [classic, quorum] = await onBothTypes(context, {
        ...options,
        persistent: true,
        confirm: 1,
      })
      return {
        classic50: classic.confirmUs?.p50 ?? Number.NaN,
        classic99: classic.confirmUs?.p99 ?? Number.NaN,
        quorum50: quorum.confirmUs?.p50 ?? Number.NaN,
        quorum99: quorum.confirmUs?.p99 ?? Number.NaN,
      }
    },
  }
}

/** The peer with each of its queue types; Warren once, with what it does by default. */
async function onBothTypes(
  context: ScenarioContext,
  options: Partial<LoadOptions>,
): Promise<readonly [LoadResult, LoadResult]> {
  if (context.first) {
    const result = await context.load(options)
    return [result, result]
  }
  return [
    await context.load({ ...options, queueType: 'classic' }),
    await context.load({ ...options, queueType: 'quorum' }),
  ]
}

function rateOf(result: LoadResult, options: Partial<LoadOptions>): number {
  return options.consumers === 0 ? result.confirmedPerS : result.deliveredPerS
}

/** Persistent against transient messages of one broker, in turns of a few. */
async function share(context: ScenarioContext, size: number): Promise<number> {
  let persistent = 0
  let transient = 0
  for (let turn = 0; turn < 3; turn++) {
    const options = { ...consumed, confirm: 1000, size }
    transient += (await context.load(options)).deliveredPerS
    persistent += (await context.load({ ...options, persistent: true })).deliveredPerS
  }
  return persistent / transient
}
