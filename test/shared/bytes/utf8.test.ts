import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  decodeUtf8,
  decodeUtf8Lossy,
  encodeUtf8,
  isUtf8,
  shortstrBytes,
  utf8Size,
} from '../../../shared/bytes/utf8.ts'

// TextDecoder is the independent judge.
function judge(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    return true
  } catch {
    return false
  }
}

describe('UTF-8', () => {
  test('accepts exactly what is well-formed', () => {
    const byte = fc.oneof(
      fc.constantFrom(0x41, 0x80, 0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5),
      fc.integer({ min: 0, max: 255 }),
    )
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 6 }), (list) => {
        const bytes = Uint8Array.from(list)
        expect(isUtf8(bytes, 0, bytes.length)).toBe(judge(bytes))
      }),
      { numRuns: 5000 },
    )
  })

  test('knows the edges of every sequence length', () => {
    const good = ['c280', 'dfbf', 'e0a080', 'ed9fbf', 'ee8080', 'efbfbf', 'f0908080', 'f48fbfbf']
    const bad = ['c080', 'c1bf', 'e09fbf', 'eda080', 'f08fbfbf', 'f4908080', 'f5808080', '80', 'c2']
    for (const hex of good) expect(judgeBoth(hex)).toEqual([true, true])
    for (const hex of bad) expect(judgeBoth(hex)).toEqual([false, false])
  })

  test('decodes what was encoded, on shared memory too', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const encoded = encodeUtf8(text)
        const shared = new Uint8Array(new SharedArrayBuffer(encoded.length + 3))
        shared.set(encoded, 3)
        expect(decodeUtf8(shared, 3, shared.length)).toBe(text)
        expect(decodeUtf8Lossy(shared, 3, shared.length)).toBe(text)
        expect(utf8Size(text)).toBe(encoded.length)
      }),
    )
    expect(decodeUtf8(Uint8Array.of(0xff), 0, 1)).toBeUndefined()
  })

  test('a shortstr has its length in front and at most 255 bytes', () => {
    expect(shortstrBytes('ab')).toEqual(Uint8Array.of(2, 97, 98))
    expect(shortstrBytes('')).toEqual(Uint8Array.of(0))
    expect(() => shortstrBytes('\u00e9'.repeat(128))).toThrow(RangeError)
  })
})

function judgeBoth(hex: string): [boolean, boolean] {
  const bytes = Uint8Array.from(Buffer.from(hex, 'hex'))
  return [isUtf8(bytes, 0, bytes.length), judge(bytes)]
}
