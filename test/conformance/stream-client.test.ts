// The stream protocol as rabbitmq-stream-js-client speaks it: publishing with confirms and
// deduplication, consuming at every kind of offset, batches, filters, super streams, single active
// consumer; and what the same streams look like to AMQP.

import { createRequire } from 'node:module'
import type * as Streams from 'rabbitmq-stream-js-client'
import { afterEach, expect, it } from 'vitest'
import type { Clients } from '../support/clients.ts'
import { consume } from '../support/clients.ts'
import { describeBrokers, PROFILES } from '../support/profiles.ts'
import { eventually } from '../support/wait.ts'

// The package's types say ESM, its code is CommonJS.
const streams = createRequire(import.meta.url)('rabbitmq-stream-js-client') as typeof Streams
const { connect, Offset } = streams

const open: Streams.Client[] = []

afterEach(async () => {
  for (const client of open.splice(0)) await client.close()
})

async function streamClient(use: () => Clients): Promise<Streams.Client> {
  const client = await connect({
    hostname: '127.0.0.1',
    port: use().broker.portOf('stream'),
    username: 'guest',
    password: 'guest',
    vhost: '/',
  })
  open.push(client)
  return client
}

async function filled(
  use: () => Clients,
  count: number,
): Promise<[Streams.Client, string, Streams.Publisher]> {
  const client = await streamClient(use)
  const stream = use().name('stream')
  await client.createStream({ stream, arguments: {} })
  const publisher = await client.declarePublisher({ stream })
  await publishAll(publisher, range(0, count))
  return [client, stream, publisher]
}

/** Publishes and waits until all is confirmed. */
async function publishAll(publisher: Streams.Publisher, bodies: readonly string[]): Promise<void> {
  let confirmed = 0
  const count = (error: number | null, ids: bigint[]): void => {
    if (error === null) confirmed += ids.length
  }
  publisher.on('publish_confirm', count)
  for (const body of bodies) await publisher.send(Buffer.from(body))
  await publisher.flush()
  await eventually('all is confirmed', () => confirmed >= bodies.length)
}

interface Inbox {
  readonly consumer: Streams.Consumer
  readonly bodies: string[]
  readonly offsets: bigint[]
}

async function read(
  client: Streams.Client,
  stream: string,
  offset: Streams.Offset,
  options: object = {},
): Promise<Inbox> {
  const bodies: string[] = []
  const offsets: bigint[] = []
  const consumer = await client.declareConsumer({ stream, offset, ...options }, (message) => {
    bodies.push(message.content.toString())
    offsets.push(message.offset ?? -1n)
  })
  return { consumer, bodies, offsets }
}

const range = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, i) => String(from + i))

/** The client's number for gzip; it does not export the names. */
const GZIP = 1

// Where AMQP is served from makes no difference here.
const STREAM = { listen: ['stream'], warrenOnly: true, profiles: PROFILES.slice(0, 2) }

describeBrokers(
  'stream protocol',
  (use) => {
    it('gives what was published, confirmed and in order, with its offsets', async () => {
      const [client, stream] = await filled(use, 1000)
      const inbox = await read(client, stream, Offset.first())
      await eventually('all has come', () => inbox.bodies.length >= 1000)
      expect(inbox.bodies).toEqual(range(0, 1000))
      expect(inbox.offsets).toEqual(range(0, 1000).map(BigInt))
    })

    it('begins where the offset says', async () => {
      const [client, stream, publisher] = await filled(use, 100)
      const began = new Date(Date.now() - 3_600_000)
      const first = await read(client, stream, Offset.first())
      const middle = await read(client, stream, Offset.offset(40n))
      const past = await read(client, stream, Offset.timestamp(began))
      const next = await read(client, stream, Offset.next())
      await publishAll(publisher, ['more'])
      const last = await read(client, stream, Offset.last())
      const inboxes = [first, middle, past, next, last]
      await eventually('all get the last one', () =>
        inboxes.every(({ bodies }) => bodies.at(-1) === 'more'),
      )
      expect(first.bodies).toHaveLength(101)
      expect(middle.bodies).toHaveLength(61)
      expect(past.bodies).toHaveLength(101)
      expect(next.bodies).toEqual(['more'])
    })

    it('takes each publishing id of a named publisher once', async () => {
      const client = await streamClient(use)
      const stream = use().name('stream')
      await client.createStream({ stream, arguments: {} })
      const publisherRef = 'writer'
      const publisher = await client.declarePublisher({ stream, publisherRef })
      for (const id of [1n, 2n, 3n, 2n, 3n, 4n, 4n]) {
        await publisher.send(Buffer.from(String(id)), { publishingId: id })
      }
      await publisher.flush()
      const inbox = await read(client, stream, Offset.first())
      await eventually('the last one has come', () => inbox.bodies.at(-1) === '4')
      expect(inbox.bodies).toEqual(['1', '2', '3', '4'])
      expect(await publisher.getLastPublishingId()).toBe(4n)
    })

    it('takes batches, packed or not, and gives them back', async () => {
      const client = await streamClient(use)
      const stream = use().name('stream')
      await client.createStream({ stream, arguments: {} })
      const publisher = await client.declarePublisher({ stream })
      const batch = (from: number) =>
        range(from, from + 10).map((text) => ({ content: Buffer.from(text) }))
      await publisher.sendSubEntries(batch(0))
      await publisher.sendSubEntries(batch(10), GZIP)
      const inbox = await read(client, stream, Offset.first())
      await eventually('all has come', () => inbox.bodies.length >= 20)
      expect(inbox.bodies).toEqual(range(0, 20))
      const channel = await use().channel()
      await channel.prefetch(50)
      const args = { 'x-stream-offset': 'first' }
      const amqp = await consume(channel, stream, { arguments: args })
      expect(await amqp.bodies(20)).toEqual(range(0, 20))
    })

    it('stores offsets by name', async () => {
      const [client, stream] = await filled(use, 10)
      const consumerRef = 'reader'
      const inbox: bigint[] = []
      const consumer = await client.declareConsumer(
        { stream, offset: Offset.first(), consumerRef },
        (message) => {
          inbox.push(message.offset ?? -1n)
        },
      )
      await eventually('all has come', () => inbox.length >= 10)
      await expect(consumer.queryOffset()).rejects.toThrow()
      await consumer.storeOffset(7n)
      await eventually('it is stored', async () => (await consumer.queryOffset()) === 7n)
    })

    it('skips chunks in which no message has the filter value', async () => {
      const client = await streamClient(use)
      const stream = use().name('stream')
      await client.createStream({ stream, arguments: {} })
      const publisher = await client.declarePublisher({ stream }, (message) =>
        String(message.applicationProperties?.['fruit'] ?? ''),
      )
      for (const fruit of ['apple', 'pear']) {
        let confirmed = 0
        publisher.on('publish_confirm', () => {
          confirmed++
        })
        await publisher.send(Buffer.from(fruit), { applicationProperties: { fruit } })
        await publisher.flush()
        await eventually('it is a chunk of its own', () => confirmed > 0)
      }
      const filter = {
        values: ['pear'],
        postFilterFunc: () => true,
        matchUnfiltered: false,
      }
      const inbox = await read(client, stream, Offset.first(), { filter })
      await eventually('it has come', () => inbox.bodies.length > 0)
      expect(inbox.bodies).toEqual(['pear'])
    })

    it('has super streams, by hash and by key', async () => {
      const client = await streamClient(use)
      const streamName = use().name('super')
      await client.createSuperStream({ streamName, arguments: {} }, undefined, 3)
      const partitions = await client.queryPartitions({ superStream: streamName })
      expect(partitions).toEqual([0, 1, 2].map((i) => `${streamName}-${i}`))
      const publisher = await client.declareSuperStreamPublisher(
        { superStream: streamName },
        (_, { messageProperties }) => messageProperties?.messageId ?? '',
      )
      for (const id of range(0, 30)) {
        await publisher.send(Buffer.from(id), { messageProperties: { messageId: id } })
      }
      const bodies: string[] = []
      await client.declareSuperStreamConsumer(
        { superStream: streamName, offset: Offset.first() },
        (message) => {
          bodies.push(message.content.toString())
        },
      )
      await eventually('all has come', () => bodies.length >= 30)
      expect(bodies.sort((a, b) => Number(a) - Number(b))).toEqual(range(0, 30))
      await client.deleteSuperStream({ streamName })
      await expect(client.queryPartitions({ superStream: streamName })).rejects.toThrow()
    })

    it('serves one consumer of a name, then the next one from what is stored', async () => {
      const [client, stream] = await filled(use, 10)
      const options = { singleActive: true, consumerRef: 'app' }
      const first = await read(client, stream, Offset.first(), options)
      await eventually('the first one is active', () => first.bodies.length >= 10)
      const other = await streamClient(use)
      const second = await read(other, stream, Offset.offset(5n), options)
      await client.closeConsumer(first.consumer.extendedId)
      await eventually('the second one takes over', () => second.bodies.length > 0)
      expect(first.bodies).toHaveLength(10)
      expect(second.bodies[0]).toBe('5')
    })

    it('shows AMQP what stream clients publish, and the other way round', async () => {
      const client = await streamClient(use)
      const stream = use().name('stream')
      await client.createStream({ stream, arguments: {} })
      const publisher = await client.declarePublisher({ stream })
      await publisher.send(Buffer.from('from stream'), {
        applicationProperties: { color: 'blue', size: 3 },
        messageProperties: { messageId: 'm1', correlationId: 'c1', contentType: 'text/plain' },
      })
      await publisher.flush()
      const channel = await use().confirmChannel()
      await channel.prefetch(10)
      const args = { 'x-stream-offset': 'first' }
      const amqp = await consume(channel, stream, { arguments: args })
      expect(await amqp.bodies(1)).toEqual(['from stream'])
      expect(amqp.messages[0]?.properties).toMatchObject({
        messageId: 'm1',
        correlationId: 'c1',
        contentType: 'text/plain',
        headers: { color: 'blue', size: 3, 'x-stream-offset': 0 },
      })
      expect(amqp.messages[0]?.fields).toMatchObject({ exchange: '', routingKey: stream })
      channel.sendToQueue(stream, Buffer.from('from AMQP'), {
        headers: { color: 'red' },
        messageId: 'm2',
      })
      await channel.waitForConfirms()
      const messages: Parameters<Parameters<typeof client.declareConsumer>[1]>[0][] = []
      await client.declareConsumer({ stream, offset: Offset.offset(1n) }, (message) => {
        messages.push(message)
      })
      await eventually('it has come', () => messages.length > 0)
      expect(messages[0]?.content.toString()).toBe('from AMQP')
      expect(messages[0]?.applicationProperties).toEqual({ color: 'red' })
      expect(messages[0]?.messageProperties?.messageId).toBe('m2')
      expect(messages[0]?.messageAnnotations).toMatchObject({ 'x-routing-key': stream })
    })

    it('tells clients when a stream is deleted, and what cannot be', async () => {
      const [client, stream] = await filled(use, 1)
      await expect(client.createStream({ stream, arguments: {} })).resolves.toBe(true)
      await read(client, stream, Offset.first())
      await client.deleteStream({ stream })
      await expect(client.deleteStream({ stream })).rejects.toThrow()
      await expect(client.declarePublisher({ stream })).rejects.toThrow()
    })
  },
  STREAM,
)
