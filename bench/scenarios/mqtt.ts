/** MQTT: Warren, mosquitto and aedes under the same loads in one run; retained messages; idle devices. */

import type { LoadOptions } from '../load/options.ts'
import type { LoadResult } from '../load/result.ts'
import type { MqttPeerName } from '../peers/mqtt-peers.ts'
import { startMqttPeer } from '../peers/mqtt-peers.ts'
import type { Measurement, Metric, Scenario, ScenarioContext } from './scenario.ts'

const peers: readonly MqttPeerName[] = ['mosquitto', 'aedes']
const alone = [{ label: 'Warren', args: [] }] as const

export const mqttScenarios: readonly Scenario[] = [
  against('mqtt-qos0', 'MQTT QoS 0 64 B, 1:1', { qos: 0 }, { mosquitto: 4, aedes: 8 }),
  {
    ...against('mqtt-qos1', 'MQTT QoS 1 64 B, 1:1', { qos: 1 }, { mosquitto: 2, aedes: 8 }),
    // The same window for all: mosquitto has max_inflight_messages 1000, aedes has none.
    variants: [{ label: 'Warren', args: ['--set', 'mqtt.prefetch=1000'] }],
  },
  {
    name: 'mqtt-window',
    metrics: [metric('rate', 'MQTT QoS 1 64 B, 1:1, window of 10 and of 1000', 'msg/s')],
    variants: [
      { label: '10', args: [] },
      { label: '1000', args: ['--set', 'mqtt.prefetch=1000'] },
    ],
    run: async ({ load }) => ({
      rate: (await load({ mode: 'mqtt', size: 64, qos: 1 })).deliveredPerS,
    }),
  },
  against(
    'mqtt-fan-out',
    'MQTT QoS 0 64 B, 1:20',
    { qos: 0, consumers: 20 },
    { mosquitto: 1.5, aedes: 8 },
  ),
  {
    name: 'mqtt-fan-out-wide',
    metrics: [
      metric('rate', 'MQTT QoS 0 64 B, 1:10 000', 'msg/s'),
      { id: 'memory', title: 'broker, 1:10 000, most of all', unit: 'MB', better: 'less' },
    ],
    variants: alone,
    once: true,
    run: async (context) => {
      const consumers = context.quick ? 500 : 10_000
      // Few at a time: a device is sent the next message when all have the last ones.
      // Long enough for many of them.
      const seconds = context.quick ? 1 : 10
      const options = { mode: 'mqtt', size: 64, qos: 0, consumers, confirm: 4, seconds } as const
      const { peak, result } = await watched(context, options)
      return { rate: result.deliveredPerS, memory: peak }
    },
  },
  {
    name: 'mqtt-retained',
    metrics: [
      metric('fill', 'MQTT retained messages kept', 'msg/s'),
      metric('exact', 'MQTT look-ups of one of 1 million retained messages', 'rounds/s'),
      metric('group', 'MQTT retained messages by wildcard, 1000 of 1 million', 'msg/s'),
    ],
    variants: alone,
    once: true,
    run: async ({ load, quick }) => {
      const messages = quick ? 50_000 : 1_000_000
      const result = await load({ mode: 'mqtt-retained', messages, size: 64 })
      return {
        fill: result.publishedPerS,
        exact: result.roundsPerS,
        group: result.deliveredPerS,
      }
    },
  },
  {
    name: 'mqtt-idle',
    metrics: [
      {
        ...metric('rate', 'MQTT idle devices connected', 'rounds/s'),
        target: { of: 'value', atLeast: 1500 },
      },
      {
        id: 'memory',
        title: 'MQTT, memory per idle device',
        unit: 'KB',
        better: 'less',
        target: { of: 'value', atMost: 15 },
      },
    ],
    variants: alone,
    once: true,
    run: async (context) => {
      const idle = context.quick ? 1000 : 10_000
      const options = { mode: 'mqtt', idle, consumers: 0, producers: 0, seconds: 5 } as const
      // A tenth of them first: what the broker needs once is not counted.
      await context.load({ ...options, idle: idle / 10, seconds: 0.1 })
      const before = context.megabytes()
      const { last, result } = await watched(context, options)
      return { rate: idle / result.setupSeconds, memory: ((last - before) * 1000) / (idle * 0.9) }
    },
  },
]

/** Runs a load and looks at the broker's memory all the while: the most of it, and the last. */
async function watched(
  { load, megabytes }: ScenarioContext,
  options: Partial<LoadOptions>,
): Promise<{ readonly result: LoadResult; readonly peak: number; readonly last: number }> {
  let peak = 0
  let last = 0
  const timer = setInterval(() => {
    last = megabytes()
    peak = Math.max(peak, last)
  }, LOOK_MS)
  try {
    const result = await load(options)
    return { result, peak, last }
  } finally {
    clearInterval(timer)
  }
}

const LOOK_MS = 200

function metric(id: string, title: string, unit: Metric['unit']): Metric {
  return { id, title, unit, better: 'more' }
}

/** One load against Warren and the peers, one after the other; the ratios are what counts. */
function against(
  name: string,
  title: string,
  shape: Partial<LoadOptions>,
  targets: Readonly<Record<MqttPeerName, number>>,
): Scenario {
  const options = { mode: 'mqtt', size: 64, ...shape } as const
  return {
    name,
    metrics: [
      metric('rate', title, 'msg/s'),
      ...peers.flatMap((peer): Metric[] => [
        metric(peer, `${title}: ${peer}`, 'msg/s'),
        {
          ...metric(`x-${peer}`, `${title}: times ${peer}`, 'x'),
          target: { of: 'value', atLeast: targets[peer] },
        },
      ]),
    ],
    variants: alone,
    run: async ({ load }) => {
      const { deliveredPerS: rate } = await load(options)
      const measured: Record<string, number> = { rate }
      for (const peer of peers) {
        const started = await startMqttPeer(peer)
        if (started === undefined) continue
        const { deliveredPerS } = await load({ ...options, mqttPort: started.port })
        started.stop()
        measured[peer] = deliveredPerS
        measured[`x-${peer}`] = rate / deliveredPerS
      }
      return measured satisfies Measurement
    },
  }
}
