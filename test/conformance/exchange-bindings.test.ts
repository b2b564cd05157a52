// Bindings between exchanges, queue bindings, and alternate exchanges.

import { expect, it } from 'vitest'
import { channelError, drain } from '../support/clients.ts'
import { describeBrokers } from '../support/profiles.ts'

describeBrokers('bindings', (use) => {
  it('routes from exchange to exchange to queue', async () => {
    const channel = await use().channel()
    const [first, second, third] = [use().name('e1'), use().name('e2'), use().name('e3')]
    await channel.assertExchange(first, 'topic')
    await channel.assertExchange(second, 'fanout')
    await channel.assertExchange(third, 'direct')
    await channel.bindExchange(second, first, 'a.#')
    await channel.bindExchange(third, second, '')
    const { queue } = await channel.assertQueue('', { exclusive: true })
    await channel.bindQueue(queue, third, 'a.b')
    channel.publish(first, 'a.b', Buffer.from('yes'))
    channel.publish(first, 'a.c', Buffer.from('wrong key at the end'))
    channel.publish(first, 'b', Buffer.from('wrong key at the start'))
    expect(await drain(channel, queue)).toEqual(['yes'])
  })

  it('delivers one copy to a queue that is reached twice and survives a loop', async () => {
    const channel = await use().channel()
    const [first, second] = [use().name('e1'), use().name('e2')]
    await channel.assertExchange(first, 'fanout')
    await channel.assertExchange(second, 'fanout')
    await channel.bindExchange(second, first, '')
    await channel.bindExchange(first, second, '')
    const { queue } = await channel.assertQueue('', { exclusive: true })
    await channel.bindQueue(queue, first, '')
    await channel.bindQueue(queue, second, '')
    channel.publish(first, '', Buffer.from('one'))
    channel.publish(second, '', Buffer.from('two'))
    expect(await drain(channel, queue)).toEqual(['one', 'two'])
  })

  it('stops routing after exchange.unbind and answers a second one alike', async () => {
    const channel = await use().channel()
    const [first, second] = [use().name('e1'), use().name('e2')]
    await channel.assertExchange(first, 'fanout')
    await channel.assertExchange(second, 'fanout')
    const { queue } = await channel.assertQueue('', { exclusive: true })
    await channel.bindQueue(queue, second, '')
    await channel.bindExchange(second, first, '')
    channel.publish(first, '', Buffer.from('one'))
    await channel.unbindExchange(second, first, '')
    await channel.unbindExchange(second, first, '')
    channel.publish(first, '', Buffer.from('two'))
    expect(await drain(channel, queue)).toEqual(['one'])
  })

  it('deletes the bindings between exchanges with either of them', async () => {
    const channel = await use().channel()
    const [first, second] = [use().name('e1'), use().name('e2')]
    const { queue } = await channel.assertQueue('', { exclusive: true })
    for (const deleted of [first, second]) {
      await channel.assertExchange(first, 'fanout')
      await channel.assertExchange(second, 'fanout')
      await channel.bindExchange(second, first, '')
      await channel.deleteExchange(deleted)
      await channel.assertExchange(deleted, 'fanout')
      await channel.bindQueue(queue, second, '')
      channel.publish(first, '', Buffer.from('x'))
      expect(await drain(channel, queue)).toEqual([])
    }
  })

  it.each([
    ['destination', (there: string, missing: string) => [missing, there]],
    ['source', (there: string, missing: string) => [there, missing]],
  ])('answers exchange.bind with a missing %s with 404', async (_side, order) => {
    const channel = await use().channel()
    const missing = use().name('missing')
    const [destination = '', source = ''] = order('amq.direct', missing)
    const error = await channelError(channel, () => channel.bindExchange(destination, source, ''))
    expect(error).toEqual({
      code: 404,
      text: `NOT_FOUND - no exchange '${missing}' in vhost '/'`,
      classId: 40,
      methodId: 30,
    })
  })

  it('answers queue.bind with a missing queue or exchange with 404', async () => {
    const connection = await use().connect()
    const missing = use().name('missing')
    const first = await use().channel(connection)
    const noQueue = await channelError(first, () => first.bindQueue(missing, 'amq.direct', 'k'))
    expect(noQueue).toEqual({
      code: 404,
      text: `NOT_FOUND - no queue '${missing}' in vhost '/'`,
      classId: 50,
      methodId: 20,
    })
    const second = await use().channel(connection)
    const { queue } = await second.assertQueue('', { exclusive: true })
    const noExchange = await channelError(second, () => second.bindQueue(queue, missing, 'k'))
    expect(noExchange.text).toBe(`NOT_FOUND - no exchange '${missing}' in vhost '/'`)
  })

  it('accepts a binding twice and removes it at once', async () => {
    const channel = await use().channel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    const exchange = use().name('e')
    await channel.assertExchange(exchange, 'direct')
    await channel.bindQueue(queue, exchange, 'k', { n: 1 })
    await channel.bindQueue(queue, exchange, 'k', { n: 1 })
    channel.publish(exchange, 'k', Buffer.from('one'))
    expect(await drain(channel, queue)).toEqual(['one'])
    await channel.unbindQueue(queue, exchange, 'k', { n: 1 })
    channel.publish(exchange, 'k', Buffer.from('two'))
    expect(await drain(channel, queue)).toEqual([])
  })

  it('tells bindings with other arguments apart', async () => {
    const channel = await use().channel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    const exchange = use().name('e')
    await channel.assertExchange(exchange, 'direct')
    await channel.bindQueue(queue, exchange, 'k', { n: 1 })
    await channel.bindQueue(queue, exchange, 'k', { n: 2 })
    await channel.unbindQueue(queue, exchange, 'k', { n: 1 })
    channel.publish(exchange, 'k', Buffer.from('still'))
    expect(await drain(channel, queue)).toEqual(['still'])
  })

  it('takes the order of binding arguments as irrelevant', async () => {
    const channel = await use().channel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    const exchange = use().name('e')
    await channel.assertExchange(exchange, 'headers')
    await channel.bindQueue(queue, exchange, '', { a: 1, b: 2 })
    await channel.unbindQueue(queue, exchange, '', { b: 2, a: 1 })
    channel.publish(exchange, '', Buffer.from('x'), { headers: { a: 1, b: 2 } })
    expect(await drain(channel, queue)).toEqual([])
  })

  it('unbinds what is not bound without complaint', async () => {
    const channel = await use().channel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    await channel.unbindQueue(queue, 'amq.direct', 'never')
    await channel.checkQueue(queue)
  })

  it('uses the alternate exchange only for what matched nothing', async () => {
    const channel = await use().channel()
    const [main, spare] = [use().name('main'), use().name('spare')]
    await channel.assertExchange(spare, 'fanout')
    await channel.assertExchange(main, 'direct', { alternateExchange: spare })
    const { queue: matched } = await channel.assertQueue('', { exclusive: true })
    const { queue: left } = await channel.assertQueue('', { exclusive: true })
    await channel.bindQueue(matched, main, 'k')
    await channel.bindQueue(left, spare, '')
    channel.publish(main, 'k', Buffer.from('matched'))
    channel.publish(main, 'other', Buffer.from('left'))
    expect(await drain(channel, matched)).toEqual(['matched'])
    expect(await drain(channel, left)).toEqual(['left'])
  })

  it('follows a chain of alternate exchanges and stops at a loop', async () => {
    const channel = await use().confirmChannel()
    const [first, second, third] = [use().name('a1'), use().name('a2'), use().name('a3')]
    await channel.assertExchange(first, 'direct', { alternateExchange: second })
    await channel.assertExchange(second, 'direct', { alternateExchange: third })
    await channel.assertExchange(third, 'direct', { alternateExchange: first })
    const { queue } = await channel.assertQueue('', { exclusive: true })
    await channel.bindQueue(queue, third, 'k')
    const returned: string[] = []
    channel.on('return', (message) => returned.push(message.content.toString()))
    channel.publish(first, 'k', Buffer.from('third'), { mandatory: true })
    channel.publish(first, 'none', Buffer.from('nobody'), { mandatory: true })
    await channel.waitForConfirms()
    expect(await drain(channel, queue)).toEqual(['third'])
    expect(returned).toEqual(['nobody'])
  })

  it('drops what would go to an alternate exchange that does not exist', async () => {
    const channel = await use().confirmChannel()
    const main = use().name('main')
    await channel.assertExchange(main, 'direct', { alternateExchange: use().name('nowhere') })
    channel.publish(main, 'k', Buffer.from('x'))
    await channel.waitForConfirms()
  })

  it('answers nothing to queue.bind with nowait', async () => {
    const raw = await use().raw()
    const declared = await raw.call(1, 'queue.declare', { exclusive: true })
    const queue = declared.fields['queue'] ?? ''
    raw.send(1, 'queue.bind', { queue, exchange: 'amq.direct', routingKey: queue, nowait: true })
    raw.publish(1, { exchange: 'amq.direct', routingKey: String(queue), body: 'bound' })
    const got = await raw.call(1, 'basic.get', { queue, noAck: true })
    expect(got.body?.toString()).toBe('bound')
  })
})
