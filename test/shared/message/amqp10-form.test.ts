// 0-9-1 messages as sections of AMQP 1.0, and back.

import { Buffer } from 'node:buffer'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Amqp10Decoder, Amqp10Encoder } from '../../../shared/message/amqp10-form.ts'
import type { BasicProperties } from '../../../shared/message/properties.ts'
import { decodeProperties, encodeProperties } from '../../../shared/message/properties.ts'
import type { FieldTable } from '../../../shared/message/value.ts'

interface Read {
  readonly exchange: string
  readonly key: string
  readonly properties: BasicProperties
  readonly body: string
  readonly bytes: Buffer
}

const encoder = new Amqp10Encoder()
const decoder = new Amqp10Decoder('the queue')

function encode(exchange: string, key: string, properties: BasicProperties, body: Buffer): Buffer {
  const exrk = Buffer.concat([exchange, key].flatMap(shortstr))
  const props = encodeProperties(properties)
  const bytes = Buffer.concat([exrk, props])
  encoder.prepare(bytes, 0, exrk.length, 0, props.length)
  const message = Buffer.alloc(encoder.size(body.length))
  const at = encoder.writeHead(message, 0, body.length)
  body.copy(message, at)
  return message
}

function shortstr(text: string): Buffer[] {
  const bytes = Buffer.from(text)
  return [Buffer.from([bytes.length]), bytes]
}

function decode(message: Buffer): Read {
  decoder.prepare(message, 0, message.length)
  const bytes = Buffer.from(decoder.bytes)
  const exchangeEnd = 1 + (bytes[0] ?? 0)
  const properties = decodeProperties(
    bytes,
    decoder.exrkSize + decoder.extraSize,
    decoder.propsSize,
  )
  const headers = (properties.headers ?? []).filter(([name]) => name !== 'x-stream-offset')
  const from = decoder.joined ?? message
  return {
    exchange: bytes.toString('utf8', 1, exchangeEnd),
    key: bytes.toString('utf8', exchangeEnd + 1, decoder.exrkSize),
    properties: { ...properties, headers },
    body: from.toString('utf8', decoder.bodyAt, decoder.bodyAt + decoder.bodySize),
    bytes: from.subarray(decoder.bodyAt, decoder.bodyAt + decoder.bodySize),
  }
}

describe('the stored form of a message', () => {
  test('keeps keys, properties, headers and body', () => {
    const headers: FieldTable = [
      ['text', { type: 'S', value: 'ü' }],
      ['bytes', { type: 'x', value: new Uint8Array([1, 255]) }],
      ['yes', { type: 't', value: true }],
      ['long', { type: 'l', value: -5 }],
      ['time', { type: 'T', value: 1_700_000_000 }],
      ['double', { type: 'd', value: 1.5 }],
      ['x-own', { type: 'A', value: [{ type: 'S', value: 'a' }] }],
    ]
    const properties: BasicProperties = {
      contentType: 'text/plain',
      contentEncoding: 'gzip',
      deliveryMode: 2,
      priority: 7,
      correlationId: 'c',
      replyTo: 'a/b ü',
      expiration: '60000',
      messageId: 'urn:uuid:00112233-4455-6677-8899-aabbccddeeff',
      timestamp: 1_700_000_000,
      type: 'kind',
      userId: 'guest',
      appId: 'app',
    }
    const message = encode('ex', 'key', { ...properties, headers }, Buffer.from('body'))
    const read = decode(message)
    expect(read).toMatchObject({ exchange: 'ex', key: 'key', body: 'body', properties })
    const sorted = [...(read.properties.headers ?? [])].sort(([a], [b]) => a.localeCompare(b))
    expect(sorted).toEqual([...headers].sort(([a], [b]) => a.localeCompare(b)))
  })

  test('is found again by what comes before the body, and only then', () => {
    const property = fc.property(
      fc.array(
        fc.record({
          key: fc.constantFrom('a', 'b'),
          messageId: fc.constantFrom(undefined, 'one', 'two'),
          size: fc.constantFrom(0, 1, 255, 256, 70_000),
        }),
        { minLength: 1, maxLength: 12 },
      ),
      (messages) => {
        for (const { key, messageId, size } of messages) {
          const body = 'x'.repeat(size)
          const properties = messageId === undefined ? {} : { messageId }
          const read = decode(encode('', key, properties, Buffer.from(body)))
          expect(read.key).toBe(key)
          expect(read.properties.messageId).toBe(messageId)
          expect(read.body).toBe(body)
        }
      },
    )
    fc.assert(property, { numRuns: 100 })
  })

  test('puts several data sections together, and leaves values encoded', () => {
    const data = (text: string): number[] => [
      0,
      0x53,
      0x75,
      0xa0,
      text.length,
      ...Buffer.from(text),
    ]
    expect(decode(Buffer.from([...data('one'), ...data('two')])).body).toBe('onetwo')
    const value = Buffer.from([0, 0x53, 0x77, 0xa1, 2, 0x68, 0x69])
    const read = decode(value)
    expect(read.properties.type).toBe('amqp-1.0')
    expect(read.bytes.equals(value)).toBe(true)
    expect(encode('', 'k', { type: 'amqp-1.0' }, value).subarray(-value.length)).toEqual(value)
  })

  test('takes any bytes for a body where there are no sections', () => {
    const any = fc.property(fc.uint8Array({ minLength: 1, maxLength: 60 }), (bytes) => {
      decode(Buffer.from(bytes))
    })
    fc.assert(any, { numRuns: 2000 })
    expect(decode(Buffer.from('plain'))).toMatchObject({ key: 'the queue', body: 'plain' })
  })
})
