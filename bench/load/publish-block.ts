/**
 * Many whole publishes of equal length, encoded once: the generator then writes slices of the block
 * and does nothing per message.
 */

import {
  FRAME_HEADER_SIZE,
  FrameKind,
  frame,
  MethodId,
  methodFrame,
  short,
  u8,
  u16,
} from './wire.ts'

/** Bytes a block holds at least, unless one message is larger. */
const BLOCK_SIZE_MIN = 128 * 1024

/** A run of encoded publishes. */
export type PublishBlock = {
  readonly bytes: Buffer
  /** Publishes in the block. */
  readonly count: number
  /** Bytes of one publish, method to last body frame. */
  readonly messageSize: number
  /** Where in a publish its body begins (the time stamp goes there). */
  readonly bodyAt: number
}

/** What is published. */
export type PublishShape = {
  readonly exchange: string
  /** Routing keys, all of one length, used in turn. */
  readonly routingKeys: readonly string[]
  readonly bodySize: number
  readonly persistent: boolean
  /** As in LoadOptions. */
  readonly priorities?: number
  readonly expiration?: number
  readonly frameMax: number
  readonly channel: number
}

/** Encodes a block of at least 128 KiB, or of one message when that is larger. */
export function buildPublishBlock(shape: PublishShape): PublishBlock {
  const first = encodePublish(shape, 0)
  const count = Math.max(1, shape.routingKeys.length, Math.ceil(BLOCK_SIZE_MIN / first.length))
  const bytes = Buffer.alloc(count * first.length)
  for (let i = 0; i < count; i++) {
    const message = encodePublish(shape, i)
    if (message.length !== first.length) throw new Error('routing keys of different length')
    bytes.set(message, i * first.length)
  }
  const head = publishMethod(shape, shape.routingKeys[0] ?? '').length
  const header = contentHeader(shape, 0).length
  return {
    bytes,
    count,
    messageSize: first.length,
    bodyAt: head + header + FRAME_HEADER_SIZE,
  }
}

function encodePublish(shape: PublishShape, i: number): Buffer {
  const routingKey = shape.routingKeys[i % shape.routingKeys.length] ?? ''
  const frames = [publishMethod(shape, routingKey), contentHeader(shape, i)]
  const bodyMax = shape.frameMax - FRAME_HEADER_SIZE - 1
  for (let at = 0; at < shape.bodySize; at += bodyMax) {
    const size = Math.min(bodyMax, shape.bodySize - at)
    frames.push(frame(FrameKind.body, shape.channel, Buffer.alloc(size, 0x61)))
  }
  return Buffer.concat(frames)
}

function publishMethod(shape: PublishShape, routingKey: string): Buffer {
  const keys = [short(shape.exchange), short(routingKey)]
  return methodFrame(shape.channel, MethodId.basicPublish, u16(0), ...keys, u8(0))
}

/** Class, weight, body size, and properties: delivery-mode, and what else is asked for. */
function contentHeader(shape: PublishShape, i: number): Buffer {
  const { priorities = 0, expiration = 0 } = shape
  const head = Buffer.alloc(14)
  head.writeUInt16BE(60, 0)
  head.writeUInt32BE(shape.bodySize, 8)
  const flags = (1 << 12) | (priorities > 0 ? 1 << 11 : 0) | (expiration > 0 ? 1 << 8 : 0)
  head.writeUInt16BE(flags, 12)
  const properties: Uint8Array[] = [u8(shape.persistent ? 2 : 1)]
  if (priorities > 0) properties.push(u8(i % priorities))
  if (expiration > 0) properties.push(short(String(expiration)))
  return frame(FrameKind.header, shape.channel, Buffer.concat([head, ...properties]))
}
