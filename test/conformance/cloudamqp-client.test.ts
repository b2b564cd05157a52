// What users of the @cloudamqp/amqp-client library do.

import type { AMQPMessage } from '@cloudamqp/amqp-client'
import { AMQPClient, AMQPSession } from '@cloudamqp/amqp-client'
import { afterEach, expect, it } from 'vitest'
import { describeExtremes } from '../support/profiles.ts'
import { startProxy } from '../support/proxy.ts'
import { eventually } from '../support/wait.ts'

describeExtremes('@cloudamqp/amqp-client', (use) => {
  const cleanups: (() => Promise<unknown>)[] = []

  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  })

  async function opened() {
    const { host, port } = use().broker
    const client = new AMQPClient(`amqp://guest:guest@${host}:${port}/`)
    client.logger = undefined
    const connection = await client.connect()
    cleanups.push(async () => {
      if (!connection.closed) await connection.close()
    })
    return await connection.channel()
  }

  it('publishes with confirms and consumes with acknowledgements', async () => {
    const channel = await opened()
    const queue = use().name('ca')
    await channel.queueDeclare(queue, { durable: true })
    await channel.confirmSelect()
    const tags = await Promise.all(
      Array.from({ length: 200 }, (_, i) => channel.basicPublish('', queue, `${i}`)),
    )
    expect(new Set(tags).size).toBe(200)
    await channel.prefetch(10)
    const seen: string[] = []
    const consumer = await channel.basicConsume(queue, { noAck: false }, async (message) => {
      seen.push(message.bodyString() ?? '')
      await message.ack()
    })
    await eventually('all messages', () => seen.length === 200)
    expect(seen).toEqual(Array.from({ length: 200 }, (_, i) => `${i}`))
    await consumer.cancel()
    expect(await channel.queueDeclare(queue, { passive: true })).toEqual({
      name: queue,
      messageCount: 0,
      consumerCount: 0,
    })
  })

  it('gets, requeues and rejects', async () => {
    const channel = await opened()
    const queue = use().name('ca')
    await channel.queueDeclare(queue, { durable: true })
    await channel.basicPublish('', queue, 'x', { messageId: 'm', headers: { n: 1 } })
    const first = await channel.basicGet(queue, { noAck: false })
    expect(first?.properties).toMatchObject({ messageId: 'm', headers: { n: 1 } })
    await first?.nack(true)
    const second = await channel.basicGet(queue, { noAck: false })
    expect(second?.redelivered).toBe(true)
    await second?.reject(false)
    expect(await channel.basicGet(queue)).toBeNull()
  })

  it('gets unroutable messages back', async () => {
    const channel = await opened()
    const returned: AMQPMessage[] = []
    channel.onReturn = (message) => returned.push(message)
    await channel.confirmSelect()
    await channel.basicPublish('amq.direct', 'nobody', 'back', {}, true)
    expect(returned.map((message) => message.bodyString())).toEqual(['back'])
    expect(returned[0]?.replyCode).toBe(312)
  })

  it('reads messages in a loop', async () => {
    const channel = await opened()
    const { name } = await channel.queueDeclare('', { exclusive: true })
    for (let i = 0; i < 5; i += 1) await channel.basicPublish('', name, `${i}`)
    const consumer = await channel.basicConsume(name, { noAck: true })
    const seen: (string | null)[] = []
    for await (const message of consumer.messages) {
      seen.push(message.bodyString())
      if (seen.length === 5) break
    }
    expect(seen).toEqual(['0', '1', '2', '3', '4'])
  })

  it('commits, rolls back and asks for flow', async () => {
    const channel = await opened()
    const { name } = await channel.queueDeclare('', { exclusive: true })
    expect(await channel.basicFlow(true)).toBe(true)
    await channel.txSelect()
    await channel.basicPublish('', name, 'dropped')
    await channel.txRollback()
    await channel.basicPublish('', name, 'kept')
    await channel.txCommit()
    expect((await channel.basicGet(name, { noAck: true }))?.bodyString()).toBe('kept')
    expect(await channel.basicGet(name)).toBeNull()
  })

  it('binds exchanges, purges and deletes', async () => {
    const channel = await opened()
    const [source, destination, queue] = [use().name('ca-s'), use().name('ca-d'), use().name('ca')]
    await channel.exchangeDeclare(source, 'topic')
    await channel.exchangeDeclare(destination, 'fanout', { durable: false })
    await channel.queueDeclare(queue, { durable: true })
    await channel.exchangeBind(destination, source, 'a.#')
    await channel.queueBind(queue, destination, '')
    await channel.basicPublish(source, 'a.b.c', 'x')
    expect((await channel.basicGet(queue, { noAck: true }))?.bodyString()).toBe('x')
    await channel.exchangeUnbind(destination, source, 'a.#')
    await channel.basicPublish(source, 'a.b.c', 'y')
    expect(await channel.queuePurge(queue)).toEqual({ messageCount: 0 })
    expect(await channel.queueDelete(queue)).toEqual({ messageCount: 0 })
    await channel.exchangeDelete(destination, { ifUnused: true })
  })

  it('is told why its channel was closed', async () => {
    const channel = await opened()
    const name = use().name('missing')
    await expect(channel.queueDeclare(name, { passive: true })).rejects.toThrow(
      `NOT_FOUND - no queue '${name}' in vhost '/'`,
    )
    expect(channel.closed).toBe(true)
  })

  it('asks and answers, and goes on by itself after its connection was cut', async () => {
    const proxy = await startProxy(use().broker)
    cleanups.push(() => proxy.stop())
    const connects: number[] = []
    const session = await AMQPSession.connect(`amqp://guest:guest@127.0.0.1:${proxy.port}/`, {
      logger: null,
      reconnectInterval: 50,
      onconnect: () => connects.push(1),
    })
    cleanups.push(() => session.stop())
    const name = use().name('ca')
    const queue = await session.queue(name, { durable: true })
    const seen: (string | null)[] = []
    await queue.subscribe({ prefetch: 5 }, (message) => {
      seen.push(message.bodyString())
    })
    await queue.publish('before')
    await eventually('the first message', () => seen.includes('before'))
    const server = use().name('ca-rpc')
    await session.rpcServer(server, (message) => `you said ${message.bodyString()}`)
    const ask = async (word: string): Promise<string | null> =>
      (await session.rpcCall(server, word, { timeout: 5000 })).bodyString()
    expect(await ask('hello')).toBe('you said hello')
    const before = connects.length
    proxy.cut()
    await eventually('another connection', () => connects.length > before)
    await queue.publish('after')
    await eventually('the second message', () => seen.includes('after'))
    expect(await ask('again')).toBe('you said again')
  })
})
