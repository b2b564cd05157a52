// From bytes to packets. The hot packets (PUBLISH and its acknowledgements) are read where they lie:
// `next` sets fields that point into `bytes`. All others are given as a whole, for codec/packets.ts.
//
//   packet   type << 4 | flags | remaining length (1-4 bytes) | that many bytes
//   PUBLISH  topic (u16 size, bytes) | with QoS > 0: packet id | MQTT 5: properties | payload
//   PUBACK.. packet id | MQTT 5, may be left out: reason code | properties

import { Buffer } from 'node:buffer'
import { PacketType, Reason, Version, varintBytesMax } from './constants.ts'
import { fault, malformed, protocolError } from './fault.ts'

const noBytes = Buffer.alloc(0)
/** A packet that comes in pieces is gathered in memory that grows with what has come. */
const firstPartBytes = 4096

export class PacketDecoder {
  /** Largest packet that is taken, its first byte and length included. */
  sizeMax: number
  /** Set by CONNECT; what the packets behind it look like depends on it. */
  version: Version
  /** Of the last packet: the memory that the positions below point into. */
  bytes: Buffer
  /** The whole packet. */
  packetAt: number
  packetEnd: number
  /** The four low bits of the first byte. */
  flags: number
  // PUBLISH
  qos: number
  dup: boolean
  retain: boolean
  topicAt: number
  topicSize: number
  payloadAt: number
  payloadSize: number
  // PUBLISH with QoS > 0, PUBACK, PUBREC, PUBREL, PUBCOMP
  packetId: number
  // MQTT 5: properties without their length
  propsAt: number
  propsSize: number
  // PUBACK, PUBREC, PUBREL, PUBCOMP
  reason: number
  private chunk: Buffer
  private at: number
  private end: number
  /** The begin of a packet whose rest is still to come. */
  private part: Buffer
  private partSize: number
  /** The last packet lies in `part`, not in the chunk. */
  private inPart: boolean
  /** `unread` was called for a packet in `part`. */
  private again: boolean

  constructor(sizeMax: number) {
    this.sizeMax = sizeMax
    this.version = Version.mqtt311
    this.bytes = noBytes
    this.packetAt = 0
    this.packetEnd = 0
    this.flags = 0
    this.qos = 0
    this.dup = false
    this.retain = false
    this.topicAt = 0
    this.topicSize = 0
    this.payloadAt = 0
    this.payloadSize = 0
    this.packetId = 0
    this.propsAt = 0
    this.propsSize = 0
    this.reason = 0
    this.chunk = noBytes
    this.at = 0
    this.end = 0
    this.part = noBytes
    this.partSize = 0
    this.inPart = false
    this.again = false
  }

  /** Takes a chunk; everything of the one before must have been read. */
  push(chunk: Buffer): void {
    this.chunk = chunk
    this.at = 0
    this.end = chunk.length
  }

  /** Whether bytes are left that `next` has not looked at. */
  unfinished(): boolean {
    return this.at < this.end || this.again
  }

  /** The memory of the chunk is about to be used again: copies what has not been read. */
  keep(): void {
    if (this.at < this.end) {
      this.chunk = Buffer.from(this.chunk.subarray(this.at, this.end))
      this.end -= this.at
      this.at = 0
    } else {
      this.chunk = noBytes
      this.at = 0
      this.end = 0
    }
    if (!this.inPart) this.bytes = noBytes
  }

  // HOT: once per packet
  /** The type of the next packet, 0: more bytes are needed. Throws DecodeError. */
  next(): number {
    if (this.partSize > 0 || this.again) return this.nextInPart()
    const { chunk, at, end } = this
    if (end - at < 2) return this.keepPart()
    let size = chunk[at + 1] as number
    let to = at + 2
    if (size > 127) {
      size &= 127
      let scale = 128
      for (;;) {
        if (to >= end) return this.keepPart()
        const byte = chunk[to++] as number
        size += (byte & 127) * scale
        if (byte < 128) {
          if (byte === 0 && this.version === Version.mqtt5) malformed('an overlong length')
          break
        }
        if (to - at > varintBytesMax) malformed('a remaining length of more than four bytes')
        scale *= 128
      }
    }
    if (to + size - at > this.sizeMax) this.tooLarge(to + size - at)
    if (end - to < size) return this.keepPart()
    this.at = to + size
    this.inPart = false
    return this.read(chunk, at, to, to + size)
  }

  /** The last packet can't be dealt with yet: `next` gives it again. */
  unread(): void {
    if (this.inPart) this.again = true
    else this.at = this.packetAt
  }

  private nextInPart(): number {
    if (this.again) {
      this.again = false
      return this.read(this.part, 0, headEnd(this.part), this.packetEnd)
    }
    // At most five bytes, one by one: they say how many there are in all.
    let total = this.partTotal()
    while (total < 0 && this.at < this.end) {
      this.grow(this.partSize + 1)
      this.part[this.partSize++] = this.chunk[this.at++] as number
      total = this.partTotal()
    }
    if (total < 0) return 0
    if (total > this.sizeMax) this.tooLarge(total)
    const count = Math.min(total - this.partSize, this.end - this.at)
    this.grow(this.partSize + count)
    this.chunk.copy(this.part, this.partSize, this.at, this.at + count)
    this.at += count
    this.partSize += count
    if (this.partSize < total) return 0
    this.partSize = 0
    this.inPart = true
    const type = this.read(this.part, 0, headEnd(this.part), total)
    return type
  }

  /** The size of the packet that `part` begins with, -1 if that is not known yet. */
  private partTotal(): number {
    let size = 0
    let scale = 1
    for (let i = 1; i < this.partSize; i++) {
      const byte = this.part[i] as number
      size += (byte & 127) * scale
      if (byte < 128) {
        if (i > 1 && byte === 0 && this.version === Version.mqtt5) malformed('an overlong length')
        return i + 1 + size
      }
      if (i === varintBytesMax) malformed('a remaining length of more than four bytes')
      scale *= 128
    }
    return -1
  }

  private keepPart(): number {
    const size = this.end - this.at
    if (size === 0) return 0
    this.part = noBytes
    this.grow(size)
    this.chunk.copy(this.part, 0, this.at, this.end)
    this.partSize = size
    this.at = this.end
    return this.partTotal() > this.sizeMax ? this.tooLarge(this.partTotal()) : 0
  }

  private grow(size: number): void {
    if (this.part.length >= size) return
    const known = this.partTotal()
    const wanted = Math.max(size, Math.min(2 * this.part.length, known), 8)
    const larger = Buffer.allocUnsafeSlow(size > firstPartBytes ? wanted : Math.max(size, 64))
    this.part.copy(larger, 0, 0, this.partSize)
    this.part = larger
  }

  private tooLarge(size: number): never {
    return fault(Reason.packetTooLarge, `a packet of ${size} bytes; ${this.sizeMax} are allowed`)
  }

  // HOT: once per packet
  private read(bytes: Buffer, at: number, body: number, end: number): number {
    const first = bytes[at] as number
    const type = first >> 4
    const flags = first & 15
    this.bytes = bytes
    this.packetAt = at
    this.packetEnd = end
    this.flags = flags
    if (type === PacketType.publish) this.readPublish(bytes, flags, body, end)
    else if (type >= PacketType.puback && type <= PacketType.pubcomp) {
      if (flags !== (type === PacketType.pubrel ? 2 : 0)) this.wrongFlags(type, flags)
      this.readAck(bytes, type, body, end)
    } else {
      const needed = type === PacketType.subscribe || type === PacketType.unsubscribe ? 2 : 0
      if (flags !== needed) this.wrongFlags(type, flags)
      if (type === 0) malformed('packet type 0')
    }
    return type
  }

  /** [MQTT-2.1.3-1]; only MQTT 3.1 knows repeated packets other than PUBLISH. */
  private wrongFlags(type: number, flags: number): void {
    const repeats =
      this.version === Version.mqtt31 &&
      (type === PacketType.pubrel ||
        type === PacketType.subscribe ||
        type === PacketType.unsubscribe)
    if (!repeats || (flags & ~8) !== 2) malformed(`flags ${flags} of packet type ${type}`)
  }

  // HOT: once per PUBLISH
  private readPublish(bytes: Buffer, flags: number, body: number, end: number): void {
    const qos = (flags >> 1) & 3
    if (qos === 3) malformed('QoS 3')
    this.qos = qos
    this.dup = (flags & 8) !== 0
    this.retain = (flags & 1) !== 0
    // [MQTT-3.3.1-2]
    if (qos === 0 && this.dup) malformed('DUP with QoS 0')
    if (end - body < 2) malformed('PUBLISH without a topic')
    const topicSize = ((bytes[body] as number) << 8) | (bytes[body + 1] as number)
    this.topicAt = body + 2
    this.topicSize = topicSize
    let to = body + 2 + topicSize
    this.packetId = 0
    if (qos > 0) {
      if (to + 2 > end) malformed('PUBLISH without a packet id')
      this.packetId = ((bytes[to] as number) << 8) | (bytes[to + 1] as number)
      if (this.packetId === 0) protocolError('packet id 0')
      to += 2
    }
    if (to > end) malformed('a topic longer than its packet')
    this.propsSize = 0
    if (this.version === Version.mqtt5) to = this.readProperties(bytes, to, end)
    this.payloadAt = to
    this.payloadSize = end - to
  }

  // HOT: once per acknowledgement
  private readAck(bytes: Buffer, type: number, body: number, end: number): void {
    if (end - body < 2) malformed(`packet type ${type} without a packet id`)
    this.packetId = ((bytes[body] as number) << 8) | (bytes[body + 1] as number)
    if (this.packetId === 0) protocolError('packet id 0')
    this.reason = 0
    this.propsSize = 0
    if (end === body + 2) return
    if (this.version !== Version.mqtt5) malformed(`packet type ${type} is too long`)
    this.reason = bytes[body + 2] as number
    if (end > body + 3 && this.readProperties(bytes, body + 3, end) !== end) {
      malformed(`packet type ${type} is too long`)
    }
  }

  /** Reads a property length; returns where the properties end. */
  private readProperties(bytes: Buffer, at: number, end: number): number {
    let size = 0
    let scale = 1
    let to = at
    for (;;) {
      if (to >= end) malformed('no property length')
      const byte = bytes[to++] as number
      size += (byte & 127) * scale
      if (byte < 128) {
        if (byte === 0 && to - at > 1) malformed('an overlong property length')
        break
      }
      if (to - at === varintBytesMax) malformed('a property length of more than four bytes')
      scale *= 128
    }
    if (size > end - to) malformed('properties longer than their packet')
    this.propsAt = to
    this.propsSize = size
    return to + size
  }
}

function headEnd(packet: Buffer): number {
  let to = 2
  while ((packet[to - 1] as number) > 127) to++
  return to
}
