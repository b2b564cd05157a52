// basic.ack, basic.nack, basic.reject, basic.recover, and what closing does to open deliveries.

import { expect, it } from 'vitest'
import { channelError, consume, drain, getOne, send } from '../support/clients.ts'
import { describeBrokers } from '../support/profiles.ts'
import { eventually } from '../support/wait.ts'

describeBrokers('acknowledgements', (use) => {
  /** A raw peer with `count` messages, numbered from 1, delivered to it and not settled. */
  async function holding(count: number) {
    const raw = await use().raw()
    const queue = use().name('held')
    await raw.call(1, 'queue.declare', { queue, durable: true })
    for (let i = 1; i <= count; i += 1) raw.publish(1, { routingKey: queue, body: `${i}` })
    await raw.call(1, 'basic.consume', { queue, consumerTag: 'c' })
    for (let i = 1; i <= count; i += 1) await raw.expect(1, 'basic.deliver')
    await raw.call(1, 'basic.cancel', { consumerTag: 'c' })
    const left = async (): Promise<string[]> => {
      const bodies: string[] = []
      for (;;) {
        const got = await raw.call(1, 'basic.get', { queue, noAck: true })
        if (got.name !== 'basic.get-ok') return bodies
        bodies.push(got.body?.toString() ?? '')
      }
    }
    return { raw, queue, left }
  }

  it('removes an acknowledged message for good', async () => {
    const connection = await use().connect()
    const channel = await use().channel(connection)
    const queue = use().name('q')
    await channel.assertQueue(queue)
    send(channel, queue, 'a', 'b')
    const first = await getOne(channel, queue)
    await getOne(channel, queue)
    if (first !== undefined) channel.ack(first)
    await channel.close()
    expect(await drain(await use().channel(connection), queue)).toEqual(['b'])
  })

  it('acknowledges up to a tag with multiple', async () => {
    const { raw, left } = await holding(5)
    raw.send(1, 'basic.ack', { deliveryTag: 3, multiple: true })
    raw.send(1, 'basic.nack', { deliveryTag: 0, multiple: true, requeue: true })
    expect(await left()).toEqual(['4', '5'])
  })

  it('acknowledges everything with multiple and tag 0, even nothing', async () => {
    const { raw, left } = await holding(3)
    raw.send(1, 'basic.ack', { deliveryTag: 0, multiple: true })
    raw.send(1, 'basic.ack', { deliveryTag: 0, multiple: true })
    raw.send(1, 'basic.nack', { deliveryTag: 0, multiple: true, requeue: true })
    expect(await left()).toEqual([])
  })

  it.each([
    ['basic.ack', { deliveryTag: 99 }, 80],
    ['basic.ack', { deliveryTag: 99, multiple: true }, 80],
    ['basic.ack', { deliveryTag: 0 }, 80],
    ['basic.nack', { deliveryTag: 99, requeue: true }, 120],
    ['basic.reject', { deliveryTag: 99, requeue: true }, 90],
  ])('refuses %s %j: no such delivery', async (method, fields, methodId) => {
    const { raw } = await holding(1)
    raw.send(1, method, fields)
    expect(await raw.next(1)).toMatchObject({
      name: 'channel.close',
      fields: {
        replyCode: 406,
        replyText: `PRECONDITION_FAILED - unknown delivery tag ${fields.deliveryTag}`,
        classId: 60,
        methodId,
      },
    })
  })

  it('refuses a second acknowledgement of one delivery', async () => {
    const { raw } = await holding(2)
    raw.send(1, 'basic.ack', { deliveryTag: 1 })
    raw.send(1, 'basic.ack', { deliveryTag: 1 })
    expect(await raw.next(1)).toMatchObject({
      name: 'channel.close',
      fields: { replyCode: 406, replyText: 'PRECONDITION_FAILED - unknown delivery tag 1' },
    })
  })

  it('refuses the acknowledgement of a no-ack delivery', async () => {
    const channel = await use().channel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    send(channel, queue, 'x')
    const got = await getOne(channel, queue, { noAck: true })
    const error = await channelError(channel, () => got !== undefined && channel.ack(got))
    expect(error).toMatchObject({
      code: 406,
      text: 'PRECONDITION_FAILED - unknown delivery tag 1',
    })
  })

  it('refuses the tag of another channel', async () => {
    const { raw } = await holding(1)
    await raw.openChannel(2)
    raw.send(2, 'basic.ack', { deliveryTag: 1 })
    expect(await raw.next(2)).toMatchObject({ name: 'channel.close', fields: { replyCode: 406 } })
  })

  it('drops a message that is rejected or nacked without requeue', async () => {
    const { raw, left } = await holding(3)
    raw.send(1, 'basic.reject', { deliveryTag: 1 })
    raw.send(1, 'basic.nack', { deliveryTag: 3, multiple: true })
    expect(await left()).toEqual([])
  })

  it('puts a requeued message back where it was', async () => {
    const { raw, queue, left } = await holding(5)
    raw.publish(1, { routingKey: queue, body: '6' })
    raw.send(1, 'basic.nack', { deliveryTag: 4, requeue: true })
    raw.send(1, 'basic.reject', { deliveryTag: 2, requeue: true })
    raw.send(1, 'basic.nack', { deliveryTag: 5, requeue: true })
    expect(await left()).toEqual(['2', '4', '5', '6'])
  })

  it('marks a requeued message as redelivered and a fresh one not', async () => {
    const channel = await use().channel()
    const queue = use().name('q')
    await channel.assertQueue(queue)
    send(channel, queue, 'a', 'b')
    const first = await getOne(channel, queue)
    if (first !== undefined) channel.reject(first, true)
    expect((await getOne(channel, queue))?.fields.redelivered).toBe(true)
    expect((await getOne(channel, queue))?.fields.redelivered).toBe(false)
  })

  it('returns open deliveries in order when the channel closes', async () => {
    const connection = await use().connect()
    const channel = await use().channel(connection)
    const queue = use().name('q')
    await channel.assertQueue(queue)
    send(channel, queue, '1', '2', '3', '4')
    const inbox = await consume(channel, queue)
    await inbox.bodies(4)
    for (const message of inbox.messages.slice(1, 2)) channel.ack(message)
    await channel.close()
    const after = await use().channel(connection)
    const again = await consume(after, queue)
    expect(await again.bodies(3)).toEqual(['1', '3', '4'])
    expect(again.messages.every((message) => message.fields.redelivered)).toBe(true)
  })

  it('returns open deliveries when the connection drops', async () => {
    const { raw, queue } = await holding(3)
    raw.destroy()
    const channel = await use().channel()
    const inbox = await consume(channel, queue)
    expect(await inbox.bodies(3)).toEqual(['1', '2', '3'])
    expect(inbox.messages.every((message) => message.fields.redelivered)).toBe(true)
  })

  it('returns open deliveries when the broker closes the channel', async () => {
    const connection = await use().connect()
    const channel = await use().channel(connection)
    const queue = use().name('q')
    await channel.assertQueue(queue)
    send(channel, queue, 'x')
    await getOne(channel, queue)
    await channelError(channel, () => channel.checkQueue(use().name('missing')))
    const after = await use().channel(connection)
    await eventually('the message is back', async () => (await drain(after, queue)).length === 1)
  })

  it('offers a requeued message to other consumers', async () => {
    const connection = await use().connect()
    const [first, second] = [await use().channel(connection), await use().channel(connection)]
    const queue = use().name('q')
    await first.assertQueue(queue)
    const firstBox = await consume(first, queue)
    send(first, queue, 'x')
    await firstBox.bodies(1)
    const secondBox = await consume(second, queue)
    await first.close()
    expect(await secondBox.bodies(1)).toEqual(['x'])
    expect(secondBox.messages[0]?.fields.redelivered).toBe(true)
  })

  it('redelivers everything that is open after recover', async () => {
    const channel = await use().channel()
    const queue = use().name('q')
    await channel.assertQueue(queue)
    send(channel, queue, '1', '2')
    const inbox = await consume(channel, queue)
    await inbox.bodies(2)
    await channel.recover()
    expect(await inbox.bodies(4)).toEqual(['1', '2', '1', '2'])
    expect(inbox.messages.map((message) => message.fields.redelivered)).toEqual([
      false,
      false,
      true,
      true,
    ])
    expect(inbox.messages.map((message) => message.fields.deliveryTag)).toEqual([1, 2, 3, 4])
  })

  it('answers recover and not recover-async', async () => {
    const { raw, left } = await holding(2)
    raw.send(1, 'basic.recover-async', { requeue: true })
    expect((await raw.call(1, 'basic.recover', { requeue: true })).name).toBe('basic.recover-ok')
    expect(await left()).toEqual(['1', '2'])
  })

  it('refuses recover without requeue', async () => {
    const raw = await use().raw()
    expect(await raw.call(1, 'basic.recover', { requeue: false })).toMatchObject({
      name: 'connection.close',
      fields: { replyCode: 540, replyText: 'NOT_IMPLEMENTED - requeue=false' },
    })
  })

  it('settles a multiple acknowledgement across queues', async () => {
    const raw = await use().raw()
    const queues: string[] = []
    for (let i = 0; i < 4; i += 1) {
      const queue = use().name('q')
      await raw.call(1, 'queue.declare', { queue, durable: true })
      queues.push(queue)
      await raw.call(1, 'basic.consume', { queue, consumerTag: `c${i}` })
    }
    for (let i = 0; i < 12; i += 1) raw.publish(1, { routingKey: queues[i % 4] ?? '', body: 'm' })
    for (let i = 1; i <= 12; i += 1) await raw.expect(1, 'basic.deliver')
    raw.send(1, 'basic.ack', { deliveryTag: 12, multiple: true })
    for (const queue of queues) {
      expect((await raw.call(1, 'queue.purge', { queue })).fields).toEqual({ messageCount: 0 })
    }
    await raw.close()
    const channel = await use().channel()
    for (const queue of queues) expect(await drain(channel, queue)).toEqual([])
  })
})
