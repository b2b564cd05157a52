// Streams over AMQP 0-9-1: what a declare takes, where a consumer may begin, what it is given, and
// what is refused.

import type { Channel, ConfirmChannel } from 'amqplib'
import { expect, it } from 'vitest'
import type { Clients } from '../support/clients.ts'
import { channelError, connectionError, consume } from '../support/clients.ts'
import { describeBrokers, itOnWarren, PROFILES } from '../support/profiles.ts'
import { eventually } from '../support/wait.ts'

const STREAM = { durable: true, arguments: { 'x-queue-type': 'stream' } }

/** Declares a stream with messages '0' to `count` - 1, each confirmed. */
async function filled(use: () => Clients, count: number): Promise<[string, ConfirmChannel]> {
  const channel = await use().confirmChannel()
  const queue = use().name('stream')
  await channel.assertQueue(queue, STREAM)
  for (let i = 0; i < count; i++) channel.sendToQueue(queue, Buffer.from(String(i)))
  await channel.waitForConfirms()
  return [queue, channel]
}

async function read(use: () => Clients, queue: string, offset: unknown, count: number) {
  const channel = await use().channel()
  await channel.prefetch(100)
  const inbox = await consume(channel, queue, { arguments: { 'x-stream-offset': offset } })
  const bodies = await inbox.bodies(count)
  return { channel, inbox, bodies }
}

function timestamp(ms: number): unknown {
  return { '!': 'timestamp', value: Math.floor(ms / 1000) }
}

const range = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, i) => String(from + i))

describeBrokers(
  'streams',
  (use) => {
    it('keeps what is published, and gives it to every consumer with its offset', async () => {
      const [queue] = await filled(use, 5)
      for (let turn = 0; turn < 2; turn++) {
        const { inbox, bodies } = await read(use, queue, 'first', 5)
        expect(bodies).toEqual(range(0, 5))
        const offsets = inbox.messages.map(
          (message) => message.properties.headers?.['x-stream-offset'],
        )
        expect(offsets).toEqual([0, 1, 2, 3, 4])
        expect(inbox.messages.every((message) => !message.fields.redelivered)).toBe(true)
      }
    })

    it('begins where x-stream-offset says', async () => {
      const [queue, publisher] = await filled(use, 20)
      const began = Date.now()
      const cases: [unknown, number][] = [
        ['first', 0],
        [7, 7],
        [timestamp(began - 3_600_000), 0],
        ['1h', 0],
        [-1000 + 1000, 0],
      ]
      for (const [offset, from] of cases) {
        expect((await read(use, queue, offset, 20 - from)).bodies).toEqual(range(from, 20))
      }
      const next = await read(use, queue, 'next', 0)
      const future = await read(use, queue, timestamp(began + 3_600_000), 0)
      const beyond = await read(use, queue, 1000, 0)
      publisher.sendToQueue(queue, Buffer.from('20'))
      await publisher.waitForConfirms()
      for (const { inbox } of [next, future]) expect(await inbox.bodies(1)).toEqual(['20'])
      expect(beyond.inbox.messages.length).toBeLessThanOrEqual(1)
      const last = await read(use, queue, 'last', 1)
      expect(last.bodies.at(-1)).toBe('20')
    })

    itOnWarren('counts a negative offset from the end', async () => {
      const [queue] = await filled(use, 20)
      expect((await read(use, queue, -3, 3)).bodies).toEqual(range(17, 20))
      expect((await read(use, queue, -500, 20)).bodies).toEqual(range(0, 20))
    })

    it('keeps properties, keys and large bodies', async () => {
      const channel = await use().confirmChannel()
      const queue = use().name('stream')
      const exchange = use().name('exchange')
      await channel.assertQueue(queue, STREAM)
      await channel.assertExchange(exchange, 'topic')
      await channel.bindQueue(queue, exchange, 'a.#')
      const body = Buffer.alloc(5_000_000, 'x')
      channel.publish(exchange, 'a.b', body, {
        headers: { text: 'ü', number: 5, yes: true, 'x-own': 'mine' },
        contentType: 'text/plain',
        correlationId: 'c1',
        messageId: 'urn:uuid:00112233-4455-6677-8899-aabbccddeeff',
        replyTo: 'answers/here',
        timestamp: 1_700_000_000,
        type: 'kind',
        appId: 'app',
        persistent: true,
        priority: 3,
      })
      await channel.waitForConfirms()
      const { inbox } = await read(use, queue, 'first', 1)
      const [message] = inbox.messages
      expect(message?.fields).toMatchObject({ exchange, routingKey: 'a.b' })
      expect(message?.content.equals(body)).toBe(true)
      expect(message?.properties).toMatchObject({
        headers: { text: 'ü', number: 5, yes: true, 'x-own': 'mine', 'x-stream-offset': 0 },
        contentType: 'text/plain',
        correlationId: 'c1',
        messageId: 'urn:uuid:00112233-4455-6677-8899-aabbccddeeff',
        replyTo: 'answers/here',
        timestamp: 1_700_000_000,
        type: 'kind',
        appId: 'app',
        deliveryMode: 2,
        priority: 3,
      })
    })

    it('goes on as far as prefetch allows, whatever the outcome of deliveries', async () => {
      const [queue] = await filled(use, 300)
      const channel = await use().channel()
      await channel.prefetch(3)
      const inbox = await consume(channel, queue, { arguments: { 'x-stream-offset': 'first' } })
      expect(await inbox.bodies(3)).toEqual(range(0, 3))
      const [first, second, third] = inbox.messages
      if (first === undefined || second === undefined || third === undefined)
        throw new Error('three')
      channel.ack(first)
      channel.nack(second)
      channel.reject(third, false)
      expect(await inbox.bodies(6)).toEqual(range(0, 6))
      for (let i = 3; i < 300; i++) {
        await inbox.bodies(i + 1)
        const message = inbox.messages[i]
        if (message !== undefined) channel.ack(message)
      }
      expect((await inbox.bodies(300)).at(-1)).toBe('299')
    })

    it('skips chunks in which no message has the filter value', async () => {
      const channel = await use().confirmChannel()
      const queue = use().name('stream')
      await channel.assertQueue(queue, STREAM)
      for (const value of ['apples', 'pears', undefined]) {
        const headers = value === undefined ? {} : { 'x-stream-filter-value': value }
        for (let i = 0; i < 3; i++)
          channel.sendToQueue(queue, Buffer.from(value ?? 'none'), { headers })
        // So that each is a chunk of its own.
        await channel.waitForConfirms()
      }
      const bodiesOf = async (args: object, count: number): Promise<string[]> => {
        const reader = await use().channel()
        await reader.prefetch(10)
        const inbox = await consume(reader, queue, {
          arguments: { 'x-stream-offset': 'first', ...args },
        })
        return inbox.bodies(count)
      }
      expect(await bodiesOf({ 'x-stream-filter': 'pears' }, 3)).toEqual(Array(3).fill('pears'))
      const either = { 'x-stream-filter': ['pears'], 'x-stream-match-unfiltered': true }
      expect(new Set(await bodiesOf(either, 6))).toEqual(new Set(['pears', 'none']))
    })

    it('cancels consumers when it is deleted', async () => {
      const [queue, channel] = await filled(use, 1)
      const { inbox } = await read(use, queue, 'first', 1)
      await channel.deleteQueue(queue)
      await eventually('the consumer is cancelled', () => inbox.cancelled())
      await channel.assertQueue(queue, STREAM)
      expect((await channel.checkQueue(queue)).messageCount).toBe(0)
    })

    it('refuses what a stream cannot be', async () => {
      const declare = (options: object) => async (channel: Channel) => {
        await channel.assertQueue(use().name('refused'), { ...STREAM, ...options })
      }
      for (const options of [{ durable: false }, { exclusive: true }, { autoDelete: true }]) {
        const channel = await use().channel()
        expect((await channelError(channel, () => declare(options)(channel))).code).toBe(406)
      }
    })

    it('refuses consumers without prefetch, and offsets that make no sense', async () => {
      const [queue] = await filled(use, 1)
      const resource = `queue '${queue}' in vhost '/'`
      const without = await use().channel()
      const unset = await channelError(without, () => without.consume(queue, () => {}))
      expect(unset).toMatchObject({ code: 406 })
      expect(unset.text).toContain(`consumer prefetch count is not set for stream ${resource}`)
      const channel = await use().channel()
      await channel.prefetch(1)
      const odd = await channelError(channel, () =>
        channel.consume(queue, () => {}, { arguments: { 'x-stream-offset': 'sometime' } }),
      )
      expect(odd).toMatchObject({ code: 406 })
      expect(odd.text).toContain(`failed consuming from stream ${resource}: invalid_max_age`)
    })

    it('refuses automatic acknowledgement, get, purge and global prefetch', async () => {
      const [queue] = await filled(use, 1)
      const tries: [string, (channel: Channel) => Promise<unknown>][] = [
        [
          'automatic acknowledgement not supported by stream',
          async (channel) => {
            await channel.prefetch(1)
            return channel.consume(queue, () => {}, { noAck: true })
          },
        ],
        ['basic.get not supported by stream queues', (channel) => channel.get(queue)],
        ['queue.purge not supported by stream queues', (channel) => channel.purgeQueue(queue)],
        [
          'does not support global qos',
          async (channel) => {
            await channel.prefetch(1, true)
            return channel.consume(queue, () => {})
          },
        ],
      ]
      for (const [text, attempt] of tries) {
        const connection = await use().connect()
        const channel = await connection.createChannel()
        const error = await connectionError(connection, () => attempt(channel))
        expect(error).toMatchObject({ code: 540 })
        expect(error.text).toContain(text)
      }
    })

    itOnWarren('stores the progress of a named consumer, one of which is active', async () => {
      const [queue] = await filled(use, 10)
      const args = {
        'x-stream-offset': 'first',
        'x-stream-consumer-name': 'reader',
        'x-single-active-consumer': true,
      }
      const first = await use().channel()
      await first.prefetch(20)
      const one = await consume(first, queue, { arguments: args })
      const second = await use().channel()
      await second.prefetch(20)
      const two = await consume(second, queue, { arguments: args })
      await one.bodies(10)
      expect(two.messages).toHaveLength(0)
      for (const message of one.messages.slice(0, 4)) first.ack(message)
      await first.close()
      expect(await two.bodies(6)).toEqual(range(4, 10))
    })
  },
  { profiles: PROFILES.slice(0, 2) },
)
