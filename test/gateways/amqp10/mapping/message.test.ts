// Messages in every direction: 1.0 to 0-9-1, 0-9-1 to 1.0, and 1.0 to 1.0, property by property.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { AmqpMap, AmqpValue } from '../../../../gateways/amqp10/codec/value.ts'
import {
  binary,
  bool,
  list,
  map,
  NULL,
  symbol,
  uint,
  ulong,
  utf8,
} from '../../../../gateways/amqp10/codec/value.ts'
import { MessageIn } from '../../../../gateways/amqp10/mapping/message-in.ts'
import { joinDataSections, MessageOut } from '../../../../gateways/amqp10/mapping/message-out.ts'
import {
  BodyLayout,
  bodyLayoutOf,
  forEachData,
} from '../../../../gateways/amqp10/mapping/native-part.ts'
import type { Arena } from '../../../../shared/bus/arena.ts'
import { EntryFlag } from '../../../../shared/bus/wire.ts'
import { DecodeError } from '../../../../shared/bytes/decode-error.ts'
import type { BasicProperties } from '../../../../shared/message/properties.ts'
import {
  decodeProperties,
  encodeProperties,
  PropertyScan,
} from '../../../../shared/message/properties.ts'
import type { FieldTable } from '../../../../shared/message/value.ts'
import { dataMessage, decodeSections, section } from '../../../support/amqp10-peer.ts'

const uuid = Uint8Array.from({ length: 16 }, (_, i) => i)
const urn = 'urn:uuid:00010203-0405-0607-0809-0a0b0c0d0e0f'

/** What is kept of a message: exchange and key, extra region, properties, body. */
interface Kept {
  readonly extra: Buffer
  readonly props: Buffer
  readonly body: Buffer
}

function take(message: Uint8Array): Kept {
  const incoming = new MessageIn()
  incoming.convert(message, 0, message.length)
  const { scan, props, extra } = incoming
  // What the broker reads by is well-formed.
  new PropertyScan().scan(props.bytes, 0, props.at)
  const layout = bodyLayoutOf(scan)
  const parts: Uint8Array[] = []
  if (layout === BodyLayout.encoded) {
    parts.push(message.slice(scan.bodyAt, scan.footerAt < 0 ? scan.bodyEnd : scan.footerEnd))
  } else {
    forEachData(message, scan, (_head, at, size) => parts.push(message.slice(at, at + size)))
  }
  return {
    extra: Buffer.from(extra.bytes.slice(0, extra.at)),
    props: Buffer.from(props.bytes.slice(0, props.at)),
    body: Buffer.concat(parts),
  }
}

function give(kept: Kept, flags = 0): Buffer {
  const exrk = Buffer.from('\x01x\x02rk', 'latin1')
  const entry = Buffer.concat([exrk, kept.extra, kept.props, kept.body])
  const words = Int32Array.of(
    0,
    0,
    exrk.length,
    kept.extra.length,
    kept.props.length,
    kept.body.length,
    0,
  )
  const out = new MessageOut()
  out.render({ slab: () => entry } as unknown as Arena, words, 0, flags)
  if (out.layout === BodyLayout.dataList)
    return Buffer.from(joinDataSections(out, entry, kept.body))
  const tail = out.tail.slice(out.tailAt, out.tailAt + out.tailSize)
  return Buffer.concat([out.head.bytes.slice(0, out.head.at), kept.body, tail])
}

/** The 0-9-1 properties of a 1.0 message. */
function basicOf(message: Uint8Array): BasicProperties {
  const { props } = take(message)
  return decodeProperties(props, 0, props.length)
}

/** The 1.0 sections of a message with 0-9-1 properties. */
function sectionsOf(properties: BasicProperties, body = 'b'): Map<number, AmqpValue> {
  const props = Buffer.from(encodeProperties(properties))
  return decodeSections(give({ extra: Buffer.alloc(0), props, body: Buffer.from(body) }))
}

const propertyNames = [
  'messageId',
  'userId',
  'to',
  'subject',
  'replyTo',
  'correlationId',
  'contentType',
  'contentEncoding',
  'absoluteExpiryTime',
  'creationTime',
  'groupId',
  'groupSequence',
  'replyToGroupId',
] as const
type PropertyName = (typeof propertyNames)[number]

function withProperties(fields: Partial<Record<PropertyName, AmqpValue>>): Buffer {
  const values = propertyNames.map((name) => fields[name] ?? NULL)
  return Buffer.concat([section(0x73, list(values)), dataMessage('b')])
}

function propertyOf(sections: Map<number, AmqpValue>, name: PropertyName): AmqpValue {
  const properties = sections.get(0x73)
  const values = properties?.type === 'list' ? properties.value : []
  return values[propertyNames.indexOf(name)] ?? NULL
}

function mapOf(sections: Map<number, AmqpValue>, code: number): AmqpMap {
  const found = sections.get(code)
  return found?.type === 'map' ? found.value : []
}

describe('properties', () => {
  const text = (size: number): string => 'x'.repeat(size)
  const timestamp: AmqpValue = { type: 'timestamp', value: 1_700_000_000_000 }

  test.each<[PropertyName, AmqpValue, BasicProperties]>([
    ['messageId', utf8('id'), { messageId: 'id' }],
    ['messageId', ulong(7), { messageId: '7' }],
    ['messageId', ulong(2n ** 64n - 1n), { messageId: '18446744073709551615' }],
    ['messageId', { type: 'uuid', value: uuid }, { messageId: urn }],
    ['messageId', binary(uuid), { headers: [['x-message-id', { type: 'x', value: uuid }]] }],
    [
      'messageId',
      utf8(text(300)),
      { headers: [['x-message-id', { type: 'S', value: text(300) }]] },
    ],
    ['correlationId', utf8('id'), { correlationId: 'id' }],
    ['correlationId', ulong(0), { correlationId: '0' }],
    ['correlationId', { type: 'uuid', value: uuid }, { correlationId: urn }],
    [
      'correlationId',
      binary(uuid),
      { headers: [['x-correlation-id', { type: 'x', value: uuid }]] },
    ],
    ['userId', binary(Buffer.from('guest')), { userId: 'guest' }],
    ['to', utf8('/queues/q'), {}],
    ['subject', utf8('s'), {}],
    ['replyTo', utf8('/queues/a%2Fb'), { replyTo: 'a/b' }],
    ['replyTo', utf8('/exchanges/x/k'), { replyTo: '/exchanges/x/k' }],
    ['replyTo', utf8(text(300)), {}],
    ['contentType', symbol('text/plain'), { contentType: 'text/plain' }],
    ['contentEncoding', symbol('gzip'), { contentEncoding: 'gzip' }],
    ['absoluteExpiryTime', timestamp, {}],
    ['creationTime', timestamp, { timestamp: 1_700_000_000 }],
    ['groupId', utf8('g'), { appId: 'g' }],
    ['groupSequence', uint(4), {}],
    ['replyToGroupId', utf8('g'), {}],
  ])('%s to 0-9-1: case %#', (name, value, expected) => {
    expect(basicOf(withProperties({ [name]: value }))).toEqual(expected)
  })

  test.each<[PropertyName, BasicProperties, AmqpValue]>([
    ['messageId', { messageId: 'id' }, utf8('id')],
    ['messageId', { messageId: urn }, { type: 'uuid', value: uuid }],
    ['correlationId', { correlationId: '12' }, utf8('12')],
    ['userId', { userId: 'guest' }, binary(Buffer.from('guest'))],
    ['replyTo', { replyTo: 'a/b' }, utf8('/queues/a%2Fb')],
    ['contentType', { contentType: 'text/plain' }, symbol('text/plain')],
    ['contentEncoding', { contentEncoding: 'gzip' }, symbol('gzip')],
    ['creationTime', { timestamp: 1_700_000_000 }, timestamp],
    ['groupId', { appId: 'a' }, utf8('a')],
    ['to', { clusterId: 'c' }, NULL],
  ])('%s from 0-9-1: case %#', (name, properties, expected) => {
    const value = propertyOf(sectionsOf(properties), name)
    expect(value.type).toBe(expected.type)
    expect(value.value instanceof Uint8Array ? [...value.value] : value.value).toEqual(
      expected.value instanceof Uint8Array ? [...expected.value] : expected.value,
    )
  })

  test.each(propertyNames)('%s comes back byte for byte', (name) => {
    const message = withProperties({ [name]: name === 'creationTime' ? timestamp : utf8('v') })
    const given = give(take(message))
    expect(given.subarray(-message.length).equals(message)).toBe(true)
  })
})

describe('header', () => {
  const header = (...values: AmqpValue[]): Buffer =>
    Buffer.concat([section(0x70, list(values)), dataMessage('b')])

  test.each<[string, Buffer, BasicProperties]>([
    ['absent', Buffer.from(dataMessage('b')), {}],
    ['empty', header(), {}],
    ['durable', header(bool(true)), { deliveryMode: 2 }],
    ['not durable', header(bool(false)), {}],
    ['priority', header(NULL, { type: 'ubyte', value: 0 }), { priority: 0 }],
    ['ttl', header(NULL, NULL, uint(0)), { expiration: '0' }],
    [
      'all of it',
      header(bool(true), { type: 'ubyte', value: 9 }, uint(70_000), bool(true), uint(3)),
      { deliveryMode: 2, priority: 9, expiration: '70000' },
    ],
  ])('%s to 0-9-1', (_what, message, expected) => {
    expect(basicOf(message)).toEqual(expected)
    const withMore = Buffer.concat([
      message.subarray(0, message.length - dataMessage('b').length),
      withProperties({ correlationId: utf8('c') }),
    ])
    expect(basicOf(withMore)).toEqual({ ...expected, correlationId: 'c' })
  })

  test.each<[BasicProperties, number, readonly unknown[]]>([
    [{}, 0, [false, null, null, true, 0]],
    [{ deliveryMode: 1 }, 0, [false, null, null, true, 0]],
    [{ deliveryMode: 2, priority: 4, expiration: '5' }, 0, [true, 4, 5, true, 0]],
    [{}, EntryFlag.redelivered, [false, null, null, false, 0]],
    [{}, EntryFlag.redelivered | (3 << 12) | (5 << 22), [false, null, null, false, 3]],
    [{ contentType: 't', deliveryMode: 2 }, 0, [true, null, null, true, 0]],
  ])('from 0-9-1 and the delivery: case %#', (properties, flags, expected) => {
    const props = Buffer.from(encodeProperties(properties))
    const given = give({ extra: Buffer.alloc(0), props, body: Buffer.from('b') }, flags)
    const found = decodeSections(given).get(0x70)
    expect(found?.type === 'list' && found.value.map(({ value }) => value)).toEqual(expected)
  })
})

describe('application properties', () => {
  const cases: readonly [string, AmqpValue, FieldTable[number][1] | undefined][] = [
    ['string', utf8('v'), { type: 'S', value: 'v' }],
    ['symbol', symbol('v'), { type: 'S', value: 'v' }],
    ['true', bool(true), { type: 't', value: true }],
    ['ubyte', { type: 'ubyte', value: 200 }, { type: 'B', value: 200 }],
    ['byte', { type: 'byte', value: -2 }, { type: 'b', value: -2 }],
    ['short', { type: 'short', value: -3 }, { type: 's', value: -3 }],
    ['ushort', { type: 'ushort', value: 3 }, { type: 'u', value: 3 }],
    ['int small', { type: 'int', value: -4 }, { type: 'I', value: -4 }],
    ['int', { type: 'int', value: -70_000 }, { type: 'I', value: -70_000 }],
    ['uint', uint(4_000_000_000), { type: 'i', value: 4_000_000_000 }],
    ['uint 0', uint(0), { type: 'i', value: 0 }],
    ['long small', { type: 'long', value: -5 }, { type: 'l', value: -5 }],
    ['long', { type: 'long', value: 2 ** 40 }, { type: 'l', value: 2 ** 40 }],
    ['ulong', ulong(6), { type: 'l', value: 6 }],
    ['float', { type: 'float', value: 0.5 }, { type: 'f', value: 0.5 }],
    ['double', { type: 'double', value: 0.1 }, { type: 'd', value: 0.1 }],
    ['timestamp', { type: 'timestamp', value: 9000 }, { type: 'T', value: 9 }],
    ['char', { type: 'char', value: 65 }, { type: 'i', value: 65 }],
    ['null', NULL, { type: 'V', value: null }],
    ['uuid', { type: 'uuid', value: uuid }, { type: 'S', value: urn }],
    ['decimal32', { type: 'decimal32', value: new Uint8Array(4) }, undefined],
  ]

  test.each(cases)('%s to 0-9-1 and back', (_type, value, field) => {
    const message = Buffer.concat([section(0x74, map([[utf8('k'), value]])), dataMessage('b')])
    expect(basicOf(message).headers).toEqual(field === undefined ? undefined : [['k', field]])
    const kept = take(message)
    expect(give(kept).subarray(-message.length).equals(message)).toBe(true)
    if (field === undefined) return
    // Once more without the native part, as if a 0-9-1 client had published it.
    const again = mapOf(decodeSections(give({ ...kept, extra: Buffer.alloc(0) })), 0x74)
    const changed = ['symbol', 'char', 'ulong', 'uuid'].includes(value.type)
    if (!changed) expect(again).toEqual([[utf8('k'), value]])
    else expect(again[0]?.[0]).toEqual(utf8('k'))
  })

  test('arrays and tables of 0-9-1 are none; x- headers are annotations', () => {
    const headers: FieldTable = [
      ['plain', { type: 'S', value: 'v' }],
      ['array', { type: 'A', value: [] }],
      ['table', { type: 'F', value: [] }],
      ['bytes', { type: 'x', value: uuid }],
      ['no text', { type: 'S', value: Uint8Array.of(255) }],
      ['x-list', { type: 'A', value: [{ type: 'I', value: 1 }] }],
      ['x-map', { type: 'F', value: [['k', { type: 't', value: true }]] }],
      ['CC', { type: 'A', value: [{ type: 'S', value: 'other' }] }],
    ]
    const sections = sectionsOf({ headers, type: 'kind' })
    expect(mapOf(sections, 0x74)).toEqual([
      [utf8('plain'), utf8('v')],
      [utf8('bytes'), binary(uuid)],
      [utf8('no text'), binary(Uint8Array.of(255))],
    ])
    expect(mapOf(sections, 0x72)).toEqual([
      [symbol('x-list'), list([{ type: 'int', value: 1 }])],
      [symbol('x-map'), map([[symbol('k'), bool(true)]])],
      [symbol('x-cc'), list([utf8('other')])],
      [symbol('x-basic-type'), utf8('kind')],
      [symbol('x-exchange'), utf8('x')],
      [symbol('x-routing-key'), utf8('rk')],
    ])
  })
})

describe('message annotations', () => {
  const annotated = (entries: AmqpMap): Buffer =>
    Buffer.concat([section(0x72, map(entries)), dataMessage('b')])

  test('that begin with x- become headers, but for those that stand for something', () => {
    const message = annotated([
      [symbol('x-a'), list([uint(1), map([[utf8('k'), NULL]])])],
      [symbol('plain'), utf8('left out')],
      [symbol('x-exchange'), utf8('made up')],
      [symbol('x-basic-type'), utf8('kind')],
      [symbol('x-opt-rabbitmq-received-time'), { type: 'timestamp', value: 5 }],
      [symbol('x-array'), { type: 'array', element: 0xb1, value: [utf8('p'), utf8('q')] }],
    ])
    expect(basicOf(message)).toEqual({
      type: 'kind',
      headers: [
        [
          'x-a',
          {
            type: 'A',
            value: [
              { type: 'i', value: 1 },
              { type: 'F', value: [['k', { type: 'V', value: null }]] },
            ],
          },
        ],
        ['timestamp_in_ms', { type: 'l', value: 5 }],
        [
          'x-array',
          {
            type: 'A',
            value: [
              { type: 'S', value: 'p' },
              { type: 'S', value: 'q' },
            ],
          },
        ],
      ],
    })
    const given = mapOf(decodeSections(give(take(message))), 0x72)
    expect(given.map(([key]) => key.value)).toEqual([
      'x-a',
      'plain',
      'x-basic-type',
      'x-opt-rabbitmq-received-time',
      'x-array',
      'x-exchange',
      'x-routing-key',
    ])
    expect(given.at(-2)?.[1]).toEqual(utf8('x'))
  })

  test('x-cc holds further routing keys', () => {
    const kept = take(annotated([[symbol('x-cc'), list([utf8('one'), symbol('two')])]]))
    expect(kept.extra.subarray(0, 9).toString('latin1')).toBe('\x02\x03one\x03two')
    expect(decodeProperties(kept.props, 0, kept.props.length).headers?.[0]?.[0]).toBe('CC')
    expect(() => take(annotated([[symbol('x-cc'), utf8('one')]]))).toThrow('x-cc')
    expect(() => take(annotated([[symbol('x-cc'), list([uint(1)])]]))).toThrow('x-cc')
  })

  test('tell of deaths that the broker has put into the headers', () => {
    const kept = take(withProperties({ messageId: utf8('m') }))
    const death: FieldTable = [
      ['count', { type: 'l', value: 2 }],
      ['reason', { type: 'S', value: 'expired' }],
      ['queue', { type: 'S', value: 'q' }],
      ['time', { type: 'T', value: 3 }],
      ['exchange', { type: 'S', value: 'x' }],
      ['routing-keys', { type: 'A', value: [{ type: 'S', value: 'k' }] }],
      ['original-expiration', { type: 'S', value: '50' }],
    ]
    const headers: FieldTable = [
      ['x-death', { type: 'A', value: [{ type: 'F', value: death }] }],
      ['x-first-death-queue', { type: 'S', value: 'q' }],
    ]
    const basic = decodeProperties(kept.props, 0, kept.props.length)
    const props = Buffer.from(encodeProperties({ ...basic, headers }))
    for (const extra of [kept.extra, Buffer.alloc(0)]) {
      const sections = decodeSections(give({ ...kept, props, extra }))
      const made = mapOf(sections, 0x72)
      expect(made.map(([key]) => key.value)).toEqual([
        'x-opt-deaths',
        'x-first-death-queue',
        'x-exchange',
        'x-routing-key',
      ])
      const deaths = made[0]?.[1]
      expect(deaths).toMatchObject({ type: 'array' })
      const first = deaths?.type === 'array' ? deaths.value[0] : undefined
      const entries = first?.type === 'map' ? first.value : []
      expect(entries.map(([key, value]) => [key.value, value.type])).toEqual([
        ['ttl', 'uint'],
        ['queue', 'utf8'],
        ['reason', 'symbol'],
        ['count', 'ulong'],
        ['first-time', 'timestamp'],
        ['last-time', 'timestamp'],
        ['exchange', 'utf8'],
        ['routing-keys', 'array'],
      ])
      const header = sections.get(0x70)
      expect(header?.type === 'list' && header.value[3]).toEqual(bool(false))
    }
  })
})

describe('bodies', () => {
  const data = (text: string, code = 0xa0): Buffer => {
    const size = Buffer.alloc(code === 0xa0 ? 1 : 4)
    if (code === 0xa0) size.writeUInt8(text.length)
    else size.writeUInt32BE(text.length)
    return Buffer.concat([Buffer.from([0, 0x53, 0x75, code]), size, Buffer.from(text)])
  }
  const footer = Buffer.from(section(0x78, map([[symbol('f'), uint(1)]])))

  test.each<[string, Buffer, string]>([
    ['one data section', data('abc'), 'abc'],
    ['an empty one', data(''), ''],
    ['one with a longer size than it needs', data('abc', 0xb0), 'abc'],
    ['two', Buffer.concat([data('ab'), data('cd', 0xb0)]), 'abcd'],
    ['two and a footer', Buffer.concat([data('ab'), data('cd'), footer]), 'abcd'],
    ['one and a footer', Buffer.concat([data('ab'), footer]), 'ab'],
  ])('%s: content for 0-9-1, the same bytes for 1.0', (_what, message, content) => {
    const kept = take(message)
    expect(kept.body.toString()).toBe(content)
    expect(give(kept).subarray(-message.length).equals(message)).toBe(true)
  })

  test.each<[string, Buffer]>([
    ['a value', Buffer.from(section(0x77, utf8('v')))],
    ['a value and a footer', Buffer.concat([section(0x77, map([[utf8('k'), NULL]])), footer])],
    [
      'a value in front of the properties',
      Buffer.concat([section(0x77, NULL), section(0x73, list([]))]),
    ],
    ['sequences', Buffer.concat([section(0x76, list([uint(1)])), section(0x76, list([]))])],
  ])('%s: as encoded, of type amqp-1.0', (_what, message) => {
    const kept = take(message)
    expect(kept.body.equals(message)).toBe(true)
    expect(decodeProperties(kept.props, 0, kept.props.length)).toEqual({ type: 'amqp-1.0' })
    for (const extra of [kept.extra, Buffer.alloc(0)]) {
      expect(
        give({ ...kept, extra })
          .subarray(-message.length)
          .equals(message),
      ).toBe(true)
    }
  })

  test('descriptors in other forms than ours are understood and kept', () => {
    const name = Buffer.from('amqp:data:binary')
    const head = Buffer.concat([Buffer.from([0, 0xa3, name.length]), name, Buffer.from([0xa0, 2])])
    const message = Buffer.concat([head, Buffer.from('hi')])
    const kept = take(message)
    expect(kept.body.toString()).toBe('hi')
    expect(give(kept).subarray(-message.length).equals(message)).toBe(true)
  })

  test.each([
    ['nothing', Buffer.alloc(0)],
    ['no body', Buffer.from(section(0x70, list([])))],
    ['sections out of order', Buffer.concat([data('x'), section(0x70, list([]))])],
    [
      'a section twice',
      Buffer.concat([section(0x70, list([])), section(0x70, list([])), data('x')]),
    ],
    ['bodies of two kinds', Buffer.concat([data('x'), section(0x77, NULL)])],
    ['data that is no binary', Buffer.from(section(0x75, utf8('x')))],
    ['a section that is none', Buffer.from(section(0x24, list([])))],
  ])('%s: refused', (_what, message) => {
    expect(() => take(message)).toThrow(DecodeError)
  })
})

test('any message cut short, or with a byte changed, ends in a message or a DecodeError', () => {
  const message = Buffer.concat([
    section(0x70, list([bool(true), { type: 'ubyte', value: 3 }, uint(5)])),
    section(
      0x72,
      map([
        [symbol('x-cc'), list([utf8('k')])],
        [symbol('x-m'), map([[utf8('a'), NULL]])],
      ]),
    ),
    section(0x73, list([utf8('id'), binary(uuid), utf8('/queues/q'), NULL, utf8('/queues/%41')])),
    section(
      0x74,
      map([
        [utf8('n'), uint(1)],
        [utf8('t'), { type: 'timestamp', value: 1 }],
      ]),
    ),
    dataMessage('body'),
  ])
  const attempt = (bytes: Uint8Array): void => {
    try {
      give(take(bytes))
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
    }
  }
  for (let size = 0; size <= message.length; size++) attempt(message.subarray(0, size))
  fc.assert(
    fc.property(
      fc.nat(message.length - 1),
      fc.nat(255),
      fc.nat(message.length),
      (at, byte, end) => {
        const changed = Uint8Array.from(message.subarray(0, Math.max(end, at + 1)))
        changed[at] = byte
        attempt(changed)
      },
    ),
    { numRuns: 5000 },
  )
})
