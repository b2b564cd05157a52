// The MQTT form of a message's native part (shared/message/native-part.ts), behind flags and topic:
//
//   publisher (8 bytes: a hash of the client id, for no-local)
//   with `packetId`: packet id (u16)
//   with `properties`: expiry in seconds (u32, all ones: none) | when it came, ms since 1970
//     (two u32, high one first) | properties as in the packet, without those that each hop sets

import { createHash } from 'node:crypto'
import { readU16, readU32, readU64 } from '../../../shared/bytes/reader.ts'
import { MqttFlag } from '../../../shared/message/native-part.ts'

export const publisherBytes = 8
/** Bytes in front of the properties. */
export const propertyHeadBytes = 12
export const noExpiry = 0xffff_ffff

/** What stands for a client in the messages it publishes. */
export function publisherHash(clientId: string): Uint8Array {
  return Uint8Array.prototype.slice.call(
    createHash('sha256').update(clientId).digest(),
    0,
    publisherBytes,
  )
}

/** Reads one form after another; the fields are of the last. */
export class MqttForm {
  qos = 0
  retain = false
  publisherAt = 0
  packetId = 0
  /** Seconds; `noExpiry`: none. */
  expirySeconds: number = noExpiry
  /** Milliseconds since 1970; 0 without properties. */
  arrivedAt = 0
  propsAt = 0
  propsSize = 0

  // HOT: once per delivery
  /** Reads the form that lies in `bytes[at, end)`, whose own topic takes `topicSize` bytes (0: none). */
  read(bytes: Uint8Array, at: number, end: number, topicSize: number): void {
    const flags = bytes[at] as number
    let to = at + 1
    if ((flags & MqttFlag.topic) !== 0) to += 2 + topicSize
    this.qos = flags & MqttFlag.qos
    this.retain = (flags & MqttFlag.retain) !== 0
    this.publisherAt = to
    to += publisherBytes
    this.packetId = 0
    this.expirySeconds = noExpiry
    this.propsSize = 0
    if ((flags & (MqttFlag.packetId | MqttFlag.properties)) === 0) return
    if ((flags & MqttFlag.packetId) !== 0) {
      this.packetId = readU16(bytes, to)
      to += 2
    }
    if ((flags & MqttFlag.properties) === 0) return
    this.expirySeconds = readU32(bytes, to)
    this.arrivedAt = readU64(bytes, to + 4)
    this.propsAt = to + propertyHeadBytes
    this.propsSize = end - this.propsAt
  }
}
