// The properties of a PUBLISH, checked in one pass and read where they lie. Those that a broker does
// not look at are only stepped over.

import { isUtf8 } from '../../../shared/bytes/utf8.ts'
import { PropertyId } from './constants.ts'
import { malformed, protocolError } from './fault.ts'

/** Reused: `scan` sets everything anew. Positions are into the scanned bytes; -1 for what is absent. */
export class PropertyScan {
  payloadFormat = -1
  /** Seconds; -1: never. */
  expirySeconds = -1
  topicAlias = -1
  contentTypeAt = -1
  contentTypeSize = 0
  responseTopicAt = -1
  responseTopicSize = 0
  correlationAt = -1
  correlationSize = 0
  userPropertyCount = 0
  /** Bytes of all properties but those that each hop sets anew (expiry, alias, subscription ids). */
  lastingSize = 0

  private bytes: Uint8Array = new Uint8Array(0)
  private at = 0
  private end = 0
  private seen = 0

  /** Scans `bytes[at, at + size)`: the properties without their length. Throws DecodeError. */
  scan(bytes: Uint8Array, at: number, size: number): void {
    this.clear()
    if (size === 0) return
    this.bytes = bytes
    this.at = at
    this.end = at + size
    while (this.at < this.end) {
      const from = this.at
      const id = this.u8()
      this.once(id)
      if (this.readOne(id)) this.lastingSize += this.at - from
    }
  }

  /** Copies what `lastingSize` counts to `to[at..]`; the same bytes must have been scanned last. */
  copyLasting(from: Uint8Array, fromAt: number, size: number, to: Uint8Array, at: number): void {
    if (this.lastingSize === size) {
      to.set(from.subarray(fromAt, fromAt + size), at)
      return
    }
    let out = at
    this.bytes = from
    this.at = fromAt
    this.end = fromAt + size
    while (this.at < this.end) {
      const start = this.at
      const id = this.u8()
      if (!this.readOne(id)) continue
      to.set(from.subarray(start, this.at), out)
      out += this.at - start
    }
  }

  private clear(): void {
    this.payloadFormat = -1
    this.expirySeconds = -1
    this.topicAlias = -1
    this.contentTypeAt = -1
    this.contentTypeSize = 0
    this.responseTopicAt = -1
    this.responseTopicSize = 0
    this.correlationAt = -1
    this.correlationSize = 0
    this.userPropertyCount = 0
    this.lastingSize = 0
    this.seen = 0
  }

  private once(id: number): void {
    if (id === PropertyId.userProperty) return
    const bit = 1 << (id & 31)
    // All ids that PUBLISH may carry but 0x23 and 0x26 are below 32.
    const mask = id === PropertyId.topicAlias ? 1 : bit
    if ((this.seen & mask) !== 0) protocolError(`property 0x${id.toString(16)} twice`)
    this.seen |= mask
  }

  /** False for what does not last beyond this hop. */
  private readOne(id: number): boolean {
    switch (id) {
      case PropertyId.payloadFormat:
        this.payloadFormat = this.u8()
        if (this.payloadFormat > 1) protocolError('payload format indicator above 1')
        return true
      case PropertyId.messageExpiry:
        this.expirySeconds = this.u16() * 0x10000 + this.u16()
        return false
      case PropertyId.topicAlias:
        this.topicAlias = this.u16()
        return false
      case PropertyId.contentType:
        this.contentTypeSize = this.text('content type')
        this.contentTypeAt = this.at - this.contentTypeSize
        return true
      case PropertyId.responseTopic:
        this.responseTopicSize = this.text('response topic')
        this.responseTopicAt = this.at - this.responseTopicSize
        this.checkResponseTopic()
        return true
      case PropertyId.correlationData:
        this.correlationSize = this.u16()
        this.correlationAt = this.take(this.correlationSize)
        return true
      case PropertyId.userProperty:
        this.text('name of a user property')
        this.text('value of a user property')
        this.userPropertyCount++
        return true
      case PropertyId.subscriptionId:
        return protocolError('a client may not send a subscription identifier')
      default:
        return malformed(`no property 0x${id.toString(16)} in PUBLISH`)
    }
  }

  private checkResponseTopic(): void {
    for (let i = this.responseTopicAt; i < this.at; i++) {
      const byte = this.bytes[i]
      if (byte === 0x23 || byte === 0x2b) protocolError('a response topic with wildcards')
    }
  }

  private text(what: string): number {
    const size = this.u16()
    const from = this.take(size)
    checkText(this.bytes, from, this.at, what)
    return size
  }

  private u8(): number {
    return this.bytes[this.take(1)] as number
  }

  private u16(): number {
    const from = this.take(2)
    return ((this.bytes[from] as number) << 8) | (this.bytes[from + 1] as number)
  }

  private take(size: number): number {
    const from = this.at
    if (size > this.end - from) malformed('properties end in the middle of one')
    this.at = from + size
    return from
  }
}

/** A UTF-8 string of MQTT: well-formed, without U+0000 [MQTT-1.5.4-1, MQTT-1.5.4-2]. */
export function checkText(bytes: Uint8Array, from: number, to: number, what: string): void {
  if (!isUtf8(bytes, from, to)) malformed(`${what} is not UTF-8`)
  for (let i = from; i < to; i++) if (bytes[i] === 0) malformed(`${what} contains U+0000`)
}
