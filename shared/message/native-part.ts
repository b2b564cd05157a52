// What a protocol has to say of a message beyond its 0-9-1 properties: the native part, behind the
// further keys of an entry (bus/wire.ts, EntryForm).
//
//   count byte | that many shortstrs (CC and BCC keys) | form byte | the form's bytes
//
// Core knows no more of a form than routing needs: of MQTT, the topic. What follows it is the MQTT
// gateway's own.
//
//   mqtt   flags (MqttFlag) | with `topic`: u16 size, topic | ...

import { EntryForm } from '../bus/wire.ts'

/** Flags at the head of the MQTT form. Bits 0 and 1 are the QoS of the publish. */
export const MqttFlag = {
  qos: 3,
  retain: 4,
  /** The topic follows, since its routing key does not tell it: it has a dot, say, or is too long. */
  topic: 8,
  /** A packet id follows the publisher. */
  packetId: 16,
  /** The time of arrival and properties as in the packet follow. */
  properties: 32,
} as const

/** The binding argument that holds a topic filter as it is; the binding key is what `foldTopic` makes of it. */
export const topicFilterArgument = 'x-mqtt-topic-filter'

const slash = 0x2f
const dot = 0x2e
const plus = 0x2b
const star = 0x2a

/** Looks at the extra region of one entry after another; what `look` finds is in the fields. */
export class NativePart {
  /** 0: there is none. */
  form: number
  /** Position of the form's bytes. */
  at: number
  end: number
  /** MQTT: where a topic of its own lies; size 0: the routing key tells it. */
  topicAt: number
  topicSize: number

  constructor() {
    this.form = 0
    this.at = 0
    this.end = 0
    this.topicAt = 0
    this.topicSize = 0
  }

  // HOT: once per message of MQTT, and per message with further keys
  /** Looks at the region `bytes[at, at + size)`. */
  look(bytes: Uint8Array, at: number, size: number): void {
    this.form = 0
    this.topicSize = 0
    this.end = at + size
    if (size === 0) return
    let to = at + 1
    for (let left = bytes[at] as number; left > 0; left--) to += 1 + (bytes[to] as number)
    if (to >= this.end) return
    this.form = bytes[to] as number
    this.at = to + 1
    if (this.form !== EntryForm.mqtt || ((bytes[to + 1] as number) & MqttFlag.topic) === 0) return
    this.topicAt = to + 4
    this.topicSize = ((bytes[to + 2] as number) << 8) | (bytes[to + 3] as number)
  }
}

// HOT: once per publish
/**
 * How many of the bytes from `at` on, where exchange and routing key lie with the extra region behind
 * them, decide a message's route: further keys do, and an MQTT topic of its own.
 */
export function routingSize(
  bytes: Uint8Array,
  at: number,
  exrkSize: number,
  extraSize: number,
): number {
  if (extraSize === 0) return exrkSize
  const extraAt = at + exrkSize
  const count = bytes[extraAt] as number
  let to = extraAt + 1
  for (let i = 0; i < count; i++) to += 1 + (bytes[to] as number)
  const own =
    to < extraAt + extraSize &&
    bytes[to] === EntryForm.mqtt &&
    ((bytes[to + 1] as number) & MqttFlag.topic) !== 0
  if (own) return to + 4 + (((bytes[to + 2] as number) << 8) | (bytes[to + 3] as number)) - at
  return count === 0 ? exrkSize : to - at
}

/**
 * Whether a topic of its own still is the message's: its routing key begins the key that `foldTopic`
 * makes of it. A dead-lettered message, for one, may have got another key.
 */
export function isFolded(
  topic: Uint8Array,
  topicAt: number,
  topicSize: number,
  key: Uint8Array,
  keyAt: number,
  keySize: number,
): boolean {
  if (keySize > topicSize || (keySize < topicSize && keySize < longestCut)) return false
  for (let i = 0; i < keySize; i++) {
    if (foldByte(topic[topicAt + i] as number) !== key[keyAt + i]) return false
  }
  return true
}

/** The byte of a routing or binding key for one of a topic or topic filter. */
export function foldByte(byte: number): number {
  return byte === slash ? dot : byte === plus ? star : byte
}

/** The routing key of a topic, or the binding key of a topic filter: `/ +` become `. *`. */
export function foldTopic(topic: string): string {
  return topic.replaceAll('/', '.').replaceAll('+', '*')
}

/** A routing key holds 255 bytes; a longer one is cut in front of a character of up to 4 bytes. */
const longestCut = 252
