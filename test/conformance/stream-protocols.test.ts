// One stream, four protocols: what STOMP and MQTT clients publish to it and read from it.

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Broker } from '../support/broker.ts'
import { externalBroker, startWarren } from '../support/broker.ts'
import { Clients, consume } from '../support/clients.ts'
import { MqttClients } from '../support/mqtt-clients.ts'
import { StompClient } from '../support/stomp-client.ts'
import { eventually } from '../support/wait.ts'

const suite = externalBroker() === undefined ? describe : describe.skip

suite('streams by STOMP and MQTT', () => {
  let broker: Broker
  let clients: Clients
  let mqtt: MqttClients
  const peers: StompClient[] = []

  beforeAll(async () => {
    broker = await startWarren({ settings: ['shards=2'], listen: ['stomp', 'mqtt'] })
    clients = new Clients(broker)
    mqtt = new MqttClients(broker)
  }, 30_000)
  afterEach(async () => {
    for (const peer of peers.splice(0)) peer.destroy()
    await mqtt.tidy()
    await clients.tidy()
  })
  afterAll(async () => {
    await clients.close()
    await broker.stop()
  })

  async function stomp(): Promise<StompClient> {
    const peer = await StompClient.login(broker.portOf('stomp'))
    peers.push(peer)
    return peer
  }

  async function filled(count: number): Promise<string> {
    const channel = await clients.confirmChannel()
    const stream = clients.name('stream')
    await channel.assertQueue(stream, { arguments: { 'x-queue-type': 'stream' } })
    for (let i = 0; i < count; i++) channel.sendToQueue(stream, Buffer.from(`m${i}`))
    await channel.waitForConfirms()
    return stream
  }

  async function bodiesOf(stream: string, count: number): Promise<string[]> {
    const channel = await clients.channel()
    await channel.prefetch(50)
    const inbox = await consume(channel, stream, { arguments: { 'x-stream-offset': 'first' } })
    return inbox.bodies(count)
  }

  const range = (from: number, to: number): string[] =>
    Array.from({ length: to - from }, (_, i) => `m${from + i}`)

  function subscribe(peer: StompClient, stream: string, headers: object): Promise<void> {
    const destination = `/amq/queue/${stream}`
    const usual = { id: '1', destination, ack: 'client-individual', 'prefetch-count': '10' }
    return peer.done('SUBSCRIBE', { ...usual, ...headers })
  }

  const hour = 3_600_000

  it.each<[string, number]>([
    ['first', 0],
    ['offset=7', 7],
    [`timestamp=${Math.floor((Date.now() - hour) / 1000)}`, 0],
    ['next', 20],
  ])('STOMP reads from %s, as far as it acknowledges', async (offset, from) => {
    const stream = await filled(20)
    const peer = await stomp()
    await subscribe(peer, stream, { 'x-stream-offset': offset })
    const publisher = await stomp()
    await publisher.done('SEND', { destination: `/amq/queue/${stream}` }, 'm20')
    for (let i = from; i <= 20; i++) {
      const frame = await peer.expect('MESSAGE')
      expect([`${frame.body}`, frame.headers['x-stream-offset']]).toEqual([`m${i}`, String(i)])
      // Ten may be unacknowledged: without this the eleventh would not come.
      peer.send('ACK', { id: frame.headers['ack'] ?? '' })
    }
  })

  it('STOMP declares a stream, and is refused what streams do not have', async () => {
    const peer = await stomp()
    const stream = clients.name('stream')
    const destination = `/queue/${stream}`
    const durable = { 'x-queue-type': 'stream', durable: 'true', 'auto-delete': 'false' }
    await peer.done('SEND', { destination, ...durable }, 'm0')
    expect(await bodiesOf(stream, 1)).toEqual(['m0'])
    const automatic = await stomp()
    automatic.send('SUBSCRIBE', { id: '1', destination: `/amq/queue/${stream}`, ack: 'auto' })
    expect(`${(await automatic.expect('ERROR')).body}`).toMatch(/not supported|prefetch/)
  })

  it('STOMP reads what has a filter value', async () => {
    const stream = await filled(1)
    const peer = await stomp()
    const filtered = { destination: `/amq/queue/${stream}`, 'x-stream-filter-value': 'pear' }
    await peer.done('SEND', filtered, 'a pear')
    await subscribe(peer, stream, { 'x-stream-offset': 'first', 'x-stream-filter': 'pear' })
    const frame = await peer.expect('MESSAGE')
    expect(`${frame.body}`).toBe('a pear')
  })

  it('MQTT publishes to a stream that is bound to its topic', async () => {
    const stream = await filled(3)
    const channel = await clients.channel()
    await channel.bindQueue(stream, 'amq.topic', 'sensor.#')
    const { client } = await mqtt.connect()
    // QoS 1 is acknowledged when the chunk is on disk.
    await client.publishAsync('sensor/kitchen', 'm3', { qos: 1 })
    await client.publishAsync('sensor/cellar', 'm4', { qos: 0 })
    await client.publishAsync('sensor/attic', 'm5', { qos: 2 })
    const reader = await clients.channel()
    await reader.prefetch(50)
    const inbox = await consume(reader, stream, { arguments: { 'x-stream-offset': 'first' } })
    expect(await inbox.bodies(6)).toEqual(range(0, 6))
    const keys = inbox.messages.slice(3).map(({ fields }) => fields.routingKey)
    expect(keys).toEqual(['sensor.kitchen', 'sensor.cellar', 'sensor.attic'])
    expect(inbox.messages.every(({ fields }) => !fields.redelivered)).toBe(true)
  })

  it('shows each protocol the same messages', async () => {
    const stream = await filled(1)
    const channel = await clients.channel()
    await channel.bindQueue(stream, 'amq.topic', 'all.#')
    const { client } = await mqtt.connect()
    await client.publishAsync('all/mqtt', 'm1', { qos: 1 })
    const peer = await stomp()
    await peer.done('SEND', { destination: '/topic/all.stomp', color: 'red' }, 'm2')
    await subscribe(peer, stream, { 'x-stream-offset': 'first' })
    await eventually('all have come', () => peer.bodies().length === 3)
    expect(peer.bodies()).toEqual(range(0, 3))
    expect(await bodiesOf(stream, 3)).toEqual(range(0, 3))
  })
})
