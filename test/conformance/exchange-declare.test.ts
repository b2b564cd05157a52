// exchange.declare and exchange.delete: predeclared exchanges, equivalence, refusals.

import { expect, it } from 'vitest'
import { channelError, getOne } from '../support/clients.ts'
import { describeBrokers } from '../support/profiles.ts'

describeBrokers('exchanges', (use) => {
  it.each([
    ['amq.direct', 'direct'],
    ['amq.fanout', 'fanout'],
    ['amq.topic', 'topic'],
    ['amq.headers', 'headers'],
    ['amq.match', 'headers'],
  ])('has a durable exchange %s of type %s from the start', async (name, type) => {
    const channel = await use().channel()
    await channel.checkExchange(name)
    await channel.assertExchange(name, type, { durable: true })
  })

  it('has amq.rabbitmq.trace as an internal topic exchange', async () => {
    const channel = await use().channel()
    await channel.assertExchange('amq.rabbitmq.trace', 'topic', { durable: true, internal: true })
    const error = await channelError(channel, () =>
      channel.publish('amq.rabbitmq.trace', 'k', Buffer.from('x')),
    )
    expect(error).toMatchObject({
      code: 403,
      text: "ACCESS_REFUSED - cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'",
    })
  })

  it('accepts an equal declaration again', async () => {
    const channel = await use().channel()
    const name = use().name('again')
    const options = { durable: false, autoDelete: true, internal: true }
    await channel.assertExchange(name, 'topic', options)
    await channel.assertExchange(name, 'topic', options)
  })

  it('compares no argument but the alternate exchange', async () => {
    const channel = await use().channel()
    const name = use().name('args')
    await channel.assertExchange(name, 'direct', { arguments: { 'x-first': 1 } })
    await channel.assertExchange(name, 'direct', { arguments: { 'x-second': 2 } })
  })

  it.each([
    ['type', { type: 'fanout' }, "received 'fanout' but current is 'direct'"],
    ['durable', { durable: false }, "received 'false' but current is 'true'"],
    ['auto_delete', { autoDelete: true }, "received 'true' but current is 'false'"],
    ['internal', { internal: true }, "received 'true' but current is 'false'"],
    [
      'alternate-exchange',
      { arguments: { 'alternate-exchange': 'amq.fanout' } },
      "received the value 'amq.fanout' of type 'longstr' but current is none",
    ],
  ])('refuses a declaration with another %s', async (property, change, difference) => {
    const channel = await use().channel()
    const name = use().name('other')
    await channel.assertExchange(name, 'direct')
    const { type = 'direct', ...options } = change as { type?: string }
    const error = await channelError(channel, () => channel.assertExchange(name, type, options))
    expect(error).toEqual({
      code: 406,
      text: `PRECONDITION_FAILED - inequivalent arg '${property}' for exchange '${name}' in vhost '/': ${difference}`,
      classId: 40,
      methodId: 10,
    })
  })

  it('refuses a declaration without the alternate exchange that it has', async () => {
    const channel = await use().channel()
    const name = use().name('alternate')
    await channel.assertExchange(name, 'direct', { alternateExchange: 'amq.fanout' })
    const error = await channelError(channel, () => channel.assertExchange(name, 'direct'))
    expect(error.code).toBe(406)
    expect(error.text).toBe(
      `PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange '${name}' in vhost '/': received none but current is the value 'amq.fanout' of type 'longstr'`,
    )
  })

  it('refuses an alternate exchange that is no string', async () => {
    const channel = await use().channel()
    const name = use().name('alternate')
    const args = { 'alternate-exchange': true }
    const error = await channelError(channel, () =>
      channel.assertExchange(name, 'direct', { arguments: args }),
    )
    expect(error).toMatchObject({
      code: 406,
      text: `PRECONDITION_FAILED - invalid type 'bool' for arg 'alternate-exchange' in exchange '${name}' in vhost '/'`,
    })
  })

  it('refuses a reserved name', async () => {
    const channel = await use().channel()
    const error = await channelError(channel, () => channel.assertExchange('amq.mine', 'direct'))
    expect(error).toMatchObject({
      code: 403,
      text: "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'",
    })
  })

  it('refuses to declare the default exchange', async () => {
    const channel = await use().channel()
    const error = await channelError(channel, () => channel.assertExchange('', 'direct'))
    expect(error).toMatchObject({
      code: 403,
      text: 'ACCESS_REFUSED - operation not permitted on the default exchange',
    })
  })

  it('strips carriage returns and line feeds from a name', async () => {
    const channel = await use().channel()
    const name = use().name('stripped')
    await channel.assertExchange(`\r${name}\n`, 'direct')
    await channel.checkExchange(name)
  })

  it('answers a passive declaration of a missing exchange with 404', async () => {
    const channel = await use().channel()
    const name = use().name('missing')
    const error = await channelError(channel, () => channel.checkExchange(name))
    expect(error).toEqual({
      code: 404,
      text: `NOT_FOUND - no exchange '${name}' in vhost '/'`,
      classId: 40,
      methodId: 10,
    })
  })

  it('answers a passive declaration whatever the properties are', async () => {
    const name = use().name('passive')
    const raw = await use().raw()
    await raw.call(1, 'exchange.declare', { exchange: name, type: 'fanout', autoDelete: true })
    const reply = await raw.call(1, 'exchange.declare', {
      exchange: name,
      type: 'direct',
      passive: true,
      durable: true,
    })
    expect(reply.name).toBe('exchange.declare-ok')
  })

  it('answers nothing to a declaration and a deletion with nowait', async () => {
    const name = use().name('nowait')
    const raw = await use().raw()
    raw.send(1, 'exchange.declare', { exchange: name, type: 'direct', nowait: true })
    const there = await raw.call(1, 'exchange.declare', { exchange: name, passive: true })
    expect(there.name).toBe('exchange.declare-ok')
    raw.send(1, 'exchange.delete', { exchange: name, nowait: true })
    const gone = await raw.call(1, 'exchange.declare', { exchange: name, passive: true })
    expect(gone).toMatchObject({ name: 'channel.close', fields: { replyCode: 404 } })
  })

  it('deletes an exchange and its bindings', async () => {
    const channel = await use().channel()
    const name = use().name('deleted')
    const { queue } = await channel.assertQueue('', { exclusive: true })
    await channel.assertExchange(name, 'fanout')
    await channel.bindQueue(queue, name, '')
    await channel.deleteExchange(name)
    await channel.assertExchange(name, 'fanout')
    channel.publish(name, '', Buffer.from('x'))
    expect((await channel.checkQueue(queue)).messageCount).toBe(0)
  })

  it('deletes a missing exchange without complaint', async () => {
    const channel = await use().channel()
    await channel.deleteExchange(use().name('never'))
  })

  it('deletes an exchange with if-unused only when it has no bindings', async () => {
    const connection = await use().connect()
    const channel = await use().channel(connection)
    const name = use().name('unused')
    const { queue } = await channel.assertQueue('', { exclusive: true })
    await channel.assertExchange(name, 'direct')
    await channel.bindQueue(queue, name, 'k')
    const refused = await use().channel(connection)
    const error = await channelError(refused, () =>
      refused.deleteExchange(name, { ifUnused: true }),
    )
    expect(error).toMatchObject({
      code: 406,
      text: `PRECONDITION_FAILED - exchange '${name}' in vhost '/' in use`,
      classId: 40,
      methodId: 20,
    })
    await channel.unbindQueue(queue, name, 'k')
    await channel.deleteExchange(name, { ifUnused: true })
    const gone = await channelError(channel, () => channel.checkExchange(name))
    expect(gone.code).toBe(404)
  })

  it.each(['', 'amq.direct', 'amq.topic'])('refuses to delete the exchange %j', async (name) => {
    const channel = await use().channel()
    const error = await channelError(channel, () => channel.deleteExchange(name))
    expect(error).toMatchObject({
      code: 403,
      text:
        name === ''
          ? 'ACCESS_REFUSED - operation not permitted on the default exchange'
          : `ACCESS_REFUSED - deletion of system exchange '${name}' in vhost '/' not allowed`,
    })
  })

  it('refuses an unknown exchange type', async () => {
    const raw = await use().raw()
    const reply = await raw.call(1, 'exchange.declare', {
      exchange: use().name('odd'),
      type: 'no-such-type',
    })
    expect(reply).toMatchObject({
      name: 'channel.close',
      fields: {
        replyCode: 406,
        replyText: "PRECONDITION_FAILED - unknown exchange type 'no-such-type'",
      },
    })
  })

  it('deletes an auto-delete exchange when its last binding goes, not before the first', async () => {
    const connection = await use().connect()
    const channel = await use().channel(connection)
    const name = use().name('auto')
    await channel.assertExchange(name, 'direct', { autoDelete: true })
    await channel.checkExchange(name)
    const { queue } = await channel.assertQueue('', { exclusive: true })
    await channel.bindQueue(queue, name, 'a')
    await channel.bindQueue(queue, name, 'b')
    await channel.unbindQueue(queue, name, 'a')
    await channel.checkExchange(name)
    await channel.unbindQueue(queue, name, 'b')
    const error = await channelError(channel, () => channel.checkExchange(name))
    expect(error.code).toBe(404)
  })

  it('deletes an auto-delete exchange when the last queue bound to it is deleted', async () => {
    const channel = await use().channel()
    const name = use().name('auto')
    await channel.assertExchange(name, 'direct', { autoDelete: true })
    const { queue } = await channel.assertQueue('', { exclusive: true })
    await channel.bindQueue(queue, name, 'a')
    await channel.deleteQueue(queue)
    const error = await channelError(channel, () => channel.checkExchange(name))
    expect(error.code).toBe(404)
  })

  it('refuses to publish to an internal exchange but routes through it', async () => {
    const connection = await use().connect()
    const channel = await use().channel(connection)
    const outer = use().name('outer')
    const inner = use().name('inner')
    await channel.assertExchange(outer, 'fanout')
    await channel.assertExchange(inner, 'fanout', { internal: true })
    await channel.bindExchange(inner, outer, '')
    const { queue } = await channel.assertQueue('', { exclusive: true })
    await channel.bindQueue(queue, inner, '')
    channel.publish(outer, '', Buffer.from('through'))
    const got = await getOne(channel, queue, { noAck: true })
    expect(got?.content.toString()).toBe('through')
    const error = await channelError(channel, () => channel.publish(inner, '', Buffer.from('no')))
    expect(error).toMatchObject({
      code: 403,
      text: `ACCESS_REFUSED - cannot publish to internal exchange '${inner}' in vhost '/'`,
      classId: 60,
      methodId: 40,
    })
  })
})
