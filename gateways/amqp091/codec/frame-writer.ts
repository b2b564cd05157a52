// Writes frames in place: `out` at `at`, returning the position behind the last byte written. The
// caller has reserved the room (the ...Size functions give exact sizes). Nothing is allocated.

import { copyBytes } from '../../../shared/bytes/copy.ts'
import { writeU16, writeU32, writeU64 } from '../../../shared/bytes/writer.ts'
import {
  BASIC_ACK,
  BASIC_DELIVER,
  BASIC_GET_OK,
  BASIC_NACK,
  BASIC_RETURN,
  ClassId,
  CONTENT_HEAD_SIZE,
  FRAME_END,
  FRAME_HEAD_SIZE,
  FRAME_OVERHEAD,
  FrameType,
} from './constants.ts'

/** basic.ack, basic.nack: head 7, ids 4, tag 8, bits 1, end 1. */
export const SETTLE_FRAME_SIZE = 21

/** What goes between the frames of a delivery besides names, properties and body. */
const DELIVER_FIXED_SIZE = 21
const GET_OK_FIXED_SIZE = 25
const RETURN_FIXED_SIZE = 14
const HEADER_FIXED_SIZE: number = FRAME_OVERHEAD + CONTENT_HEAD_SIZE

/** Size of a basic.deliver frame; `consumerTagSize` counts the shortstr's length byte too. */
export function deliverFrameSize(consumerTagSize: number, exrkSize: number): number {
  return DELIVER_FIXED_SIZE + consumerTagSize + exrkSize
}

/** Size of a basic.get-ok frame. */
export function getOkFrameSize(exrkSize: number): number {
  return GET_OK_FIXED_SIZE + exrkSize
}

/** Size of a basic.return frame; `replyTextSize` counts the shortstr's length byte too. */
export function returnFrameSize(replyTextSize: number, exrkSize: number): number {
  return RETURN_FIXED_SIZE + replyTextSize + exrkSize
}

/** Size of a content header frame. */
export function headerFrameSize(propsSize: number): number {
  return HEADER_FIXED_SIZE + propsSize
}

/** Size of all body frames of a body, split at `frameMax`; 0 for an empty body, which has none. */
export function bodyFramesSize(bodySize: number, frameMax: number): number {
  if (bodySize === 0) return 0
  return bodySize + FRAME_OVERHEAD * Math.ceil(bodySize / (frameMax - FRAME_OVERHEAD))
}

// HOT: the three frames of most deliveries in one go; bench/micro/codec.ts
/**
 * basic.deliver, content header and, unless the body is empty, one body frame, from an entry that
 * lies contiguously in `entry` at `at`: exrk, `skip` bytes that clients do not see, props, body.
 *
 * `consumerTag` is a shortstr with its length byte. Takes deliverFrameSize + headerFrameSize +
 * bodyFramesSize bytes; the body must fit one frame.
 */
export function encodeDelivery(
  out: Uint8Array,
  outAt: number,
  channel: number,
  consumerTag: Uint8Array,
  deliveryTag: number,
  redelivered: boolean,
  entry: Uint8Array,
  at: number,
  exrkSize: number,
  skip: number,
  propsSize: number,
  bodySize: number,
): number {
  const headerAt = encodeDeliver(
    out,
    outAt,
    channel,
    consumerTag,
    deliveryTag,
    redelivered,
    entry,
    at,
    exrkSize,
  )
  const propsAt = at + exrkSize + skip
  const bodyAt = encodeContentHeader(out, headerAt, channel, bodySize, entry, propsAt, propsSize)
  if (bodySize === 0) return bodyAt
  return encodeBody(out, bodyAt, channel, entry, propsAt + propsSize, bodySize)
}

// HOT: bench/micro/codec.ts
/** basic.deliver; `consumerTag` is a shortstr with its length byte, exrk two shortstrs. */
export function encodeDeliver(
  out: Uint8Array,
  at: number,
  channel: number,
  consumerTag: Uint8Array,
  deliveryTag: number,
  redelivered: boolean,
  exrk: Uint8Array,
  exrkAt: number,
  exrkSize: number,
): number {
  const tagSize = consumerTag.length
  const payloadSize = DELIVER_FIXED_SIZE - FRAME_OVERHEAD + tagSize + exrkSize
  let to = encodeMethodHead(out, at, channel, payloadSize, BASIC_DELIVER)
  copyBytes(consumerTag, 0, out, to, tagSize)
  to += tagSize
  writeU64(out, to, deliveryTag)
  out[to + 8] = redelivered ? 1 : 0
  to += 9
  copyBytes(exrk, exrkAt, out, to, exrkSize)
  to += exrkSize
  out[to] = FRAME_END
  return to + 1
}

/** basic.get-ok; `messageCount` is what stays in the queue. */
export function encodeGetOk(
  out: Uint8Array,
  at: number,
  channel: number,
  deliveryTag: number,
  redelivered: boolean,
  exrk: Uint8Array,
  exrkAt: number,
  exrkSize: number,
  messageCount: number,
): number {
  const payloadSize = GET_OK_FIXED_SIZE - FRAME_OVERHEAD + exrkSize
  let to = encodeMethodHead(out, at, channel, payloadSize, BASIC_GET_OK)
  writeU64(out, to, deliveryTag)
  out[to + 8] = redelivered ? 1 : 0
  to += 9
  copyBytes(exrk, exrkAt, out, to, exrkSize)
  to += exrkSize
  writeU32(out, to, messageCount)
  out[to + 4] = FRAME_END
  return to + 5
}

/** basic.return; `replyText` is a shortstr with its length byte. */
export function encodeReturn(
  out: Uint8Array,
  at: number,
  channel: number,
  replyCode: number,
  replyText: Uint8Array,
  exrk: Uint8Array,
  exrkAt: number,
  exrkSize: number,
): number {
  const textSize = replyText.length
  const payloadSize = RETURN_FIXED_SIZE - FRAME_OVERHEAD + textSize + exrkSize
  let to = encodeMethodHead(out, at, channel, payloadSize, BASIC_RETURN)
  writeU16(out, to, replyCode)
  to += 2
  copyBytes(replyText, 0, out, to, textSize)
  to += textSize
  copyBytes(exrk, exrkAt, out, to, exrkSize)
  to += exrkSize
  out[to] = FRAME_END
  return to + 1
}

/** The content header of class basic; props are property flags and list as on the wire. */
export function encodeContentHeader(
  out: Uint8Array,
  at: number,
  channel: number,
  contentSize: number,
  props: Uint8Array,
  propsAt: number,
  propsSize: number,
): number {
  const to = encodeFrameHead(out, at, FrameType.header, channel, CONTENT_HEAD_SIZE + propsSize)
  writeU32(out, to, ClassId.basic << 16)
  writeU64(out, to + 4, contentSize)
  copyBytes(props, propsAt, out, to + CONTENT_HEAD_SIZE, propsSize)
  const endAt = to + CONTENT_HEAD_SIZE + propsSize
  out[endAt] = FRAME_END
  return endAt + 1
}

/** One whole body frame. */
export function encodeBody(
  out: Uint8Array,
  at: number,
  channel: number,
  body: Uint8Array,
  bodyAt: number,
  bodySize: number,
): number {
  const to = encodeFrameHead(out, at, FrameType.body, channel, bodySize)
  copyBytes(body, bodyAt, out, to, bodySize)
  out[to + bodySize] = FRAME_END
  return to + bodySize + 1
}

/** The 7 bytes in front of a body payload that is sent on its own; end it with encodeFrameEnd. */
export function encodeBodyHead(
  out: Uint8Array,
  at: number,
  channel: number,
  payloadSize: number,
): number {
  return encodeFrameHead(out, at, FrameType.body, channel, payloadSize)
}

/** The byte behind a payload. */
export function encodeFrameEnd(out: Uint8Array, at: number): number {
  out[at] = FRAME_END
  return at + 1
}

/** basic.ack from the broker to a publisher: SETTLE_FRAME_SIZE bytes. */
export function encodeAck(
  out: Uint8Array,
  at: number,
  channel: number,
  deliveryTag: number,
  multiple: boolean,
): number {
  return encodeSettle(out, at, channel, BASIC_ACK, deliveryTag, multiple)
}

/** basic.nack from the broker to a publisher: SETTLE_FRAME_SIZE bytes. */
export function encodeNack(
  out: Uint8Array,
  at: number,
  channel: number,
  deliveryTag: number,
  multiple: boolean,
): number {
  return encodeSettle(out, at, channel, BASIC_NACK, deliveryTag, multiple)
}

/** A heartbeat: FRAME_OVERHEAD bytes. */
export function encodeHeartbeat(out: Uint8Array, at: number): number {
  const to = encodeFrameHead(out, at, FrameType.heartbeat, 0, 0)
  out[to] = FRAME_END
  return to + 1
}

function encodeSettle(
  out: Uint8Array,
  at: number,
  channel: number,
  method: number,
  deliveryTag: number,
  multiple: boolean,
): number {
  const to = encodeMethodHead(out, at, channel, SETTLE_FRAME_SIZE - FRAME_OVERHEAD, method)
  writeU64(out, to, deliveryTag)
  out[to + 8] = multiple ? 1 : 0
  out[to + 9] = FRAME_END
  return to + 10
}

function encodeMethodHead(
  out: Uint8Array,
  at: number,
  channel: number,
  payloadSize: number,
  method: number,
): number {
  const to = encodeFrameHead(out, at, FrameType.method, channel, payloadSize)
  writeU32(out, to, method)
  return to + 4
}

function encodeFrameHead(
  out: Uint8Array,
  at: number,
  type: number,
  channel: number,
  payloadSize: number,
): number {
  out[at] = type
  writeU16(out, at + 1, channel)
  writeU32(out, at + 3, payloadSize)
  return at + FRAME_HEAD_SIZE
}
