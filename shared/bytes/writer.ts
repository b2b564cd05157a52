// A growing buffer that takes big-endian values. For cold paths: hot encoders write to a given
// place with the functions below.

import { Buffer } from 'node:buffer'
import { utf8Size } from './utf8.ts'

const floatBytes = new Uint8Array(8)
const floatView = new DataView(floatBytes.buffer)

/**
 * Appends to `bytes` at position `at` and reallocates `bytes` when it is full, so take `bytes` anew
 * after writing (and after reserve(): `bytes[reserve(1)]` would write to the old memory). Set `at` to 0 to use the memory again.
 *
 * Values that do not fit their field are the caller's mistake and throw a RangeError.
 */
export class Writer {
  bytes: Uint8Array
  at: number

  constructor(size = 256) {
    this.bytes = new Uint8Array(size)
    this.at = 0
  }

  /** A copy of what has been written. */
  finish(): Uint8Array {
    return this.bytes.slice(0, this.at)
  }

  u8(value: number): void {
    checkRange(value, 0, 0xff)
    const to = this.reserve(1)
    this.bytes[to] = value
  }

  u16(value: number): void {
    checkRange(value, 0, 0xffff)
    const to = this.reserve(2)
    writeU16(this.bytes, to, value)
  }

  u32(value: number): void {
    checkRange(value, 0, 0xffff_ffff)
    const to = this.reserve(4)
    writeU32(this.bytes, to, value)
  }

  u64(value: number | bigint): void {
    const from = this.reserve(8)
    if (typeof value === 'number') {
      checkRange(value, 0, Number.MAX_SAFE_INTEGER)
      writeU64(this.bytes, from, value)
      return
    }
    if (value < 0n || value > 0xffff_ffff_ffff_ffffn) throw new RangeError(`${value} is no u64`)
    writeU32(this.bytes, from, Number(value >> 32n))
    writeU32(this.bytes, from + 4, Number(value & 0xffff_ffffn))
  }

  i8(value: number): void {
    checkRange(value, -0x80, 0x7f)
    const to = this.reserve(1)
    this.bytes[to] = value
  }

  i16(value: number): void {
    checkRange(value, -0x8000, 0x7fff)
    const to = this.reserve(2)
    writeU16(this.bytes, to, value)
  }

  i32(value: number): void {
    checkRange(value, -0x8000_0000, 0x7fff_ffff)
    const to = this.reserve(4)
    writeU32(this.bytes, to, value)
  }

  i64(value: number | bigint): void {
    const wide = BigInt(value)
    if (BigInt.asIntN(64, wide) !== wide) throw new RangeError(`${value} is no i64`)
    this.u64(BigInt.asUintN(64, wide))
  }

  f32(value: number): void {
    floatView.setFloat32(0, value)
    const from = this.reserve(4)
    for (let i = 0; i < 4; i++) this.bytes[from + i] = floatBytes[i] as number
  }

  f64(value: number): void {
    floatView.setFloat64(0, value)
    const from = this.reserve(8)
    for (let i = 0; i < 8; i++) this.bytes[from + i] = floatBytes[i] as number
  }

  /** Text with a one-byte length in front: at most 255 bytes of UTF-8. */
  shortstr(text: string): void {
    const size = utf8Size(text)
    this.u8(size)
    this.text(text, size)
  }

  /** Text with a four-byte length in front. */
  longstr(text: string): void {
    const size = utf8Size(text)
    this.u32(size)
    this.text(text, size)
  }

  /** Bytes with a four-byte length in front. */
  longBytes(bytes: Uint8Array): void {
    this.u32(bytes.length)
    this.raw(bytes)
  }

  /** Bytes as they are. */
  raw(bytes: Uint8Array): void {
    const from = this.reserve(bytes.length)
    this.bytes.set(bytes, from)
  }

  /** Makes room for `size` bytes, moves `at` past them and gives the position of the first. */
  reserve(size: number): number {
    const from = this.at
    const needed = from + size
    if (needed > this.bytes.length) {
      const larger = new Uint8Array(Math.max(needed, 2 * this.bytes.length))
      larger.set(this.bytes.subarray(0, from))
      this.bytes = larger
    }
    this.at = needed
    return from
  }

  private text(text: string, size: number): void {
    const from = this.reserve(size)
    Buffer.from(this.bytes.buffer, this.bytes.byteOffset + from, size).write(text, 'utf8')
  }
}

/** Writes the low 16 bits of `value` at `at`, big-endian; the caller has reserved the room. */
export function writeU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8
  bytes[at + 1] = value
}

/** Writes the low 32 bits of `value` at `at`, big-endian; the caller has reserved the room. */
export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

/** Writes a safe integer >= 0 at `at` as 64 bits, big-endian; the caller has reserved the room. */
export function writeU64(bytes: Uint8Array, at: number, value: number): void {
  // Most values (tags, sizes) fit 31 bits: stay in integer arithmetic for those.
  if (value <= 0x7fff_ffff) {
    writeU32(bytes, at, 0)
    writeU32(bytes, at + 4, value)
    return
  }
  const high = Math.floor(value / 0x1_0000_0000)
  writeU32(bytes, at, high)
  writeU32(bytes, at + 4, value - high * 0x1_0000_0000)
}

function checkRange(value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${value} is not an integer from ${min} to ${max}`)
  }
}
