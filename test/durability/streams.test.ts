// A broker with streams is killed under load and started again: what was confirmed is there, in order,
// once per publishing id, and progress that was stored is known.

import { readdirSync, statSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectAmqp } from 'amqplib'
import type * as Streams from 'rabbitmq-stream-js-client'
import { expect, it } from 'vitest'
import type { Broker } from '../support/broker.ts'
import { startWarren } from '../support/broker.ts'
import { eventually } from '../support/wait.ts'

const { connect, Offset } = createRequire(import.meta.url)(
  'rabbitmq-stream-js-client',
) as typeof Streams

const stream = 'kept'
const rounds = 3

it('keeps what it confirmed when it is killed under load', { timeout: 90_000 }, async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'warren-streams-'))
  const ledger = { published: 0n, confirmed: 0n, amqp: 0 }
  try {
    for (let round = 0; round < rounds; round++) {
      const broker = await start(dataDir, round)
      try {
        await Promise.all([publishNamed(broker, ledger), publishAmqp(broker, ledger)])
      } finally {
        broker.process?.kill('SIGKILL')
        await broker.process?.exited
      }
    }
    const broker = await start(dataDir, 0)
    try {
      await check(broker, ledger)
    } finally {
      await broker.stop()
    }
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
})

it('leaves out what is damaged, says so, and gives all the rest', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'warren-streams-'))
  try {
    const first = await start(dataDir, 0)
    const connection = await connectAmqp(`amqp://127.0.0.1:${first.port}`)
    const channel = await connection.createConfirmChannel()
    await channel.assertQueue('damaged', { arguments: { 'x-queue-type': 'stream' } })
    for (let i = 0; i < 4; i++) {
      // Each is a chunk of its own.
      channel.sendToQueue('damaged', Buffer.from(`message ${i}`))
      await channel.waitForConfirms()
    }
    await connection.close()
    await first.stop()
    const path = await segmentOf(dataDir)
    const bytes = await readFile(path)
    bytes[bytes.indexOf('message 1')] = 0
    // The magic number of the chunk with the third message.
    bytes[bytes.lastIndexOf(0x50, bytes.indexOf('message 2') - 100)] = 0xff
    await writeFile(path, bytes)
    const second = await start(dataDir, 0)
    try {
      expect(await bodiesOf(second, 'damaged', 2)).toEqual(['message 0', 'message 3'])
      expect(second.process?.output()).toContain('a part of a stream cannot be read')
      // Data goes to these as it is: they have its checksum.
      const streams = await client(second)
      const bodies: string[] = []
      await streams.declareConsumer({ stream: 'damaged', offset: Offset.first() }, (message) => {
        bodies.push(message.content.toString())
      })
      await eventually('the last one has come', () => bodies.at(-1) === 'message 3')
      expect([bodies.length, bodies[0]]).toEqual([3, 'message 0'])
      await streams.close()
    } finally {
      await second.stop()
    }
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
})

it('keeps to its limit under load, and all within it', { timeout: 60_000 }, async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'warren-streams-'))
  const broker = await start(dataDir, 0)
  try {
    const [limit, segment] = [200_000, 40_000]
    const connection = await connectAmqp(`amqp://127.0.0.1:${broker.port}`)
    const channel = await connection.createConfirmChannel()
    await channel.assertQueue('limited', {
      arguments: {
        'x-queue-type': 'stream',
        'x-max-length-bytes': limit,
        'x-stream-max-segment-size-bytes': segment,
      },
    })
    const body = Buffer.alloc(200, 'x')
    const count = 5000
    let most = 0
    for (let i = 0; i < count; i++) {
      body.writeUInt32BE(i)
      channel.sendToQueue('limited', Buffer.from(body))
      if (i % 50 < 49) continue
      // 50 messages are the largest chunk.
      await channel.waitForConfirms()
      if (i % 250 === 249) most = Math.max(most, sizeOfSegments(dataDir))
    }
    expect(most).toBeLessThanOrEqual(limit + segment)
    expect(most).toBeGreaterThan(limit)
    const { messageCount } = await channel.checkQueue('limited')
    const bodies = await bodiesOf(broker, 'limited', messageCount)
    const numbers = bodies.map((text) => Buffer.from(text, 'latin1').readUInt32BE(0))
    const first = count - messageCount
    expect(numbers).toEqual(Array.from({ length: messageCount }, (_, i) => first + i))
    expect(messageCount * 200).toBeGreaterThan(limit / 2)
    await connection.close()
  } finally {
    await broker.stop()
    await rm(dataDir, { recursive: true, force: true })
  }
})

function sizeOfSegments(dataDir: string): number {
  const files = readdirSync(dataDir, { recursive: true, encoding: 'utf8' })
  const segments = files.filter((name) => name.endsWith('.segment') && name.includes('streams'))
  // One may go between the look at the folder and that at its size.
  const sizes = segments.map((name) => statSync(join(dataDir, name), { throwIfNoEntry: false }))
  return sizes.reduce((sum, stat) => sum + (stat?.size ?? 0), 0)
}

/** The one segment of the one stream. */
async function segmentOf(dataDir: string): Promise<string> {
  const files = await readdir(dataDir, { recursive: true })
  const path = files.find((name) => name.endsWith('.segment') && name.includes('streams'))
  if (path === undefined) throw new Error('there is no segment')
  return join(dataDir, path)
}

interface Ledger {
  published: bigint
  confirmed: bigint
  amqp: number
}

function start(dataDir: string, round: number): Promise<Broker> {
  // Small segments, so that a kill finds some of them at their roll-over.
  return startWarren({ dataDir, listen: ['stream'], settings: [`stream.heartbeat=${30 + round}`] })
}

function client(broker: Broker): Promise<Streams.Client> {
  return connect({
    hostname: '127.0.0.1',
    port: broker.portOf('stream'),
    username: 'guest',
    password: 'guest',
    vhost: '/',
  })
}

/** Publishes ids from the last confirmed one on, as a client does that does not know what came through. */
async function publishNamed(broker: Broker, ledger: Ledger): Promise<void> {
  const streams = await client(broker)
  await streams.createStream({ stream, arguments: { 'stream-max-segment-size-bytes': 20_000 } })
  const publisher = await streams.declarePublisher({ stream, publisherRef: 'writer' })
  publisher.on('publish_confirm', (error, ids) => {
    if (error !== null) return
    for (const id of ids) if (BigInt(id) > ledger.confirmed) ledger.confirmed = BigInt(id)
  })
  const from = ledger.confirmed
  for (let id = from + 1n; ledger.confirmed < from + 2000n; id++) {
    await publisher.send(Buffer.from(`id ${id}`), { publishingId: id })
    if (id > ledger.published) ledger.published = id
    if (id % 100n !== 0n) continue
    await publisher.flush()
    await eventually('the broker keeps up', () => id - ledger.confirmed < 1000n)
  }
}

async function publishAmqp(broker: Broker, ledger: Ledger): Promise<void> {
  const connection = await connectAmqp(`amqp://127.0.0.1:${broker.port}`)
  // The broker is killed while it is open.
  connection.on('error', () => {})
  const channel = await connection.createConfirmChannel()
  channel.on('error', () => {})
  await channel.assertQueue('amqp', {
    arguments: { 'x-queue-type': 'stream', 'x-stream-max-segment-size-bytes': 20_000 },
  })
  for (let i = 0; i < 500; i++) {
    channel.sendToQueue('amqp', Buffer.from(`m${ledger.amqp}`), {}, (error) => {
      if (error === null) return
    })
    ledger.amqp++
    if (i % 50 === 49) await channel.waitForConfirms()
  }
}

async function check(broker: Broker, ledger: Ledger): Promise<void> {
  const streams = await client(broker)
  const ids: number[] = []
  await streams.declareConsumer({ stream, offset: Offset.first() }, (message) => {
    ids.push(Number(message.content.toString().slice(3)))
  })
  await eventually('all confirmed ids are read', () => ids.length >= Number(ledger.confirmed))
  expect(ids).toEqual(Array.from({ length: ids.length }, (_, i) => i + 1))
  expect(ids.length).toBeLessThanOrEqual(Number(ledger.published))
  const bodies = await bodiesOf(broker, 'amqp', ledger.amqp)
  expect(bodies).toEqual(Array.from({ length: ledger.amqp }, (_, i) => `m${i}`))
  await streams.close()
}

/** What AMQP reads from the start, at least `count` messages. */
async function bodiesOf(broker: Broker, queue: string, count: number): Promise<string[]> {
  const connection = await connectAmqp(`amqp://127.0.0.1:${broker.port}`)
  const channel = await connection.createChannel()
  await channel.prefetch(100)
  const bodies: string[] = []
  const take = (message: Parameters<Parameters<typeof channel.consume>[1]>[0]): void => {
    if (message === null) return
    bodies.push(message.content.toString('latin1'))
    channel.ack(message)
  }
  await channel.consume(queue, take, { arguments: { 'x-stream-offset': 'first' } })
  await eventually('all messages are read', () => bodies.length >= count)
  await connection.close()
  return bodies
}
