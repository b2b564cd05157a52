/** One run of AMQP 1.0 clients: transfers in blocks made once, deliveries counted. */

import { setTimeout as sleep } from 'node:timers/promises'
import { Amqp10Client } from './amqp10-client.ts'
import { TransferBlock } from './amqp10-wire.ts'
import { openConnection } from './connection.ts'
import type { LoadOptions } from './options.ts'
import type { Counters, LoadResult } from './result.ts'
import { resultBetween, usageNow } from './result.ts'
import { declareTopology, deleteTopology, planTopology } from './topology.ts'

/** Credit of each consumer where the options name no prefetch. */
const CREDIT = 1000
/** Bytes written before other sockets get their turn, and bytes that the kernel has not taken. */
const BLOCK_BYTES = 64 * 1024
const IN_FLIGHT_MAX = 512 * 1024

/** Runs one stream of `options` (mode `amqp10`): `ack` is `auto` (settled) or how many one disposition covers. */
export async function runAmqp10(options: LoadOptions): Promise<LoadResult> {
  const startedAt = performance.now()
  const settled = options.ack === 'auto'
  const topology = planTopology(options)
  const control = await openConnection(options)
  await control.openChannel(1)
  await declareTopology(control, options, topology)
  const queueOf = (i: number): string => topology.queues[i % topology.queues.length] ?? ''
  const consumers: Amqp10Client[] = []
  for (let i = 0; i < options.consumers; i++) {
    const client = await openClient(options, queueOf(i), false, settled)
    consume(client, options)
    consumers.push(client)
  }
  const producers: Amqp10Client[] = []
  for (let i = 0; i < options.producers; i++) {
    producers.push(await openClient(options, queueOf(i), true, settled))
  }
  const setupSeconds = (performance.now() - startedAt) / 1000
  const counters = (): Counters => ({
    usage: usageNow(),
    delivered: sum(consumers, ({ scanner }) => scanner.transfers),
    published: sum(producers, ({ sent }) => sent),
    confirmed: sum(producers, ({ accepted }) => accepted),
    bytesRead: sum(consumers, ({ bytesRead }) => bytesRead),
  })
  const stops = producers.map((client) => produce(client, options, settled))
  await sleep(options.warmup * 1000)
  const before = counters()
  await sleep(options.seconds * 1000)
  const after = counters()
  for (const stop of stops) stop()
  const clients = [...consumers, ...producers]
  const failure = clients.find((client) => client.failure !== undefined)?.failure
  const refused = sum(producers, (client) => client.refused)
  for (const client of clients) client.end()
  await deleteTopology(control, topology)
  await control.close(5000)
  return {
    ...resultBetween('amqp10', before, after, setupSeconds, failure),
    nacked: refused,
    backlog: after.published - after.delivered,
  }
}

async function openClient(
  options: LoadOptions,
  queue: string,
  sends: boolean,
  settled: boolean,
): Promise<Amqp10Client> {
  const client = new Amqp10Client(options)
  await client.open(options)
  await client.attach(queue, sends, settled)
  return client
}

/** Tops up credit at half, and accepts in ranges. */
function consume(client: Amqp10Client, options: LoadOptions): void {
  const credit = options.prefetch === 0 ? CREDIT : options.prefetch
  const every = options.ack === 'auto' ? 0 : options.ack === 'single' ? 1 : Number(options.ack)
  let granted = credit
  let accepted = 0
  client.grant(0, credit)
  client.onChunk = () => {
    const received = client.scanner.transfers
    while (every > 0 && received - accepted >= every) {
      client.accept(accepted, accepted + every - 1)
      accepted += every
    }
    if (granted - received > credit / 2) return
    granted = received + credit
    client.grant(received, credit)
  }
}

/** Sends as fast as credit, window and (unsettled) `confirm` open deliveries allow. */
function produce(client: Amqp10Client, options: LoadOptions, settled: boolean): () => void {
  const one = new TransferBlock(0, settled, options.size, 1).messageSize
  const count = Math.max(1, Math.floor(BLOCK_BYTES / one))
  const free: TransferBlock[] = []
  const openMax = options.confirm === 0 ? Number.POSITIVE_INFINITY : options.confirm
  let running = true
  let inFlight = 0
  let scheduled = false
  const schedule = (): void => {
    if (scheduled || !running) return
    scheduled = true
    setImmediate(turn)
  }
  const turn = (): void => {
    scheduled = false
    while (running && inFlight < IN_FLIGHT_MAX && client.failure === undefined) {
      const open = settled ? 0 : client.sent - client.accepted - client.refused
      const n = Math.min(count, client.credit, client.window, openMax - open)
      if (n <= 0) return
      const block = free.pop() ?? new TransferBlock(0, settled, options.size, count)
      block.number(0, n, client.sent)
      client.sent += n
      client.credit -= n
      client.window -= n
      const size = n * block.messageSize
      inFlight += size
      client.socket.write(block.bytes.subarray(0, size), () => {
        free.push(block)
        inFlight -= size
        schedule()
      })
    }
  }
  client.onChunk = schedule
  schedule()
  return () => {
    running = false
  }
}

function sum(clients: readonly Amqp10Client[], of: (client: Amqp10Client) => number): number {
  return clients.reduce((total, client) => total + of(client), 0)
}
