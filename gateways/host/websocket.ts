// A WebSocket as a transport: a session sees the same bytes and writes the same outbox as on TCP.
// Message boundaries mean nothing on the way in; what one flush sends goes out as one message.

import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'
import type { Transport, TransportEvents } from './transport.ts'

/** Kind of message that goes out; as received: like the first one that came. */
export type MessageKind = 'text' | 'binary' | 'as received'

/** What a WebSocket transport needs of its listener. */
export interface WebSocketOptions {
  readonly kind: MessageKind
  /** Without a byte for half of this the peer is asked, without one for all of it dropped; 0: never. */
  readonly idleMs: number
}

// Small messages of one read are put together: a session takes one chunk of many frames far more
// cheaply than many chunks of one. Filled and used up within one read, so one per thread is enough.
const gathered = Buffer.allocUnsafeSlow(256 * 1024)
const smallMessageBytes = 4096

/** An open WebSocket; `socket` is the one below it. */
export class WebSocketTransport implements Transport {
  readonly borrowed: boolean
  private readonly web: WebSocket
  private readonly socket: Socket
  private readonly options: WebSocketOptions
  private kind: MessageKind
  private heard: boolean
  private quietSince: number
  private asked: boolean
  /** The peer's close has come, and the connection has not said its last word yet. */
  private closing: boolean
  private ended: boolean
  /** A read is being taken apart; its small messages so far have this many bytes. */
  private reading: boolean
  private gatheredBytes: number
  /** The peer broke the protocol and has been told so: it gets a moment to read that. */
  private broken: boolean
  private events: TransportEvents | undefined

  constructor(web: WebSocket, socket: Socket, options: WebSocketOptions) {
    this.web = web
    this.socket = socket
    this.options = options
    this.borrowed = true
    this.kind = options.kind
    this.heard = true
    this.quietSince = 0
    this.asked = false
    this.closing = false
    this.ended = false
    this.reading = false
    this.gatheredBytes = 0
    this.broken = false
    this.events = undefined
    web.binaryType = 'nodebuffer'
    // An error may come before there is a connection that could hear of it.
    web.on('error', () => {})
    web.pause()
  }

  start(events: TransportEvents): void {
    const { web, socket } = this
    this.events = events
    web.on('message', (message, binary) => {
      if (this.kind === 'as received') this.kind = binary ? 'binary' : 'text'
      // One message of a binary type is one Buffer.
      this.onMessage(message as Buffer, events)
    })
    // Around the listener of `ws`, which takes the read apart.
    socket.prependListener('data', () => {
      this.reading = true
    })
    socket.on('data', () => {
      this.heard = true
      this.reading = false
      this.handOver(events)
      events.onDataEnd()
    })
    web.on('error', (error) => {
      this.broken = true
      events.onError(error)
    })
    web.on('close', (code) => this.onClosed(code))
    if (web.readyState === web.CLOSED) this.onClosed(abnormalClosure)
    else web.resume()
  }

  write(pieces: readonly Uint8Array[], onWritten: () => void): void {
    const { socket, web } = this
    const binary = this.kind === 'binary'
    const last = pieces.length - 1
    if (web.readyState !== web.OPEN) {
      onWritten()
      return
    }
    socket.cork()
    for (let i = 0; i <= last; i++) {
      const fin = i === last
      const options = { binary, compress: false, fin }
      web.send(pieces[i] as Uint8Array, options, fin ? onWritten : undefined)
    }
    socket.uncork()
  }

  queued(): number {
    return this.web.bufferedAmount
  }

  destroyed(): boolean {
    return this.web.readyState === this.web.CLOSED
  }

  pause(): void {
    this.web.pause()
  }

  resume(): void {
    this.web.resume()
  }

  end(): void {
    this.ended = true
    if (this.closing) this.finish()
    else this.web.close(normalClosure)
  }

  destroy(): void {
    this.ended = true
    if (this.closing) this.finish()
    else this.web.terminate()
  }

  onTick(now: number): void {
    const { idleMs } = this.options
    if (this.broken) this.web.terminate()
    else if (this.heard) {
      this.heard = false
      this.asked = false
      this.quietSince = now
    } else if (idleMs > 0 && now - this.quietSince >= idleMs) {
      this.web.terminate()
    } else if (idleMs > 0 && !this.asked && now - this.quietSince >= idleMs / 2) {
      this.asked = true
      if (this.web.readyState === this.web.OPEN) this.web.ping()
    }
  }

  // HOT: once per message
  private onMessage(message: Buffer, events: TransportEvents): void {
    const { length } = message
    if (this.reading && length <= smallMessageBytes) {
      if (this.gatheredBytes + length > gathered.length) this.handOver(events)
      message.copy(gathered, this.gatheredBytes)
      this.gatheredBytes += length
      return
    }
    this.handOver(events)
    events.onData(message)
    if (!this.reading) events.onDataEnd()
  }

  private handOver(events: TransportEvents): void {
    const { gatheredBytes } = this
    if (gatheredBytes === 0) return
    this.gatheredBytes = 0
    events.onData(gathered.subarray(0, gatheredBytes))
  }

  // What the peer sent before an orderly close is still to be taken in, as on TCP.
  private onClosed(code: number): void {
    if (this.ended || code === abnormalClosure) {
      this.finish()
      return
    }
    this.closing = true
    this.events?.onEnd()
  }

  private finish(): void {
    this.closing = false
    const { events } = this
    this.events = undefined
    // Never from inside a call of the connection.
    if (events !== undefined) setImmediate(() => events.onClose())
  }
}

/** Codes of RFC 6455, 7.4.1; the second is never sent: the socket ended without a close. */
const normalClosure = 1000
const abnormalClosure = 1006
