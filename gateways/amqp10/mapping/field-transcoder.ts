// AMQP 1.0 values to values of 0-9-1 header tables, bytes to bytes. The types are those of RabbitMQ's
// conversion; what 0-9-1 has no type for (decimals) is left out.

import { Code, constructorOf, skipValue } from '../codec/constructors.ts'
import type { Scratch } from '../codec/scratch.ts'
import { ElementCursor } from '../codec/sections.ts'

/** Values inside each other that are followed; deeper ones are left out. */
const depthMax = 16

// HOT: once per application property; nothing is allocated for plain values
/**
 * Appends the value at `at` as a type letter and value; false where it has no 0-9-1 form, and then
 * nothing is appended. The value has been accepted by skipValue.
 */
export function writeField(
  out: Scratch,
  bytes: Uint8Array,
  view: DataView,
  at: number,
  depth = 0,
): boolean {
  const code = view.getUint8(at)
  const found = constructorOf(code)
  if (found === undefined) return false
  out.reserve(16)
  const to = out.view
  switch (found.type) {
    case 'null':
      to.setUint8(out.at++, 0x56)
      return true
    case 'boolean':
      to.setUint8(out.at, 0x74)
      to.setUint8(
        out.at + 1,
        code === Code.true || (code === Code.boolean && view.getUint8(at + 1) !== 0) ? 1 : 0,
      )
      out.at += 2
      return true
    case 'utf8':
    case 'symbol':
    case 'binary':
      return writeBytes(out, bytes, view, at, found.width)
    case 'list':
    case 'map':
    case 'array':
      return writeNested(out, bytes, view, at, depth)
    default:
      return writeNumber(out, view, at, found.type, found.width)
  }
}

function writeBytes(
  out: Scratch,
  bytes: Uint8Array,
  view: DataView,
  at: number,
  width: number,
): true {
  const size = width === 1 ? view.getUint8(at + 1) : view.getUint32(at + 1)
  out.view.setUint8(out.at, 0x53)
  out.view.setUint32(out.at + 1, size)
  out.at += 5
  out.copy(bytes, at + 1 + width, size)
  return true
}

// Type letter and width of the 0-9-1 value, by 1.0 type.
const NUMBERS: Readonly<Record<string, readonly [letter: number, width: number]>> = {
  byte: [0x62, 1],
  ubyte: [0x42, 1],
  short: [0x73, 2],
  ushort: [0x75, 2],
  int: [0x49, 4],
  uint: [0x69, 4],
  char: [0x69, 4],
  long: [0x6c, 8],
  ulong: [0x6c, 8],
  timestamp: [0x54, 8],
  float: [0x66, 4],
  double: [0x64, 8],
}

function writeNumber(
  out: Scratch,
  view: DataView,
  at: number,
  type: string,
  width: number,
): boolean {
  if (type === 'uuid') return writeUuid(out, view, at)
  const form = NUMBERS[type]
  if (form === undefined) return false
  const [letter, size] = form
  const to = out.view
  to.setUint8(out.at, letter)
  if (type === 'timestamp') {
    // Milliseconds to seconds.
    const ms = view.getBigInt64(at + 1)
    to.setBigInt64(out.at + 1, ms / 1000n)
  } else if (width === size) {
    for (let i = 0; i < size; i++) to.setUint8(out.at + 1 + i, view.getUint8(at + 1 + i))
  } else {
    // A short form: none, or one byte, with its sign for the signed types.
    const small = width === 0 ? 0 : view.getUint8(at + 1)
    const signed = type === 'int' || type === 'long' ? (small << 24) >> 24 : small
    if (size === 8) to.setInt32(out.at + 1, signed < 0 ? -1 : 0)
    to.setInt32(out.at + 1 + size - 4, signed)
  }
  out.at += 1 + size
  return true
}

function writeUuid(out: Scratch, view: DataView, at: number): true {
  out.reserve(64)
  out.view.setUint8(out.at, 0x53)
  out.view.setUint32(out.at + 1, URN_UUID_SIZE)
  out.at += 5
  writeUrn(out, view, at + 1)
  return true
}

/** Bytes of `urn:uuid:` and a UUID's text. */
export const URN_UUID_SIZE = 45

/** Appends the 16 bytes at `at` as `urn:uuid:...`. */
export function writeUrn(out: Scratch, view: DataView, at: number): void {
  out.reserve(URN_UUID_SIZE)
  let text = 'urn:uuid:'
  for (let i = 0; i < 16; i++) {
    if (i === 4 || i === 6 || i === 8 || i === 10) text += '-'
    text += view
      .getUint8(at + i)
      .toString(16)
      .padStart(2, '0')
  }
  for (let i = 0; i < URN_UUID_SIZE; i++) out.view.setUint8(out.at + i, text.charCodeAt(i))
  out.at += URN_UUID_SIZE
}

function writeNested(
  out: Scratch,
  bytes: Uint8Array,
  view: DataView,
  at: number,
  depth: number,
): boolean {
  if (depth === depthMax) return false
  const code = view.getUint8(at)
  const isMap = code === Code.map8 || code === Code.map32
  const begin = out.at
  out.view.setUint8(begin, isMap ? 0x46 : 0x41)
  out.at += 5
  const end = skipValue(view, at, view.byteLength)
  if (code === Code.array8 || code === Code.array32) {
    writeElements(out, bytes, view, at, end, depth)
  } else {
    const cursor = new ElementCursor()
    cursor.enter(view, at, end, isMap ? Code.map8 : Code.list8)
    while (cursor.left > 0) {
      const from = cursor.at
      cursor.next()
      if (!isMap) {
        writeField(out, bytes, view, from, depth + 1)
        continue
      }
      if (cursor.left === 0) break
      const valueAt = cursor.at
      cursor.next()
      const entryAt = out.at
      if (!writeKey(out, bytes, view, from)) continue
      if (!writeField(out, bytes, view, valueAt, depth + 1)) out.at = entryAt
    }
  }
  out.view.setUint32(begin + 1, out.at - begin - 5)
  return true
}

/** Appends a string or symbol of at most 255 bytes as a shortstr; false for any other value. */
export function writeKey(out: Scratch, bytes: Uint8Array, view: DataView, at: number): boolean {
  const code = view.getUint8(at)
  const short = code === Code.utf8 || code === Code.symbol8
  if (!short && code !== Code.utf32 && code !== Code.symbol32) return false
  const size = short ? view.getUint8(at + 1) : view.getUint32(at + 1)
  if (size > 255) return false
  out.u8(size)
  out.copy(bytes, at + (short ? 2 : 5), size)
  return true
}

// Elements of an array share one constructor: each is put together with it again.
function writeElements(
  out: Scratch,
  bytes: Uint8Array,
  view: DataView,
  at: number,
  end: number,
  depth: number,
): void {
  const wide = view.getUint8(at) === Code.array32
  const count = wide ? view.getUint32(at + 5) : view.getUint8(at + 2)
  const codeAt = at + (wide ? 9 : 3)
  if (codeAt >= end) return
  const code = view.getUint8(codeAt)
  let from = codeAt + 1
  for (let i = 0; i < count && from <= end && i < elementsMax; i++) {
    const element = new Uint8Array(end - from + 1)
    element[0] = code
    element.set(bytes.subarray(from, end), 1)
    const inner = new DataView(element.buffer)
    let size = 0
    try {
      size = skipValue(inner, 0, element.length) - 1
    } catch {
      return
    }
    writeField(out, element, inner, 0, depth + 1)
    from += size
  }
}

/** Elements of an array that are carried over: they are the one thing whose count may exceed its bytes. */
const elementsMax = 1024
