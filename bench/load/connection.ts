/**
 * One AMQP connection of the generator: socket, handshake, requests. Reads land in one buffer that
 * all connections of the process share, so receiving allocates nothing.
 */

import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { FrameScanner } from './frame-scanner.ts'
import { long, MethodId, methodFrame, PROTOCOL_HEADER, short, table, u8, u16, u32 } from './wire.ts'

/** Where and as whom to connect. */
export type Target = {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly vhost: string
  /** Of its other protocols, where they are not the usual ones. */
  readonly stompPort?: number
  readonly streamPort?: number
  readonly webStompPort?: number
  readonly mqttPort?: number
}

/** What a connection's owner may want to hear; set after `openConnection`. */
export type ConnectionEvents = {
  /** Confirms of a publishing channel. */
  onConfirm(channel: number, tag: number, multiple: boolean, nack: boolean): void
  /** A time stamp out of a delivered body. */
  onStamp(stamp: number): void
  /** A chunk was scanned: time to acknowledge or to publish on. */
  onChunk(): void
}

/** Frame size asked for; large bodies go in few frames. */
export const FRAME_MAX = 131072
/** Channels a scanner has room for. */
const CHANNEL_MAX = 64
/** Time from connect to connection.open-ok, generous because a thousand may open at once. */
const HANDSHAKE_TIMEOUT_MS = 30_000
const readBuffer = Buffer.allocUnsafeSlow(256 * 1024)

type Waiter = {
  readonly id: number
  readonly resolve: (args: Buffer) => void
  readonly reject: (error: Error) => void
}

/** An open connection. Requests of one channel are answered in order. */
export class LoadConnection {
  readonly socket: Socket
  readonly scanner: FrameScanner
  events: ConnectionEvents
  bytesRead: number
  /** Set once the connection or a channel was closed by the broker, or the socket broke. */
  failure: Error | undefined
  /** Arguments of connection.start. */
  start: Buffer
  readonly #waiters: Map<number, Waiter[]>
  #closing: boolean

  constructor(target: Target, stamps: boolean) {
    this.events = { onConfirm: ignore, onStamp: ignore, onChunk: ignore }
    this.bytesRead = 0
    this.failure = undefined
    this.start = Buffer.alloc(0)
    this.#waiters = new Map()
    this.#closing = false
    const scanner = new FrameScanner(
      {
        onConfirm: (channel, tag, multiple, nack) =>
          this.events.onConfirm(channel, tag, multiple, nack),
        onStamp: (stamp) => this.events.onStamp(stamp),
        onMethod: (channel, id, args) => this.#onMethod(channel, id, args),
      },
      CHANNEL_MAX,
      stamps,
    )
    this.scanner = scanner
    this.socket = connect({
      host: target.host,
      port: target.port,
      noDelay: true,
      onread: {
        buffer: readBuffer,
        callback: (size) => {
          this.bytesRead += size
          this.#scan(readBuffer, size)
          return true
        },
      },
    })
    this.socket.on('error', (error) => this.#fail(error))
    this.socket.on('close', () => {
      if (!this.#closing) this.#fail(new Error('the broker closed the socket'))
    })
  }

  /** Sends a method and waits for the reply with `replyId`; rejects on any close by the broker. */
  request(channel: number, frame: Buffer, replyId: number): Promise<Buffer> {
    const reply = this.reply(channel, replyId)
    this.socket.write(frame)
    return reply
  }

  /** Waits for `replyId` on `channel` without sending anything. */
  reply(channel: number, replyId: number): Promise<Buffer> {
    if (this.failure !== undefined) return Promise.reject(this.failure)
    return new Promise((resolve, reject) => {
      const queue = this.#waiters.get(channel)
      const waiter = { id: replyId, resolve, reject }
      if (queue === undefined) this.#waiters.set(channel, [waiter])
      else queue.push(waiter)
    })
  }

  /** A string out of the broker's server-properties, found by its key; '' when missing. */
  serverProperty(name: string): string {
    const key = Buffer.concat([short(name), Buffer.from('S')])
    const at = this.start.indexOf(key)
    if (at < 0) return ''
    const size = this.start.readUInt32BE(at + key.length)
    return this.start.toString('utf8', at + key.length + 4, at + key.length + 4 + size)
  }

  /** Opens channel `channel`. */
  async openChannel(channel: number): Promise<void> {
    const open = methodFrame(channel, MethodId.channelOpen, short(''))
    await this.request(channel, open, MethodId.channelOpenOk)
  }

  /** Says connection.close and waits for the answer, at most `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    this.#closing = true
    if (this.failure === undefined) {
      const args = [u16(200), short('bye'), u16(0), u16(0)]
      const close = methodFrame(0, MethodId.connectionClose, ...args)
      const timer = setTimeout(() => this.socket.destroy(new Error('close timed out')), timeoutMs)
      await this.request(0, close, MethodId.connectionCloseOk).catch(ignore)
      clearTimeout(timer)
    }
    this.socket.destroy()
  }

  #scan(chunk: Buffer, size: number): void {
    try {
      this.scanner.push(chunk, size)
      this.events.onChunk()
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)))
      this.socket.destroy()
    }
  }

  #onMethod(channel: number, id: number, args: Buffer): void {
    if (id === MethodId.connectionClose || id === MethodId.channelClose) {
      const textSize = args[2] ?? 0
      const text = args.toString('utf8', 3, 3 + textSize)
      this.#fail(new Error(`closed by the broker: ${args.readUInt16BE(0)} ${text}`))
      return
    }
    const waiter = this.#waiters.get(channel)?.shift()
    if (waiter === undefined || waiter.id !== id) {
      this.#fail(new Error(`unexpected method 0x${id.toString(16)} on channel ${channel}`))
      waiter?.reject(this.failure ?? new Error('unexpected method'))
    } else waiter.resolve(args)
  }

  #fail(error: Error): void {
    this.failure ??= error
    for (const queue of this.#waiters.values()) {
      for (const waiter of queue.splice(0)) waiter.reject(error)
    }
  }
}

/** Connects and goes through the handshake; `stamps` makes the scanner report time stamps. */
export async function openConnection(target: Target, stamps = false): Promise<LoadConnection> {
  const connection = new LoadConnection(target, stamps)
  const timer = setTimeout(
    () => connection.socket.destroy(new Error('no answer from the broker')),
    HANDSHAKE_TIMEOUT_MS,
  )
  try {
    connection.start = await connection.request(0, PROTOCOL_HEADER, MethodId.connectionStart)
    const tune = await connection.request(0, startOk(target), MethodId.connectionTune)
    const frameMaxOffered = tune.readUInt32BE(2)
    const frameMax = frameMaxOffered === 0 ? FRAME_MAX : Math.min(FRAME_MAX, frameMaxOffered)
    const limits = [u16(tune.readUInt16BE(0)), u32(frameMax), u16(0)]
    connection.socket.write(methodFrame(0, MethodId.connectionTuneOk, ...limits))
    const open = methodFrame(0, MethodId.connectionOpen, short(target.vhost), short(''), u8(0))
    await connection.request(0, open, MethodId.connectionOpenOk)
    return connection
  } catch (error) {
    connection.socket.destroy()
    throw error
  } finally {
    clearTimeout(timer)
  }
}

function startOk(target: Target): Buffer {
  const capabilities = {
    publisher_confirms: true,
    'basic.nack': true,
    consumer_cancel_notify: true,
    authentication_failure_close: true,
  }
  const properties = table({ product: 'warren-bench', capabilities })
  const answer = long(`\0${target.user}\0${target.password}`)
  const login = [properties, short('PLAIN'), answer, short('en_US')]
  return methodFrame(0, MethodId.connectionStartOk, ...login)
}

function ignore(): void {}
