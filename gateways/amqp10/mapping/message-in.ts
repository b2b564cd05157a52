// A message as its publisher sent it to the form in which it is kept (shared/bus/wire.ts): 0-9-1
// properties for whoever reads 0-9-1, and the native part for whoever reads 1.0.

import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import { viewOf } from '../../../shared/bytes/view.ts'
import { Code, constructorOf, skipValue } from '../codec/constructors.ts'
import { FaultCode } from '../codec/fault.ts'
import { Scratch } from '../codec/scratch.ts'
import { ElementCursor, SectionScan } from '../codec/sections.ts'
import { Descriptor } from '../codec/spec.ts'
import { unquote } from './address.ts'
import { URN_UUID_SIZE, writeField, writeKey, writeUrn } from './field-transcoder.ts'
import { needsNativePart, writeNativePart } from './native-part.ts'

/** Bits of the 0-9-1 property flags, in wire order. */
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
} as const

/** Fields of the properties section, by index. */
const Property = {
  messageId: 0,
  userId: 1,
  to: 2,
  subject: 3,
  replyTo: 4,
  correlationId: 5,
  contentType: 6,
  contentEncoding: 7,
  absoluteExpiryTime: 8,
  creationTime: 9,
  groupId: 10,
} as const
const propertyCount = 13

/**
 * Converts one message after another. After `convert`: `scan` says where the body lies in the bytes
 * given, `props` and `extra` hold what goes in front of it. Everything is reused.
 */
export class MessageIn {
  readonly scan: SectionScan
  readonly props: Scratch
  /** Further keys and native part; empty where there is neither. */
  readonly extra: Scratch
  persistent: boolean
  /** Of header.priority; 0 if there is none. */
  priority: number
  expiration: boolean
  headers: boolean
  /** Where the text of a property is, behind its size; -1: not there. */
  toAt: number
  toSize: number
  subjectAt: number
  subjectSize: number
  userIdAt: number
  userIdSize: number
  private readonly cursor: ElementCursor
  /** Positions of the properties' values; -1 for null. */
  private readonly fields: Int32Array
  private ttlAt: number
  private ttl: number
  private priorityAt: number
  private typeAt: number
  private ccAt: number

  constructor() {
    this.scan = new SectionScan()
    this.props = new Scratch(512)
    this.extra = new Scratch(1024)
    this.persistent = false
    this.priority = 0
    this.expiration = false
    this.headers = false
    this.toAt = -1
    this.toSize = 0
    this.subjectAt = -1
    this.subjectSize = 0
    this.userIdAt = -1
    this.userIdSize = 0
    this.cursor = new ElementCursor()
    this.fields = new Int32Array(propertyCount)
    this.ttlAt = -1
    this.ttl = 0
    this.priorityAt = -1
    this.typeAt = -1
    this.ccAt = -1
  }

  // HOT: once per publish
  /**
   * Converts the message in `bytes[at..end)`. Throws DecodeError for one that is malformed, with
   * FaultCode.invalidField for an `x-cc` of another type.
   */
  convert(bytes: Uint8Array, at: number, end: number): void {
    const { scan, props } = this
    scan.scan(bytes, at, end)
    this.persistent = false
    this.priority = 0
    this.priorityAt = -1
    this.ttlAt = -1
    this.typeAt = -1
    this.ccAt = -1
    this.toAt = -1
    this.subjectAt = -1
    this.userIdAt = -1
    this.headers = false
    this.expiration = false
    this.extra.at = 0
    if (scan.headerAt >= 0) this.readHeader(bytes)
    props.at = 2
    if (!needsNativePart(scan)) {
      this.writePlain()
      return
    }
    this.writeAll(bytes)
    this.extra.u8(0)
    if (this.ccAt >= 0) this.writeFurtherKeys(bytes)
    writeNativePart(this.extra, bytes, scan)
  }

  // Header alone: durable, priority, ttl.
  private writePlain(): void {
    const { props } = this
    const flags = this.writeMiddle(0)
    props.view.setUint16(0, flags)
  }

  private readHeader(bytes: Uint8Array): void {
    const { cursor, scan } = this
    cursor.enterSection(bytes, scan.headerAt, scan.headerEnd, Code.list8)
    const { view } = cursor
    for (let i = 0; i < 3 && cursor.left > 0; i++) {
      const at = cursor.at
      cursor.next()
      const code = view.getUint8(at)
      if (i === 0) {
        this.persistent =
          code === Code.true || (code === Code.boolean && view.getUint8(at + 1) !== 0)
      } else if (i === 1) {
        if (code !== Code.ubyte) continue
        this.priorityAt = at + 1
        this.priority = view.getUint8(at + 1)
      } else if (code !== Code.null) {
        this.ttlAt = at
        this.ttl = readUint(view, at)
        this.expiration = true
      }
    }
  }

  private writeAll(bytes: Uint8Array): void {
    const { scan, props, fields } = this
    fields.fill(-1)
    if (scan.propertiesAt >= 0) this.readProperties(bytes)
    const view = viewOf(bytes)
    let flags = 0
    if (writeShort(props, bytes, view, fields[Property.contentType] as number)) {
      flags |= Flag.contentType
    }
    if (writeShort(props, bytes, view, fields[Property.contentEncoding] as number)) {
      flags |= Flag.contentEncoding
    }
    if (this.writeHeaders(bytes, view)) flags |= Flag.headers
    flags = this.writeMiddleWith(flags, bytes, view)
    const encoded = scan.bodyCode !== Descriptor.data
    if (encoded) {
      flags |= Flag.type
      writeText(props, 'amqp-1.0')
    } else if (writeShort(props, bytes, view, this.typeAt)) flags |= Flag.type
    if (writeShort(props, bytes, view, fields[Property.userId] as number)) flags |= Flag.userId
    if (writeShort(props, bytes, view, fields[Property.groupId] as number)) flags |= Flag.appId
    props.view.setUint16(0, flags)
  }

  // delivery-mode, priority
  private writeMiddle(asked: number): number {
    const { props } = this
    let flags = asked
    props.reserve(32)
    if (this.persistent) {
      flags |= Flag.deliveryMode
      props.view.setUint8(props.at++, 2)
    }
    if (this.priorityAt >= 0) {
      flags |= Flag.priority
      props.view.setUint8(props.at++, this.priority)
    }
    if (asked === 0 && this.ttlAt >= 0) {
      flags |= Flag.expiration
      this.writeDigits(this.ttl)
    }
    return flags
  }

  // delivery-mode to timestamp, where there are properties.
  private writeMiddleWith(asked: number, bytes: Uint8Array, view: DataView): number {
    const { props, fields } = this
    // Bit 0 says that there is more between priority and expiration.
    let flags = this.writeMiddle(asked | 1) & ~1
    if (writeId(props, bytes, view, fields[Property.correlationId] as number)) {
      flags |= Flag.correlationId
    }
    if (this.writeReplyTo(bytes, view, fields[Property.replyTo] as number)) flags |= Flag.replyTo
    if (this.ttlAt >= 0) {
      flags |= Flag.expiration
      this.writeDigits(this.ttl)
    }
    if (writeId(props, bytes, view, fields[Property.messageId] as number)) flags |= Flag.messageId
    const created = fields[Property.creationTime] as number
    if (created >= 0 && view.getUint8(created) === Code.timestamp) {
      const seconds = view.getBigInt64(created + 1) / 1000n
      if (seconds >= 0n) {
        flags |= Flag.timestamp
        props.reserve(8)
        props.view.setBigInt64(props.at, seconds)
        props.at += 8
      }
    }
    return flags
  }

  private readProperties(bytes: Uint8Array): void {
    const { cursor, scan, fields } = this
    cursor.enterSection(bytes, scan.propertiesAt, scan.propertiesEnd, Code.list8)
    const { view } = cursor
    for (let i = 0; cursor.left > 0; i++) {
      const at = cursor.at
      cursor.next()
      if (i < propertyCount && view.getUint8(at) !== Code.null) fields[i] = at
    }
    this.toAt = textAt(view, fields[Property.to] as number)
    this.toSize = textSize(view, fields[Property.to] as number)
    this.subjectAt = textAt(view, fields[Property.subject] as number)
    this.subjectSize = textSize(view, fields[Property.subject] as number)
    this.userIdAt = textAt(view, fields[Property.userId] as number)
    this.userIdSize = textSize(view, fields[Property.userId] as number)
  }

  // Annotations that begin with x- first, then the application properties.
  private writeHeaders(bytes: Uint8Array, view: DataView): boolean {
    const { props, scan, cursor } = this
    const begin = props.at
    props.reserve(4)
    props.at += 4
    if (scan.annotationsAt >= 0) {
      cursor.enterSection(bytes, scan.annotationsAt, scan.annotationsEnd, Code.map8)
      while (cursor.left >= 2) {
        const keyAt = cursor.at
        cursor.next()
        const valueAt = cursor.at
        cursor.next()
        this.writeAnnotation(bytes, view, keyAt, valueAt)
      }
    }
    this.writeLongId(bytes, view, Property.messageId, 'x-message-id')
    this.writeLongId(bytes, view, Property.correlationId, 'x-correlation-id')
    if (scan.applicationAt >= 0) {
      cursor.enterSection(bytes, scan.applicationAt, scan.applicationEnd, Code.map8)
      while (cursor.left >= 2) {
        const keyAt = cursor.at
        cursor.next()
        const valueAt = cursor.at
        cursor.next()
        this.writeEntry(bytes, view, keyAt, valueAt)
      }
    }
    const size = props.at - begin - 4
    if (size === 0) {
      props.at = begin
      return false
    }
    props.view.setUint32(begin, size)
    this.headers = true
    return true
  }

  private writeEntry(bytes: Uint8Array, view: DataView, keyAt: number, valueAt: number): void {
    const { props } = this
    const begin = props.at
    if (!writeKey(props, bytes, view, keyAt)) return
    if (!writeField(props, bytes, view, valueAt)) props.at = begin
  }

  private writeAnnotation(bytes: Uint8Array, view: DataView, keyAt: number, valueAt: number): void {
    const { props } = this
    const nameAt = textAt(view, keyAt)
    const size = textSize(view, keyAt)
    // Keys are symbols; ulong keys are reserved, and mean nothing here.
    if (nameAt < 0 || size < 3 || size > 255 || view.getUint16(nameAt) !== 0x782d) return
    const name = asciiOf(view, nameAt, size)
    if (name === 'x-cc') {
      checkFurtherKeys(view, valueAt)
      this.ccAt = valueAt
      const begin = props.at
      writeText(props, 'CC')
      if (!writeField(props, bytes, view, valueAt)) props.at = begin
    } else if (name === 'x-basic-type') {
      this.typeAt = valueAt
    } else if (name === 'x-opt-rabbitmq-received-time') {
      if (view.getUint8(valueAt) !== Code.timestamp) return
      writeText(props, 'timestamp_in_ms')
      props.reserve(9)
      props.view.setUint8(props.at, 0x6c)
      props.view.setBigInt64(props.at + 1, view.getBigInt64(valueAt + 1))
      props.at += 9
    } else if (!isInternal(name)) {
      this.writeEntry(bytes, view, keyAt, valueAt)
    }
  }

  // An id that is binary, or text that no shortstr holds, goes into a header.
  private writeLongId(bytes: Uint8Array, view: DataView, index: number, header: string): void {
    const at = this.fields[index] as number
    if (at < 0 || idFits(view, at)) return
    const code = view.getUint8(at)
    const { props } = this
    writeText(props, header)
    const from = props.at
    writeField(props, bytes, view, at)
    // RabbitMQ's type for binary ids; elsewhere binary becomes text.
    if (code === Code.binary8 || code === Code.binary32) props.view.setUint8(from, 0x78)
  }

  // `/queues/q` is what 0-9-1 calls `q`.
  private writeReplyTo(bytes: Uint8Array, view: DataView, at: number): boolean {
    const from = textAt(view, at)
    const size = textSize(view, at)
    if (from < 0) return false
    const { props } = this
    if (size > queuesPrefix.length && asciiOf(view, from, queuesPrefix.length) === queuesPrefix) {
      const buffer = Buffer.from(bytes.buffer, bytes.byteOffset + from, size)
      const queue = unquote(buffer.toString('utf8', queuesPrefix.length))
      const encoded = queue === undefined ? undefined : Buffer.from(queue)
      if (encoded === undefined || encoded.length > 255) return false
      props.u8(encoded.length)
      props.copy(encoded, 0, encoded.length)
      return true
    }
    if (size > 255) return false
    props.u8(size)
    props.copy(bytes, from, size)
    return true
  }

  private writeFurtherKeys(bytes: Uint8Array): void {
    const { cursor, extra } = this
    const view = viewOf(bytes)
    const end = skipValue(view, this.ccAt, bytes.length)
    cursor.enter(view, this.ccAt, end, Code.list8)
    let count = 0
    while (cursor.left > 0) {
      if (writeKey(extra, bytes, view, cursor.at)) count++
      cursor.next()
    }
    extra.view.setUint8(0, count)
  }

  private writeDigits(value: number): void {
    const text = String(value)
    writeText(this.props, text)
  }
}

const queuesPrefix = '/queues/'

/** Headers that conversions make: they are not to come back as a client's own. */
function isInternal(name: string): boolean {
  return (
    name.startsWith('x-basic-') ||
    name === 'x-routing-key' ||
    name === 'x-exchange' ||
    name === 'x-death' ||
    name === 'x-opt-deaths'
  )
}

function checkFurtherKeys(view: DataView, at: number): void {
  const code = view.getUint8(at)
  const isList = code === Code.list8 || code === Code.list32 || code === Code.list0
  const cursor = new ElementCursor()
  if (isList) cursor.enter(view, at, view.byteLength, Code.list8)
  let good = isList && cursor.left < 256
  while (good && cursor.left > 0) {
    const keyAt = cursor.at
    cursor.next()
    good = textAt(view, keyAt) >= 0 && textSize(view, keyAt) < 256
  }
  if (!good) {
    throw new DecodeError(FaultCode.invalidField, "message annotation 'x-cc' is no list of strings")
  }
}

// HOT: once per property that is text
/** Appends a string, symbol or binary of at most 255 bytes as a shortstr; false for anything else. */
function writeShort(out: Scratch, bytes: Uint8Array, view: DataView, at: number): boolean {
  const from = textAt(view, at)
  const size = textSize(view, at)
  if (from < 0 || size > 255) return false
  out.u8(size)
  out.copy(bytes, from, size)
  return true
}

function idFits(view: DataView, at: number): boolean {
  const code = view.getUint8(at)
  if (code === Code.binary8 || code === Code.binary32) return false
  return textAt(view, at) < 0 || textSize(view, at) < 256
}

/** Appends a message-id or correlation-id as text. */
function writeId(out: Scratch, bytes: Uint8Array, view: DataView, at: number): boolean {
  if (at < 0 || !idFits(view, at)) return false
  const found = constructorOf(view.getUint8(at))
  if (found?.type === 'uuid') {
    out.u8(URN_UUID_SIZE)
    writeUrn(out, view, at + 1)
    return true
  }
  if (found?.type === 'ulong') {
    const value =
      found.width === 8 ? view.getBigUint64(at + 1) : found.width === 1 ? view.getUint8(at + 1) : 0
    writeText(out, String(value))
    return true
  }
  return writeShort(out, bytes, view, at)
}

function writeText(out: Scratch, ascii: string): void {
  out.reserve(ascii.length + 1)
  out.view.setUint8(out.at++, ascii.length)
  for (let i = 0; i < ascii.length; i++) out.view.setUint8(out.at++, ascii.charCodeAt(i))
}

/** Where the bytes of a string, symbol or binary begin; -1 for other values and for none (`at` -1). */
function textAt(view: DataView, at: number): number {
  if (at < 0) return -1
  const code = view.getUint8(at)
  if (code === Code.utf8 || code === Code.symbol8 || code === Code.binary8) return at + 2
  return code === Code.utf32 || code === Code.symbol32 || code === Code.binary32 ? at + 5 : -1
}

function textSize(view: DataView, at: number): number {
  if (at < 0) return 0
  return view.getUint8(at) < 0xb0 ? view.getUint8(at + 1) : view.getUint32(at + 1)
}

function asciiOf(view: DataView, at: number, size: number): string {
  let text = ''
  for (let i = 0; i < size; i++) text += String.fromCharCode(view.getUint8(at + i))
  return text
}

function readUint(view: DataView, at: number): number {
  const code = view.getUint8(at)
  if (code === Code.uint) return view.getUint32(at + 1)
  if (code === Code.smallUint) return view.getUint8(at + 1)
  if (code === Code.uint0) return 0
  throw new DecodeError(FaultCode.invalidField, 'header.ttl is no uint')
}
