// Writes frames in place: `out` at `at`, returning the position behind the last byte written. The
// caller has reserved the room (the ...Size functions give exact sizes). Nothing is allocated.

import { copyBytes, copyLong, copyWords, WORD_COPY_MAX } from '../../../shared/bytes/copy.ts'
import type { ByteView } from '../../../shared/bytes/view.ts'
import { viewOf } from '../../../shared/bytes/view.ts'
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

// HOT: the three frames of most deliveries in one go; bench/micro/message-path.ts
/**
 * basic.deliver, content header and, unless the body is empty, one body frame, into `view` at `outAt`,
 * from an entry that lies contiguously in `source` at `at`: exrk, `skip` bytes that clients do not see,
 * props, body. `consumerTag` is a shortstr with its length byte. Takes deliverFrameSize + headerFrameSize +
 * bodyFramesSize bytes; the body must fit one frame.
 */
export function encodeDelivery(
  view: ByteView,
  outAt: number,
  channel: number,
  consumerTag: ByteView,
  deliveryTag: number,
  redelivered: boolean,
  source: ByteView,
  at: number,
  exrkSize: number,
  skip: number,
  propsSize: number,
  bodySize: number,
): number {
  // Written out flat: with the put functions below it would pass V8's inlining budget, and the calls
  // that remain cost a third of the whole.
  const tagSize = consumerTag.byteLength
  view.setInt32(outAt, (FrameType.method << 24) | (channel << 8))
  view.setInt32(outAt + 3, DELIVER_FIXED_SIZE - FRAME_OVERHEAD + tagSize + exrkSize)
  view.setInt32(outAt + 7, BASIC_DELIVER)
  let to = outAt + 11
  copyWords(consumerTag, 0, view, to, tagSize)
  to += tagSize
  putTag(view, to, deliveryTag)
  view.setUint8(to + 8, redelivered ? 1 : 0)
  to += 9
  copyWords(source, at, view, to, exrkSize)
  to += exrkSize
  view.setUint8(to, FRAME_END)

  view.setInt32(to + 1, (FrameType.header << 24) | (channel << 8))
  view.setInt32(to + 4, CONTENT_HEAD_SIZE + propsSize)
  view.setInt32(to + 8, ClassId.basic << 16)
  view.setInt32(to + 12, 0)
  view.setInt32(to + 16, bodySize)
  to += 20
  let from = at + exrkSize + skip
  if (propsSize <= WORD_COPY_MAX) copyWords(source, from, view, to, propsSize)
  else copyLong(source.bytes, from, view.bytes, to, propsSize)
  to += propsSize
  from += propsSize
  view.setUint8(to, FRAME_END)
  if (bodySize === 0) return to + 1

  view.setInt32(to + 1, (FrameType.body << 24) | (channel << 8))
  view.setInt32(to + 4, bodySize)
  to += 8
  if (bodySize <= WORD_COPY_MAX) copyWords(source, from, view, to, bodySize)
  else copyLong(source.bytes, from, view.bytes, to, bodySize)
  to += bodySize
  view.setUint8(to, FRAME_END)
  return to + 1
}

// HOT: bench/micro/message-path.ts
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
  const view = viewOf(out)
  const tagSize = consumerTag.length
  const payloadSize = DELIVER_FIXED_SIZE - FRAME_OVERHEAD + tagSize + exrkSize
  let to = putMethodHead(view, at, channel, payloadSize, BASIC_DELIVER)
  copyWords(viewOf(consumerTag), 0, view, to, tagSize)
  to = putDelivery(view, to + tagSize, deliveryTag, redelivered)
  copyWords(viewOf(exrk), exrkAt, view, to, exrkSize)
  view.setUint8(to + exrkSize, FRAME_END)
  return to + exrkSize + 1
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
  const view = viewOf(out)
  const payloadSize = GET_OK_FIXED_SIZE - FRAME_OVERHEAD + exrkSize
  let to = putMethodHead(view, at, channel, payloadSize, BASIC_GET_OK)
  to = putDelivery(view, to, deliveryTag, redelivered)
  copyWords(viewOf(exrk), exrkAt, view, to, exrkSize)
  to += exrkSize
  view.setUint32(to, messageCount)
  view.setUint8(to + 4, FRAME_END)
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
  const view = viewOf(out)
  const textSize = replyText.length
  const payloadSize = RETURN_FIXED_SIZE - FRAME_OVERHEAD + textSize + exrkSize
  let to = putMethodHead(view, at, channel, payloadSize, BASIC_RETURN)
  view.setUint16(to, replyCode)
  to += 2
  copyWords(viewOf(replyText), 0, view, to, textSize)
  to += textSize
  copyWords(viewOf(exrk), exrkAt, view, to, exrkSize)
  view.setUint8(to + exrkSize, FRAME_END)
  return to + exrkSize + 1
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
  const view = viewOf(out)
  const to = putContentHead(view, at, channel, contentSize, propsSize)
  copyBytes(props, propsAt, out, to, propsSize)
  view.setUint8(to + propsSize, FRAME_END)
  return to + propsSize + 1
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
  const view = viewOf(out)
  const to = putFrameHead(view, at, FrameType.body, channel, bodySize)
  copyBytes(body, bodyAt, out, to, bodySize)
  view.setUint8(to + bodySize, FRAME_END)
  return to + bodySize + 1
}

/** The 7 bytes in front of a body payload that is sent on its own; end it with encodeFrameEnd. */
export function encodeBodyHead(
  out: Uint8Array,
  at: number,
  channel: number,
  payloadSize: number,
): number {
  return putFrameHead(viewOf(out), at, FrameType.body, channel, payloadSize)
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
  return putSettle(viewOf(out), at, channel, BASIC_ACK, deliveryTag, multiple)
}

/** basic.nack from the broker to a publisher: SETTLE_FRAME_SIZE bytes. */
export function encodeNack(
  out: Uint8Array,
  at: number,
  channel: number,
  deliveryTag: number,
  multiple: boolean,
): number {
  return putSettle(viewOf(out), at, channel, BASIC_NACK, deliveryTag, multiple)
}

/** A heartbeat: FRAME_OVERHEAD bytes. */
export function encodeHeartbeat(out: Uint8Array, at: number): number {
  const to = putFrameHead(viewOf(out), at, FrameType.heartbeat, 0, 0)
  out[to] = FRAME_END
  return to + 1
}

function putSettle(
  view: DataView,
  at: number,
  channel: number,
  method: number,
  deliveryTag: number,
  multiple: boolean,
): number {
  const to = putMethodHead(view, at, channel, SETTLE_FRAME_SIZE - FRAME_OVERHEAD, method)
  const endAt = putDelivery(view, to, deliveryTag, multiple)
  view.setUint8(endAt, FRAME_END)
  return endAt + 1
}

// Delivery tag and the one bit that follows it in deliver, get-ok, ack and nack.
function putDelivery(view: DataView, at: number, deliveryTag: number, bit: boolean): number {
  putTag(view, at, deliveryTag)
  view.setUint8(at + 8, bit ? 1 : 0)
  return at + 9
}

// Tags up to 2^31 - 1, nearly all, stay in integer arithmetic.
function putTag(view: DataView, at: number, deliveryTag: number): void {
  if (deliveryTag <= 0x7fff_ffff) {
    view.setInt32(at, 0)
    view.setInt32(at + 4, deliveryTag)
  } else {
    putLargeTag(view, at, deliveryTag)
  }
}

function putLargeTag(view: DataView, at: number, deliveryTag: number): void {
  const high = Math.floor(deliveryTag / 0x1_0000_0000)
  view.setUint32(at, high)
  view.setUint32(at + 4, deliveryTag - high * 0x1_0000_0000)
}

function putContentHead(
  view: DataView,
  at: number,
  channel: number,
  contentSize: number,
  propsSize: number,
): number {
  const to = putFrameHead(view, at, FrameType.header, channel, CONTENT_HEAD_SIZE + propsSize)
  view.setInt32(to, ClassId.basic << 16)
  // CONTENT_SIZE_MAX fits the lower half.
  view.setInt32(to + 4, 0)
  view.setInt32(to + 8, contentSize)
  return to + CONTENT_HEAD_SIZE
}

function putMethodHead(
  view: DataView,
  at: number,
  channel: number,
  payloadSize: number,
  method: number,
): number {
  const to = putFrameHead(view, at, FrameType.method, channel, payloadSize)
  view.setInt32(to, method)
  return to + 4
}

function putFrameHead(
  view: DataView,
  at: number,
  type: number,
  channel: number,
  payloadSize: number,
): number {
  view.setUint8(at, type)
  view.setUint16(at + 1, channel)
  view.setInt32(at + 3, payloadSize)
  return at + FRAME_HEAD_SIZE
}
