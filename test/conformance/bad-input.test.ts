// Peers that break the protocol. Each must get the right answer, and nobody else may notice.
//
// Where RabbitMQ 4.0.5 does something else than Warren:
// - an unknown method, or an unknown type in a table: it drops the connection without a word;
// - more body bytes than announced, a body size beyond all limits, truncated properties, and
//   basic.deliver from a client: it waits for more, or takes the message.

import { expect, it } from 'vitest'
import { encodeFrame, encodeHeader, encodeMethod, FrameType } from '../support/amqp-wire.ts'
import {
  declareWithTable,
  headerFrame,
  methodFrame,
  nestedTable,
  withFrameEnd,
} from '../support/bad-frames.ts'
import { describeExtremes, describeGateway, itOnWarren } from '../support/profiles.ts'
import type { RawClient } from '../support/raw-client.ts'
import { numberOf, textOf } from '../support/raw-client.ts'

const PUBLISH = encodeMethod(1, 'basic.publish', { routingKey: 'nobody' })
const DECLARE = encodeMethod(1, 'queue.declare', { exclusive: true })
const body = (text: string): Buffer => encodeFrame(FrameType.body, 1, Buffer.from(text))
const method = encodeMethod

const HEADER_0_9_1 = 'AMQP\x00\x00\x09\x01'
const HEADER_SASL = 'AMQP\x03\x01\x00\x00'

describeGateway('protocol headers', (use) => {
  it.each([
    ['a revision that is to come', 'AMQP\x00\x00\x09\x02', HEADER_0_9_1],
    ['a minor version that is to come', 'AMQP\x00\x00\x0a\x00', HEADER_0_9_1],
    ['0-8', 'AMQP\x00\x00\x08\x00', HEADER_SASL],
    ['0-8 as it was written then', 'AMQP\x01\x01\x08\x00', HEADER_SASL],
    ['1.0 without SASL', 'AMQP\x00\x01\x00\x00', HEADER_SASL],
    ['1.0 with TLS inside', 'AMQP\x02\x01\x00\x00', HEADER_SASL],
    ['an unknown version', 'AMQP\x09\x09\x09\x09', HEADER_SASL],
    ['HTTP', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', HEADER_SASL],
    ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', HEADER_SASL],
    ['almost the right letters', 'AMQX\x00\x00\x09\x01', HEADER_SASL],
    ['zeros', '\x00\x00\x00\x00\x00\x00\x00\x00', HEADER_SASL],
  ])('answers %s with the header it wants and closes', async (_title, header, answer) => {
    const raw = (await use().socket()).readAsBytes()
    raw.write(Buffer.from(header, 'latin1'))
    await raw.waitForEnd()
    expect(raw.pending.toString('latin1')).toBe(answer)
    await use().roundTrip()
  })

  it('takes a socket that closes without a byte as a health check', async () => {
    for (let i = 0; i < 20; i += 1) (await use().socket()).socket.end()
    await use().roundTrip()
  })
})

describeExtremes('bad input', (use) => {
  /** Sends these bytes on an open channel and returns the broker's connection.close. */
  async function closeAfter(bytes: Uint8Array): Promise<{ code: number; text: string }> {
    const raw = await use().raw()
    raw.write(bytes)
    const close = await raw.next(0)
    expect(close.name).toBe('connection.close')
    await use().roundTrip()
    return { code: numberOf(close, 'replyCode'), text: textOf(close, 'replyText') }
  }

  it.each([
    ['a wrong frame end', withFrameEnd(DECLARE, 0)],
    ['zeros', Buffer.alloc(64)],
    ['text', Buffer.from('this is certainly not a frame, is it?')],
    ['a second protocol header', Buffer.from(HEADER_0_9_1, 'latin1')],
    ['a frame larger than negotiated', encodeFrame(FrameType.body, 1, Buffer.alloc(131073))],
    ['a frame of 4 GiB', Buffer.from([1, 0, 1, 0xff, 0xff, 0xff, 0xff, 0])],
    ['frame type 0', encodeFrame(0, 1, Buffer.alloc(4))],
    ['frame type 4', encodeFrame(4, 1, Buffer.alloc(4))],
    ['frame type 255', encodeFrame(255, 0, Buffer.alloc(4))],
    ['a heartbeat with a payload', encodeFrame(FrameType.heartbeat, 0, Buffer.from('x'))],
    ['an empty method frame', encodeFrame(FrameType.method, 1, Buffer.alloc(0))],
    ['half a method id', encodeFrame(FrameType.method, 1, Buffer.alloc(3))],
    ['a name that runs past its frame', methodFrame(50, 10, Buffer.from([0, 0, 50, 65]))],
    ['bytes after the last argument', methodFrame(20, 20, Buffer.from([1, 2, 3]))],
    [
      'a name that is not UTF-8',
      methodFrame(50, 10, Buffer.from([0, 0, 2, 0xff, 0xfe, 0, 0, 0, 0, 0])),
    ],
    ['a table that runs past its frame', declareWithTable(Buffer.from([0, 0, 0, 50, 1, 97]))],
    [
      'half a content header',
      Buffer.concat([PUBLISH, encodeFrame(FrameType.header, 1, Buffer.alloc(5))]),
    ],
  ])('answers %s with 501', async (_title, bytes) => {
    expect(await closeAfter(bytes)).toEqual({
      code: 501,
      text: expect.stringMatching(/^FRAME_ERROR - /),
    })
  })

  it.each([
    ['a heartbeat on a channel', encodeFrame(FrameType.heartbeat, 1, Buffer.alloc(0))],
    ['a content header on channel 0', encodeHeader(0, 5)],
    ['a content header without a publish', encodeHeader(1, 5)],
    ['a body without a publish', body('abc')],
    ['a body on a channel that is not open', encodeFrame(FrameType.body, 7, Buffer.from('x'))],
    ['a method where a content header belongs', Buffer.concat([PUBLISH, DECLARE])],
    ['a body where a content header belongs', Buffer.concat([PUBLISH, body('abc')])],
    ['a method where a body belongs', Buffer.concat([PUBLISH, encodeHeader(1, 5), DECLARE])],
    ['a second content header', Buffer.concat([PUBLISH, encodeHeader(1, 5), encodeHeader(1, 5)])],
    ['a body after an empty message', Buffer.concat([PUBLISH, encodeHeader(1, 0), body('abc')])],
    ['a content header of another class', Buffer.concat([PUBLISH, encodeHeader(1, 5, {}, 50)])],
  ])('answers %s with 505', async (_title, bytes) => {
    expect(await closeAfter(bytes)).toEqual({
      code: 505,
      text: expect.stringMatching(/^UNEXPECTED_FRAME - /),
    })
  })

  it.each([
    ['publish on channel 0', method(0, 'basic.publish')],
    ['queue.declare on channel 0', method(0, 'queue.declare')],
    ['channel.open on channel 0', method(0, 'channel.open')],
    ['connection.open again', method(0, 'connection.open', { virtualHost: '/' })],
    ['connection.start-ok again', method(0, 'connection.start-ok', { mechanism: 'PLAIN' })],
    ['connection.tune-ok again', method(0, 'connection.tune-ok', { frameMax: 8192 })],
    ['connection.close-ok without a close', method(0, 'connection.close-ok')],
  ])('answers %s with 504', async (_title, bytes) => {
    expect(await closeAfter(bytes)).toEqual({
      code: 504,
      text: 'CHANNEL_ERROR - unexpected method in connection state running',
    })
  })

  it.each([
    ['basic.qos', method(7, 'basic.qos')],
    ['basic.publish', Buffer.concat([method(7, 'basic.publish'), encodeHeader(7, 0)])],
    ['channel.close', method(7, 'channel.close')],
  ])('answers %s on a channel that is not open with 504', async (_title, bytes) => {
    expect(await closeAfter(bytes)).toEqual({
      code: 504,
      text: "CHANNEL_ERROR - expected 'channel.open'",
    })
  })

  it.each([
    ['connection.close on a channel', method(1, 'connection.close')],
    ['queue.declare-ok', method(1, 'queue.declare-ok')],
    ['basic.consume-ok', method(1, 'basic.consume-ok')],
    ['basic.cancel-ok', method(1, 'basic.cancel-ok')],
    ['channel.flow-ok', method(1, 'channel.flow-ok')],
    ['channel.close-ok without a close', method(1, 'channel.close-ok')],
  ])('answers %s with 503', async (_title, bytes) => {
    expect(await closeAfter(bytes)).toEqual({
      code: 503,
      text: 'COMMAND_INVALID - unimplemented method',
    })
  })

  itOnWarren.each([
    ['an unknown class', methodFrame(99, 1)],
    ['an unknown method', methodFrame(50, 99)],
    ['an unknown method on channel 0', methodFrame(10, 99, Buffer.alloc(0), 0)],
    ['basic.deliver from a client', method(1, 'basic.deliver')],
  ])('answers %s with 503 or 540', async (_title, bytes) => {
    expect([503, 540]).toContain((await closeAfter(bytes)).code)
  })

  itOnWarren.each([
    ['a table with an unknown type', declareWithTable(Buffer.from([0, 0, 0, 4, 1, 97, 0x7a, 1]))],
    ['a body size of 2^63', Buffer.concat([PUBLISH, headerFrame(2n ** 63n, [0, 0])])],
    ['a body size over 512 MiB', Buffer.concat([PUBLISH, headerFrame(600_000_000n, [0, 0])])],
    ['truncated properties', Buffer.concat([PUBLISH, headerFrame(0n, [0x80, 0, 9, 65])])],
    ['bytes after the properties', Buffer.concat([PUBLISH, headerFrame(0n, [0, 0, 1, 2])])],
    ['property flags that go on', Buffer.concat([PUBLISH, headerFrame(0n, [0, 1, 0, 0])])],
    [
      'a longer body than announced',
      Buffer.concat([PUBLISH, encodeHeader(1, 3), body('four and more')]),
    ],
  ])('closes the connection after %s', async (_title, bytes) => {
    expect([501, 502, 505, 541]).toContain((await closeAfter(bytes)).code)
  })

  it('accepts frames of the negotiated size and refuses larger ones', async () => {
    const raw = await use().raw({ frameMax: 8192 })
    const queue = textOf(await raw.call(1, 'queue.declare', { exclusive: true }), 'queue')
    raw.publish(1, { routingKey: queue, body: Buffer.alloc(8184) })
    expect((await raw.call(1, 'basic.get', { queue })).body).toHaveLength(8184)
    raw.write(encodeMethod(1, 'basic.publish', { routingKey: queue }))
    raw.write(encodeHeader(1, 20_000))
    raw.write(encodeFrame(FrameType.body, 1, Buffer.alloc(8193)))
    expect(await raw.next(0)).toMatchObject({
      name: 'connection.close',
      fields: { replyCode: 501 },
    })
  })

  it('survives deeply nested tables', async () => {
    for (const depth of [100, 15_000]) {
      const raw = await use().raw()
      raw.write(declareWithTable(nestedTable(depth)))
      const answer = await raw.next(1)
      expect(['queue.declare-ok', 'connection.close', 'channel.close']).toContain(answer.name)
      await use().roundTrip()
    }
  })

  it('ends the connection some time after a frame error', async () => {
    const ends = [withFrameEnd(DECLARE, 1), Buffer.alloc(64)].map(async (bytes) => {
      const raw = await use().raw()
      raw.write(bytes)
      await raw.waitForEnd(8000)
    })
    await Promise.all(ends)
  })

  it('ends the connection when the client never answers connection.close', async () => {
    const raw = await use().raw()
    raw.send(1, 'basic.recover', { requeue: false })
    await raw.expect(0, 'connection.close')
    raw.send(1, 'queue.declare', { queue: use().name('ignored') })
    raw.send(0, 'connection.close-ok')
    raw.socket.end()
    await raw.waitForEnd()
    await use().roundTrip()
  })

  it('lets nobody in who skips a step', async () => {
    const login = (raw: RawClient): void => raw.startOk()
    const steps: [string, (raw: RawClient) => void][] = [
      ['open before login', (raw) => raw.send(0, 'connection.open', { virtualHost: '/' })],
      ['tune-ok before login', (raw) => raw.send(0, 'connection.tune-ok', { frameMax: 8192 })],
      ['a channel before login', (raw) => raw.send(1, 'channel.open')],
      [
        'open before tune-ok',
        (raw) => {
          login(raw)
          raw.send(0, 'connection.open', { virtualHost: '/' })
        },
      ],
      [
        'a publish before open',
        (raw) => {
          login(raw)
          raw.publish(1, { routingKey: 'x', body: 'x' })
        },
      ],
      ['a frame that is too large', (raw) => raw.write(encodeFrame(1, 0, Buffer.alloc(8193)))],
      ['garbage', (raw) => raw.write(Buffer.from('garbage, garbage, garbage'))],
    ]
    const outcomes = steps.map(async ([title, step]) => {
      const raw = await use().socket()
      raw.write(Buffer.from(HEADER_0_9_1, 'latin1'))
      await raw.expect(0, 'connection.start')
      step(raw)
      for (;;) {
        const answer = await raw.poll(0, 8000)
        if (answer === undefined || answer.name === 'connection.close') break
        expect(answer.name, title).toBe('connection.tune')
      }
      if (!raw.isEnded) raw.socket.end()
      await raw.waitForEnd()
    })
    await Promise.all(outcomes)
    await use().roundTrip()
  })
})
