import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import { Reader } from '../../../shared/bytes/reader.ts'
import { readValue } from '../../../shared/message/field-table.ts'
import type { BasicProperties } from '../../../shared/message/properties.ts'
import {
  decodeHeaders,
  decodeProperties,
  encodeProperties,
  PropertyScan,
  withHeaders,
  withoutHeader,
  withReplyTo,
} from '../../../shared/message/properties.ts'
import type { FieldTable } from '../../../shared/message/value.ts'
import { fieldOf, longField, textField } from '../../../shared/message/value.ts'
import { fieldTable } from './field-value.ts'

const text = fc.string({ unit: 'grapheme', maxLength: 20 })
const octet = fc.nat(255)

const properties: fc.Arbitrary<BasicProperties> = fc.record(
  {
    contentType: text,
    contentEncoding: text,
    headers: fieldTable,
    deliveryMode: octet,
    priority: octet,
    correlationId: text,
    replyTo: text,
    expiration: text,
    messageId: text,
    timestamp: fc.maxSafeNat(),
    type: text,
    userId: text,
    appId: text,
    clusterId: text,
  },
  { requiredKeys: [] },
)

// The properties with junk on both sides, so that offsets are not accidentally right.
function placed(bytes: Uint8Array): [Uint8Array, number, number] {
  return [Buffer.concat([Buffer.of(9, 9, 9), bytes, Buffer.of(9)]), 3, bytes.length]
}

function scanned(bytes: Uint8Array, at = 0, size: number = bytes.length): PropertyScan {
  const scan = new PropertyScan()
  scan.scan(bytes, at, size)
  return scan
}

function outcome<T>(run: () => T): T | string {
  try {
    return run()
  } catch (error) {
    if (error instanceof DecodeError) return `DecodeError ${error.code}`
    throw error
  }
}

function slice(bytes: Uint8Array, at: number, size: number): string | undefined {
  return at < 0 ? undefined : Buffer.from(bytes.slice(at, at + size)).toString()
}

describe('basic properties', () => {
  test('come back as they were encoded', () => {
    fc.assert(
      fc.property(properties, (given) => {
        expect(decodeProperties(...placed(encodeProperties(given)))).toEqual(given)
      }),
    )
  })

  test('have the bytes that clients send', () => {
    const hex = (given: BasicProperties): string =>
      Buffer.from(encodeProperties(given)).toString('hex')
    expect(hex({})).toBe('0000')
    expect(hex({ deliveryMode: 2 })).toBe('100002')
    expect(hex({ contentType: 'a', priority: 5, clusterId: '' })).toBe(
      '8804' + '0161' + '05' + '00',
    )
    expect(hex({ headers: [], timestamp: 1 })).toBe('2040' + '00000000' + '0000000000000001')
  })
})

describe('PropertyScan', () => {
  test('finds what decoding finds', () => {
    const scan = new PropertyScan()
    fc.assert(
      fc.property(properties, (given) => {
        const [bytes, at, size] = placed(encodeProperties(given))
        scan.scan(bytes, at, size)
        expect(scan.headersAt >= 0).toBe(given.headers !== undefined)
        expect(scan.deliveryMode).toBe(given.deliveryMode ?? 0)
        expect(scan.persistent).toBe(given.deliveryMode === 2)
        expect(scan.priority).toBe(given.priority ?? -1)
        expect(slice(bytes, scan.replyToAt, scan.replyToSize)).toBe(given.replyTo)
        expect(slice(bytes, scan.expirationAt, scan.expirationSize)).toBe(given.expiration)
        expect(slice(bytes, scan.userIdAt, scan.userIdSize)).toBe(given.userId)
        const headers = given.headers ?? []
        for (const [key, valueAt] of [
          ['CC', scan.ccAt],
          ['BCC', scan.bccAt],
        ] as const) {
          const found = valueAt < 0 ? undefined : readValue(new Reader(bytes, valueAt))
          expect(found).toEqual(fieldOf(headers, key))
        }
      }),
      { numRuns: 500 },
    )
  })

  test('properties cut short, too long or with reserved flags are a DecodeError', () => {
    fc.assert(
      fc.property(properties, (given) => {
        const bytes = encodeProperties(given)
        for (let size = 0; size < bytes.length; size++) {
          expect(outcome(() => scanned(bytes, 0, size))).toBe('DecodeError 501')
          expect(outcome(() => decodeProperties(bytes, 0, size))).toBe('DecodeError 501')
        }
        const long = Buffer.concat([bytes, Buffer.of(0)])
        expect(outcome(() => scanned(long))).toBe('DecodeError 501')
        expect(outcome(() => decodeProperties(long, 0, long.length))).toBe('DecodeError 501')
      }),
      { numRuns: 50 },
    )
    expect(outcome(() => scanned(Uint8Array.of(0, 1, 0, 0)))).toBe('DecodeError 501')
    expect(outcome(() => scanned(Uint8Array.of(0, 2)))).toBe('DecodeError 501')
  })

  test('any change of a byte is taken or refused by scanning and decoding alike', () => {
    fc.assert(
      fc.property(properties, fc.nat(), octet, (given, position, byte) => {
        const bytes = encodeProperties(given)
        bytes[position % bytes.length] = byte
        const scan = outcome(() => scanned(bytes))
        const decoded = outcome(() => decodeProperties(bytes, 0, bytes.length))
        expect(typeof decoded === 'string').toBe(typeof scan === 'string')
      }),
      { numRuns: 2000 },
    )
  })
})

describe('rewriting properties', () => {
  test('withoutHeader takes one header out and leaves all else', () => {
    fc.assert(
      fc.property(properties, (given) => {
        const out = withoutHeader(...placed(encodeProperties(given)), 'BCC')
        const headers = given.headers?.filter(([key]) => key !== 'BCC')
        const wanted = headers === undefined ? given : { ...given, headers }
        expect(decodeProperties(out, 0, out.length)).toEqual(wanted)
      }),
    )
  })

  test('withHeaders adds and replaces headers, with or without a table before', () => {
    const added: FieldTable = [
      ['x-death', longField(3)],
      ['new', textField('value')],
    ]
    fc.assert(
      fc.property(properties, (given) => {
        const out = withHeaders(...placed(encodeProperties(given)), added, ['CC'])
        const kept = (given.headers ?? []).filter(
          ([key]) => !['CC', 'x-death', 'new'].includes(key),
        )
        const wanted = { ...given, headers: [...kept, ...added] }
        expect(decodeProperties(out, 0, out.length)).toEqual(wanted)
        expect(decodeHeaders(...placed(out))).toEqual(wanted.headers)
      }),
    )
  })

  test('withHeaders and nothing to add leaves properties without a table alone', () => {
    const bytes = encodeProperties({ priority: 1 })
    expect(withHeaders(bytes, 0, bytes.length, [])).toEqual(bytes)
    expect(decodeHeaders(bytes, 0, bytes.length)).toEqual([])
  })

  test('withReplyTo sets or replaces reply-to alone', () => {
    fc.assert(
      fc.property(properties, text, (given, replyTo) => {
        const out = withReplyTo(...placed(encodeProperties(given)), replyTo)
        expect(decodeProperties(out, 0, out.length)).toEqual({ ...given, replyTo })
      }),
    )
  })
})
