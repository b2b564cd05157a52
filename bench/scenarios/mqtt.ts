/** MQTT: Warren, mosquitto and aedes under the same loads in one run; retained messages; idle devices. */

import type { LoadOptions } from '../load/options.ts'
import type { MqttPeerName } from '../peers/mqtt-peers.ts'
import { startMqttPeer } from '../peers/mqtt-peers.ts'
import type { Measurement, Metric, Scenario } from './scenario.ts'

const peers: readonly MqttPeerName[] = ['mosquitto', 'aedes']
const alone = [{ label: 'Warren', args: [] }] as const

export const mqttScenarios: readonly Scenario[] = [
  against('mqtt-qos0', 'MQTT QoS 0 64 B, 1:1', { qos: 0 }, { mosquitto: 4, aedes: 8 }),
  against('mqtt-qos1', 'MQTT QoS 1 64 B, 1:1', { qos: 1 }, { mosquitto: 2, aedes: 8 }),
  against(
    'mqtt-fan-out',
    'MQTT QoS 0 64 B, 1:20',
    { qos: 0, consumers: 20 },
    { mosquitto: 1.5, aedes: 8 },
  ),
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
    ],
    variants: alone,
    once: true,
    run: async ({ load, quick }) => {
      const idle = quick ? 1000 : 10_000
      const result = await load({ mode: 'mqtt', idle, consumers: 0, producers: 0, seconds: 1 })
      return { rate: idle / result.setupSeconds }
    },
  },
]

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
