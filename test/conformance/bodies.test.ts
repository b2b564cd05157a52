// Message bodies of every size, and how they are split into frames.

import { createHash } from 'node:crypto'
import { expect, it } from 'vitest'
import { encodeFrame, encodeHeader, encodeMethod, FrameType } from '../support/amqp-wire.ts'
import { channelError, getOne } from '../support/clients.ts'
import { describeBrokers, GATEWAY_PROFILES } from '../support/profiles.ts'
import { textOf } from '../support/raw-client.ts'

const MIB = 1024 * 1024

/** Bytes in which a lost, doubled or moved piece shows. */
function pattern(size: number): Buffer {
  const bytes = Buffer.alloc(size)
  let state = size || 1
  for (let i = 0; i < size; i += 1) {
    state = (state * 1103515245 + 12345) & 0x7fffffff
    bytes[i] = state >>> 16
  }
  return bytes
}

const digest = (bytes: Uint8Array): string => createHash('sha1').update(bytes).digest('hex')

describeBrokers('bodies', (use) => {
  const sizes = [0, 1, 7, 8, 4095, 4096, 8183, 8184, 8185, 131063, 131064, 131065, 262128, MIB]

  it.each([131072, 8192])('carries every size whole with frames of %d bytes', async (frameMax) => {
    const raw = await use().raw({ frameMax })
    const queue = textOf(await raw.call(1, 'queue.declare', { exclusive: true }), 'queue')
    for (const size of sizes) {
      const body = pattern(size)
      raw.publish(1, { routingKey: queue, body })
      const got = await raw.call(1, 'basic.get', { queue, noAck: true })
      expect(got.body?.length, `${size}`).toBe(size)
      expect(digest(got.body ?? Buffer.alloc(0)), `${size}`).toBe(digest(body))
      // As few frames as there can be, all of them full but the last.
      const room = frameMax - 8
      expect(got.bodyFrames, `${size}`).toHaveLength(Math.ceil(size / room))
      for (const part of got.bodyFrames.slice(0, -1)) expect(part).toBe(room)
    }
  })

  it('splits anew for a consumer with smaller frames', async () => {
    const publisher = await use().raw()
    const consumer = await use().raw({ frameMax: 8192 })
    const queue = textOf(await consumer.call(1, 'queue.declare', { exclusive: true }), 'queue')
    await consumer.call(1, 'basic.consume', { queue, noAck: true })
    const body = pattern(100_000)
    publisher.publish(1, { routingKey: queue, body })
    const got = await consumer.expect(1, 'basic.deliver')
    expect(got.body?.equals(body)).toBe(true)
    expect(Math.max(...got.bodyFrames)).toBe(8184)
  })

  it('joins a body that came in frames of one byte, and in empty ones', async () => {
    const raw = await use().raw()
    const queue = textOf(await raw.call(1, 'queue.declare', { exclusive: true }), 'queue')
    const body = pattern(300)
    raw.write(encodeMethod(1, 'basic.publish', { routingKey: queue }))
    raw.write(encodeHeader(1, body.length))
    raw.write(encodeFrame(FrameType.body, 1, Buffer.alloc(0)))
    for (const byte of body) raw.write(encodeFrame(FrameType.body, 1, Buffer.of(byte)))
    const got = await raw.call(1, 'basic.get', { queue, noAck: true })
    expect(got.body?.equals(body)).toBe(true)
  })

  it('keeps the frames of interleaved channels apart', async () => {
    const raw = await use().raw()
    await raw.openChannel(2)
    await raw.openChannel(3)
    const queue = textOf(await raw.call(1, 'queue.declare', { exclusive: true }), 'queue')
    const bodies = [pattern(1000), pattern(1001), pattern(1002)]
    for (let channel = 1; channel <= 3; channel += 1) {
      raw.write(encodeMethod(channel, 'basic.publish', { routingKey: queue }))
    }
    for (const [at, body] of bodies.entries()) raw.write(encodeHeader(at + 1, body.length))
    for (let from = 0; from < 1002; from += 100) {
      for (const [at, body] of bodies.entries()) {
        const part = body.subarray(from, from + 100)
        if (part.length > 0) raw.write(encodeFrame(FrameType.body, at + 1, part))
      }
      // A method of another channel may come in between, too.
      raw.send(4, from === 0 ? 'channel.open' : 'basic.qos', {})
      expect((await raw.next(4)).name).toMatch(/-ok$/)
    }
    for (let channel = 1; channel <= 3; channel += 1) {
      raw.send(channel, 'basic.qos', { prefetchCount: 1 })
      await raw.expect(channel, 'basic.qos-ok')
    }
    const got: (Buffer | undefined)[] = []
    for (let i = 0; i < 3; i += 1) {
      got.push((await raw.call(1, 'basic.get', { queue, noAck: true })).body)
    }
    const found = got.map((body) => digest(body ?? Buffer.alloc(0))).sort()
    expect(found).toEqual(bodies.map(digest).sort())
  })

  it('carries 16 MiB', async () => {
    const channel = await use().confirmChannel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    const body = Buffer.alloc(16 * MIB, 'warren')
    channel.sendToQueue(queue, body)
    await channel.waitForConfirms()
    const got = await getOne(channel, queue, { noAck: true })
    expect(got?.content.equals(body)).toBe(true)
  })

  it('carries large and small messages in order on one channel', async () => {
    const channel = await use().confirmChannel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    const bodies = [1, 3 * MIB, 2, 5000, 2 * MIB + 17, 0, 300_000].map(pattern)
    for (const body of bodies) channel.sendToQueue(queue, body)
    await channel.waitForConfirms()
    for (const body of bodies) {
      const got = await getOne(channel, queue, { noAck: true })
      expect(got?.content.length).toBe(body.length)
      expect(digest(got?.content ?? Buffer.alloc(0))).toBe(digest(body))
    }
  })

  it('delivers one large message to many consumers', async () => {
    const connection = await use().connect()
    const channel = await use().channel(connection)
    const body = pattern(MIB)
    const seen: string[] = []
    const exchange = use().name('fan')
    await channel.assertExchange(exchange, 'fanout')
    const done = Array.from({ length: 8 }, async () => {
      const { queue } = await channel.assertQueue('', { exclusive: true })
      await channel.bindQueue(queue, exchange, '')
      return queue
    })
    const queues = await Promise.all(done)
    channel.publish(exchange, '', body)
    for (const queue of queues) {
      const got = await getOne(channel, queue, { noAck: true })
      seen.push(digest(got?.content ?? Buffer.alloc(0)))
    }
    expect(seen).toEqual(queues.map(() => digest(body)))
  })

  it('refuses a body that is larger than the limit and goes on', async () => {
    const channel = await use().channel()
    const error = await channelError(channel, () =>
      channel.publish('', 'k', Buffer.alloc(16 * MIB + 1)),
    )
    expect(error).toEqual({
      code: 406,
      text: 'PRECONDITION_FAILED - message size 16777217 is larger than configured max size 16777216',
      classId: 60,
      methodId: 40,
    })
    await use().roundTrip()
  })

  it('carries headers that fill a frame', async () => {
    const raw = await use().raw()
    const queue = textOf(await raw.call(1, 'queue.declare', { exclusive: true }), 'queue')
    const headers = { big: 'h'.repeat(100_000), nested: { list: [1, 2, 3] } }
    raw.publish(1, { routingKey: queue, properties: { headers }, body: 'x' })
    const got = await raw.call(1, 'basic.get', { queue, noAck: true })
    expect(got.properties?.headers).toEqual(headers)
  })
})

describeBrokers(
  'bodies with max_message_size = 2000',
  (use) => {
    it('takes 2000 bytes and refuses 2001', async () => {
      const channel = await use().confirmChannel()
      channel.publish('', 'k', Buffer.alloc(2000))
      await channel.waitForConfirms()
      const error = await channelError(channel, () => channel.publish('', 'k', Buffer.alloc(2001)))
      expect(error.text).toBe(
        'PRECONDITION_FAILED - message size 2001 is larger than configured max size 2000',
      )
    })
  },
  { warrenOnly: true, settings: ['max_message_size=2000'], profiles: GATEWAY_PROFILES.slice(0, 1) },
)
