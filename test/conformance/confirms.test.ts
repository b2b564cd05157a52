// confirm.select: acks of the broker to the publisher.

import { expect, it } from 'vitest'
import { channelError, consume } from '../support/clients.ts'
import { describeBrokers } from '../support/profiles.ts'
import type { RawClient } from '../support/raw-client.ts'
import { numberOf, textOf } from '../support/raw-client.ts'

describeBrokers('confirms', (use) => {
  /** Reads basic.ack until all `count` publishes are confirmed; fails on anything else. */
  async function confirmed(raw: RawClient, count: number): Promise<Set<number>> {
    const tags = new Set<number>()
    let below = 0
    while (tags.size < count) {
      const ack = await raw.expect(1, 'basic.ack')
      const tag = numberOf(ack, 'deliveryTag')
      if (ack.fields['multiple'] === true) {
        for (let i = below + 1; i <= tag; i += 1) tags.add(i)
        below = tag
      } else {
        expect(tags.has(tag), `tag ${tag} confirmed twice`).toBe(false)
        tags.add(tag)
      }
    }
    return tags
  }

  it.each([1, 100, 3000])('confirms each of %d messages once', async (count) => {
    const raw = await use().raw()
    const queue = textOf(await raw.call(1, 'queue.declare', { exclusive: true }), 'queue')
    await raw.call(1, 'confirm.select')
    for (let i = 0; i < count; i += 1) raw.publish(1, { routingKey: queue, body: 'm' })
    const tags = await confirmed(raw, count)
    expect(Math.max(...tags)).toBe(count)
    const counted = await raw.call(1, 'queue.declare', { queue, passive: true })
    expect(counted.fields).toMatchObject({ messageCount: count })
  })

  it('answers confirm.select after the returns of what was published before', async () => {
    const raw = await use().raw()
    for (let i = 0; i < 20; i += 1) raw.publish(1, { routingKey: 'nobody', mandatory: true })
    raw.send(1, 'confirm.select', {})
    for (let i = 0; i < 20; i += 1) await raw.expect(1, 'basic.return')
    await raw.expect(1, 'confirm.select-ok')
  })

  it('confirms persistent messages in a durable queue', async () => {
    const raw = await use().raw()
    const queue = use().name('durable')
    await raw.call(1, 'queue.declare', { queue, durable: true })
    await raw.call(1, 'confirm.select')
    const properties = { deliveryMode: 2 }
    for (let i = 0; i < 200; i += 1) raw.publish(1, { routingKey: queue, properties, body: 'm' })
    await confirmed(raw, 200)
  })

  it('confirms once what goes to many queues, to one or to none', async () => {
    const raw = await use().raw()
    const exchange = use().name('fan')
    await raw.call(1, 'exchange.declare', { exchange, type: 'fanout', durable: true })
    for (let i = 0; i < 7; i += 1) {
      const queue = textOf(await raw.call(1, 'queue.declare', { exclusive: true }), 'queue')
      await raw.call(1, 'queue.bind', { queue, exchange })
    }
    const single = textOf(await raw.call(1, 'queue.declare', { exclusive: true }), 'queue')
    await raw.call(1, 'confirm.select')
    for (let i = 0; i < 50; i += 1) {
      raw.publish(1, { exchange, body: 'to seven' })
      raw.publish(1, { routingKey: single, body: 'to one' })
      raw.publish(1, { routingKey: 'nobody', body: 'to none' })
    }
    expect((await confirmed(raw, 150)).size).toBe(150)
  })

  it('counts from the first publish after confirm.select', async () => {
    const raw = await use().raw()
    raw.publish(1, { routingKey: 'nobody', body: 'before' })
    await raw.call(1, 'confirm.select')
    raw.publish(1, { routingKey: 'nobody', body: 'after' })
    expect(await raw.next(1)).toMatchObject({ name: 'basic.ack', fields: { deliveryTag: 1 } })
  })

  it('accepts confirm.select again and goes on counting', async () => {
    const raw = await use().raw()
    await raw.call(1, 'confirm.select')
    raw.publish(1, { routingKey: 'nobody', body: 'm' })
    await raw.expect(1, 'basic.ack')
    expect((await raw.call(1, 'confirm.select')).name).toBe('confirm.select-ok')
    raw.publish(1, { routingKey: 'nobody', body: 'm' })
    expect(await raw.next(1)).toMatchObject({ name: 'basic.ack', fields: { deliveryTag: 2 } })
  })

  it('counts each channel by itself', async () => {
    const raw = await use().raw()
    await raw.openChannel(2)
    await raw.call(1, 'confirm.select')
    await raw.call(2, 'confirm.select')
    raw.publish(1, { routingKey: 'nobody', body: 'm' })
    await raw.expect(1, 'basic.ack')
    raw.publish(2, { routingKey: 'nobody', body: 'm' })
    expect(await raw.next(2)).toMatchObject({ name: 'basic.ack', fields: { deliveryTag: 1 } })
  })

  it('answers nothing to confirm.select with nowait', async () => {
    const raw = await use().raw()
    raw.send(1, 'confirm.select', { nowait: true })
    raw.publish(1, { routingKey: 'nobody', body: 'm' })
    expect(await raw.next(1)).toMatchObject({ name: 'basic.ack', fields: { deliveryTag: 1 } })
  })

  it('confirms a message that a no-ack consumer gets at once', async () => {
    const connection = await use().connect()
    const consumer = await use().channel(connection)
    const { queue } = await consumer.assertQueue('', { exclusive: true })
    const inbox = await consume(consumer, queue, { noAck: true })
    const publisher = await use().confirmChannel(connection)
    for (let i = 0; i < 100; i += 1) publisher.sendToQueue(queue, Buffer.from(`${i}`))
    await publisher.waitForConfirms()
    expect(await inbox.bodies(100)).toHaveLength(100)
  })

  it('refuses confirm.select on a transactional channel', async () => {
    const raw = await use().raw()
    await raw.call(1, 'tx.select')
    expect(await raw.call(1, 'confirm.select')).toMatchObject({
      name: 'channel.close',
      fields: {
        replyCode: 406,
        replyText: 'PRECONDITION_FAILED - cannot switch from tx to confirm mode',
      },
    })
  })

  it('lets waiting publishers know when their channel closes', async () => {
    const channel = await use().confirmChannel()
    const error = await channelError(channel, () => {
      channel.publish(use().name('missing'), 'k', Buffer.from('m'))
    })
    expect(error.code).toBe(404)
    await expect(channel.waitForConfirms()).rejects.toThrow('channel closed')
  })
})
