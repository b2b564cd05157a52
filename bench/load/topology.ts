/** Queues, exchanges and bindings of one run, declared before it and deleted after it. */

import type { LoadConnection } from './connection.ts'
import type { LoadOptions } from './options.ts'
import type { TableFields } from './wire.ts'
import { MethodId, methodFrame, short, table, u8, u16 } from './wire.ts'

/** Names of a run, and how to publish so that every message is delivered. */
export type Topology = {
  readonly queues: readonly string[]
  readonly exchange: string
  /** Routing keys for producer `index`, all of one length. */
  routingKeysOf(index: number): readonly string[]
}

/** Words of topic keys: w000 .. w999, so that three random words rarely match twice. */
const WORD_COUNT = 1000
/** Different routing keys a topic producer publishes in turn. */
const ROUTING_KEY_COUNT = 1000
/** Binds sent before waiting for an answer. */
const BIND_BATCH = 500
const EXCHANGE_TYPES: readonly string[] = ['fanout', 'topic']

/** Names only; nothing is declared. */
export function planTopology(options: LoadOptions): Topology {
  const queues = Array.from({ length: options.queues }, (_, i) => `${options.run}.q${i}`)
  const named = EXCHANGE_TYPES.includes(options.exchange)
  return {
    queues,
    exchange: named ? `${options.run}.${options.exchange}` : '',
    routingKeysOf: (index) => {
      if (options.exchange === 'topic') return topicKeys(index + 1)
      return named ? [''] : [queues[index % queues.length] ?? '']
    },
  }
}

/** Declares what `planTopology` names; channel 1 of `control` must be open. */
export async function declareTopology(
  control: LoadConnection,
  options: LoadOptions,
  topology: Topology,
): Promise<void> {
  const args = queueArgumentsOf(options)
  for (const queue of topology.queues) await declareQueue(control, queue, args)
  if (topology.exchange === '') return
  const kind = [u16(0), short(topology.exchange), short(options.exchange), u8(2), table({})]
  const declare = methodFrame(1, MethodId.exchangeDeclare, ...kind)
  await control.request(1, declare, MethodId.exchangeDeclareOk)
  const everything = options.exchange === 'topic' ? '*.*.*.hit' : ''
  for (const queue of topology.queues) {
    await bindAll(control, queue, topology.exchange, [everything])
  }
  const keys = bindingKeys(options.bindings)
  const queue = topology.queues[0] ?? ''
  for (let at = 0; at < keys.length; at += BIND_BATCH) {
    await bindAll(control, queue, topology.exchange, keys.slice(at, at + BIND_BATCH))
  }
}

/** Deletes queues and exchange, ignoring what is gone already. */
export async function deleteTopology(control: LoadConnection, topology: Topology): Promise<void> {
  for (const queue of topology.queues) {
    const remove = methodFrame(1, MethodId.queueDelete, u16(0), short(queue), u8(0))
    await control.request(1, remove, MethodId.queueDeleteOk)
  }
  if (topology.exchange === '') return
  const remove = methodFrame(1, MethodId.exchangeDelete, u16(0), short(topology.exchange), u8(0))
  await control.request(1, remove, MethodId.exchangeDeleteOk)
}

/** Declares a durable queue on channel 1; returns how many messages it has. */
export async function declareQueue(
  control: LoadConnection,
  queue: string,
  options: TableFields = {},
): Promise<number> {
  const args = [u16(0), short(queue), u8(2), table(options)]
  const declare = methodFrame(1, MethodId.queueDeclare, ...args)
  const ok = await control.request(1, declare, MethodId.queueDeclareOk)
  return ok.readUInt32BE(1 + ok.readUInt8(0))
}

/** What `queueType` and `queueArguments` come to. */
export function queueArgumentsOf({ queueType, queueArguments }: LoadOptions): TableFields {
  const fields: Record<string, string | number> = {}
  if (queueType !== '') fields['x-queue-type'] = queueType
  for (const each of queueArguments.split(',').filter((text) => text !== '')) {
    const [key = '', value = ''] = each.split('=')
    fields[key] = /^\d+$/.test(value) ? Number(value) : value
  }
  return fields
}

async function bindAll(
  control: LoadConnection,
  queue: string,
  exchange: string,
  keys: readonly string[],
): Promise<void> {
  const frames: Buffer[] = []
  const replies: Promise<Buffer>[] = []
  for (const key of keys) {
    const args = [u16(0), short(queue), short(exchange), short(key), u8(0), table({})]
    frames.push(methodFrame(1, MethodId.queueBind, ...args))
    replies.push(control.reply(1, MethodId.queueBindOk))
  }
  control.socket.write(Buffer.concat(frames))
  await Promise.all(replies)
}

/** Four words, the last one always 'hit', which the queue's own binding matches. */
export function topicKeys(seed: number): string[] {
  const random = seededRandom(seed)
  const word = (): string => topicWord(random())
  return Array.from({ length: ROUTING_KEY_COUNT }, () => `${word()}.${word()}.${word()}.hit`)
}

/** Random patterns: a third without wildcards, a third with `*`, a third with `#`. */
export function bindingKeys(count: number): string[] {
  const random = seededRandom(0x5eed)
  const word = (): string => topicWord(random())
  return Array.from({ length: count }, (_, i) => {
    if (i % 3 === 0) return `${word()}.${word()}.${word()}.hit`
    if (i % 3 === 1) return `${word()}.*.${word()}.${word()}`
    return `${word()}.${word()}.#`
  })
}

function topicWord(random: number): string {
  return `w${String(Math.floor(random * WORD_COUNT)).padStart(3, '0')}`
}

/** Numbers in 0 .. 1 from a fixed seed (mulberry32), so that every run binds the same keys. */
export function seededRandom(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}
