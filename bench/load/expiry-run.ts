/**
 * Messages that expire at random times: published to a queue nobody consumes, dead-lettered to one that
 * is consumed. Bodies carry the time at which their message is to expire, so what arrives tells how
 * late it is. With `rate` 0 there is no dead-letter queue: the broker just has to let go of them. With
 * `spread` 0 all expire at once, and `deliveredPerS` is how fast they are dead-lettered.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { stampDelta, stampNow } from './clock.ts'
import { ConfirmWindow } from './confirm-window.ts'
import type { LoadConnection } from './connection.ts'
import { openConnection } from './connection.ts'
import { startConsumer } from './consumer.ts'
import { Histogram } from './histogram.ts'
import type { LoadOptions } from './options.ts'
import { buildPublishBlock } from './publish-block.ts'
import type { LoadResult } from './result.ts'
import { usageNow } from './result.ts'
import { declareQueue, seededRandom } from './topology.ts'
import { MethodId, methodFrame, short, u8, u16 } from './wire.ts'

/** Publishes a second, and how many may be open: so few that none waits long in a socket. */
const PUBLISHED_PER_S = 100_000
const OPEN_MAX = 1000
const TICK_MS = 1
/** Expirations of one length in digits, so that all publishes are of one size. */
const DIGITS = 6
const CLOSE_TIMEOUT_MS = 15_000

/** Seconds from the first publish to the first expiry: publishing takes less. */
export function expiryLead(messages: number): number {
  return 0.5 + (1.3 * messages) / PUBLISHED_PER_S
}

/** Reports the lag of expiries as `latencyUs`, of those that were delivered. */
export async function runExpiry(options: LoadOptions): Promise<LoadResult> {
  const control = await openConnection(options)
  await control.openChannel(1)
  const [queue, dead] = [`${options.run}.expiring`, `${options.run}.dead`]
  const letters = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead }
  const watched = options.rate > 0
  await declareQueue(control, queue, watched ? letters : {})
  await declareQueue(control, dead)
  const consumer = await openConnection(options, true)
  await consumer.openChannel(1)
  const lag = new Histogram()
  let lastAt = 0
  consumer.events.onStamp = (stamp) => {
    lastAt = performance.now()
    // What wraps around came early: less than half of the range is late.
    const delta = stampDelta(stamp, stampNow())
    lag.record(delta < 2 ** 31 ? delta : 0)
  }
  await startConsumer(consumer, dead, 'auto', 0)
  const before = usageNow()
  const startedAt = performance.now()
  const producer = await openConnection(options)
  await producer.openChannel(1)
  const seconds = await publishAll(producer, options, queue)
  await sleep((expiryLead(options.messages) + options.spread - seconds) * 1000)
  for (let i = 0; watched && i < 100 && consumer.scanner.deliveries < options.messages; i++) {
    await sleep(100)
  }
  const after = usageNow()
  const expired = consumer.scanner.deliveries
  const dueAt = startedAt + Math.max(expiryLead(options.messages), seconds) * 1000
  for (const name of [queue, dead]) {
    const remove = methodFrame(1, MethodId.queueDelete, u16(0), short(name), u8(0))
    await control.request(1, remove, MethodId.queueDeleteOk)
  }
  for (const each of [producer, consumer, control]) await each.close(CLOSE_TIMEOUT_MS)
  const total = (after.atMs - before.atMs) / 1000
  return {
    mode: options.mode,
    seconds: total,
    deliveredPerS:
      options.spread > 0 ? expired / options.spread : (expired * 1000) / (lastAt - dueAt),
    publishedPerS: options.messages / seconds,
    confirmedPerS: 0,
    roundsPerS: 0,
    megabytesPerS: consumer.bytesRead / 1e6 / total,
    setupSeconds: 0,
    generatorCpuShare: (after.cpuUs - before.cpuUs) / 1e6 / total,
    generatorUsPerMessage: (after.cpuUs - before.cpuUs) / options.messages,
    ...(watched ? { latencyUs: lag.summary() } : {}),
    nacked: 0,
    backlog: watched ? options.messages - expired : 0,
    saturated: false,
  }
}

/** Publishes all messages at a steady pace; returns the seconds it took. */
async function publishAll(
  producer: LoadConnection,
  options: LoadOptions,
  queue: string,
): Promise<number> {
  const random = seededRandom(0x771)
  const { bytes, count, messageSize, bodyAt } = buildPublishBlock({
    exchange: '',
    routingKeys: [queue],
    bodySize: Math.max(4, options.size),
    persistent: options.persistent,
    expiration: 10 ** (DIGITS - 1),
    frameMax: 131_072,
    channel: 1,
  })
  const expirationAt = bytes.indexOf(String(10 ** (DIGITS - 1)), 0, 'latin1')
  const select = methodFrame(1, MethodId.confirmSelect, u8(0))
  await producer.request(1, select, MethodId.confirmSelectOk)
  const window = new ConfirmWindow(OPEN_MAX)
  producer.events.onConfirm = (_channel, tag, multiple, nack) => {
    window.settle(tag, multiple, nack)
  }
  const leadMs = expiryLead(options.messages) * 1000
  const startedAt = performance.now()
  for (let sent = 0; sent < options.messages; ) {
    const elapsed = performance.now() - startedAt
    const due = Math.floor((elapsed / 1000) * PUBLISHED_PER_S) - sent
    const n = Math.min(due, count, options.messages - sent, window.room())
    if (producer.failure !== undefined) throw producer.failure
    if (n <= 0) {
      await sleep(TICK_MS)
      continue
    }
    const block = Buffer.from(bytes.subarray(0, n * messageSize))
    const now = stampNow()
    for (let i = 0, at = 0; i < n; i++, at += messageSize) {
      const due = leadMs - elapsed + random() * options.spread * 1000
      const ms = Math.max(1, Math.round(due))
      block.write(String(ms).padStart(DIGITS, '0'), at + expirationAt, 'latin1')
      block.writeUInt32BE((now + ms * 1000) >>> 0, at + bodyAt)
    }
    producer.socket.write(block)
    window.sent(n)
    sent += n
  }
  return (performance.now() - startedAt) / 1000
}
