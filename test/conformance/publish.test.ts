// basic.publish and basic.return: flags, properties, sender-selected keys, refusals.

import type { Message } from 'amqplib'
import { expect, it } from 'vitest'
import { TypedValue } from '../support/amqp-wire.ts'
import { channelError, drain, getOne } from '../support/clients.ts'
import { describeBrokers } from '../support/profiles.ts'

describeBrokers('publish', (use) => {
  it('keeps every property and the type of every header', async () => {
    const raw = await use().raw()
    const queue = use().name('kept')
    await raw.call(1, 'queue.declare', { queue, durable: true })
    const properties = {
      contentType: 'text/plain',
      contentEncoding: 'utf-8',
      headers: {
        array: [1, 'two', true],
        bytes: Buffer.from([0, 255]),
        double: 0.5,
        int: -5,
        long: 2 ** 40,
        table: { nested: 'yes' },
        text: 'grüße',
        time: new TypedValue('T', 1_700_000_000),
        truth: false,
        void: null,
      },
      deliveryMode: 2,
      priority: 7,
      correlationId: 'c-1',
      replyTo: 'somewhere',
      expiration: '60000',
      messageId: 'm-1',
      timestamp: 1_700_000_000,
      type: 'kind',
      userId: 'guest',
      appId: 'app',
    }
    raw.publish(1, { routingKey: queue, properties, body: 'x' })
    const got = await raw.call(1, 'basic.get', { queue, noAck: true })
    expect(got.properties).toEqual({
      ...properties,
      headers: { ...properties.headers, time: 1_700_000_000 },
    })
  })

  it('keeps an absent property absent and an empty one empty', async () => {
    const raw = await use().raw()
    const queue = use().name('empty')
    await raw.call(1, 'queue.declare', { queue, durable: true })
    raw.publish(1, { routingKey: queue, body: 'x' })
    raw.publish(1, { routingKey: queue, body: 'x', properties: { correlationId: '', headers: {} } })
    expect((await raw.call(1, 'basic.get', { queue, noAck: true })).properties).toEqual({})
    expect((await raw.call(1, 'basic.get', { queue, noAck: true })).properties).toEqual({
      correlationId: '',
      headers: {},
    })
  })

  it('shows the exchange and the key of the publish', async () => {
    const channel = await use().channel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    await channel.bindQueue(queue, 'amq.topic', `#.${queue}`)
    channel.publish('amq.topic', `a.b.${queue}`, Buffer.from('x'))
    channel.publish('', queue, Buffer.from('y'))
    const first = await getOne(channel, queue, { noAck: true })
    const second = await getOne(channel, queue, { noAck: true })
    expect(first?.fields).toMatchObject({
      exchange: 'amq.topic',
      routingKey: `a.b.${queue}`,
      redelivered: false,
      messageCount: 1,
    })
    expect(second?.fields).toMatchObject({ exchange: '', routingKey: queue })
  })

  it('closes the channel when the exchange is missing', async () => {
    const channel = await use().channel()
    const name = use().name('missing')
    const error = await channelError(channel, () => channel.publish(name, 'k', Buffer.from('x')))
    expect(error).toEqual({
      code: 404,
      text: `NOT_FOUND - no exchange '${name}' in vhost '/'`,
      classId: 60,
      methodId: 40,
    })
  })

  it('drops what no queue matches', async () => {
    const channel = await use().confirmChannel()
    channel.publish('amq.direct', use().name('nobody'), Buffer.from('x'))
    await channel.waitForConfirms()
  })

  it('returns a mandatory message that no queue gets, whole, with 312', async () => {
    const channel = await use().channel()
    const returned = new Promise<Message>((resolve) => channel.once('return', resolve))
    const key = use().name('nobody')
    const options = { mandatory: true, messageId: 'm', headers: { h: 1 } }
    channel.publish('amq.direct', key, Buffer.from('come back'), options)
    const message = await returned
    expect(message.fields).toMatchObject({
      replyCode: 312,
      replyText: 'NO_ROUTE',
      exchange: 'amq.direct',
      routingKey: key,
    })
    expect(message.properties).toMatchObject({ messageId: 'm', headers: { h: 1 } })
    expect(message.content.toString()).toBe('come back')
  })

  it('returns an unroutable mandatory message before it confirms it', async () => {
    const raw = await use().raw()
    await raw.call(1, 'confirm.select')
    for (const routingKey of [use().name('a'), use().name('b')]) {
      raw.publish(1, { routingKey, mandatory: true, body: 'x' })
      const first = await raw.next(1)
      expect(first).toMatchObject({ name: 'basic.return', fields: { replyCode: 312, routingKey } })
      expect((await raw.next(1)).name).toBe('basic.ack')
    }
  })

  it('does not return a mandatory message that a queue gets', async () => {
    const channel = await use().confirmChannel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    let returned = false
    channel.on('return', () => {
      returned = true
    })
    channel.sendToQueue(queue, Buffer.from('x'), { mandatory: true })
    await channel.waitForConfirms()
    expect(returned).toBe(false)
    expect(await drain(channel, queue)).toEqual(['x'])
  })

  it('refuses immediate with 540 on the connection', async () => {
    const raw = await use().raw()
    raw.publish(1, { routingKey: 'k', immediate: true, body: 'x' })
    expect(await raw.next(0)).toMatchObject({
      name: 'connection.close',
      fields: {
        replyCode: 540,
        replyText: 'NOT_IMPLEMENTED - immediate=true',
        classId: 60,
        methodId: 40,
      },
    })
  })

  it('routes by the keys in CC and BCC too and hides BCC', async () => {
    const channel = await use().channel()
    const [to, copy, blind] = await Promise.all(
      ['to', 'cc', 'bcc'].map((stem) => channel.assertQueue(use().name(stem))),
    )
    const headers = { CC: [copy?.queue], BCC: [blind?.queue], other: 1 }
    channel.publish('', to?.queue ?? '', Buffer.from('m'), { headers })
    for (const { queue } of [to, copy, blind].filter((reply) => reply !== undefined)) {
      const got = await getOne(channel, queue, { noAck: true })
      expect(got?.properties.headers).toEqual({ CC: [copy?.queue], other: 1 })
      expect(got?.fields.routingKey).toBe(to?.queue)
    }
  })

  it('delivers once to a queue that CC names again', async () => {
    const channel = await use().channel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    const options = { CC: [queue, queue], BCC: queue }
    channel.publish('', queue, Buffer.from('m'), options)
    expect(await drain(channel, queue)).toEqual(['m'])
  })

  it('counts a message that only CC or BCC routes as routed', async () => {
    const channel = await use().confirmChannel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    let returned = 0
    channel.on('return', () => {
      returned += 1
    })
    channel.publish('', 'nobody', Buffer.from('cc'), { CC: [queue], mandatory: true })
    channel.publish('', 'nobody', Buffer.from('bcc'), { BCC: [queue], mandatory: true })
    await channel.waitForConfirms()
    expect(returned).toBe(0)
    expect(await drain(channel, queue)).toEqual(['cc', 'bcc'])
  })

  it('applies CC keys in a topic exchange', async () => {
    const channel = await use().channel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    await channel.bindQueue(queue, 'amq.topic', `${queue}.*`)
    channel.publish('amq.topic', 'x', Buffer.from('m'), { CC: [`${queue}.yes`] })
    expect(await drain(channel, queue)).toEqual(['m'])
  })

  it.each([
    ['CC', 'text', 'longstr'],
    ['BCC', true, 'bool'],
  ])('refuses a %s header that is no array', async (header, value, typeName) => {
    const channel = await use().channel()
    const headers = { [header]: value }
    const error = await channelError(channel, () =>
      channel.publish('', 'k', Buffer.from('m'), { headers }),
    )
    expect(error).toMatchObject({
      code: 406,
      text: `PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"${header}",${typeName}}`,
    })
  })

  it('refuses a user-id that is not the user', async () => {
    const channel = await use().channel()
    const error = await channelError(channel, () =>
      channel.publish('', 'k', Buffer.from('x'), { userId: 'bob' }),
    )
    expect(error).toEqual({
      code: 406,
      text: "PRECONDITION_FAILED - user_id property set to 'bob' but authenticated user was 'guest'",
      classId: 60,
      methodId: 40,
    })
  })

  it.each([
    ['abc', 'no_integer'],
    ['-1', '{value_negative,-1}'],
    ['315360000001', '{value_too_large,315360000001}'],
    ['10x', '{leftover_string,"x"}'],
  ])('refuses expiration %s', async (expiration, reason) => {
    const channel = await use().channel()
    const error = await channelError(channel, () =>
      channel.publish('', 'k', Buffer.from('x'), { expiration }),
    )
    expect(error).toMatchObject({
      code: 406,
      text: `PRECONDITION_FAILED - invalid expiration '${expiration}': ${reason}`,
    })
  })

  it('keeps the order of one channel', async () => {
    const channel = await use().confirmChannel()
    const queue = use().name('ordered')
    await channel.assertQueue(queue)
    const expected = Array.from({ length: 500 }, (_, i) => `${i}`)
    for (const body of expected) channel.sendToQueue(queue, Buffer.from(body))
    await channel.waitForConfirms()
    expect(await drain(channel, queue)).toEqual(expected)
  })

  it('has what a channel published before it answers the next method of that channel', async () => {
    const connection = await use().connect()
    const channel = await use().channel(connection)
    for (let i = 0; i < 20; i += 1) {
      const queue = use().name('fence')
      await channel.assertQueue(queue)
      channel.sendToQueue(queue, Buffer.from(`${i}`))
      const got = await getOne(channel, queue, { noAck: true })
      expect(got?.content.toString()).toBe(`${i}`)
    }
  })
})
