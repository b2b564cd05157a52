// From an entry in a slab (shared/bus/wire.ts) to basic.deliver, basic.get-ok or basic.return with
// its content. Nothing is decoded: names, properties and body are copied or sent as they lie.

import type { GatewayLink } from '../../../shared/bus/gateway-port.ts'
import {
  acquiredShift,
  deliveredCountMax,
  EntryFlag,
  entryWords,
  extentWords,
  failedShift,
} from '../../../shared/bus/wire.ts'
import { copyBytes } from '../../../shared/bytes/copy.ts'
import { shortstrBytes } from '../../../shared/bytes/utf8.ts'
import type { ByteView } from '../../../shared/bytes/view.ts'
import { withHeaders } from '../../../shared/message/properties.ts'
import type { FieldTable } from '../../../shared/message/value.ts'
import { longField } from '../../../shared/message/value.ts'
import { FRAME_OVERHEAD } from '../codec/constants.ts'
import {
  deliverFrameSize,
  encodeBodyHead,
  encodeContentHeader,
  encodeDeliver,
  encodeDelivery,
  encodeFrameEnd,
  encodeGetOk,
  encodeReturn,
  getOkFrameSize,
  headerFrameSize,
  returnFrameSize,
} from '../codec/frame-writer.ts'
import type { ConnectionContext } from './connection-context.ts'
import { copyOut } from './copy-out.ts'

// HOT: once per delivery; nothing is allocated for bodies up to inlineMax
/** Writes one delivery; `at` is the index in `link.words` of the entry. */
export function writeDelivery(
  context: ConnectionContext,
  channel: number,
  consumerTag: ByteView,
  deliveryTag: number,
  redelivered: boolean,
  link: GatewayLink,
  at: number,
): void {
  const words = link.words
  const exrkSize = words[at + 2] as number
  const propsSize = words[at + 4] as number
  const bodySize = words[at + 5] as number
  const entryAt = words[at + 1] as number
  const out = context.out
  const headSize = deliverFrameSize(consumerTag.byteLength, exrkSize)
  if (isPlain(context, propsSize, bodySize, words[at + 6] as number)) {
    const tailSize = bodySize === 0 ? 0 : bodySize + FRAME_OVERHEAD
    out.reserve(headSize + headerFrameSize(propsSize) + tailSize)
    out.at = encodeDelivery(
      out.dataView,
      out.at,
      channel,
      consumerTag,
      deliveryTag,
      redelivered,
      context.port.arena.slabView(words[at] as number),
      entryAt,
      exrkSize,
      words[at + 3] as number,
      propsSize,
      bodySize,
    )
  } else {
    out.reserve(headSize)
    out.at = encodeDeliver(
      out.bytes,
      out.at,
      channel,
      consumerTag.bytes,
      deliveryTag,
      redelivered,
      context.port.arena.slab(words[at] as number),
      entryAt,
      exrkSize,
    )
    writeContent(context, channel, link, at)
  }
  context.touch()
}

/** As `writeDelivery` for a message with delivery counts (`flags` of the record), which become headers. */
export function writeCountedDelivery(
  context: ConnectionContext,
  channel: number,
  consumerTag: Uint8Array,
  deliveryTag: number,
  flags: number,
  link: GatewayLink,
  at: number,
): void {
  const exrkSize = link.words[at + 2] as number
  const out = context.out
  out.reserve(deliverFrameSize(consumerTag.length, exrkSize))
  out.at = encodeDeliver(
    out.bytes,
    out.at,
    channel,
    consumerTag,
    deliveryTag,
    (flags & EntryFlag.redelivered) !== 0,
    context.port.arena.slab(link.words[at] as number),
    link.words[at + 1] as number,
    exrkSize,
  )
  writeContent(context, channel, link, at, withCounts(context, link, at, flags))
  context.touch()
}

/** Writes the answer to basic.get; `flags` of the record. */
export function writeGetOk(
  context: ConnectionContext,
  channel: number,
  deliveryTag: number,
  flags: number,
  ready: number,
  link: GatewayLink,
  at: number,
): void {
  const redelivered = (flags & EntryFlag.redelivered) !== 0
  const exrkSize = link.words[at + 2] as number
  const out = context.out
  out.reserve(getOkFrameSize(exrkSize))
  out.at = encodeGetOk(
    out.bytes,
    out.at,
    channel,
    deliveryTag,
    redelivered,
    context.port.arena.slab(link.words[at] as number),
    link.words[at + 1] as number,
    exrkSize,
    ready,
  )
  const props = hasCounts(flags) ? withCounts(context, link, at, flags) : undefined
  writeContent(context, channel, link, at, props)
  context.touch()
}

/** Writes basic.return. */
export function writeReturn(
  context: ConnectionContext,
  channel: number,
  code: number,
  link: GatewayLink,
  at: number,
): void {
  const exrkSize = link.words[at + 2] as number
  const text = code === 313 ? noConsumers : noRoute
  const out = context.out
  out.reserve(returnFrameSize(text.length, exrkSize))
  out.at = encodeReturn(
    out.bytes,
    out.at,
    channel,
    code,
    text,
    context.port.arena.slab(link.words[at] as number),
    link.words[at + 1] as number,
    exrkSize,
  )
  writeContent(context, channel, link, at)
  context.touch()
}

/** Whether the flags of a record tell delivery counts. */
export function hasCounts(flags: number): boolean {
  return flags >>> failedShift !== 0
}

/** The properties with the headers of RabbitMQ's quorum queues; x-delivery-count only where it is not 0. */
function withCounts(
  context: ConnectionContext,
  link: GatewayLink,
  at: number,
  flags: number,
): Uint8Array {
  const { words } = link
  const entry = context.port.arena.slab(words[at] as number)
  const propsAt = (words[at + 1] as number) + (words[at + 2] as number) + (words[at + 3] as number)
  const acquired = (flags >>> acquiredShift) & deliveredCountMax
  const failed = (flags >>> failedShift) & deliveredCountMax
  const headers: FieldTable = [['x-acquired-count', longField(acquired)]]
  const both: FieldTable = [...headers, ['x-delivery-count', longField(failed)]]
  return withHeaders(entry, propsAt, words[at + 4] as number, failed === 0 ? headers : both)
}

// Whether all of a delivery fits one reservation and one body frame.
function isPlain(
  context: ConnectionContext,
  propsSize: number,
  bodySize: number,
  extents: number,
): boolean {
  return (
    extents === 0 &&
    propsSize <= inlineMax &&
    bodySize <= inlineMax &&
    bodySize <= context.bodyFrameMax
  )
}

function writeContent(
  context: ConnectionContext,
  channel: number,
  link: GatewayLink,
  at: number,
  props?: Uint8Array,
): void {
  const { words } = link
  const propsSize = words[at + 4] as number
  const bodySize = words[at + 5] as number
  const propsAt = (words[at + 1] as number) + (words[at + 2] as number) + (words[at + 3] as number)
  if (props === undefined) {
    const entry = context.port.arena.slab(words[at] as number)
    writeHeader(context, channel, bodySize, entry, propsAt, propsSize)
  } else writeHeader(context, channel, bodySize, props, 0, props.length)
  if (bodySize > 0) writeBody(context, channel, link, at, propsAt + propsSize)
}

function writeHeader(
  context: ConnectionContext,
  channel: number,
  bodySize: number,
  props: Uint8Array,
  at: number,
  size: number,
): void {
  const out = context.out
  if (size <= inlineMax) {
    out.reserve(headerFrameSize(size))
    out.at = encodeContentHeader(out.bytes, out.at, channel, bodySize, props, at, size)
    return
  }
  // A header frame can be larger than a block; it can't be split, but it can be copied in pieces.
  const frame = new Uint8Array(headerFrameSize(size))
  encodeContentHeader(frame, 0, channel, bodySize, props, at, size)
  copyOut(out, frame, 0, frame.length)
}

// Body frames over extents: a frame ends where frame_max says, not where an extent does.
function writeBody(
  context: ConnectionContext,
  channel: number,
  link: GatewayLink,
  at: number,
  firstAt: number,
): void {
  const { words } = link
  const out = context.out
  const bodySize = words[at + 5] as number
  const extents = words[at + 6] as number
  let slab = words[at] as number
  let from = firstAt
  let further = 0
  let extentLeft = bodySize - furtherBytes(words, at, extents)
  let bodyLeft = bodySize
  while (bodyLeft > 0) {
    const frame = Math.min(bodyLeft, context.bodyFrameMax)
    out.reserve(FRAME_OVERHEAD)
    out.at = encodeBodyHead(out.bytes, out.at, channel, frame)
    let frameLeft = frame
    while (frameLeft > 0) {
      if (extentLeft === 0) {
        const next = at + entryWords + further * extentWords
        slab = words[next] as number
        from = words[next + 1] as number
        extentLeft = words[next + 2] as number
        further++
      }
      const piece = Math.min(frameLeft, extentLeft)
      writePiece(context, link, slab, from, piece)
      from += piece
      extentLeft -= piece
      frameLeft -= piece
    }
    out.reserve(1)
    out.at = encodeFrameEnd(out.bytes, out.at)
    bodyLeft -= frame
  }
}

function writePiece(
  context: ConnectionContext,
  link: GatewayLink,
  slab: number,
  from: number,
  size: number,
): void {
  const out = context.out
  const bytes = context.port.arena.slab(slab)
  if (size <= inlineMax) {
    out.reserve(size)
    copyBytes(bytes, from, out.bytes, out.at, size)
    out.at += size
    return
  }
  link.pin(slab)
  out.view(bytes.subarray(from, from + size), () => link.unpin(slab))
}

function furtherBytes(words: Int32Array, at: number, extents: number): number {
  let bytes = 0
  for (let i = 0; i < extents; i++) {
    bytes += words[at + entryWords + i * extentWords + 2] as number
  }
  return bytes
}

/** Up to here a copy costs less than one more buffer in the socket's writev. */
const inlineMax = 16 * 1024

const noRoute = shortstrBytes('NO_ROUTE')
const noConsumers = shortstrBytes('NO_CONSUMERS')
