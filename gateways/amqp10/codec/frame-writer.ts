// Frames to bytes. The hot ones (transfer, disposition, flow) are written in place.

import { viewOf } from '../../../shared/bytes/view.ts'
import type { Writer } from '../../../shared/bytes/writer.ts'
import { writeU32 } from '../../../shared/bytes/writer.ts'
import { writeComposite } from './composite.ts'
import { Code } from './constructors.ts'
import type { CompositeFields, CompositeKind } from './spec.ts'
import { Descriptor } from './spec.ts'

/** Bytes in front of a frame's body. */
export const FRAME_HEAD = 8

/** `AMQP 0 1 0 0` and `AMQP 3 1 0 0`. */
export const HEADER_AMQP: Uint8Array = Uint8Array.of(0x41, 0x4d, 0x51, 0x50, 0, 1, 0, 0)
export const HEADER_SASL: Uint8Array = Uint8Array.of(0x41, 0x4d, 0x51, 0x50, 3, 1, 0, 0)

/** Appends a frame with one performative and no payload. */
export function writeFrame<K extends CompositeKind>(
  writer: Writer,
  type: number,
  channel: number,
  kind: K,
  fields: CompositeFields<K>,
): void {
  const from = writer.reserve(FRAME_HEAD)
  writeComposite(writer, kind, fields)
  const { bytes } = writer
  writeU32(bytes, from, writer.at - from)
  bytes[from + 4] = 2
  bytes[from + 5] = type
  bytes[from + 6] = channel >> 8
  bytes[from + 7] = channel & 0xff
}

/** Bytes that `encodeTransfer` may take. */
export const TRANSFER_SIZE_MAX = 48

// HOT: once per transfer
/**
 * Writes a frame's head and a transfer up to its payload of `payloadSize` bytes; returns where that
 * begins. The delivery-tag is the delivery-id, big-endian.
 */
export function encodeTransfer(
  bytes: Uint8Array,
  at: number,
  channel: number,
  handle: number,
  deliveryId: number,
  settled: boolean,
  more: boolean,
  payloadSize: number,
): number {
  const view = viewOf(bytes)
  let to = at + FRAME_HEAD
  view.setUint32(to, (Code.smallUlong << 16) | (Descriptor.transfer << 8) | Code.list8)
  // Behind the list's size and count.
  to = encodeUint(view, to + 6, handle)
  view.setUint8(to, Code.uint)
  view.setUint32(to + 1, deliveryId)
  view.setUint16(to + 5, (Code.binary8 << 8) | 4)
  view.setUint32(to + 7, deliveryId)
  view.setUint16(to + 11, (Code.uint0 << 8) | (settled ? Code.true : Code.false))
  to += 13
  let count = 5
  if (more) {
    view.setUint8(to++, Code.true)
    count = 6
  }
  view.setUint8(at + 12, to - at - 13)
  view.setUint8(at + 13, count)
  view.setUint32(at, to - at + payloadSize)
  view.setUint32(at + 4, 0x0200_0000 | channel)
  return to
}

export const DISPOSITION_SIZE_MAX = 32

// HOT: once per run of confirms
/** Writes a disposition with one of the outcomes that have no fields; `role` is true for a receiver. */
export function encodeDisposition(
  bytes: Uint8Array,
  at: number,
  channel: number,
  role: boolean,
  first: number,
  last: number,
  settled: boolean,
  outcome: number,
): number {
  const view = viewOf(bytes)
  view.setUint32(
    at + FRAME_HEAD,
    (Code.smallUlong << 16) | (Descriptor.disposition << 8) | Code.list8,
  )
  view.setUint8(at + 14, role ? Code.true : Code.false)
  view.setUint8(at + 15, Code.uint)
  view.setUint32(at + 16, first)
  let to = at + 20
  if (last === first) view.setUint8(to++, Code.null)
  else {
    view.setUint8(to, Code.uint)
    view.setUint32(to + 1, last)
    to += 5
  }
  view.setUint8(to, settled ? Code.true : Code.false)
  view.setUint8(to + 1, Code.described)
  view.setUint16(to + 2, (Code.smallUlong << 8) | outcome)
  view.setUint8(to + 4, Code.list0)
  to += 5
  view.setUint8(at + 12, to - at - 13)
  view.setUint8(at + 13, 5)
  view.setUint32(at, to - at)
  view.setUint32(at + 4, 0x0200_0000 | channel)
  return to
}

export const FLOW_SIZE_MAX = 64

// HOT: once per grant of credit
/** Writes a flow; `handle` -1: of the session alone. `available` and `drain` are those of a sender. */
export function encodeFlow(
  bytes: Uint8Array,
  at: number,
  channel: number,
  nextIncomingId: number,
  incomingWindow: number,
  nextOutgoingId: number,
  handle: number,
  deliveryCount: number,
  linkCredit: number,
  available: number,
  drain: boolean,
): number {
  const view = viewOf(bytes)
  view.setUint32(at + FRAME_HEAD, (Code.smallUlong << 16) | (Descriptor.flow << 8) | Code.list8)
  let to = encodeUint(view, at + 14, nextIncomingId)
  to = encodeUint(view, to, incomingWindow)
  to = encodeUint(view, to, nextOutgoingId)
  to = encodeUint(view, to, UINT_MAX)
  let count = 4
  if (handle >= 0) {
    to = encodeUint(view, to, handle)
    to = encodeUint(view, to, deliveryCount)
    to = encodeUint(view, to, linkCredit)
    count = 7
    if (available >= 0) {
      to = encodeUint(view, to, available)
      view.setUint8(to++, drain ? Code.true : Code.false)
      count = 9
    }
  }
  view.setUint8(at + 12, to - at - 13)
  view.setUint8(at + 13, count)
  view.setUint32(at, to - at)
  view.setUint32(at + 4, 0x0200_0000 | channel)
  return to
}

/** Our outgoing-window: transfers are held back by the peer's windows alone. */
export const UINT_MAX = 0xffff_ffff

function encodeUint(view: DataView, at: number, value: number): number {
  if (value >= 256) {
    view.setUint8(at, Code.uint)
    view.setUint32(at + 1, value)
    return at + 5
  }
  if (value === 0) {
    view.setUint8(at, Code.uint0)
    return at + 1
  }
  view.setUint8(at, Code.smallUint)
  view.setUint8(at + 1, value)
  return at + 2
}
