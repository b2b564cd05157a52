// Values to bytes, each in the shortest form of its type.

import { Writer, writeU32 } from '../../../shared/bytes/writer.ts'
import { Code, constructorOf } from './constructors.ts'
import type { AmqpMap, AmqpValue } from './value.ts'

/** Appends a value. One that is out of its type's range throws RangeError. */
export function writeValue(writer: Writer, value: AmqpValue): void {
  switch (value.type) {
    case 'null':
      return writer.u8(Code.null)
    case 'boolean':
      return writer.u8(value.value ? Code.true : Code.false)
    case 'uint':
      return writeUint(writer, value.value)
    case 'ulong':
      return writeUlong(writer, value.value)
    case 'int':
    case 'long':
      return writeSigned(writer, value.type, value.value)
    case 'utf8':
      return writeSized(writer, Code.utf8, Buffer.from(value.value))
    case 'symbol':
      return writeSized(writer, Code.symbol8, Buffer.from(value.value))
    case 'binary':
      return writeSized(writer, Code.binary8, value.value)
    case 'list':
      return writeList(writer, value.value)
    case 'map':
      return writeMap(writer, value.value)
    case 'array':
      return writeArray(writer, value.element, value.value)
    case 'described':
      writer.u8(Code.described)
      writeValue(writer, value.descriptor)
      return writeValue(writer, value.value)
    default:
      return writeFixed(writer, value)
  }
}

export function writeUint(writer: Writer, value: number): void {
  if (value === 0) writer.u8(Code.uint0)
  else if (value < 256) {
    writer.u8(Code.smallUint)
    writer.u8(value)
  } else {
    writer.u8(Code.uint)
    writer.u32(value)
  }
}

function writeUlong(writer: Writer, value: number | bigint): void {
  if (value === 0 || value === 0n) writer.u8(Code.ulong0)
  else if (value > 0 && value < 256) {
    writer.u8(Code.smallUlong)
    writer.u8(Number(value))
  } else {
    writer.u8(Code.ulong)
    writer.u64(value)
  }
}

function writeSigned(writer: Writer, type: 'int' | 'long', value: number | bigint): void {
  if (value >= -128 && value <= 127) {
    writer.u8(type === 'int' ? 0x54 : 0x55)
    writer.i8(Number(value))
  } else if (type === 'int') {
    writer.u8(0x71)
    writer.i32(Number(value))
  } else {
    writer.u8(0x81)
    writer.i64(value)
  }
}

/** Appends bytes with their size; `code` is that of the short form, 0x10 below the long one's. */
export function writeSized(writer: Writer, code: number, bytes: Uint8Array): void {
  if (bytes.length < 256) {
    writer.u8(code)
    writer.u8(bytes.length)
  } else {
    writer.u8(code + 0x10)
    writer.u32(bytes.length)
  }
  writer.raw(bytes)
}

export function writeList(writer: Writer, values: readonly AmqpValue[]): void {
  if (values.length === 0) {
    writer.u8(Code.list0)
    return
  }
  writeCompound(writer, Code.list8, values.length, (inner) => {
    for (const value of values) writeValue(inner, value)
  })
}

export function writeMap(writer: Writer, entries: AmqpMap): void {
  writeCompound(writer, Code.map8, entries.length * 2, (inner) => {
    for (const [key, value] of entries) {
      writeValue(inner, key)
      writeValue(inner, value)
    }
  })
}

/** Appends what `write` appends as the elements of a list or map; `code` is that of the short form. */
export function writeCompound(
  writer: Writer,
  code: number,
  count: number,
  write: (inner: Writer) => void,
): void {
  const from = writer.at
  // The long form first; a short one is moved up, which is rarely more than some dozens of bytes.
  writer.u8(code + 0x10)
  const sizeAt = writer.reserve(8)
  write(writer)
  const size = writer.at - sizeAt - 8
  if (size + 1 < 256 && count < 256) {
    writer.bytes.copyWithin(from + 3, sizeAt + 8, writer.at)
    writer.bytes[from] = code
    writer.bytes[from + 1] = size + 1
    writer.bytes[from + 2] = count
    writer.at = from + 3 + size
  } else {
    writeU32(writer.bytes, sizeAt, size + 4)
    writeU32(writer.bytes, sizeAt + 4, count)
  }
}

// Elements have one constructor between them: the widest of their type.
function writeArray(writer: Writer, element: number, values: readonly AmqpValue[]): void {
  const first = values[0]
  const code = first === undefined ? element : widestCode(first)
  writer.u8(Code.array32)
  const sizeAt = writer.reserve(4)
  writer.u32(values.length)
  if (first?.type === 'described') {
    writer.u8(Code.described)
    writeValue(writer, first.descriptor)
  }
  writer.u8(code)
  for (const value of values) {
    const whole = new Writer(64)
    writeWide(whole, value.type === 'described' ? value.value : value)
    writer.raw(whole.bytes.subarray(1, whole.at))
  }
  writeU32(writer.bytes, sizeAt, writer.at - sizeAt - 4)
}

function widestCode(value: AmqpValue): number {
  const type = value.type === 'described' ? value.value.type : value.type
  return WIDEST[type] as number
}

// As writeValue, but always with the code of `widestCode`.
function writeWide(writer: Writer, value: AmqpValue): void {
  const code = widestCode(value)
  writer.u8(code)
  switch (value.type) {
    case 'null':
      return
    case 'boolean':
      return writer.u8(value.value ? 1 : 0)
    case 'uint':
      return writer.u32(value.value)
    case 'ulong':
      return writer.u64(value.value)
    case 'int':
      return writer.i32(value.value)
    case 'long':
      return writer.i64(value.value)
    case 'utf8':
    case 'symbol':
      return writer.longBytes(Buffer.from(value.value))
    case 'binary':
      return writer.longBytes(value.value)
    case 'list':
    case 'map': {
      const values = value.type === 'list' ? value.value : value.value.flat()
      const sizeAt = writer.reserve(4)
      writer.u32(values.length)
      for (const each of values) writeValue(writer, each)
      writeU32(writer.bytes, sizeAt, writer.at - sizeAt - 4)
      return
    }
    default:
      writer.at--
      writeValue(writer, value)
  }
}

function writeFixed(writer: Writer, value: AmqpValue): void {
  writer.u8(WIDEST[value.type] as number)
  switch (value.type) {
    case 'ubyte':
      return writer.u8(value.value)
    case 'ushort':
      return writer.u16(value.value)
    case 'byte':
      return writer.i8(value.value)
    case 'short':
      return writer.i16(value.value)
    case 'char':
      return writer.u32(value.value)
    case 'timestamp':
      return writer.i64(value.value)
    case 'float':
      return writer.f32(value.value)
    case 'double':
      return writer.f64(value.value)
    case 'decimal32':
    case 'decimal64':
    case 'decimal128':
    case 'uuid':
      return writer.raw(value.value)
    default:
      throw new TypeError(`no form for ${value.type}`)
  }
}

// The widest code of each type comes last in the table of constructors.
const WIDEST: Record<string, number> = {}
for (let code = 0; code < 256; code++) {
  const found = constructorOf(code)
  if (found !== undefined) WIDEST[found.type] = code
}

/** The bytes of a value. */
export function encodeValue(value: AmqpValue): Uint8Array {
  const writer = new Writer(64)
  writeValue(writer, value)
  return writer.finish()
}
