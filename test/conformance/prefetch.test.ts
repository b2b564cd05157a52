// basic.qos: limits per consumer and per channel.

import type { Channel } from 'amqplib'
import { expect, it } from 'vitest'
import type { Inbox } from '../support/clients.ts'
import { consume, drain, send } from '../support/clients.ts'
import { describeBrokers } from '../support/profiles.ts'
import { textOf } from '../support/raw-client.ts'
import { eventually } from '../support/wait.ts'

describeBrokers('prefetch', (use) => {
  /** Nothing more can be on its way once the broker has answered a later method. */
  async function settled(channel: Channel, queue: string): Promise<void> {
    await channel.checkQueue(queue)
    await channel.checkQueue(queue)
  }

  async function filled(channel: Channel, count: number): Promise<string> {
    const queue = use().name('q')
    await channel.assertQueue(queue)
    for (let i = 1; i <= count; i += 1) send(channel, queue, `${i}`)
    return queue
  }

  const ackAll = (channel: Channel, inbox: Inbox): void => {
    for (const message of inbox.messages.splice(0)) channel.ack(message)
  }

  it('stops at the limit and goes on as messages are settled', async () => {
    const channel = await use().channel()
    const queue = await filled(channel, 7)
    await channel.prefetch(3)
    const inbox = await consume(channel, queue)
    await inbox.bodies(3)
    await settled(channel, queue)
    expect(inbox.messages).toHaveLength(3)
    ackAll(channel, inbox)
    expect(await inbox.bodies(3)).toEqual(['4', '5', '6'])
    const [first] = inbox.messages
    if (first !== undefined) channel.reject(first, false)
    expect(await inbox.bodies(4)).toEqual(['4', '5', '6', '7'])
  })

  it('gives credit back for a requeue', async () => {
    const channel = await use().channel()
    const queue = await filled(channel, 1)
    await channel.prefetch(1)
    const inbox = await consume(channel, queue)
    await inbox.bodies(1)
    for (const message of inbox.messages) channel.nack(message)
    expect(await inbox.bodies(2)).toEqual(['1', '1'])
  })

  it('limits each later consumer of the channel by itself', async () => {
    const channel = await use().channel()
    const queue = await filled(channel, 10)
    await channel.prefetch(2)
    const first = await consume(channel, queue)
    const second = await consume(channel, queue)
    await first.bodies(2)
    await second.bodies(2)
    await settled(channel, queue)
    expect(first.messages.length + second.messages.length).toBe(4)
  })

  it('leaves existing consumers as they are', async () => {
    const channel = await use().channel()
    const queue = await filled(channel, 5)
    await channel.prefetch(2)
    const inbox = await consume(channel, queue)
    await channel.prefetch(4)
    await inbox.bodies(2)
    await settled(channel, queue)
    expect(inbox.messages).toHaveLength(2)
  })

  it('takes 0 as no limit', async () => {
    const channel = await use().channel()
    const queue = await filled(channel, 50)
    await channel.prefetch(1)
    await channel.prefetch(0)
    const inbox = await consume(channel, queue)
    expect(await inbox.bodies(50)).toHaveLength(50)
  })

  it('does not limit a no-ack consumer', async () => {
    const channel = await use().channel()
    const queue = await filled(channel, 20)
    await channel.prefetch(1)
    const inbox = await consume(channel, queue, { noAck: true })
    expect(await inbox.bodies(20)).toHaveLength(20)
  })

  it('shares a global limit between the consumers of a channel', async () => {
    const channel = await use().channel()
    const [one, two] = [await filled(channel, 10), await filled(channel, 10)]
    await channel.prefetch(5, true)
    const first = await consume(channel, one)
    const second = await consume(channel, two)
    const count = (): number => first.messages.length + second.messages.length
    await eventually('five messages', () => count() >= 5)
    await settled(channel, one)
    await settled(channel, two)
    expect(count()).toBe(5)
    ackAll(channel, first)
    ackAll(channel, second)
    await eventually('five more', () => count() >= 5)
    await settled(channel, one)
    await settled(channel, two)
    expect(count()).toBe(5)
  })

  it('keeps both limits when both are set', async () => {
    const channel = await use().channel()
    const queue = await filled(channel, 20)
    await channel.prefetch(4, false)
    await channel.prefetch(6, true)
    const first = await consume(channel, queue)
    const second = await consume(channel, queue)
    const count = (): number => first.messages.length + second.messages.length
    await eventually('six messages', () => count() >= 6)
    await settled(channel, queue)
    expect(first.messages.length).toBeLessThanOrEqual(4)
    expect(second.messages.length).toBeLessThanOrEqual(4)
    expect(count()).toBe(6)
  })

  it('lifts a global limit with 0', async () => {
    const channel = await use().channel()
    const queue = await filled(channel, 10)
    await channel.prefetch(2, true)
    const inbox = await consume(channel, queue)
    await inbox.bodies(2)
    await channel.prefetch(0, true)
    expect(await inbox.bodies(10)).toHaveLength(10)
  })

  it('delivers everything under a small limit', async () => {
    const channel = await use().channel()
    const queue = await filled(channel, 200)
    await channel.prefetch(3)
    const got: string[] = []
    await new Promise<void>((resolve, reject) => {
      channel
        .consume(queue, (message) => {
          if (message === null) return
          got.push(message.content.toString())
          channel.ack(message)
          if (got.length === 200) resolve()
        })
        .catch(reject)
    })
    expect(got).toEqual(Array.from({ length: 200 }, (_, i) => `${i + 1}`))
    expect(await drain(channel, queue)).toEqual([])
  })

  it('refuses a prefetch size with 540 on the connection', async () => {
    const raw = await use().raw()
    expect(await raw.call(1, 'basic.qos', { prefetchSize: 10 })).toMatchObject({
      name: 'connection.close',
      fields: { replyCode: 540, replyText: 'NOT_IMPLEMENTED - prefetch_size!=0 (10)' },
    })
  })

  it('keeps the limits of two channels apart', async () => {
    const raw = await use().raw()
    await raw.openChannel(2)
    const queue = textOf(await raw.call(1, 'queue.declare', { exclusive: true }), 'queue')
    await raw.call(1, 'basic.qos', { prefetchCount: 1 })
    await raw.call(2, 'basic.qos', { prefetchCount: 2 })
    await raw.call(1, 'basic.consume', { queue })
    await raw.call(2, 'basic.consume', { queue })
    for (let i = 0; i < 6; i += 1) raw.publish(1, { routingKey: queue, body: `${i}` })
    await raw.expect(1, 'basic.deliver')
    await raw.expect(2, 'basic.deliver')
    await raw.expect(2, 'basic.deliver')
    const counted = await raw.call(1, 'queue.declare', { queue, passive: true })
    expect(counted).toMatchObject({ name: 'queue.declare-ok', fields: { messageCount: 3 } })
  })
})
