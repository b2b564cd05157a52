/**
 * One run of MQTT clients: publishers of one topic, all subscribers of it. QoS 0 is kept to a window
 * of undelivered messages, so that no broker has to drop any; QoS 1 to one of unacknowledged ones.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { MqttLoad } from './mqtt-client.ts'
import { connectPacket, packetIdAt, publishPacket, subscribePacket } from './mqtt-wire.ts'
import type { LoadOptions } from './options.ts'
import type { Counters, LoadResult } from './result.ts'
import { resultBetween, usageNow } from './result.ts'

/** Messages that are written at once. */
const BATCH = 500
/** QoS 0 messages on their way, per publisher, where `confirm` says nothing else. */
const DIRECT_WINDOW = 20_000
/** QoS 1 messages without a PUBACK, where `confirm` says nothing else. */
const ACK_WINDOW = 1000
/** Without any delivery for this long, what is missing is given up. */
const STALL_MS = 300
const LOGINS = 100

/** Runs one stream of `options` (mode `mqtt`). */
export async function runMqtt(options: LoadOptions): Promise<LoadResult> {
  const startedAt = performance.now()
  const topic = `bench/${options.run}`
  const consumers = await logIn(options, options.consumers, 'c')
  for (let from = 0; from < consumers.length; from += LOGINS) {
    const some = consumers.slice(from, from + LOGINS)
    await Promise.all(some.map((each) => each.ask(subscribePacket(topic, options.qos))))
  }
  const producers = await logIn(options, options.producers, 'p')
  const idle = await logIn(options, options.idle, 'i')
  const setupSeconds = (performance.now() - startedAt) / 1000
  const delivered = (): number => consumers.reduce((sum, each) => sum + each.scanner.publishes, 0)
  const streams = producers.map((each) => new Publishing(each, options, topic, delivered))
  const counters = (): Counters => ({
    usage: usageNow(),
    delivered: delivered(),
    published: streams.reduce((sum, { published }) => sum + published, 0),
    confirmed: producers.reduce((sum, { scanner }) => sum + scanner.acks, 0),
    bytesRead: consumers.reduce((sum, { bytesRead }) => sum + bytesRead, 0),
  })
  for (const stream of streams) stream.start()
  await sleep(options.warmup * 1000)
  const before = counters()
  await sleep(options.seconds * 1000)
  const after = counters()
  for (const stream of streams) stream.stop()
  const all = [...consumers, ...producers, ...idle]
  const failure = all.find((client) => client.failure !== undefined)?.failure
  for (const client of all) client.end()
  return {
    ...resultBetween(options.mode, before, after, setupSeconds, failure),
    backlog: after.published - after.delivered / Math.max(1, options.consumers),
  }
}

async function logIn(options: LoadOptions, count: number, kind: string): Promise<MqttLoad[]> {
  const clients: MqttLoad[] = []
  for (let from = 0; from < count; from += LOGINS) {
    const some = Array.from({ length: Math.min(LOGINS, count - from) }, (_, i) => {
      const client = new MqttLoad(options)
      const id = `${options.run}-${kind}${from + i}`
      return client.ask(connectPacket(id, options.user, options.password)).then(() => client)
    })
    clients.push(...(await Promise.all(some)))
  }
  return clients
}

/** One publisher at work. */
class Publishing {
  published: number
  readonly #client: MqttLoad
  readonly #options: LoadOptions
  readonly #batch: Buffer
  readonly #size: number
  readonly #idAt: number
  readonly #window: number
  readonly #inFlight: () => number
  #given: number
  #movedAt: number
  #lastCount: number
  #packetId: number
  #running: boolean

  constructor(client: MqttLoad, options: LoadOptions, topic: string, delivered: () => number) {
    this.#client = client
    this.#options = options
    const one = publishPacket(topic, options.qos, false, Buffer.alloc(options.size, 120))
    const batch = Math.max(1, Math.min(BATCH, Math.floor(4_000_000 / one.length)))
    this.#size = one.length
    this.#batch = Buffer.concat(Array.from({ length: batch }, () => one))
    this.#idAt = packetIdAt(one, topic)
    const preset = options.qos === 0 ? DIRECT_WINDOW : ACK_WINDOW
    this.#window = options.confirm > 0 ? options.confirm : preset
    this.published = 0
    this.#given = 0
    this.#movedAt = 0
    this.#lastCount = 0
    this.#packetId = 0
    this.#running = false
    const share = options.consumers / options.producers
    this.#inFlight =
      options.qos > 0
        ? () => this.published - client.scanner.acks
        : () => (options.consumers === 0 ? 0 : this.published - this.#given - delivered() / share)
  }

  start(): void {
    this.#running = true
    this.#client.onChunk = () => this.#pump()
    this.#client.socket.on('drain', () => this.#pump())
    void this.#loop()
  }

  stop(): void {
    this.#running = false
  }

  /** Deliveries come on other sockets: looks after them. */
  async #loop(): Promise<void> {
    while (this.#running && this.#client.failure === undefined) {
      this.#pump()
      this.#giveUp()
      await new Promise((done) => setImmediate(done))
    }
  }

  #pump(): void {
    const count = this.#batch.length / this.#size
    while (
      this.#running &&
      !this.#client.socket.writableNeedDrain &&
      this.#inFlight() <= this.#window - Math.min(count, this.#window)
    ) {
      const now = Math.min(count, this.#window)
      this.#client.socket.write(this.#next(now))
      this.published += now
    }
  }

  #next(count: number): Buffer {
    if (this.#options.qos === 0) return this.#batch.subarray(0, count * this.#size)
    const bytes = Buffer.from(this.#batch.subarray(0, count * this.#size))
    for (let i = 0; i < count; i++) {
      this.#packetId = (this.#packetId % 65535) + 1
      bytes.writeUInt16BE(this.#packetId, i * this.#size + this.#idAt)
    }
    return bytes
  }

  /** What a broker has dropped never comes. */
  #giveUp(): void {
    if (this.#options.qos > 0) return
    const inFlight = this.#inFlight()
    const now = performance.now()
    if (inFlight !== this.#lastCount) {
      this.#lastCount = inFlight
      this.#movedAt = now
    } else if (inFlight > 0 && now - this.#movedAt > STALL_MS) this.#given += inFlight
  }
}
