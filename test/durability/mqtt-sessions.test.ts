// MQTT sessions, QoS 2 and retained messages across kills of the broker. WARREN_CRASH_ROUNDS=50 makes
// the long form of the QoS 2 test.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { IPublishPacket, Packet } from 'mqtt-packet'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Broker } from '../support/broker.ts'
import { freePort, startWarren } from '../support/broker.ts'
import { connectPacket, MqttClients, RawMqtt } from '../support/mqtt-clients.ts'
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

async function start(...settings: readonly string[]): Promise<Broker> {
  const listen = `mqtt.listeners.tcp.local=127.0.0.1:${port}`
  broker = await startWarren({ dataDir, settings: ['shards=1', listen, ...settings] })
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
  /** Payloads that came, each once unless the broker fails. */
  readonly got: number[] = []
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
      else raw.send(message(id, payload, true))
    }
    return true
  }

  /** Keeps `window` messages on their way. */
  publish(window: number): void {
    while (this.open.length < window && this.raw?.closed === false) {
      this.#lastId = (this.#lastId % 65535) + 1
      const each = { id: this.#lastId, payload: this.#next++, released: false }
      this.open.push(each)
      this.raw.send(message(each.id, each.payload, false))
    }
  }

  #onPacket(raw: RawMqtt, packet: Packet): void {
    const id = (packet as { messageId?: number }).messageId ?? 0
    const mine = this.open.find((each) => each.id === id)
    switch (packet.cmd) {
      case 'publish':
        if (!this.#received.has(id)) this.got.push(Number(packet.payload.toString()))
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

function message(messageId: number, payload: number, dup: boolean): IPublishPacket {
  return {
    cmd: 'publish',
    topic: 'crash/2',
    payload: `${payload}`,
    qos: 2,
    messageId,
    dup,
    retain: false,
  }
}

test(
  'QoS 2 is exactly once, in order, over kills of the broker and both clients',
  async () => {
    await start()
    const publisher = new Keeper('publisher')
    const subscriber = new Keeper('subscriber')
    await publisher.connect()
    await subscriber.connect()
    subscriber.raw?.send({
      cmd: 'subscribe',
      messageId: 1,
      subscriptions: [{ topic: 'crash/#', qos: 2 }],
    })
    await subscriber.raw?.packet('suback')
    for (let round = 0; round < rounds; round++) {
      const wanted = publisher.completed + 50 + Math.floor(Math.random() * 200)
      await eventually('a few messages more', () => {
        publisher.publish(20)
        return publisher.completed >= wanted
      })
      await kill()
      await start()
      expect(await publisher.connect()).toBe(true)
      expect(await subscriber.connect()).toBe(true)
    }
    await eventually('all are completed', () => publisher.open.length === 0, 20_000)
    const sent = publisher.completed
    await eventually('all came', () => subscriber.got.length >= sent, 20_000)
    expect(subscriber.got).toEqual(Array.from({ length: subscriber.got.length }, (_, i) => i))
  },
  60_000 + rounds * 10_000,
)

test('sessions, their messages and retained messages are there after a kill', async () => {
  await start()
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
  await clients.tidy()
  await kill()
  await start()
  const after = new MqttClients(await current())
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

async function current(): Promise<Broker> {
  if (broker === undefined) throw new Error('no broker runs')
  const { portOf } = broker
  return { ...broker, portOf: (protocol) => (protocol === 'mqtt' ? port : portOf(protocol)) }
}
