import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import { Reader } from '../../../shared/bytes/reader.ts'
import { encodeUtf8 } from '../../../shared/bytes/utf8.ts'
import { Writer } from '../../../shared/bytes/writer.ts'
import {
  FIELD_DEPTH_MAX,
  findField,
  readTable,
  readValue,
  skipTable,
  writeTable,
} from '../../../shared/message/field-table.ts'
import type { FieldTable, FieldValue } from '../../../shared/message/value.ts'
import { fieldTable } from './field-value.ts'

function encode(table: FieldTable): Uint8Array {
  const writer = new Writer()
  writeTable(writer, table)
  return writer.finish()
}

function decode(bytes: Uint8Array): FieldTable {
  return readTable(new Reader(bytes, 0, bytes.length, 501))
}

// The result, or the error as text; anything but a DecodeError is a fault of ours.
function outcome<T>(run: () => T): T | string {
  try {
    return run()
  } catch (error) {
    if (error instanceof DecodeError) return `DecodeError ${error.code}`
    throw error
  }
}

describe('field tables', () => {
  test('come back as they were written, types and order included', () => {
    fc.assert(
      fc.property(fieldTable, (table) => {
        const bytes = encode(table)
        expect(decode(bytes)).toEqual(table)
        expect(skipTable(bytes, 0, bytes.length, 501)).toBe(bytes.length)
      }),
      { numRuns: 500 },
    )
  })

  test('have the bytes that RabbitMQ reads', () => {
    const table: FieldTable = [
      ['t', { type: 't', value: true }],
      ['s', { type: 's', value: -2 }],
      ['I', { type: 'I', value: 10 }],
      ['l', { type: 'l', value: -1 }],
      ['S', { type: 'S', value: 'x' }],
      ['A', { type: 'A', value: [{ type: 'V', value: null }] }],
    ]
    const hex = [
      '0000002b',
      '0174' + '7401',
      '0173' + '73fffe',
      '0149' + '490000000a',
      '016c' + '6cffffffffffffffff',
      '0153' + '530000000178',
      '0141' + '410000000156',
    ]
    expect(Buffer.from(encode(table)).toString('hex')).toBe(hex.join(''))
  })

  test('read L as a signed 64-bit integer too', () => {
    const bytes = Buffer.from('4cffffffffffffffff', 'hex')
    expect(readValue(new Reader(bytes))).toEqual({ type: 'l', value: -1 })
  })

  test('nested too deep are refused by reading and by skipping', () => {
    const nest = (depth: number): FieldValue =>
      depth === 0 ? { type: 'V', value: null } : { type: 'A', value: [nest(depth - 1)] }
    const good = encode([['k', nest(FIELD_DEPTH_MAX - 1)]])
    const bad = encode([['k', nest(FIELD_DEPTH_MAX)]])
    expect(decode(good)).toHaveLength(1)
    expect(skipTable(good, 0, good.length, 501)).toBe(good.length)
    expect(outcome(() => decode(bad))).toBe('DecodeError 501')
    expect(outcome(() => skipTable(bad, 0, bad.length, 501))).toBe('DecodeError 501')
  })

  test('cut short anywhere are a DecodeError', () => {
    fc.assert(
      fc.property(fieldTable, (table) => {
        const bytes = encode(table)
        for (let size = 0; size < bytes.length; size++) {
          const cut = bytes.subarray(0, size)
          expect(outcome(() => decode(cut))).toBe('DecodeError 501')
          expect(outcome(() => skipTable(cut, 0, size, 501))).toBe('DecodeError 501')
        }
      }),
      { numRuns: 50 },
    )
  })

  test('any change of a byte is taken or refused by reading and skipping alike', () => {
    fc.assert(
      fc.property(fieldTable, fc.nat(), fc.nat(255), (table, position, byte) => {
        const bytes = encode(table)
        bytes[position % bytes.length] = byte
        const skipped = outcome(() => skipTable(bytes, 0, bytes.length, 501))
        const read = outcome(() => decode(bytes))
        expect(typeof read === 'string').toBe(typeof skipped === 'string')
      }),
      { numRuns: 3000 },
    )
  })
})

describe('findField', () => {
  test('finds the first value of a key, at the top level only', () => {
    const bytes = encode([
      ['CCx', { type: 'S', value: 'no' }],
      ['nested', { type: 'F', value: [['CC', { type: 'S', value: 'no' }]] }],
      ['CC', { type: 'S', value: 'yes' }],
      ['CC', { type: 'S', value: 'no' }],
    ])
    const at = findField(bytes, 0, encodeUtf8('CC'))
    expect(readValue(new Reader(bytes, at))).toEqual({ type: 'S', value: 'yes' })
    expect(findField(bytes, 0, encodeUtf8('BCC'))).toBe(-1)
    expect(findField(encode([]), 0, encodeUtf8('CC'))).toBe(-1)
  })
})
