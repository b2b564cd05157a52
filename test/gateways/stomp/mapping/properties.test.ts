import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FrameDecoder } from '../../../../gateways/stomp/codec/frame-decoder.ts'
import {
  escapeHeader,
  writeMessageHeaders,
} from '../../../../gateways/stomp/mapping/message-headers.ts'
import { writeProperties } from '../../../../gateways/stomp/mapping/send-properties.ts'
import { Writer } from '../../../../shared/bytes/writer.ts'
import type { BasicProperties } from '../../../../shared/message/properties.ts'
import { decodeProperties, encodeProperties } from '../../../../shared/message/properties.ts'

const sender = { user: 'guest', impersonator: false }

/** The properties of a SEND with these header lines, or the failure. */
function propertiesOf(lines: readonly string[], replyTo?: string): BasicProperties | string {
  const decoder = new FrameDecoder(1_000_000)
  decoder.push(Buffer.from(`SEND\n${lines.map((line) => `${line}\n`).join('')}\n\0`))
  decoder.next()
  const out = new Writer(1)
  out.u8(0xee)
  const failure = writeProperties(out, decoder.frame, sender, replyTo)
  return failure === undefined ? decodeProperties(out.finish(), 1, out.at - 1) : failure.body
}

/** The header lines of a MESSAGE with these properties. */
function linesOf(properties: BasicProperties): string[] {
  const bytes = encodeProperties(properties)
  const out = new Writer(1)
  writeMessageHeaders(out, bytes, 0, bytes.length)
  return Buffer.from(out.finish()).toString('utf8').split('\n').slice(0, -1)
}

describe('headers of a SEND', () => {
  test('become properties, the others entries of the header table', () => {
    const lines = [
      'destination:/queue/a',
      'content-type:text/plain',
      'persistent:true',
      'priority:9',
      'correlation-id:c\\c1',
      'timestamp:1700000000',
      'amqp-message-id:m',
      'receipt:r',
      'foo:a\\nb',
      'foo:second',
      'od\\cd:x',
    ]
    expect(propertiesOf(lines)).toEqual({
      contentType: 'text/plain',
      deliveryMode: 2,
      priority: 9,
      correlationId: 'c:1',
      timestamp: 1_700_000_000,
      messageId: 'm',
      headers: [
        ['receipt', { type: 'S', value: 'r' }],
        ['foo', { type: 'S', value: 'a\nb' }],
        ['od:d', { type: 'S', value: 'x' }],
      ],
    })
    expect(propertiesOf(['destination:/queue/a', 'persistent:false'])).toEqual({})
    expect(propertiesOf(['reply-to:/temp-queue/a'], 'amq.gen-1')).toEqual({ replyTo: 'amq.gen-1' })
  })

  test.each([
    ['priority:256'],
    ['priority:-1'],
    ['timestamp:soon'],
    ['expiration:1.5'],
    ['expiration:999999999999'],
    ['user-id:root'],
    ['CC:a'],
    ['BCC:a'],
    [`content-type:${'x'.repeat(256)}`],
    [`${'x'.repeat(256)}:y`],
  ])('that cannot be properties are refused: %s', (line) => {
    expect(typeof propertiesOf([line])).toBe('string')
  })
})

describe('headers of a MESSAGE', () => {
  test('come from properties and the header table', () => {
    const table: BasicProperties['headers'] = [
      ['a:b', { type: 'S', value: 'c\nd\\' }],
      ['int', { type: 'I', value: -7 }],
      ['long', { type: 'l', value: 2 ** 40 }],
      ['yes', { type: 't', value: true }],
      ['nested', { type: 'F', value: [['x', { type: 'I', value: 1 }]] }],
      ['list', { type: 'A', value: [] }],
      ['none', { type: 'V', value: null }],
      ['float', { type: 'd', value: 1.5 }],
      ['message-id', { type: 'S', value: 'forged' }],
      ['content-length', { type: 'S', value: '5' }],
      ['last', { type: 'S', value: '' }],
    ]
    expect(linesOf({ deliveryMode: 1, replyTo: 'q', userId: 'guest', headers: table })).toEqual([
      'reply-to:/reply-queue/q',
      'user-id:guest',
      'a\\cb:c\\nd\\\\',
      'int:-7',
      'long:1099511627776',
      'yes:true',
      'last:',
    ])
    expect(linesOf({})).toEqual([])
  })

  test('are what was sent, whatever it was', () => {
    const text = fc
      .string({ unit: 'binary', maxLength: 60 })
      .map((each) => each.replaceAll('\0', ''))
    const entries = fc.uniqueArray(fc.tuple(text, text), {
      selector: ([name]) => name,
      maxLength: 8,
    })
    fc.assert(
      fc.property(entries, text, (headers, correlationId) => {
        const lines = headers.map(
          ([name, value]) => `x-${escapeHeader(name)}:${escapeHeader(value)}`,
        )
        const properties = propertiesOf([`correlation-id:${escapeHeader(correlationId)}`, ...lines])
        if (typeof properties === 'string') throw new Error(properties)
        const expected = [`correlation-id:${escapeHeader(correlationId)}`, ...lines]
        expect(linesOf(properties)).toEqual(expected)
      }),
    )
  })
})
