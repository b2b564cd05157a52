// Messages that expire (x-message-ttl, the expiration property) and queues that do (x-expires).

import type { Channel, ConfirmChannel, GetMessage, Options } from 'amqplib'
import { expect, it } from 'vitest'
import { channelError, consume, drain, getOne, send } from '../support/clients.ts'
import { describeBrokers, itOnWarren, PROFILES } from '../support/profiles.ts'
import { eventually, pause } from '../support/wait.ts'

const options = { profiles: PROFILES.slice(0, 2) }

describeBrokers(
  'messages with a time to live',
  (use) => {
    /** A queue, and one that what expires there comes to. */
    async function pair(channel: Channel, args: Record<string, unknown> = {}) {
      const [queue, dead] = [use().name('q'), use().name('dead')]
      await channel.assertQueue(dead)
      await channel.assertQueue(queue, {
        arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead, ...args },
      })
      return { queue, dead }
    }

    function publish(channel: Channel, queue: string, body: string, more: Options.Publish = {}) {
      channel.sendToQueue(queue, Buffer.from(body), { persistent: true, ...more })
    }

    async function messageCount(channel: Channel, queue: string): Promise<number> {
      return (await channel.checkQueue(queue)).messageCount
    }

    it('are gone after x-message-ttl, with their reason', async () => {
      const channel = await use().channel()
      const { queue, dead } = await pair(channel, { 'x-message-ttl': 50 })
      send(channel, queue, 'a', 'b', 'c')
      const letter: GetMessage = await eventually('a dead letter', () => getOne(channel, dead))
      expect(letter.content.toString()).toBe('a')
      expect(letter.properties.headers).toMatchObject({
        'x-first-death-reason': 'expired',
        'x-first-death-queue': queue,
      })
      await eventually('all expire', async () => (await messageCount(channel, dead)) === 2)
      expect(await messageCount(channel, queue)).toBe(0)
      expect(await drain(channel, dead)).toEqual(['b', 'c'])
    })

    it('are gone after their expiration, the lower of both counts', async () => {
      const channel = await use().channel()
      const { queue, dead } = await pair(channel, { 'x-message-ttl': 60_000 })
      publish(channel, queue, 'short', { expiration: '30' })
      publish(channel, queue, 'long', { expiration: '600000' })
      await eventually('one expires', async () => (await messageCount(channel, dead)) === 1)
      const letter = await getOne(channel, dead)
      expect(letter?.content.toString()).toBe('short')
      expect(letter?.properties.expiration).toBeUndefined()
      expect(letter?.properties.headers?.['x-death']).toMatchObject([
        { reason: 'expired', 'original-expiration': '30' },
      ])
      const kept = await getOne(channel, queue)
      expect([kept?.content.toString(), kept?.properties.expiration]).toEqual(['long', '600000'])
    })

    itOnWarren('expire in the order of their times, wherever they are in the queue', async () => {
      const channel = await use().channel()
      const { queue, dead } = await pair(channel)
      for (const [body, expiration] of Object.entries({ never: '', z: '250', y: '150', x: '50' })) {
        publish(channel, queue, body, expiration === '' ? {} : { expiration })
      }
      await eventually('three expire', async () => (await messageCount(channel, dead)) === 3)
      expect(await drain(channel, dead)).toEqual(['x', 'y', 'z'])
      expect(await drain(channel, queue)).toEqual(['never'])
    })

    it('with a time of 0 are delivered at once or expire', async () => {
      const channel = await use().channel()
      const { queue, dead } = await pair(channel, { 'x-message-ttl': 0 })
      send(channel, queue, 'nobody is there')
      await eventually('it expires', async () => (await messageCount(channel, dead)) === 1)
      const inbox = await consume(channel, queue, { noAck: true })
      send(channel, queue, 'here you are')
      expect(await inbox.bodies(1)).toEqual(['here you are'])
      expect(await messageCount(channel, dead)).toBe(1)
    })

    it('do not expire while they are delivered, but when they come back too late', async () => {
      const channel = await use().channel()
      const { queue, dead } = await pair(channel, { 'x-message-ttl': 80 })
      send(channel, queue, 'a')
      const got = await eventually('the message', () => getOne(channel, queue))
      await pause(120)
      expect(await messageCount(channel, dead)).toBe(0)
      channel.nack(got, false, true)
      const letter = await eventually('its death', () => getOne(channel, dead))
      expect(letter.properties.headers?.['x-first-death-reason']).toBe('expired')
      expect(await getOne(channel, queue)).toBeUndefined()
    })

    it('come back in time and expire then', async () => {
      const channel = await use().channel()
      const { queue, dead } = await pair(channel, { 'x-message-ttl': 100 })
      send(channel, queue, 'a', 'b')
      const got = await eventually('the message', () => getOne(channel, queue))
      channel.nack(got, false, true)
      await eventually('both expire', async () => (await messageCount(channel, dead)) === 2)
      expect(await messageCount(channel, queue)).toBe(0)
    })

    it('are acknowledged after their time like any other', async () => {
      const channel = await use().channel()
      const { queue, dead } = await pair(channel, { 'x-message-ttl': 30 })
      const inbox = await consume(channel, queue)
      send(channel, queue, 'a', 'b')
      await inbox.bodies(2)
      await pause(60)
      for (const message of inbox.messages) channel.ack(message)
      await channel.checkQueue(queue)
      expect([await messageCount(channel, queue), await messageCount(channel, dead)]).toEqual([
        0, 0,
      ])
    })

    it('just go where there is no dead-letter exchange', async () => {
      const channel = await use().channel()
      const queue = use().name('q')
      await channel.assertQueue(queue, { messageTtl: 20 })
      for (let i = 0; i < 1000; i++) publish(channel, queue, `${i}`)
      await eventually('all expire', async () => (await messageCount(channel, queue)) === 0)
      expect(await getOne(channel, queue)).toBeUndefined()
    })
  },
  options,
)

describeBrokers(
  'queues that expire',
  (use) => {
    /** Whether the queue is there, without using it: its return comes before its confirm. */
    async function isThere(channel: ConfirmChannel, queue: string): Promise<boolean> {
      let returned = false
      channel.once('return', () => {
        returned = true
      })
      channel.publish('', queue, Buffer.from('?'), { mandatory: true })
      await channel.waitForConfirms()
      channel.removeAllListeners('return')
      return !returned
    }

    it('end when nobody uses them, whatever they hold', async () => {
      const channel = await use().confirmChannel()
      const [queue, dead] = [use().name('q'), use().name('dead')]
      await channel.assertQueue(dead)
      await channel.assertQueue(queue, {
        expires: 100,
        deadLetterExchange: '',
        deadLetterRoutingKey: dead,
      })
      send(channel, queue, 'a')
      await eventually('it ends', async () => !(await isThere(channel, queue)))
      expect(await channel.checkQueue(dead)).toMatchObject({ messageCount: 0 })
      const error = await channelError(channel, () => channel.checkQueue(queue))
      expect(error.text).toContain('NOT_FOUND - no queue')
    })

    it('stay while they have a consumer, and a while after', async () => {
      const channel = await use().confirmChannel()
      const queue = use().name('q')
      await channel.assertQueue(queue, { expires: 150 })
      const inbox = await consume(channel, queue)
      await pause(300)
      expect(await isThere(channel, queue)).toBe(true)
      await channel.cancel(inbox.consumerTag)
      expect(await isThere(channel, queue)).toBe(true)
      await eventually('it ends', async () => !(await isThere(channel, queue)))
    })

    it('stay while somebody gets from them or declares them', async () => {
      const channel = await use().confirmChannel()
      const [got, declared] = [use().name('got'), use().name('declared')]
      const expires = 400
      await channel.assertQueue(got, { expires })
      await channel.assertQueue(declared, { expires })
      for (let i = 0; i < 8; i++) {
        await pause(100)
        await getOne(channel, got)
        await channel.assertQueue(declared, { expires })
      }
      expect([await isThere(channel, got), await isThere(channel, declared)]).toEqual([true, true])
      await eventually(
        'both end',
        async () => !(await isThere(channel, got)) && !(await isThere(channel, declared)),
      )
    })
  },
  options,
)
