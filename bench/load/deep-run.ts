/**
 * A queue that grows without a consumer, and is consumed when it is deep: persistent messages with
 * confirms, then acknowledged deliveries. Bodies carry their numbers: what comes back must be all of
 * it, in order. As `role` publish the queue is filled and left so; as `role` consume, `messages` of
 * what is in the queue are taken at least, from whatever number on; 0: all.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { ConfirmWindow } from './confirm-window.ts'
import type { LoadConnection } from './connection.ts'
import { FRAME_MAX, openConnection } from './connection.ts'
import { startConsumer } from './consumer.ts'
import type { LoadOptions } from './options.ts'
import { buildPublishBlock } from './publish-block.ts'
import type { LoadResult } from './result.ts'
import { usageNow } from './result.ts'
import {
  declareQueue,
  declareTopology,
  deleteTopology,
  planTopology,
  queueArgumentsOf,
} from './topology.ts'
import { MethodId, methodFrame, u8 } from './wire.ts'

/** How far a run is; said every PROGRESS_MS. */
export type DeepProgress = {
  readonly phase: 'publish' | 'drain'
  readonly seconds: number
  /** Messages confirmed, or delivered. */
  readonly done: number
}

const PROGRESS_MS = 250
const CLOSE_TIMEOUT_MS = 30_000
/** Publishes written at once, so that confirms are read between. */
const CHUNK_BYTES = 64 * 1024

export async function runDeep(
  options: LoadOptions,
  onProgress: (progress: DeepProgress) => void,
): Promise<LoadResult> {
  const topology = planTopology(options)
  const queue = topology.queues[0] ?? ''
  const control = await openConnection(options)
  await control.openChannel(1)
  await declareTopology(control, options, topology)
  const startedAt = performance.now()
  const seconds = (): number => (performance.now() - startedAt) / 1000
  const before = usageNow()
  const connections: LoadConnection[] = []
  const open = async (consumes: boolean): Promise<LoadConnection> => {
    const connection = await openConnection(options, consumes)
    connections.push(connection)
    return connection
  }
  let filled = 0
  if (options.role !== 'consume') {
    const filler = new Filler(await open(false), options, queue)
    const done = (): number => filler.confirmed()
    filled = await follow('publish', filler.run(), done, seconds, onProgress)
  }
  let drained = 0
  let bytesRead = 0
  if (options.role !== 'publish') {
    const drain = await open(true)
    await drain.openChannel(1)
    const there = await declareQueue(control, queue, queueArgumentsOf(options))
    const most = options.messages === 0 ? there : options.messages
    if (most > there) throw new Error(`the queue has ${there} messages of ${most}`)
    const work = consumeAll(drain, { ...options, messages: most }, queue)
    drained = await follow('drain', work, () => drain.scanner.deliveries, seconds, onProgress)
    bytesRead = drain.bytesRead
  }
  const after = usageNow()
  await Promise.all(connections.map((connection) => connection.close(CLOSE_TIMEOUT_MS)))
  if (options.role === 'both') await deleteTopology(control, topology)
  await control.close(CLOSE_TIMEOUT_MS)
  const cpuUs = after.cpuUs - before.cpuUs
  return {
    mode: options.mode,
    seconds: filled + drained,
    deliveredPerS: drained === 0 ? 0 : options.messages / drained,
    publishedPerS: filled === 0 ? 0 : options.messages / filled,
    confirmedPerS: filled === 0 ? 0 : options.messages / filled,
    roundsPerS: 0,
    megabytesPerS: drained === 0 ? 0 : bytesRead / 1e6 / drained,
    setupSeconds: 0,
    generatorCpuShare: cpuUs / 1e6 / (filled + drained),
    generatorUsPerMessage: cpuUs / options.messages,
    nacked: 0,
    backlog: 0,
    saturated: false,
  }
}

/** Reports progress until `work` is done; returns its seconds. */
async function follow(
  phase: DeepProgress['phase'],
  work: Promise<void>,
  done: () => number,
  seconds: () => number,
  onProgress: (progress: DeepProgress) => void,
): Promise<number> {
  const from = seconds()
  const say = (): void => onProgress({ phase, seconds: seconds(), done: done() })
  say()
  const timer = setInterval(say, PROGRESS_MS)
  try {
    await work
  } finally {
    clearInterval(timer)
  }
  say()
  return seconds() - from
}

/** Publishes numbered messages in a confirm window. */
class Filler {
  readonly connection: LoadConnection
  readonly #options: LoadOptions
  readonly #queue: string
  readonly #window: ConfirmWindow

  constructor(connection: LoadConnection, options: LoadOptions, queue: string) {
    this.connection = connection
    this.#options = options
    this.#queue = queue
    this.#window = new ConfirmWindow(options.confirm > 0 ? options.confirm : 1000)
  }

  confirmed(): number {
    return this.#window.confirmed
  }

  async run(): Promise<void> {
    const { connection } = this
    const { messages, size, persistent } = this.#options
    await connection.openChannel(1)
    await connection.request(
      1,
      methodFrame(1, MethodId.confirmSelect, u8(0)),
      MethodId.confirmSelectOk,
    )
    const { bytes, messageSize, bodyAt } = buildPublishBlock({
      exchange: '',
      routingKeys: [this.#queue],
      bodySize: size,
      persistent,
      frameMax: FRAME_MAX,
      channel: 1,
    })
    const most = Math.max(1, Math.floor(CHUNK_BYTES / messageSize))
    connection.events.onConfirm = (_channel, tag, multiple, nack) =>
      this.#window.settle(tag, multiple, nack)
    let sent = 0
    while (this.#window.confirmed < messages) {
      if (connection.failure !== undefined) throw connection.failure
      const count = Math.min(most, this.#window.room(), messages - sent)
      // A few at a time would cost a write each.
      if (
        count === 0 ||
        (count < most && count < messages - sent && this.#window.outstanding > most)
      ) {
        await new Promise((resolve) => setImmediate(resolve))
        continue
      }
      const copy = Buffer.from(bytes.subarray(0, count * messageSize))
      for (let i = 0; i < count; i++) copy.writeUInt32BE(sent + i, i * messageSize + bodyAt)
      sent += count
      this.#window.sent(count)
      if (!connection.socket.write(copy)) {
        await new Promise((resolve) => connection.socket.once('drain', resolve))
      }
    }
    if (this.#window.nacked > 0) throw new Error(`${this.#window.nacked} messages were refused`)
  }
}

/** Consumes all messages; each must be the next one. */
async function consumeAll(
  connection: LoadConnection,
  { messages, ack, prefetch, role }: LoadOptions,
  queue: string,
): Promise<void> {
  let next = role === 'consume' ? -1 : 0
  let wrong: string | undefined
  connection.events.onStamp = (number) => {
    if (number !== next && next >= 0) wrong ??= `message ${number} came in place of ${next}`
    next = number + 1
  }
  await startConsumer(connection, queue, ack, prefetch)
  while (connection.scanner.deliveries < messages) {
    if (connection.failure !== undefined) throw connection.failure
    if (wrong !== undefined) throw new Error(wrong)
    await sleep(5)
  }
  if (wrong !== undefined) throw new Error(wrong)
}
