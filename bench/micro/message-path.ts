/**
 * The codec on whole messages with realistic names, consumer tags and properties, as a gateway uses
 * it: parse, check properties and store in a slab; deliver from the slab.
 */

import { FrameDecoder, FrameKind } from '../../gateways/amqp091/codec/frame.ts'
import {
  bodyFramesSize,
  deliverFrameSize,
  encodeBody,
  encodeContentHeader,
  encodeDelivery,
  headerFrameSize,
} from '../../gateways/amqp091/codec/frame-writer.ts'
import { encodeMethodFrame } from '../../gateways/amqp091/codec/method.ts'
import { copyBytes } from '../../shared/bytes/copy.ts'
import { shortstrBytes } from '../../shared/bytes/utf8.ts'
import { viewOf } from '../../shared/bytes/view.ts'
import { Writer } from '../../shared/bytes/writer.ts'
import { encodeProperties, PropertyScan } from '../../shared/message/properties.ts'
import type { Micro } from './harness.ts'

const FRAME_MAX = 131_072
const CHUNK_SIZE = 65_536
const SLAB_SIZE = 2 * 1024 * 1024
const EXCHANGE = 'amq.topic'
const ROUTING_KEY = 'bench.key.1'
const CONSUMER_TAG = shortstrBytes('amq.ctag-0123456789abcdefghijkl')
const EXRK = Buffer.concat([shortstrBytes(EXCHANGE), shortstrBytes(ROUTING_KEY)])

const NONE = encodeProperties({})
const PERSISTENT = encodeProperties({ deliveryMode: 2 })
const SEVEN = encodeProperties({
  contentType: 'application/json',
  headers: [
    ['x-trace', { type: 'S', value: '0123456789abcdef' }],
    ['attempt', { type: 'I', value: 1 }],
  ],
  deliveryMode: 2,
  correlationId: '5d41402abc4b2a76',
  replyTo: 'amq.gen-reply',
  messageId: '5d41402abc4b2a76',
  timestamp: 1_700_000_000,
})

export function messagePathMicros(): readonly Micro[] {
  return [
    parse('16 B', 16, NONE),
    parse('16 B, 7 properties', 16, SEVEN),
    store('16 B', 16, NONE),
    store('16 B, 7 properties', 16, SEVEN),
    store('1 KiB', 1024, PERSISTENT),
    store('64 KiB', 65_536, PERSISTENT),
    deliver('16 B', 16, NONE),
    deliver('16 B, 7 properties', 16, SEVEN),
    deliver('1 KiB', 1024, PERSISTENT),
    deliver('64 KiB', 65_536, PERSISTENT),
    scan('none', NONE),
    scan('delivery-mode', PERSISTENT),
    scan('7 properties', SEVEN),
  ]
}

function publishBlock(bodySize: number, props: Uint8Array): { bytes: Buffer; count: number } {
  const method = new Writer()
  encodeMethodFrame(method, 1, {
    kind: 'basic.publish',
    exchange: EXCHANGE,
    routingKey: ROUTING_KEY,
    mandatory: false,
    immediate: false,
  })
  const content = new Uint8Array(
    headerFrameSize(props.length) + bodyFramesSize(bodySize, FRAME_MAX),
  )
  const bodyAt = encodeContentHeader(content, 0, 1, bodySize, props, 0, props.length)
  encodeBody(content, bodyAt, 1, new Uint8Array(bodySize), 0, bodySize)
  const one = Buffer.concat([method.finish(), content])
  const count = Math.max(1, Math.floor(CHUNK_SIZE / one.length))
  const bytes = Buffer.allocUnsafeSlow(count * one.length)
  for (let i = 0; i < count; i++) bytes.set(one, i * one.length)
  return { bytes, count }
}

function parse(name: string, bodySize: number, props: Uint8Array): Micro {
  const { bytes, count } = publishBlock(bodySize, props)
  const decoder = new FrameDecoder(FRAME_MAX)
  const batch = (): void => {
    let bodies = 0
    decoder.push(bytes)
    for (let kind = decoder.next(); kind !== FrameKind.needMore; kind = decoder.next()) {
      if (kind === FrameKind.contentBody) bodies++
    }
    if (bodies !== count) throw new Error(`${bodies} bodies out of ${count}`)
  }
  return { name: `message path: parse ${name}`, size: count, batch }
}

function store(name: string, bodySize: number, props: Uint8Array): Micro {
  const { bytes, count } = publishBlock(bodySize, props)
  const decoder = new FrameDecoder(FRAME_MAX)
  const scan = new PropertyScan()
  const slab = Buffer.from(new SharedArrayBuffer(SLAB_SIZE))
  const batch = (): void => {
    let at = 0
    decoder.push(bytes)
    for (let kind = decoder.next(); kind !== FrameKind.needMore; kind = decoder.next()) {
      if (kind === FrameKind.basicPublish) {
        copyBytes(decoder.bytes, decoder.exrkAt, slab, at, decoder.exrkSize)
        at += decoder.exrkSize
      } else if (kind === FrameKind.contentHeader) {
        scan.scan(decoder.bytes, decoder.propsAt, decoder.propsSize)
        copyBytes(decoder.bytes, decoder.propsAt, slab, at, decoder.propsSize)
        at += decoder.propsSize
      } else if (kind === FrameKind.contentBody) {
        copyBytes(decoder.bytes, decoder.bodyAt, slab, at, decoder.bodySize)
        at += decoder.bodySize
      }
    }
  }
  return { name: `message path: parse, scan, store ${name}`, size: count, batch }
}

function deliver(name: string, bodySize: number, props: Uint8Array): Micro {
  const entrySize = EXRK.length + props.length + bodySize
  const count = Math.max(1, Math.floor(CHUNK_SIZE / entrySize))
  const slab = Buffer.from(new SharedArrayBuffer(SLAB_SIZE))
  for (let i = 0; i < count; i++) slab.set(Buffer.concat([EXRK, props]), i * entrySize)
  const methodSize = deliverFrameSize(CONSUMER_TAG.length, EXRK.length)
  const contentSize = headerFrameSize(props.length) + bodyFramesSize(bodySize, FRAME_MAX)
  const out = Buffer.allocUnsafeSlow(count * (methodSize + contentSize))
  const to = viewOf(out)
  const consumerTag = viewOf(CONSUMER_TAG)
  const source = viewOf(slab)
  let tag = 0
  const batch = (): void => {
    let at = 0
    for (let i = 0; i < count; i++) {
      tag = (tag + 1) & 0xff_ffff
      at = encodeDelivery(
        to,
        at,
        1,
        consumerTag,
        tag,
        false,
        source,
        i * entrySize,
        EXRK.length,
        0,
        props.length,
        bodySize,
      )
    }
  }
  return { name: `message path: deliver ${name}`, size: count, batch }
}

function scan(name: string, props: Uint8Array): Micro {
  const cursor = new PropertyScan()
  const batch = (): void => {
    for (let i = 0; i < 1000; i++) cursor.scan(props, 0, props.length)
  }
  return { name: `message path: scan ${name}`, size: 1000, batch }
}
