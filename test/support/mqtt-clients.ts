// What MQTT tests do with MQTT.js: clients that are closed after each test and remember what they
// got, and raw peers that write packets byte by byte.

import type { Socket } from 'node:net'
import { connect as connectSocket } from 'node:net'
import type { IClientOptions, IPublishPacket, MqttClient } from 'mqtt'
import mqtt from 'mqtt'
import type { IConnackPacket, Packet, Parser } from 'mqtt-packet'
import { generate, parser } from 'mqtt-packet'
import { sessionQueue } from '../../gateways/mqtt/mapping/topic.ts'
import { placeQueue } from '../../shared/placement.ts'
import type { Broker } from './broker.ts'
import { eventually, within } from './wait.ts'

/** The brokers that MQTT tests run on. */
export const mqttProfiles = [
  { title: '1 shard', shards: 1, settings: ['shards=1'] },
  {
    title: '3 shards, process',
    shards: 3,
    settings: ['shards=3', 'gateways.mqtt.isolation=process'],
  },
] as const

/** A message as a client got it. */
export interface Got {
  readonly topic: string
  readonly payload: string
  readonly packet: IPublishPacket
}

/** A client and its inbox. */
export interface MqttPeer {
  readonly client: MqttClient
  readonly connack: IConnackPacket
  readonly inbox: Got[]
  /** Waits for `count` messages and gives `topic payload qos[ r][ d]` of each. */
  got(count: number): Promise<string[]>
}

export class MqttClients {
  readonly broker: Broker
  #open: MqttClient[] = []
  #raws: RawMqtt[] = []

  constructor(broker: Broker) {
    this.broker = broker
  }

  get port(): number {
    return this.broker.portOf('mqtt')
  }

  /** Connects a client; it does not come back by itself. */
  async connect(options: IClientOptions = {}, url?: string): Promise<MqttPeer> {
    const client = mqtt.connect(url ?? `mqtt://127.0.0.1:${this.port}`, {
      reconnectPeriod: 0,
      connectTimeout: 20_000,
      clientId: name('client'),
      username: 'guest',
      password: 'guest',
      ...options,
    })
    this.#open.push(client)
    const inbox: Got[] = []
    client.on('message', (topic, payload, packet) => {
      inbox.push({ topic, payload: payload.toString(), packet })
    })
    const connected = new Promise<IConnackPacket>((resolve, reject) => {
      client.once('connect', resolve)
      client.once('error', reject)
      client.once('close', () => reject(new Error('closed before CONNACK')))
    })
    client.on('error', () => undefined)
    const connack = await within('the broker accepts the client', connected, 20_000)
    const got = async (count: number): Promise<string[]> => {
      await eventually(`${count} messages`, () => inbox.length >= count, 15_000)
      return inbox.map(describe)
    }
    return { client, connack, inbox, got }
  }

  /** A peer that has sent nothing yet. */
  async raw(version = 4): Promise<RawMqtt> {
    const raw = await RawMqtt.connect(this.port, version)
    this.#raws.push(raw)
    return raw
  }

  /** A raw peer that is logged in. */
  async login(version = 4, packet: object = {}): Promise<RawMqtt> {
    const raw = await this.raw(version)
    raw.send(connectPacket(version, packet))
    await raw.packet('connack')
    return raw
  }

  async tidy(): Promise<void> {
    const open = this.#open
    this.#open = []
    for (const raw of this.#raws.splice(0)) raw.close()
    await Promise.all(open.map((client) => client.endAsync(true)))
  }
}

/** A name that no other test uses. */
export function name(stem: string): string {
  nameCount++
  return `${stem}-${process.pid}-${nameCount}`
}

/** Client ids, by the shard that their sessions' queues are on. */
export function idsByShard(stem: string, shards: number): string[] {
  const ids: string[] = []
  for (let i = 0; ids.filter((id) => id !== undefined).length < shards; i++) {
    ids[placeQueue('/', sessionQueue(`${stem}${i}`), shards)] ??= `${stem}${i}`
  }
  return ids
}

export function connectPacket(version: number, fields: object = {}): Packet {
  return {
    cmd: 'connect',
    protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
    protocolVersion: version as 3 | 4 | 5,
    clean: true,
    clientId: name('raw'),
    keepalive: 0,
    username: 'guest',
    password: Buffer.from('guest'),
    ...fields,
  } as Packet
}

/** A socket that speaks MQTT packets, right or wrong. */
export class RawMqtt {
  readonly packets: Packet[] = []
  closed = false
  onPacket: (packet: Packet) => void = () => undefined
  readonly #socket: Socket
  readonly #version: number
  readonly #parser: Parser

  constructor(socket: Socket, version: number) {
    this.#socket = socket
    this.#version = version
    this.#parser = parser({ protocolVersion: version })
    this.#parser.on('packet', (packet) => {
      this.packets.push(packet)
      this.onPacket(packet)
    })
    this.#parser.on('error', () => undefined)
    socket.on('data', (chunk) => this.#parser.parse(chunk as Buffer))
    socket.on('close', () => {
      this.closed = true
    })
    socket.on('error', () => undefined)
  }

  static connect(port: number, version: number): Promise<RawMqtt> {
    return new Promise((resolve, reject) => {
      const socket = connectSocket({ port, host: '127.0.0.1', noDelay: true })
      socket.once('connect', () => resolve(new RawMqtt(socket, version)))
      socket.once('error', reject)
    })
  }

  send(packet: Packet): void {
    if (!this.closed) this.#socket.write(generate(packet, { protocolVersion: this.#version }))
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes)
  }

  /** Waits for a packet of that kind and takes it out. */
  async packet<K extends Packet['cmd']>(cmd: K): Promise<Extract<Packet, { cmd: K }>> {
    const find = (): number => this.packets.findIndex((each) => each.cmd === cmd)
    await eventually(`a ${cmd}`, () => find() >= 0 || this.closed, 15_000)
    const [found] = this.packets.splice(find(), 1)
    if (found === undefined) throw new Error(`closed without a ${cmd}`)
    return found as Extract<Packet, { cmd: K }>
  }

  async untilClosed(): Promise<void> {
    await eventually('the broker closes the connection', () => this.closed, 15_000)
  }

  /** Reads no more. */
  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /** Ends without a word. */
  close(): void {
    this.#socket.destroy()
  }
}

function describe({ topic, payload, packet }: Got): string {
  return `${topic} ${payload} ${packet.qos}${packet.retain ? ' r' : ''}${packet.dup ? ' d' : ''}`
}

let nameCount = 0
