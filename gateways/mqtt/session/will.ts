// A client's will: what is published in its name when its connection ends badly.

import { Buffer } from 'node:buffer'
import type { Connect } from '../codec/packets.ts'
import { isTopic } from '../mapping/topic.ts'

export interface Will {
  readonly topic: string
  readonly payload: Buffer
  readonly qos: number
  readonly retain: boolean
  /** MQTT 5, as in the packet, without the delay. */
  readonly properties: Buffer
  readonly delaySeconds: number
}

const delayId = 0x18
const delayBytes = 5

/** The will of a CONNECT; 'malformed' if its topic is none. */
export function willOf({ packet, willProperties }: Connect): Will | 'malformed' | undefined {
  const { will } = packet
  if (will === undefined) return undefined
  if (!isTopic(will.topic)) return 'malformed'
  return {
    topic: will.topic,
    payload: Buffer.from(will.payload),
    qos: will.qos ?? 0,
    retain: will.retain === true,
    properties: withoutDelay(willProperties ?? noProperties),
    delaySeconds: will.properties?.willDelayInterval ?? 0,
  }
}

/** A will as text, and back: it may have to wait on disk. */
export function encodeWill(will: Will): object {
  return {
    ...will,
    payload: will.payload.toString('base64'),
    properties: will.properties.toString('base64'),
  }
}

export function decodeWill(value: Readonly<Record<string, unknown>>): Will {
  return {
    topic: String(value['topic']),
    payload: Buffer.from(String(value['payload']), 'base64'),
    qos: Number(value['qos']),
    retain: value['retain'] === true,
    properties: Buffer.from(String(value['properties']), 'base64'),
    delaySeconds: Number(value['delaySeconds']),
  }
}

/** The properties of the PUBLISH that the will becomes. They were checked with their packet. */
function withoutDelay(properties: Buffer): Buffer {
  let at = 0
  while (at < properties.length) {
    const id = properties[at] as number
    if (id === delayId) {
      return Buffer.concat([properties.subarray(0, at), properties.subarray(at + delayBytes)])
    }
    at = behindProperty(properties, at)
  }
  return properties
}

function behindProperty(properties: Buffer, at: number): number {
  const textEnd = (from: number): number => from + 2 + properties.readUInt16BE(from)
  switch (properties[at]) {
    case 0x01:
      return at + 2
    case 0x02:
      return at + 5
    case 0x26:
      return textEnd(textEnd(at + 1))
    default:
      return textEnd(at + 1)
  }
}

const noProperties = Buffer.alloc(0)
