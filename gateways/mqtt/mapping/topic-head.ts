// The head of a published entry that depends on its topic alone: exchange and routing key, and the
// begin of the native part. A client most often publishes to the same topic again, so it is kept.
//
//   shortstr exchange | shortstr routing key | 0 further keys | form | flags | [u16 size, topic]

import { Buffer } from 'node:buffer'
import { EntryForm } from '../../../shared/bus/wire.ts'
import { isUtf8 } from '../../../shared/bytes/utf8.ts'
import { foldByte, MqttFlag } from '../../../shared/message/native-part.ts'

const routingKeyMax = 255
const dot = 0x2e

export class TopicHead {
  /** Valid up to `size`. */
  bytes: Buffer
  size: number
  exrkSize: number
  /** Where the flags are: the publish's own are added to what is there. */
  flagsAt: number
  flags: number
  /** The topic as published. */
  topic: Buffer
  topicSize: number
  private readonly exchange: Uint8Array

  /** `exchange` is a shortstr. */
  constructor(exchange: Uint8Array) {
    this.exchange = exchange
    this.bytes = noBytes
    this.size = 0
    this.exrkSize = 0
    this.flagsAt = 0
    this.flags = 0
    this.topic = noBytes
    this.topicSize = -1
  }

  // HOT: once per publish
  /** Whether this is the head for the topic `bytes[at, at + size)`. */
  isFor(bytes: Uint8Array, at: number, size: number): boolean {
    if (size !== this.topicSize) return false
    const { topic } = this
    for (let i = 0; i < size; i++) if (topic[i] !== bytes[at + i]) return false
    return true
  }

  /** Builds the head for a topic; false: it is no topic name. */
  build(bytes: Uint8Array, at: number, size: number): boolean {
    let hasDot = false
    for (let i = at; i < at + size; i++) {
      const byte = bytes[i] as number
      // U+0000, # and + [MQTT-1.5.4-2, MQTT-4.7.1-1]
      if (byte === 0 || byte === 0x23 || byte === 0x2b) return false
      if (byte === dot) hasDot = true
    }
    if (size === 0 || !isUtf8(bytes, at, at + size)) return false
    this.topicSize = -1
    const keySize = size <= routingKeyMax ? size : cutAt(bytes, at)
    const own = hasDot || keySize < size
    const exchangeSize = this.exchange.length
    this.exrkSize = exchangeSize + 1 + keySize
    this.size = this.exrkSize + 3 + (own ? 2 + size : 0)
    if (this.bytes.length < this.size) this.bytes = Buffer.allocUnsafeSlow(this.size + 32)
    if (this.topic.length < size) this.topic = Buffer.allocUnsafeSlow(size + 16)
    const to = this.bytes
    to.set(this.exchange, 0)
    to[exchangeSize] = keySize
    for (let i = 0; i < size; i++) this.topic[i] = bytes[at + i] as number
    for (let i = 0; i < keySize; i++) {
      to[exchangeSize + 1 + i] = foldByte(bytes[at + i] as number)
    }
    to[this.exrkSize] = 0
    to[this.exrkSize + 1] = EntryForm.mqtt
    this.flagsAt = this.exrkSize + 2
    this.flags = own ? MqttFlag.topic : 0
    if (own) {
      to[this.flagsAt + 1] = size >> 8
      to[this.flagsAt + 2] = size & 255
      this.topic.copy(to, this.flagsAt + 3, 0, size)
    }
    this.topicSize = size
    return true
  }

  /** The topic as text. */
  text(): string {
    return this.topic.toString('utf8', 0, this.topicSize)
  }

  /** The routing key as text. */
  key(): string {
    return this.bytes.toString('utf8', this.exchange.length + 1, this.exrkSize)
  }
}

/** Where a routing key ends: in front of a character that does not fit. */
function cutAt(bytes: Uint8Array, at: number): number {
  let size = routingKeyMax
  while (((bytes[at + size] as number) & 0xc0) === 0x80) size--
  return size
}

const noBytes = Buffer.alloc(0)
