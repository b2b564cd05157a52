// Values of every type there and back, and bytes that are none.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { AmqpValue } from '../../../../gateways/amqp10/codec/value.ts'
import {
  bool,
  list,
  map,
  NULL,
  symbol,
  uint,
  ulong,
  utf8,
} from '../../../../gateways/amqp10/codec/value.ts'
import { decodeValue, VALUES_MAX } from '../../../../gateways/amqp10/codec/value-reader.ts'
import { encodeValue } from '../../../../gateways/amqp10/codec/value-writer.ts'
import { DecodeError } from '../../../../shared/bytes/decode-error.ts'

const bytes = (size: number): Uint8Array => new Uint8Array(size).fill(7)

const values: readonly [string, AmqpValue][] = [
  ['null', NULL],
  ['boolean', bool(true)],
  ['ubyte', { type: 'ubyte', value: 255 }],
  ['ushort', { type: 'ushort', value: 65535 }],
  ['uint 0', uint(0)],
  ['uint small', uint(255)],
  ['uint', uint(0xffff_ffff)],
  ['ulong 0', ulong(0)],
  ['ulong small', ulong(200)],
  ['ulong', ulong(Number.MAX_SAFE_INTEGER)],
  ['ulong above 2^53', ulong(2n ** 64n - 1n)],
  ['byte', { type: 'byte', value: -128 }],
  ['short', { type: 'short', value: -32768 }],
  ['int small', { type: 'int', value: -1 }],
  ['int', { type: 'int', value: -2147483648 }],
  ['long small', { type: 'long', value: 127 }],
  ['long', { type: 'long', value: -(2n ** 63n) }],
  ['float', { type: 'float', value: 1.5 }],
  ['double', { type: 'double', value: Math.PI }],
  ['decimal32', { type: 'decimal32', value: bytes(4) }],
  ['decimal64', { type: 'decimal64', value: bytes(8) }],
  ['decimal128', { type: 'decimal128', value: bytes(16) }],
  ['char', { type: 'char', value: 0x1f600 }],
  ['timestamp', { type: 'timestamp', value: 1_700_000_000_123 }],
  ['uuid', { type: 'uuid', value: bytes(16) }],
  ['binary', { type: 'binary', value: bytes(3) }],
  ['binary, long', { type: 'binary', value: bytes(300) }],
  ['string', utf8('grüße')],
  ['string, long', utf8('x'.repeat(300))],
  ['symbol', symbol('amqp:accepted:list')],
  ['symbol, long', symbol('s'.repeat(300))],
  ['list 0', list([])],
  ['list', list([uint(1), utf8('two'), NULL])],
  ['list, long', list([utf8('x'.repeat(300))])],
  ['map', map([[symbol('k'), list([bool(false)])]])],
  ['map, long', map([[symbol('k'), utf8('x'.repeat(300))]])],
  ['array', { type: 'array', element: 0xb3, value: [symbol('a'), symbol('b')] }],
  [
    'array of maps',
    { type: 'array', element: 0xd1, value: [map([[utf8('a'), uint(1)]]), map([])] },
  ],
  ['described', { type: 'described', descriptor: ulong(0x24), value: list([]) }],
]

describe('values', () => {
  test.each(values)('%s comes back as it was', (_name, value) => {
    expect(decodeValue(encodeValue(value))).toEqual(value)
  })

  test.each(values)('%s, cut short anywhere, is a DecodeError', (_name, value) => {
    const whole = encodeValue(value)
    for (let size = 0; size < whole.length; size++) {
      expect(() => decodeValue(whole, 0, size)).toThrow(DecodeError)
    }
  })

  test('in the forms that we do not write are read all the same', () => {
    expect(decodeValue(Uint8Array.of(0x56, 1))).toEqual(bool(true))
    expect(decodeValue(Uint8Array.of(0x80, 0, 0, 0, 0, 0, 0, 0, 5))).toEqual(ulong(5))
    expect(decodeValue(Uint8Array.of(0xe0, 4, 2, 0x50, 1, 2))).toEqual({
      type: 'array',
      element: 0x50,
      value: [
        { type: 'ubyte', value: 1 },
        { type: 'ubyte', value: 2 },
      ],
    })
  })
})

describe('bombs', () => {
  test('an array of four billion nulls in ten bytes', () => {
    const bomb = Uint8Array.of(0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x40)
    expect(() => decodeValue(bomb)).toThrow(DecodeError)
  })

  test('arrays of arrays of nothing', () => {
    // Each level announces as many arrays as fit the count, none of which takes a byte.
    const inner = [0xe0, 2, 255, 0x45]
    const bomb = Uint8Array.from([0xf0, 0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff, ...inner, 0])
    expect(() => decodeValue(bomb)).toThrow(DecodeError)
  })

  test('lists inside lists', () => {
    let value: AmqpValue = list([])
    for (let i = 0; i < 100; i++) value = list([value])
    expect(() => decodeValue(encodeValue(value))).toThrow('nested too deep')
  })

  test('descriptors inside descriptors', () => {
    const bomb = new Uint8Array(100_000)
    expect(() => decodeValue(bomb)).toThrow('nested too deep')
  })

  test('more values than any frame needs', () => {
    const flat = list(new Array<AmqpValue>(VALUES_MAX).fill(NULL))
    expect(() => decodeValue(encodeValue(flat))).toThrow('too many values')
  })
})

test('any bytes end in a value or a DecodeError', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (input) => {
      try {
        decodeValue(input)
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error
      }
    }),
    { numRuns: 3000 },
  )
})
