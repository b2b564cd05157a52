// The exchange types that spread messages: consistent-hash, modulus-hash, random, local-random.

import type { Channel } from 'amqplib'
import { expect, it } from 'vitest'
import { channelError, drain } from '../support/clients.ts'
import { describeCore } from '../support/profiles.ts'

describeCore('spreading exchanges', (use) => {
  /** An exchange with one queue per binding key. */
  async function spread(
    channel: Channel,
    type: string,
    keys: readonly string[],
    args: object = {},
  ): Promise<{ exchange: string; queues: string[] }> {
    const exchange = use().name('spread')
    await channel.assertExchange(exchange, type, { arguments: args })
    const queues: string[] = []
    for (const key of keys) {
      const { queue } = await channel.assertQueue('', { exclusive: true })
      await channel.bindQueue(queue, exchange, key)
      queues.push(queue)
    }
    return { exchange, queues }
  }

  async function drainAll(channel: Channel, queues: readonly string[]): Promise<string[][]> {
    const lists: string[][] = []
    for (const queue of queues) lists.push(await drain(channel, queue))
    return lists
  }

  it('sends equal keys to one queue of a consistent-hash exchange', async () => {
    const channel = await use().confirmChannel()
    const { exchange, queues } = await spread(channel, 'x-consistent-hash', ['1', '1', '1'])
    for (let round = 0; round < 3; round += 1) {
      for (let key = 0; key < 60; key += 1)
        channel.publish(exchange, `k${key}`, Buffer.from(`${key}`))
    }
    await channel.waitForConfirms()
    const lists = await drainAll(channel, queues)
    expect(lists.flat()).toHaveLength(180)
    const keys = lists.map((list) => new Set(list))
    expect(keys.reduce((sum, set) => sum + set.size, 0)).toBe(60)
    for (const set of keys) expect(set.size).toBeGreaterThan(5)
  })

  it('shares by weight in a consistent-hash exchange', async () => {
    const channel = await use().confirmChannel()
    const { exchange, queues } = await spread(channel, 'x-consistent-hash', ['1', '9'])
    for (let i = 0; i < 500; i += 1) channel.publish(exchange, `key-${i}`, Buffer.from('m'))
    await channel.waitForConfirms()
    const [light = [], heavy = []] = await drainAll(channel, queues)
    expect(light.length + heavy.length).toBe(500)
    expect(heavy.length).toBeGreaterThan(light.length * 2)
  })

  it('moves few keys when a queue leaves a consistent-hash exchange', async () => {
    const channel = await use().confirmChannel()
    const keys = ['5', '5', '5', '5']
    const { exchange, queues } = await spread(channel, 'x-consistent-hash', keys)
    const owners = async (live: readonly string[]): Promise<Map<string, number>> => {
      for (let i = 0; i < 100; i += 1) channel.publish(exchange, `key-${i}`, Buffer.from(`${i}`))
      await channel.waitForConfirms()
      const lists = await drainAll(channel, live)
      return new Map(lists.flatMap((list, at) => list.map((key) => [key, at] as const)))
    }
    const before = await owners(queues)
    await channel.deleteQueue(queues[3] ?? '')
    const after = await owners(queues.slice(0, 3))
    expect(after.size).toBe(100)
    for (const [key, at] of before) if (at !== 3) expect(after.get(key)).toBe(at)
  })

  it('hashes a header or a property where the exchange says so', async () => {
    const channel = await use().confirmChannel()
    for (const args of [{ 'hash-header': 'hash-on' }, { 'hash-property': 'message_id' }]) {
      const { exchange, queues } = await spread(channel, 'x-consistent-hash', ['2', '2'], args)
      for (let i = 0; i < 50; i += 1) {
        const options = { headers: { 'hash-on': 'same' }, messageId: 'same' }
        channel.publish(exchange, `key-${i}`, Buffer.from('m'), options)
      }
      await channel.waitForConfirms()
      const lists = await drainAll(channel, queues)
      expect(lists.map((list) => list.length).sort((a, b) => a - b)).toEqual([0, 50])
    }
  })

  it.each([
    ['abc', 'The binding key must be an integer: <<"abc">>'],
    ['0', 'The binding key must be greater than 0'],
  ])('refuses binding key %s in a consistent-hash exchange', async (key, reason) => {
    const channel = await use().channel()
    const { exchange } = await spread(channel, 'x-consistent-hash', [])
    const { queue } = await channel.assertQueue('', { exclusive: true })
    const error = await channelError(channel, () => channel.bindQueue(queue, exchange, key))
    expect(error).toMatchObject({ code: 406, text: `PRECONDITION_FAILED - ${reason}` })
  })

  it.each([
    [
      { 'hash-header': 'a', 'hash-property': 'message_id' },
      'hash-header and hash-property are mutually exclusive',
    ],
    [{ 'hash-property': 'reply_to' }, 'Unsupported property: reply_to'],
  ])('refuses a consistent-hash exchange with %j', async (args, reason) => {
    const channel = await use().channel()
    const error = await channelError(channel, () =>
      channel.assertExchange(use().name('h'), 'x-consistent-hash', { arguments: args }),
    )
    expect(error).toMatchObject({ code: 406, text: `PRECONDITION_FAILED - ${reason}` })
  })

  it('sends equal keys to one queue of a modulus-hash exchange', async () => {
    const channel = await use().confirmChannel()
    const { exchange, queues } = await spread(channel, 'x-modulus-hash', ['', '', ''])
    for (let round = 0; round < 2; round += 1) {
      for (let key = 0; key < 60; key += 1)
        channel.publish(exchange, `k${key}`, Buffer.from(`${key}`))
    }
    await channel.waitForConfirms()
    const lists = await drainAll(channel, queues)
    expect(lists.flat()).toHaveLength(120)
    expect(lists.reduce((sum, list) => sum + new Set(list).size, 0)).toBe(60)
    for (const list of lists) expect(list.length).toBeGreaterThan(0)
  })

  it.each(['x-random', 'x-local-random'])('sends each message to one queue of %s', async (type) => {
    const channel = await use().confirmChannel()
    const { exchange, queues } = await spread(channel, type, ['', '', ''])
    for (let i = 0; i < 150; i += 1) channel.publish(exchange, 'same', Buffer.from(`${i}`))
    await channel.waitForConfirms()
    const lists = await drainAll(channel, queues)
    expect(new Set(lists.flat()).size).toBe(150)
    expect(lists.flat()).toHaveLength(150)
    for (const list of lists) expect(list.length).toBeGreaterThan(10)
  })

  it('refuses a binding key in a local-random exchange', async () => {
    const channel = await use().channel()
    const { exchange } = await spread(channel, 'x-local-random', [])
    const { queue } = await channel.assertQueue('', { exclusive: true })
    const error = await channelError(channel, () => channel.bindQueue(queue, exchange, 'abc'))
    expect(error).toMatchObject({
      code: 406,
      text: "PRECONDITION_FAILED - Non empty binding 'abc' key not permitted",
    })
  })

  it.each(['x-consistent-hash', 'x-modulus-hash', 'x-random', 'x-local-random'])(
    'returns a mandatory message when a %s exchange has no bindings',
    async (type) => {
      const channel = await use().confirmChannel()
      const { exchange } = await spread(channel, type, [])
      let returned = 0
      channel.on('return', () => {
        returned += 1
      })
      channel.publish(exchange, 'k', Buffer.from('m'), { mandatory: true })
      await channel.waitForConfirms()
      expect(returned).toBe(1)
    },
  )
})
