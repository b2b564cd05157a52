// A kept message (shared/bus/wire.ts) to the bytes of a 1.0 message: header and annotations are made
// for each delivery; a 1.0 publisher's other sections go out as they came in.

import type { Arena } from '../../../shared/bus/arena.ts'
import { EntryFlag } from '../../../shared/bus/wire.ts'
import { viewOf } from '../../../shared/bytes/view.ts'
import { Writer } from '../../../shared/bytes/writer.ts'
import { writeValue } from '../../../shared/message/field-table.ts'
import { decodeHeaders, PropertyScan } from '../../../shared/message/properties.ts'
import type { FieldTable } from '../../../shared/message/value.ts'
import { fieldOf } from '../../../shared/message/value.ts'
import { Code } from '../codec/constructors.ts'
import { Scratch } from '../codec/scratch.ts'
import { ElementCursor } from '../codec/sections.ts'
import { Descriptor } from '../codec/spec.ts'
import type { AmqpMap } from '../codec/value.ts'
import { ValueReader } from '../codec/value-reader.ts'
import { encodeValue } from '../codec/value-writer.ts'
import { writeField } from './field-transcoder.ts'
import type { ForeignSections } from './foreign-message.ts'
import { annotationsOf, convertForeign, encodeEntries, readTtl } from './foreign-message.ts'
import { BodyLayout, NativePart } from './native-part.ts'

/**
 * Renders one message after another. After `render`: the message is `head`, then the entry's body
 * region, then `tailSize` bytes of `tail` at `tailAt`. Everything is reused.
 */
export class MessageOut {
  readonly head: Scratch
  tail: Uint8Array
  tailAt: number
  tailSize: number
  /** How the body region lies in the message: BodyLayout. */
  layout: number
  readonly native: NativePart
  private readonly scan: PropertyScan
  private readonly cursor: ElementCursor
  private durable: boolean
  private priority: number
  private ttl: number
  private died: boolean
  // The last message of another protocol that was converted.
  private foreignProps: Uint8Array
  private foreign: ForeignSections | undefined

  constructor() {
    this.head = new Scratch(1024)
    this.tail = noBytes
    this.tailAt = 0
    this.tailSize = 0
    this.layout = BodyLayout.data
    this.native = new NativePart()
    this.scan = new PropertyScan()
    this.cursor = new ElementCursor()
    this.durable = false
    this.priority = -1
    this.ttl = -1
    this.died = false
    this.foreignProps = noBytes
    this.foreign = undefined
  }

  // HOT: once per delivery
  /** Renders the entry whose words are at `words[at..]`; `flags` are those of its deliver record. */
  render(arena: Arena, words: Int32Array, at: number, flags: number): void {
    const bytes = arena.slab(words[at] as number)
    const entryAt = words[at + 1] as number
    const exrkSize = words[at + 2] as number
    const extraSize = words[at + 3] as number
    const propsSize = words[at + 4] as number
    const bodySize = words[at + 5] as number
    const propsAt = entryAt + exrkSize + extraSize
    this.head.at = 0
    this.tailSize = 0
    if (extraSize > 0 && this.native.find(bytes, entryAt + exrkSize, extraSize)) {
      this.renderNative(bytes, entryAt, propsAt, propsSize, bodySize, flags)
    } else {
      this.renderForeign(bytes, entryAt, propsAt, propsSize, bodySize, flags)
    }
  }

  private renderNative(
    bytes: Uint8Array,
    entryAt: number,
    propsAt: number,
    propsSize: number,
    bodySize: number,
    flags: number,
  ): void {
    const { native, head } = this
    this.readProps(bytes, propsAt, propsSize)
    const added = this.scan.headersAt >= 0 && this.hasBrokerHeaders(bytes)
    this.died = added
    this.writeHeader(flags)
    // What consumers have said of a message (modified) shows from its second delivery on.
    const again = (flags & EntryFlag.redelivered) !== 0 && native.annotationsSize > 0
    if (added || (again && this.scan.headersAt >= 0))
      this.mergeAnnotations(bytes, entryAt, propsAt, propsSize, flags)
    else this.copyAnnotations(bytes, entryAt, flags)
    head.copy(bytes, native.bareAt, native.bareSize)
    this.layout = native.layout
    if (native.layout === BodyLayout.data) this.writeDataHead(bodySize)
    this.tail = bytes
    this.tailAt = native.footerAt
    this.tailSize = native.footerSize
  }

  private renderForeign(
    bytes: Uint8Array,
    entryAt: number,
    propsAt: number,
    propsSize: number,
    bodySize: number,
    flags: number,
  ): void {
    const view = viewOf(bytes)
    this.layout = BodyLayout.data
    this.died = false
    if ((view.getUint16(propsAt) & ~plainProperties) === 0) {
      this.readProps(bytes, propsAt, propsSize)
      this.writeHeader(flags)
      this.writeAnnotations(noBytes, 0, 0, 0, bytes, entryAt, flags)
      this.writeDataHead(bodySize)
      return
    }
    const sections = this.convertForeign(bytes, propsAt, propsSize)
    this.durable = sections.durable
    this.priority = sections.priority
    this.ttl = sections.ttl
    this.died = sections.died
    this.writeHeader(flags)
    const { annotations, annotationValues, bare } = sections
    this.writeAnnotations(
      annotations,
      0,
      annotations.length,
      annotationValues,
      bytes,
      entryAt,
      flags,
    )
    this.head.copy(bare, 0, bare.length)
    if (sections.encoded) this.layout = BodyLayout.encoded
    else this.writeDataHead(bodySize)
  }

  // One message in many is like the one before, but for its body.
  private convertForeign(bytes: Uint8Array, at: number, size: number): ForeignSections {
    const last = this.foreignProps
    let same = this.foreign !== undefined && last.length === size
    for (let i = 0; same && i < size; i++) same = last[i] === bytes[at + i]
    if (same && this.foreign !== undefined) return this.foreign
    this.foreignProps = Uint8Array.prototype.slice.call(bytes, at, at + size)
    this.foreign = convertForeign(this.foreignProps, 0, size)
    return this.foreign
  }

  private readProps(bytes: Uint8Array, at: number, size: number): void {
    const { scan } = this
    scan.scan(bytes, at, size)
    this.durable = scan.persistent
    this.priority = scan.priority
    this.ttl = scan.expirationAt < 0 ? -1 : readTtl(bytes, scan.expirationAt, scan.expirationSize)
  }

  // HOT: once per delivery
  private writeHeader(flags: number): void {
    const { head } = this
    head.reserve(32)
    const { view } = head
    const from = head.at
    const count = (flags >>> deliveryCountShift) & countMask
    view.setUint32(from, (Code.smallUlong << 16) | (Descriptor.header << 8) | Code.list8)
    view.setUint8(from + 5, 5)
    view.setUint8(from + 6, this.durable ? Code.true : Code.false)
    let to = from + 7
    if (this.priority < 0) view.setUint8(to++, Code.null)
    else {
      view.setUint16(to, (Code.ubyte << 8) | this.priority)
      to += 2
    }
    to = encodeUint(view, to, this.ttl)
    const first = (flags & EntryFlag.redelivered) === 0 && count === 0 && !this.died
    view.setUint8(to++, first ? Code.true : Code.false)
    to = encodeUint(view, to, count)
    view.setUint8(from + 4, to - from - 5)
    head.at = to
  }

  // The publisher's own annotations, less those that are made anew.
  private copyAnnotations(bytes: Uint8Array, entryAt: number, flags: number): void {
    const { native, cursor } = this
    if (native.annotationsSize === 0) {
      this.writeAnnotations(noBytes, 0, 0, 0, bytes, entryAt, flags)
      return
    }
    const end = native.annotationsAt + native.annotationsSize
    cursor.enterSection(bytes, native.annotationsAt, end, Code.map8)
    const from = cursor.at
    const values = cursor.left
    while (cursor.left >= 2) {
      if (isMadeAnew(cursor.view, cursor.at)) {
        const own = this.ownAnnotations(bytes)
        const { annotations, annotationValues } = encodeEntries(own)
        const size = annotations.length
        this.writeAnnotations(annotations, 0, size, annotationValues, bytes, entryAt, flags)
        return
      }
      cursor.next()
      cursor.next()
    }
    this.writeAnnotations(bytes, from, cursor.at - from, values, bytes, entryAt, flags)
  }

  // What has come into the properties since (deaths, what consumers say) goes with the publisher's own.
  private mergeAnnotations(
    bytes: Uint8Array,
    entryAt: number,
    propsAt: number,
    propsSize: number,
    flags: number,
  ): void {
    const headers = decodeHeaders(bytes, propsAt, propsSize)
    const own = this.ownAnnotations(bytes).filter((entry) => isUnchanged(entry, headers))
    const names = new Set(own.map(([key]) => key.value))
    const made = annotationsOf(headers)
    const all = [...own, ...made.filter(([key]) => !names.has(key.value))]
    const { annotations, annotationValues } = encodeEntries(all)
    const size = annotations.length
    this.writeAnnotations(annotations, 0, size, annotationValues, bytes, entryAt, flags)
  }

  private ownAnnotations(bytes: Uint8Array): AmqpMap {
    const { annotationsAt, annotationsSize } = this.native
    if (annotationsSize === 0) return []
    const section = new ValueReader(bytes, annotationsAt, annotationsAt + annotationsSize).read()
    if (section.type !== 'described' || section.value.type !== 'map') return []
    return section.value.value.filter(([key]) => !madeAnew.includes(String(key.value)))
  }

  // HOT: once per delivery
  /** Writes message-annotations: `values` values in `from[at..at + size)`, then exchange and routing key. */
  private writeAnnotations(
    from: Uint8Array,
    at: number,
    size: number,
    values: number,
    entry: Uint8Array,
    entryAt: number,
    flags: number,
  ): void {
    const { head } = this
    const acquired = flags >>> acquiredCountShift
    const count = (flags >>> deliveryCountShift) & countMask
    head.reserve(size + 700)
    const { view, bytes } = head
    const begin = head.at
    view.setUint32(
      begin,
      (Code.smallUlong << 16) | (Descriptor.messageAnnotations << 8) | Code.map32,
    )
    head.at = begin + 12
    if (size > 0) head.copy(from, at, size)
    bytes.set(exchangeKey, head.at)
    head.at += exchangeKey.length
    // A shortstr is a str8-utf8 but for the format code, which ends the key's bytes.
    const exchangeSize = 1 + (entry[entryAt] as number)
    head.copy(entry, entryAt, exchangeSize)
    bytes.set(routingKeyKey, head.at)
    head.at += routingKeyKey.length
    head.copy(entry, entryAt + exchangeSize, 1 + (entry[entryAt + exchangeSize] as number))
    let total = values + 4
    if (acquired > 0) {
      total += 4
      this.writeCount('x-delivery-count', count)
      this.writeCount('x-acquired-count', acquired)
    }
    view.setUint32(begin + 4, head.at - begin - 8)
    view.setUint32(begin + 8, total)
  }

  private writeCount(name: string, count: number): void {
    const { head } = this
    head.u8(Code.symbol8)
    head.u8(name.length)
    for (let i = 0; i < name.length; i++) head.u8(name.charCodeAt(i))
    head.reserve(9)
    head.view.setUint8(head.at, 0x81)
    head.view.setInt32(head.at + 1, 0)
    head.view.setInt32(head.at + 5, count)
    head.at += 9
  }

  // HOT: once per delivery
  private writeDataHead(bodySize: number): void {
    const { head } = this
    head.reserve(8)
    const { view, at } = head
    view.setUint16(at, Code.smallUlong)
    view.setUint8(at + 2, Descriptor.data)
    if (bodySize < 256) {
      view.setUint16(at + 3, (Code.binary8 << 8) | bodySize)
      head.at = at + 5
    } else {
      view.setUint8(at + 3, Code.binary32)
      view.setUint32(at + 4, bodySize)
      head.at = at + 8
    }
  }

  /**
   * Whether the header table holds what a broker adds. Without annotations of its own, a message has
   * no headers that begin with x-; with some, deaths tell.
   */
  private hasBrokerHeaders(bytes: Uint8Array): boolean {
    const { headersAt, headersSize } = this.scan
    const view = viewOf(bytes)
    const end = headersAt + headersSize
    const any = this.native.annotationsSize === 0
    let at = headersAt + 4
    while (at < end) {
      const size = view.getUint8(at)
      if (size > 2 && view.getUint16(at + 1) === 0x782d) {
        if (any && !isIdHeader(view, at + 1, size)) return true
        // x-death
        if (size === 7 && view.getUint32(at + 3) === 0x64656174) return true
      }
      at = skipField(view, at + 1 + size)
    }
    return false
  }
}

/** Whether the header that a publisher's annotation was made into is still what it was, or not there. */
function isUnchanged([key, value]: AmqpMap[number], headers: FieldTable): boolean {
  const field = fieldOf(headers, String(key.value))
  if (field === undefined) return true
  const encoded = encodeValue(value)
  ownField.at = 0
  if (!writeField(ownField, encoded, viewOf(encoded), 0)) return true
  const writer = new Writer(64)
  writeValue(writer, field)
  return Buffer.compare(writer.finish(), ownField.bytes.subarray(0, ownField.at)) === 0
}

const ownField = new Scratch(256)

/** Bits of the property flags that only header and body depend on: delivery-mode, priority, expiration. */
const plainProperties = 0x1900

/** Counts in the flags of a deliver record. */
const deliveryCountShift = 12
const acquiredCountShift = 22
const countMask = 1023

const madeAnew: readonly string[] = [
  'x-exchange',
  'x-routing-key',
  'x-delivery-count',
  'x-acquired-count',
]

function isMadeAnew(view: DataView, at: number): boolean {
  if (view.getUint8(at) !== Code.symbol8) return false
  const size = view.getUint8(at + 1)
  for (const name of madeAnew) {
    if (name.length !== size) continue
    let same = true
    for (let i = 0; same && i < size; i++) same = view.getUint8(at + 2 + i) === name.charCodeAt(i)
    if (same) return true
  }
  return false
}

// x-message-id and x-correlation-id stand for ids that 0-9-1 can't hold.
function isIdHeader(view: DataView, at: number, size: number): boolean {
  if (size === 12) return view.getUint32(at + 2) === 0x6d657373
  return size === 16 && view.getUint32(at + 2) === 0x636f7272
}

// Position behind a field value of a header table, which PropertyScan has accepted.
function skipField(view: DataView, at: number): number {
  switch (view.getUint8(at)) {
    case 0x56:
      return at + 1
    case 0x74:
    case 0x62:
    case 0x42:
      return at + 2
    case 0x73:
    case 0x75:
      return at + 3
    case 0x49:
    case 0x69:
    case 0x66:
      return at + 5
    case 0x44:
      return at + 6
    case 0x6c:
    case 0x4c:
    case 0x54:
    case 0x64:
      return at + 9
    default:
      return at + 5 + view.getUint32(at + 1)
  }
}

function encodeUint(view: DataView, at: number, value: number): number {
  if (value < 0) view.setUint8(at, Code.null)
  else if (value === 0) view.setUint8(at, Code.uint0)
  else if (value < 256) {
    view.setUint16(at, (Code.smallUint << 8) | value)
    return at + 2
  } else {
    view.setUint8(at, Code.uint)
    view.setUint32(at + 1, value)
    return at + 5
  }
  return at + 1
}

/** A symbol, and the format code of the string behind it. */
function keyBytes(name: string): Uint8Array {
  return Uint8Array.from([Code.symbol8, name.length, ...Buffer.from(name, 'latin1'), Code.utf8])
}

const exchangeKey = keyBytes('x-exchange')
const routingKeyKey = keyBytes('x-routing-key')
const noBytes = new Uint8Array(0)

/** The same message in one piece, for bodies whose sections do not lie in one piece. */
export function joinDataSections(
  out: MessageOut,
  native: Uint8Array,
  body: Uint8Array,
): Uint8Array {
  const view = viewOf(native)
  const parts: Uint8Array[] = [out.head.bytes.slice(0, out.head.at)]
  let at = out.native.headsAt
  let from = 0
  const count = view.getUint32(at)
  at += 4
  for (let i = 0; i < count; i++) {
    const size = view.getUint32(at)
    const headSize = view.getUint8(at + 4)
    parts.push(native.slice(at + 5, at + 5 + headSize), body.subarray(from, from + size))
    at += 5 + headSize
    from += size
  }
  parts.push(native.slice(out.tailAt, out.tailAt + out.tailSize))
  return Buffer.concat(parts)
}
