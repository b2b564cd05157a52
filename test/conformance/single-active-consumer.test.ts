// x-single-active-consumer: one consumer gets everything, the next one takes over.

import { expect, it } from 'vitest'
import { channelError, consume, send } from '../support/clients.ts'
import { describeBrokers } from '../support/profiles.ts'

const SINGLE = { arguments: { 'x-single-active-consumer': true } }

describeBrokers('single active consumer', (use) => {
  it('delivers to the first consumer only', async () => {
    const channel = await use().channel()
    const queue = use().name('sac')
    await channel.assertQueue(queue, SINGLE)
    const first = await consume(channel, queue, { noAck: true })
    const second = await consume(channel, queue, { noAck: true })
    send(channel, queue, '1', '2', '3', '4')
    expect(await first.bodies(4)).toEqual(['1', '2', '3', '4'])
    expect((await channel.checkQueue(queue)).consumerCount).toBe(2)
    expect(second.messages).toHaveLength(0)
  })

  it('hands over to the next in line when the active one is cancelled', async () => {
    const channel = await use().channel()
    const queue = use().name('sac')
    await channel.assertQueue(queue, SINGLE)
    const [first, second, third] = [
      await consume(channel, queue, { noAck: true }),
      await consume(channel, queue, { noAck: true }),
      await consume(channel, queue, { noAck: true }),
    ]
    send(channel, queue, '1')
    await first.bodies(1)
    await channel.cancel(first.consumerTag)
    send(channel, queue, '2')
    expect(await second.bodies(1)).toEqual(['2'])
    await channel.cancel(second.consumerTag)
    send(channel, queue, '3')
    expect(await third.bodies(1)).toEqual(['3'])
  })

  it('hands over with what was not settled when the active connection goes', async () => {
    const raw = await use().raw()
    const queue = use().name('sac')
    await raw.call(1, 'queue.declare', {
      queue,
      durable: true,
      arguments: { 'x-single-active-consumer': true },
    })
    await raw.call(1, 'basic.consume', { queue })
    const channel = await use().channel()
    const waiting = await consume(channel, queue)
    send(channel, queue, 'a', 'b')
    await raw.expect(1, 'basic.deliver')
    await raw.expect(1, 'basic.deliver')
    expect(waiting.messages).toHaveLength(0)
    raw.destroy()
    expect(await waiting.bodies(2)).toEqual(['a', 'b'])
    expect(waiting.messages.every((message) => message.fields.redelivered)).toBe(true)
  })

  it('does not let a waiting consumer in when the active one has no credit', async () => {
    const channel = await use().channel()
    const queue = use().name('sac')
    await channel.assertQueue(queue, SINGLE)
    await channel.prefetch(1)
    const first = await consume(channel, queue)
    const second = await consume(channel, queue)
    send(channel, queue, '1', '2')
    await first.bodies(1)
    expect((await channel.checkQueue(queue)).messageCount).toBe(1)
    expect(second.messages).toHaveLength(0)
  })

  it('refuses an exclusive consumer', async () => {
    const channel = await use().channel()
    const queue = use().name('sac')
    await channel.assertQueue(queue, SINGLE)
    const error = await channelError(channel, () =>
      channel.consume(queue, () => {}, { exclusive: true }),
    )
    expect(error.code).toBe(403)
    expect(error.text).toMatch(/^ACCESS_REFUSED - /)
  })
})
