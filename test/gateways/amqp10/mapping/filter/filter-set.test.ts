// Filter sets of a source: which filters are understood, and which messages they pass.

import { describe, expect, it } from 'vitest'
import type { AmqpMap, AmqpValue } from '../../../../../gateways/amqp10/codec/value.ts'
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
} from '../../../../../gateways/amqp10/codec/value.ts'
import { parseFilter } from '../../../../../gateways/amqp10/mapping/filter/filter-set.ts'
import { MessageFields } from '../../../../../gateways/amqp10/mapping/filter/message-fields.ts'
import type { MessageFilter } from '../../../../../gateways/amqp10/mapping/filter/message-filter.ts'
import { MessageIn } from '../../../../../gateways/amqp10/mapping/message-in.ts'
import type { Arena } from '../../../../../shared/bus/arena.ts'
import { encodeProperties } from '../../../../../shared/message/properties.ts'
import { dataMessage, section } from '../../../../support/amqp10-peer.ts'

function filter(key: string, descriptor: AmqpValue, value: AmqpValue): AmqpMap[number] {
  return [symbol(key), { type: 'described', descriptor, value }]
}

const onProperties = (fields: Readonly<Record<string, AmqpValue>>): AmqpMap[number] =>
  filter('p', symbol('amqp:properties-filter'), symbols(fields))
const onApplication = (fields: Readonly<Record<string, AmqpValue>>): AmqpMap[number] =>
  filter(
    'a',
    symbol('amqp:application-properties-filter'),
    map(Object.entries(fields).map(([key, value]) => [utf8(key), value])),
  )
const sql = (expression: string): AmqpMap[number] =>
  filter('sql-filter', symbol('amqp:sql-filter'), utf8(expression))

function symbols(fields: Readonly<Record<string, AmqpValue>>): AmqpValue {
  return map(Object.entries(fields).map(([key, value]) => [symbol(key), value]))
}

const uuid = Uint8Array.from({ length: 16 }, (_, i) => i)

/** Every property, and application properties of every kind. */
const full = Buffer.concat([
  section(0x70, list([bool(true), { type: 'ubyte', value: 7 }])),
  section(
    0x73,
    list([
      { type: 'uuid', value: uuid },
      binary(Buffer.from('me')),
      utf8('to'),
      utf8('the subject'),
      utf8('reply'),
      ulong(77),
      symbol('text/plain'),
      symbol('gzip'),
      { type: 'timestamp', value: 2000 },
      { type: 'timestamp', value: 1000 },
      utf8('group'),
      uint(3),
      utf8('answers'),
    ]),
  ),
  section(
    0x74,
    map([
      [utf8('text'), utf8('grün')],
      [utf8('int'), { type: 'int', value: -4 }],
      [utf8('double'), { type: 'double', value: 4 }],
      [utf8('flag'), bool(true)],
      [utf8('nothing'), NULL],
    ]),
  ),
  dataMessage('b'),
])

function entry(extra: Uint8Array, props: Uint8Array): { bytes: Buffer; words: Int32Array } {
  const exrk = Buffer.from('\x01x\x02rk', 'latin1')
  const bytes = Buffer.concat([exrk, extra, props, Buffer.from('b')])
  return { bytes, words: Int32Array.of(0, 0, exrk.length, extra.length, props.length, 1, 0) }
}

function passes(wanted: MessageFilter | undefined, kept: ReturnType<typeof entry>): boolean {
  const arena = { slab: () => kept.bytes } as unknown as Arena
  const clock = { wall: () => 0 }
  return wanted === undefined || new MessageFields().pass(wanted, clock, arena, kept.words, 0)
}

function native(message: Uint8Array): ReturnType<typeof entry> {
  const incoming = new MessageIn()
  incoming.convert(message, 0, message.length)
  const { extra, props } = incoming
  return entry(extra.bytes.slice(0, extra.at), props.bytes.slice(0, props.at))
}

describe('property filters', () => {
  it.each<[string, AmqpMap[number], boolean]>([
    ['message-id', onProperties({ 'message-id': { type: 'uuid', value: uuid } }), true],
    ['another message-id', onProperties({ 'message-id': ulong(1) }), false],
    ['user-id', onProperties({ 'user-id': binary(Buffer.from('me')) }), true],
    ['to', onProperties({ to: utf8('to') }), true],
    ['subject', onProperties({ subject: utf8('the subject') }), true],
    ['another subject', onProperties({ subject: utf8('The subject') }), false],
    ['the begin of a subject', onProperties({ subject: utf8('&p:the ') }), true],
    ['another begin', onProperties({ subject: utf8('&p:sub') }), false],
    ['the end of a subject', onProperties({ subject: utf8('&s:subject') }), true],
    ['a begin, as it was written before', onProperties({ subject: utf8('$p:the ') }), true],
    ['an end, as it was written before', onProperties({ subject: utf8('$s:the ') }), false],
    ['a sign that is none', onProperties({ subject: utf8('&&p:the ') }), false],
    ['reply-to', onProperties({ 'reply-to': utf8('reply') }), true],
    ['correlation-id', onProperties({ 'correlation-id': ulong(77) }), true],
    ['content-type', onProperties({ 'content-type': symbol('text/plain') }), true],
    ['content-encoding', onProperties({ 'content-encoding': symbol('gzip') }), true],
    ['expiry', onProperties({ 'absolute-expiry-time': { type: 'timestamp', value: 2000 } }), true],
    ['creation', onProperties({ 'creation-time': { type: 'timestamp', value: 1000 } }), true],
    ['another creation', onProperties({ 'creation-time': { type: 'timestamp', value: 1 } }), false],
    ['group-id', onProperties({ 'group-id': utf8('group') }), true],
    ['group-sequence', onProperties({ 'group-sequence': uint(3) }), true],
    ['reply-to-group-id', onProperties({ 'reply-to-group-id': utf8('answers') }), true],
    ['null', onProperties({ subject: NULL }), true],
    ['all of them', onProperties({ to: utf8('to'), subject: utf8('other') }), false],
    ['text', onApplication({ text: utf8('grün') }), true],
    ['a begin of text', onApplication({ text: utf8('&p:grü') }), true],
    ['a number of another type', onApplication({ int: { type: 'double', value: -4 } }), true],
    ['an integer for a double', onApplication({ double: ulong(4) }), true],
    ['a boolean', onApplication({ flag: bool(true) }), true],
    ['another boolean', onApplication({ flag: bool(false) }), false],
    ['text for a number', onApplication({ int: utf8('-4') }), false],
    ['what is not there', onApplication({ none: utf8('') }), false],
    ['null for what is not there', onApplication({ none: NULL }), false],
    ['null for what is there', onApplication({ nothing: NULL }), true],
  ])('compare %s', (_what, set, expected) => {
    const { effective, messages } = parseFilter([set])
    expect(effective).toEqual([set])
    expect(passes(messages, native(full))).toBe(expected)
    expect(passes(messages, native(dataMessage('b')))).toBe(_what === 'null')
  })

  it('see messages of 0-9-1 as a 1.0 client would', () => {
    const props = encodeProperties({
      messageId: 'm',
      contentType: 'text/plain',
      timestamp: 5,
      headers: [
        ['h', { type: 'I', value: 3 }],
        ['text', { type: 'S', value: 'grün' }],
      ],
    })
    const kept = entry(new Uint8Array(0), props)
    const all = [
      onProperties({
        'message-id': utf8('m'),
        'content-type': symbol('text/plain'),
        'creation-time': { type: 'timestamp', value: 5000 },
      }),
      onApplication({ h: ulong(3), text: utf8('&s:ün') }),
    ]
    expect(passes(parseFilter(all).messages, kept)).toBe(true)
    expect(passes(parseFilter([onApplication({ h: ulong(4) })]).messages, kept)).toBe(false)
  })

  it('are left out where they are none', () => {
    const many = Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, utf8('')]))
    const wrong: AmqpMap = [
      onProperties({}),
      onProperties({ colour: utf8('red') }),
      onProperties({ subject: symbol('x') }),
      onProperties({ subject: utf8('&x') }),
      onApplication(many),
      onApplication({ list: list([]) }),
      filter('p', symbol('amqp:properties-filter'), utf8('x')),
      filter('p', symbol('amqp:other-filter'), symbols({ to: utf8('x') })),
      [symbol('plain'), utf8('x')],
    ]
    for (const each of wrong) {
      const { faults, ...found } = parseFilter([each])
      expect(found).toEqual({ arguments: [], messages: undefined, effective: [] })
      expect(faults).toEqual([{ name: String(each[0].value), reason: expect.any(String) }])
    }
  })
})

describe('SQL expressions', () => {
  it('see header, properties and application properties', () => {
    const expression =
      "h.priority = 7 AND p.subject LIKE '% subject' AND text = 'grün' AND int + 4 = 0 " +
      'AND p.correlation_id = 77 AND nothing IS NULL AND flag'
    const { messages, effective } = parseFilter([sql(expression)])
    expect(effective).toHaveLength(1)
    expect(passes(messages, native(full))).toBe(true)
    expect(passes(messages, native(dataMessage('b')))).toBe(false)
    const plain = parseFilter([sql('h.priority = 4')]).messages
    expect(passes(plain, native(dataMessage('b')))).toBe(true)
  })

  it('need their name, and are left out where they are none', () => {
    const named = filter('other', symbol('amqp:sql-filter'), utf8('a = 1'))
    const other = filter('sql-filter', symbol('amqp:other'), utf8('a = 1'))
    for (const each of [named, other, sql('a ='), sql('')]) {
      expect(parseFilter([each]).effective).toEqual([])
    }
    const byCode = filter('sql-filter', ulong(0x120), utf8('a = 1'))
    expect(parseFilter([byCode]).effective).toEqual([byCode])
  })

  it('do not go with property filters: the last one counts', () => {
    const [one, other] = [sql('a = 1'), onProperties({ to: utf8('x') })]
    expect(parseFilter([one, other]).effective).toEqual([other])
    expect(parseFilter([other, one]).effective).toEqual([one])
    const two = onProperties({ to: utf8('y') })
    const application = onApplication({ k: utf8('y') })
    expect(parseFilter([other, two, application]).effective).toEqual([two, application])
  })
})

it('a message whose maps cannot be read does not pass', () => {
  const broken = Buffer.from(native(full).bytes)
  const at = broken.lastIndexOf('gr')
  broken[at] = 0xff
  const kept = { bytes: broken, words: native(full).words }
  expect(passes(parseFilter([onApplication({ text: utf8('x') })]).messages, kept)).toBe(false)
})

it('offsets and bloom filters are the consumer’s arguments', () => {
  const set: AmqpMap = [
    filter('o', symbol('rabbitmq:stream-offset-spec'), utf8('first')),
    filter('f', symbol('rabbitmq:stream-filter'), list([utf8('a'), utf8('b')])),
    filter('m', symbol('rabbitmq:stream-match-unfiltered'), bool(true)),
    sql('a = 1'),
  ]
  const { arguments: table, effective, messages } = parseFilter(set)
  expect(table.map(([name]) => name)).toEqual([
    'x-stream-offset',
    'x-stream-filter',
    'x-stream-match-unfiltered',
  ])
  expect(effective).toEqual(set)
  expect(messages).toBeDefined()
  expect(parseFilter(undefined).effective).toBeUndefined()
})
