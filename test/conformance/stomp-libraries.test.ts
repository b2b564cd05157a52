// What users of STOMP libraries do, over TCP and in browsers; and AMQP over WebSocket.

import { AMQPWebSocketClient } from '@cloudamqp/amqp-client'
import type { IMessage } from '@stomp/stompjs'
import { Client } from '@stomp/stompjs'
import type { Message, Client as StompitClient } from 'stompit'
import { connect } from 'stompit'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import type { Broker } from '../support/broker.ts'
import { startWarren } from '../support/broker.ts'
import { Clients } from '../support/clients.ts'
import { StompClient } from '../support/stomp-client.ts'
import { eventually } from '../support/wait.ts'

let broker: Broker
let cleanups: (() => unknown)[] = []

beforeAll(async () => {
  broker = await startWarren({ settings: ['shards=2'], listen: ['stomp', 'http/web-stomp'] })
})

afterEach(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup()
  cleanups = []
})

afterAll(() => broker.stop())

describe('@stomp/stompjs over WebSocket', () => {
  async function client(options: ConstructorParameters<typeof Client>[0] = {}): Promise<Client> {
    const url = `ws://127.0.0.1:${broker.portOf('http/web-stomp')}/ws`
    const made = new Client({
      // Node before 22 has no WebSocket of its own; this one is the browser's to the last event.
      webSocketFactory: () => new WebSocket(url, ['v12.stomp', 'v11.stomp']),
      connectHeaders: { login: 'guest', passcode: 'guest' },
      heartbeatIncoming: 1000,
      heartbeatOutgoing: 1000,
      reconnectDelay: 0,
      ...options,
    })
    await new Promise<void>((done, failed) => {
      made.onConnect = () => done()
      made.onStompError = ({ headers }) => failed(new Error(headers['message']))
      made.onWebSocketError = failed
      made.activate()
    })
    cleanups.push(() => made.deactivate())
    return made
  }

  it('sends, subscribes, acknowledges and unsubscribes', async () => {
    const stomp = await client()
    expect(stomp.connectedVersion).toBe('1.2')
    const got: IMessage[] = []
    const subscription = stomp.subscribe(
      '/queue/stompjs',
      (message) => {
        got.push(message)
        message.ack()
      },
      { ack: 'client-individual' },
    )
    for (let i = 0; i < 50; i++) {
      const headers = { number: String(i), 'odd-name': 'a:b\nc' }
      stomp.publish({ destination: '/queue/stompjs', body: `body \u2603 ${i}`, headers })
    }
    await eventually('all of them', () => got.length === 50)
    expect(got.map(({ body }) => body)).toEqual(
      Array.from({ length: 50 }, (_, i) => `body \u2603 ${i}`),
    )
    expect(got[7]?.headers['number']).toBe('7')
    expect(got[7]?.headers['odd-name']).toBe('a:b\nc')
    subscription.unsubscribe()
    await new Promise<void>((done) => {
      stomp.watchForReceipt('sent', () => done())
      stomp.publish({ destination: '/queue/stompjs', body: 'left', headers: { receipt: 'sent' } })
    })
    expect(got).toHaveLength(50)
  })

  it('carries binary bodies, transactions and heart-beats', async () => {
    const stomp = await client()
    const bodies: Uint8Array[] = []
    stomp.subscribe('/topic/binary', (message) => bodies.push(message.binaryBody))
    const binaryBody = Uint8Array.from([0, 1, 2, 10, 13, 0])
    await new Promise<void>((done) => {
      stomp.watchForReceipt('in', () => done())
      const transaction = stomp.begin()
      const headers = { transaction: transaction.id }
      stomp.publish({ destination: '/topic/binary', binaryBody, headers })
      stomp.publish({ destination: '/topic/binary', binaryBody, headers })
      transaction.commit()
      stomp.publish({ destination: '/topic/other', headers: { receipt: 'in' } })
    })
    await eventually('both', () => bodies.length === 2)
    expect([...(bodies[1] ?? [])]).toEqual([...binaryBody])
  })

  it('hears why a login or a frame was refused', async () => {
    const wrong = client({ connectHeaders: { login: 'guest', passcode: 'no' } })
    await expect(wrong).rejects.toThrow('Bad CONNECT')
    const stomp = await client()
    const error = new Promise<string>((done) => {
      stomp.onStompError = ({ body }) => done(body)
    })
    stomp.publish({ destination: '/nowhere/x', body: '' })
    expect(await error).toMatch(/'\/nowhere\/x' is not a valid destination/)
  })
})

describe('stompit over TCP', () => {
  function login(): Promise<StompitClient> {
    const options = {
      host: '127.0.0.1',
      port: broker.portOf('stomp'),
      connectHeaders: { host: '/', login: 'guest', passcode: 'guest', 'heart-beat': '2000,2000' },
    }
    return new Promise((done, failed) => {
      connect(options, (error, client) => {
        if (error !== null) failed(error)
        else done(client)
      })
    })
  }

  function text(message: Message): Promise<string> {
    return new Promise((done, failed) => {
      message.readString('utf-8', (error, body) => {
        if (error !== null) failed(error)
        else done(body ?? '')
      })
    })
  }

  it('sends and receives bodies of any size, one after the other', async () => {
    const client = await login()
    cleanups.push(() => client.destroy())
    const bodies = ['small', '', 'x'.repeat(300_000), '\u2603'.repeat(1000)]
    const got: string[] = []
    client.subscribe(
      { destination: '/queue/stompit', ack: 'client-individual' },
      (error, message) => {
        if (error !== null) return
        void text(message).then((body) => {
          got.push(body)
          client.ack(message)
        })
      },
    )
    for (const body of bodies) client.send({ destination: '/queue/stompit' }).end(body)
    await eventually('all of them', () => got.length === bodies.length)
    expect(got).toEqual(bodies)
    await new Promise<void>((done) => client.disconnect(() => done()))
  })

  it('commits what it sent in a transaction', async () => {
    const client = await login()
    cleanups.push(() => client.destroy())
    const got: string[] = []
    client.subscribe({ destination: '/queue/stompit-tx', ack: 'auto' }, (error, message) => {
      if (error === null) void text(message).then((body) => got.push(body))
    })
    const transaction = client.begin()
    transaction.send({ destination: '/queue/stompit-tx' }).end('a')
    transaction.send({ destination: '/queue/stompit-tx' }).end('b')
    transaction.commit()
    await eventually('both', () => got.length === 2)
    expect(got).toEqual(['a', 'b'])
  })
})

describe('AMQP 0-9-1 over WebSocket', () => {
  it.each(['/ws', '/ws/amqp'])('serves its clients on the port of STOMP (%s)', async (path) => {
    Object.assign(globalThis, { WebSocket })
    const url = `ws://127.0.0.1:${broker.portOf('http/web-stomp')}${path}`
    const client = new AMQPWebSocketClient({ url, username: 'guest', password: 'guest' })
    const connection = await client.connect()
    const channel = await connection.channel()
    const { name } = await channel.queueDeclare('', { exclusive: true })
    const got: string[] = []
    await channel.basicConsume(name, { noAck: true }, (message) => {
      got.push(message.bodyString() ?? '')
    })
    await channel.basicPublish('', name, 'one')
    await channel.basicPublish('', name, 'x'.repeat(200_000))
    await eventually('both', () => got.length === 2)
    expect(got[1]?.length).toBe(200_000)
    await client.close()
  })

  it('is chosen by the sub-protocol too', async () => {
    const url = `ws://127.0.0.1:${broker.portOf('http/web-stomp')}/ws`
    const socket = new WebSocket(url, 'amqp')
    cleanups.push(() => socket.terminate())
    const answer = new Promise<Buffer>((done) =>
      socket.once('message', (bytes) => done(bytes as Buffer)),
    )
    await new Promise<void>((done) => socket.once('open', () => done()))
    expect(socket.protocol).toBe('amqp')
    socket.send(Buffer.from('AMQP\0\0\x09\x01', 'latin1'))
    // A method frame on channel 0: connection.start.
    expect([...(await answer).subarray(0, 3)]).toEqual([1, 0, 0])
    const plain = new WebSocket(url)
    cleanups.push(() => plain.terminate())
    const text = new Promise<string>((done) =>
      plain.once('message', (bytes) => done(String(bytes))),
    )
    await new Promise<void>((done) => plain.once('open', () => done()))
    plain.send('CONNECT\naccept-version:1.2\n\n\0')
    expect(await text).toMatch(/^CONNECTED\n/)
  })
})

describe('messages between STOMP and AMQP 0-9-1', () => {
  it('keep properties and headers both ways', async () => {
    const clients = new Clients(broker)
    cleanups.push(() => clients.close())
    const connection = await clients.connect()
    const channel = await connection.createChannel()
    await channel.assertQueue('mixed')
    const stomp = await StompClient.login(broker.portOf('stomp'))
    cleanups.push(() => stomp.destroy())
    const properties = {
      contentType: 'application/json',
      correlationId: 'c1',
      replyTo: 'answers',
      messageId: 'm1',
      timestamp: 1_700_000_000,
      type: 'kind',
      deliveryMode: 2,
      headers: { text: 'a:b', number: 7, negative: -3, big: 5_000_000_000, yes: true, list: [1] },
    }
    channel.sendToQueue('mixed', Buffer.from('{}'), properties)
    await stomp.done('SUBSCRIBE', { id: '1', destination: '/amq/queue/mixed' })
    const { headers, body } = await stomp.expect('MESSAGE')
    expect(body.toString()).toBe('{}')
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      'correlation-id': 'c1',
      'reply-to': '/reply-queue/answers',
      'amqp-message-id': 'm1',
      timestamp: '1700000000',
      type: 'kind',
      persistent: 'true',
      text: 'a:b',
      number: '7',
      negative: '-3',
      big: '5000000000',
      yes: 'true',
    })
    expect(headers['list']).toBeUndefined()
    await stomp.done('UNSUBSCRIBE', { id: '1' })
    stomp.send(
      'SEND',
      {
        destination: '/amq/queue/mixed',
        'content-type': 'text/plain',
        'amqp-message-id': 'm2',
        priority: '4',
        'x-mine': 'yes',
        'content-length': '2',
      },
      'hi',
    )
    const got = await eventually('the message', () => channel.get('mixed', { noAck: true }))
    expect(got === false ? undefined : got.content.toString()).toBe('hi')
    expect(got === false ? undefined : got.properties).toMatchObject({
      contentType: 'text/plain',
      messageId: 'm2',
      priority: 4,
      headers: { 'x-mine': 'yes', 'content-length': '2' },
    })
  })
})
