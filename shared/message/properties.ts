// The basic properties of AMQP 0-9-1, the form in which messages keep their properties:
//
//   flags u16 | content-type ss | content-encoding ss | headers table | delivery-mode u8 | priority u8
//   | correlation-id ss | reply-to ss | expiration ss | message-id ss | timestamp u64 | type ss
//   | user-id ss | app-id ss | cluster-id ss          (ss: shortstr; each only if its flag is set)
//
// Flags are given from bit 15 downwards in that order; bits 1 and 0 (continuation) must be 0.

import { EntryFlag, priorityShift } from '../bus/wire.ts'
import { DecodeError } from '../bytes/decode-error.ts'
import { Reader, readU16 } from '../bytes/reader.ts'
import { viewOf } from '../bytes/view.ts'
import { Writer, writeU16, writeU32 } from '../bytes/writer.ts'
import { ReplyCode } from '../errors.ts'
import { readTable, skipValue, writeTable, writeValue } from './field-table.ts'
import type { FieldTable } from './value.ts'

/** Properties as an object, for cold paths. */
export interface BasicProperties {
  readonly contentType?: string
  readonly contentEncoding?: string
  readonly headers?: FieldTable
  readonly deliveryMode?: number
  readonly priority?: number
  readonly correlationId?: string
  readonly replyTo?: string
  readonly expiration?: string
  readonly messageId?: string
  /** Seconds since 1970. */
  readonly timestamp?: number | bigint
  readonly type?: string
  readonly userId?: string
  readonly appId?: string
  readonly clusterId?: string
}

/**
 * Checks property bytes in one pass and remembers where the parts are that a broker looks at.
 * Positions are into the scanned bytes, -1 for what is absent. Reused: scan() sets everything anew.
 */
export class PropertyScan {
  /** Position of the header table's size field; `headersSize` counts that field too. */
  headersAt = -1
  headersSize = 0
  /** Position of the value (type byte) of the headers CC and BCC. */
  ccAt = -1
  bccAt = -1
  /** 0 if absent. */
  deliveryMode = 0
  /** Delivery mode 2. */
  persistent = false
  /** -1 if absent. */
  priority = -1
  /** Position of the text, behind its length byte. */
  replyToAt = -1
  replyToSize = 0
  expirationAt = -1
  expirationSize = 0
  userIdAt = -1
  userIdSize = 0
  /** Where the header table or the reply-to shortstr is or would have to be inserted. */
  headersSlotAt = 0
  replyToSlotAt = 0

  // HOT: once per publish, no allocation; bench/micro/message-path.ts
  /** Scans `bytes[at..at + size)`. Throws DecodeError (501) unless they are well-formed and whole. */
  scan(bytes: Uint8Array, at: number, size: number): void {
    this.scanView(viewOf(bytes), at, size)
  }

  // HOT: as `scan`
  /** As `scan`, where the view is at hand. */
  scanView(view: DataView, at: number, size: number): void {
    if (size < 2) malformed()
    const flags = view.getUint16(at)
    const end = at + size
    this.clear(at + 2)
    if ((flags & 3) !== 0) malformed()
    let to = at + 2
    if (flags !== 0) {
      if ((flags & 0xe000) !== 0) to = this.scanHead(flags, view, to, end)
      this.headersSlotAt = this.headersAt < 0 ? to : this.headersAt
      if ((flags & Flag.deliveryMode) !== 0) {
        if (to >= end) malformed()
        const mode = view.getUint8(to)
        this.deliveryMode = mode
        this.persistent = mode === 2
        to += 1
      }
      if ((flags & Flag.priority) !== 0) {
        if (to >= end) malformed()
        this.priority = view.getUint8(to)
        to += 1
      }
      if ((flags & Flag.correlationId) !== 0) to = skipShortstr(view, to, end)
      this.replyToSlotAt = to
      if ((flags & 0x03fc) !== 0) to = this.scanTail(flags, view, to, end)
    }
    if (to !== end) malformed()
  }

  // content-type, content-encoding, headers
  private scanHead(flags: number, view: DataView, at: number, end: number): number {
    let to = at
    if ((flags & Flag.contentType) !== 0) to = skipShortstr(view, to, end)
    if ((flags & Flag.contentEncoding) !== 0) to = skipShortstr(view, to, end)
    return (flags & Flag.headers) === 0 ? to : this.scanHeaders(view, to, end)
  }

  private scanHeaders(view: DataView, at: number, end: number): number {
    if (at + 4 > end) malformed()
    const tableEnd = at + 4 + view.getUint32(at)
    if (tableEnd > end) malformed()
    this.headersAt = at
    this.headersSize = tableEnd - at
    let to = at + 4
    while (to < tableEnd) {
      const keySize = view.getUint8(to)
      const valueAt = to + 1 + keySize
      const next = skipValue(view, valueAt, tableEnd, ReplyCode.FRAME_ERROR, 1)
      // The key ends in "CC"; skipValue has shown that it lies within the table.
      if (keySize <= 3 && keySize >= 2 && view.getUint16(valueAt - 2) === 0x4343) {
        if (keySize === 2 && this.ccAt < 0) this.ccAt = valueAt
        else if (keySize === 3 && view.getUint8(to + 1) === 0x42 && this.bccAt < 0)
          this.bccAt = valueAt
      }
      to = next
    }
    return tableEnd
  }

  // reply-to and all that follows
  private scanTail(flags: number, view: DataView, at: number, end: number): number {
    let to = at
    if ((flags & Flag.replyTo) !== 0) {
      to = skipShortstr(view, at, end)
      this.replyToAt = at + 1
      this.replyToSize = to - at - 1
    }
    if ((flags & Flag.expiration) !== 0) {
      const from = to
      to = skipShortstr(view, from, end)
      this.expirationAt = from + 1
      this.expirationSize = to - from - 1
    }
    if ((flags & Flag.messageId) !== 0) to = skipShortstr(view, to, end)
    if ((flags & Flag.timestamp) !== 0) {
      to += 8
      if (to > end) malformed()
    }
    if ((flags & Flag.type) !== 0) to = skipShortstr(view, to, end)
    if ((flags & Flag.userId) !== 0) {
      const from = to
      to = skipShortstr(view, from, end)
      this.userIdAt = from + 1
      this.userIdSize = to - from - 1
    }
    if ((flags & Flag.appId) !== 0) to = skipShortstr(view, to, end)
    if ((flags & Flag.clusterId) !== 0) to = skipShortstr(view, to, end)
    return to
  }

  private clear(slotAt: number): void {
    this.headersAt = -1
    this.headersSize = 0
    this.ccAt = -1
    this.bccAt = -1
    this.deliveryMode = 0
    this.persistent = false
    this.priority = -1
    this.replyToAt = -1
    this.replyToSize = 0
    this.expirationAt = -1
    this.expirationSize = 0
    this.userIdAt = -1
    this.userIdSize = 0
    this.headersSlotAt = slotAt
    this.replyToSlotAt = slotAt
  }
}

// HOT: once per publish
/** What a shard is told of a message's properties: bits of its flags (shared/bus/wire.ts). */
export function propertyFlags(scan: PropertyScan): number {
  return (
    (scan.persistent ? EntryFlag.persistent : 0) |
    (scan.headersAt >= 0 ? EntryFlag.headers : 0) |
    (scan.expirationAt >= 0 ? EntryFlag.expiration : 0) |
    (scan.priority > 0 ? scan.priority << priorityShift : 0)
  )
}

/** Decodes all properties. Throws DecodeError (501) where PropertyScan.scan would. */
export function decodeProperties(bytes: Uint8Array, at: number, size: number): BasicProperties {
  const reader = new Reader(bytes, at, at + size, ReplyCode.FRAME_ERROR)
  const flags = reader.u16()
  const out: Record<string, string | number | bigint | FieldTable> = {}
  if ((flags & 3) !== 0) malformed()
  for (const [name, flag, kind] of LAYOUT) {
    if ((flags & flag) !== 0) out[name] = readProperty(reader, kind)
  }
  if (reader.left() !== 0) malformed()
  return out
}

/** Encodes properties; absent and undefined ones are left out. */
export function encodeProperties(properties: BasicProperties): Uint8Array {
  const writer = new Writer(64)
  const values: Readonly<Record<string, unknown>> = { ...properties }
  let flags = 0
  writer.u16(0)
  for (const [name, flag, kind] of LAYOUT) {
    const value = values[name]
    if (value === undefined) continue
    flags |= flag
    writeProperty(writer, kind, value)
  }
  writeU16(writer.bytes, 0, flags)
  return writer.finish()
}

/** The decoded header table of property bytes that scan() accepted; empty if there is none. */
export function decodeHeaders(bytes: Uint8Array, at: number, size: number): FieldTable {
  const scan = new PropertyScan()
  scan.scan(bytes, at, size)
  if (scan.headersAt < 0) return []
  const end = scan.headersAt + scan.headersSize
  return readTable(new Reader(bytes, scan.headersAt, end, ReplyCode.FRAME_ERROR))
}

/** The same properties without the header `key`. */
export function withoutHeader(
  bytes: Uint8Array,
  at: number,
  size: number,
  key: string,
): Uint8Array {
  return withHeaders(bytes, at, size, [], [key])
}

/**
 * The same properties with the headers in `set` put in or replaced, and those in `dropped` left
 * out. Other headers keep their bytes and order; new ones follow behind.
 */
export function withHeaders(
  bytes: Uint8Array,
  at: number,
  size: number,
  set: FieldTable,
  dropped: readonly string[] = [],
): Uint8Array {
  const scan = new PropertyScan()
  scan.scan(bytes, at, size)
  if (scan.headersAt < 0 && set.length === 0) return bytes.slice(at, at + size)
  const gone = new Set(dropped)
  for (const [key] of set) gone.add(key)
  const writer = new Writer(size + 256)
  writer.raw(bytes.subarray(at, scan.headersSlotAt))
  writeU16(writer.bytes, 0, readU16(bytes, at) | Flag.headers)
  const sizeAt = writer.reserve(4)
  if (scan.headersAt >= 0) copyEntries(writer, bytes, scan, gone)
  for (const [key, value] of set) {
    writer.shortstr(key)
    writeValue(writer, value)
  }
  writeU32(writer.bytes, sizeAt, writer.at - sizeAt - 4)
  writer.raw(bytes.subarray(scan.headersSlotAt + scan.headersSize, at + size))
  return writer.finish()
}

/** The same properties with this reply-to. */
export function withReplyTo(
  bytes: Uint8Array,
  at: number,
  size: number,
  replyTo: string,
): Uint8Array {
  const scan = new PropertyScan()
  scan.scan(bytes, at, size)
  const restAt = scan.replyToAt < 0 ? scan.replyToSlotAt : scan.replyToAt + scan.replyToSize
  const writer = new Writer(size + 256)
  writer.raw(bytes.subarray(at, scan.replyToSlotAt))
  writeU16(writer.bytes, 0, readU16(bytes, at) | Flag.replyTo)
  writer.shortstr(replyTo)
  writer.raw(bytes.subarray(restAt, at + size))
  return writer.finish()
}

function copyEntries(
  writer: Writer,
  bytes: Uint8Array,
  scan: PropertyScan,
  gone: ReadonlySet<string>,
): void {
  const end = scan.headersAt + scan.headersSize
  const reader = new Reader(bytes, scan.headersAt + 4, end, ReplyCode.FRAME_ERROR)
  while (reader.at < end) {
    const from = reader.at
    const key = reader.lossyShortstr()
    reader.at = skipValue(viewOf(bytes), reader.at, end, ReplyCode.FRAME_ERROR, 1)
    if (!gone.has(key)) writer.raw(bytes.subarray(from, reader.at))
  }
}

function readProperty(reader: Reader, kind: PropertyKind): string | number | bigint | FieldTable {
  switch (kind) {
    case 'shortstr':
      return reader.lossyShortstr()
    case 'octet':
      return reader.u8()
    case 'timestamp':
      return reader.u64Exact()
    case 'table':
      return readTable(reader)
  }
}

function writeProperty(writer: Writer, kind: PropertyKind, value: unknown): void {
  if (kind === 'shortstr' && typeof value === 'string') return writer.shortstr(value)
  if (kind === 'octet' && typeof value === 'number') return writer.u8(value)
  if (kind === 'timestamp' && typeof value === 'number') return writer.u64(value)
  if (kind === 'timestamp' && typeof value === 'bigint') return writer.u64(value)
  // BasicProperties allows nothing else here.
  if (kind === 'table' && Array.isArray(value)) return writeTable(writer, value)
  throw new TypeError(`property of kind ${kind} has a value of another type`)
}

function skipShortstr(view: DataView, at: number, end: number): number {
  if (at >= end) malformed()
  const to = at + 1 + view.getUint8(at)
  return to > end ? malformed() : to
}

function malformed(): never {
  throw new DecodeError(ReplyCode.FRAME_ERROR, 'malformed content properties')
}

const Flag = {
  contentType: 0x8000,
  contentEncoding: 0x4000,
  headers: 0x2000,
  deliveryMode: 0x1000,
  priority: 0x0800,
  correlationId: 0x0400,
  replyTo: 0x0200,
  expiration: 0x0100,
  messageId: 0x0080,
  timestamp: 0x0040,
  type: 0x0020,
  userId: 0x0010,
  appId: 0x0008,
  clusterId: 0x0004,
} as const

type PropertyKind = 'shortstr' | 'octet' | 'table' | 'timestamp'

const LAYOUT: readonly (readonly [keyof BasicProperties, number, PropertyKind])[] = [
  ['contentType', Flag.contentType, 'shortstr'],
  ['contentEncoding', Flag.contentEncoding, 'shortstr'],
  ['headers', Flag.headers, 'table'],
  ['deliveryMode', Flag.deliveryMode, 'octet'],
  ['priority', Flag.priority, 'octet'],
  ['correlationId', Flag.correlationId, 'shortstr'],
  ['replyTo', Flag.replyTo, 'shortstr'],
  ['expiration', Flag.expiration, 'shortstr'],
  ['messageId', Flag.messageId, 'shortstr'],
  ['timestamp', Flag.timestamp, 'timestamp'],
  ['type', Flag.type, 'shortstr'],
  ['userId', Flag.userId, 'shortstr'],
  ['appId', Flag.appId, 'shortstr'],
  ['clusterId', Flag.clusterId, 'shortstr'],
]
