// A cursor that reads big-endian values from a byte range and never past its end.

import { DecodeError } from './decode-error.ts'
import { decodeUtf8, decodeUtf8Lossy } from './utf8.ts'

// One scratch for all readers: a float is read at once, never across calls.
const floatBytes = new Uint8Array(8)
const floatView = new DataView(floatBytes.buffer)

/**
 * Reads `bytes[at..end)`. `at` may be moved freely within the range.
 *
 * Every read that would pass `end`, and every value out of bounds, throws a DecodeError with the
 * reader's `errorCode`. A reader may be set to another range and used again.
 */
export class Reader {
  bytes: Uint8Array
  at: number
  end: number
  errorCode: number

  constructor(bytes: Uint8Array, at = 0, end: number = bytes.length, errorCode = 0) {
    this.bytes = bytes
    this.at = at
    this.end = end
    this.errorCode = errorCode
  }

  /** Points the reader at another range. */
  set(bytes: Uint8Array, at: number, end: number): void {
    this.bytes = bytes
    this.at = at
    this.end = end
  }

  /** Bytes not read yet. */
  left(): number {
    return this.end - this.at
  }

  u8(): number {
    return this.bytes[this.take(1)] as number
  }

  u16(): number {
    return readU16(this.bytes, this.take(2))
  }

  u32(): number {
    return readU32(this.bytes, this.take(4))
  }

  /** An unsigned 64-bit integer as a number; one above 2^53 - 1 throws. */
  u64(): number {
    const value = readU64(this.bytes, this.take(8))
    if (value > Number.MAX_SAFE_INTEGER) this.fail('64-bit integer out of range')
    return value
  }

  /** An unsigned 64-bit integer: a number where that is exact, else a bigint. */
  u64Exact(): number | bigint {
    const high = this.u32()
    const low = this.u32()
    if (high <= 0x1fffff) return high * 0x1_0000_0000 + low
    return (BigInt(high) << 32n) | BigInt(low)
  }

  i8(): number {
    return (this.u8() << 24) >> 24
  }

  i16(): number {
    return (this.u16() << 16) >> 16
  }

  i32(): number {
    return this.u32() | 0
  }

  /** A signed 64-bit integer: a number where that is exact, else a bigint. */
  i64Exact(): number | bigint {
    const high = this.i32()
    const low = this.u32()
    const value = high * 0x1_0000_0000 + low
    if (Number.isSafeInteger(value)) return value
    return (BigInt(high) << 32n) | BigInt(low)
  }

  f32(): number {
    const from = this.take(4)
    for (let i = 0; i < 4; i++) floatBytes[i] = this.bytes[from + i] as number
    return floatView.getFloat32(0)
  }

  f64(): number {
    const from = this.take(8)
    for (let i = 0; i < 8; i++) floatBytes[i] = this.bytes[from + i] as number
    return floatView.getFloat64(0)
  }

  /** Text with a one-byte length in front; must be UTF-8. */
  shortstr(): string {
    const size = this.u8()
    const from = this.take(size)
    const text = decodeUtf8(this.bytes, from, this.at)
    return text === undefined ? this.fail('Malformed UTF-8 in shortstr') : text
  }

  /** As shortstr, but ill-formed UTF-8 becomes U+FFFD instead of an error. */
  lossyShortstr(): string {
    const size = this.u8()
    const from = this.take(size)
    return decodeUtf8Lossy(this.bytes, from, this.at)
  }

  /** Text with a four-byte length in front; must be UTF-8. */
  longstr(): string {
    const size = this.u32()
    const from = this.take(size)
    const text = decodeUtf8(this.bytes, from, this.at)
    return text === undefined ? this.fail('Malformed UTF-8 in longstr') : text
  }

  /** Bytes with a four-byte length in front, copied to memory of their own. */
  longBytes(): Uint8Array {
    const size = this.u32()
    return this.copy(size)
  }

  /** The next `size` bytes, copied to memory of their own (never a view on shared memory). */
  copy(size: number): Uint8Array {
    const from = this.take(size)
    const out = new Uint8Array(size)
    out.set(this.bytes.subarray(from, from + size))
    return out
  }

  /** Steps over `size` bytes and gives the position of the first. */
  take(size: number): number {
    const from = this.at
    if (size > this.end - from) this.fail('unexpected end of bytes')
    this.at = from + size
    return from
  }

  /** Throws a DecodeError with this reader's code. */
  fail(text: string): never {
    throw new DecodeError(this.errorCode, text)
  }
}

/** The big-endian unsigned 16-bit integer at `at`; the caller has checked the range. */
export function readU16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number)
}

/** The big-endian unsigned 32-bit integer at `at`; the caller has checked the range. */
export function readU32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  )
}

/** The big-endian unsigned 64-bit integer at `at`, exact up to 2^53 - 1 and rounded above. */
export function readU64(bytes: Uint8Array, at: number): number {
  return readU32(bytes, at) * 0x1_0000_0000 + readU32(bytes, at + 4)
}
