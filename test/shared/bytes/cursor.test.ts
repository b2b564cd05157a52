import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import { Reader } from '../../../shared/bytes/reader.ts'
import { Writer } from '../../../shared/bytes/writer.ts'

const u64 = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn })
const i64 = fc.bigInt({ min: -0x8000_0000_0000_0000n, max: 0x7fff_ffff_ffff_ffffn })

describe('Reader and Writer', () => {
  test('read back every integer they wrote', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -0x80, max: 0x7f }),
        fc.integer({ min: -0x8000, max: 0x7fff }),
        fc.integer(),
        fc.maxSafeNat(),
        (a, b, c, d) => {
          const writer = new Writer(1)
          writer.i8(a)
          writer.u8(a & 0xff)
          writer.i16(b)
          writer.u16(b & 0xffff)
          writer.i32(c)
          writer.u32(c >>> 0)
          writer.u64(d)
          const reader = new Reader(writer.finish())
          expect(reader.i8()).toBe(a)
          expect(reader.u8()).toBe(a & 0xff)
          expect(reader.i16()).toBe(b)
          expect(reader.u16()).toBe(b & 0xffff)
          expect(reader.i32()).toBe(c)
          expect(reader.u32()).toBe(c >>> 0)
          expect(reader.u64()).toBe(d)
          expect(reader.left()).toBe(0)
        },
      ),
    )
  })

  test('64-bit integers are numbers where exact and bigints elsewhere', () => {
    fc.assert(
      fc.property(u64, i64, (a, b) => {
        const writer = new Writer()
        writer.u64(a)
        writer.i64(b)
        const reader = new Reader(writer.finish())
        const [readA, readB] = [reader.u64Exact(), reader.i64Exact()]
        expect(BigInt(readA)).toBe(a)
        expect(BigInt(readB)).toBe(b)
        for (const value of [readA, readB]) {
          if (typeof value === 'number') expect(Number.isSafeInteger(value)).toBe(true)
        }
      }),
    )
    const edge = new Writer()
    for (const value of [2 ** 53 - 1, 0, -(2 ** 53 - 1)]) edge.i64(value)
    const reader = new Reader(edge.finish())
    expect([reader.i64Exact(), reader.i64Exact(), reader.i64Exact()]).toEqual([
      2 ** 53 - 1,
      0,
      -(2 ** 53 - 1),
    ])
  })

  test('floats and texts survive, whatever alignment', () => {
    fc.assert(
      fc.property(
        fc.double({ noNaN: true }),
        fc.float({ noNaN: true }),
        fc.string({ unit: 'grapheme', maxLength: 20 }),
        (a, b, text) => {
          const writer = new Writer(3)
          writer.u8(1)
          writer.f64(a)
          writer.f32(b)
          writer.shortstr(text)
          writer.longstr(text)
          writer.longBytes(Uint8Array.of(1, 2))
          const reader = new Reader(writer.finish(), 1)
          expect(reader.f64()).toBe(a)
          expect(reader.f32()).toBe(b)
          expect(reader.shortstr()).toBe(text)
          expect(reader.longstr()).toBe(text)
          expect(reader.longBytes()).toEqual(Uint8Array.of(1, 2))
        },
      ),
    )
  })

  test('a read past the end throws a DecodeError with the code of the reader', () => {
    const reads: ((reader: Reader) => unknown)[] = [
      (reader) => reader.u8(),
      (reader) => reader.u16(),
      (reader) => reader.u32(),
      (reader) => reader.u64(),
      (reader) => reader.f32(),
      (reader) => reader.f64(),
      (reader) => reader.shortstr(),
      (reader) => reader.longstr(),
      (reader) => reader.longBytes(),
      (reader) => reader.copy(1),
    ]
    for (const read of reads) {
      const error = failure(() => read(new Reader(Uint8Array.of(9, 9, 9), 3, 3, 501)))
      expect(error.code).toBe(501)
    }
    expect(failure(() => new Reader(Uint8Array.of(2, 65)).shortstr()).code).toBe(0)
    const huge = Uint8Array.of(0xff, 0xff, 0xff, 0xff)
    expect(failure(() => new Reader(huge).longBytes()).text).toBe('unexpected end of bytes')
    expect(failure(() => new Reader(new Uint8Array(8).fill(255)).u64()).code).toBe(0)
  })

  test('text that is not UTF-8 is refused or shown as well as can be', () => {
    const bytes = Uint8Array.of(2, 0xc3, 0x28)
    expect(failure(() => new Reader(bytes).shortstr()).text).toBe('Malformed UTF-8 in shortstr')
    expect(new Reader(bytes).lossyShortstr()).toBe('\ufffd(')
  })

  test('a value that does not fit its field throws a RangeError', () => {
    const writer = new Writer()
    expect(() => writer.u8(256)).toThrow(RangeError)
    expect(() => writer.u16(-1)).toThrow(RangeError)
    expect(() => writer.u32(0.5)).toThrow(RangeError)
    expect(() => writer.u64(2 ** 53)).toThrow(RangeError)
    expect(() => writer.u64(-1n)).toThrow(RangeError)
    expect(() => writer.i64(2n ** 63n)).toThrow(RangeError)
    expect(() => writer.shortstr('x'.repeat(256))).toThrow(RangeError)
  })
})

function failure(run: () => unknown): DecodeError {
  try {
    run()
  } catch (error) {
    if (error instanceof DecodeError) return error
    throw error
  }
  throw new Error('nothing was thrown')
}
