// Every protocol to every other: what one publishes to a topic, clients of all four get, with every
// property that both have a word for.

import type { ConsumeMessage, Options } from 'amqplib'
import type { IPublishPacket } from 'mqtt'
import type { Connection as RheaConnection, Message as RheaMessage, Sender } from 'rhea'
import rhea from 'rhea'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import type { Broker } from '../support/broker.ts'
import { startWarren } from '../support/broker.ts'
import { Clients } from '../support/clients.ts'
import { MqttClients } from '../support/mqtt-clients.ts'
import { StompClient } from '../support/stomp-client.ts'
import { eventually } from '../support/wait.ts'

type Protocol = 'amqp091' | 'amqp10' | 'mqtt' | 'stomp'
const protocols: readonly Protocol[] = ['amqp091', 'amqp10', 'mqtt', 'stomp']

/** A message as tests compare it: every property as text, whatever its type on the wire. */
type Seen = Readonly<Record<string, string>>

// What a publisher of each protocol can say of a message. `h-` are headers, application properties and
// user properties; numbers and truth are text where a protocol has nothing else.
const common = {
  contentType: 'text/plain',
  correlationId: 'c-1',
  expiration: '60000',
  persistent: 'true',
  'h-text': 'grün: ☃',
  'h-empty': '',
  'h-x-own': 'mine',
}
const numbers = { 'h-number': '-7', 'h-large': '9007199254740991', 'h-truth': 'true' }
const amqp = {
  contentEncoding: 'gzip',
  messageId: 'm-1',
  priority: '3',
  timestamp: '1700000000',
  appId: 'app',
  userId: 'guest',
  replyTo: 'answers',
}
const sayable: Readonly<Record<Protocol, Seen>> = {
  amqp091: { ...common, ...numbers, ...amqp, type: 'kind' },
  amqp10: { ...common, ...numbers, ...amqp },
  mqtt: common,
  stomp: { ...common, ...amqp, type: 'kind' },
}

// What gets lost or changed on its way to a client of another protocol, where both have words for it.
const changes: readonly {
  readonly from?: readonly Protocol[]
  readonly to: readonly Protocol[]
  readonly name: string
  /** Undefined: it does not arrive. */
  readonly becomes: string | undefined
}[] = [
  // Time that is left, in whole seconds.
  { to: ['mqtt'], name: 'expiration', becomes: '60' },
  // An address is of the protocol that has it.
  { from: ['amqp091', 'stomp'], to: ['amqp10'], name: 'replyTo', becomes: '/queues/answers' },
  { from: ['amqp10'], to: ['amqp10'], name: 'replyTo', becomes: '/queues/answers' },
  {
    from: ['amqp091', 'amqp10', 'stomp'],
    to: ['stomp'],
    name: 'replyTo',
    becomes: '/reply-queue/answers',
  },
]

/** What a client of `to` is to see of what one of `from` has published. */
function expected(from: Protocol, to: Protocol): Seen {
  const seen: Record<string, string> = {}
  const words = new Set([...Object.keys(sayable[to]), ...extraWords[to]])
  for (const [name, value] of Object.entries(sayable[from])) {
    if (!words.has(name)) continue
    const change = changes.find(
      (each) =>
        each.name === name && each.to.includes(to) && (each.from ?? protocols).includes(from),
    )
    const becomes = change === undefined ? value : change.becomes
    if (becomes !== undefined) seen[name] = becomes
  }
  return seen
}

/** Words that a protocol has for what its publishers do not say here. */
const extraWords: Readonly<Record<Protocol, readonly string[]>> = {
  amqp091: [],
  // Annotations; numbers as text in both.
  amqp10: ['type'],
  mqtt: Object.keys(numbers),
  stomp: Object.keys(numbers),
}

/** A message of any protocol, its body apart. */
interface Got {
  readonly body: Buffer
  readonly seen: Seen
}

const bodies: readonly Buffer[] = [
  Buffer.from('grün ☃'),
  Buffer.alloc(0),
  Buffer.from([0, 1, 2, 0xff, 0xfe, 0x0a, 0, 0x53, 0x75]),
  Buffer.alloc(200_000, 'large '),
]

describe('crossed traffic', () => {
  let broker: Broker
  let clients: Clients
  let mqtt: MqttClients
  const cleanups: (() => unknown)[] = []

  beforeAll(async () => {
    const listen = ['mqtt', 'stomp', 'http/web-stomp']
    broker = await startWarren({ settings: ['shards=3'], listen })
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
  async function subscriber(protocol: Protocol, topic: string): Promise<Got[]> {
    const got: Got[] = []
    switch (protocol) {
      case 'amqp091': {
        const channel = await clients.channel()
        const { queue } = await channel.assertQueue('', { exclusive: true })
        await channel.bindQueue(queue, 'amq.topic', topic)
        await channel.consume(queue, (each) => {
          if (each !== null) got.push({ body: each.content, seen: seenBy091(each) })
        })
        return got
      }
      case 'amqp10': {
        const channel = await clients.channel()
        const { queue } = await channel.assertQueue('', { autoDelete: true })
        await channel.bindQueue(queue, 'amq.topic', topic)
        const receiver = rheaConnection().open_receiver(`/queues/${queue}`)
        receiver.on('message', ({ message }: { message: RheaMessage }) => {
          got.push({ body: contentOf(message), seen: seenBy10(message) })
        })
        await eventually('the link', () => receiver.is_open())
        return got
      }
      case 'mqtt': {
        const { client } = await mqtt.connect({ protocolVersion: 5 })
        client.on('message', (_topic, body, packet) => got.push({ body, seen: seenByMqtt(packet) }))
        await client.subscribeAsync(topic.replaceAll('.', '/'), { qos: 1 })
        return got
      }
      case 'stomp': {
        const client = await StompClient.login(broker.portOf('stomp'))
        cleanups.push(() => client.destroy())
        await client.done('SUBSCRIBE', { id: '1', destination: `/topic/${topic}` })
        void (async () => {
          for (const _ of bodies) {
            const { headers, body } = await client.expect('MESSAGE')
            got.push({ body, seen: seenByStomp(headers) })
          }
        })()
        return got
      }
    }
  }

  async function publisher(
    protocol: Protocol,
    topic: string,
  ): Promise<(body: Buffer) => Promise<unknown> | unknown> {
    const said = sayable[protocol]
    switch (protocol) {
      case 'amqp091': {
        const channel = await clients.channel()
        return (body) => channel.publish('amq.topic', topic, body, options091(said))
      }
      case 'amqp10': {
        const sender: Sender = rheaConnection().open_sender(`/exchanges/amq.topic/${topic}`)
        await eventually('credit', () => sender.sendable())
        return (body) =>
          sender.send({ ...message10(said), body: rhea.message.data_section(body) } as RheaMessage)
      }
      case 'mqtt': {
        const { client } = await mqtt.connect({ protocolVersion: 5 })
        const properties = {
          contentType: said['contentType'] ?? '',
          correlationData: Buffer.from(said['correlationId'] ?? ''),
          messageExpiryInterval: 60,
          userProperties: headersOf(said),
        }
        const to = topic.replaceAll('.', '/')
        return (body) => client.publishAsync(to, body, { qos: 1, properties })
      }
      case 'stomp': {
        const client = await StompClient.login(broker.portOf('stomp'))
        cleanups.push(() => client.destroy())
        const lines = { destination: `/topic/${topic}`, ...linesOf(said) }
        return (body) => client.done('SEND', { ...lines, 'content-length': `${body.length}` }, body)
      }
    }
  }

  it.each(protocols)('from %s to all: bodies and every property', async (from) => {
    const topic = `crossed.${from}`
    const inboxes = await Promise.all(protocols.map((each) => subscriber(each, topic)))
    const publish = await publisher(from, topic)
    for (const body of bodies) await publish(body)
    for (const [i, inbox] of inboxes.entries()) {
      const to = protocols[i] as Protocol
      await eventually(`${from} to ${to}`, () => inbox.length === bodies.length)
      // Compared by hand: `expect` goes through buffers byte by byte.
      expect([to, ...inbox.map(({ body }, k) => body.equals(bodies[k] as Buffer))]).toEqual([
        to,
        ...bodies.map(() => true),
      ])
      for (const { seen } of inbox) {
        expect({ from, to, ...known(seen) }).toEqual({ from, to, ...expected(from, to) })
      }
    }
  })

  it('a response topic is an address to all', async () => {
    const topic = 'crossed.reply'
    const seen: string[] = []
    const channel = await clients.channel()
    const { queue } = await channel.assertQueue('', { autoDelete: true })
    await channel.bindQueue(queue, 'amq.topic', topic)
    const receiver = rheaConnection().open_receiver(`/queues/${queue}`)
    receiver.on('message', ({ message }: { message: RheaMessage }) => {
      seen.push(String(message.reply_to))
    })
    const { client } = await mqtt.connect({ protocolVersion: 5 })
    client.on('message', (_topic, _body, { properties }) => {
      seen.push(String(properties?.responseTopic))
    })
    await client.subscribeAsync('crossed/reply', { qos: 1 })
    const properties = { responseTopic: 'answers/here' }
    await client.publishAsync('crossed/reply', 'x', { qos: 1, properties })
    await eventually('both', () => seen.length === 2)
    const sender = rheaConnection().open_sender('/exchanges/amq.topic/crossed.reply')
    await eventually('credit', () => sender.sendable())
    sender.send({ reply_to: '/exchanges/amq.topic/answers.here', body: 'x' })
    await eventually('both again', () => seen.length === 4)
    const address = '/exchanges/amq.topic/answers.here'
    expect(seen.toSorted()).toEqual([address, address, 'answers/here', 'answers/here'])
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
    const body = Buffer.alloc(3_000_000, 'by web socket ')
    const sender = connection.open_sender(`/queues/${queue}`)
    let accepted = 0
    sender.on('accepted', () => accepted++)
    await eventually('credit', () => sender.sendable())
    sender.send({ body: rhea.message.data_section(body) })
    await eventually('the outcome', () => accepted === 1)
    const got: RheaMessage[] = []
    const receiver = connection.open_receiver(`/queues/${queue}`)
    receiver.on('message', ({ message }: { message: RheaMessage }) => got.push(message))
    await eventually('the message', () => got.length === 1)
    expect(contentOf(got[0] as RheaMessage).equals(body)).toBe(true)
  })
})

/** Without what the broker adds, and what frames need. */
function known(seen: Seen): Seen {
  const names = new Set(Object.values(sayable).flatMap((each) => Object.keys(each)))
  return Object.fromEntries(Object.entries(seen).filter(([name]) => names.has(name)))
}

function headersOf(said: Seen): Record<string, string> {
  const entries = Object.entries(said).filter(([name]) => name.startsWith('h-'))
  return Object.fromEntries(entries.map(([name, value]) => [name.slice(2), value]))
}

/** Names of headers as those of properties here. */
function asSeen(headers: Readonly<Record<string, unknown>>): Seen {
  const entries = Object.entries(headers).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries.map(([name, value]) => [`h-${name}`, textOf(value)]))
}

/** Only what is there. */
function present(fields: Readonly<Record<string, unknown>>): Seen {
  const entries = Object.entries(fields).filter(
    ([, value]) => value !== undefined && value !== null,
  )
  return Object.fromEntries(entries.map(([name, value]) => [name, textOf(value)]))
}

/** Headers of a publisher whose protocol has numbers and truth. */
function typedHeaders(said: Seen): Record<string, unknown> {
  const headers = headersOf(said)
  return { ...headers, number: -7, large: Number.MAX_SAFE_INTEGER, truth: true }
}

function options091(said: Seen): Options.Publish {
  const { contentType, contentEncoding, correlationId, messageId, expiration } = said
  const { appId, userId, replyTo, type } = said
  return {
    ...{ contentType, contentEncoding, correlationId, messageId, expiration },
    ...{ appId, userId, replyTo, type },
    headers: typedHeaders(said),
    persistent: true,
    priority: Number(said['priority']),
    timestamp: Number(said['timestamp']),
  } as Options.Publish
}

function seenBy091({ properties }: ConsumeMessage): Seen {
  const { headers, deliveryMode, ...others } = properties
  const persistent = deliveryMode === 2 ? 'true' : 'false'
  return { ...present(others), ...asSeen(headers ?? {}), persistent }
}

function message10(said: Seen): object {
  const { 'x-own': own, ...headers } = typedHeaders(said)
  return {
    durable: true,
    priority: Number(said['priority']),
    ttl: Number(said['expiration']),
    message_id: said['messageId'],
    user_id: said['userId'],
    reply_to: `/queues/${said['replyTo']}`,
    correlation_id: said['correlationId'],
    content_type: said['contentType'],
    content_encoding: said['contentEncoding'],
    creation_time: new Date(Number(said['timestamp']) * 1000),
    group_id: said['appId'],
    application_properties: headers,
    message_annotations: { 'x-own': own },
  }
}

function seenBy10(message: RheaMessage): Seen {
  const annotations = message.message_annotations ?? {}
  const created = message.creation_time
  return {
    ...present({
      contentType: message.content_type,
      contentEncoding: message.content_encoding,
      correlationId: message.correlation_id,
      messageId: message.message_id,
      userId: message.user_id,
      replyTo: message.reply_to,
      appId: message.group_id,
      priority: message.priority,
      expiration: message.ttl,
      persistent: message.durable,
      type: annotations['x-basic-type'],
      timestamp: created === undefined || created === null ? undefined : Number(created) / 1000,
    }),
    ...asSeen({ ...message.application_properties, ...annotations }),
  }
}

function seenByMqtt({ qos, properties = {} }: IPublishPacket): Seen {
  return {
    ...present({
      contentType: properties.contentType,
      correlationId: properties.correlationData,
      expiration: properties.messageExpiryInterval,
      persistent: qos > 0,
    }),
    ...asSeen(properties.userProperties ?? {}),
  }
}

const stompNames: readonly (readonly [string, string])[] = [
  ['contentType', 'content-type'],
  ['contentEncoding', 'content-encoding'],
  ['correlationId', 'correlation-id'],
  ['messageId', 'amqp-message-id'],
  ['appId', 'app-id'],
  ['userId', 'user-id'],
  ['replyTo', 'reply-to'],
  ['priority', 'priority'],
  ['expiration', 'expiration'],
  ['persistent', 'persistent'],
  ['timestamp', 'timestamp'],
  ['type', 'type'],
]

function linesOf(said: Seen): Record<string, string> {
  const lines = stompNames.flatMap(([name, line]) => {
    const value = said[name]
    if (value === undefined) return []
    return [[line, value] as const]
  })
  return { ...Object.fromEntries(lines), ...headersOf(said) }
}

function seenByStomp(headers: Readonly<Record<string, string>>): Seen {
  const properties = stompNames.map(([name, line]) => [name, headers[line]])
  return { ...present(Object.fromEntries(properties)), ...asSeen(headers) }
}

function contentOf(message: RheaMessage): Buffer {
  const content: unknown = (message.body as { content?: unknown } | undefined)?.content
  return Buffer.isBuffer(content) ? content : Buffer.from(textOf(message.body))
}

function textOf(value: unknown): string {
  if (Buffer.isBuffer(value)) return value.toString()
  return String(value)
}
