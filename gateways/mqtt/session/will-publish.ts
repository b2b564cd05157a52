// Publishes a will in the name of its client.

import { encodeUtf8 } from '../../../shared/bytes/utf8.ts'
import type { Client } from './client.ts'
import type { Inbound } from './inbound.ts'
import { scanProperties } from './inbound.ts'
import type { Will } from './will.ts'

/** False: there is no room now; try again. */
export function publishWill(client: Client, inbound: Inbound, will: Will): boolean {
  const topic = encodeUtf8(will.topic)
  if (!inbound.setTopic(topic, 0, topic.length)) return true
  const { payload, properties, qos, retain } = will
  const scan = scanProperties(properties, 0, properties.length)
  const packet = {
    qos,
    retain,
    packetId: 0,
    bytes: properties,
    propsAt: 0,
    propsSize: properties.length,
    payloadBytes: payload,
    payloadAt: 0,
    payloadSize: payload.length,
  }
  if (!inbound.announce(packet)) return false
  if (!retain || !client.settings.retained) return true
  client.hub.retained.keep(client, will.topic, packet, scan, () => undefined)
  return true
}
