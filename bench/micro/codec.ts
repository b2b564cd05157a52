/** The 0-9-1 codec on small messages: publishes decoded from a chunk, deliveries encoded. */

import { FrameDecoder, FrameKind } from '../../gateways/amqp091/codec/frame.ts'
import { encodeAck, encodeDelivery } from '../../gateways/amqp091/codec/frame-writer.ts'
import { viewOf } from '../../shared/bytes/view.ts'
import { buildPublishBlock } from '../load/publish-block.ts'
import { ACK_FRAME_SIZE, writeAck } from '../load/wire.ts'
import type { Micro } from './harness.ts'

const FRAME_MAX = 131072
const CHUNK_SIZE = 64 * 1024
const OUT_SIZE = 64 * 1024

export function codecMicros(): readonly Micro[] {
  return [
    decodePublishes('codec: decode publish 16 B', 16, CHUNK_SIZE),
    decodePublishes('codec: decode publish 1 KiB', 1024, CHUNK_SIZE),
    decodePublishes('codec: decode publish 16 B, chunks of 1000 bytes', 16, 1000),
    decodeAcks(),
    encodeDeliveries('codec: encode deliver 16 B', 16),
    encodeDeliveries('codec: encode deliver 1 KiB', 1024),
    encodeConfirms(),
  ]
}

function decodePublishes(name: string, bodySize: number, chunkSize: number): Micro {
  const { bytes, count } = buildPublishBlock({
    exchange: '',
    routingKeys: ['bench.queue'],
    bodySize,
    persistent: false,
    frameMax: FRAME_MAX,
    channel: 1,
  })
  const decoder = new FrameDecoder(FRAME_MAX)
  const batch = (): void => {
    let bodies = 0
    for (let at = 0; at < bytes.length; at += chunkSize) {
      decoder.push(bytes, at, Math.min(bytes.length, at + chunkSize))
      for (let kind = decoder.next(); kind !== FrameKind.needMore; kind = decoder.next()) {
        if (kind === FrameKind.contentBody && decoder.frameEnd) bodies++
      }
    }
    if (bodies !== count) throw new Error(`${bodies} bodies out of ${count}`)
  }
  return { name, size: count, batch }
}

function decodeAcks(): Micro {
  const count = 1000
  const bytes = Buffer.alloc(count * ACK_FRAME_SIZE)
  for (let i = 0; i < count; i++) writeAck(bytes, i * ACK_FRAME_SIZE, 1, i + 1, false)
  const decoder = new FrameDecoder(FRAME_MAX)
  const batch = (): void => {
    decoder.push(bytes)
    let last = 0
    while (decoder.next() !== FrameKind.needMore) last = decoder.deliveryTag
    if (last !== count) throw new Error(`last tag ${last}`)
  }
  return { name: 'codec: decode ack', size: count, batch }
}

function encodeDeliveries(name: string, bodySize: number): Micro {
  const exrk = Buffer.from('\x00\x0bbench.queue', 'latin1')
  const props = Buffer.of(0x10, 0x00, 1)
  const entry = Buffer.concat([exrk, props, Buffer.alloc(bodySize)])
  const source = viewOf(entry)
  const consumerTag = viewOf(Buffer.from('\x04ctag', 'latin1'))
  const out = viewOf(new Uint8Array(OUT_SIZE))
  // A generous bound: what the three frames add to the entry is below 100 bytes.
  const count = Math.floor(OUT_SIZE / (entry.length + 100))
  let tag = 0
  const batch = (): void => {
    let at = 0
    for (let i = 0; i < count; i++) {
      tag++
      at = encodeDelivery(
        out,
        at,
        1,
        consumerTag,
        tag,
        false,
        source,
        0,
        exrk.length,
        0,
        props.length,
        bodySize,
      )
    }
  }
  return { name, size: count, batch }
}

function encodeConfirms(): Micro {
  const count = 1000
  const out = new Uint8Array(count * ACK_FRAME_SIZE)
  const batch = (): void => {
    let at = 0
    for (let i = 0; i < count; i++) at = encodeAck(out, at, 1, i, true)
  }
  return { name: 'codec: encode confirm', size: count, batch }
}
