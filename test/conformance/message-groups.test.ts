// Message groups (x-message-groups): per key one consumer at a time, and the order of the key.

import type { Channel, ConsumeMessage } from 'amqplib'
import { expect, it } from 'vitest'
import { getOne } from '../support/clients.ts'
import { describeBrokers, PROFILES } from '../support/profiles.ts'
import { eventually, pause } from '../support/wait.ts'

describeBrokers(
  'message groups',
  (use) => {
    async function declare(channel: Channel, args: Record<string, unknown> = {}): Promise<string> {
      const queue = use().name('groups')
      await channel.assertQueue(queue, { arguments: { 'x-message-groups': 'key', ...args } })
      return queue
    }

    function publish(channel: Channel, queue: string, key: string, body: string): void {
      channel.sendToQueue(queue, Buffer.from(body), { headers: { key }, persistent: true })
    }

    async function consumer(queue: string, prefetch: number) {
      const channel = await use().channel()
      const held: ConsumeMessage[] = []
      await channel.prefetch(prefetch)
      await channel.consume(queue, (message) => message !== null && held.push(message))
      const bodies = () => held.map(({ content }) => content.toString())
      return { channel, held, bodies }
    }

    it('go to one consumer while it holds any of them', async () => {
      const channel = await use().channel()
      const queue = await declare(channel)
      const [one, two] = [await consumer(queue, 10), await consumer(queue, 10)]
      for (let i = 0; i < 5; i++)
        for (const key of ['a', 'b']) publish(channel, queue, key, key + i)
      await eventually('all are delivered', () => one.held.length + two.held.length === 10)
      expect([one.bodies().join(), two.bodies().join()].sort()).toEqual([
        'a0,a1,a2,a3,a4',
        'b0,b1,b2,b3,b4',
      ])
    })

    it('let others pass while their consumer is busy', async () => {
      const channel = await use().channel()
      const queue = await declare(channel)
      for (const body of ['a0', 'a1', 'a2', 'b0']) publish(channel, queue, body[0] as string, body)
      channel.sendToQueue(queue, Buffer.from('none'))
      const [one, two] = [await consumer(queue, 1), await consumer(queue, 2)]
      await eventually('what can go is delivered', () => one.held.length + two.held.length === 3)
      await pause(50)
      expect([...one.bodies(), ...two.bodies()].sort()).toEqual(['a0', 'b0', 'none'])
      expect((await channel.checkQueue(queue)).messageCount).toBe(2)
      const owner = [one, two].find(({ held }) =>
        held.some(({ content }) => String(content) === 'a0'),
      )
      if (owner === undefined) throw new Error('somebody has it')
      for (const message of owner.held.splice(0)) owner.channel.ack(message)
      await eventually('the next of the group comes', () => {
        return [...one.bodies(), ...two.bodies()].includes('a1')
      })
    })

    it('move to another consumer when theirs goes, in their order', async () => {
      const channel = await use().channel()
      const queue = await declare(channel, { 'x-queue-type': 'quorum' })
      const first = await consumer(queue, 3)
      for (let i = 0; i < 6; i++) publish(channel, queue, 'a', `a${i}`)
      await eventually('some are delivered', () => first.held.length === 3)
      const second = await consumer(queue, 10)
      await pause(50)
      expect(second.held).toEqual([])
      await first.channel.close()
      await eventually('all come to the other', () => second.held.length === 6)
      expect(second.bodies()).toEqual(['a0', 'a1', 'a2', 'a3', 'a4', 'a5'])
    })

    it('keep the order of each key under many consumers', async () => {
      const channel = await use().channel()
      const queue = await declare(channel)
      const count = 1500
      const keys = 20
      const last = new Map<string, number>()
      const busy = new Map<string, number>()
      let seen = 0
      const faults: string[] = []
      for (let c = 0; c < 5; c++) {
        const worker = await use().channel()
        await worker.prefetch(1 + c)
        await worker.consume(queue, (message) => {
          if (message === null) return
          const [key = '', number = ''] = message.content.toString().split(' ')
          if ((last.get(key) ?? -1) >= Number(number)) faults.push(`${key} ${number} is late`)
          if ((busy.get(key) ?? c) !== c) faults.push(`${key} is with two consumers`)
          last.set(key, Number(number))
          busy.set(key, c)
          setTimeout(() => {
            busy.delete(key)
            seen++
            worker.ack(message)
          }, Number(number) % 3)
        })
      }
      for (let i = 0; i < count; i++) {
        const key = `k${(i * 7 + (i >> 3)) % keys}`
        publish(channel, queue, key, `${key} ${i}`)
      }
      await eventually('all are done', () => seen === count, 20_000)
      expect(faults).toEqual([])
      expect(await getOne(channel, queue)).toBeUndefined()
    })
  },
  { warrenOnly: true, profiles: PROFILES.slice(0, 2) },
)
