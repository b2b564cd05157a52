// What users of the rabbitmq-client library do.

import type { AsyncMessage, ReturnedMessage } from 'rabbitmq-client'
import { Connection } from 'rabbitmq-client'
import { afterEach, expect, it } from 'vitest'
import { describeExtremes } from '../support/profiles.ts'
import { startProxy } from '../support/proxy.ts'
import { eventually } from '../support/wait.ts'

describeExtremes('rabbitmq-client', (use) => {
  const cleanups: (() => Promise<unknown>)[] = []

  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  })

  async function connected(port: number = use().broker.port): Promise<Connection> {
    const connection = new Connection({
      hostname: use().broker.host,
      port,
      retryLow: 50,
      connectionName: 'conformance',
    })
    connection.on('error', () => {})
    cleanups.push(() => connection.close())
    await connection.onConnect(8000)
    return connection
  }

  it('publishes with confirms and consumes with acknowledgements', async () => {
    const connection = await connected()
    const queue = use().name('rc')
    const publisher = connection.createPublisher({ confirm: true, queues: [{ queue }] })
    cleanups.push(() => publisher.close())
    await Promise.all(Array.from({ length: 100 }, (_, i) => publisher.send(queue, { n: i })))
    const seen: unknown[] = []
    const consumer = connection.createConsumer({ queue, qos: { prefetchCount: 5 } }, (message) => {
      seen.push(message.body.n)
    })
    cleanups.push(() => consumer.close())
    await eventually('all messages', () => seen.length === 100)
    expect([...seen].sort((a, b) => Number(a) - Number(b))).toEqual(
      Array.from({ length: 100 }, (_, i) => i),
    )
    await eventually('all are settled', () => consumer.stats.acknowledged === 100)
  })

  it('gets a failed message again', async () => {
    const connection = await connected()
    const queue = use().name('rc')
    const seen: AsyncMessage[] = []
    const consumer = connection.createConsumer(
      { queue, queueOptions: { durable: true }, requeue: true },
      (message) => {
        seen.push(message)
        if (seen.length === 1) throw new Error('the first try fails')
      },
    )
    consumer.on('error', () => {})
    cleanups.push(() => consumer.close())
    await new Promise<void>((resolve) => consumer.once('ready', resolve))
    const publisher = connection.createPublisher({ confirm: true })
    cleanups.push(() => publisher.close())
    await publisher.send(queue, 'again')
    await eventually('a second delivery', () => seen.length === 2)
    expect(seen.map((message) => message.redelivered)).toEqual([false, true])
  })

  it('gets unroutable messages back', async () => {
    const connection = await connected()
    const returned: ReturnedMessage[] = []
    const publisher = connection.createPublisher({ confirm: true })
    publisher.on('basic.return', (message) => returned.push(message))
    cleanups.push(() => publisher.close())
    await publisher.send({ exchange: 'amq.topic', routingKey: 'nobody', mandatory: true }, 'x')
    await eventually('the message is back', () => returned.length === 1)
    expect(returned[0]).toMatchObject({ replyCode: 312, replyText: 'NO_ROUTE', body: 'x' })
  })

  it('asks and answers', async () => {
    const connection = await connected()
    const queue = use().name('rc')
    const server = connection.createConsumer({ queue }, async (request, reply) => {
      await reply(`you said ${request.body}`)
    })
    cleanups.push(() => server.close())
    await new Promise<void>((resolve) => server.once('ready', resolve))
    const client = connection.createRPCClient({ confirm: true })
    cleanups.push(() => client.close())
    const answers = await Promise.all(['one', 'two'].map((word) => client.send(queue, word)))
    expect(answers.map((answer) => answer.body)).toEqual(['you said one', 'you said two'])
  })

  it('declares, binds, gets, purges and deletes', async () => {
    const connection = await connected()
    const [queue, exchange] = [use().name('rc'), use().name('rc-x')]
    await connection.queueDeclare({ queue, durable: true })
    await connection.exchangeDeclare({ exchange, type: 'topic', autoDelete: true })
    await connection.queueBind({ queue, exchange, routingKey: 'a.*' })
    const channel = await connection.acquire()
    await channel.basicPublish({ exchange, routingKey: 'a.b' }, 'one')
    await channel.basicPublish({ exchange, routingKey: 'a.b' }, 'two')
    expect((await channel.basicGet({ queue, noAck: true }))?.body).toBe('one')
    expect(await channel.queuePurge({ queue })).toMatchObject({ messageCount: 1 })
    await channel.queueUnbind({ queue, exchange, routingKey: 'a.*' })
    expect(await channel.queueDelete({ queue })).toMatchObject({ messageCount: 0 })
    await expect(connection.queueDeclare({ queue, passive: true })).rejects.toMatchObject({
      code: 'NOT_FOUND',
    })
    await channel.close()
  })

  it('commits and rolls back', async () => {
    const connection = await connected()
    const queue = use().name('rc')
    await connection.queueDeclare({ queue, durable: true })
    const channel = await connection.acquire()
    await channel.txSelect()
    await channel.basicPublish(queue, 'dropped')
    await channel.txRollback()
    await channel.basicPublish(queue, 'kept')
    await channel.txCommit()
    await channel.close()
    expect((await connection.basicGet({ queue, noAck: true }))?.body).toBe('kept')
    expect(await connection.basicGet({ queue, noAck: true })).toBeUndefined()
  })

  it('goes on by itself after its connection was cut', async () => {
    const proxy = await startProxy(use().broker)
    cleanups.push(() => proxy.stop())
    const connection = await connected(proxy.port)
    const queue = use().name('rc')
    const seen: string[] = []
    const consumer = connection.createConsumer(
      { queue, queueOptions: { durable: true } },
      (message) => {
        seen.push(message.body)
      },
    )
    consumer.on('error', () => {})
    cleanups.push(() => consumer.close())
    await new Promise<void>((resolve) => consumer.once('ready', resolve))
    const publisher = connection.createPublisher({ confirm: true, maxAttempts: 5 })
    cleanups.push(() => publisher.close())
    await publisher.send(queue, 'before')
    await eventually('the first message', () => seen.length === 1)
    const again = new Promise<void>((resolve) => consumer.once('ready', resolve))
    proxy.cut()
    await again
    await publisher.send(queue, 'after')
    await eventually('the second message', () => seen.includes('after'))
  })
})
