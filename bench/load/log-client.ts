/** A client of the stream protocol, logged in, that counts what it is sent. */

import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { LogKey, LogScanner, logFrame, text, u8, u16, u32 } from './log-wire.ts'
import type { LoadOptions } from './options.ts'

const ANSWER_TIMEOUT_MS = 30_000

export class LogClient {
  readonly socket: Socket
  readonly scanner: LogScanner
  bytesRead: number
  failure: Error | undefined
  onChunk: () => void

  constructor(socket: Socket) {
    this.socket = socket
    this.scanner = new LogScanner()
    this.bytesRead = 0
    this.failure = undefined
    this.onChunk = () => {}
    socket.on('data', (chunk: Buffer) => {
      this.bytesRead += chunk.length
      this.scanner.push(chunk)
      this.onChunk()
    })
    socket.on('error', (error) => {
      this.failure ??= error
    })
    socket.on('close', () => {
      this.failure ??= new Error('the broker closed a stream connection')
    })
  }

  /** Sends a request and waits for its response; throws unless its code is in `codes`. */
  async ask(key: number, parts: readonly Buffer[], codes: readonly number[] = [1]): Promise<void> {
    this.scanner.codes[key] = 0
    this.socket.write(logFrame(key, u32(1), ...parts))
    await this.until(() => this.scanner.codes[key] !== 0)
    const code = this.scanner.codes[key] as number
    if (!codes.includes(code)) throw new Error(`the broker answers ${code} to command ${key}`)
  }

  async until(done: () => boolean): Promise<void> {
    const deadline = performance.now() + ANSWER_TIMEOUT_MS
    while (!done()) {
      if (this.failure !== undefined) throw this.failure
      if (performance.now() > deadline) throw new Error('no answer to a stream command')
      await sleep(1)
    }
  }

  /** Reads `stream` from `offset` (of type 4), giving credit for each chunk that came. */
  async subscribe(stream: string, offset: 'first' | 'next', credit: number): Promise<void> {
    const type = offset === 'first' ? 1 : 3
    let given = 0
    this.onChunk = () => {
      const chunks = this.scanner.chunks - given
      if (chunks === 0) return
      given += chunks
      this.socket.write(logFrame(LogKey.credit, u8(1), u16(chunks)))
    }
    await this.ask(LogKey.subscribe, [u8(1), text(stream), u16(type), u16(credit), u32(0)])
  }

  end(): void {
    this.failure = new Error('ended')
    this.socket.destroy()
  }
}

/** A connection with an open vhost. */
export async function openLogClient(options: LoadOptions): Promise<LogClient> {
  const { host, user, password, vhost } = options
  const socket = connect({ host, port: options.streamPort, noDelay: true })
  await new Promise<void>((done, failed) => {
    socket.once('connect', done)
    socket.once('error', failed)
  })
  const client = new LogClient(socket)
  await client.ask(LogKey.peerProperties, [u32(0)])
  await client.ask(LogKey.saslHandshake, [])
  const secret = Buffer.from(`\0${user}\0${password}`)
  await client.ask(LogKey.saslAuthenticate, [text('PLAIN'), u32(secret.length), secret])
  await client.until(() => client.scanner.tuned)
  socket.write(logFrame(LogKey.tune, u32(1024 * 1024), u32(0)))
  await client.ask(LogKey.open, [text(vhost)])
  return client
}
