// A scripted AMQP 0-9-1 peer: it sends exactly the bytes a test asks for, and shows every frame
// that comes back. Real client libraries refuse to do most of what these tests need.

import type { Socket } from 'node:net'
import { connect } from 'node:net'
import type { ConnectionOptions } from 'node:tls'
import { connect as connectTls } from 'node:tls'
import type { FieldTable, FieldValue, Method, Properties } from './amqp-wire.ts'
import {
  decodeHeader,
  decodeMethod,
  encodeFrame,
  encodeMethod,
  encodePublish,
  FRAME_END,
  FrameType,
  PROTOCOL_HEADER,
} from './amqp-wire.ts'
import { PATIENCE_MS } from './wait.ts'

/** A method that came in, with its content when it carries one. */
export interface Incoming extends Method {
  readonly channel: number
  readonly properties: Properties | undefined
  readonly body: Buffer | undefined
  /** Payload sizes of the body frames. */
  readonly bodyFrames: readonly number[]
}

export interface LoginOptions {
  readonly user?: string
  readonly password?: string
  readonly mechanism?: string
  readonly response?: string | Uint8Array
  readonly vhost?: string
  /** Defaults to what the server proposes. */
  readonly channelMax?: number
  readonly frameMax?: number
  readonly heartbeat?: number
  readonly capabilities?: FieldTable
  readonly clientProperties?: FieldTable
}

export interface PublishOptions {
  readonly exchange?: string
  readonly routingKey?: string
  readonly mandatory?: boolean
  readonly immediate?: boolean
  readonly properties?: Properties
  readonly body?: Uint8Array | string
}

const HEARTBEAT_FRAME = encodeFrame(FrameType.heartbeat, 0, new Uint8Array(0))
const ALL_CAPABILITIES: FieldTable = {
  publisher_confirms: true,
  exchange_exchange_bindings: true,
  'basic.nack': true,
  consumer_cancel_notify: true,
  'connection.blocked': true,
  authentication_failure_close: true,
}

export class RawClient {
  readonly socket: Socket
  /** Resolves once the broker has ended or reset the connection. */
  readonly ended: Promise<void>
  /** Bytes that have come in and are not part of a whole frame yet (or never were). */
  pending: Buffer = Buffer.alloc(0)
  heartbeatsSeen = 0
  bytesSeen = 0
  frameMax = 131072
  isEnded = false
  /** Answers pings by itself, as a live client does. */
  readonly #inbox: Incoming[] = []
  readonly #partial = new Map<number, Partial>()
  #wake: (() => void)[] = []
  #parses = true

  static connect(port: number, host = '127.0.0.1'): Promise<RawClient> {
    return RawClient.#ready(connect({ port, host, noDelay: true }), 'connect')
  }

  static connectTls(options: ConnectionOptions): Promise<RawClient> {
    return RawClient.#ready(connectTls(options), 'secureConnect')
  }

  static #ready(socket: Socket, event: string): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      socket.once('error', reject)
      socket.once(event, () => {
        socket.off('error', reject)
        resolve(new RawClient(socket))
      })
    })
  }

  constructor(socket: Socket) {
    this.socket = socket
    this.ended = new Promise((resolve) => {
      const end = (): void => {
        this.isEnded = true
        resolve()
        this.#notify()
      }
      socket.on('end', end)
      socket.on('close', end)
      socket.on('error', end)
    })
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
  }

  /** Stops splitting the input into frames, for answers that are not frames. */
  readAsBytes(): this {
    this.#parses = false
    return this
  }

  write(bytes: Uint8Array): void {
    if (!this.socket.destroyed) this.socket.write(bytes)
  }

  send(channel: number, name: string, fields: Readonly<Record<string, FieldValue>> = {}): void {
    this.write(encodeMethod(channel, name, fields))
  }

  sendHeartbeat(): void {
    this.write(HEARTBEAT_FRAME)
  }

  publish(channel: number, options: PublishOptions = {}): void {
    const { exchange = '', routingKey = '', mandatory = false, immediate = false } = options
    const fields = { exchange, routingKey, mandatory, immediate }
    const body = Buffer.from(options.body ?? '')
    this.write(encodePublish(channel, fields, body, options.properties, this.frameMax))
  }

  /** Sends a method and returns the next one that comes on its channel, whichever it is. */
  async call(
    channel: number,
    name: string,
    fields: Readonly<Record<string, FieldValue>> = {},
  ): Promise<Incoming> {
    this.send(channel, name, fields)
    return await this.next(channel)
  }

  /** The next method on this channel. Fails when the connection ends or nothing comes in time. */
  async next(channel: number, timeoutMs: number = PATIENCE_MS): Promise<Incoming> {
    const found = await this.poll(channel, timeoutMs)
    if (found !== undefined) return found
    const state = this.isEnded ? 'the connection ended' : `nothing in ${timeoutMs} ms`
    throw new Error(`expected a method on channel ${channel}, but ${state}`)
  }

  /** The next method on this channel (a connection.close too), or undefined. */
  async poll(channel: number, timeoutMs: number): Promise<Incoming | undefined> {
    const deadline = Date.now() + timeoutMs
    for (;;) {
      const at = this.#inbox.findIndex(
        (item) => item.channel === channel || item.name === 'connection.close',
      )
      if (at >= 0) return this.#inbox.splice(at, 1)[0]
      const leftMs = deadline - Date.now()
      if (this.isEnded || leftMs <= 0) return undefined
      await this.#change(leftMs)
    }
  }

  /** The next method on this channel, which must have this name. */
  async expect(channel: number, name: string): Promise<Incoming> {
    const got = await this.next(channel)
    if (got.name !== name) {
      throw new Error(`expected ${name}, got ${got.name} ${JSON.stringify(got.fields)}`)
    }
    return got
  }

  /** Waits until the broker has ended the connection. */
  async waitForEnd(timeoutMs: number = PATIENCE_MS): Promise<void> {
    const deadline = Date.now() + timeoutMs
    while (!this.isEnded) {
      const leftMs = deadline - Date.now()
      if (leftMs <= 0) throw new Error(`the connection is still open after ${timeoutMs} ms`)
      await this.#change(leftMs)
    }
  }

  /** Header, login, tune and open: from a fresh socket to a connection in use. */
  async login(options: LoginOptions = {}): Promise<{ start: Incoming; tune: Incoming }> {
    const { start, answer } = await this.authenticate(options)
    if (answer.name !== 'connection.tune') throw new Error(`got ${JSON.stringify(answer)}`)
    this.tuneOk(answer, options)
    this.send(0, 'connection.open', { virtualHost: options.vhost ?? '/' })
    await this.expect(0, 'connection.open-ok')
    return { start, tune: answer }
  }

  /** Header and start-ok; returns what came back, connection.tune or connection.close. */
  async authenticate(options: LoginOptions = {}): Promise<{ start: Incoming; answer: Incoming }> {
    this.write(PROTOCOL_HEADER)
    const start = await this.expect(0, 'connection.start')
    this.startOk(options)
    return { start, answer: await this.next(0) }
  }

  startOk(options: LoginOptions = {}): void {
    const { user = 'guest', password = 'guest', capabilities = ALL_CAPABILITIES } = options
    this.send(0, 'connection.start-ok', {
      clientProperties: { product: 'raw test peer', capabilities, ...options.clientProperties },
      mechanism: options.mechanism ?? 'PLAIN',
      response: options.response ?? `\0${user}\0${password}`,
      locale: 'en_US',
    })
  }

  tuneOk(tune: Incoming, options: LoginOptions = {}): void {
    const frameMax = options.frameMax ?? numberOf(tune, 'frameMax')
    this.frameMax = frameMax
    this.send(0, 'connection.tune-ok', {
      channelMax: options.channelMax ?? numberOf(tune, 'channelMax'),
      frameMax,
      heartbeat: options.heartbeat ?? 0,
    })
  }

  async openChannel(channel: number): Promise<void> {
    this.send(channel, 'channel.open')
    await this.expect(channel, 'channel.open-ok')
  }

  /** A polite connection.close; does nothing when the connection has gone already. */
  async close(): Promise<void> {
    if (!this.isEnded && !this.socket.destroyed) {
      this.socket.resume()
      this.send(0, 'connection.close', { replyCode: 200, replyText: 'bye' })
      const deadline = Date.now() + 1000
      for (;;) {
        const got = await this.poll(0, Math.max(0, deadline - Date.now()))
        if (got === undefined || got.name === 'connection.close-ok') break
      }
    }
    this.socket.destroy()
  }

  destroy(): void {
    this.socket.destroy()
  }

  #take(chunk: Buffer): void {
    this.bytesSeen += chunk.length
    this.pending = this.pending.length === 0 ? chunk : Buffer.concat([this.pending, chunk])
    while (this.#parses && this.pending.length >= 8) {
      if (this.pending.toString('latin1', 0, 4) === 'AMQP') break
      const size = this.pending.readUInt32BE(3)
      if (this.pending.length < size + 8) break
      if (this.pending[size + 7] !== FRAME_END) throw new Error('broker sent a wrong frame end')
      this.#frame(
        this.pending.readUInt8(0),
        this.pending.readUInt16BE(1),
        this.pending.subarray(7, size + 7),
      )
      this.pending = this.pending.subarray(size + 8)
    }
    this.#notify()
  }

  #frame(type: number, channel: number, payload: Buffer): void {
    if (type === FrameType.heartbeat) {
      this.heartbeatsSeen += 1
      return
    }
    if (type === FrameType.method) {
      const method = decodeMethod(payload)
      if (CONTENT_METHODS.has(method.name)) this.#partial.set(channel, { method, chunks: [] })
      else this.#deliver(channel, method, undefined, undefined, [])
      return
    }
    const partial = this.#partial.get(channel)
    if (partial === undefined) throw new Error(`broker sent frame type ${type} without a method`)
    if (type === FrameType.header) partial.header = decodeHeader(payload)
    else partial.chunks.push(Buffer.from(payload))
    const have = partial.chunks.reduce((sum, bytes) => sum + bytes.length, 0)
    if (partial.header === undefined || have < partial.header.bodySize) return
    this.#partial.delete(channel)
    const sizes = partial.chunks.map((bytes) => bytes.length)
    const body = Buffer.concat(partial.chunks)
    this.#deliver(channel, partial.method, partial.header.properties, body, sizes)
  }

  #deliver(
    channel: number,
    method: Method,
    properties: Properties | undefined,
    body: Buffer | undefined,
    bodyFrames: readonly number[],
  ): void {
    this.#inbox.push({ ...method, channel, properties, body, bodyFrames })
  }

  #change(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs)
      this.#wake.push(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  #notify(): void {
    const wake = this.#wake
    this.#wake = []
    for (const call of wake) call()
  }
}

export function textOf(method: Method, field: string): string {
  return String(method.fields[field])
}

export function numberOf(method: Method, field: string): number {
  return Number(method.fields[field])
}

interface Partial {
  readonly method: Method
  readonly chunks: Buffer[]
  header?: { bodySize: number; properties: Properties }
}

const CONTENT_METHODS = new Set(['basic.return', 'basic.deliver', 'basic.get-ok'])
