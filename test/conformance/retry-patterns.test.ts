// Patterns of the dead-letter guides: retries with growing waits, loops that must end, targets that
// refuse, and the pause of a queue over a restart.

import { fileURLToPath } from 'node:url'
import type { Channel, GetMessage } from 'amqplib'
import { expect, it } from 'vitest'
import { consume, drain, getOne, send } from '../support/clients.ts'
import { describeBrokers, PROFILES } from '../support/profiles.ts'
import { runProgram } from '../support/program.ts'
import { eventually, pause } from '../support/wait.ts'

describeBrokers(
  'the pattern of',
  (use) => {
    const count = async (channel: Channel, queue: string) =>
      (await channel.checkQueue(queue)).messageCount

    async function take(channel: Channel, queue: string): Promise<GetMessage> {
      return await eventually(`a message in ${queue}`, () => getOne(channel, queue))
    }

    it('retries with exponential back-off brings a message back later each time, then parks it', async () => {
      const channel = await use().channel()
      const file = '../tutorials/javascript/retry-with-backoff.js'
      const path = fileURLToPath(new URL(file, import.meta.url))
      for (const queue of ['work', 'retries', 'parked']) await channel.deleteQueue(queue)
      const env = { AMQP_URL: use().url() }
      const program = runProgram(process.execPath, [path, '4', '40'], env)
      await program.prints('waiting')
      const begun = Date.now()
      send(channel, 'work', 'job')
      await program.prints('parked: job')
      // 40 + 80 + 160 ms.
      expect(Date.now() - begun).toBeGreaterThanOrEqual(280)
      const parked = await take(channel, 'parked')
      expect(parked.properties.headers).toMatchObject({ 'x-tries': 4 })
      await program.stop()
      for (const queue of ['work', 'retries', 'parked']) await channel.deleteQueue(queue)
    })

    it('two queues that feed each other by rejection and expiry counts the rounds', async () => {
      const channel = await use().channel()
      const [work, wait] = [use().name('work'), use().name('wait')]
      const to = (key: string) => ({
        'x-dead-letter-exchange': '',
        'x-dead-letter-routing-key': key,
      })
      await channel.assertQueue(work, { arguments: to(wait) })
      await channel.assertQueue(wait, { arguments: { ...to(work), 'x-message-ttl': 20 } })
      send(channel, work, 'm')
      for (let i = 0; i < 3; i++) channel.reject(await take(channel, work), false)
      const got = await take(channel, work)
      expect(got.properties.headers?.['x-death']).toMatchObject([
        { count: 3, reason: 'expired', queue: wait },
        { count: 3, reason: 'rejected', queue: work },
      ])
    })

    it('a circle without a rejection ends at the first queue that it comes to again', async () => {
      const channel = await use().channel()
      const queues = [use().name('a'), use().name('b'), use().name('c')] as const
      for (const [i, queue] of queues.entries()) {
        await channel.assertQueue(queue, {
          arguments: {
            'x-message-ttl': 10,
            'x-dead-letter-exchange': '',
            'x-dead-letter-routing-key': queues[(i + 1) % 3] as string,
          },
        })
      }
      send(channel, queues[0], ...Array.from({ length: 100 }, (_, i) => `${i}`))
      await pause(60)
      await eventually('all are gone', async () => {
        let left = 0
        for (const queue of queues) left += await count(channel, queue)
        return left === 0
      })
    })

    it('a long chain of queues brings everything to its end', async () => {
      const channel = await use().channel()
      const chain = Array.from({ length: 12 }, () => use().name('link'))
      for (const [i, queue] of chain.entries()) {
        const next = chain[i + 1]
        await channel.assertQueue(queue, {
          arguments:
            next === undefined
              ? {}
              : {
                  'x-max-length': 0,
                  'x-dead-letter-exchange': '',
                  'x-dead-letter-routing-key': next,
                },
        })
      }
      const [first = '', last = ''] = [chain[0], chain.at(-1)]
      send(channel, first, ...Array.from({ length: 200 }, (_, i) => `${i}`))
      const inbox = await consume(channel, last, { noAck: true })
      expect(await inbox.bodies(200)).toEqual(Array.from({ length: 200 }, (_, i) => `${i}`))
      expect(inbox.messages[0]?.properties.headers?.['x-death']).toHaveLength(11)
    })

    it('at-least-once dead letters wait until a full target takes them', async () => {
      const channel = await use().channel()
      const [queue, dead] = [use().name('q'), use().name('dead')]
      const refuses = { 'x-overflow': 'reject-publish' }
      await channel.assertQueue(dead, { arguments: { ...refuses, 'x-max-length': 2 } })
      await channel.assertQueue(queue, {
        arguments: {
          ...refuses,
          'x-queue-type': 'quorum',
          'x-dead-letter-exchange': '',
          'x-dead-letter-routing-key': dead,
          'x-dead-letter-strategy': 'at-least-once',
        },
      })
      send(channel, queue, 'a', 'b', 'c', 'd')
      for (let i = 0; i < 4; i++) channel.reject(await take(channel, queue), false)
      await eventually('it is full', async () => (await count(channel, dead)) === 2)
      await pause(50)
      expect(await count(channel, dead)).toBe(2)
      const got = [...(await drain(channel, dead))]
      await eventually('the others follow', async () => {
        got.push(...(await drain(channel, dead)))
        return got.length === 4
      })
      expect(got.sort()).toEqual(['a', 'b', 'c', 'd'])
      expect(await drain(channel, queue)).toEqual([])
    })
  },
  { profiles: PROFILES.slice(0, 2), warrenOnly: true },
)
