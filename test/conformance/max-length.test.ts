// x-max-length and x-max-length-bytes, and what x-overflow makes of them.

import type { Channel } from 'amqplib'
import { expect, it } from 'vitest'
import { channelError, consume, drain, getOne, send } from '../support/clients.ts'
import { describeBrokers, PROFILES } from '../support/profiles.ts'
import { numberOf } from '../support/raw-client.ts'
import { eventually } from '../support/wait.ts'

describeBrokers(
  'queues of limited length',
  (use) => {
    async function declare(channel: Channel, args: Record<string, unknown>): Promise<string> {
      const queue = use().name('q')
      await channel.assertQueue(queue, { arguments: args })
      return queue
    }

    async function pair(channel: Channel, args: Record<string, unknown>) {
      const dead = await declare(channel, {})
      const queue = await declare(channel, {
        'x-dead-letter-exchange': '',
        'x-dead-letter-routing-key': dead,
        ...args,
      })
      return { queue, dead }
    }

    it('drop the oldest, which die of the reason maxlen', async () => {
      const channel = await use().channel()
      const { queue, dead } = await pair(channel, { 'x-max-length': 3 })
      send(channel, queue, 'a', 'b', 'c', 'd', 'e')
      await eventually('two die', async () => (await channel.checkQueue(dead)).messageCount === 2)
      expect(await drain(channel, queue)).toEqual(['c', 'd', 'e'])
      const letter = await getOne(channel, dead)
      expect(letter?.content.toString()).toBe('a')
      expect(letter?.properties.headers).toMatchObject({ 'x-first-death-reason': 'maxlen' })
    })

    it('count the bytes of bodies, and the lower limit of both', async () => {
      const channel = await use().channel()
      const queue = await declare(channel, { 'x-max-length-bytes': 10, 'x-max-length': 4 })
      send(channel, queue, 'four', 'four', 'four')
      expect(await drain(channel, queue)).toEqual(['four', 'four'])
      send(channel, queue, '1', '2', '3', '4', '5')
      expect(await drain(channel, queue)).toEqual(['2', '3', '4', '5'])
      send(channel, queue, 'more than ten bytes')
      expect(await drain(channel, queue)).toEqual([])
    })

    it('count only what waits, and count it again when it comes back', async () => {
      const channel = await use().channel()
      const queue = await declare(channel, { 'x-max-length': 2 })
      const other = await use().channel()
      const inbox = await consume(other, queue)
      send(channel, queue, 'a', 'b', 'c')
      await inbox.bodies(3)
      await other.cancel(inbox.consumerTag)
      send(channel, queue, 'd', 'e')
      await eventually('two wait', async () => (await channel.checkQueue(queue)).messageCount === 2)
      other.nackAll(true)
      await other.checkQueue(queue)
      expect(await drain(channel, queue)).toEqual(['d', 'e'])
    })

    it('of length 0 pass on what a consumer takes at once', async () => {
      const channel = await use().channel()
      const queue = await declare(channel, { 'x-max-length': 0 })
      send(channel, queue, 'nobody')
      const inbox = await consume(channel, queue, { noAck: true })
      send(channel, queue, 'a', 'b')
      expect(await inbox.bodies(2)).toEqual(['a', 'b'])
    })

    it('refuse with reject-publish: a nack each, in order', async () => {
      const raw = await use().raw()
      const queue = use().name('full')
      await raw.call(1, 'queue.declare', {
        queue,
        durable: true,
        arguments: { 'x-max-length': 2, 'x-overflow': 'reject-publish' },
      })
      await raw.call(1, 'confirm.select')
      const answers: string[] = []
      for (let i = 0; i < 4; i += 1) {
        raw.publish(1, { routingKey: queue, body: `${i}` })
        answers.push((await raw.next(1)).name)
      }
      expect(answers).toEqual(['basic.ack', 'basic.ack', 'basic.nack', 'basic.nack'])
      await raw.call(1, 'queue.purge', { queue })
      raw.publish(1, { routingKey: queue, body: 'again' })
      expect((await raw.next(1)).name).toBe('basic.ack')
    })

    it('refuse by bytes, and for those who want no confirms in silence', async () => {
      const channel = await use().channel()
      const queue = await declare(channel, {
        'x-max-length-bytes': 8,
        'x-overflow': 'reject-publish',
      })
      send(channel, queue, 'first', 'second', 'abc')
      expect(await drain(channel, queue)).toEqual(['first', 'abc'])
    })

    it('take what others of the same publish refuse, which is refused then', async () => {
      const channel = await use().channel()
      const exchange = use().name('fan')
      await channel.assertExchange(exchange, 'fanout')
      const queues: string[] = []
      // With several shards, some of them are far from the publisher's.
      for (let i = 0; i < 6; i += 1) {
        const args = i % 2 === 0 ? { 'x-max-length': 1, 'x-overflow': 'reject-publish' } : {}
        const queue = await declare(channel, args)
        await channel.bindQueue(queue, exchange, '')
        queues.push(queue)
      }
      const raw = await use().raw()
      await raw.call(1, 'confirm.select')
      const refused = new Map<number, boolean>()
      for (let i = 0; i < 3; i += 1) raw.publish(1, { exchange, body: `${i}` })
      let below = 0
      while (refused.size < 3) {
        const { name, ...answer } = await raw.next(1)
        const tag = numberOf({ name, ...answer }, 'deliveryTag')
        const from = answer.fields['multiple'] === true ? below + 1 : tag
        for (let i = from; i <= tag; i++) refused.set(i, name === 'basic.nack')
        below = Math.max(below, tag)
      }
      expect([...refused].sort()).toEqual([
        [1, false],
        [2, true],
        [3, true],
      ])
      for (const [i, queue] of queues.entries()) {
        expect(await drain(channel, queue)).toEqual(i % 2 === 0 ? ['0'] : ['0', '1', '2'])
      }
    })

    it('refuse a transaction, the other messages of which stay', async () => {
      const channel = await use().raw()
      const queue = use().name('full')
      await channel.call(1, 'queue.declare', {
        queue,
        durable: true,
        arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' },
      })
      await channel.call(1, 'tx.select')
      for (const body of ['a', 'b']) channel.publish(1, { routingKey: queue, body })
      channel.send(1, 'tx.commit', {})
      const closed = await channel.expect(1, 'channel.close')
      expect(closed.fields).toMatchObject({
        replyCode: 406,
        replyText: 'PRECONDITION_FAILED - partial tx completion',
      })
      expect(await drain(await use().channel(), queue)).toEqual(['a'])
    })

    it('dead-letter what they refuse with reject-publish-dlx', async () => {
      const channel = await use().confirmChannel()
      const { queue, dead } = await pair(channel, {
        'x-max-length': 1,
        'x-overflow': 'reject-publish-dlx',
      })
      const outcomes: string[] = []
      for (const body of ['a', 'b', 'c']) {
        channel.sendToQueue(queue, Buffer.from(body), {}, (error) =>
          outcomes.push(error ? 'nack' : 'ack'),
        )
      }
      await channel.waitForConfirms().catch(() => undefined)
      await eventually('all answers', () => outcomes.length === 3)
      expect(outcomes).toEqual(['ack', 'nack', 'nack'])
      await eventually('two die', async () => (await channel.checkQueue(dead)).messageCount === 2)
      expect(await drain(channel, queue)).toEqual(['a'])
      expect(await drain(channel, dead)).toEqual(['b', 'c'])
    })

    it('do not take limits that are none', async () => {
      const channel = await use().channel()
      const error = await channelError(channel, () => declare(channel, { 'x-max-length': -1 }))
      expect(error.text).toContain('{value_negative,-1}')
    })
  },
  { profiles: PROFILES.slice(0, 2) },
)
