// A session between two scripted ends in one thread: a client that writes bytes and reads frames,
// and shards (fake ones, on real rings) that answer control ops and show what came.

import { Buffer } from 'node:buffer'
import { amqp091 } from '../../../../gateways/amqp091/index.ts'
import type { Outbox, Peer, Session, SessionHost } from '../../../../gateways/host/protocol.ts'
import { blockBytes } from '../../../../gateways/host/protocol.ts'
import { GatewayPort } from '../../../../shared/bus/gateway-port.ts'
import { Record } from '../../../../shared/bus/wire.ts'
import type { ByteView } from '../../../../shared/bytes/view.ts'
import { viewOf } from '../../../../shared/bytes/view.ts'
import { createLog } from '../../../../shared/log.ts'
import type { Entry, Seen } from '../../../shared/bus/fake-shard.ts'
import { createGatewayStart, FakeShard } from '../../../shared/bus/fake-shard.ts'
import type { FieldValue, Method, Properties } from '../../../support/amqp-wire.ts'
import {
  decodeHeader,
  decodeMethod,
  encodeMethod,
  encodePublish,
  FrameType,
  PROTOCOL_HEADER,
} from '../../../support/amqp-wire.ts'

/** A method from the session, with its content if it has one. */
export interface Told extends Method {
  readonly channel: number
  readonly properties?: Properties
  readonly body?: Buffer
  readonly bodyFrames?: readonly number[]
}

/** A control op as a shard got it. */
export interface Asked {
  readonly op: string
  readonly shard: number
  readonly [field: string]: unknown
}

export interface RigOptions {
  readonly shards?: number
  readonly arenaBytes?: number
  readonly settings?: Readonly<Record<string, unknown>>
  readonly peer?: Partial<Peer>
}

/** Answers one op; undefined: no answer yet. */
export type Answer = (asked: Asked) => object | undefined

type Fields = Readonly<Record<string, FieldValue>>

class TestOutbox implements Outbox {
  bytes: Buffer = Buffer.alloc(0)
  at = 0
  readonly sent: (() => void)[] = []
  private readonly pieces: Uint8Array[] = []
  private start = 0

  get dataView(): ByteView {
    return viewOf(this.bytes)
  }

  reserve(size: number): void {
    if (size > blockBytes) throw new Error(`reserve(${size})`)
    if (this.bytes.length - this.at >= size) return
    this.cut()
    this.bytes = Buffer.alloc(Math.max(size, 4096))
    this.at = 0
    this.start = 0
  }

  view(bytes: Uint8Array, onSent: () => void): void {
    this.cut()
    this.pieces.push(bytes)
    this.sent.push(onSent)
  }

  touch(): void {}

  take(): Buffer {
    this.cut()
    return Buffer.concat(this.pieces.splice(0))
  }

  private cut(): void {
    if (this.at > this.start) this.pieces.push(this.bytes.subarray(this.start, this.at))
    this.start = this.at
  }
}

export class SessionRig {
  readonly port: GatewayPort
  readonly shards: readonly FakeShard[]
  readonly session: Session
  readonly outbox: TestOutbox
  /** Control ops in the order in which shards saw them, without fences and openChannel. */
  readonly asked: Asked[] = []
  /** Other records by shard: [type, ...fields], and entries of publishes. */
  readonly records: (Seen & { readonly shard: number })[] = []
  readonly told: Told[] = []
  readonly lines: string[] = []
  /** By op: what the shards answer; an op without an entry is answered with {}. */
  readonly answers: Map<string, Answer>
  heartbeats = 0
  now = 1000
  ended = false
  destroyed = false
  frameMax = 131072
  private readonly held: Buffer[] = []
  private readonly partial = new Map<number, { method: Method; header?: Buffer; body: Buffer[] }>()
  private unparsed = Buffer.alloc(0)
  private unanswered: { shard: number; request: number; asked: Asked }[] = []

  constructor(options: RigOptions = {}) {
    const start = createGatewayStart(options.shards ?? 1, options.arenaBytes)
    this.port = new GatewayPort(start)
    this.shards = start.links.map((_, i) => new FakeShard(start, i))
    this.outbox = new TestOutbox()
    this.answers = new Map<string, Answer>([
      ['authenticate', (asked) => ({ user: asked['user'], tags: [] })],
      ['queueDeclare', (asked) => ({ queue: asked['queue'], messages: 0, consumers: 0 })],
    ])
    const host: SessionHost = {
      port: this.port,
      peer: {
        name: '127.0.0.1:1 -> 127.0.0.1:2',
        address: '127.0.0.1',
        port: 1,
        localAddress: '127.0.0.1',
        localPort: 2,
        loopback: true,
        tls: false,
        certificateUser: undefined,
        ...options.peer,
      },
      out: this.outbox,
      log: createLog((level, msg) => this.lines.push(`${level} ${msg}`)),
      wall: () => 0,
      now: () => this.now,
      wakeAt: () => {},
      end: () => {
        this.ended = true
      },
      destroy: () => {
        this.destroyed = true
      },
    }
    this.session = amqp091.createSession(host, options.settings ?? {})
  }

  /** Header, login, tune, open and channel 1, all answered; forgets what was said until then. */
  login(capabilities: Fields = {}, tune: Fields = {}): this {
    this.write(PROTOCOL_HEADER)
    this.startOk(capabilities)
    this.frameMax = Number(tune['frameMax'] ?? this.frameMax)
    this.send(0, 'connection.tune-ok', {
      channelMax: 2047,
      frameMax: this.frameMax,
      heartbeat: 0,
      ...tune,
    })
    this.send(0, 'connection.open', { virtualHost: '/' })
    this.send(1, 'channel.open')
    this.forget()
    return this
  }

  startOk(capabilities: Fields = {}, mechanism = 'PLAIN', response = '\0guest\0guest'): void {
    this.send(0, 'connection.start-ok', {
      clientProperties: { capabilities: { ...capabilities } },
      mechanism,
      response,
      locale: 'en_US',
    })
  }

  /** Writes bytes as the host would, then lets everything settle. */
  write(bytes: Uint8Array): void {
    this.feed(bytes)
    this.settle()
  }

  /** Writes bytes; the shards do not look yet. */
  feed(bytes: Uint8Array): void {
    this.held.push(Buffer.from(bytes))
    this.feedHeld()
  }

  send(channel: number, name: string, fields: Fields = {}): void {
    this.write(encodeMethod(channel, name, fields))
  }

  /** A method and what comes back on its channel at once. */
  call(channel: number, name: string, fields: Fields = {}): Told | undefined {
    const before = this.told.length
    this.send(channel, name, fields)
    return this.told.slice(before).find((each) => each.channel === channel || each.channel === 0)
  }

  publish(
    channel: number,
    routingKey: string,
    body: Uint8Array | string,
    more: PublishMore = {},
  ): void {
    this.write(this.publishBytes(channel, routingKey, body, more))
  }

  publishBytes(
    channel: number,
    routingKey: string,
    body: Uint8Array | string,
    more: PublishMore = {},
  ): Buffer {
    const { properties, exchange = '', ...flags } = more
    const fields = { exchange, routingKey, ...flags }
    return encodePublish(channel, fields, Buffer.from(body), properties, this.frameMax)
  }

  /** Turns until nothing moves: shards read and answer, the port drains, the session goes on. */
  settle(): void {
    for (let turn = 0; turn < 50; turn++) {
      this.collect()
      this.session.onFlushed()
      this.port.flush()
      if (!this.serve()) {
        this.collect()
        return
      }
      this.drain()
    }
  }

  /** Lets the gateway take in what shards wrote, without the shards reading. */
  drain(): void {
    for (const shard of this.shards) shard.flush()
    this.port.drain()
    if (this.session.blocked) this.session.resume()
    this.feedHeld()
    this.collect()
  }

  /** A delivery from a shard to the consumer at `slot`. */
  deliver(slot: number, id: number, entry: Entry, flags = 0, shard = 0): void {
    this.shards[shard]?.writeEntry(Record.deliver, slot, id, flags, entry)
  }

  /** Answers ops that `answers` had no answer for at the time. */
  answer(op: string, reply: object): void {
    const at = this.unanswered.findIndex((each) => each.asked.op === op)
    const [found] = this.unanswered.splice(at, 1)
    if (at < 0 || found === undefined) throw new Error(`nobody asked ${op}`)
    this.shards[found.shard]?.reply(found.request, reply)
    this.drain()
    this.settle()
  }

  /** The request id of the unanswered `get`. */
  takeRequest(op: string): { shard: number; request: number } {
    const at = this.unanswered.findIndex((each) => each.asked.op === op)
    const [found] = this.unanswered.splice(at, 1)
    if (at < 0 || found === undefined) throw new Error(`nobody asked ${op}`)
    return found
  }

  /** The methods told since the last call: `name` or `name {fields}` by need. */
  names(): string[] {
    return this.told.splice(0).map((each) => each.name)
  }

  published(): Entry[] {
    return this.records.flatMap((each) => (each.entry === undefined ? [] : [each.entry]))
  }

  ofType(type: number): (readonly number[])[] {
    return this.records.filter((each) => each.type === type).map((each) => each.fields)
  }

  askedOf(op: string): Asked[] {
    return this.asked.filter((each) => each.op === op)
  }

  forget(): void {
    this.told.length = 0
    this.asked.length = 0
    this.records.length = 0
  }

  private feedHeld(): void {
    while (this.held.length > 0 && !this.session.blocked && !this.ended) {
      this.session.onBytes(this.held.shift() as Buffer)
    }
  }

  private serve(): boolean {
    let any = false
    this.shards.forEach((shard, index) => {
      for (const seen of shard.read()) {
        any = true
        if (seen.type === Record.control) this.onControl(index, seen)
        else this.records.push({ ...seen, shard: index })
      }
    })
    return any
  }

  private onControl(shard: number, seen: Seen): void {
    const asked = { ...(seen.payload as { op: string }), shard }
    const request = seen.fields[0] as number
    if (asked.op !== 'openChannel') this.asked.push(asked)
    if (request === 0) return
    const answer = this.answers.get(asked.op)
    const reply = answer === undefined ? {} : answer(asked)
    if (reply === undefined) this.unanswered.push({ shard, request, asked })
    else this.shards[shard]?.reply(request, reply)
  }

  private collect(): void {
    const bytes = this.outbox.take()
    for (const call of this.outbox.sent.splice(0)) call()
    this.unparsed = Buffer.concat([this.unparsed, bytes])
    while (this.unparsed.length >= 8) {
      if (this.unparsed.toString('latin1', 0, 4) === 'AMQP') return
      const size = this.unparsed.readUInt32BE(3)
      if (this.unparsed.length < size + 8) return
      const [type, channel] = [this.unparsed.readUInt8(0), this.unparsed.readUInt16BE(1)]
      if (this.unparsed[size + 7] !== 0xce) throw new Error('wrong frame end')
      this.onFrame(type, channel, this.unparsed.subarray(7, size + 7))
      this.unparsed = this.unparsed.subarray(size + 8)
    }
  }

  /** Bytes that are no frames: a protocol header. */
  rest(): Buffer {
    return this.unparsed
  }

  private onFrame(type: number, channel: number, payload: Buffer): void {
    if (type === FrameType.heartbeat) {
      this.heartbeats++
      return
    }
    if (type === FrameType.method) {
      const method = decodeMethod(payload)
      if (contentMethods.has(method.name)) this.partial.set(channel, { method, body: [] })
      else this.told.push({ ...method, channel })
      return
    }
    const partial = this.partial.get(channel)
    if (partial === undefined) throw new Error('content without a method')
    if (type === FrameType.header) partial.header = Buffer.from(payload)
    else partial.body.push(Buffer.from(payload))
    const { bodySize, properties } = decodeHeader(partial.header as Buffer)
    const body = Buffer.concat(partial.body)
    if (body.length < bodySize) return
    this.partial.delete(channel)
    const bodyFrames = partial.body.map((piece) => piece.length)
    this.told.push({ ...partial.method, channel, properties, body, bodyFrames })
  }
}

interface PublishMore {
  readonly exchange?: string
  readonly mandatory?: boolean
  readonly immediate?: boolean
  readonly properties?: Properties
}

const contentMethods = new Set(['basic.deliver', 'basic.get-ok', 'basic.return'])

/** `exchange` and `routingKey` as they lie in an entry. */
export function names(exchange: string, routingKey: string): string {
  const part = (text: string): string => String.fromCharCode(text.length) + text
  return part(exchange) + part(routingKey)
}

/** Property bytes without any property. */
export const noProperties = '\0\0'
