// A STOMP client that hides nothing: frames go out as they are written, and come back as they came.

import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { eventually } from './wait.ts'

export interface StompFrame {
  readonly command: string
  /** In order; names and values with their escapes. */
  readonly lines: readonly string[]
  /** Unescaped; the first of a repeated name. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

/** What was sent over a connection to a STOMP listener, and what came back. */
export class StompClient {
  readonly socket: Socket
  readonly frames: StompFrame[]
  /** Line feeds between frames: heart-beats, and the one behind each frame. */
  lineFeeds: number
  closed: boolean
  private taken: number
  private bytes: Buffer

  constructor(socket: Socket) {
    this.socket = socket
    this.frames = []
    this.lineFeeds = 0
    this.closed = false
    this.taken = 0
    this.bytes = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => this.onData(chunk))
    socket.on('error', () => {})
    socket.on('close', () => {
      this.closed = true
    })
  }

  static async open(port: number): Promise<StompClient> {
    const socket = connect(port, '127.0.0.1')
    socket.setNoDelay()
    await new Promise<void>((done, failed) => {
      socket.once('connect', done)
      socket.once('error', failed)
    })
    return new StompClient(socket)
  }

  /** Opens a connection and logs in; `headers` in place of the usual ones. */
  static async login(
    port: number,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<StompClient> {
    const client = await StompClient.open(port)
    client.send('CONNECT', {
      'accept-version': '1.2',
      host: '/',
      login: 'guest',
      passcode: 'guest',
      ...headers,
    })
    const answer = await client.next()
    if (answer.command !== 'CONNECTED')
      throw new Error(`${answer.headers['message']}: ${answer.body}`)
    return client
  }

  /** Sends a frame with these headers, escaped. */
  send(
    command: string,
    headers: Readonly<Record<string, string>> = {},
    body: string | Buffer = '',
  ): void {
    const lines = Object.entries(headers).map(
      ([name, value]) => `${escapeHeader(name)}:${escapeHeader(value)}\n`,
    )
    this.raw(
      Buffer.concat([
        Buffer.from(`${command}\n${lines.join('')}\n`),
        Buffer.from(body),
        Buffer.from('\0'),
      ]),
    )
  }

  raw(bytes: string | Buffer): void {
    this.socket.write(bytes)
  }

  /** The next frame that has not been taken. */
  async next(): Promise<StompFrame> {
    const frame = await eventually('a frame', () => this.frames[this.taken])
    this.taken++
    return frame
  }

  /** The next frame, which must be of that command. */
  async expect(command: string): Promise<StompFrame> {
    const frame = await this.next()
    if (frame.command === command) return frame
    throw new Error(
      `expected ${command}, got ${frame.command} ${frame.lines.join(' | ')} ${frame.body}`,
    )
  }

  /** Sends a frame with a receipt and waits for that. Frames that come before stay for `next`. */
  async done(
    command: string,
    headers: Readonly<Record<string, string>> = {},
    body: string | Buffer = '',
  ): Promise<void> {
    const receipt = `r${Math.random()}`
    this.send(command, { ...headers, receipt }, body)
    const at = await eventually(`the receipt of ${command}`, () => {
      const found = this.frames.findIndex(({ headers: each }) => each['receipt-id'] === receipt)
      return found < 0 ? undefined : [found]
    })
    const [frame] = this.frames.splice(at[0] ?? 0, 1)
    if (frame?.command !== 'RECEIPT')
      throw new Error(`${frame?.headers['message']}: ${frame?.body}`)
  }

  /** The bodies of all messages so far, as text. */
  bodies(): string[] {
    return this.frames.filter(({ command }) => command === 'MESSAGE').map(({ body }) => `${body}`)
  }

  /** True when no frame is left that was not taken. */
  idle(): boolean {
    return this.taken === this.frames.length
  }

  async whenClosed(): Promise<void> {
    await eventually('the broker closes', () => this.closed)
  }

  destroy(): void {
    this.socket.destroy()
  }

  private onData(chunk: Buffer): void {
    this.bytes = Buffer.concat([this.bytes, chunk])
    for (;;) {
      let at = 0
      while (this.bytes[at] === 10) at++
      this.lineFeeds += at
      this.bytes = this.bytes.subarray(at)
      const size = this.takeFrame()
      if (size === 0) return
      this.bytes = this.bytes.subarray(size)
    }
  }

  private takeFrame(): number {
    const headEnd = this.bytes.indexOf('\n\n')
    if (headEnd < 0) return 0
    const [command = '', ...lines] = this.bytes.toString('utf8', 0, headEnd).split('\n')
    const headers: Record<string, string> = {}
    for (const line of lines) {
      const colon = line.indexOf(':')
      const name = unescapeHeader(line.slice(0, colon))
      headers[name] ??= unescapeHeader(line.slice(colon + 1))
    }
    const from = headEnd + 2
    const length = headers['content-length']
    const to = length === undefined ? this.bytes.indexOf(0, from) : from + Number(length)
    if (to < 0 || to >= this.bytes.length) return 0
    if (this.bytes[to] !== 0) throw new Error(`no NUL behind a body of ${length}`)
    this.frames.push({ command, lines, headers, body: Buffer.from(this.bytes.subarray(from, to)) })
    return to + 1
  }
}

function escapeHeader(text: string): string {
  return text
    .replaceAll('\\', '\\\\')
    .replaceAll('\n', '\\n')
    .replaceAll('\r', '\\r')
    .replaceAll(':', '\\c')
}

function unescapeHeader(text: string): string {
  return text.replaceAll(/\\[nrc\\]/g, (found) => {
    if (found === '\\n') return '\n'
    if (found === '\\r') return '\r'
    return found === '\\c' ? ':' : '\\'
  })
}
