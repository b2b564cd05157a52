// AMQP 0-9-1 tables and arrays, bytes <-> FieldValue. It lies in shared/ because messages keep the
// property bytes they came with: a shard reads headers from them and dead-letters with new ones.
//
//   table = size u32, then per entry: key shortstr, value
//   array = size u32, then values
//   value = type u8, then what the type asks for

import { DecodeError } from '../bytes/decode-error.ts'
import type { Reader } from '../bytes/reader.ts'

import { decodeUtf8 } from '../bytes/utf8.ts'
import { viewOf } from '../bytes/view.ts'
import type { Writer } from '../bytes/writer.ts'
import { writeU32 } from '../bytes/writer.ts'
import type { FieldEntry, FieldTable, FieldValue } from './value.ts'

/** Tables and arrays inside each other; a deeper one could exhaust the stack of a reader. */
export const FIELD_DEPTH_MAX = 32

/** Reads a table with its size in front. Throws DecodeError with the reader's code. */
export function readTable(reader: Reader, depth = 0): FieldTable {
  const end = enter(reader, depth)
  const entries: FieldEntry[] = []
  while (reader.at < end) {
    // A key that is not UTF-8 is read as well as can be: brokers pass the bytes themselves on.
    const key = reader.lossyShortstr()
    entries.push([key, readValue(reader, depth + 1)])
  }
  if (reader.at !== end) reader.fail('table entry passes the end of its table')
  return entries
}

/** Reads a type byte and the value. Throws DecodeError with the reader's code. */
export function readValue(reader: Reader, depth = 0): FieldValue {
  const type = reader.u8()
  switch (type) {
    case Tag.bool:
      return { type: 't', value: reader.u8() !== 0 }
    case Tag.int8:
      return { type: 'b', value: reader.i8() }
    case Tag.uint8:
      return { type: 'B', value: reader.u8() }
    case Tag.int16:
      return { type: 's', value: reader.i16() }
    case Tag.uint16:
      return { type: 'u', value: reader.u16() }
    case Tag.int32:
      return { type: 'I', value: reader.i32() }
    case Tag.uint32:
      return { type: 'i', value: reader.u32() }
    case Tag.int64:
    case Tag.int64Alias:
      return { type: 'l', value: reader.i64Exact() }
    case Tag.timestamp:
      return { type: 'T', value: reader.u64Exact() }
    case Tag.float:
      return { type: 'f', value: reader.f32() }
    case Tag.double:
      return { type: 'd', value: reader.f64() }
    case Tag.decimal:
      return { type: 'D', value: { scale: reader.u8(), unscaled: reader.u32() } }
    case Tag.longstr:
      return { type: 'S', value: readText(reader) }
    case Tag.bytes:
      return { type: 'x', value: reader.longBytes() }
    case Tag.array:
      return { type: 'A', value: readArray(reader, depth) }
    case Tag.table:
      return { type: 'F', value: readTable(reader, depth) }
    case Tag.void:
      return { type: 'V', value: null }
    default:
      return reader.fail(`unknown field type ${type}`)
  }
}

/** Appends a table with its size in front. */
export function writeTable(writer: Writer, table: FieldTable): void {
  const sizeAt = writer.reserve(4)
  for (const [key, value] of table) {
    writer.shortstr(key)
    writeValue(writer, value)
  }
  writeU32(writer.bytes, sizeAt, writer.at - sizeAt - 4)
}

/** Appends a type byte and the value. A value out of its type's range throws RangeError. */
export function writeValue(writer: Writer, field: FieldValue): void {
  writer.u8(field.type.charCodeAt(0))
  switch (field.type) {
    case 't':
      return writer.u8(field.value ? 1 : 0)
    case 'b':
      return writer.i8(field.value)
    case 'B':
      return writer.u8(field.value)
    case 's':
      return writer.i16(field.value)
    case 'u':
      return writer.u16(field.value)
    case 'I':
      return writer.i32(field.value)
    case 'i':
      return writer.u32(field.value)
    case 'l':
      return writer.i64(field.value)
    case 'T':
      return writer.u64(field.value)
    case 'f':
      return writer.f32(field.value)
    case 'd':
      return writer.f64(field.value)
    case 'D':
      writer.u8(field.value.scale)
      return writer.u32(field.value.unscaled)
    case 'S':
      if (typeof field.value === 'string') return writer.longstr(field.value)
      return writer.longBytes(field.value)
    case 'x':
      return writer.longBytes(field.value)
    case 'A':
      return writeArray(writer, field.value)
    case 'F':
      return writeTable(writer, field.value)
    case 'V':
      return
  }
}

/**
 * Checks the table whose size field is at `at` without decoding it and gives the position behind
 * it. Throws DecodeError(errorCode) if it is malformed, too deep or passes `end`.
 */
export function skipTable(bytes: Uint8Array, at: number, end: number, errorCode: number): number {
  return skipEntries(viewOf(bytes), at, end, errorCode, 0)
}

/** As skipTable, for one value with its type byte at `at`, `depth` levels deep. */
export function skipValue(
  view: DataView,
  at: number,
  end: number,
  errorCode: number,
  depth: number,
): number {
  if (at >= end) return malformed(errorCode)
  const type = view.getUint8(at)
  const from = at + 1
  if (type === Tag.table) return skipEntries(view, from, end, errorCode, depth)
  if (type === Tag.array) return skipElements(view, from, end, errorCode, depth)
  let size = FIXED_SIZES[type] as number
  if (size === SIZED) {
    if (from + 4 > end) return malformed(errorCode)
    size = 4 + view.getUint32(from)
  } else if (size === UNKNOWN) {
    throw new DecodeError(errorCode, `unknown field type ${type}`)
  }
  if (from + size > end) return malformed(errorCode)
  return from + size
}

/**
 * Position of the value (its type byte) under `key` in a table that skipTable has accepted, or -1.
 * `tableAt` is the position of the table's size field. The first of two equal keys counts.
 */
export function findField(bytes: Uint8Array, tableAt: number, key: Uint8Array): number {
  const view = viewOf(bytes)
  const end = tableAt + 4 + view.getUint32(tableAt)
  const keySize = key.length
  let at = tableAt + 4
  while (at < end) {
    const size = view.getUint8(at)
    const valueAt = at + 1 + size
    if (size === keySize && sameBytes(view, at + 1, key)) return valueAt
    at = skipValue(view, valueAt, end, 0, 1)
  }
  return -1
}

function readArray(reader: Reader, depth: number): FieldValue[] {
  const end = enter(reader, depth)
  const values: FieldValue[] = []
  while (reader.at < end) values.push(readValue(reader, depth + 1))
  if (reader.at !== end) reader.fail('array element passes the end of its array')
  return values
}

function writeArray(writer: Writer, values: readonly FieldValue[]): void {
  const sizeAt = writer.reserve(4)
  for (const value of values) writeValue(writer, value)
  writeU32(writer.bytes, sizeAt, writer.at - sizeAt - 4)
}

function readText(reader: Reader): string | Uint8Array {
  const size = reader.u32()
  const from = reader.take(size)
  const text = decodeUtf8(reader.bytes, from, reader.at)
  if (text !== undefined) return text
  reader.at = from
  return reader.copy(size)
}

// Reads the size of a table or array and gives where it ends.
function enter(reader: Reader, depth: number): number {
  if (depth >= FIELD_DEPTH_MAX) reader.fail(`fields nested deeper than ${FIELD_DEPTH_MAX}`)
  const size = reader.u32()
  if (size > reader.left()) reader.fail('unexpected end of bytes')
  return reader.at + size
}

function skipEntries(
  view: DataView,
  sizeAt: number,
  limit: number,
  errorCode: number,
  depth: number,
): number {
  const end = skipSize(view, sizeAt, limit, errorCode, depth)
  let at = sizeAt + 4
  while (at < end) {
    at = skipValue(view, at + 1 + view.getUint8(at), end, errorCode, depth + 1)
  }
  return end
}

function skipElements(
  view: DataView,
  sizeAt: number,
  limit: number,
  errorCode: number,
  depth: number,
): number {
  const end = skipSize(view, sizeAt, limit, errorCode, depth)
  let at = sizeAt + 4
  while (at < end) at = skipValue(view, at, end, errorCode, depth + 1)
  return end
}

function skipSize(
  view: DataView,
  sizeAt: number,
  limit: number,
  errorCode: number,
  depth: number,
): number {
  if (depth >= FIELD_DEPTH_MAX) {
    throw new DecodeError(errorCode, `fields nested deeper than ${FIELD_DEPTH_MAX}`)
  }
  if (sizeAt + 4 > limit) return malformed(errorCode)
  const end = sizeAt + 4 + view.getUint32(sizeAt)
  return end > limit ? malformed(errorCode) : end
}

function sameBytes(view: DataView, at: number, key: Uint8Array): boolean {
  for (let i = 0; i < key.length; i++) {
    if (view.getUint8(at + i) !== key[i]) return false
  }
  return true
}

function malformed(errorCode: number): never {
  throw new DecodeError(errorCode, 'malformed field table')
}

// The letters of RabbitMQ's dialect: `s` is a 16-bit integer and both `l` and `L` are signed.
const Tag = {
  array: 0x41,
  uint8: 0x42,
  decimal: 0x44,
  table: 0x46,
  int32: 0x49,
  int64Alias: 0x4c,
  longstr: 0x53,
  timestamp: 0x54,
  void: 0x56,
  int8: 0x62,
  double: 0x64,
  float: 0x66,
  uint32: 0x69,
  int64: 0x6c,
  int16: 0x73,
  bool: 0x74,
  uint16: 0x75,
  bytes: 0x78,
} as const

const SIZED = 254
const UNKNOWN = 255

// Bytes behind the type byte, by type byte.
const FIXED_SIZES = new Uint8Array(256).fill(UNKNOWN)
for (const tag of [Tag.bool, Tag.int8, Tag.uint8]) FIXED_SIZES[tag] = 1
for (const tag of [Tag.int16, Tag.uint16]) FIXED_SIZES[tag] = 2
for (const tag of [Tag.int32, Tag.uint32, Tag.float]) FIXED_SIZES[tag] = 4
for (const tag of [Tag.int64, Tag.int64Alias, Tag.timestamp, Tag.double]) FIXED_SIZES[tag] = 8
for (const tag of [Tag.longstr, Tag.bytes]) FIXED_SIZES[tag] = SIZED
FIXED_SIZES[Tag.decimal] = 5
FIXED_SIZES[Tag.void] = 0
