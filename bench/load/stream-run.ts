/** One run of producers against consumers: set up, warm up, measure, tear down. */

import { setTimeout as sleep } from 'node:timers/promises'
import { stampDelta, stampNow } from './clock.ts'
import type { LoadConnection } from './connection.ts'
import { FRAME_MAX, openConnection } from './connection.ts'
import { startConsumer } from './consumer.ts'
import { Histogram } from './histogram.ts'
import { openIdleConnections } from './idle.ts'
import type { LoadOptions } from './options.ts'
import type { Producer } from './producer.ts'
import { openProducer } from './producer.ts'
import type { Counters, LoadResult } from './result.ts'
import { resultBetween, usageNow } from './result.ts'
import type { Topology } from './topology.ts'
import { declareTopology, deleteTopology, planTopology } from './topology.ts'

/** Time a broker gets to work off what was published before it says good-bye. */
const CLOSE_TIMEOUT_MS = 15_000

type Run = {
  readonly options: LoadOptions
  readonly topology: Topology
  readonly control: LoadConnection
  readonly consumers: readonly LoadConnection[]
  readonly producers: readonly Producer[]
  readonly idle: readonly LoadConnection[]
  readonly latency: Histogram
  readonly confirmTimes: Histogram
  readonly setupSeconds: number
}

/**
 * Runs one stream of `options`. `onReady` is called once consumers stand, before anything is
 * published (a split run's other half waits for it).
 */
export async function runStream(options: LoadOptions, onReady: () => void): Promise<LoadResult> {
  const run = await setUp(options)
  onReady()
  for (const producer of run.producers) producer.start()
  await sleep(options.warmup * 1000)
  run.latency.reset()
  run.confirmTimes.reset()
  const before = countersOf(run)
  await sleep(options.seconds * 1000)
  const after = countersOf(run)
  for (const producer of run.producers) producer.stop()
  const result = resultOf(run, before, after)
  await tearDown(run)
  return result
}

async function setUp(options: LoadOptions): Promise<Run> {
  const startedAt = performance.now()
  const topology = planTopology(options)
  const control = await openConnection(options)
  await control.openChannel(1)
  if (options.role !== 'publish') await declareTopology(control, options, topology)
  const idle = options.role === 'publish' ? [] : await openIdleConnections(options, control)
  const latency = new Histogram()
  const confirmTimes = new Histogram()
  const consumers: LoadConnection[] = []
  const producers: Producer[] = []
  if (options.role !== 'publish') {
    for (let i = 0; i < options.consumers; i++) {
      const connection = await openConnection(options, options.latency)
      connection.events.onStamp = (stamp) => latency.record(stampDelta(stamp, stampNow()))
      await connection.openChannel(1)
      const queue = topology.queues[i % topology.queues.length] ?? ''
      await startConsumer(connection, queue, options.ack, options.prefetch)
      consumers.push(connection)
    }
  }
  if (options.role !== 'consume') {
    for (let i = 0; i < options.producers; i++)
      producers.push(await addProducer(options, topology, i, confirmTimes))
  }
  const setupSeconds = (performance.now() - startedAt) / 1000
  const ends = { control, consumers, producers, idle }
  return { options, topology, ...ends, latency, confirmTimes, setupSeconds }
}

async function addProducer(
  options: LoadOptions,
  topology: Topology,
  index: number,
  confirmTimes: Histogram,
): Promise<Producer> {
  const connection = await openConnection(options)
  await connection.openChannel(1)
  const shape = {
    exchange: topology.exchange,
    routingKeys: topology.routingKeysOf(index),
    bodySize: options.size,
    persistent: options.persistent,
    priorities: options.priorities,
    expiration: options.expiration,
    frameMax: FRAME_MAX,
    channel: 1,
  }
  const rate = options.rate / options.producers
  return openProducer(connection, shape, options.confirm, rate, options.latency, confirmTimes)
}

function countersOf(run: Run): Counters {
  let delivered = 0
  let bytesRead = 0
  let published = 0
  let confirmed = 0
  for (const consumer of run.consumers) {
    delivered += consumer.scanner.deliveries
    bytesRead += consumer.bytesRead
  }
  for (const producer of run.producers) {
    published += producer.published()
    confirmed += producer.confirmed()
  }
  return { usage: usageNow(), delivered, published, confirmed, bytesRead }
}

function resultOf(run: Run, before: Counters, after: Counters): LoadResult {
  const { mode, exchange, queues, latency, confirm } = run.options
  const fanout = exchange === 'fanout' ? queues : 1
  return {
    ...resultBetween(mode, before, after, run.setupSeconds, failureOf(run)),
    ...(latency ? { latencyUs: run.latency.summary() } : {}),
    ...(confirm === 1 ? { confirmUs: run.confirmTimes.summary() } : {}),
    nacked: run.producers.reduce((sum, producer) => sum + producer.nacked(), 0),
    backlog: after.published - after.delivered / fanout,
    saturated: run.producers.some((producer) => producer.saturated()),
  }
}

function failureOf(run: Run): Error | undefined {
  const connections = [
    run.control,
    ...run.consumers,
    ...run.producers.map((producer) => producer.connection),
    ...run.idle,
  ]
  return connections.find((connection) => connection.failure !== undefined)?.failure
}

async function tearDown(run: Run): Promise<void> {
  const connections = [...run.producers.map((p) => p.connection), ...run.consumers, ...run.idle]
  await Promise.all(connections.map((connection) => connection.close(CLOSE_TIMEOUT_MS)))
  if (run.options.role !== 'publish') await deleteTopology(run.control, run.topology)
  await run.control.close(CLOSE_TIMEOUT_MS)
}
