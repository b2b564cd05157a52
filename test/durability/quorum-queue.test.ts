// Quorum queues and at-least-once dead letters, across kills of the broker.

import type { Channel, GetMessage } from 'amqplib'
import { describe, expect, test } from 'vitest'
import type { Broker } from '../support/broker.ts'
import { Clients, drain, getOne } from '../support/clients.ts'
import { keptData, killed } from '../support/restarts.ts'
import { eventually } from '../support/wait.ts'

const data = keptData()

async function start(shards: number): Promise<{ broker: Broker; clients: Clients }> {
  const broker = await data.start({ settings: [`shards=${shards}`] })
  return { broker, clients: new Clients(broker) }
}

async function take(channel: Channel, queue: string): Promise<GetMessage> {
  return await eventually(`a message in ${queue}`, () => getOne(channel, queue))
}

const quorum = { 'x-queue-type': 'quorum' }
const keeps = {
  ...quorum,
  'x-dead-letter-exchange': 'dlx',
  'x-dead-letter-strategy': 'at-least-once',
  'x-overflow': 'reject-publish',
}

describe.each([1, 3])('with %i shards, after kill -9', (shards) => {
  test('a quorum queue has its messages and counts, and dying messages go on dying', async () => {
    const first = await start(shards)
    const channel = await first.clients.confirmChannel()
    await channel.assertQueue('q', { arguments: { ...quorum, 'x-delivery-limit': 3 } })
    await channel.assertQueue('dying', { arguments: keeps })
    channel.sendToQueue('q', Buffer.from('a'), { persistent: false })
    const expected = Array.from({ length: 20 }, (_, i) => `${i}`)
    for (const body of expected) channel.sendToQueue('dying', Buffer.from(body))
    await channel.waitForConfirms()
    channel.reject(await take(channel, 'q'), true)
    channel.reject(await take(channel, 'q'), true)
    channel.nack(await take(channel, 'q'), false, true)
    await channel.checkQueue('q')
    for (let i = 0; i < 20; i++) channel.reject(await take(channel, 'dying'), false)
    await channel.checkQueue('dying')
    // What a queue's shard has logged before these is on disk when they are.
    for (const queue of ['q', 'dying']) channel.sendToQueue(queue, Buffer.from('last'))
    await channel.waitForConfirms()
    await killed(first.broker)

    const second = await start(shards)
    const after = await second.clients.channel()
    const a = await take(after, 'q')
    expect(a.content.toString()).toBe('a')
    expect(a.properties.headers).toMatchObject({ 'x-delivery-count': 2, 'x-acquired-count': 3 })
    after.reject(a, true)
    after.reject(await take(after, 'q'), true)
    expect((await take(after, 'q')).content.toString()).toBe('last')
    // Rejected is rejected: it does not come again.
    expect(await drain(after, 'dying')).toEqual(['last'])
    await after.assertExchange('dlx', 'fanout')
    await after.assertQueue('dead', { arguments: quorum })
    await after.bindQueue('dead', 'dlx', '')
    const seen = new Set<string>()
    await eventually('all dead letters are there', async () => {
      const got = await getOne(after, 'dead', { noAck: true })
      if (got !== undefined) {
        seen.add(got.content.toString())
        expect(got.properties.headers).toMatchObject({ 'x-first-death-queue': 'dying' })
      }
      return seen.size === expected.length
    })
  }, 60_000)
})
