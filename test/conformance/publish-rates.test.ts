// Publishers that are held to a rate: nothing is lost, nothing is refused, it takes its time.

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Broker } from '../support/broker.ts'
import { startWarren } from '../support/broker.ts'
import { Clients } from '../support/clients.ts'

describe.each([1, 3])('publish rates with %i shards', (shards) => {
  let broker: Broker
  let clients: Clients

  beforeAll(async () => {
    broker = await startWarren({ settings: [`shards=${shards}`], admin: true })
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
