// Every protocol to every other: what one publishes to a topic, clients of all four get.

import type { Channel } from 'amqplib'
import type { Connection as RheaConnection, Message as RheaMessage, Sender } from 'rhea'
import rhea from 'rhea'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import type { Broker } from '../support/broker.ts'
import { startWarren } from '../support/broker.ts'
import { Clients, consume } from '../support/clients.ts'
import { MqttClients } from '../support/mqtt-clients.ts'
import { StompClient } from '../support/stomp-client.ts'
import { eventually } from '../support/wait.ts'

/** What all protocols have a place for. */
interface Sent {
  readonly body: string
  readonly contentType: string
  readonly correlationId: string
  readonly headers: Readonly<Record<string, string>>
}

type Protocol = 'amqp091' | 'amqp10' | 'mqtt' | 'stomp'
const protocols: readonly Protocol[] = ['amqp091', 'amqp10', 'mqtt', 'stomp']

const message: Sent = {
  body: 'grün ☃',
  contentType: 'text/plain',
  correlationId: 'c-1',
  headers: { colour: 'green', empty: '' },
}

describe.each([
  { title: '1 shard', settings: ['shards=1'] },
  { title: '3 shards', settings: ['shards=3'] },
])('crossed traffic [$title]', ({ settings }) => {
  let broker: Broker
  let clients: Clients
  let mqtt: MqttClients
  const cleanups: (() => unknown)[] = []

  beforeAll(async () => {
    broker = await startWarren({ settings, listen: ['mqtt', 'stomp', 'http/web-stomp'] })
    clients = new Clients(broker)
    mqtt = new MqttClients(broker)
  }, 30_000)

  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
    await mqtt.tidy()
    await clients.tidy()
  })

  afterAll(async () => {
    await clients.close()
    await broker.stop()
  })

  function rheaConnection(): RheaConnection {
    const { host, port } = broker
    const login = { host, port, username: 'guest', password: 'guest', reconnect: false } as const
    const connection = rhea.create_container().connect(login)
    cleanups.push(() => connection.close())
    return connection
  }

  /** Subscribes to a topic; gives what comes. */
  async function subscriber(protocol: Protocol, topic: string): Promise<Sent[]> {
    const got: Sent[] = []
    switch (protocol) {
      case 'amqp091':
      case 'amqp10': {
        const channel = await clients.channel()
        const { queue } = await channel.assertQueue('', { exclusive: protocol === 'amqp091' })
        await channel.bindQueue(queue, 'amq.topic', topic)
        if (protocol === 'amqp091') readChannel(channel, queue, got)
        else await readLink(queue, got)
        return got
      }
      case 'mqtt': {
        const { client } = await mqtt.connect({ protocolVersion: 5 })
        client.on('message', (_topic, payload, { properties }) => {
          got.push({
            body: payload.toString(),
            contentType: properties?.contentType ?? '',
            correlationId: properties?.correlationData?.toString() ?? '',
            headers: { ...(properties?.userProperties as Record<string, string>) },
          })
        })
        await client.subscribeAsync(topic.replaceAll('.', '/'), { qos: 1 })
        return got
      }
      case 'stomp': {
        const client = await StompClient.login(broker.portOf('stomp'))
        cleanups.push(() => client.destroy())
        await client.done('SUBSCRIBE', { id: '1', destination: `/topic/${topic}` })
        void client.expect('MESSAGE').then(({ headers, body }) => {
          const { 'content-type': contentType = '', 'correlation-id': correlationId = '' } = headers
          got.push({ body: body.toString(), contentType, correlationId, headers })
        })
        return got
      }
    }
  }

  function readChannel(channel: Channel, queue: string, got: Sent[]): void {
    void channel.consume(queue, (each) => {
      if (each === null) return
      const { contentType, correlationId, headers } = each.properties
      got.push({
        body: each.content.toString(),
        contentType,
        correlationId,
        headers: { ...headers },
      })
    })
  }

  async function readLink(queue: string, got: Sent[]): Promise<void> {
    const receiver = rheaConnection().open_receiver(`/queues/${queue}`)
    receiver.on('message', ({ message: each }: { message: RheaMessage }) => {
      got.push({
        body: textOf(each.body),
        contentType: String(each.content_type ?? ''),
        correlationId: textOf(each.correlation_id),
        headers: { ...each.application_properties },
      })
    })
    await eventually('the link', () => receiver.is_open())
  }

  async function publish(protocol: Protocol, topic: string, sent: Sent): Promise<void> {
    const { body, contentType, correlationId, headers } = sent
    switch (protocol) {
      case 'amqp091': {
        const channel = await clients.channel()
        const options = { contentType, correlationId, headers }
        channel.publish('amq.topic', topic, Buffer.from(body), options)
        return
      }
      case 'amqp10': {
        const sender: Sender = rheaConnection().open_sender(`/exchanges/amq.topic/${topic}`)
        await eventually('credit', () => sender.sendable())
        sender.send({
          content_type: contentType,
          correlation_id: correlationId,
          application_properties: headers,
          body: rhea.message.data_section(Buffer.from(body)),
        })
        return
      }
      case 'mqtt': {
        const { client } = await mqtt.connect({ protocolVersion: 5 })
        const correlationData = Buffer.from(correlationId)
        const properties = { contentType, correlationData, userProperties: { ...headers } }
        await client.publishAsync(topic.replaceAll('.', '/'), body, { qos: 1, properties })
        return
      }
      case 'stomp': {
        const client = await StompClient.login(broker.portOf('stomp'))
        cleanups.push(() => client.destroy())
        const destination = `/topic/${topic}`
        const fixed = { destination, 'content-type': contentType, 'correlation-id': correlationId }
        await client.done('SEND', { ...fixed, ...headers }, body)
      }
    }
  }

  it.each(protocols)('from %s to all', async (from) => {
    const topic = `crossed.${from}`
    const inboxes = await Promise.all(protocols.map((each) => subscriber(each, topic)))
    await publish(from, topic, message)
    for (const [i, inbox] of inboxes.entries()) {
      const [got] = await eventually(`${from} to ${protocols[i]}`, () => inbox[0] && inbox)
      expect({ to: protocols[i], ...got }).toMatchObject({ to: protocols[i], ...message })
    }
  })

  it('AMQP 1.0 over WebSocket', async () => {
    const container = rhea.create_container()
    // `ws` is the WebSocket of browsers for what rhea wants of it.
    const webSocket = container.websocket_connect(WebSocket as never)
    const url = `ws://127.0.0.1:${broker.portOf('http/web-stomp')}/ws`
    const details = webSocket(url, ['amqp'], {}) as () => object
    const connection = container.connect({
      connection_details: details,
      username: 'guest',
      password: 'guest',
      reconnect: false,
    } as never)
    cleanups.push(() => connection.close())
    const channel = await clients.channel()
    const queue = 'by-web-socket'
    await channel.assertQueue(queue)
    const inbox = await consume(channel, queue, { noAck: true })
    const sender = connection.open_sender(`/queues/${queue}`)
    let accepted = 0
    sender.on('accepted', () => accepted++)
    await eventually('credit', () => sender.sendable())
    sender.send({ body: rhea.message.data_section(Buffer.alloc(300_000, 'x')) })
    await eventually('the outcome', () => accepted === 1)
    expect((await inbox.bodies(1)).map(({ length }) => length)).toEqual([300_000])
    const got: RheaMessage[] = []
    await readLinkOf(connection, queue, got)
  })

  async function readLinkOf(
    connection: RheaConnection,
    queue: string,
    got: RheaMessage[],
  ): Promise<void> {
    const receiver = connection.open_receiver(`/queues/${queue}`)
    receiver.on('message', ({ message: each }: { message: RheaMessage }) => got.push(each))
    await eventually('the link', () => receiver.is_open())
  }
})

function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  if (Buffer.isBuffer(value)) return value.toString()
  const content: unknown = (value as { content?: unknown } | undefined)?.content
  return Buffer.isBuffer(content) ? content.toString() : String(content ?? '')
}
