/**
 * Streams. Mode `log`: a stream, published and read at once by the stream protocol, or several. Mode `replay`: a
 * stream of `messages` messages is filled by that protocol, then read from its beginning by AMQP
 * 0-9-1; what counts is the reading.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { openConnection } from './connection.ts'
import { startConsumer } from './consumer.ts'
import type { LogClient } from './log-client.ts'
import { openLogClient } from './log-client.ts'
import { LogKey, publishFrame, text, u8, u32 } from './log-wire.ts'
import type { LoadOptions } from './options.ts'
import type { Counters, LoadResult } from './result.ts'
import { resultBetween, usageNow } from './result.ts'

/** Messages of one publish frame, as clients gather them. */
const FRAME_MESSAGES = 100
/** Unconfirmed messages, unless `confirm` says otherwise; RabbitMQ stops to read at 50 000. */
const WINDOW = 20_000
const CREDIT = 10
const CLOSE_TIMEOUT_MS = 10_000

/** Publishes and reads for a while; with `queues` above 1, to as many streams, each with its publisher. */
export async function runLog(options: LoadOptions): Promise<LoadResult> {
  const startedAt = performance.now()
  const streams = Array.from({ length: options.queues }, (_, i) =>
    i === 0 ? options.run : `${options.run}-${i}`,
  )
  const publishers: LogClient[] = []
  for (const stream of streams) {
    const publisher = await openLogClient(options)
    await publisher.ask(LogKey.create, [text(stream), u32(0)])
    publishers.push(publisher)
  }
  const consumers: LogClient[] = []
  for (let i = 0; i < options.consumers; i++) {
    const consumer = await openLogClient(options)
    await consumer.subscribe(options.run, 'next', CREDIT)
    consumers.push(consumer)
  }
  const fillings: Filling[] = []
  for (const [i, publisher] of publishers.entries()) {
    const stream = streams[i] ?? options.run
    fillings.push(await startFilling(publisher, options, stream, Number.POSITIVE_INFINITY))
  }
  const setupSeconds = (performance.now() - startedAt) / 1000
  const counters = (): Counters => ({
    usage: usageNow(),
    delivered: sum(consumers, ({ scanner }) => scanner.delivered),
    published: sum(fillings, (filling) => filling.published()),
    confirmed: sum(publishers, ({ scanner }) => scanner.confirmed),
    bytesRead: sum(consumers, ({ bytesRead }) => bytesRead),
  })
  await sleep(options.warmup * 1000)
  const before = counters()
  await sleep(options.seconds * 1000)
  const after = counters()
  for (const filling of fillings) filling.stop()
  const failure = [...publishers, ...consumers].find((client) => client.failure)?.failure
  const refused = sum(publishers, ({ scanner }) => scanner.refused)
  for (const consumer of consumers) consumer.end()
  for (const [i, publisher] of publishers.entries()) {
    await deleteStream(publisher, streams[i] ?? options.run)
  }
  return { ...resultBetween('log', before, after, setupSeconds, failure), nacked: refused }
}

function sum<T>(all: readonly T[], of: (one: T) => number): number {
  return all.reduce((total, one) => total + of(one), 0)
}

/** Fills a stream, then reads it by AMQP. */
export async function runReplay(options: LoadOptions): Promise<LoadResult> {
  const startedAt = performance.now()
  const stream = options.run
  const publisher = await openLogClient(options)
  await publisher.ask(LogKey.create, [text(stream), u32(0)])
  const filling = await startFilling(publisher, options, stream, options.messages)
  while (publisher.scanner.confirmed < options.messages) {
    if (publisher.failure !== undefined) throw publisher.failure
    await sleep(20)
  }
  filling.stop()
  const setupSeconds = (performance.now() - startedAt) / 1000
  const reader = await openConnection(options, true)
  await reader.openChannel(1)
  const counters = (): Counters => ({
    usage: usageNow(),
    delivered: reader.scanner.deliveries,
    published: 0,
    confirmed: 0,
    bytesRead: reader.bytesRead,
  })
  const before = counters()
  const [ack, prefetch] = [options.ack === 'auto' ? '100' : options.ack, options.prefetch || 1000]
  await startConsumer(reader, stream, ack, prefetch, { 'x-stream-offset': 'first' })
  while (reader.scanner.deliveries < options.messages) await sleep(5)
  const after = counters()
  await reader.close(CLOSE_TIMEOUT_MS)
  await deleteStream(publisher, stream)
  return resultBetween('replay', before, after, setupSeconds, undefined)
}

async function deleteStream(publisher: LogClient, stream: string): Promise<void> {
  await publisher.ask(LogKey.delete, [text(stream)])
  publisher.end()
}

type Filling = { published(): number; stop(): void }

/** Publishes up to `count` messages, at most a window ahead of their confirms. */
async function startFilling(
  client: LogClient,
  options: LoadOptions,
  stream: string,
  count: number,
): Promise<Filling> {
  await client.ask(LogKey.declarePublisher, [u8(1), text(''), text(stream)])
  const frame = publishFrame(FRAME_MESSAGES, options.size)
  const frames = Math.max(1, Math.floor((64 * 1024) / frame.length))
  const block = Buffer.concat(Array.from({ length: frames }, () => frame))
  const window = options.confirm || WINDOW
  const { scanner, socket } = client
  let published = 0
  let running = true
  let waiting = false
  const fill = (): void => {
    if (waiting) return
    while (running && published < count && published - scanner.confirmed < window) {
      const left = Math.ceil((count - published) / FRAME_MESSAGES)
      const some = left < frames ? block.subarray(0, left * frame.length) : block
      published += Math.min(left, frames) * FRAME_MESSAGES
      if (socket.write(some)) continue
      waiting = true
      socket.once('drain', () => {
        waiting = false
        fill()
      })
      return
    }
  }
  client.onChunk = fill
  fill()
  return {
    published: () => published,
    stop: () => {
      running = false
    },
  }
}
