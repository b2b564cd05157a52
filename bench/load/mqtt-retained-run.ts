/**
 * Retained messages: `messages` topics `r/<group>/<number>`, a thousand to a group, are published
 * once; then clients look up one topic after the other, and at last a whole group at a time.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { MqttLoad } from './mqtt-client.ts'
import { connectPacket, publishPacket, subscribePacket, unsubscribePacket } from './mqtt-wire.ts'
import type { LoadOptions } from './options.ts'
import type { LoadResult } from './result.ts'
import { usageNow } from './result.ts'

const GROUP = 1000
/** Bytes of PUBLISH packets that are written at once. */
const CHUNK_BYTES = 64 * 1024
const LOOKERS = 8
const FILL_TIMEOUT_MS = 10 * 60_000

/** Deliveries per second are those of whole groups, rounds per second look-ups of one topic. */
export async function runRetained(options: LoadOptions): Promise<LoadResult> {
  const startedAt = performance.now()
  const before = usageNow()
  const writer = await logIn(options, 'writer')
  await fill(writer, options)
  const setupSeconds = (performance.now() - startedAt) / 1000
  const lookers: MqttLoad[] = []
  for (let i = 0; i < LOOKERS; i++) lookers.push(await logIn(options, `looker${i}`))
  const single = await lookUp(lookers, options, () => topicOf(any(options.messages)), 1)
  const groups = Math.floor(options.messages / GROUP)
  const grouped = await lookUp(lookers, options, () => `r/${any(groups)}/+`, GROUP)
  const after = usageNow()
  for (const client of [writer, ...lookers]) client.end()
  return {
    mode: options.mode,
    seconds: options.seconds,
    deliveredPerS: grouped * GROUP,
    publishedPerS: options.messages / setupSeconds,
    confirmedPerS: 0,
    roundsPerS: single,
    megabytesPerS: 0,
    setupSeconds,
    generatorCpuShare: (after.cpuUs - before.cpuUs) / 1000 / (after.atMs - before.atMs),
    generatorUsPerMessage: 0,
    nacked: 0,
    backlog: 0,
    saturated: false,
  }
}

function topicOf(index: number): string {
  return `r/${Math.floor(index / GROUP)}/${index}`
}

function any(count: number): number {
  return Math.floor(Math.random() * count)
}

async function logIn(options: LoadOptions, name: string): Promise<MqttLoad> {
  const client = new MqttLoad(options)
  const { password, run, user } = options
  await client.ask(connectPacket(`${run}-${name}`, user, password))
  return client
}

async function fill(writer: MqttLoad, options: LoadOptions): Promise<void> {
  const payload = Buffer.alloc(options.size, 120)
  let parts: Buffer[] = []
  let size = 0
  for (let i = 0; i < options.messages; i++) {
    const packet = publishPacket(topicOf(i), 0, true, payload)
    parts.push(packet)
    size += packet.length
    if (size < CHUNK_BYTES && i < options.messages - 1) continue
    if (!writer.socket.write(Buffer.concat(parts))) await writer.drained()
    parts = []
    size = 0
  }
  // All are there when the last one is.
  const last = topicOf(options.messages - 1)
  const deadline = performance.now() + FILL_TIMEOUT_MS
  while (writer.scanner.publishes === 0) {
    if (writer.failure !== undefined) throw writer.failure
    if (performance.now() > deadline) throw new Error('the retained messages never came')
    await writer.ask(subscribePacket(last, 0))
    await sleep(20)
    if (writer.scanner.publishes === 0) await writer.ask(unsubscribePacket(last))
  }
}

/** Look-ups per second. */
async function lookUp(
  lookers: readonly MqttLoad[],
  options: LoadOptions,
  filter: () => string,
  wanted: number,
): Promise<number> {
  let rounds = 0
  const startedAt = performance.now()
  const end = startedAt + options.seconds * 1000
  const look = async (client: MqttLoad): Promise<void> => {
    while (performance.now() < end) {
      const name = filter()
      const target = client.scanner.publishes + wanted
      client.socket.write(subscribePacket(name, 0))
      await client.until(() => client.scanner.publishes >= target)
      rounds++
      client.socket.write(unsubscribePacket(name))
    }
  }
  await Promise.all(lookers.map(look))
  return rounds / ((performance.now() - startedAt) / 1000)
}
