// Hot packets, written in place. Each function writes at `at` and returns where the packet ends; the
// caller has reserved the room.

import type { Buffer } from 'node:buffer'
import { PacketType } from './constants.ts'

/** Bytes that a variable byte integer takes. */
export function varintSize(value: number): number {
  return value < 128 ? 1 : value < 16_384 ? 2 : value < 2_097_152 ? 3 : 4
}

// HOT: once per PUBLISH
export function writeVarint(to: Buffer, at: number, value: number): number {
  let left = value
  let end = at
  while (left > 127) {
    to[end++] = (left & 127) | 128
    left >>>= 7
  }
  to[end++] = left
  return end
}

export function writeU16(to: Buffer, at: number, value: number): number {
  to[at] = value >> 8
  to[at + 1] = value & 255
  return at + 2
}

/** First byte of a PUBLISH. */
export function publishHead(qos: number, dup: boolean, retain: boolean): number {
  return (PacketType.publish << 4) | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0)
}

/** Most bytes of PUBACK, PUBREC, PUBREL and PUBCOMP as `writeAck` writes them. */
export const ackSizeMax = 5

// HOT: once per acknowledgement
/** `reason` is left out where it is 0, as it must be before MQTT 5. */
export function writeAck(
  to: Buffer,
  at: number,
  type: number,
  packetId: number,
  reason: number,
): number {
  to[at] = (type << 4) | (type === PacketType.pubrel ? 2 : 0)
  to[at + 1] = reason === 0 ? 2 : 3
  to[at + 2] = packetId >> 8
  to[at + 3] = packetId & 255
  if (reason === 0) return at + 4
  to[at + 4] = reason
  return at + 5
}
