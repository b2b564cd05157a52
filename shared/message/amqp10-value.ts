// Values of AMQP 1.0 (1.6 of its part 1, primitive types) as field values, and the other way round, by
// the rules by which RabbitMQ converts headers (mc_amqpl of RabbitMQ 4.3).

import { Buffer } from 'node:buffer'
import type { Reader } from '../bytes/reader.ts'
import { isUtf8 } from '../bytes/utf8.ts'
import type { Writer } from '../bytes/writer.ts'
import { writeU32 } from '../bytes/writer.ts'
import type { FieldEntry, FieldTable, FieldValue } from './value.ts'

/** Lists and maps inside each other; a deeper one could exhaust the stack of a reader. */
const depthMax = 32

/** Reads a constructor and its value; undefined for null and for what has no counterpart (decimals). */
export function readAmqp10Value(reader: Reader, depth = 0): FieldValue | undefined {
  return readAs(reader, reader.u8(), depth)
}

/** Passes a constructor and its value. */
export function skipAmqp10Value(reader: Reader): void {
  const code = reader.u8()
  if (code === 0) {
    skipAmqp10Value(reader)
    skipAmqp10Value(reader)
    return
  }
  reader.take(dataSize(reader, code))
}

/** Reads a map whose keys are text or symbols; others are left out. `null` is an empty one. */
export function readAmqp10Map(reader: Reader, depth = 0): FieldTable {
  const code = reader.u8()
  if (code === 0x40) return []
  if (code !== 0xc1 && code !== 0xd1) reader.fail('a map was expected')
  const value = readAs(reader, code, depth)
  return value?.type === 'F' ? value.value : []
}

/** Text of a string, symbol or (where it is UTF-8) binary; undefined for anything else. */
export function textOfAmqp10(value: FieldValue | undefined): string | undefined {
  return value?.type === 'S' && typeof value.value === 'string' ? value.value : undefined
}

/** Writes a field value with its constructor. */
export function writeAmqp10Value(writer: Writer, field: FieldValue): void {
  switch (field.type) {
    case 't':
      return writer.u8(field.value ? 0x41 : 0x42)
    case 'b':
      writer.u8(0x51)
      return writer.i8(field.value)
    case 'B':
      writer.u8(0x50)
      return writer.u8(field.value)
    case 's':
      writer.u8(0x61)
      return writer.i16(field.value)
    case 'u':
      writer.u8(0x60)
      return writer.u16(field.value)
    case 'I':
      writer.u8(0x71)
      return writer.i32(field.value)
    case 'i':
      writer.u8(0x70)
      return writer.u32(field.value)
    case 'l':
      writer.u8(0x81)
      return writer.i64(field.value)
    case 'T':
      writer.u8(0x83)
      return writer.i64(BigInt(field.value) * 1000n)
    case 'f':
      writer.u8(0x72)
      return writer.f32(field.value)
    case 'd':
      writer.u8(0x82)
      return writer.f64(field.value)
    case 'D':
      writer.u8(0x82)
      return writer.f64(field.value.unscaled / 10 ** field.value.scale)
    case 'S':
      if (typeof field.value === 'string') return writeAmqp10Text(writer, field.value)
      return writeAmqp10Binary(writer, field.value)
    case 'x':
      return writeAmqp10Binary(writer, field.value)
    case 'A':
      return writeCompound(writer, 0xd0, field.value.length, () => {
        for (const item of field.value) writeAmqp10Value(writer, item)
      })
    case 'F':
      return writeAmqp10Map(writer, field.value, writeAmqp10Symbol)
    case 'V':
      return writer.u8(0x40)
  }
}

/** Writes a map; `writeKey` says whether its keys are strings or symbols. */
export function writeAmqp10Map(
  writer: Writer,
  table: FieldTable,
  writeKey: (writer: Writer, key: string) => void,
): void {
  writeCompound(writer, 0xd1, table.length * 2, () => {
    for (const [key, value] of table) {
      writeKey(writer, key)
      writeAmqp10Value(writer, value)
    }
  })
}

export function writeAmqp10Text(writer: Writer, text: string): void {
  writeVariable(writer, 0xa1, encoder.encode(text))
}

export function writeAmqp10Symbol(writer: Writer, text: string): void {
  writeVariable(writer, 0xa3, encoder.encode(text))
}

export function writeAmqp10Binary(writer: Writer, bytes: Uint8Array): void {
  writeVariable(writer, 0xa0, bytes)
}

/** Writes a list or map with 32-bit sizes; `write` writes its `count` values. */
export function writeCompound(
  writer: Writer,
  code: number,
  count: number,
  write: () => void,
): void {
  writer.u8(code)
  const sizeAt = writer.reserve(4)
  writer.u32(count)
  write()
  writeU32(writer.bytes, sizeAt, writer.at - sizeAt - 4)
}

const encoder = new TextEncoder()

function writeVariable(writer: Writer, shortCode: number, bytes: Uint8Array): void {
  if (bytes.length < 256) {
    writer.u8(shortCode)
    writer.u8(bytes.length)
  } else {
    writer.u8(shortCode + 0x10)
    writer.u32(bytes.length)
  }
  writer.raw(bytes)
}

function readAs(reader: Reader, code: number, depth: number): FieldValue | undefined {
  if (depth > depthMax) reader.fail('values nested too deep')
  switch (code) {
    case 0x40:
      return { type: 'V', value: null }
    case 0x41:
    case 0x42:
      return { type: 't', value: code === 0x41 }
    case 0x56:
      return { type: 't', value: reader.u8() !== 0 }
    case 0x50:
      return { type: 'B', value: reader.u8() }
    case 0x51:
      return { type: 'b', value: reader.i8() }
    case 0x60:
      return { type: 'u', value: reader.u16() }
    case 0x61:
      return { type: 's', value: reader.i16() }
    case 0x72:
      return { type: 'f', value: reader.f32() }
    case 0x82:
      return { type: 'd', value: reader.f64() }
    case 0x83:
      return { type: 'T', value: Number(BigInt(reader.i64Exact()) / 1000n) }
    case 0x98:
      return { type: 'S', value: uuidUrn(reader.copy(16)) }
    default:
      return code < 0xa0 ? readInteger(reader, code) : readSized(reader, code, depth)
  }
}

function readInteger(reader: Reader, code: number): FieldValue | undefined {
  switch (code) {
    case 0x43:
      return { type: 'i', value: 0 }
    case 0x52:
      return { type: 'i', value: reader.u8() }
    case 0x70:
    case 0x73:
      return { type: 'i', value: reader.u32() }
    case 0x44:
      return { type: 'l', value: 0 }
    case 0x53:
      return { type: 'l', value: reader.u8() }
    case 0x80:
      // RabbitMQ keeps it as it is too, though 0-9-1 has no unsigned 64-bit type.
      return { type: 'l', value: reader.i64Exact() }
    case 0x54:
      return { type: 'I', value: reader.i8() }
    case 0x71:
      return { type: 'I', value: reader.i32() }
    case 0x55:
      return { type: 'l', value: reader.i8() }
    case 0x81:
      return { type: 'l', value: reader.i64Exact() }
    default:
      reader.take(dataSize(reader, code))
      return undefined
  }
}

function readSized(reader: Reader, code: number, depth: number): FieldValue | undefined {
  if ((code & 0xe0) === 0xa0) {
    const size = code < 0xb0 ? reader.u8() : reader.u32()
    const bytes = reader.copy(size)
    const isText = (code & 0x0f) !== 0 && isUtf8(bytes, 0, size)
    return isText ? { type: 'S', value: decoder.decode(bytes) } : { type: 'x', value: bytes }
  }
  const wide = (code & 0x10) !== 0
  const size = wide ? reader.u32() : reader.u8()
  const end = reader.at + size
  if (size > reader.left()) reader.fail('a value passes the end of its section')
  const count = wide ? reader.u32() : reader.u8()
  let value: FieldValue
  if ((code & 0xef) === 0xc0) value = readList(reader, count, depth)
  else if ((code & 0xef) === 0xc1) value = readMap(reader, count, depth)
  else if ((code & 0xef) === 0xe0) value = readArray(reader, count, depth)
  else return reader.fail('unknown type')
  if (reader.at !== end) reader.fail('a value has another size than it says')
  return value
}

function readList(reader: Reader, count: number, depth: number): FieldValue {
  const items: FieldValue[] = []
  for (let i = 0; i < count; i++) {
    const item = readAmqp10Value(reader, depth + 1)
    if (item !== undefined) items.push(item)
  }
  return { type: 'A', value: items }
}

function readArray(reader: Reader, count: number, depth: number): FieldValue {
  const items: FieldValue[] = []
  const code = reader.u8()
  if (code === 0) reader.fail('arrays of described values are not supported')
  for (let i = 0; i < count; i++) {
    const item = readAs(reader, code, depth + 1)
    if (item !== undefined) items.push(item)
    else if (reader.left() === 0) break
  }
  return { type: 'A', value: items }
}

function readMap(reader: Reader, count: number, depth: number): FieldValue {
  const entries: FieldEntry[] = []
  for (let i = 0; i < count; i += 2) {
    const key = readAmqp10Value(reader, depth + 1)
    const value = readAmqp10Value(reader, depth + 1)
    const name = textOfAmqp10(key)
    if (name !== undefined && value !== undefined && Buffer.byteLength(name) <= 255) {
      entries.push([name, value])
    }
  }
  return { type: 'F', value: entries }
}

const decoder = new TextDecoder()

function uuidUrn(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString('hex')
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20)]
  return `urn:uuid:${parts.join('-')}-${hex.slice(20)}`
}

/** Bytes of a value behind its constructor; reads the size field where there is one. */
function dataSize(reader: Reader, code: number): number {
  switch (code >> 4) {
    case 0x4:
      return 0
    case 0x5:
      return 1
    case 0x6:
      return 2
    case 0x7:
      return 4
    case 0x8:
      return 8
    case 0x9:
      return 16
    case 0xa:
    case 0xc:
    case 0xe:
      return reader.u8()
    case 0xb:
    case 0xd:
    case 0xf:
      return reader.u32()
    default:
      return reader.fail('unknown type')
  }
}
