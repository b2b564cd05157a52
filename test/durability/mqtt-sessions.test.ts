// MQTT sessions, QoS 2 and retained messages across kills of the broker. WARREN_CRASH_ROUNDS=50 makes
// the long form of the QoS 2 test.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as amqpConnect } from 'amqplib'
import type { IPublishPacket, Packet } from 'mqtt-packet'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { sessionQueue } from '../../gateways/mqtt/mapping/topic.ts'
import type { Broker } from '../support/broker.ts'
import { freePort, startWarren } from '../support/broker.ts'
import { connectPacket, idsByShard, MqttClients, RawMqtt } from '../support/mqtt-clients.ts'
import { eventually } from '../support/wait.ts'

const rounds = Number(process.env['WARREN_CRASH_ROUNDS'] ?? 3)

let dataDir: string
let port: number
let broker: Broker | undefined

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'warren-mqtt-'))
  port = await freePort()
})

afterEach(async () => {
  await kill()
  await rm(dataDir, { recursive: true, force: true })
})

async function start(shards: number): Promise<Broker> {
  const listen = `mqtt.listeners.tcp.local=127.0.0.1:${port}`
  broker = await startWarren({ dataDir, settings: [`shards=${shards}`, listen] })
  return broker
}

async function kill(): Promise<void> {
  broker?.process?.kill('SIGKILL')
  await broker?.process?.exited
  broker = undefined
}

/** A client that keeps its side of a session, as the standard asks for, over any number of connections. */
class Keeper {
  readonly clientId: string
  /** Payloads that came, each once unless the broker fails, by publisher. */
  readonly got: Map<string, number[]> = new Map()
  /** Sent and not completed, oldest first. */
  readonly open: { id: number; payload: number; released: boolean }[] = []
  completed = 0
  raw: RawMqtt | undefined
  /** Ids of QoS 2 messages that are not released. */
  readonly #received = new Set<number>()
  #next = 0
  #lastId = 0

  constructor(clientId: string) {
    this.clientId = clientId
  }

  async connect(): Promise<boolean> {
    const raw = await RawMqtt.connect(port, 4)
    this.raw = raw
    raw.onPacket = (packet) => this.#onPacket(raw, packet)
    raw.send(connectPacket(4, { clientId: this.clientId, clean: false }))
    const { sessionPresent } = await raw.packet('connack')
    if (!sessionPresent) return false
    // [MQTT-4.4.0-1]
    for (const { id, payload, released } of this.open) {
      if (released) raw.send({ cmd: 'pubrel', messageId: id })
      else raw.send(message(id, `${this.clientId} ${payload}`, true))
    }
    return true
  }

  /** Keeps `window` messages on their way. */
  publish(window: number): void {
    while (this.open.length < window && this.raw?.closed === false) {
      this.#lastId = (this.#lastId % 65535) + 1
      const each = { id: this.#lastId, payload: this.#next++, released: false }
      this.open.push(each)
      this.raw.send(message(each.id, `${this.clientId} ${each.payload}`, false))
    }
  }

  #keep(payload: string): void {
    const [from = '', count] = payload.split(' ')
    const known = this.got.get(from)
    if (known === undefined) this.got.set(from, [Number(count)])
    else known.push(Number(count))
  }

  #onPacket(raw: RawMqtt, packet: Packet): void {
    const id = (packet as { messageId?: number }).messageId ?? 0
    const mine = this.open.find((each) => each.id === id)
    switch (packet.cmd) {
      case 'publish':
        if (!this.#received.has(id)) this.#keep(packet.payload.toString())
        this.#received.add(id)
        return raw.send({ cmd: 'pubrec', messageId: id })
      case 'pubrel':
        this.#received.delete(id)
        return raw.send({ cmd: 'pubcomp', messageId: id })
      case 'pubrec':
        if (mine !== undefined) mine.released = true
        return raw.send({ cmd: 'pubrel', messageId: id })
      case 'pubcomp':
        if (mine !== undefined) this.open.splice(this.open.indexOf(mine), 1)
        this.completed++
        return undefined
      default:
        return undefined
    }
  }
}

function message(messageId: number, payload: string, dup: boolean): IPublishPacket {
  return { cmd: 'publish', topic: 'crash/2', payload, qos: 2, messageId, dup, retain: false }
}

test.each([1, 3])(
  'QoS 2 is exactly once, in order, over kills of the broker and all clients (%i shards)',
  async (shards) => {
    await start(shards)
    const publishers = ['a', 'b'].map((id) => new Keeper(id))
    const subscribers = idsByShard('s', shards).map((id) => new Keeper(id))
    const all = [...publishers, ...subscribers]
    for (const each of all) await each.connect()
    for (const { raw } of subscribers) {
      raw?.send({
        cmd: 'subscribe',
        messageId: 1,
        subscriptions: [{ topic: 'crash/#', qos: 2 }],
      })
      await raw?.packet('suback')
    }
    for (let round = 0; round < rounds; round++) {
      const [first] = publishers
      const wanted = (first?.completed ?? 0) + 30 + Math.floor(Math.random() * 100)
      await eventually('a few messages more', () => {
        for (const each of publishers) each.publish(20)
        return (first?.completed ?? 0) >= wanted
      })
      await kill()
      await start(shards)
      for (const each of all) expect(await each.connect()).toBe(true)
    }
    await eventually('all are completed', () => publishers.every(isDone), 20_000)
    for (const { clientId, completed } of publishers) {
      const sent = Array.from({ length: completed }, (_, i) => i)
      for (const { got } of subscribers) {
        await eventually('all came', () => (got.get(clientId)?.length ?? 0) >= completed, 20_000)
        expect(got.get(clientId)).toEqual(sent)
      }
    }
  },
  60_000 + rounds * 10_000,
)

function isDone({ open }: Keeper): boolean {
  return open.length === 0
}

test('sessions, their messages and retained messages are there after a kill', async () => {
  await start(1)
  const clients = new MqttClients(await current())
  const session = { clientId: 'keeps', clean: false } as const
  const first = await clients.connect(session)
  await first.client.subscribeAsync({
    'a/+': { qos: 1 },
    'b/+': { qos: 0 },
    '$share/g/s': { qos: 1 },
  })
  await first.client.endAsync()
  const other = await clients.connect()
  for (const i of [1, 2, 3]) await other.client.publishAsync('a/x', `${i}`, { qos: 1 })
  await other.client.publishAsync('s', 'shared', { qos: 1 })
  await other.client.publishAsync('kept/1', 'one', { qos: 1, retain: true })
  await other.client.publishAsync('kept/2', 'two', { qos: 2, retain: true })
  await other.client.publishAsync('kept/2', '', { qos: 2, retain: true })
  const expiring = { clean: false, properties: { sessionExpiryInterval: 1 } }
  const gone = ['left', 'crashed'].map((clientId) => ({ ...expiring, clientId }))
  for (const each of gone) {
    const raw = await clients.login(5, each)
    raw.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'q', qos: 1 }] })
    await raw.packet('suback')
    if (each.clientId === 'left') raw.send({ cmd: 'disconnect' })
  }
  await kill()
  await clients.tidy()
  await start(1)
  const after = new MqttClients(await current())
  for (const { clientId } of gone) {
    await eventually('the session has ended with its queue', async () => {
      return !(await queueExists(await current(), sessionQueue(clientId)))
    })
  }
  const second = await after.connect(session)
  expect(second.connack.sessionPresent).toBe(true)
  expect((await second.got(4)).sort()).toEqual(['a/x 1 1', 'a/x 2 1', 'a/x 3 1', 's shared 1'])
  const reader = await after.connect()
  await reader.client.subscribeAsync('kept/#', { qos: 1 })
  expect(await reader.got(1)).toEqual(['kept/1 one 1 r'])
  await reader.client.publishAsync('b/y', 'live', { qos: 0 })
  expect((await second.got(5)).at(-1)).toBe('b/y live 0')
  await after.tidy()
}, 60_000)

test('what a member of a shared subscription was sent with QoS 2 is its own after a kill', async () => {
  await start(3)
  const clients = new MqttClients(await current())
  const session = { clientId: 'member', clean: false }
  const subscriptions = [{ topic: '$share/g/s', qos: 2 as const }]
  const first = await clients.login(4, session)
  first.send({ cmd: 'subscribe', messageId: 1, subscriptions })
  await first.packet('suback')
  const other = await clients.connect()
  await other.client.publishAsync('s', 'mine', { qos: 2 })
  const sent = await first.packet('publish')
  await clients.tidy()
  await kill()
  await start(3)
  const after = new MqttClients(await current())
  const second = await after.connect()
  await second.client.subscribeAsync('$share/g/s', { qos: 2 })
  await second.client.publishAsync('s', 'yours', { qos: 2 })
  expect(await second.got(1)).toEqual(['s yours 2'])
  const again = await after.login(4, session)
  const resent = await again.packet('publish')
  expect([resent.payload.toString(), resent.messageId]).toEqual(['mine', sent.messageId])
  await after.tidy()
}, 60_000)

async function queueExists({ port }: Broker, queue: string): Promise<boolean> {
  const amqp = await amqpConnect(`amqp://guest:guest@127.0.0.1:${port}`)
  const channel = await amqp.createChannel()
  channel.on('error', () => undefined)
  const found = await channel.checkQueue(queue).then(
    () => true,
    () => false,
  )
  await amqp.close()
  return found
}

async function current(): Promise<Broker> {
  if (broker === undefined) throw new Error('no broker runs')
  const { portOf } = broker
  return { ...broker, portOf: (protocol) => (protocol === 'mqtt' ? port : portOf(protocol)) }
}
