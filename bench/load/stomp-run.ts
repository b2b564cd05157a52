/** One run of STOMP clients, over TCP or WebSocket: SENDs in blocks made once, MESSAGEs counted. */

import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LoadOptions } from './options.ts'
import type { Counters, LoadResult } from './result.ts'
import { resultBetween, usageNow } from './result.ts'
import { StompScanner, stompFrame, upgradeRequest, webMessage } from './stomp-wire.ts'

/** Bytes of SENDs that are written at once. */
const BLOCK_BYTES = 64 * 1024
/** SENDs to a topic that are on their way to its subscribers, at most. */
const TOPIC_WINDOW = 100
/** Clients that log in at the same time. */
const LOGINS = 50
const ANSWER_TIMEOUT_MS = 60_000

/** A logged-in client. */
class StompLoad {
  readonly socket: Socket
  readonly scanner: StompScanner
  bytesRead: number
  failure: Error | undefined
  onChunk: () => void

  constructor(socket: Socket, web: boolean) {
    this.socket = socket
    this.scanner = new StompScanner(web)
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
      this.failure ??= new Error('the broker closed a STOMP connection')
    })
  }

  /** Sends and waits for one frame more than there have been. */
  async ask(bytes: Buffer): Promise<void> {
    const wanted = this.scanner.frames + 1
    this.socket.write(bytes)
    const deadline = performance.now() + ANSWER_TIMEOUT_MS
    while (this.scanner.frames < wanted) {
      if (this.failure !== undefined) throw this.failure
      if (performance.now() > deadline) throw new Error('no answer to a STOMP frame')
      await sleep(2)
    }
  }

  /** Ends without a fuss: the run is over. */
  end(): void {
    this.failure = new Error('ended')
    this.socket.destroy()
  }
}

/** Runs one stream of `options` (mode `stomp`). */
export async function runStomp(options: LoadOptions): Promise<LoadResult> {
  const startedAt = performance.now()
  const { run } = options
  const destination = options.exchange === 'topic' ? `/topic/${run}` : `/queue/${run}`
  const consumers: StompLoad[] = []
  for (let from = 0; from < options.consumers; from += LOGINS) {
    const count = Math.min(LOGINS, options.consumers - from)
    consumers.push(...(await Promise.all(Array.from({ length: count }, () => logIn(options)))))
  }
  for (let from = 0; from < consumers.length; from += LOGINS) {
    const some = consumers.slice(from, from + LOGINS)
    await Promise.all(some.map((consumer) => consumer.ask(encode(options, subscribe(destination)))))
  }
  const producers: StompLoad[] = []
  for (let i = 0; i < options.producers; i++) producers.push(await logIn(options))
  const setupSeconds = (performance.now() - startedAt) / 1000
  // CONNECTED and a RECEIPT each are no deliveries.
  const delivered = (): number =>
    consumers.reduce((sum, { scanner }) => sum + scanner.frames, 0) - 2 * consumers.length
  const sends = producers.map((producer) => startSends(options, producer, destination, delivered))
  const counters = (): Counters => ({
    usage: usageNow(),
    delivered: delivered(),
    published: sends.reduce((sum, send) => sum + send.published(), 0),
    confirmed: 0,
    bytesRead: consumers.reduce((sum, { bytesRead }) => sum + bytesRead, 0),
  })
  for (const send of sends) send.start()
  await sleep(options.warmup * 1000)
  const before = counters()
  await sleep(options.seconds * 1000)
  const after = counters()
  for (const send of sends) send.stop()
  const failure = [...consumers, ...producers].find((client) => client.failure !== undefined)
  for (const client of [...producers, ...consumers]) client.end()
  return resultBetween('stomp', before, after, setupSeconds, failure?.failure)
}

async function logIn(options: LoadOptions): Promise<StompLoad> {
  const { host, user, password, vhost, web } = options
  const port = web ? options.webStompPort : options.stompPort
  const socket = connect({ host, port, noDelay: true })
  await new Promise<void>((done, failed) => {
    socket.once('connect', done)
    socket.once('error', failed)
  })
  if (web) {
    socket.write(upgradeRequest(port))
    await switched(socket)
  }
  const client = new StompLoad(socket, web)
  const headers = {
    'accept-version': '1.2',
    host: vhost,
    login: user,
    passcode: password,
    'heart-beat': '0,0',
  }
  await client.ask(encode(options, stompFrame('CONNECT', headers)))
  return client
}

/** Resolves behind the answer to the upgrade: nothing follows it unasked. */
function switched(socket: Socket): Promise<void> {
  return new Promise((done, failed) => {
    let text = ''
    const onData = (chunk: Buffer): void => {
      text += chunk.toString('latin1')
      if (!text.includes('\r\n\r\n')) return
      socket.removeListener('data', onData)
      if (text.startsWith('HTTP/1.1 101')) done()
      else failed(new Error(`no WebSocket: ${text.split('\r\n')[0]}`))
    }
    socket.on('data', onData)
    socket.once('close', () => failed(new Error('the broker closed a WebSocket')))
  })
}

function subscribe(destination: string): Buffer {
  // The receipt says that deliveries will come.
  const headers = { id: '0', destination, ack: 'auto', receipt: 'subscribed' }
  return stompFrame('SUBSCRIBE', {
    ...headers,
    'auto-delete': 'true',
    durable: 'false',
    exclusive: 'false',
  })
}

function encode(options: LoadOptions, frame: Buffer): Buffer {
  return options.web ? webMessage(frame) : frame
}

type Sends = { published(): number; start(): void; stop(): void }

/** Sends as fast as the broker takes it; to a topic, as fast as its subscribers do. */
function startSends(
  options: LoadOptions,
  producer: StompLoad,
  destination: string,
  delivered: () => number,
): Sends {
  const body = 'x'.repeat(options.size)
  // The first SEND declares the queue: it must agree with the SUBSCRIBE.
  const queue: Record<string, string> =
    options.exchange === 'topic'
      ? {}
      : { durable: 'false', 'auto-delete': 'true', exclusive: 'false' }
  const headers = { destination, ...queue, 'content-length': String(options.size) }
  const one = encode(options, stompFrame('SEND', headers, body))
  const topic = options.exchange === 'topic'
  const perBlock = topic ? 10 : Math.max(1, Math.floor(BLOCK_BYTES / one.length))
  const block = Buffer.concat(Array.from({ length: perBlock }, () => one))
  let published = 0
  let running = false
  const fill = (): void => {
    if (!running) return
    for (;;) {
      if (topic && published - delivered() / options.consumers > TOPIC_WINDOW) {
        setTimeout(fill, 1)
        return
      }
      published += perBlock
      if (producer.socket.write(block)) {
        if (topic) continue
        setImmediate(fill)
        return
      }
      producer.socket.once('drain', fill)
      return
    }
  }
  return {
    published: () => published,
    start: () => {
      running = true
      fill()
    },
    stop: () => {
      running = false
    },
  }
}
