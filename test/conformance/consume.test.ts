// basic.consume, basic.cancel and basic.get.

import { expect, it } from 'vitest'
import { channelError, consume, drain, getOne, send } from '../support/clients.ts'
import { describeBrokers } from '../support/profiles.ts'
import { textOf } from '../support/raw-client.ts'
import { eventually } from '../support/wait.ts'

describeBrokers('consume', (use) => {
  it('delivers what is there and what comes, in order', async () => {
    const channel = await use().channel()
    const queue = use().name('q')
    await channel.assertQueue(queue)
    send(channel, queue, '1', '2')
    const inbox = await consume(channel, queue)
    send(channel, queue, '3', '4')
    expect(await inbox.bodies(4)).toEqual(['1', '2', '3', '4'])
    expect(inbox.messages.map((message) => message.fields.deliveryTag)).toEqual([1, 2, 3, 4])
    expect(inbox.messages[0]?.fields).toMatchObject({
      consumerTag: inbox.consumerTag,
      redelivered: false,
      exchange: '',
      routingKey: queue,
    })
  })

  it('answers consume-ok before the first delivery', async () => {
    const raw = await use().raw()
    const queue = use().name('q')
    await raw.call(1, 'queue.declare', { queue, durable: true })
    for (let i = 0; i < 5; i += 1) raw.publish(1, { routingKey: queue, body: `${i}` })
    const reply = await raw.call(1, 'basic.consume', { queue, consumerTag: 'me' })
    expect(reply).toMatchObject({ name: 'basic.consume-ok', fields: { consumerTag: 'me' } })
    for (let i = 0; i < 5; i += 1) {
      const message = await raw.expect(1, 'basic.deliver')
      expect(message.fields).toMatchObject({ consumerTag: 'me', deliveryTag: i + 1 })
      expect(message.body?.toString()).toBe(`${i}`)
    }
  })

  it('makes a consumer tag when the client gives none', async () => {
    const channel = await use().channel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    const { consumerTag } = await consume(channel, queue)
    expect(consumerTag).toMatch(/^amq\.ctag-[A-Za-z0-9_-]{22}$/)
  })

  it('refuses a consumer tag that the channel uses, with 530 on the connection', async () => {
    const raw = await use().raw()
    const queue = textOf(await raw.call(1, 'queue.declare', { exclusive: true }), 'queue')
    await raw.call(1, 'basic.consume', { queue, consumerTag: 'twice' })
    expect(await raw.call(1, 'basic.consume', { queue, consumerTag: 'twice' })).toMatchObject({
      name: 'connection.close',
      fields: {
        replyCode: 530,
        replyText: "NOT_ALLOWED - attempt to reuse consumer tag 'twice'",
        classId: 60,
        methodId: 20,
      },
    })
  })

  it('allows one consumer tag on two channels, and again after its cancel', async () => {
    const connection = await use().connect()
    const [first, second] = [await use().channel(connection), await use().channel(connection)]
    const { queue } = await first.assertQueue('', { exclusive: true })
    await consume(first, queue, { consumerTag: 'same' })
    await consume(second, queue, { consumerTag: 'same' })
    await first.cancel('same')
    await consume(first, queue, { consumerTag: 'same' })
  })

  it('forgets no-ack deliveries as it sends them', async () => {
    const connection = await use().connect()
    const channel = await use().channel(connection)
    const queue = use().name('q')
    await channel.assertQueue(queue)
    send(channel, queue, 'a', 'b')
    const inbox = await consume(channel, queue, { noAck: true })
    await inbox.bodies(2)
    await channel.close()
    expect(await drain(await use().channel(connection), queue)).toEqual([])
  })

  it('takes turns between consumers', async () => {
    const channel = await use().channel()
    const queue = use().name('q')
    await channel.assertQueue(queue)
    const inboxes = [
      await consume(channel, queue, { noAck: true }),
      await consume(channel, queue, { noAck: true }),
      await consume(channel, queue, { noAck: true }),
    ]
    for (let i = 0; i < 30; i += 1) send(channel, queue, `${i}`)
    for (const inbox of inboxes) expect(await inbox.bodies(10)).toHaveLength(10)
  })

  it('serves the highest priority that has credit first', async () => {
    const connection = await use().connect()
    const publisher = await use().channel(connection)
    const queue = use().name('q')
    await publisher.assertQueue(queue)
    const low = await use().channel(connection)
    const high = await use().channel(connection)
    await low.prefetch(10)
    await high.prefetch(2)
    const lowBox = await consume(low, queue, { arguments: { 'x-priority': -5 } })
    const highBox = await consume(high, queue, { arguments: { 'x-priority': 10 } })
    send(publisher, queue, '1', '2', '3', '4', '5')
    expect(await highBox.bodies(2)).toEqual(['1', '2'])
    expect(await lowBox.bodies(3)).toEqual(['3', '4', '5'])
    expect(highBox.messages).toHaveLength(2)
  })

  it('refuses a consumer priority that is no integer', async () => {
    const channel = await use().channel()
    const queue = use().name('q')
    await channel.assertQueue(queue)
    const error = await channelError(channel, () =>
      channel.consume(queue, () => {}, { arguments: { 'x-priority': 'high' } }),
    )
    expect(error.code).toBe(406)
    expect(error.text).toBe(
      `PRECONDITION_FAILED - invalid arg 'x-priority' for queue '${queue}' in vhost '/': "expected integer, got longstr"`,
    )
  })

  it('lets nobody beside an exclusive consumer', async () => {
    const connection = await use().connect()
    const owner = await use().channel(connection)
    const queue = use().name('q')
    await owner.assertQueue(queue)
    const { consumerTag } = await consume(owner, queue, { exclusive: true })
    const other = await use().channel(connection)
    const error = await channelError(other, () => other.consume(queue, () => {}))
    expect(error).toEqual({
      code: 403,
      text: `ACCESS_REFUSED - queue '${queue}' in vhost '/' in exclusive use`,
      classId: 60,
      methodId: 20,
    })
    await owner.cancel(consumerTag)
    await consume(await use().channel(connection), queue)
  })

  it('refuses an exclusive consumer beside another', async () => {
    const connection = await use().connect()
    const first = await use().channel(connection)
    const queue = use().name('q')
    await first.assertQueue(queue)
    await consume(first, queue)
    const second = await use().channel(connection)
    const error = await channelError(second, () =>
      second.consume(queue, () => {}, { exclusive: true }),
    )
    expect(error).toMatchObject({
      code: 403,
      text: `ACCESS_REFUSED - queue '${queue}' in vhost '/' in exclusive use`,
    })
  })

  it('ignores no-local', async () => {
    const channel = await use().channel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    const inbox = await consume(channel, queue, { noLocal: true })
    send(channel, queue, 'mine')
    expect(await inbox.bodies(1)).toEqual(['mine'])
  })

  it('delivers nothing after cancel-ok and requeues nothing', async () => {
    const connection = await use().connect()
    const channel = await use().channel(connection)
    const queue = use().name('q')
    await channel.assertQueue(queue)
    const inbox = await consume(channel, queue)
    send(channel, queue, 'before')
    await inbox.bodies(1)
    await channel.cancel(inbox.consumerTag)
    send(channel, queue, 'after')
    const got = await getOne(channel, queue)
    expect(got?.content.toString()).toBe('after')
    expect(got?.fields.messageCount).toBe(0)
    expect(inbox.messages).toHaveLength(1)
    // The delivery can still be settled.
    for (const message of inbox.messages) channel.nack(message)
    expect(await drain(channel, queue)).toEqual(['before'])
  })

  it('answers the cancel of an unknown consumer', async () => {
    const channel = await use().channel()
    expect(await channel.cancel('nobody')).toEqual({ consumerTag: 'nobody' })
  })

  it('cancels without an answer with nowait', async () => {
    const raw = await use().raw()
    const queue = textOf(await raw.call(1, 'queue.declare', { exclusive: true }), 'queue')
    raw.send(1, 'basic.consume', { queue, consumerTag: 'quiet', nowait: true })
    raw.publish(1, { routingKey: queue, body: 'x' })
    expect(await raw.next(1)).toMatchObject({
      name: 'basic.deliver',
      fields: { consumerTag: 'quiet' },
    })
    raw.send(1, 'basic.cancel', { consumerTag: 'quiet', nowait: true })
    const declared = await raw.call(1, 'queue.declare', { queue, passive: true })
    expect(declared.fields).toMatchObject({ consumerCount: 0 })
  })

  it('tells a consumer when its queue is deleted', async () => {
    const connection = await use().connect()
    const [consumer, other] = [await use().channel(connection), await use().channel(connection)]
    const queue = use().name('q')
    await consumer.assertQueue(queue)
    const inbox = await consume(consumer, queue)
    await other.deleteQueue(queue)
    await eventually('the consumer is cancelled', inbox.cancelled)
    await consumer.assertQueue(queue)
  })

  it('tells only clients that asked for cancel notifications', async () => {
    const queue = use().name('q')
    const told = await use().raw({ capabilities: { consumer_cancel_notify: true } })
    const untold = await use().raw({ capabilities: {} })
    await told.call(1, 'queue.declare', { queue, durable: true })
    await told.call(1, 'basic.consume', { queue, consumerTag: 'told' })
    await untold.call(1, 'basic.consume', { queue, consumerTag: 'untold' })
    const channel = await use().channel()
    await channel.deleteQueue(queue)
    expect(await told.next(1)).toMatchObject({
      name: 'basic.cancel',
      fields: { consumerTag: 'told', nowait: true },
    })
    // Nothing is on the channel before the answer to the next method.
    expect((await untold.call(1, 'basic.qos', { prefetchCount: 1 })).name).toBe('basic.qos-ok')
  })
})

describeBrokers('get', (use) => {
  it('answers get-empty when nothing is ready', async () => {
    const channel = await use().channel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    expect(await channel.get(queue)).toBe(false)
  })

  it('tells how many messages are left', async () => {
    const channel = await use().confirmChannel()
    const queue = use().name('q')
    await channel.assertQueue(queue)
    send(channel, queue, 'a', 'b', 'c')
    await channel.waitForConfirms()
    for (const left of [2, 1, 0]) {
      expect((await getOne(channel, queue, { noAck: true }))?.fields.messageCount).toBe(left)
    }
  })

  it('numbers gets and deliveries of a channel together', async () => {
    const channel = await use().channel()
    const queue = use().name('q')
    await channel.assertQueue(queue)
    send(channel, queue, 'a', 'b', 'c')
    expect((await getOne(channel, queue))?.fields.deliveryTag).toBe(1)
    expect((await getOne(channel, queue, { noAck: true }))?.fields.deliveryTag).toBe(2)
    const inbox = await consume(channel, queue)
    await inbox.bodies(1)
    expect(inbox.messages[0]?.fields.deliveryTag).toBe(3)
  })

  it('is not limited by the prefetch count', async () => {
    const channel = await use().channel()
    const queue = use().name('q')
    await channel.assertQueue(queue)
    await channel.prefetch(1)
    send(channel, queue, 'a', 'b')
    expect((await getOne(channel, queue))?.content.toString()).toBe('a')
    expect((await getOne(channel, queue))?.content.toString()).toBe('b')
  })
})
