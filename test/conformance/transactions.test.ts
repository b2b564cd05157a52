// tx.select, tx.commit and tx.rollback.

import { expect, it } from 'vitest'
import { drain, getOne } from '../support/clients.ts'
import { describeBrokers } from '../support/profiles.ts'
import type { RawClient } from '../support/raw-client.ts'

describeBrokers('transactions', (use) => {
  /** A peer in transaction mode, and another that looks at the queue from outside. */
  async function begin() {
    const raw = await use().raw()
    const queue = use().name('tx')
    await raw.call(1, 'queue.declare', { queue, durable: true })
    expect((await raw.call(1, 'tx.select')).name).toBe('tx.select-ok')
    const watcher = await use().channel()
    return { raw, queue, watcher }
  }

  async function get(raw: RawClient, queue: string): Promise<string | undefined> {
    return (await raw.call(1, 'basic.get', { queue })).body?.toString()
  }

  it('shows publishes only after the commit', async () => {
    const { raw, queue, watcher } = await begin()
    raw.publish(1, { routingKey: queue, body: 'a' })
    raw.publish(1, { routingKey: queue, body: 'b' })
    expect((await raw.call(1, 'basic.get', { queue })).name).toBe('basic.get-empty')
    expect(await drain(watcher, queue)).toEqual([])
    expect((await raw.call(1, 'tx.commit')).name).toBe('tx.commit-ok')
    expect(await drain(watcher, queue)).toEqual(['a', 'b'])
  })

  it('drops publishes at a rollback and goes on', async () => {
    const { raw, queue, watcher } = await begin()
    raw.publish(1, { routingKey: queue, body: 'dropped' })
    expect((await raw.call(1, 'tx.rollback')).name).toBe('tx.rollback-ok')
    raw.publish(1, { routingKey: queue, body: 'kept' })
    await raw.call(1, 'tx.commit')
    expect(await drain(watcher, queue)).toEqual(['kept'])
  })

  it('drops publishes when the channel closes without a commit', async () => {
    const { raw, queue, watcher } = await begin()
    raw.publish(1, { routingKey: queue, body: 'dropped' })
    await raw.call(1, 'channel.close', { replyCode: 200 })
    expect(await drain(watcher, queue)).toEqual([])
  })

  it('holds acknowledgements back until the commit', async () => {
    const { raw, queue, watcher } = await begin()
    watcher.sendToQueue(queue, Buffer.from('a'))
    watcher.sendToQueue(queue, Buffer.from('b'))
    await watcher.checkQueue(queue)
    expect(await get(raw, queue)).toBe('a')
    expect(await get(raw, queue)).toBe('b')
    raw.send(1, 'basic.ack', { deliveryTag: 1 })
    await raw.call(1, 'tx.commit')
    raw.send(1, 'basic.ack', { deliveryTag: 2 })
    await raw.call(1, 'channel.close', { replyCode: 200 })
    const left = await getOne(watcher, queue)
    expect(left?.content.toString()).toBe('b')
    expect(left?.fields.redelivered).toBe(true)
  })

  it('lets a delivery be settled again after a rollback, and does not redeliver it', async () => {
    const { raw, queue, watcher } = await begin()
    watcher.sendToQueue(queue, Buffer.from('a'))
    await watcher.checkQueue(queue)
    expect(await get(raw, queue)).toBe('a')
    raw.send(1, 'basic.ack', { deliveryTag: 1 })
    await raw.call(1, 'tx.rollback')
    expect((await raw.call(1, 'basic.get', { queue })).name).toBe('basic.get-empty')
    raw.send(1, 'basic.nack', { deliveryTag: 1, requeue: true })
    await raw.call(1, 'tx.commit')
    expect(await drain(watcher, queue)).toEqual(['a'])
  })

  it('requeues at the commit what was rejected', async () => {
    const { raw, queue, watcher } = await begin()
    watcher.sendToQueue(queue, Buffer.from('a'))
    await watcher.checkQueue(queue)
    await get(raw, queue)
    raw.send(1, 'basic.reject', { deliveryTag: 1, requeue: true })
    expect((await raw.call(1, 'basic.get', { queue })).name).toBe('basic.get-empty')
    await raw.call(1, 'tx.commit')
    expect(await drain(watcher, queue)).toEqual(['a'])
  })

  it('refuses a double acknowledgement before the commit', async () => {
    const { raw, queue, watcher } = await begin()
    watcher.sendToQueue(queue, Buffer.from('a'))
    await watcher.checkQueue(queue)
    await get(raw, queue)
    raw.send(1, 'basic.ack', { deliveryTag: 1 })
    raw.send(1, 'basic.ack', { deliveryTag: 1 })
    expect(await raw.next(1)).toMatchObject({
      name: 'channel.close',
      fields: { replyCode: 406, replyText: 'PRECONDITION_FAILED - unknown delivery tag 1' },
    })
  })

  it('refuses a publish to a missing exchange at once', async () => {
    const { raw } = await begin()
    raw.publish(1, { exchange: use().name('missing'), body: 'x' })
    expect(await raw.next(1)).toMatchObject({ name: 'channel.close', fields: { replyCode: 404 } })
  })

  it('returns mandatory messages', async () => {
    const { raw } = await begin()
    raw.publish(1, { routingKey: use().name('nobody'), mandatory: true, body: 'x' })
    raw.send(1, 'tx.commit')
    const answers = [(await raw.next(1)).name, (await raw.next(1)).name]
    expect(answers).toEqual(['basic.return', 'tx.commit-ok'])
  })

  it('commits messages to many queues', async () => {
    const { raw, watcher } = await begin()
    const queues: string[] = []
    for (let i = 0; i < 6; i += 1) {
      const queue = use().name('many')
      await raw.call(1, 'queue.declare', { queue, durable: true })
      queues.push(queue)
    }
    for (let i = 0; i < 60; i += 1)
      raw.publish(1, { routingKey: queues[i % 6] ?? '', body: `${i}` })
    await raw.call(1, 'tx.commit')
    for (const [at, queue] of queues.entries()) {
      const expected = Array.from({ length: 10 }, (_, i) => `${i * 6 + at}`)
      expect(await drain(watcher, queue)).toEqual(expected)
    }
  })

  it.each(['tx.commit', 'tx.rollback'])('refuses %s on an ordinary channel', async (method) => {
    const raw = await use().raw()
    expect(await raw.call(1, method)).toMatchObject({
      name: 'channel.close',
      fields: { replyCode: 406, replyText: 'PRECONDITION_FAILED - channel is not transactional' },
    })
  })

  it('refuses tx.select on a channel with confirms', async () => {
    const raw = await use().raw()
    await raw.call(1, 'confirm.select')
    expect(await raw.call(1, 'tx.select')).toMatchObject({
      name: 'channel.close',
      fields: {
        replyCode: 406,
        replyText: 'PRECONDITION_FAILED - cannot switch from confirm to tx mode',
      },
    })
  })

  it('accepts tx.select again', async () => {
    const { raw } = await begin()
    expect((await raw.call(1, 'tx.select')).name).toBe('tx.select-ok')
  })
})
