// Quorum queues and at-least-once dead letters, across kills of the broker.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Channel, GetMessage } from 'amqplib'
import { afterEach, describe, expect, test } from 'vitest'
import type { Broker } from '../support/broker.ts'
import { startWarren } from '../support/broker.ts'
import { Clients, drain, getOne } from '../support/clients.ts'
import { eventually } from '../support/wait.ts'

let dataDir = ''
const running: Broker[] = []

async function start(shards: number): Promise<{ broker: Broker; clients: Clients }> {
  if (dataDir === '') dataDir = mkdtempSync(join(tmpdir(), 'warren-quorum-'))
  const broker = await startWarren({ dataDir, settings: [`shards=${shards}`] })
  running.push(broker)
  return { broker, clients: new Clients(broker) }
}

async function kill({ broker }: { broker: Broker }): Promise<void> {
  broker.process?.kill('SIGKILL')
  await broker.process?.exited
}

async function take(channel: Channel, queue: string): Promise<GetMessage> {
  return await eventually(`a message in ${queue}`, () => getOne(channel, queue))
}

/** Waits until a publish is on disk: what the shard has logged before is too. */
async function barrier(clients: Clients, queue: string): Promise<void> {
  const channel = await clients.confirmChannel()
  await channel.assertQueue(queue)
  channel.sendToQueue(queue, Buffer.from('barrier'), { persistent: true })
  await channel.waitForConfirms()
  await channel.close()
}

const quorum = { 'x-queue-type': 'quorum' }
const keeps = {
  ...quorum,
  'x-dead-letter-exchange': 'dlx',
  'x-dead-letter-strategy': 'at-least-once',
  'x-overflow': 'reject-publish',
}

afterEach(async () => {
  for (const broker of running.splice(0)) await kill({ broker })
  if (dataDir !== '') rmSync(dataDir, { recursive: true, force: true })
  dataDir = ''
})

describe.each([1, 3])('with %i shards, after kill -9', (shards) => {
  test('a quorum queue has its messages, whatever their delivery mode, and their counts', async () => {
    const first = await start(shards)
    const channel = await first.clients.confirmChannel()
    await channel.assertQueue('q', { arguments: { ...quorum, 'x-delivery-limit': 3 } })
    channel.sendToQueue('q', Buffer.from('a'), { persistent: false })
    channel.sendToQueue('q', Buffer.from('b'))
    await channel.waitForConfirms()
    channel.reject(await take(channel, 'q'), true)
    channel.reject(await take(channel, 'q'), true)
    channel.nack(await take(channel, 'q'), false, true)
    await channel.checkQueue('q')
    for (let i = 0; i < shards * 2; i++) await barrier(first.clients, `barrier ${i}`)
    await kill(first)
    const second = await start(shards)
    const after = await second.clients.channel()
    const a = await take(after, 'q')
    expect(a.content.toString()).toBe('a')
    expect(a.properties.headers).toMatchObject({ 'x-delivery-count': 2, 'x-acquired-count': 3 })
    after.reject(a, true)
    after.reject(await take(after, 'q'), true)
    expect((await take(after, 'q')).content.toString()).toBe('b')
  })

  test('a dead letter without a place to go is kept, and goes there when it can', async () => {
    const first = await start(shards)
    const channel = await first.clients.confirmChannel()
    await channel.assertQueue('q', { arguments: keeps })
    for (let i = 0; i < 20; i++) channel.sendToQueue('q', Buffer.from(`${i}`))
    await channel.waitForConfirms()
    for (let i = 0; i < 20; i++) channel.reject(await take(channel, 'q'), false)
    await channel.checkQueue('q')
    for (let i = 0; i < shards * 2; i++) await barrier(first.clients, `barrier ${i}`)
    await kill(first)
    const second = await start(shards)
    const after = await second.clients.channel()
    // Rejected is rejected: it does not come again.
    expect(await drain(after, 'q')).toEqual([])
    await after.assertExchange('dlx', 'fanout')
    const dead = ['dead1', 'dead2', 'dead3']
    for (const queue of dead) {
      await after.assertQueue(queue, { arguments: quorum })
      await after.bindQueue(queue, 'dlx', '')
    }
    const expected = Array.from({ length: 20 }, (_, i) => `${i}`)
    const seen = new Map(dead.map((queue) => [queue, new Set<string>()]))
    await eventually('all dead letters are there', async () => {
      for (const [queue, bodies] of seen) {
        for (;;) {
          const got = await getOne(after, queue, { noAck: true })
          if (got === undefined) break
          bodies.add(got.content.toString())
          expect(got.properties.headers).toMatchObject({
            'x-first-death-queue': 'q',
            'x-first-death-reason': 'rejected',
          })
        }
      }
      return [...seen.values()].some((bodies) => bodies.size === expected.length)
    })
  })
})
