// queue.declare, queue.purge and queue.delete: names, flags, equivalence, ownership.

import { expect, it } from 'vitest'
import { channelError, consume, drain, getOne, send } from '../support/clients.ts'
import { describeBrokers } from '../support/profiles.ts'
import { textOf } from '../support/raw-client.ts'
import { eventually } from '../support/wait.ts'

describeBrokers('queues', (use) => {
  it('gives a queue without a name an amq.gen- name of its own', async () => {
    const channel = await use().channel()
    const first = await channel.assertQueue('', { exclusive: true })
    const second = await channel.assertQueue('', { exclusive: true })
    expect(first.queue).toMatch(/^amq\.gen-[A-Za-z0-9_-]{22}$/)
    expect(second.queue).not.toBe(first.queue)
    expect(first).toMatchObject({ messageCount: 0, consumerCount: 0 })
  })

  it('counts ready messages and consumers in declare-ok', async () => {
    const channel = await use().confirmChannel()
    const queue = use().name('counted')
    await channel.assertQueue(queue)
    send(channel, queue, 'a', 'b', 'c')
    await channel.waitForConfirms()
    expect(await channel.assertQueue(queue)).toMatchObject({ messageCount: 3, consumerCount: 0 })
    await channel.prefetch(2)
    const inbox = await consume(channel, queue)
    await inbox.bodies(2)
    const counts = await channel.checkQueue(queue)
    expect(counts).toEqual({ queue, messageCount: 1, consumerCount: 1 })
  })

  it('answers a passive declaration of a missing queue with 404', async () => {
    const channel = await use().channel()
    const name = use().name('missing')
    const error = await channelError(channel, () => channel.checkQueue(name))
    expect(error).toEqual({
      code: 404,
      text: `NOT_FOUND - no queue '${name}' in vhost '/'`,
      classId: 50,
      methodId: 10,
    })
  })

  it('accepts a passive declaration whatever the properties are', async () => {
    const raw = await use().raw()
    const queue = use().name('passive')
    await raw.call(1, 'queue.declare', { queue, durable: true })
    const reply = await raw.call(1, 'queue.declare', { queue, passive: true, autoDelete: true })
    expect(reply).toMatchObject({ name: 'queue.declare-ok', fields: { queue } })
  })

  it('accepts an equal declaration again', async () => {
    const channel = await use().channel()
    const queue = use().name('again')
    const options = { durable: true, arguments: { 'x-max-length': 10, 'x-unknown': 'kept' } }
    await channel.assertQueue(queue, options)
    expect((await channel.assertQueue(queue, options)).queue).toBe(queue)
  })

  it.each([
    ['durable', { durable: false }, "received 'false' but current is 'true'"],
    ['auto_delete', { autoDelete: true }, "received 'true' but current is 'false'"],
  ])('refuses a declaration with another %s', async (property, change, difference) => {
    const channel = await use().channel()
    const queue = use().name('other')
    await channel.assertQueue(queue, { durable: true })
    const error = await channelError(channel, () => channel.assertQueue(queue, change))
    expect(error).toEqual({
      code: 406,
      text: `PRECONDITION_FAILED - inequivalent arg '${property}' for queue '${queue}' in vhost '/': ${difference}`,
      classId: 50,
      methodId: 10,
    })
  })

  it('refuses to redeclare a shared queue as exclusive', async () => {
    const channel = await use().channel()
    const queue = use().name('shared')
    await channel.assertQueue(queue, { durable: false })
    const error = await channelError(channel, () =>
      channel.assertQueue(queue, { durable: false, exclusive: true }),
    )
    expect(error).toMatchObject({
      code: 405,
      text: `RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '${queue}' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.`,
    })
  })

  it('refuses reserved names but finds the queues that it named itself', async () => {
    const connection = await use().connect()
    const refused = await use().channel(connection)
    const error = await channelError(refused, () => refused.assertQueue('amq.mine'))
    expect(error).toMatchObject({
      code: 403,
      text: "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'",
    })
    const channel = await use().channel(connection)
    const { queue } = await channel.assertQueue('', { exclusive: true })
    expect((await channel.checkQueue(queue)).queue).toBe(queue)
  })

  it('strips carriage returns and line feeds from a name', async () => {
    const channel = await use().channel()
    const queue = use().name('stripped')
    expect((await channel.assertQueue(`\n${queue}\r`)).queue).toBe(queue)
  })

  it('takes an empty name as the queue that the channel declared last', async () => {
    const raw = await use().raw()
    const declared = await raw.call(1, 'queue.declare', { exclusive: true })
    const queue = textOf(declared, 'queue')
    // An empty routing key becomes the queue's name then.
    await raw.call(1, 'queue.bind', { exchange: 'amq.direct' })
    raw.publish(1, { exchange: 'amq.direct', routingKey: queue, body: 'one' })
    raw.publish(1, { exchange: 'amq.direct', routingKey: queue, body: 'two' })
    expect((await raw.call(1, 'basic.get', { noAck: true })).body?.toString()).toBe('one')
    expect((await raw.call(1, 'queue.purge')).fields).toEqual({ messageCount: 1 })
    expect((await raw.call(1, 'queue.unbind', { exchange: 'amq.direct' })).name).toBe(
      'queue.unbind-ok',
    )
    expect((await raw.call(1, 'basic.consume', {})).name).toBe('basic.consume-ok')
    expect((await raw.call(1, 'queue.delete', {})).name).toBe('queue.delete-ok')
  })

  it('refuses an empty name when the channel has declared no queue', async () => {
    const raw = await use().raw()
    const reply = await raw.call(1, 'basic.get', {})
    expect(reply).toMatchObject({
      name: 'channel.close',
      fields: { replyCode: 404, replyText: 'NOT_FOUND - no previously declared queue' },
    })
  })

  it('purges what is ready and keeps what is not acknowledged', async () => {
    const channel = await use().channel()
    const queue = use().name('purged')
    await channel.assertQueue(queue)
    send(channel, queue, 'held', 'b', 'c')
    const held = await getOne(channel, queue)
    expect(await channel.purgeQueue(queue)).toEqual({ messageCount: 2 })
    expect(await channel.purgeQueue(queue)).toEqual({ messageCount: 0 })
    if (held !== undefined) channel.nack(held)
    expect(await drain(channel, queue)).toEqual(['held'])
  })

  it.each([
    ['purge', 'queue.purge', 30],
    ['basic.get', 'basic.get', 70],
    ['basic.consume', 'basic.consume', 20],
  ])('answers %s of a missing queue with 404', async (_title, method, methodId) => {
    const raw = await use().raw()
    const queue = use().name('missing')
    expect(await raw.call(1, method, { queue })).toMatchObject({
      name: 'channel.close',
      fields: {
        replyCode: 404,
        replyText: `NOT_FOUND - no queue '${queue}' in vhost '/'`,
        methodId,
      },
    })
  })

  it('deletes a queue with what is in it and tells how much that was', async () => {
    const channel = await use().channel()
    const queue = use().name('deleted')
    await channel.assertQueue(queue)
    send(channel, queue, 'a', 'b')
    expect(await channel.deleteQueue(queue)).toEqual({ messageCount: 2 })
    await channel.assertQueue(queue)
    expect((await channel.checkQueue(queue)).messageCount).toBe(0)
  })

  it('deletes a missing queue without complaint', async () => {
    const channel = await use().channel()
    expect(await channel.deleteQueue(use().name('never'))).toEqual({ messageCount: 0 })
  })

  it('deletes with if-empty only when nothing is ready', async () => {
    const connection = await use().connect()
    const channel = await use().confirmChannel(connection)
    const queue = use().name('if-empty')
    await channel.assertQueue(queue)
    send(channel, queue, 'a')
    await channel.waitForConfirms()
    const refused = await use().channel(connection)
    const error = await channelError(refused, () => refused.deleteQueue(queue, { ifEmpty: true }))
    expect(error).toEqual({
      code: 406,
      text: `PRECONDITION_FAILED - queue '${queue}' in vhost '/' not empty`,
      classId: 50,
      methodId: 40,
    })
    await channel.purgeQueue(queue)
    expect(await channel.deleteQueue(queue, { ifEmpty: true })).toEqual({ messageCount: 0 })
  })

  it('deletes with if-unused only when nobody consumes', async () => {
    const connection = await use().connect()
    const channel = await use().channel(connection)
    const queue = use().name('if-unused')
    await channel.assertQueue(queue)
    const { consumerTag } = await consume(channel, queue)
    const refused = await use().channel(connection)
    const error = await channelError(refused, () => refused.deleteQueue(queue, { ifUnused: true }))
    expect(error).toMatchObject({
      code: 406,
      text: `PRECONDITION_FAILED - queue '${queue}' in vhost '/' in use`,
    })
    await channel.cancel(consumerTag)
    await channel.deleteQueue(queue, { ifUnused: true })
  })

  it('answers nothing to nowait methods', async () => {
    const raw = await use().raw()
    const queue = use().name('nowait')
    raw.send(1, 'queue.declare', { queue, durable: true, nowait: true })
    raw.publish(1, { routingKey: queue, body: 'x' })
    raw.send(1, 'queue.purge', { queue, nowait: true })
    const empty = await raw.call(1, 'queue.declare', { queue, passive: true })
    expect(empty.fields).toEqual({ queue, messageCount: 0, consumerCount: 0 })
    raw.send(1, 'queue.delete', { queue, nowait: true })
    const gone = await raw.call(1, 'queue.declare', { queue, passive: true })
    expect(gone).toMatchObject({ name: 'channel.close', fields: { replyCode: 404 } })
  })

  it('deletes an auto-delete queue with its last consumer', async () => {
    const connection = await use().connect()
    const channel = await use().channel(connection)
    const queue = use().name('auto')
    await channel.assertQueue(queue, { autoDelete: true })
    await channel.checkQueue(queue)
    const first = await consume(channel, queue)
    const second = await consume(channel, queue)
    await channel.cancel(first.consumerTag)
    await channel.checkQueue(queue)
    await channel.cancel(second.consumerTag)
    const error = await channelError(channel, () => channel.checkQueue(queue))
    expect(error.code).toBe(404)
  })

  it('deletes an auto-delete queue when the connection of its consumer ends', async () => {
    const watcher = await use().connect()
    const raw = await use().raw()
    const queue = use().name('auto')
    await raw.call(1, 'queue.declare', { queue, durable: true, autoDelete: true })
    await raw.call(1, 'basic.consume', { queue })
    raw.destroy()
    await eventually('the queue is gone', async () => {
      const channel = await use().channel(watcher)
      return await channel.checkQueue(queue).then(
        () => channel.close().then(() => false),
        () => true,
      )
    })
  })
})

describeBrokers('exclusive queues', (use) => {
  const locked = (queue: string): string =>
    `RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '${queue}' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration.`

  it.each([
    ['queue.declare', { exclusive: true }],
    ['queue.declare', { passive: true }],
    ['queue.bind', { exchange: 'amq.direct', routingKey: 'k' }],
    ['queue.unbind', { exchange: 'amq.direct', routingKey: 'k' }],
    ['queue.purge', {}],
    ['queue.delete', {}],
    ['basic.get', {}],
    ['basic.consume', {}],
  ])('refuses another connection %s %j', async (method, fields) => {
    const owner = await use().channel()
    const queue = use().name('mine')
    await owner.assertQueue(queue, { exclusive: true })
    await owner.bindQueue(queue, 'amq.direct', 'k')
    const raw = await use().raw()
    expect(await raw.call(1, method, { queue, ...fields })).toMatchObject({
      name: 'channel.close',
      fields: { replyCode: 405, replyText: locked(queue) },
    })
  })

  it('lets another channel of the same connection in', async () => {
    const connection = await use().connect()
    const channel = await use().channel(connection)
    const queue = use().name('mine')
    await channel.assertQueue(queue, { exclusive: true })
    const other = await use().channel(connection)
    await other.assertQueue(queue, { exclusive: true })
    send(other, queue, 'x')
    expect(await drain(other, queue)).toEqual(['x'])
  })

  it('lets other connections publish to it', async () => {
    const owner = await use().channel()
    const { queue } = await owner.assertQueue('', { exclusive: true })
    const other = await use().confirmChannel()
    send(other, queue, 'from outside')
    await other.waitForConfirms()
    expect(await drain(owner, queue)).toEqual(['from outside'])
  })

  it('is gone before the broker answers connection.close', async () => {
    const connection = await use().connect()
    const channel = await use().channel(connection)
    const queue = use().name('mine')
    await channel.assertQueue(queue, { exclusive: true })
    await connection.close()
    const other = await use().channel()
    const error = await channelError(other, () => other.checkQueue(queue))
    expect(error.code).toBe(404)
  })

  it('outlives its channel', async () => {
    const connection = await use().connect()
    const channel = await use().channel(connection)
    const { queue } = await channel.assertQueue('', { exclusive: true })
    send(channel, queue, 'kept')
    await channel.close()
    expect(await drain(await use().channel(connection), queue)).toEqual(['kept'])
  })

  it('is deleted when its connection drops without a word', async () => {
    const raw = await use().raw()
    const queue = use().name('mine')
    await raw.call(1, 'queue.declare', { queue, exclusive: true })
    raw.destroy()
    const watcher = await use().connect()
    await eventually('the queue is gone', async () => {
      const channel = await use().channel(watcher)
      const error = await channelError(channel, async () => {
        await channel.checkQueue(queue)
        channel.emit('error', Object.assign(new Error('there'), { code: 200 }))
      })
      return error.code === 404
    })
  })

  it('is never durable: declarations with and without the flag are equal', async () => {
    const channel = await use().channel()
    const queue = use().name('mine')
    await channel.assertQueue(queue, { exclusive: true, durable: false })
    expect((await channel.assertQueue(queue, { exclusive: true, durable: true })).queue).toBe(queue)
  })
})
