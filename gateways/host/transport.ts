// What a connection reads from and writes to: a TCP or TLS socket, or a WebSocket (websocket.ts).

import type { Socket } from 'node:net'
import type { AcceptedSocket } from './read-buffer.ts'
import { adoptSocket } from './read-buffer.ts'

/** What a transport tells its connection. */
export interface TransportEvents {
  /** Bytes that were read. Several chunks of one read may follow each other. */
  onData(chunk: Buffer): void
  /** The read is over: time to send what the chunks have led to. */
  onDataEnd(): void
  /** The peer sends no more. */
  onEnd(): void
  onError(error: Error): void
  /** Nothing follows; called once. */
  onClose(): void
}

/** An open way to one peer. It reads nothing before `start`. */
export interface Transport {
  /** The memory of a chunk is used again as soon as `onData` returns. Known after `start`. */
  readonly borrowed: boolean
  start(events: TransportEvents): void
  /** Hands pieces over, in order; `onWritten` is called when the kernel has taken them. */
  write(pieces: readonly Uint8Array[], onWritten: () => void): void
  /** Bytes that the kernel has not taken yet. */
  queued(): number
  destroyed(): boolean
  pause(): void
  resume(): void
  /** Sends what was written, then tells the peer that nothing follows. */
  end(): void
  destroy(): void
  /** About twice a second, while the connection is open. */
  onTick(now: number): void
}

/** A TCP or TLS socket, which nobody reads from before `start`. */
export class SocketTransport implements Transport {
  borrowed: boolean
  private socket: Socket
  private readonly plain: boolean

  /** `plain`: fresh from the listener and paused, so that the way it reads can be chosen. */
  constructor(socket: Socket, plain: boolean) {
    this.socket = socket
    this.plain = plain
    this.borrowed = false
  }

  start(events: TransportEvents): void {
    const take = (chunk: Buffer): void => {
      events.onData(chunk)
      events.onDataEnd()
    }
    const { socket, onRead }: AcceptedSocket = this.plain
      ? adoptSocket(this.socket)
      : { socket: this.socket, onRead: undefined }
    this.socket = socket
    this.borrowed = onRead !== undefined
    if (onRead === undefined) socket.on('data', take)
    else onRead(take)
    socket.on('end', () => events.onEnd())
    socket.on('error', (error) => events.onError(error))
    socket.on('close', () => events.onClose())
    // One that was read from before (a PROXY header) has been paused since.
    if (onRead === undefined) socket.resume()
  }

  write(pieces: readonly Uint8Array[], onWritten: () => void): void {
    const { socket } = this
    const last = pieces.length - 1
    if (last > 0) {
      socket.cork()
      for (let i = 0; i < last; i++) socket.write(pieces[i] as Uint8Array)
    }
    socket.write(pieces[last] as Uint8Array, onWritten)
    if (last > 0) socket.uncork()
  }

  queued(): number {
    return this.socket.writableLength
  }

  destroyed(): boolean {
    return this.socket.destroyed
  }

  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
  }

  end(): void {
    this.socket.end()
  }

  destroy(): void {
    this.socket.destroy()
  }

  onTick(): void {
    // TCP needs no attention.
  }
}
