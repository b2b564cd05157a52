// Opening and closing channels, channel.flow, and the scope of errors.

import { expect, it } from 'vitest'
import { channelError, drain, send } from '../support/clients.ts'
import { describeBrokers } from '../support/profiles.ts'
import { textOf } from '../support/raw-client.ts'

describeBrokers('channels', (use) => {
  it('refuses methods on a channel that is not open', async () => {
    const raw = await use().socket()
    await raw.login()
    expect(await raw.call(1, 'queue.declare', {})).toMatchObject({
      name: 'connection.close',
      fields: { replyCode: 504, replyText: "CHANNEL_ERROR - expected 'channel.open'" },
    })
  })

  it('refuses to open a channel twice', async () => {
    const raw = await use().raw()
    expect(await raw.call(1, 'channel.open')).toMatchObject({
      name: 'connection.close',
      fields: { replyCode: 504, replyText: "CHANNEL_ERROR - second 'channel.open' seen" },
    })
  })

  it('takes a channel number again right after its close', async () => {
    const raw = await use().raw()
    for (let i = 0; i < 50; i += 1) {
      expect((await raw.call(1, 'channel.close', { replyCode: 200 })).name).toBe('channel.close-ok')
      await raw.openChannel(1)
    }
    expect((await raw.call(1, 'queue.declare', { exclusive: true })).name).toBe('queue.declare-ok')
  })

  it('starts a reopened channel from scratch', async () => {
    const raw = await use().raw()
    const queue = textOf(await raw.call(1, 'queue.declare', { exclusive: true }), 'queue')
    await raw.call(1, 'confirm.select')
    raw.publish(1, { routingKey: queue, body: 'x' })
    await raw.expect(1, 'basic.ack')
    await raw.call(1, 'basic.get', { queue, noAck: true })
    await raw.call(1, 'channel.close', { replyCode: 200 })
    await raw.openChannel(1)
    // Without confirms, and with delivery tags from 1.
    raw.publish(1, { routingKey: queue, body: 'y' })
    expect(await raw.call(1, 'basic.get', { queue })).toMatchObject({
      name: 'basic.get-ok',
      fields: { deliveryTag: 1 },
    })
    await raw.call(1, 'channel.close', { replyCode: 200 })
    await raw.openChannel(1)
    expect(await raw.call(1, 'basic.get', {})).toMatchObject({
      name: 'channel.close',
      fields: { replyText: 'NOT_FOUND - no previously declared queue' },
    })
  })

  it('leaves other channels alone when it closes one', async () => {
    const connection = await use().connect()
    const [bad, good] = [await use().channel(connection), await use().channel(connection)]
    const { queue } = await good.assertQueue('', { exclusive: true })
    await channelError(bad, () => bad.checkQueue(use().name('missing')))
    send(good, queue, 'fine')
    expect(await drain(good, queue)).toEqual(['fine'])
  })

  it('ignores everything on a channel between its close and the close-ok', async () => {
    const raw = await use().raw()
    const queue = use().name('q')
    await raw.call(1, 'queue.declare', { queue, durable: true })
    raw.publish(1, { exchange: use().name('missing'), body: 'closes the channel' })
    for (let i = 0; i < 3; i += 1) raw.publish(1, { routingKey: queue, body: 'ignored' })
    raw.send(1, 'queue.declare', { queue: use().name('ignored') })
    raw.send(1, 'basic.ack', { deliveryTag: 77 })
    expect(await raw.next(1)).toMatchObject({ name: 'channel.close', fields: { replyCode: 404 } })
    raw.publish(1, { routingKey: queue, body: 'ignored' })
    raw.send(1, 'channel.close-ok')
    await raw.openChannel(1)
    const counted = await raw.call(1, 'queue.declare', { queue, passive: true })
    expect(counted).toMatchObject({ name: 'queue.declare-ok', fields: { messageCount: 0 } })
  })

  it('accepts a channel.close that crosses its own', async () => {
    const raw = await use().raw()
    raw.send(1, 'queue.declare', { queue: use().name('missing'), passive: true })
    raw.send(1, 'channel.close', { replyCode: 200 })
    expect((await raw.next(1)).name).toBe('channel.close')
    raw.send(1, 'channel.close-ok')
    expect((await raw.next(1)).name).toBe('channel.close-ok')
    await raw.openChannel(1)
  })

  it('answers channel.flow that turns the flow on', async () => {
    const raw = await use().raw()
    expect(await raw.call(1, 'channel.flow', { active: true })).toMatchObject({
      name: 'channel.flow-ok',
      fields: { active: true },
    })
  })

  it('refuses channel.flow that stops the flow', async () => {
    const raw = await use().raw()
    expect(await raw.call(1, 'channel.flow', { active: false })).toMatchObject({
      name: 'connection.close',
      fields: { replyCode: 540, replyText: 'NOT_IMPLEMENTED - active=false' },
    })
  })

  it('answers access.request with a ticket that means nothing', async () => {
    const raw = await use().raw()
    expect(await raw.call(1, 'access.request', { realm: '/data', active: true })).toMatchObject({
      name: 'access.request-ok',
      fields: { ticket: 1 },
    })
  })

  it('ends every channel of a connection with the connection', async () => {
    const connection = await use().connect()
    const channels = [await use().channel(connection), await use().channel(connection)]
    const queue = use().name('q')
    for (const channel of channels) {
      await channel.assertQueue(queue)
      send(channel, queue, 'x')
      await channel.get(queue)
    }
    await connection.close()
    const other = await use().channel()
    expect(await drain(other, queue)).toHaveLength(2)
  })

  it('serves many channels of one connection at once', async () => {
    const connection = await use().connect()
    const counts = await Promise.all(
      Array.from({ length: 40 }, async () => {
        const channel = await use().confirmChannel(connection)
        const { queue } = await channel.assertQueue('', { exclusive: true })
        for (let i = 0; i < 20; i += 1) channel.sendToQueue(queue, Buffer.from(`${i}`))
        await channel.waitForConfirms()
        return (await drain(channel, queue)).length
      }),
    )
    expect(counts).toEqual(counts.map(() => 20))
  })

  it('cuts long error texts at 255 bytes', async () => {
    const raw = await use().raw()
    const queue = `${use().name('long')}-${'x'.repeat(220)}`
    const reply = await raw.call(1, 'queue.declare', { queue, passive: true })
    const text = textOf(reply, 'replyText')
    expect(text).toHaveLength(255)
    expect(text.startsWith("NOT_FOUND - no queue 'long-")).toBe(true)
    expect(text.endsWith('...')).toBe(true)
  })

  it('accepts names of 255 bytes', async () => {
    const channel = await use().channel()
    const queue = 'q'.repeat(255)
    expect((await channel.assertQueue(queue, { exclusive: true })).queue).toBe(queue)
    const key = 'k'.repeat(255)
    await channel.bindQueue(queue, 'amq.direct', key)
    channel.publish('amq.direct', key, Buffer.from('x'))
    expect(await drain(channel, queue)).toEqual(['x'])
  })
})
