// Bytes to values. For cold frames, filters and management; messages pass without being decoded.

import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import { Reader } from '../../../shared/bytes/reader.ts'
import { decodeUtf8 } from '../../../shared/bytes/utf8.ts'
import type { Constructor } from './constructors.ts'
import { Code, constructorOf, unknownCode } from './constructors.ts'
import type { AmqpValue } from './value.ts'
import { NULL } from './value.ts'

/** Lists, maps, arrays and descriptors inside each other. */
export const VALUE_DEPTH_MAX = 32

/**
 * Values that one decoding may make. A few bytes can announce four billion nulls; real frames and
 * sections have some dozens of values, the largest filters and argument maps some hundreds.
 */
export const VALUES_MAX = 16_384

/** Reads values from `bytes[at..end)`; `at` moves on. Any fault is a DecodeError with code 0. */
export class ValueReader {
  readonly reader: Reader
  private made: number

  constructor(bytes: Uint8Array, at = 0, end: number = bytes.length) {
    this.reader = new Reader(bytes, at, end)
    this.made = 0
  }

  /** Whether there is nothing left. */
  done(): boolean {
    return this.reader.left() === 0
  }

  /** The next value. */
  read(depth = 0): AmqpValue {
    if (depth > VALUE_DEPTH_MAX) return this.fail('values nested too deep')
    const code = this.reader.u8()
    if (code === Code.described) {
      const descriptor = this.read(depth + 1)
      return { type: 'described', descriptor, value: this.read(depth + 1) }
    }
    return this.readBody(code, depth)
  }

  private readBody(code: number, depth: number): AmqpValue {
    if (++this.made > VALUES_MAX) return this.fail('too many values')
    const found = constructorOf(code)
    if (found === undefined) return unknownCode(code)
    switch (found.form) {
      case 'fixed':
        return this.readFixed(code, found)
      case 'sized':
        return this.readSized(found)
      case 'compound':
        return this.readCompound(found, depth)
      case 'array':
        return this.readArray(found, depth)
    }
  }

  private readFixed(code: number, { type, width }: Constructor): AmqpValue {
    const { reader } = this
    switch (type) {
      case 'null':
        return NULL
      case 'boolean':
        return { type, value: width === 0 ? code === Code.true : this.truth() }
      case 'ubyte':
      case 'ushort':
      case 'uint':
        return { type, value: this.unsigned(width) }
      case 'byte':
      case 'short':
      case 'int':
        return { type, value: this.signed(width) }
      case 'char':
        return { type, value: reader.u32() }
      case 'ulong':
        return { type, value: width === 8 ? reader.u64Exact() : this.unsigned(width) }
      case 'long':
        return { type, value: width === 8 ? reader.i64Exact() : reader.i8() }
      case 'timestamp':
        return { type, value: reader.i64Exact() }
      case 'float':
        return { type, value: reader.f32() }
      case 'double':
        return { type, value: reader.f64() }
      case 'decimal32':
      case 'decimal64':
      case 'decimal128':
      case 'uuid':
        return { type, value: reader.copy(width) }
      default:
        return unknownCode(code)
    }
  }

  private readSized({ type, width }: Constructor): AmqpValue {
    const { reader } = this
    const size = this.unsigned(width)
    if (type === 'binary') return { type, value: reader.copy(size) }
    const from = reader.take(size)
    const text = decodeUtf8(reader.bytes, from, from + size)
    if (text === undefined) return this.fail('text is not UTF-8')
    return type === 'symbol' ? { type, value: text } : { type: 'utf8', value: text }
  }

  private readCompound({ type, width }: Constructor, depth: number): AmqpValue {
    if (width === 0) return { type: 'list', value: [] }
    const { reader } = this
    const outer = this.enter(width)
    const count = this.unsigned(width)
    const values: AmqpValue[] = []
    // Not count: each value takes a byte at least, so the loop ends with the bytes.
    for (let i = 0; i < count; i++) values.push(this.read(depth + 1))
    this.leave(outer)
    if (type === 'list') return { type, value: values }
    if (values.length % 2 !== 0) return reader.fail('map with a key and no value')
    const entries: [AmqpValue, AmqpValue][] = []
    for (let i = 0; i < values.length; i += 2) {
      entries.push([values[i] as AmqpValue, values[i + 1] as AmqpValue])
    }
    return { type: 'map', value: entries }
  }

  private readArray({ width }: Constructor, depth: number): AmqpValue {
    if (depth > VALUE_DEPTH_MAX) return this.fail('values nested too deep')
    const { reader } = this
    const outer = this.enter(width)
    const count = this.unsigned(width)
    if (count === 0) {
      const element = reader.left() === 0 ? Code.null : reader.u8()
      reader.at = reader.end
      this.leave(outer)
      return { type: 'array', element, value: [] }
    }
    let code = reader.u8()
    let descriptor: AmqpValue | undefined
    if (code === Code.described) {
      descriptor = this.read(depth + 1)
      code = reader.u8()
    }
    const values: AmqpValue[] = []
    for (let i = 0; i < count; i++) {
      const value = this.readBody(code, depth + 1)
      values.push(descriptor === undefined ? value : { type: 'described', descriptor, value })
    }
    this.leave(outer)
    return { type: 'array', element: code, value: values }
  }

  /** Reads a size and confines the reader to that many bytes; gives the end to return to. */
  private enter(width: number): number {
    const { reader } = this
    const size = this.unsigned(width)
    if (size > reader.left()) return this.fail('value passes the end of its bytes')
    const outer = reader.end
    reader.end = reader.at + size
    return outer
  }

  private leave(outer: number): void {
    const { reader } = this
    if (reader.at !== reader.end) this.fail('value is shorter than its size says')
    reader.end = outer
  }

  private unsigned(width: number): number {
    const { reader } = this
    if (width === 0) return 0
    if (width === 1) return reader.u8()
    return width === 2 ? reader.u16() : reader.u32()
  }

  private signed(width: number): number {
    const { reader } = this
    if (width === 1) return reader.i8()
    return width === 2 ? reader.i16() : reader.i32()
  }

  private truth(): boolean {
    const byte = this.reader.u8()
    return byte === 1 || (byte !== 0 && this.fail('boolean is neither 0 nor 1'))
  }

  private fail(text: string): never {
    throw new DecodeError(0, text)
  }
}

/** The one value that `bytes[at..end)` holds. */
export function decodeValue(bytes: Uint8Array, at = 0, end: number = bytes.length): AmqpValue {
  const values = new ValueReader(bytes, at, end)
  const value = values.read()
  if (!values.done()) throw new DecodeError(0, 'bytes behind the value')
  return value
}
