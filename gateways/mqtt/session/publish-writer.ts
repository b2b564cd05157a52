// Writes PUBLISH packets to a client's outbox from a message in a slab.

import { Buffer } from 'node:buffer'
import type { GatewayLink, GatewayPort } from '../../../shared/bus/gateway-port.ts'
import { entryWords, extentWords } from '../../../shared/bus/wire.ts'
import { copyBytes } from '../../../shared/bytes/copy.ts'
import type { Outbox } from '../../host/protocol.ts'
import { PropertyId, Version } from '../codec/constants.ts'
import { publishHead, varintSize, writeU16, writeVarint } from '../codec/encoder.ts'
import type { MessageView } from './message-view.ts'

/** Up to here a copy costs less than one more buffer in the socket's writev. */
const inlineMax = 16 * 1024
/** Well within a block of the outbox (host/protocol.ts, blockBytes). */
const headMax = 96 * 1024

/** How one client is to be sent a message. */
export interface PublishForm {
  version: Version
  qos: number
  dup: boolean
  retain: boolean
  packetId: number
  ids: readonly number[]
  /** Topic alias, 0: none; `aliasKnown`: the client knows it, the topic is left out. */
  alias: number
  aliasKnown: boolean
}

/** Bytes of the packet, its first byte and length included. */
export function packetSize(view: MessageView, form: PublishForm): number {
  const size = remainingSize(view, form)
  return 1 + varintSize(size) + size
}

// HOT: once per delivery
/** Writes the packet; `link` is where the view's message came from. */
export function writePublish(
  port: GatewayPort,
  out: Outbox,
  link: GatewayLink,
  view: MessageView,
  form: PublishForm,
): void {
  const { bodySize } = view
  const remaining = remainingSize(view, form)
  const headSize = remaining - bodySize + 5
  if (headSize > headMax) {
    writeLargeHead(port, out, link, view, form)
    return
  }
  const whole = bodySize <= inlineMax && view.extents === 0
  out.reserve(whole ? headSize + bodySize : headSize)
  const to = out.bytes
  const at = writeHead(to, out.at, view, form, remaining)
  if (whole) {
    copyBytes(view.bytes, view.bodyAt, to, at, bodySize)
    out.at = at + bodySize
  } else {
    out.at = at
    writeBody(port, out, link, view)
  }
}

/** Properties may be larger than a block of the outbox. */
function writeLargeHead(
  port: GatewayPort,
  out: Outbox,
  link: GatewayLink,
  view: MessageView,
  form: PublishForm,
): void {
  const remaining = remainingSize(view, form)
  const head = Buffer.allocUnsafeSlow(remaining - view.bodySize + 5)
  const size = writeHead(head, 0, view, form, remaining)
  for (let from = 0; from < size; from += headMax) {
    const piece = Math.min(headMax, size - from)
    out.reserve(piece)
    copyBytes(head, from, out.bytes, out.at, piece)
    out.at += piece
  }
  writeBody(port, out, link, view)
}

// HOT: once per delivery
function writeHead(
  to: Buffer,
  from: number,
  view: MessageView,
  form: PublishForm,
  remaining: number,
): number {
  to[from] = publishHead(form.qos, form.dup, form.retain)
  let at = writeVarint(to, from + 1, remaining)
  const topicSize = form.aliasKnown ? 0 : view.topicSize
  at = writeU16(to, at, topicSize)
  if (topicSize > 0) {
    copyBytes(view.topicBytes, view.topicAt, to, at, topicSize)
    at += topicSize
  }
  if (form.qos > 0) at = writeU16(to, at, form.packetId)
  return form.version === Version.mqtt5 ? writeProperties(to, at, view, form) : at
}

function remainingSize(view: MessageView, form: PublishForm): number {
  const head = 2 + (form.aliasKnown ? 0 : view.topicSize) + (form.qos > 0 ? 2 : 0)
  if (form.version !== Version.mqtt5) return head + view.bodySize
  const size = propertiesSize(view, form)
  return head + varintSize(size) + size + view.bodySize
}

function propertiesSize(view: MessageView, form: PublishForm): number {
  let size = view.propsSize
  if (view.expirySeconds >= 0) size += 5
  if (form.alias > 0) size += 3
  for (let i = 0; i < form.ids.length; i++) size += 1 + varintSize(form.ids[i] as number)
  return size
}

function writeProperties(to: Buffer, from: number, view: MessageView, form: PublishForm): number {
  let at = writeVarint(to, from, propertiesSize(view, form))
  if (view.expirySeconds >= 0) {
    to[at] = PropertyId.messageExpiry
    at = writeU16(to, at + 1, Math.floor(view.expirySeconds / 0x10000))
    at = writeU16(to, at, view.expirySeconds & 0xffff)
  }
  if (form.alias > 0) {
    to[at] = PropertyId.topicAlias
    at = writeU16(to, at + 1, form.alias)
  }
  for (let i = 0; i < form.ids.length; i++) {
    to[at] = PropertyId.subscriptionId
    at = writeVarint(to, at + 1, form.ids[i] as number)
  }
  if (view.propsSize > 0) {
    copyBytes(view.propsBytes, view.propsAt, to, at, view.propsSize)
    at += view.propsSize
  }
  return at
}

function writeBody(port: GatewayPort, out: Outbox, link: GatewayLink, view: MessageView): void {
  const { words, at } = view
  let further = 0
  for (let i = 0; i < view.extents; i++) {
    further += words[at + entryWords + i * extentWords + 2] as number
  }
  writePiece(port, out, link, words[at] as number, view.bodyAt, view.bodySize - further)
  for (let i = 0; i < view.extents; i++) {
    const extent = at + entryWords + i * extentWords
    const slab = words[extent] as number
    writePiece(port, out, link, slab, words[extent + 1] as number, words[extent + 2] as number)
  }
}

function writePiece(
  port: GatewayPort,
  out: Outbox,
  link: GatewayLink,
  slab: number,
  from: number,
  size: number,
): void {
  if (size === 0) return
  const bytes = port.arena.slab(slab)
  if (size <= inlineMax) {
    out.reserve(size)
    copyBytes(bytes, from, out.bytes, out.at, size)
    out.at += size
    return
  }
  link.pin(slab)
  out.view(bytes.subarray(from, from + size), () => link.unpin(slab))
}
