// Priorities of messages (x-max-priority, the two levels of quorum queues) and of consumers.

import type { Channel } from 'amqplib'
import { expect, it } from 'vitest'
import { consume, drain, getOne } from '../support/clients.ts'
import { describeBrokers, PROFILES } from '../support/profiles.ts'
import { eventually } from '../support/wait.ts'

describeBrokers(
  'priorities',
  (use) => {
    async function declare(channel: Channel, args: Record<string, unknown>): Promise<string> {
      const queue = use().name('q')
      await channel.assertQueue(queue, { arguments: args })
      return queue
    }

    /** Publishes messages as `body` to their priority; undefined: none. */
    async function publish(
      channel: Channel,
      queue: string,
      messages: Record<string, number | undefined>,
    ): Promise<void> {
      for (const [body, priority] of Object.entries(messages)) {
        channel.sendToQueue(queue, Buffer.from(body), priority === undefined ? {} : { priority })
      }
      const count = Object.keys(messages).length
      await eventually('all are there', async () => {
        return (await channel.checkQueue(queue)).messageCount >= count
      })
    }

    it('come first the higher they are, in order within each', async () => {
      const channel = await use().channel()
      const queue = await declare(channel, { 'x-max-priority': 5 })
      await publish(channel, queue, { a0: 0, b3: 3, c: undefined, d9: 9, e3: 3, f5: 5, g1: 1 })
      expect(await drain(channel, queue)).toEqual(['d9', 'f5', 'b3', 'e3', 'g1', 'a0', 'c'])
    })

    it('mean nothing to a queue without x-max-priority', async () => {
      const channel = await use().channel()
      const queue = await declare(channel, {})
      await publish(channel, queue, { a0: 0, b9: 9, c5: 5 })
      expect(await drain(channel, queue)).toEqual(['a0', 'b9', 'c5'])
    })

    it('are kept by what comes back, in its old place', async () => {
      const channel = await use().channel()
      const queue = await declare(channel, { 'x-max-priority': 10 })
      await publish(channel, queue, { a1: 1, b1: 1, c2: 2, d2: 2 })
      const taken = [await getOne(channel, queue), await getOne(channel, queue)]
      const low = await getOne(channel, queue)
      expect([...taken, low].map((got) => got?.content.toString())).toEqual(['c2', 'd2', 'a1'])
      channel.nackAll(true)
      await publish(channel, queue, { e3: 3, f1: 1 })
      expect(await drain(channel, queue)).toEqual(['e3', 'c2', 'd2', 'a1', 'b1', 'f1'])
    })

    it('go on to a consumer as it takes messages', async () => {
      const channel = await use().channel()
      const queue = await declare(channel, { 'x-max-priority': 2 })
      const taking = await use().channel()
      await taking.prefetch(1)
      const inbox = await consume(taking, queue)
      await channel.sendToQueue(queue, Buffer.from('first'))
      await inbox.bodies(1)
      await publish(channel, queue, { low: 0, high: 2, middle: 1 })
      for (let i = 1; i <= 3; i++) {
        taking.ack(inbox.messages[i - 1] as never)
        await inbox.bodies(i + 1)
      }
      expect(await inbox.bodies(4)).toEqual(['first', 'high', 'middle', 'low'])
    })

    it('of a quorum queue are two, of which the higher has two messages for one', async () => {
      const channel = await use().channel()
      const queue = await declare(channel, { 'x-queue-type': 'quorum' })
      await publish(channel, queue, {
        n1: undefined,
        n2: 4,
        n3: 1,
        h1: 5,
        h2: 9,
        h3: 200,
        h4: 6,
      })
      const bodies = await drain(channel, queue)
      expect(bodies.filter((body) => body.startsWith('h'))).toEqual(['h1', 'h2', 'h3', 'h4'])
      expect(bodies.filter((body) => body.startsWith('n'))).toEqual(['n1', 'n2', 'n3'])
      expect(bodies.map((body) => body[0]).join('')).toBe('hhnhhnn')
    })
  },
  { profiles: PROFILES.slice(0, 2) },
)

describeBrokers(
  'consumers with priorities',
  (use) => {
    it('get messages first, up to their prefetch, under load', async () => {
      const channel = await use().confirmChannel()
      const queue = use().name('q')
      await channel.assertQueue(queue)
      const counts = new Map<string, number>()
      const most = new Map<string, number>()
      const seen: string[] = []
      for (const [name, priority, prefetch] of [
        ['low', -1, 5],
        ['high', 10, 7],
        ['middle', 0, 3],
      ] as const) {
        const taking = await use().channel()
        await taking.prefetch(prefetch)
        let open = 0
        await taking.consume(
          queue,
          (message) => {
            if (message === null) return
            open++
            seen.push(name)
            counts.set(name, (counts.get(name) ?? 0) + 1)
            most.set(name, Math.max(most.get(name) ?? 0, open))
            setImmediate(() => {
              open--
              taking.ack(message)
            })
          },
          { priority },
        )
      }
      for (let i = 0; i < 3000; i++) channel.sendToQueue(queue, Buffer.from(`${i}`))
      await channel.waitForConfirms()
      await eventually('all come', () => seen.length === 3000)
      expect(most.get('high')).toBeLessThanOrEqual(7)
      expect(most.get('middle') ?? 0).toBeLessThanOrEqual(3)
      expect(most.get('low') ?? 0).toBeLessThanOrEqual(5)
      expect(counts.get('high')).toBeGreaterThan(counts.get('middle') ?? 0)
    })

    it('leave to others only what they have no room for', async () => {
      const channel = await use().channel()
      const queue = use().name('q')
      await channel.assertQueue(queue)
      const [high, low] = [await use().channel(), await use().channel()]
      await high.prefetch(2)
      await low.prefetch(2)
      const lower = await consume(low, queue, { priority: 1 })
      const higher = await consume(high, queue, { priority: 2 })
      for (const body of 'abcdefg') channel.sendToQueue(queue, Buffer.from(body))
      expect(await higher.bodies(2)).toEqual(['a', 'b'])
      expect(await lower.bodies(2)).toEqual(['c', 'd'])
      high.ack(higher.messages[0] as never)
      expect(await higher.bodies(3)).toEqual(['a', 'b', 'e'])
      low.ack(lower.messages[0] as never)
      expect(await lower.bodies(3)).toEqual(['c', 'd', 'f'])
    })
  },
  { profiles: PROFILES.slice(0, 2) },
)
