// Cuts a byte stream into AMQP 0-9-1 frames without making objects.
//
//   +------+---------+--------+--------- - - ---+------+
//   | type | channel |  size  |     payload     | 0xCE |
//   |  u8  |   u16   |  u32   |   size bytes    |  u8  |
//   +------+---------+--------+--------- - - ---+------+
//
// The decoder is a cursor: next() names the frame and sets the fields of that kind, positions that
// point into `decoder.bytes` (the chunk itself, or the carry-over buffer when a method or header
// frame straddles chunks). Body payloads are never gathered: they come in pieces as they arrive.

import { copyBytes } from '../../../shared/bytes/copy.ts'
import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import { isUtf8 } from '../../../shared/bytes/utf8.ts'
import type { ByteView } from '../../../shared/bytes/view.ts'
import { viewOf } from '../../../shared/bytes/view.ts'
import { ReplyCode } from '../../../shared/errors.ts'
import {
  BASIC_ACK,
  BASIC_NACK,
  BASIC_PUBLISH,
  BASIC_REJECT,
  ClassId,
  CONTENT_HEAD_SIZE,
  CONTENT_SIZE_MAX,
  FRAME_END,
  FRAME_HEAD_SIZE,
  FRAME_MIN_SIZE,
  FRAME_OVERHEAD,
  FrameType,
} from './constants.ts'

/** What next() found. */
export const FrameKind = {
  /** All bytes are used up; the decoder no longer refers to the chunk. */
  needMore: 0,
  /** Any method without a kind of its own: classId, methodId, argsAt, argsSize. */
  method: 1,
  /** exrkAt, exrkSize, exchangeSize, routingKeySize, mandatory, immediate. */
  basicPublish: 2,
  /** classId, contentSize, propsAt, propsSize. */
  contentHeader: 3,
  /** bodyAt, bodySize, frameEnd: a piece of a body frame. */
  contentBody: 4,
  /** deliveryTag, multiple. */
  basicAck: 5,
  /** deliveryTag, multiple, requeue. */
  basicNack: 6,
  /** deliveryTag, requeue. */
  basicReject: 7,
  /** channel only (which must be 0: the session checks). */
  heartbeat: 8,
} as const

export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind]

/**
 * The cursor. Call order: push(chunk), then next() until `needMore` (or stop earlier and go on
 * later), then the next push. The fields of a frame hold until the next call of next() or push().
 *
 * next() throws DecodeError (501 FRAME_ERROR) for bytes that are no frame; then the connection can
 * only be closed. Nothing here knows which frame is legal when: that is the session's business.
 */
export class FrameDecoder {
  /** Negotiated frame_max; a frame may take 8 bytes more, as in RabbitMQ. 0: no limit. */
  frameMax: number
  /** Largest body size that a content header may announce. */
  contentSizeMax: number

  /** What the positions below point into. */
  bytes: Uint8Array = NO_BYTES
  /** Channel of the frame, in every kind. */
  channel = 0

  /** method, contentHeader: the class. */
  classId = 0
  /** method: id within the class. */
  methodId = 0
  /** method: position and size of the arguments, behind class and method id. */
  argsAt = 0
  argsSize = 0

  /** basicPublish: exchange shortstr and routing-key shortstr, length bytes included. */
  exrkAt = 0
  exrkSize = 0
  /** basicPublish: sizes of the two names alone; the exchange name starts at exrkAt + 1. */
  exchangeSize = 0
  routingKeySize = 0
  mandatory = false
  immediate = false

  /** contentHeader: announced size of the whole body. */
  contentSize = 0
  /** contentHeader: property flags and property list. */
  propsAt = 0
  propsSize = 0

  /** contentBody: the piece; may be empty when only the end of its frame came. */
  bodyAt = 0
  bodySize = 0
  /** contentBody: this piece ends its frame and the frame's end byte was right. */
  frameEnd = false

  /** basicAck, basicNack, basicReject: exact up to 2^53 - 1, rounded above (no such tag exists). */
  deliveryTag = 0
  multiple = false
  requeue = false

  private chunk: Uint8Array = NO_BYTES
  /** Of the chunk, where all that `takeContent` has found lies. */
  view: ByteView = viewOf(NO_BYTES)
  private at = 0
  private end = 0
  // A method or header frame (or any frame's head) whose rest has not come yet.
  private carry: Uint8Array = NO_BYTES
  private carrySize = 0
  // Payload bytes of the current body frame still to come; 0: only its end byte; -1: between frames.
  private bodyLeft = -1
  // For rewind(): where the last frame came from and where it began there.
  private source: Source = Source.none
  private frameAt = 0

  constructor(frameMax: number = FRAME_MIN_SIZE, contentSizeMax: number = CONTENT_SIZE_MAX) {
    this.frameMax = frameMax
    this.contentSizeMax = contentSizeMax
  }

  /**
   * Hands over `chunk[from..to)`. The memory must stay as it is until next() gives `needMore` or
   * keep() is called. Bytes left over from an earlier chunk are joined in front (by a copy).
   */
  push(chunk: Uint8Array, from = 0, to: number = chunk.length): void {
    if (this.at < this.end) {
      this.join(chunk, from, to)
      return
    }
    this.chunk = chunk
    this.view = viewOf(chunk)
    this.at = from
    this.end = to
    this.source = Source.none
    // A peer that sent one large method frame does not hold on to the memory for ever.
    if (this.carrySize === 0 && this.carry.length > CARRY_KEPT_SIZE) this.carry = NO_BYTES
  }

  /** Copies the bytes not read yet, so that the caller may use the chunk's memory again. */
  keep(): void {
    if (this.at === this.end) return
    // Not the chunk's own slice(): a Buffer's is a view of the same memory.
    const rest = Uint8Array.prototype.slice.call(this.chunk, this.at, this.end)
    this.chunk = rest
    this.view = viewOf(rest)
    this.at = 0
    this.end = rest.length
    this.source = Source.none
  }

  /** Bytes of the chunk that next() has not consumed. */
  unreadSize(): number {
    return this.end - this.at
  }

  /** Bytes of carry-over memory that the decoder holds. */
  carryCapacity(): number {
    return this.carry.length
  }

  // HOT: no allocation per frame; bench/micro/message-path.ts
  /** Finds the next frame (or piece of a body frame) and sets its fields. */
  next(): FrameKind {
    if (this.bodyLeft >= 0) return this.nextBodyPiece()
    if (this.carrySize > 0) return this.nextCarried()
    const view = this.view
    const at = this.at
    const left = this.end - at
    if (left < FRAME_HEAD_SIZE) return this.carryRest()
    const size = view.getUint32(at + 3)
    const type = view.getUint8(at)
    if (type === FrameType.body) {
      this.at = at + FRAME_HEAD_SIZE
      return this.beginBody(view.getUint16(at + 1), size)
    }
    this.checkHead(type, size)
    if (left < size + FRAME_OVERHEAD) return this.carryRest()
    const payloadAt = at + FRAME_HEAD_SIZE
    const last = view.getUint8(payloadAt + size)
    if (last !== FRAME_END) return badFrameEnd(last)
    this.source = Source.chunk
    this.frameAt = at
    this.at = payloadAt + size + 1
    this.bytes = this.chunk
    this.channel = view.getUint16(at + 1)
    return this.parse(type, view, payloadAt, size)
  }

  // HOT: once per publish; saves two rounds through next()
  /**
   * Directly after `basicPublish`: takes the content header and the one body frame behind it (none
   * for an empty body) if both lie whole in the chunk and take at most `sizeMax` bytes; sets the
   * fields of both. rewind() then puts back all three frames. False: nothing happened, next() gives
   * what is there, or throws what is wrong with it.
   */
  takeContent(sizeMax: number): boolean {
    const { view, channel, end } = this
    const headAt = this.at
    // The smallest content header has no properties.
    if (this.source !== Source.chunk || end - headAt < EMPTY_HEADER_SIZE) return false
    const headSize = view.getUint32(headAt + 3)
    const propsSize = headSize - CONTENT_HEAD_SIZE
    const headEndAt = headAt + FRAME_HEAD_SIZE + headSize
    if (
      view.getUint8(headAt) !== FrameType.header ||
      view.getUint16(headAt + 1) !== channel ||
      propsSize < 2 ||
      headSize > sizeMax ||
      headEndAt >= end ||
      view.getUint8(headEndAt) !== FRAME_END ||
      view.getUint16(headAt + FRAME_HEAD_SIZE) !== ClassId.basic ||
      view.getUint32(headAt + FRAME_HEAD_SIZE + 4) !== 0
    ) {
      return false
    }
    const contentSize = view.getUint32(headAt + FRAME_HEAD_SIZE + 8)
    const bodyAt = headEndAt + 1 + FRAME_HEAD_SIZE
    let to = headEndAt + 1
    if (contentSize > 0) {
      to = bodyAt + contentSize + 1
      if (
        to - headAt > sizeMax ||
        to > end ||
        view.getUint8(headEndAt + 1) !== FrameType.body ||
        view.getUint16(headEndAt + 2) !== channel ||
        view.getUint32(headEndAt + 4) !== contentSize ||
        view.getUint8(to - 1) !== FRAME_END
      ) {
        return false
      }
    }
    this.contentSize = contentSize
    this.propsAt = headAt + FRAME_HEAD_SIZE + CONTENT_HEAD_SIZE
    this.propsSize = propsSize
    this.bodyAt = bodyAt
    this.bodySize = contentSize
    this.at = to
    return true
  }

  /**
   * Puts the last frame or body piece back: next() will give it again. Only directly after next()
   * that gave one (not `needMore`); else nothing happens.
   */
  rewind(): void {
    if (this.source === Source.chunk) {
      this.at = this.frameAt
    } else if (this.source === Source.carry) {
      this.carrySize = this.frameAt
    } else if (this.source === Source.body) {
      this.at = this.bodyAt
      this.bodyLeft = this.frameAt
    }
    this.source = Source.none
  }

  private parse(type: number, view: DataView, at: number, size: number): FrameKind {
    if (type === FrameType.method) return this.parseMethod(view, at, size)
    if (type === FrameType.header) return this.parseContentHeader(view, at, size)
    if (size !== 0) throw new DecodeError(ReplyCode.FRAME_ERROR, 'heartbeat frame with a payload')
    return FrameKind.heartbeat
  }

  private parseMethod(view: DataView, at: number, size: number): FrameKind {
    if (size < 4) return badMethod(0)
    const id = view.getUint32(at)
    if (id === BASIC_PUBLISH) return this.parsePublish(view, at + 4, size - 4)
    if (id === BASIC_ACK) {
      const bits = this.parseSettle(view, at, size)
      this.multiple = (bits & 1) !== 0
      return FrameKind.basicAck
    }
    if (id === BASIC_NACK) {
      const bits = this.parseSettle(view, at, size)
      this.multiple = (bits & 1) !== 0
      this.requeue = (bits & 2) !== 0
      return FrameKind.basicNack
    }
    if (id === BASIC_REJECT) {
      this.requeue = (this.parseSettle(view, at, size) & 1) !== 0
      return FrameKind.basicReject
    }
    this.classId = id >>> 16
    this.methodId = id & 0xffff
    this.argsAt = at + 4
    this.argsSize = size - 4
    return FrameKind.method
  }

  // basic.ack, nack, reject: ids u32, delivery tag u64, bits u8
  private parseSettle(view: DataView, at: number, size: number): number {
    if (size !== SETTLE_PAYLOAD_SIZE) return badMethod(view.getUint32(at))
    const high = view.getUint32(at + 4)
    const low = view.getUint32(at + 8)
    this.deliveryTag = high === 0 ? low : high * 0x1_0000_0000 + low
    return view.getUint8(at + 12)
  }

  // basic.publish: ticket u16, exchange shortstr, routing key shortstr, bits u8
  private parsePublish(view: DataView, argsAt: number, argsSize: number): FrameKind {
    const bitsAt = argsAt + argsSize - 1
    const exrkAt = argsAt + 2
    // The shortest has two empty names: 2 + 1 + 1 + 1 bytes.
    if (argsSize < 5) return badMethod(BASIC_PUBLISH)
    const exchangeSize = view.getUint8(exrkAt)
    const keyAt = exrkAt + 1 + exchangeSize
    if (keyAt >= bitsAt) return badMethod(BASIC_PUBLISH)
    const keySize = view.getUint8(keyAt)
    if (keyAt + 1 + keySize !== bitsAt) return badMethod(BASIC_PUBLISH)
    if (!isAscii(view, exrkAt, bitsAt)) checkNames(this.bytes, exrkAt + 1, keyAt, bitsAt)
    const bits = view.getUint8(bitsAt)
    this.exrkAt = exrkAt
    this.exrkSize = bitsAt - exrkAt
    this.exchangeSize = exchangeSize
    this.routingKeySize = keySize
    this.mandatory = (bits & 1) !== 0
    this.immediate = (bits & 2) !== 0
    return FrameKind.basicPublish
  }

  // class u16, weight u16, body size u64, property flags u16, property list
  private parseContentHeader(view: DataView, at: number, size: number): FrameKind {
    if (size < CONTENT_HEAD_SIZE + 2) {
      throw new DecodeError(ReplyCode.FRAME_ERROR, 'content header frame too short')
    }
    const contentSize = view.getUint32(at + 8)
    if (view.getUint32(at + 4) !== 0 || contentSize > this.contentSizeMax) {
      throw new DecodeError(ReplyCode.FRAME_ERROR, 'content size out of range')
    }
    this.classId = view.getUint16(at)
    this.contentSize = contentSize
    this.propsAt = at + CONTENT_HEAD_SIZE
    this.propsSize = size - CONTENT_HEAD_SIZE
    return FrameKind.contentHeader
  }

  private beginBody(channel: number, size: number): FrameKind {
    this.checkHead(FrameType.body, size)
    this.channel = channel
    this.bodyLeft = size
    return this.nextBodyPiece()
  }

  // Only a piece whose frame end was seen says `frameEnd`, so a message is never taken as complete
  // on the strength of a frame that turns out to be broken.
  private nextBodyPiece(): FrameKind {
    const at = this.at
    const left = this.end - at
    const wanted = this.bodyLeft
    if (left > wanted) {
      const endAt = at + wanted
      const last = this.view.getUint8(endAt)
      if (last !== FRAME_END) return badFrameEnd(last)
      this.at = endAt + 1
      this.bodyLeft = -1
      this.bodySize = wanted
      this.frameEnd = true
    } else if (left > 0) {
      this.at = this.end
      this.bodyLeft = wanted - left
      this.bodySize = left
      this.frameEnd = false
    } else {
      return this.carryRest()
    }
    this.source = Source.body
    this.frameAt = wanted
    this.bytes = this.chunk
    this.bodyAt = at
    return FrameKind.contentBody
  }

  // A frame began in an earlier chunk: complete its head, then (unless it is a body) the whole.
  private nextCarried(): FrameKind {
    if (!this.fillCarry(FRAME_HEAD_SIZE)) return this.carryRest()
    const head = viewOf(this.carry)
    const size = head.getUint32(3)
    const type = head.getUint8(0)
    if (type === FrameType.body) {
      this.carrySize = 0
      return this.beginBody(head.getUint16(1), size)
    }
    this.checkHead(type, size)
    const whole = size + FRAME_OVERHEAD
    if (!this.fillCarry(whole)) return this.carryRest()
    const view = viewOf(this.carry)
    const last = view.getUint8(whole - 1)
    if (last !== FRAME_END) return badFrameEnd(last)
    this.source = Source.carry
    this.frameAt = whole
    this.carrySize = 0
    this.bytes = this.carry
    this.channel = view.getUint16(1)
    return this.parse(type, view, FRAME_HEAD_SIZE, size)
  }

  private checkHead(type: number, size: number): void {
    if (
      type !== FrameType.method &&
      type !== FrameType.body &&
      type !== FrameType.header &&
      type !== FrameType.heartbeat
    ) {
      throw new DecodeError(ReplyCode.FRAME_ERROR, `unknown frame type ${type}`)
    }
    if (size > this.frameMax && this.frameMax !== 0) {
      const most = this.frameMax - FRAME_OVERHEAD
      throw new DecodeError(
        ReplyCode.FRAME_ERROR,
        `frame payload of ${size} bytes, at most ${most}`,
      )
    }
  }

  // Moves chunk bytes behind the carried ones until there are `size`; false if the chunk ran out.
  private fillCarry(size: number): boolean {
    const missing = size - this.carrySize
    if (missing <= 0) return true
    const count = Math.min(missing, this.end - this.at)
    if (count > 0) {
      const held = this.carrySize + count
      if (held > this.carry.length) this.growCarry(held)
      copyBytes(this.chunk, this.at, this.carry, this.carrySize, count)
      this.at += count
      this.carrySize = held
    }
    return count === missing
  }

  // Doubles by what has come, never by what a frame head announces: memory follows traffic.
  private growCarry(held: number): void {
    const larger = new Uint8Array(Math.max(held, 2 * this.carry.length, CARRY_FIRST_SIZE))
    larger.set(this.carry.subarray(0, this.carrySize))
    this.carry = larger
  }

  // Out of bytes: saves the rest of the chunk, if any, and lets go of it.
  private carryRest(): FrameKind {
    const left = this.end - this.at
    if (left > 0) this.fillCarry(this.carrySize + left)
    this.chunk = NO_BYTES
    this.view = viewOf(NO_BYTES)
    this.at = 0
    this.end = 0
    this.source = Source.none
    return FrameKind.needMore
  }

  private join(chunk: Uint8Array, from: number, to: number): void {
    const left = this.end - this.at
    const joined = new Uint8Array(left + to - from)
    joined.set(this.chunk.subarray(this.at, this.end))
    joined.set(chunk.subarray(from, to), left)
    this.chunk = joined
    this.view = viewOf(joined)
    this.at = 0
    this.end = joined.length
    this.source = Source.none
  }
}

// HOT: four bytes at a time. The range takes in the length bytes of both names, which are below 128
// nearly always; where one is not, checkNames decides.
function isAscii(view: DataView, from: number, to: number): boolean {
  let seen = 0
  let at = from
  for (; at + 4 <= to; at += 4) seen |= view.getInt32(at)
  for (; at < to; at++) seen |= view.getUint8(at)
  return (seen & 0x8080_8080) === 0
}

function checkNames(bytes: Uint8Array, exchangeAt: number, keyAt: number, end: number): void {
  if (!isUtf8(bytes, exchangeAt, keyAt) || !isUtf8(bytes, keyAt + 1, end)) {
    throw new DecodeError(ReplyCode.FRAME_ERROR, 'Malformed UTF-8 in shortstr')
  }
}

function badFrameEnd(byte: number): never {
  throw new DecodeError(ReplyCode.FRAME_ERROR, `frame ends with ${byte}, not with ${FRAME_END}`)
}

function badMethod(id: number): never {
  const name = `${id >>> 16}.${id & 0xffff}`
  throw new DecodeError(ReplyCode.FRAME_ERROR, `malformed arguments of method ${name}`)
}

/** A content header frame without properties: head 7, fixed part 12, flags 2, end 1. */
const EMPTY_HEADER_SIZE: number = FRAME_OVERHEAD + CONTENT_HEAD_SIZE + 2

const Source = { none: 0, chunk: 1, carry: 2, body: 3 } as const
type Source = (typeof Source)[keyof typeof Source]

/** Payload of basic.ack, nack and reject: ids (4), delivery tag (8), bits (1). */
const SETTLE_PAYLOAD_SIZE = 13

const NO_BYTES = new Uint8Array(0)

/** Most methods fit; the buffer doubles for those that do not. */
const CARRY_FIRST_SIZE = 256

/** Carry-over memory that a connection keeps between frames. */
const CARRY_KEPT_SIZE = 4096
