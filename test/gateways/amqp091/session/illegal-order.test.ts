import { describe, expect, test } from 'vitest'
import type { FieldValue } from '../../../support/amqp-wire.ts'
import { encodeFrame, encodeHeader, encodeMethod, FrameType } from '../../../support/amqp-wire.ts'
import { SessionRig } from './session-rig.ts'

type Fields = Readonly<Record<string, FieldValue>>

function method(channel: number, name: string, fields: Fields = {}): Buffer {
  return encodeMethod(channel, name, fields)
}

const publish = method(1, 'basic.publish', { routingKey: 'k' })
const header = encodeHeader(1, 4)
const body = encodeFrame(FrameType.body, 1, Buffer.from('body'))
const heartbeat = (channel: number): Buffer => encodeFrame(8, channel, Buffer.alloc(0))

interface Case {
  readonly bytes: Buffer[]
  readonly code: number
  readonly text: RegExp | string
  readonly ids: readonly [number, number]
}

/** Texts and ids are what RabbitMQ 4.0.5 answers, but for heartbeats, which it words otherwise. */
const connectionErrors: Record<string, Case> = {
  'a second channel.open': {
    bytes: [method(1, 'channel.open')],
    code: 504,
    text: "CHANNEL_ERROR - second 'channel.open' seen",
    ids: [20, 10],
  },
  'a method on a channel that is not open': {
    bytes: [method(7, 'queue.declare')],
    code: 504,
    text: "CHANNEL_ERROR - expected 'channel.open'",
    ids: [50, 10],
  },
  'a publish on a channel that is not open': {
    bytes: [method(7, 'basic.publish')],
    code: 504,
    text: "CHANNEL_ERROR - expected 'channel.open'",
    ids: [60, 40],
  },
  'content on a channel that is not open': {
    bytes: [encodeHeader(7, 4)],
    code: 505,
    text: 'UNEXPECTED_FRAME - expected method frame, got non method frame instead',
    ids: [0, 0],
  },
  'a publish on channel 0': {
    bytes: [method(0, 'basic.publish')],
    code: 504,
    text: 'CHANNEL_ERROR - unexpected method in connection state running',
    ids: [60, 40],
  },
  'channel.open on channel 0': {
    bytes: [method(0, 'channel.open')],
    code: 504,
    text: 'CHANNEL_ERROR - unexpected method in connection state running',
    ids: [20, 10],
  },
  'connection.open again': {
    bytes: [method(0, 'connection.open')],
    code: 504,
    text: 'CHANNEL_ERROR - unexpected method in connection state running',
    ids: [10, 40],
  },
  'connection.open on a channel': {
    bytes: [method(1, 'connection.open')],
    code: 503,
    text: 'COMMAND_INVALID - unimplemented method',
    ids: [10, 40],
  },
  'an answer that nobody asked for': {
    bytes: [method(1, 'channel.close-ok')],
    code: 503,
    text: 'COMMAND_INVALID - unimplemented method',
    ids: [20, 41],
  },
  "the broker's own methods": {
    bytes: [method(1, 'basic.deliver')],
    code: 503,
    text: 'COMMAND_INVALID - unimplemented method',
    ids: [60, 60],
  },
  'a header without a publish': {
    bytes: [header],
    code: 505,
    text: 'UNEXPECTED_FRAME - expected method frame, got non method frame instead',
    ids: [0, 0],
  },
  'a body without a header': {
    bytes: [publish, body],
    code: 505,
    text: 'UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead',
    ids: [60, 40],
  },
  'a publish in place of a header': {
    bytes: [publish, publish],
    code: 505,
    text: 'UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead',
    ids: [60, 40],
  },
  'a header of another class': {
    bytes: [publish, encodeHeader(1, 4, {}, 50)],
    code: 505,
    text: 'UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead',
    ids: [60, 40],
  },
  'a method in place of a body': {
    bytes: [publish, header, method(1, 'queue.declare')],
    code: 505,
    text: 'UNEXPECTED_FRAME - expected content body, got non content body frame instead',
    ids: [60, 40],
  },
  'more body than announced': {
    bytes: [publish, encodeHeader(1, 3), body],
    code: 501,
    text: 'FRAME_ERROR - content body is longer than its header announced',
    ids: [60, 40],
  },
  'a heartbeat on a channel': {
    bytes: [heartbeat(1)],
    code: 505,
    text: 'UNEXPECTED_FRAME - heartbeat on channel 1',
    ids: [0, 0],
  },
  'a flow that stops': {
    bytes: [method(1, 'channel.flow', { active: false })],
    code: 540,
    text: 'NOT_IMPLEMENTED - active=false',
    ids: [20, 20],
  },
  'a prefetch in bytes': {
    bytes: [method(1, 'basic.qos', { prefetchSize: 7 })],
    code: 540,
    text: 'NOT_IMPLEMENTED - prefetch_size!=0 (7)',
    ids: [60, 10],
  },
  'recover without requeue': {
    bytes: [method(1, 'basic.recover', { requeue: false })],
    code: 540,
    text: 'NOT_IMPLEMENTED - requeue=false',
    ids: [60, 110],
  },
  'a class that is not there': {
    bytes: [encodeFrame(1, 1, Buffer.from([0, 99, 0, 10]))],
    code: 503,
    text: /^COMMAND_INVALID - /,
    ids: [99, 10],
  },
  'a method that is not there': {
    bytes: [encodeFrame(1, 1, Buffer.from([0, 60, 0, 99]))],
    code: 540,
    text: /^NOT_IMPLEMENTED - /,
    ids: [60, 99],
  },
  'arguments that are too short': {
    bytes: [encodeFrame(1, 1, Buffer.from([0, 50, 0, 10, 0]))],
    code: 501,
    text: /^FRAME_ERROR - /,
    ids: [50, 10],
  },
}

describe('what may not come now', () => {
  test.each(Object.keys(connectionErrors))('ends the connection: %s', (name) => {
    const { bytes, code, text, ids } = connectionErrors[name] as Case
    const rig = new SessionRig().login()
    rig.write(Buffer.concat(bytes))
    expect(rig.told.map((each) => [each.channel, each.name])).toEqual([[0, 'connection.close']])
    const fields = rig.told[0]?.fields ?? {}
    const matches = expect.stringMatching(text) as unknown
    expect(fields).toMatchObject({
      replyCode: code,
      replyText: typeof text === 'string' ? text : matches,
      classId: ids[0],
      methodId: ids[1],
    })
    rig.told.length = 0
    // Everything but the end of the close is ignored now.
    rig.send(1, 'queue.declare')
    rig.publish(1, 'k', 'x')
    expect([rig.told, rig.published(), rig.askedOf('queueDeclare')]).toEqual([[], [], []])
    expect(rig.askedOf('closeConnection')).toHaveLength(1)
    expect(rig.ended).toBe(false)
    rig.send(0, 'connection.close-ok')
    expect(rig.ended).toBe(true)
  })

  test('bytes that are no frames end it without waiting for an answer', () => {
    for (const bytes of [
      encodeFrame(4, 1, Buffer.alloc(4)),
      Buffer.concat([method(1, 'queue.declare').subarray(0, -1), Buffer.from([0])]),
      Buffer.from([1, 0, 1, 0, 2, 0, 1, 0]),
      Buffer.concat([publish, header.subarray(0, -1), Buffer.from([0]), body]),
      Buffer.concat([publish, header, body.subarray(0, -1), Buffer.from([0])]),
    ]) {
      const rig = new SessionRig().login()
      rig.write(bytes)
      expect(rig.told[0]).toMatchObject({ name: 'connection.close', fields: { replyCode: 501 } })
      expect(rig.ended).toBe(true)
    }
  })

  test('heartbeats are welcome on channel 0, also within content', () => {
    const rig = new SessionRig().login()
    rig.write(Buffer.concat([publish, heartbeat(0), header, heartbeat(0), body, heartbeat(0)]))
    expect(rig.told).toEqual([])
    expect(rig.published()).toHaveLength(1)
  })
})

describe('a channel closed by an error', () => {
  test('ignores everything until close-ok, then its number is free', () => {
    const rig = new SessionRig().login()
    rig.send(1, 'basic.ack', { deliveryTag: 9 })
    expect(rig.names()).toEqual(['channel.close'])
    rig.publish(1, 'k', 'x')
    rig.send(1, 'queue.declare')
    rig.write(encodeFrame(FrameType.body, 1, Buffer.from('stray')))
    rig.send(1, 'basic.ack', { deliveryTag: 1 })
    expect(rig.names()).toEqual([])
    rig.send(1, 'channel.close', { replyCode: 200 })
    expect(rig.names()).toEqual(['channel.close-ok'])
    rig.send(1, 'channel.close-ok')
    rig.send(1, 'channel.open')
    expect(rig.names()).toEqual(['channel.open-ok'])
    rig.send(2, 'channel.open')
    rig.publish(2, 'k', 'x')
    expect(rig.published()).toHaveLength(1)
  })

  test('leaves its half of a message in no slab', () => {
    const rig = new SessionRig().login()
    const bytes = rig.publishBytes(1, 'k', Buffer.alloc(3_000_000))
    rig.write(bytes.subarray(0, 2_500_000))
    const error = { scope: 'channel', code: 404, text: 'NOT_FOUND - x' }
    rig.shards[0]?.event({ event: 'channelError', channel: 1, error })
    rig.drain()
    rig.write(bytes.subarray(2_500_000))
    rig.send(1, 'channel.close-ok')
    rig.send(1, 'channel.open')
    // Rolls the present slab out: what is sealed and empty is free again.
    for (let i = 0; i < 3; i++) rig.publish(1, 'k', Buffer.alloc(2_000_000))
    expect(rig.port.arena.used()).toBeLessThanOrEqual(2)
  })

  test('counts for channel_max until it is forgotten', () => {
    const rig = new SessionRig().login({}, { channelMax: 2 })
    rig.send(2, 'channel.open')
    rig.send(3, 'channel.open')
    const text =
      'NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)'
    expect(rig.told[1]?.fields).toMatchObject({ replyCode: 530, replyText: text })
  })
})
