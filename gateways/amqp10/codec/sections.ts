// A message's sections (3.2) found in its bytes, without decoding what is in them.
//
//   header? delivery-annotations? message-annotations? properties? application-properties?
//   (data+ | amqp-sequence+ | amqp-value) footer?
//
// Each section is a described value; the part from properties to body is the bare message.

import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import { viewOf } from '../../../shared/bytes/view.ts'
import { Code, skipValue, truncated } from './constructors.ts'
import { Descriptor } from './spec.ts'

/** Positions are into the scanned bytes; a section that is not there has both ends at -1. Reused. */
export class SectionScan {
  headerAt = -1
  headerEnd = -1
  /** message-annotations */
  annotationsAt = -1
  annotationsEnd = -1
  /** properties and application-properties: each from its descriptor on. */
  propertiesAt = -1
  propertiesEnd = -1
  applicationAt = -1
  applicationEnd = -1
  /** Descriptor code of the body's sections, how many there are, and where they lie. */
  bodyCode = 0
  bodyCount = 0
  bodyAt = -1
  bodyEnd = -1
  /** The content of the first data section, and whether its size has the shortest form. */
  dataAt = -1
  dataSize = 0
  dataShort = false
  footerAt = -1
  footerEnd = -1

  // HOT: once per message; no allocation
  /** Scans `bytes[at..end)`. Throws DecodeError for what is no message. */
  scan(bytes: Uint8Array, at: number, end: number): void {
    const view = viewOf(bytes)
    this.clear()
    let to = at
    let last = 0
    while (to < end) {
      const from = to
      let code = 0
      let valueAt = from + 3
      if (end - from >= 3 && view.getUint16(from) === 0x0053) code = view.getUint8(from + 2)
      else {
        if (view.getUint8(from) !== Code.described) throw new DecodeError(0, 'not a section')
        valueAt = skipValue(view, from + 1, end)
        code = sectionCode(bytes, view, from + 1, valueAt)
      }
      if (code < Descriptor.header || code > Descriptor.footer) {
        throw new DecodeError(0, 'unknown section')
      }
      const repeats = code === last && (code === Descriptor.data || code === Descriptor.sequence)
      const second = code > Descriptor.data && code <= Descriptor.value && this.bodyCount > 0
      to = skipValue(view, valueAt, end)
      if ((code <= last && !repeats) || (second && !repeats)) {
        // Proton writes a value that is null in front of the properties: then all of the rest counts
        // as body.
        if (this.bodyCode !== Descriptor.value) throw new DecodeError(0, 'sections out of order')
        this.bodyEnd = to
        continue
      }
      last = code
      this.note(view, code, from, valueAt, to)
    }
    if (this.bodyCount === 0) throw new DecodeError(0, 'missing_amqp_message_body')
  }

  private note(view: DataView, code: number, from: number, valueAt: number, to: number): void {
    if (code >= Descriptor.data && code <= Descriptor.value) {
      if (this.bodyCount++ === 0) {
        this.bodyCode = code
        this.bodyAt = from
        if (code === Descriptor.data) this.noteData(view, valueAt, to)
      }
      this.bodyEnd = to
    } else if (code === Descriptor.header) {
      this.headerAt = from
      this.headerEnd = to
    } else if (code === Descriptor.messageAnnotations) {
      this.annotationsAt = from
      this.annotationsEnd = to
    } else if (code === Descriptor.properties) {
      this.propertiesAt = from
      this.propertiesEnd = to
    } else if (code === Descriptor.applicationProperties) {
      this.applicationAt = from
      this.applicationEnd = to
    } else if (code === Descriptor.footer) {
      this.footerAt = from
      this.footerEnd = to
    }
  }

  private noteData(view: DataView, valueAt: number, to: number): void {
    const code = view.getUint8(valueAt)
    if (code !== Code.binary8 && code !== Code.binary32) {
      throw new DecodeError(0, 'data section is not binary')
    }
    this.dataAt = valueAt + (code === Code.binary8 ? 2 : 5)
    this.dataSize = to - this.dataAt
    // As this gateway writes it: with nothing in front but the short descriptor.
    this.dataShort = valueAt === this.bodyAt + 3 && (code === Code.binary8) === this.dataSize < 256
  }

  private clear(): void {
    this.headerAt = -1
    this.annotationsAt = -1
    this.annotationsEnd = -1
    this.propertiesAt = -1
    this.propertiesEnd = -1
    this.applicationAt = -1
    this.applicationEnd = -1
    this.bodyCode = 0
    this.bodyCount = 0
    this.dataAt = -1
    this.dataSize = 0
    this.dataShort = false
    this.footerAt = -1
  }
}

/**
 * Walks the elements of a list or map in bytes: `enter` at the value, then `next` for each element,
 * whose position is `at` before the call. For values that skipValue has accepted.
 */
export class ElementCursor {
  view: DataView = viewOf(NO_BYTES)
  /** The next element. */
  at = 0
  end = 0
  /** Elements that are left (a map's keys and values each count). */
  left = 0

  /** Turns to the described value at `at`, a section; `code8` is the short code it must have. */
  enterSection(bytes: Uint8Array, at: number, end: number, code8: number): void {
    const view = viewOf(bytes)
    const valueAt = view.getUint16(at) === 0x0053 ? at + 3 : skipValue(view, at + 1, end)
    this.enter(view, valueAt, end, code8)
  }

  /** Turns to the list or map at `at`. DecodeError where there is another value. */
  enter(view: DataView, at: number, end: number, code8: number): void {
    const code = view.getUint8(at)
    this.view = view
    if (code === code8) {
      this.left = view.getUint8(at + 2)
      this.at = at + 3
      this.end = at + 2 + view.getUint8(at + 1)
    } else if (code === code8 + 0x10) {
      if (at + 9 > end) truncated()
      this.left = view.getUint32(at + 5)
      this.at = at + 9
      this.end = at + 5 + view.getUint32(at + 1)
    } else if (code === Code.list0 && code8 === Code.list8) {
      this.left = 0
      this.at = at + 1
      this.end = at + 1
    } else {
      throw new DecodeError(0, 'section is neither list nor map')
    }
    if (this.at > end || this.end > end || this.at > this.end) truncated()
  }

  /** Steps over the element at `at`. */
  next(): void {
    this.left--
    this.at = skipValue(this.view, this.at, this.end)
  }
}

function sectionCode(bytes: Uint8Array, view: DataView, at: number, end: number): number {
  const code = view.getUint8(at)
  if (code === Code.ulong && view.getUint32(at + 1) === 0) return view.getUint32(at + 5)
  if (code === Code.smallUlong) return view.getUint8(at + 1)
  const textAt = at + (code === Code.symbol8 ? 2 : 5)
  if (code !== Code.symbol8 && code !== Code.symbol32) return 0
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + textAt, end - textAt).toString('latin1')
  return SYMBOLS.indexOf(text) + Descriptor.header
}

const SYMBOLS: readonly string[] = [
  'amqp:header:list',
  'amqp:delivery-annotations:map',
  'amqp:message-annotations:map',
  'amqp:properties:list',
  'amqp:application-properties:map',
  'amqp:data:binary',
  'amqp:amqp-sequence:list',
  'amqp:amqp-value:*',
  'amqp:footer:map',
]

const NO_BYTES = new Uint8Array(0)
