// Publishers that are held to a rate: nothing is lost, nothing is refused, it takes its time.

import { createRequire } from 'node:module'
import mqtt from 'mqtt'
import type * as Streams from 'rabbitmq-stream-js-client'
import { Connection } from 'rhea-promise'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Broker } from '../support/broker.ts'
import { startWarren } from '../support/broker.ts'
import { Clients } from '../support/clients.ts'

// The package's types say ESM, its code is CommonJS.
const streams = createRequire(import.meta.url)('rabbitmq-stream-js-client') as typeof Streams

describe.each([1, 3])('publish rates with %i shards', (shards) => {
  let broker: Broker
  let clients: Clients

  beforeAll(async () => {
    broker = await startWarren({
      settings: [`shards=${shards}`],
      admin: true,
      listen: ['mqtt', 'stream'],
    })
    clients = new Clients(broker)
  })

  afterEach(() => clients.tidy())

  afterAll(async () => {
    await clients.close()
    await broker.stop()
  })

  /** Publishes `count` messages in small rounds of confirms; how long that took, in milliseconds. */
  async function publish(queue: string, count: number, user = 'guest'): Promise<number> {
    const channel = await clients.confirmChannel(await clients.connect({ user, password: user }))
    const from = performance.now()
    for (let i = 0; i < count; i += 10) {
      for (let j = 0; j < 10; j++) channel.sendToQueue(queue, Buffer.from(`${i + j}`))
      await channel.waitForConfirms()
    }
    return performance.now() - from
  }

  async function ready(queue: string): Promise<number> {
    return (await (await clients.channel()).checkQueue(queue)).messageCount
  }

  test('of a queue hold its publishers, all of them together', async () => {
    const queue = clients.name('rated')
    const channel = await clients.channel()
    await channel.assertQueue(queue, { arguments: { 'x-max-publish-rate': 200 } })
    const times = await Promise.all([publish(queue, 100), publish(queue, 100)])
    // 200 messages at 200 a second, but for what goes through at once.
    expect(Math.max(...times)).toBeGreaterThan(700)
    expect(await ready(queue)).toBe(200)
  })

  test('by policy and of a user hold too, and nobody else', async () => {
    const free = clients.name('free')
    const channel = await clients.channel()
    await channel.assertQueue(free)
    const all = { configure: '.*', write: '.*', read: '.*' }
    await broker.admin({ op: 'addUser', name: 'slow', password: 'slow', tags: [] })
    await broker.admin({ op: 'setPermissions', user: 'slow', vhost: '/', ...all })
    await broker.admin({ op: 'setUserLimits', user: 'slow', limits: { 'max-publish-rate': 100 } })
    const [slow, fast] = await Promise.all([publish(free, 80, 'slow'), publish(free, 80)])
    expect(slow).toBeGreaterThan(500)
    expect(fast).toBeLessThan(slow)
    expect(await ready(free)).toBe(160)
    const definition = { 'max-publish-rate': 100 }
    await broker.admin({ op: 'setPolicy', vhost: '/', name: 'p', pattern: `^${free}$`, definition })
    expect(await publish(free, 80)).toBeGreaterThan(500)
    await broker.admin({ op: 'clearPolicy', vhost: '/', name: 'p' })
    expect(await ready(free)).toBe(240)
  })

  /** Calls `send` for rounds of ten messages, each when the one before is confirmed; how long that took. */
  async function rounds(send: (count: number) => Promise<unknown>): Promise<number> {
    const from = performance.now()
    for (let i = 0; i < 6; i++) await send(10)
    return performance.now() - from
  }

  async function rated(queueType: string): Promise<string> {
    const queue = clients.name('rated')
    const channel = await clients.channel()
    const args = { 'x-queue-type': queueType, 'x-max-publish-rate': 100 }
    await channel.assertQueue(queue, { arguments: args })
    return queue
  }

  async function publishMqtt(): Promise<number> {
    const queue = await rated('classic')
    await (await clients.channel()).bindQueue(queue, 'amq.topic', queue)
    const login = { username: 'guest', password: 'guest', reconnectPeriod: 0 }
    const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${broker.portOf('mqtt')}`, login)
    const ms = await rounds((count) => {
      const each = (): Promise<unknown> => client.publishAsync(queue, 'm', { qos: 1 })
      return Promise.all(Array.from({ length: count }, each))
    })
    await client.endAsync()
    expect(await ready(queue)).toBe(60)
    return ms
  }

  async function publishAmqp10(): Promise<number> {
    const queue = await rated('quorum')
    const { host, port } = broker
    const login = { host, port, username: 'guest', password: 'guest', reconnect: false } as const
    const connection = await new Connection(login).open()
    const sender = await connection.createAwaitableSender({ target: `/queues/${queue}` })
    const ms = await rounds((count) =>
      Promise.all(Array.from({ length: count }, () => sender.send({ body: 'm' }))),
    )
    await connection.close()
    expect(await ready(queue)).toBe(60)
    return ms
  }

  async function publishStream(): Promise<number> {
    const stream = await rated('stream')
    const at = { hostname: '127.0.0.1', port: broker.portOf('stream'), vhost: '/' }
    const client = await streams.connect({ ...at, username: 'guest', password: 'guest' })
    const publisher = await client.declarePublisher({ stream })
    let confirmed = 0
    let onConfirmed = (): void => {}
    publisher.on('publish_confirm', (_error: number | null, ids: bigint[]) => {
      confirmed += ids.length
      if (confirmed % 10 === 0) onConfirmed()
    })
    const ms = await rounds(async (count) => {
      const all = new Promise<void>((resolve) => {
        onConfirmed = resolve
      })
      for (let i = 0; i < count; i++) await publisher.send(Buffer.from('m'))
      await publisher.flush()
      await all
    })
    await client.close()
    expect(confirmed).toBe(60)
    return ms
  }

  test('hold publishers of other protocols, too', async () => {
    const times = await Promise.all([publishMqtt(), publishAmqp10(), publishStream()])
    // 60 messages at 100 a second, but for what goes through at once.
    expect(Math.min(...times)).toBeGreaterThan(300)
  })

  test('a connection that is held goes on when it closes, with all that it has sent', async () => {
    const queue = clients.name('closing')
    const channel = await clients.channel()
    await channel.assertQueue(queue, { arguments: { 'x-max-publish-rate': 500 } })
    const connection = await clients.connect()
    const publisher = await connection.createChannel()
    for (let i = 0; i < 200; i++) publisher.sendToQueue(queue, Buffer.from('m'))
    await publisher.close()
    await connection.close()
    expect(await ready(queue)).toBe(200)
  })
})
