// Duplicates are dropped and confirmed: in front of exchanges and queues, over kill -9.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ConfirmChannel } from 'amqplib'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Broker } from '../support/broker.ts'
import { startWarren } from '../support/broker.ts'
import { Clients, channelError, drain, getOne } from '../support/clients.ts'
import { eventually } from '../support/wait.ts'

const header = 'x-deduplication-header'

describe.each([1, 3])('deduplication with %i shards', (shards) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'warren-dedup-'))
  let broker: Broker
  let clients: Clients

  async function start(): Promise<void> {
    broker = await startWarren({ settings: [`shards=${shards}`], admin: true, dataDir })
    clients = new Clients(broker)
  }

  async function restart(): Promise<void> {
    await clients.tidy()
    broker.process?.kill('SIGKILL')
    await broker.process?.exited
    await start()
  }

  /** Publishes with an id, and waits for the confirm. */
  async function publish(
    channel: ConfirmChannel,
    exchange: string,
    key: string,
    id: string | number | undefined,
    body: string,
    more: object = {},
  ): Promise<void> {
    const headers = id === undefined ? more : { [header]: id, ...more }
    channel.publish(exchange, key, Buffer.from(body), { headers, persistent: true })
    await channel.waitForConfirms()
  }

  beforeAll(start)

  afterEach(() => clients.tidy())

  afterAll(async () => {
    await clients.close()
    await broker.stop()
    rmSync(dataDir, { recursive: true, force: true })
  })

  test('an exchange lets each id through once, to all its queues, and what has none always', async () => {
    const channel = await clients.confirmChannel()
    const args = { 'x-message-deduplication': true, 'x-cache-size': 100 }
    await channel.assertExchange('once', 'topic', { arguments: args })
    for (const queue of ['o1', 'o2', 'o3']) {
      await channel.assertQueue(queue)
      await channel.bindQueue(queue, 'once', '#')
    }
    for (const [id, body] of [
      ['a', '1'],
      ['a', '2'],
      ['b', '3'],
      [7, '4'],
      [7, '5'],
      [undefined, '6'],
      [undefined, '7'],
    ] as const) {
      await publish(channel, 'once', 'k', id, body)
    }
    for (const queue of ['o1', 'o2', 'o3']) {
      expect(await drain(channel, queue)).toEqual(['1', '3', '4', '6', '7'])
    }
  })

  test('many at once are each confirmed, and come once', async () => {
    const channel = await clients.confirmChannel()
    for (let i = 0; i < 500; i++) {
      const headers = { [header]: i % 50 }
      channel.publish('once', 'k', Buffer.from(`${i}`), { headers, persistent: true })
    }
    await channel.waitForConfirms()
    // 7 has come before.
    expect((await drain(channel, 'o1')).length).toBe(49)
  })

  test('mandatory messages that nobody would get come back', async () => {
    const channel = await clients.confirmChannel()
    let returned = 0
    channel.on('return', () => {
      returned++
    })
    const args = { 'x-message-deduplication': true }
    await channel.assertExchange('empty', 'fanout', { arguments: args })
    const options = { headers: { [header]: 1 }, mandatory: true }
    for (let i = 0; i < 2; i++) channel.publish('empty', '', Buffer.from('m'), options)
    await channel.waitForConfirms()
    expect(returned).toBe(2)
  })

  test('a queue has each id once, as long as its message is there', async () => {
    const channel = await clients.confirmChannel()
    await channel.assertQueue('unique', { arguments: { 'x-message-deduplication': true } })
    await publish(channel, '', 'unique', 'a', '1')
    await publish(channel, '', 'unique', 'a', '2')
    const got = await getOne(channel, 'unique')
    await publish(channel, '', 'unique', 'a', '3')
    if (got !== undefined) channel.ack(got)
    // An acknowledgement has no answer, but what follows it comes after it.
    await channel.checkQueue('unique')
    await publish(channel, '', 'unique', 'a', '4')
    await publish(channel, '', 'unique', 'b', '5')
    expect(await drain(channel, 'unique')).toEqual(['4', '5'])
    await publish(channel, '', 'unique', 'a', '6')
    await channel.purgeQueue('unique')
    await publish(channel, '', 'unique', 'a', '7')
    expect(await drain(channel, 'unique')).toEqual(['7'])
  })

  test('two exchanges on the way to one queue, wherever they live, confirm together', async () => {
    const channel = await clients.confirmChannel()
    await channel.assertExchange('both', 'fanout')
    const gates = ['gate1', 'gate2', 'gate3', 'gate4']
    for (const gate of gates) {
      const args = { 'x-message-deduplication': true }
      await channel.assertExchange(gate, 'fanout', { arguments: args })
      await channel.bindExchange(gate, 'both', '')
      await channel.assertQueue(`of ${gate}`)
      await channel.bindQueue(`of ${gate}`, gate, '')
    }
    for (let i = 0; i < 20; i++) {
      channel.publish('both', '', Buffer.from(`${i}`), { headers: { [header]: i % 10 } })
    }
    await channel.waitForConfirms()
    const bodies = Array.from({ length: 10 }, (_, i) => `${i}`)
    for (const gate of gates) expect(await drain(channel, `of ${gate}`)).toEqual(bodies)
  })

  async function fillQueues(channel: ConfirmChannel): Promise<void> {
    await channel.assertQueue('kept', { arguments: { 'x-message-deduplication': true } })
    await publish(channel, '', 'kept', 'here', '1')
    await publish(channel, '', 'kept', 'gone', '2')
    const window = { 'x-message-deduplication': true, 'x-cache-size': 10 }
    await channel.assertQueue('window', { arguments: window })
    await publish(channel, '', 'window', 'seen', '1')
    expect(await drain(channel, 'window')).toEqual(['1'])
    // The log has the end of one message when it has the next.
    await publish(channel, '', 'window', 'another', '2')
    const [first, second] = [await getOne(channel, 'kept'), await getOne(channel, 'kept')]
    if (first !== undefined) channel.nack(first, false, true)
    if (second !== undefined) channel.ack(second)
    await publish(channel, '', 'kept', 'last', '3')
  }

  async function fillExchange(channel: ConfirmChannel): Promise<void> {
    const args = { 'x-cache-size': 3 }
    await channel.assertExchange('bounded', 'x-message-deduplication', { arguments: args })
    await channel.assertQueue('b')
    await channel.bindQueue('b', 'bounded', '')
    for (const id of ['a', 'b', 'c', 'd', 'd']) await publish(channel, 'bounded', '', id, id)
    await publish(channel, 'bounded', '', 'a', 'a again')
    await publish(channel, 'bounded', '', 'short', 'short', { 'x-cache-ttl': 1 })
  }

  test('ids survive kill -9: those of queues with their messages, all within size and time', async () => {
    const channel = await clients.confirmChannel()
    await fillQueues(channel)
    await fillExchange(channel)
    await restart()
    const again = await clients.confirmChannel()
    for (const id of ['here', 'gone', 'last']) await publish(again, '', 'kept', id, `${id} again`)
    expect(await drain(again, 'kept')).toEqual(['1', '3', 'gone again'])
    await publish(again, '', 'window', 'seen', '3')
    await publish(again, '', 'window', 'new', '4')
    expect(await drain(again, 'window')).toEqual(['2', '4'])
    await publish(again, 'bounded', '', 'd', 'd again')
    await publish(again, 'bounded', '', 'short', 'short again')
    expect(await drain(again, 'b')).toEqual(['a', 'b', 'c', 'd', 'a again', 'short', 'short again'])
  })

  test('a policy turns it on and off', async () => {
    const channel = await clients.confirmChannel()
    await channel.assertQueue('by policy')
    const definition = { 'message-deduplication': true }
    const policy = { op: 'setPolicy', vhost: '/', name: 'p', pattern: '^by policy$', definition }
    await broker.admin(policy)
    await publish(channel, '', 'by policy', 'a', '1')
    await publish(channel, '', 'by policy', 'a', '2')
    await broker.admin({ op: 'clearPolicy', vhost: '/', name: 'p' })
    await publish(channel, '', 'by policy', 'a', '3')
    await eventually('both', async () => (await channel.checkQueue('by policy')).messageCount === 2)
    expect(await drain(channel, 'by policy')).toEqual(['1', '3'])
  })

  test('arguments are checked', async () => {
    const channel = await clients.channel()
    const declare = () => channel.assertExchange('bad', 'x-message-deduplication')
    expect((await channelError(channel, declare)).text).toBe(
      "PRECONDITION_FAILED - Missing or invalid argument, 'x-cache-size' must be an integer greater than 0",
    )
  })
})
