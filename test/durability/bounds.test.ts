// Times to live, limits of length and priorities across kills of the broker.

import { describe, expect, test } from 'vitest'
import { Clients, drain } from '../support/clients.ts'
import { keptData, killed } from '../support/restarts.ts'
import { eventually, pause } from '../support/wait.ts'

const data = keptData()

async function start(shards: number): Promise<Clients> {
  return new Clients(await data.start({ settings: [`shards=${shards}`] }))
}

describe.each([1, 3])('with %i shards, after kill -9', (shards) => {
  test('messages expire by the time they came with, priorities and limits hold', async () => {
    const first = await start(shards)
    const channel = await first.confirmChannel()
    const persistent = { persistent: true }
    const dead = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' }
    await channel.assertQueue('dead')
    await channel.assertQueue('ttl', { arguments: dead })
    await channel.assertQueue('ranked', { maxPriority: 5 })
    await channel.assertQueue('short', { maxLength: 3, arguments: { 'x-overflow': 'drop-head' } })
    await channel.assertQueue('brief', { expires: 300_000 })
    for (let i = 0; i < 200; i++) {
      const expiration = i % 2 === 0 ? '1500' : '600000'
      channel.sendToQueue('ttl', Buffer.from(`${i}`), { ...persistent, expiration })
      channel.sendToQueue('ranked', Buffer.from(`${i}`), { ...persistent, priority: i % 6 })
      channel.sendToQueue('short', Buffer.from(`${i}`), persistent)
    }
    await channel.waitForConfirms()
    await killed(first.broker)
    await pause(1500)
    const second = await start(shards)
    const after = await second.channel()
    await eventually(
      '100 expire',
      async () => (await after.checkQueue('dead')).messageCount === 100,
    )
    const odd = Array.from({ length: 100 }, (_, i) => `${2 * i + 1}`)
    expect(await drain(after, 'ttl')).toEqual(odd)
    const ranked = Array.from({ length: 200 }, (_, i) => i)
      .sort((a, b) => (b % 6) - (a % 6) || a - b)
      .map(String)
    expect(await drain(after, 'ranked')).toEqual(ranked)
    const confirming = await second.confirmChannel()
    confirming.sendToQueue('short', Buffer.from('new'))
    await confirming.waitForConfirms()
    expect(await drain(after, 'short')).toEqual(['198', '199', 'new'])
    await after.checkQueue('brief')
  })
})
