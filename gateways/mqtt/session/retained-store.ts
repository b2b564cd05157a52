// Retained messages: rows of the keyed store, by vhost and topic.
//
//   key     vhost id | 0 | levels of the topic, parted by zero bytes
//   value   1 | QoS | when it expires, ms since 1970 (double, 0: never) | topic (u16 size, bytes)
//           | properties as in a packet (u32 size, bytes) | payload

import { Buffer } from 'node:buffer'
import type { Clock } from '../../host/protocol.ts'
import type { PacketDecoder } from '../codec/decoder.ts'
import type { PropertyScan } from '../codec/property-scan.ts'
import { matches } from '../mapping/topic.ts'
import type { Client } from './client.ts'
import type { KeyedClient } from './keyed-client.ts'

/** One retained message. */
export interface RetainedMessage {
  readonly topic: string
  readonly qos: number
  /** Milliseconds since 1970; 0: never. */
  readonly expiresAt: number
  /** MQTT 5, without those that each hop sets. */
  readonly properties: Buffer
  readonly payload: Buffer
  /** As it is kept; `readRetained` reads it. */
  readonly bytes: Uint8Array
}

const table = 'mqtt.retained'
const version = 1
const headBytes = 12

export class RetainedStore {
  private readonly keyed: KeyedClient
  private readonly clock: Clock

  constructor(keyed: KeyedClient, clock: Clock) {
    this.keyed = keyed
    this.clock = clock
  }

  /** Keeps the PUBLISH that the decoder stands at, or takes away what is kept if it has no payload. */
  keep(
    client: Client,
    topic: string,
    packet: Pick<
      PacketDecoder,
      'bytes' | 'payloadAt' | 'payloadSize' | 'propsAt' | 'propsSize' | 'qos'
    >,
    scan: PropertyScan,
    done: () => void,
  ): void {
    const key = keyOf(client.vhostId, topic)
    if (packet.payloadSize === 0) {
      this.keyed.write(table, key, null, done)
      return
    }
    const { bytes, payloadAt, payloadSize, propsAt, propsSize, qos } = packet
    const topicSize = Buffer.byteLength(topic)
    const value = Buffer.alloc(headBytes + topicSize + 4 + scan.lastingSize + payloadSize)
    value[0] = version
    value[1] = qos
    const { expirySeconds } = scan
    value.writeDoubleBE(expirySeconds < 0 ? 0 : this.clock.wall() + expirySeconds * 1000, 2)
    value.writeUInt16BE(topicSize, 10)
    value.write(topic, headBytes)
    let at = headBytes + topicSize
    value.writeUInt32BE(scan.lastingSize, at)
    at += 4
    if (scan.lastingSize > 0) scan.copyLasting(bytes, propsAt, propsSize, value, at)
    at += scan.lastingSize
    value.set(bytes.subarray(payloadAt, payloadAt + payloadSize), at)
    this.keyed.write(table, key, value, done)
  }

  /** Some of the messages whose topics match `filter`; `next` says where to go on. */
  find(
    client: Client,
    filter: string,
    after: Uint8Array | null,
    bytesMax: number,
    done: (messages: readonly RetainedMessage[], next: Uint8Array | null) => void,
  ): void {
    if (!filter.includes('#') && !filter.includes('+')) {
      this.keyed.get(table, keyOf(client.vhostId, filter), (value) => {
        done(value === undefined ? [] : this.alive(client, filter, [value]), null)
      })
      return
    }
    const prefix = Buffer.from(`${client.vhostId}\0`)
    this.keyed.scan(table, prefix, filter, after, bytesMax, (rows, next) => {
      done(
        this.alive(
          client,
          filter,
          rows.map(([, value]) => value),
        ),
        next,
      )
    })
  }

  /** Those that have not expired; the others are taken away. */
  private alive(
    client: Client,
    filter: string,
    values: readonly Uint8Array[],
  ): readonly RetainedMessage[] {
    const now = this.clock.wall()
    return values.flatMap((value) => {
      const message = readRetained(value)
      // A long topic's row may be there by mistake: see core's keyed store.
      if (message === undefined || !matches(filter, message.topic)) return []
      if (message.expiresAt === 0 || message.expiresAt > now) return [message]
      this.keyed.write(table, keyOf(client.vhostId, message.topic), null, () => undefined)
      return []
    })
  }
}

function keyOf(vhostId: number, topic: string): Buffer {
  return Buffer.from(`${vhostId}\0${topic.replaceAll('/', '\0')}`)
}

/** A message as it is kept. */
export function readRetained(bytes: Uint8Array): RetainedMessage | undefined {
  const value = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (value[0] !== version) return undefined
  const topicEnd = headBytes + value.readUInt16BE(10)
  const propsEnd = topicEnd + 4 + value.readUInt32BE(topicEnd)
  return {
    topic: value.toString('utf8', headBytes, topicEnd),
    qos: value[1] as number,
    expiresAt: value.readDoubleBE(2),
    properties: value.subarray(topicEnd + 4, propsEnd),
    payload: value.subarray(propsEnd),
    bytes,
  }
}
