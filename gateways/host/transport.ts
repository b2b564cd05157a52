// What a connection reads from and writes to: a TCP or TLS socket, or a WebSocket (websocket.ts).

import type { Socket } from 'node:net'
import type { AcceptedSocket } from './read-buffer.ts'

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
  /** The memory of a chunk is used again as soon as `onData` returns. */
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

/** A TCP or TLS socket. */
export class SocketTransport implements Transport {
  readonly borrowed: boolean
  private readonly socket: Socket
  private readonly onRead: AcceptedSocket['onRead']

  constructor(accepted: AcceptedSocket) {
    this.socket = accepted.socket
    this.onRead = accepted.onRead
    this.borrowed = accepted.onRead !== undefined
  }

  start(events: TransportEvents): void {
    const { socket } = this
    const take = (chunk: Buffer): void => {
      events.onData(chunk)
      events.onDataEnd()
    }
    if (this.onRead === undefined) socket.on('data', take)
    else this.onRead(take)
    socket.on('end', () => events.onEnd())
    socket.on('error', (error) => events.onError(error))
    socket.on('close', () => events.onClose())
    // One that was read from before (a PROXY header) has been paused since.
    if (this.onRead === undefined) socket.resume()
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
