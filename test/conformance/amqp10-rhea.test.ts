// AMQP 1.0 with rhea and rhea-promise, and traffic between them and 0-9-1 clients.

import type { Delivery, EventContext, Message, Receiver, Connection as RheaConnection } from 'rhea'
import rhea from 'rhea'
import type { Connection as PromiseConnection, Message as PromiseMessage } from 'rhea-promise'
import { Connection, ReceiverEvents } from 'rhea-promise'
import { afterEach, expect, it } from 'vitest'
import { consume } from '../support/clients.ts'
import { describeBrokers } from '../support/profiles.ts'
import { eventually, within } from '../support/wait.ts'

/** What a receiver has got. */
interface Got {
  readonly message: Message
  readonly delivery: Delivery
}

describeBrokers('AMQP 1.0 with rhea', (use) => {
  const open: RheaConnection[] = []
  const promised: PromiseConnection[] = []

  afterEach(async () => {
    for (const connection of open.splice(0)) connection.close()
    for (const connection of promised.splice(0)) await connection.close()
  })

  function login(): {
    host: string
    port: number
    username: string
    password: string
    reconnect: false
  } {
    const { host, port } = use().broker
    return { host, port, username: 'guest', password: 'guest', reconnect: false }
  }

  function connect(): RheaConnection {
    const connection = rhea.create_container().connect(login())
    open.push(connection)
    return connection
  }

  async function queue(options: Record<string, unknown> = {}): Promise<string> {
    const channel = await use().channel()
    const name = use().name('rhea')
    await channel.assertQueue(name, options)
    return name
  }

  /** Opens a receiver and remembers what it gets. */
  function receive(
    connection: RheaConnection,
    options: object,
  ): { got: Got[]; receiver: Receiver } {
    const got: Got[] = []
    const receiver = connection.open_receiver(options)
    receiver.on('message', ({ message, delivery }: EventContext) => {
      if (message !== undefined && delivery !== undefined) got.push({ message, delivery })
    })
    return { got, receiver }
  }

  /** Sends messages on a link of their own and gives their outcomes. */
  function send(
    connection: RheaConnection,
    address: string | undefined,
    messages: readonly Message[],
  ): Promise<string[]> {
    const sender = connection.open_sender({ target: address === undefined ? {} : { address } })
    const outcomes: string[] = []
    return within(
      'outcomes',
      new Promise((resolve, reject) => {
        for (const outcome of ['accepted', 'released', 'rejected', 'modified']) {
          sender.on(outcome, () => {
            outcomes.push(outcome)
            if (outcomes.length === messages.length) resolve(outcomes)
          })
        }
        sender.on('sender_error', () => reject(new Error(String(sender.error))))
        sender.once('sendable', () => {
          for (const message of messages) sender.send(message)
        })
      }),
    )
  }

  it('publishes to a queue and consumes from it', async () => {
    const name = await queue()
    const connection = connect()
    const address = `/queues/${name}`
    const { got } = receive(connection, address as never)
    const message = {
      message_id: 'id-1',
      subject: 'greeting',
      durable: true,
      priority: 7,
      ttl: 60_000,
      application_properties: { number: 42, text: 'x', flag: true },
      body: { nested: ['list', 1, null] },
    }
    expect(await send(connection, address, [message])).toEqual(['accepted'])
    await eventually('the message', () => got.length === 1)
    expect(got[0]?.message).toMatchObject({
      ...message,
      first_acquirer: true,
      delivery_count: 0,
      message_annotations: { 'x-exchange': '', 'x-routing-key': name },
    })
  })

  it('tells outcomes apart: routed, unroutable, too many', async () => {
    const name = await queue({ arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' } })
    const connection = connect()
    const messages = [{ body: 'fits' }, { body: 'too many' }]
    expect(await send(connection, `/queues/${name}`, messages)).toEqual(['accepted', 'rejected'])
    expect(await send(connection, '/exchanges/amq.direct/none', [{ body: 'x' }])).toEqual([
      'released',
    ])
    const anonymous = [{ to: `/exchanges/amq.direct/none`, body: 'x' }, { body: 'nowhere' }]
    // The one is refused at once, the other when its confirm comes.
    expect((await send(connection, undefined, anonymous)).sort()).toEqual(['rejected', 'released'])
  })

  it('accepts, releases, rejects and modifies', async () => {
    const dead = await queue()
    const name = await queue({ deadLetterExchange: '', deadLetterRoutingKey: dead })
    const connection = connect()
    // One by one because rhea joins outcomes that it takes for the same.
    const bodies = ['accept', 'reject', 'modify elsewhere', 'modify here', 'release']
    await send(
      connection,
      `/queues/${name}`,
      bodies.map((body) => ({ body })),
    )
    const link = connection.open_receiver({
      source: { address: `/queues/${name}` },
      credit_window: 0,
      autoaccept: false,
    })
    const seen: [string, boolean][] = []
    link.on('message', ({ message, delivery }: EventContext) => {
      const body = String(message?.body)
      const first = message?.first_acquirer === true
      seen.push([body, first])
      if (body === 'accept' || !first) delivery?.accept()
      else if (body === 'release') delivery?.release()
      else if (body === 'reject') delivery?.reject({ condition: 'x', description: 'y' } as never)
      else if (body === 'modify here') delivery?.modified({ delivery_failed: true })
      else delivery?.modified({ undeliverable_here: true })
      setImmediate(() => link.add_credit(1))
    })
    link.add_credit(1)
    await eventually('all and those that came back', () => seen.length === 7)
    expect(seen.slice(3)).toEqual([
      ['modify here', true],
      ['modify here', false],
      ['release', true],
      ['release', false],
    ])
    const dying = receive(connection, `/queues/${dead}` as never)
    await eventually('the dead', () => dying.got.length === 2)
    expect(dying.got.map(({ message }) => message.body)).toEqual(['reject', 'modify elsewhere'])
    const annotations = dying.got[0]?.message.message_annotations
    expect(annotations).toMatchObject({
      'x-first-death-queue': name,
      'x-first-death-reason': 'rejected',
    })
    expect(annotations?.['x-opt-deaths']).toBeDefined()
  })

  it('drains a link', async () => {
    const name = await queue()
    const connection = connect()
    const { got, receiver } = receive(connection, {
      source: { address: `/queues/${name}` },
      credit_window: 0,
    })
    await send(connection, `/queues/${name}`, [{ body: 'only' }])
    receiver.add_credit(5)
    await eventually('the message', () => got.length === 1)
    const drained = new Promise((resolve) => receiver.once('receiver_drained', resolve))
    receiver.drain_credit()
    await within('the end of the credit', drained)
    expect((receiver as unknown as { credit: number }).credit).toBe(0)
  })

  it('asks and answers through a queue of its own', async () => {
    const name = await queue()
    const server = connect()
    const replies = server.open_sender({ target: {} })
    receive(server, `/queues/${name}` as never).receiver.on(
      'message',
      ({ message }: EventContext) => {
        replies.send({
          to: message?.reply_to,
          correlation_id: message?.message_id,
          body: 'pong',
        } as never)
      },
    )
    const client = connect()
    const { got, receiver } = receive(client, {
      source: { dynamic: true, capabilities: 'temporary-queue' },
    })
    await within('the link', new Promise((resolve) => receiver.once('receiver_open', resolve)))
    const request = { message_id: 'q1', reply_to: receiver.source.address, body: 'ping' }
    await send(client, `/queues/${name}`, [request])
    await eventually('the answer', () => got.length === 1)
    expect(got[0]?.message).toMatchObject({ correlation_id: 'q1', body: 'pong' })
  })

  it('exchanges messages with 0-9-1 clients, both ways', async () => {
    const name = await queue()
    const connection = connect()
    const channel = await use().channel()
    channel.sendToQueue(name, Buffer.from('from 0-9-1'), {
      contentType: 'text/plain',
      messageId: 'm',
      correlationId: 'c',
      replyTo: 'answers',
      expiration: '60000',
      priority: 3,
      persistent: true,
      appId: 'app',
      timestamp: 1_700_000_000,
      headers: { plain: 'h', number: 5, 'x-list': [1, 'two'] },
    })
    const { got, receiver } = receive(connection, `/queues/${name}` as never)
    await eventually('the message', () => got.length === 1)
    expect(got[0]?.message).toMatchObject({
      durable: true,
      priority: 3,
      ttl: 60_000,
      message_id: 'm',
      correlation_id: 'c',
      reply_to: '/queues/answers',
      content_type: 'text/plain',
      creation_time: new Date(1_700_000_000_000),
      group_id: 'app',
      application_properties: { plain: 'h', number: 5 },
      message_annotations: { 'x-list': [1, 'two'] },
    })
    expect(got[0]?.message.body.content.toString()).toBe('from 0-9-1')
    receiver.close()
    await eventually('the end of the link', () => receiver.is_closed())
    const inbox = await consume(channel, name, { noAck: true })
    await send(connection, `/queues/${name}`, [
      {
        message_id: 'm2',
        reply_to: '/queues/answers',
        content_type: 'text/plain',
        durable: true,
        application_properties: { plain: 'h', number: 5 },
        message_annotations: { 'x-a': 'b' },
        body: rhea.message.data_section(Buffer.from('from 1.0')),
      },
    ])
    await eventually('the message', () => inbox.messages.length === 1)
    const [back] = inbox.messages
    expect(back?.content.toString()).toBe('from 1.0')
    expect(back?.properties).toMatchObject({
      messageId: 'm2',
      replyTo: 'answers',
      contentType: 'text/plain',
      deliveryMode: 2,
      headers: { plain: 'h', number: 5, 'x-a': 'b' },
    })
  })

  it('keeps large messages whole', async () => {
    const name = await queue()
    const connection = connect()
    const body = Buffer.alloc(5_000_000, 'warren')
    const message = { body: rhea.message.data_section(body) }
    expect(await send(connection, `/queues/${name}`, [message])).toEqual(['accepted'])
    const { got } = receive(connection, `/queues/${name}` as never)
    await eventually('the message', () => got.length === 1)
    expect(body.equals(got[0]?.message.body.content)).toBe(true)
  })

  it('serves promises', async () => {
    const name = await queue()
    const connection = new Connection(login())
    promised.push(connection)
    await connection.open()
    const sender = await connection.createAwaitableSender({
      target: { address: `/queues/${name}` },
    })
    const bodies = Array.from({ length: 50 }, (_, i) => `m${i}`)
    await Promise.all(bodies.map((body) => sender.send({ body })))
    const received: unknown[] = []
    const receiver = await connection.createReceiver({
      source: { address: `/queues/${name}` },
      onMessage: ({ message }: { message?: PromiseMessage }) => received.push(message?.body),
      onError: () => undefined,
    })
    await eventually('all messages', () => received.length === bodies.length)
    expect(received).toEqual(bodies)
    expect(ReceiverEvents.message).toBe('message')
    await receiver.close()
    await sender.close()
  })
})
