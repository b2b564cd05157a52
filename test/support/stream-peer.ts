// A client of the stream protocol that hides nothing: commands go out as they are written, and what
// comes back is kept frame by frame.

import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { eventually } from './wait.ts'

/** Commands that tests send or wait for. */
export const Command = {
  declarePublisher: 1,
  publish: 2,
  confirm: 3,
  publishError: 4,
  subscribe: 7,
  deliver: 8,
  create: 13,
  metadata: 15,
  metadataUpdate: 16,
  peerProperties: 17,
  authenticate: 19,
  tune: 20,
  open: 21,
  close: 22,
} as const

/** A frame that came: what follows key and version. */
export interface StreamFrame {
  readonly key: number
  readonly body: Buffer
}

/** One connection. */
export class StreamPeer {
  readonly frames: StreamFrame[] = []
  closed: boolean = false
  private readonly socket: Socket
  private bytes: Buffer = Buffer.alloc(0)
  private correlation: number = 0

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => this.onData(chunk))
    socket.on('error', () => {})
    socket.on('close', () => {
      this.closed = true
    })
  }

  /** Opens a connection to vhost `/`. */
  static async login(port: number, user: string = 'guest'): Promise<StreamPeer> {
    const peer = new StreamPeer(connect({ host: '127.0.0.1', port, noDelay: true }))
    await peer.call(Command.peerProperties, u32(0))
    await peer.call(Command.authenticate, plain(user, user))
    await peer.next(Command.tune)
    // As a response, as the Go client does; the JavaScript client sends it as a request.
    peer.send(Command.tune | 0x8000, u32(1_048_576), u32(0))
    await peer.call(Command.open, text('/'))
    return peer
  }

  send(key: number, ...parts: readonly Buffer[]): void {
    const body = Buffer.concat([u16(key), u16(1), ...parts])
    this.socket.write(Buffer.concat([u32(body.length), body]))
  }

  /** Sends a request; its response's code and what follows that. */
  async call(key: number, ...parts: readonly Buffer[]): Promise<{ code: number; rest: Buffer }> {
    this.send(key, u32(++this.correlation), ...parts)
    const { body } = await this.next(key | 0x8000)
    return { code: body.readUInt16BE(4), rest: body.subarray(6) }
  }

  /** The first frame of that key that came and was not taken. */
  async next(key: number): Promise<StreamFrame> {
    const find = (): number => this.frames.findIndex((frame) => frame.key === key)
    await eventually(`a frame ${key} comes`, () => find() >= 0 || this.closed)
    const [frame] = this.frames.splice(find(), 1)
    if (frame === undefined) throw new Error(`closed before a frame ${key} came`)
    return frame
  }

  end(): void {
    this.socket.destroy()
  }

  private onData(chunk: Buffer): void {
    this.bytes = Buffer.concat([this.bytes, chunk])
    for (;;) {
      const { bytes } = this
      const size = bytes.length < 4 ? -1 : bytes.readUInt32BE(0)
      if (size < 0 || bytes.length < 4 + size) return
      this.frames.push({ key: bytes.readUInt16BE(4), body: bytes.subarray(8, 4 + size) })
      this.bytes = bytes.subarray(4 + size)
    }
  }
}

/** The fields of an authentication. */
export function plain(user: string, password: string): Buffer {
  const secret = Buffer.from(`\0${user}\0${password}`)
  return Buffer.concat([text('PLAIN'), u32(secret.length), secret])
}

/** A publish frame's fields: one message of AMQP 1.0 by publisher `id`. */
export function oneMessage(id: number, publishingId: number, body: string): Buffer {
  const data = Buffer.concat([Buffer.from([0, 0x53, 0x75, 0xa0, body.length]), Buffer.from(body)])
  return Buffer.concat([u8(id), u32(1), u32(0), u32(publishingId), u32(data.length), data])
}

export function u8(value: number): Buffer {
  return Buffer.from([value])
}

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

export function text(value: string): Buffer {
  return Buffer.concat([u16(Buffer.byteLength(value)), Buffer.from(value)])
}
