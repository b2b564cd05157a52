// Delayed messages with a client library, over kill -9, and beyond what may stay in memory.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ConsumeMessage } from 'amqplib'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Broker } from '../support/broker.ts'
import { startWarren } from '../support/broker.ts'
import { Clients, channelError, consume } from '../support/clients.ts'
import { eventually } from '../support/wait.ts'

const delayed = 'x-delayed-message'

describe.each([1, 3])('delayed messages with %i shards', (shards) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'warren-delayed-'))
  let broker: Broker
  let clients: Clients

  async function start(): Promise<void> {
    const settings = [`shards=${shards}`, 'queue_memory_budget=1MiB']
    broker = await startWarren({ settings, admin: true, dataDir })
    clients = new Clients(broker)
  }

  async function kill(): Promise<void> {
    broker.process?.kill('SIGKILL')
    await broker.process?.exited
  }

  async function held(exchange: string): Promise<unknown> {
    const { count } = await broker.admin({ op: 'listDelayed', vhost: '/', exchange })
    return count
  }

  beforeAll(() => start())

  afterEach(() => clients.tidy())

  afterAll(async () => {
    await clients.tidy()
    await clients.close()
    await broker.stop()
    rmSync(dataDir, { recursive: true, force: true })
  })

  test('arrive in the order of their delays, none too early', async () => {
    const channel = await clients.confirmChannel()
    await channel.assertExchange('x', delayed, { arguments: { 'x-delayed-type': 'direct' } })
    await channel.assertQueue('q')
    await channel.bindQueue('q', 'x', 'k')
    const arrived = new Map<string, number>()
    const take = (message: ConsumeMessage | null): void => {
      if (message !== null) arrived.set(message.content.toString(), performance.now())
    }
    await channel.consume('q', take, { noAck: true })
    const from = performance.now()
    const delays = [400, 100, 300, 200, 0]
    for (const delay of delays) {
      channel.publish('x', 'k', Buffer.from(`${delay}`), { headers: { 'x-delay': delay } })
    }
    await channel.waitForConfirms()
    await eventually('all are there', () => arrived.size === delays.length)
    expect([...arrived.keys()]).toEqual(['0', '100', '200', '300', '400'])
    for (const [delay, at] of arrived) expect(at - from).toBeGreaterThanOrEqual(Number(delay) - 1)
  })

  test('the header comes back negated, everything else as it was', async () => {
    const channel = await clients.confirmChannel()
    const inbox = await consume(channel, 'q', { noAck: true })
    const headers = { a: 'b', 'x-delay': '20', z: 1 }
    const properties = { headers, contentType: 'text/plain', messageId: 'm', priority: 3 }
    channel.publish('x', 'k', Buffer.alloc(300_000, 'body'), { ...properties, CC: ['none'] })
    await eventually('it is there', () => inbox.messages.length === 1)
    const [message] = inbox.messages
    expect(message?.properties).toMatchObject({
      headers: { a: 'b', 'x-delay': -20, z: 1 },
      contentType: 'text/plain',
      messageId: 'm',
      priority: 3,
    })
    expect(message?.fields).toMatchObject({ exchange: 'x', routingKey: 'k' })
    expect(message?.content.equals(Buffer.alloc(300_000, 'body'))).toBe(true)
  })

  test('the argument must name another exchange type', async () => {
    const refused = async (args: object): Promise<string> => {
      const channel = await clients.channel()
      const declare = () => channel.assertExchange('bad', delayed, { arguments: args })
      return (await channelError(channel, declare)).text
    }
    expect(await refused({})).toBe(
      "PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an existing exchange type",
    )
    expect(await refused({ 'x-delayed-type': delayed })).toBe(
      "PRECONDITION_FAILED - Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'",
    )
    expect(await refused({ 'x-delayed-type': 'none' })).toBe(
      "PRECONDITION_FAILED - unknown exchange type 'none'",
    )
  })

  test('persistent ones survive kill -9 and come when they were due', async () => {
    const channel = await clients.confirmChannel()
    await channel.assertExchange('keep', delayed, { arguments: { 'x-delayed-type': 'fanout' } })
    await channel.assertQueue('kept')
    await channel.bindQueue('kept', 'keep', '')
    const publish = (text: string, delay: number, persistent = true): void => {
      const options = { headers: { 'x-delay': delay }, persistent, expiration: '60000' }
      channel.publish('keep', '', Buffer.from(text), options)
    }
    publish('later', 2000)
    publish('transient', 2000, false)
    publish('to be cancelled', 86_400_000)
    publish('next year', 366 * 86_400_000)
    await channel.waitForConfirms()
    expect(await held('keep')).toBe(4)
    const listed = await broker.admin({ op: 'listDelayed', vhost: '/', exchange: 'keep' })
    const items = listed['items'] as { id: string; dueAt: number; bodyBytes: number }[]
    const { id } = items.find(({ bodyBytes }) => bodyBytes === 'to be cancelled'.length) ?? {
      id: '',
    }
    const cancel = { op: 'cancelDelayed', vhost: '/', exchange: 'keep', id }
    expect(await broker.admin(cancel)).toEqual({ done: 1 })
    // The log has the end of one message when it has the next.
    publish('soon', 1)
    await channel.waitForConfirms()
    await clients.tidy()
    await kill()
    await start()
    const again = await clients.channel()
    const inbox = await consume(again, 'kept', { noAck: true })
    // The end of one that has left is logged when its queue's shard has it: it may come twice.
    const came = async (last: string): Promise<string[]> => {
      const bodies = (): string[] => inbox.messages.map(({ content }) => `${content}`)
      await eventually(`${last} comes`, () => bodies().includes(last))
      return [...new Set(bodies())]
    }
    expect(await came('later')).toEqual(['soon', 'later'])
    await eventually('one is left', async () => (await held('keep')) === 1)
    const last = await broker.admin({ op: 'listDelayed', vhost: '/', exchange: 'keep' })
    const [item] = last['items'] as { id: string; dueAt: number }[]
    expect((item?.dueAt ?? 0) - Date.now()).toBeGreaterThan(365 * 86_400_000)
    const deliver = { op: 'deliverDelayed', vhost: '/', exchange: 'keep', id: item?.id }
    expect(await broker.admin(deliver)).toEqual({ done: 1 })
    expect(await came('next year')).toEqual(['soon', 'later', 'next year'])
  })

  test.runIf(shards === 1)(
    'more than may stay in memory come back from the disk, over a restart too',
    async () => {
      const channel = await clients.confirmChannel()
      await channel.assertExchange('many', delayed, { arguments: { 'x-delayed-type': 'fanout' } })
      await channel.assertQueue('all')
      await channel.bindQueue('all', 'many', '')
      // Enough for some files of the log to be retired.
      const size = 32 * 1024
      const count = 2500
      const body = Buffer.alloc(size)
      for (let i = 0; i < count; i++) {
        body.writeUInt32BE(i)
        const headers = { 'x-delay': 86_400_000 + ((i * 7919) % count) }
        channel.publish('many', '', body, { headers, persistent: true })
        if (i % 500 === 499) await channel.waitForConfirms()
      }
      const list = { op: 'listDelayed', vhost: '/', exchange: 'many' }
      await eventually('most have left memory', async () => {
        const listed = await broker.admin({ ...list, limit: 9999 })
        const items = listed['items'] as { bodyBytes?: number }[]
        return items.filter(({ bodyBytes }) => bodyBytes === undefined).length > count / 4
      })
      await clients.tidy()
      await kill()
      await start()
      const items = await eventually('all are known', async () => {
        const all = await broker.admin({ ...list, limit: 9999 })
        const found = all['items'] as { id: string }[]
        return found.length === count ? found : undefined
      })
      const seen = new Set<number>()
      const again = await clients.channel()
      await again.consume('all', (message) => seen.add(message?.content.readUInt32BE() ?? -1), {
        noAck: true,
      })
      const deliver = { op: 'deliverDelayed', vhost: '/', exchange: 'many' }
      const some = items.filter((_, i) => i % 20 === 0)
      await Promise.all(some.map(({ id }) => broker.admin({ ...deliver, id })))
      await eventually('those that were asked for', () => seen.size >= count / 20, 20_000)
      expect(seen.size).toBe(count / 20)
      expect(await held('many')).toBe(count - count / 20)
    },
    60_000,
  )
})
