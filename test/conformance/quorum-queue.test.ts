// Quorum queues on one node: what they keep, how they count deliveries, what they refuse. At the
// level of RabbitMQ 4.3; what 4.0 does otherwise is marked.

import type { Channel, ConsumeMessage, GetMessage } from 'amqplib'
import { expect, it } from 'vitest'
import { channelError, connectionError, consume, drain, getOne, send } from '../support/clients.ts'
import { describeBrokers, itOnWarren } from '../support/profiles.ts'
import { eventually } from '../support/wait.ts'

function counts(message: GetMessage | ConsumeMessage): unknown[] {
  const { headers = {} } = message.properties
  return [message.fields.redelivered, headers?.['x-acquired-count'], headers?.['x-delivery-count']]
}

describeBrokers('quorum queues', (use) => {
  async function declare(channel: Channel, args: Record<string, unknown> = {}): Promise<string> {
    const queue = use().name('quorum')
    await channel.assertQueue(queue, { arguments: { 'x-queue-type': 'quorum', ...args } })
    return queue
  }

  async function take(channel: Channel, queue: string): Promise<GetMessage> {
    return await eventually(`a message in ${queue}`, () => getOne(channel, queue))
  }

  it('take, confirm and deliver messages', async () => {
    const channel = await use().confirmChannel()
    const queue = await declare(channel, { 'x-quorum-initial-group-size': 1 })
    send(channel, queue, 'a', 'b', 'c')
    await channel.waitForConfirms()
    const inbox = await consume(channel, queue)
    expect(await inbox.bodies(3)).toEqual(['a', 'b', 'c'])
    for (const message of inbox.messages) {
      expect(counts(message)).toEqual([false, undefined, undefined])
      channel.ack(message)
    }
    await channel.cancel(inbox.consumerTag)
    expect(await drain(channel, queue)).toEqual([])
  })

  itOnWarren('count rejections as failed and nacks only as returned', async () => {
    const channel = await use().channel()
    const queue = await declare(channel)
    send(channel, queue, 'm')
    channel.nack(await take(channel, queue), false, true)
    const nacked = await take(channel, queue)
    expect(counts(nacked)).toEqual([true, 1, undefined])
    channel.reject(nacked, true)
    const rejected = await take(channel, queue)
    expect(counts(rejected)).toEqual([true, 2, 1])
    channel.reject(rejected, true)
    const consumer = await consume(channel, queue)
    await consumer.bodies(1)
    expect(counts(consumer.messages[0] as ConsumeMessage)).toEqual([true, 3, 2])
  })

  itOnWarren('count deliveries of a channel that closes as failed', async () => {
    const connection = await use().connect()
    const [first, second] = [await use().channel(connection), await use().channel(connection)]
    const queue = await declare(first)
    send(first, queue, 'm')
    await take(first, queue)
    await first.close()
    expect(counts(await take(second, queue))).toEqual([true, 1, 1])
  })

  it('keep the headers that a message came with beside the counts', async () => {
    const channel = await use().channel()
    const queue = await declare(channel)
    const body = Buffer.alloc(300_000, 'x')
    channel.sendToQueue(queue, body, { headers: { own: 'header' }, messageId: 'id' })
    channel.reject(await take(channel, queue), true)
    const again = await take(channel, queue)
    expect(again.properties.headers).toMatchObject({ own: 'header', 'x-delivery-count': 1 })
    expect(again.properties.messageId).toBe('id')
    expect(again.content.equals(body)).toBe(true)
  })

  it('drop a message that has failed more often than the limit', async () => {
    const channel = await use().channel()
    const queue = await declare(channel, { 'x-delivery-limit': 2 })
    send(channel, queue, 'poison', 'good')
    for (let i = 0; i < 3; i++) {
      const got = await take(channel, queue)
      expect(got.content.toString()).toBe('poison')
      channel.reject(got, true)
    }
    expect((await take(channel, queue)).content.toString()).toBe('good')
  })

  it('dead-letter such a message, 20 failures without a limit of their own', async () => {
    const channel = await use().channel()
    const dead = use().name('dead')
    await channel.assertQueue(dead)
    const queue = await declare(channel, {
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': dead,
    })
    send(channel, queue, 'poison')
    let deliveries = 0
    await channel.consume(queue, (message) => {
      if (message === null) return
      deliveries++
      channel.reject(message, true)
    })
    const letter = await take(channel, dead)
    expect(deliveries).toBe(21)
    expect(letter.properties.headers?.['x-death']).toMatchObject([
      { reason: 'delivery_limit', queue, count: 1 },
    ])
    expect(letter.properties.headers?.['x-first-death-reason']).toBe('delivery_limit')
  })

  it('put what keeps coming back behind the others without a limit', async () => {
    const channel = await use().channel()
    const queue = await declare(channel, { 'x-delivery-limit': -1 })
    send(channel, queue, 'a', 'b', 'c')
    channel.reject(await take(channel, queue), true)
    const order: string[] = []
    for (let i = 0; i < 3; i++) order.push((await take(channel, queue)).content.toString())
    expect(order).toEqual(['b', 'c', 'a'])
  })

  it('give a returned message back before fresh ones', async () => {
    const channel = await use().channel()
    const queue = await declare(channel)
    send(channel, queue, 'a', 'b', 'c')
    channel.nack(await take(channel, queue), false, true)
    const order: string[] = []
    for (let i = 0; i < 3; i++) order.push((await take(channel, queue)).content.toString())
    expect(order).toEqual(['a', 'b', 'c'])
  })

  itOnWarren('let what came back wait, longer each time, with delayed retries', async () => {
    const channel = await use().channel()
    const queue = await declare(channel, {
      'x-delayed-retry-type': 'failed',
      'x-delayed-retry-min': 60,
      'x-delayed-retry-max': 100,
    })
    send(channel, queue, 'a', 'b')
    const times: number[] = []
    for (let i = 0; i < 4; i++) {
      const got = await eventually('it comes', async () => {
        const one = await getOne(channel, queue)
        if (one === undefined || one.content.toString() === 'a') return one
        channel.ack(one)
        return undefined
      })
      times.push(performance.now())
      channel.reject(got, true)
      expect((await channel.checkQueue(queue)).messageCount).toBeGreaterThan(0)
    }
    const waits = times.slice(1).map((time, i) => time - (times[i] ?? 0))
    expect(waits[0]).toBeGreaterThanOrEqual(55)
    expect(waits[1]).toBeGreaterThanOrEqual(95)
    expect(waits[2]).toBeGreaterThanOrEqual(95)
    expect((await channel.purgeQueue(queue)).messageCount).toBe(1)
    const other = await declare(channel, {
      'x-delayed-retry-type': 'failed',
      'x-delayed-retry-min': 60_000,
    })
    send(channel, other, 'nacked')
    channel.nack(await take(channel, other), false, true)
    await take(channel, other)
  })

  it('limit consumers by their prefetch', async () => {
    const channel = await use().channel()
    const queue = await declare(channel)
    await channel.prefetch(2)
    send(channel, queue, 'a', 'b', 'c', 'd')
    const inbox = await consume(channel, queue)
    expect(await inbox.bodies(2)).toEqual(['a', 'b'])
    channel.ack(inbox.messages[1] as ConsumeMessage)
    expect(await inbox.bodies(3)).toEqual(['a', 'b', 'c'])
  })

  it.each([
    ['exclusive', { exclusive: true }, 'exclusive-owner'],
    ['auto-delete', { autoDelete: true }, 'auto-delete'],
    ['transient', { durable: false }, 'non-durable'],
  ])('are never %s', async (_what, options, property) => {
    const channel = await use().channel()
    const queue = use().name('quorum')
    const args = { arguments: { 'x-queue-type': 'quorum' } }
    const error = await channelError(channel, () =>
      channel.assertQueue(queue, { ...options, ...args }),
    )
    expect(error.code).toBe(406)
    expect(error.text).toContain(`invalid property '${property}' for queue '${queue}'`)
  })

  it('have no priorities of their own and no name of the broker', async () => {
    const connection = await use().connect()
    const channel = await use().channel(connection)
    const queue = use().name('quorum')
    const refused = await channelError(channel, () =>
      channel.assertQueue(queue, { arguments: { 'x-queue-type': 'quorum', 'x-max-priority': 5 } }),
    )
    expect(refused.code).toBe(406)
    expect(refused.text).toContain(
      `invalid arg 'x-max-priority' for queue '${queue}' in vhost '/' of queue type rabbit_quorum_queue`,
    )
    const nameless = await use().channel(connection)
    const unnamed = await channelError(nameless, () =>
      nameless.assertQueue('', { arguments: { 'x-queue-type': 'quorum' } }),
    )
    expect(unnamed.code).toBe(406)
    expect(unnamed.text).toContain(
      'Cannot declare a server-named queue for type rabbit_quorum_queue',
    )
  })

  it.each([
    ['if-unused', { ifUnused: true }],
    ['if-empty', { ifEmpty: true }],
  ])('are not deleted %s', async (flag, options) => {
    const connection = await use().connect()
    const channel = await use().channel(connection)
    const queue = await declare(channel)
    const error = await connectionError(connection, () => channel.deleteQueue(queue, options))
    expect(error.code).toBe(540)
    expect(error.text).toBe(
      `NOT_IMPLEMENTED - cannot delete queue '${queue}' in vhost '/'. queue.delete operations ` +
        `with ${flag} flag set are not supported by quorum queues`,
    )
  })

  it('know no prefetch of a whole channel', async () => {
    const connection = await use().connect()
    const channel = await use().channel(connection)
    const queue = await declare(channel)
    await channel.prefetch(5, true)
    const error = await connectionError(connection, () => channel.consume(queue, () => {}))
    expect(error.code).toBe(540)
    expect(error.text).toBe(
      `NOT_IMPLEMENTED - queue '${queue}' in vhost '/' does not support global qos`,
    )
  })

  it('refuse basic.get where one consumer at a time is active', async () => {
    const channel = await use().channel()
    const queue = await declare(channel, { 'x-single-active-consumer': true })
    const error = await channelError(channel, () => channel.get(queue))
    expect(error.code).toBe(405)
    expect(error.text).toContain('basic.get operations are not supported by quorum queues')
  })

  it('ignore the exclusive flag of consumers', async () => {
    const channel = await use().channel()
    const queue = await declare(channel)
    await channel.consume(queue, () => {}, { exclusive: true })
    await channel.consume(queue, () => {})
  })

  it('can be purged and deleted', async () => {
    const channel = await use().channel()
    const queue = await declare(channel)
    send(channel, queue, 'a', 'b')
    await eventually('both are there', async () => {
      return (await channel.checkQueue(queue)).messageCount === 2
    })
    expect((await channel.purgeQueue(queue)).messageCount).toBe(2)
    expect((await channel.deleteQueue(queue)).messageCount).toBe(0)
  })
})
