// What operators do to queues, seen by clients: pause and resume, peek, redrive.

import type { Channel, ConsumeMessage, GetMessage } from 'amqplib'
import { expect, it } from 'vitest'
import { consume, drain, getOne, send } from '../support/clients.ts'
import { describeBrokers, PROFILES } from '../support/profiles.ts'
import { eventually, pause } from '../support/wait.ts'

interface Peeked {
  readonly position: number
  readonly body: Uint8Array
  readonly bodySize: number
  readonly routingKey: string
  readonly consumerTag?: string
}

describeBrokers(
  'an operator',
  (use) => {
    const admin = async (op: string, queue: string, more: object = {}) =>
      await use().broker.admin({ op, vhost: '/', queue, ...more })

    async function take(channel: Channel, queue: string): Promise<GetMessage> {
      return await eventually(`a message in ${queue}`, () => getOne(channel, queue))
    }

    it('pauses a queue, which takes messages and gives none, and resumes it', async () => {
      const channel = await use().channel()
      const queue = use().name('q')
      await channel.assertQueue(queue)
      const inbox = await consume(channel, queue, { noAck: true })
      send(channel, queue, 'a')
      await inbox.bodies(1)
      expect((await admin('pauseQueue', queue)).error).toBeUndefined()
      send(channel, queue, 'b', 'c')
      await eventually(
        'both wait',
        async () => (await channel.checkQueue(queue)).messageCount === 2,
      )
      expect(await getOne(channel, queue)).toBeUndefined()
      expect(await admin('queueStatus', queue)).toMatchObject({ paused: true, messages: 2 })
      await pause(50)
      expect(inbox.messages).toHaveLength(1)
      await admin('resumeQueue', queue)
      expect(await inbox.bodies(3)).toEqual(['a', 'b', 'c'])
    })

    it('peeks at what waits and at what is delivered, page by page, and changes nothing', async () => {
      const channel = await use().channel()
      const queue = use().name('q')
      await channel.assertQueue(queue)
      send(channel, queue, ...Array.from({ length: 25 }, (_, i) => `message ${i}`))
      const held = await take(channel, queue)
      const bodies: string[] = []
      let from: unknown = 0
      while (from !== undefined) {
        const page = await admin('peekQueue', queue, { from, count: 10, bytes: 9 })
        for (const item of page['items'] as Peeked[]) {
          bodies.push(Buffer.from(item.body).toString())
          expect(item.routingKey).toBe(queue)
          expect(item.bodySize).toBeGreaterThanOrEqual(9)
        }
        from = page['next']
      }
      expect(bodies).toEqual(Array.from({ length: 24 }, (_, i) => `message ${i + 1}`.slice(0, 9)))
      const unacked = (await admin('peekQueue', queue, { unacked: true }))['items'] as Peeked[]
      expect(unacked.map(({ body }) => Buffer.from(body).toString())).toEqual(['message 0'])
      channel.ack(held)
      const left = await drain(channel, queue)
      expect(left).toHaveLength(24)
    })

    /** A queue that dead-letters into another, with `count` dead letters. */
    async function deadLetters(channel: Channel, count: number) {
      const [queue, dead] = [use().name('work'), use().name('dead')]
      await channel.assertQueue(dead)
      await channel.assertQueue(queue, {
        arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead },
      })
      send(channel, queue, ...Array.from({ length: count }, (_, i) => `${i}`))
      for (let i = 0; i < count; i++) channel.reject(await take(channel, queue), false)
      await eventually('all are dead', async () => {
        return (await channel.checkQueue(dead)).messageCount === count
      })
      return { queue, dead }
    }

    const over = async (queue: string) =>
      await eventually('the redrive is over', async () => {
        const status = await admin('redriveStatus', queue)
        return status['running'] === false ? status : undefined
      })

    it('redrives dead letters to where they died, without the tale of it', async () => {
      const channel = await use().channel()
      const { queue, dead } = await deadLetters(channel, 30)
      send(channel, dead, 'not dead')
      await eventually(
        'it is there',
        async () => (await channel.checkQueue(dead)).messageCount === 31,
      )
      expect((await admin('redriveQueue', dead)).error).toBeUndefined()
      expect(await over(dead)).toMatchObject({ moved: 30, skipped: 1 })
      expect(await drain(channel, dead)).toEqual(['not dead'])
      const first = await take(channel, queue)
      expect(first.content.toString()).toBe('0')
      expect(first.properties.headers ?? {}).toEqual({})
      expect(await drain(channel, queue)).toEqual(Array.from({ length: 29 }, (_, i) => `${i + 1}`))
    })

    it('redrives by exchange and key, keeping the deaths, so many a second', async () => {
      const channel = await use().channel()
      const exchange = use().name('x')
      const [queue, dead] = [use().name('work'), use().name('dead')]
      await channel.assertExchange(exchange, 'topic')
      await channel.assertQueue(dead)
      await channel.assertQueue(queue, {
        arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead },
      })
      await channel.bindQueue(queue, exchange, 'a.*')
      for (let i = 0; i < 20; i++) channel.publish(exchange, 'a.b', Buffer.from(`${i}`))
      for (let i = 0; i < 20; i++) channel.reject(await take(channel, queue), false)
      await eventually('all are dead', async () => {
        return (await channel.checkQueue(dead)).messageCount === 20
      })
      const begun = Date.now()
      await admin('redriveQueue', dead, { to: 'exchange', rate: 50, count: 15, keepDeaths: true })
      expect((await admin('redriveQueue', dead)).error).toBeDefined()
      expect(await over(dead)).toMatchObject({ moved: 15, skipped: 0 })
      // 15 at 50 a second.
      expect(Date.now() - begun).toBeGreaterThan(200)
      const got = await take(channel, queue)
      expect(got.fields).toMatchObject({ exchange, routingKey: 'a.b' })
      expect(got.properties.headers?.['x-death']).toMatchObject([{ queue, reason: 'rejected' }])
      channel.reject(got, false)
      await eventually(
        'it is dead again',
        async () => (await channel.checkQueue(dead)).messageCount === 6,
      )
      const inbox = await consume(channel, dead)
      await inbox.bodies(6)
      const { headers = {} } = (inbox.messages.at(-1) as ConsumeMessage).properties
      const [death] = (headers?.['x-death'] ?? []) as unknown as { count: number }[]
      expect(death?.count).toBe(2)
    })

    it('cancels a redrive', async () => {
      const channel = await use().channel()
      const { dead } = await deadLetters(channel, 10)
      await admin('redriveQueue', dead, { rate: 1 })
      const { moved } = await admin('cancelRedrive', dead)
      expect(moved).toBeLessThan(3)
      await over(dead)
      expect((await drain(channel, dead)).length).toBeGreaterThan(6)
    })
  },
  { warrenOnly: true, profiles: PROFILES.slice(0, 2), admin: true },
)
