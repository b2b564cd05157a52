// Operators' commands that look into a queue and move what is in it: peek and redrive.

import type { ControlReply } from '../../shared/bus/control.ts'
import { EntryFlag, entryWords, extentsMax, extentWords } from '../../shared/bus/wire.ts'
import { decodeProperties } from '../../shared/message/properties.ts'
import { EntrySource } from '../message/entry-source.ts'
import { browse } from '../queue/browse.ts'
import { ClassicQueue } from '../queue/classic-queue.ts'
import { Consumer } from '../queue/consumer.ts'
import { acquiredOf, failedOf } from '../queue/marks.ts'
import type { Queue } from '../queue/queue.ts'
import type { QueueRecord } from '../topology/records.ts'
import { badRequest } from '../topology/refusals.ts'
import type { AdminCommand } from './admin-commands.ts'
import { Redrive } from './redrive.ts'
import type { ShardState } from './shard-state.ts'

const peekCountPreset = 50
const peekCountMax = 1000
const peekBytesPreset = 1024
const peekBytesMax: number = 64 * 1024

/** A message as `peekQueue` tells of it. */
export interface PeekedMessage {
  readonly position: number
  readonly exchange: string
  readonly routingKey: string
  /** As decodeProperties gives them (shared/message/properties.ts). */
  readonly properties: object
  readonly persistent: boolean
  /** The first bytes of the body, and how many there are in all. */
  readonly body: Uint8Array
  readonly bodySize: number
  readonly deliveryCount: number
  readonly acquiredCount: number
  /** Only of a delivery that is not settled. */
  readonly consumerTag?: string | undefined
  readonly heldMs?: number
}

/**
 * `{ op: 'peekQueue', vhost, queue, from, count, bytes, unacked }`: messages that wait, from position
 * `from` on, nothing changes. Reply `{ items, next, onDisk }`: the position to go on at (undefined: that
 * was all in memory), and how many further ones are on disk only. With `unacked` those that are delivered and not settled, all of them.
 */
export function peekQueue(
  state: ShardState,
  queue: Queue,
  _record: QueueRecord,
  command: AdminCommand,
): ControlReply {
  if (!(queue instanceof ClassicQueue)) return { error: badRequest('this queue cannot be peeked') }
  const count = Math.min(numberOf(command['count'], peekCountPreset), peekCountMax)
  const bytes = Math.min(numberOf(command['bytes'], peekBytesPreset), peekBytesMax)
  if (command['unacked'] === true) return { items: unsettled(state, queue, count, bytes) }
  const found = browse(queue.ready, numberOf(command['from'], 0), count + 1)
  const items = found
    .slice(0, count)
    .map(({ row, position }) => tell(state, queue, row, position, bytes))
  return { items, next: found[count]?.position, onDisk: queue.onDiskCount() }
}

/**
 * `{ op: 'redriveQueue', vhost, queue, to, rate, count, keepDeaths }`: see RedriveOptions. Reply as
 * `redriveStatus`. One job a queue: another begins when the first is over.
 */
export function redriveQueue(
  state: ShardState,
  queue: Queue,
  record: QueueRecord,
  command: AdminCommand,
): ControlReply {
  if (!(queue instanceof ClassicQueue))
    return { error: badRequest('this queue has no dead letters') }
  if (state.redrives.get(record.id)?.progress().running === true) {
    return { error: badRequest('a redrive of this queue is running') }
  }
  const { to = 'queue', rate, count, keepDeaths } = command
  if (to !== 'queue' && to !== 'exchange')
    return { error: badRequest("to is 'queue' or 'exchange'") }
  for (const given of [rate, count]) {
    if (given === undefined || (typeof given === 'number' && given > 0)) continue
    return { error: badRequest('rate and count are positive numbers') }
  }
  const job = new Redrive(state, queue, record, {
    to,
    rate: rate as number | undefined,
    count: count as number | undefined,
    keepDeaths: keepDeaths === true,
  })
  state.redrives.set(record.id, job)
  return { ...job.progress() }
}

/** Reply `{ running, moved, skipped }` of the queue's last redrive. */
export function redriveStatus(state: ShardState, _queue: Queue, record: QueueRecord): ControlReply {
  const job = state.redrives.get(record.id)
  return job === undefined ? { running: false, moved: 0, skipped: 0 } : { ...job.progress() }
}

/** Reply as `redriveStatus`. */
export function cancelRedrive(state: ShardState, queue: Queue, record: QueueRecord): ControlReply {
  state.redrives.get(record.id)?.cancel()
  return redriveStatus(state, queue, record)
}

function unsettled(
  state: ShardState,
  queue: ClassicQueue,
  count: number,
  bytes: number,
): PeekedMessage[] {
  const items: PeekedMessage[] = []
  for (const end of state.ends) {
    for (const channel of end.channels) {
      if (channel === undefined) continue
      const { unacked } = channel
      for (let id = unacked.base; id !== unacked.next; id = (id + 1) | 0) {
        const slot = unacked.slotOf(id)
        const holder = slot < 0 ? undefined : state.holders.get(unacked.holders[slot] as number)
        if (holder?.queue !== queue) continue
        if (items.length === count) return items
        const row = unacked.rows[slot] as number
        items.push({
          ...tell(state, queue, row, unacked.positions[slot] as number, bytes),
          consumerTag: holder instanceof Consumer ? holder.tag : undefined,
          heldMs: state.clock.now - (unacked.times[slot] as number),
        })
      }
    }
  }
  return items
}

function tell(
  state: ShardState,
  queue: ClassicQueue,
  row: number,
  position: number,
  bytes: number,
): PeekedMessage {
  const { arena, messages } = state
  const words = new Int32Array(entryWords + extentsMax * extentWords)
  messages.writeEntry(row, words, 0)
  const at = words[1] as number
  const head = (words[2] as number) + (words[3] as number) + (words[4] as number)
  const bodySize = words[5] as number
  const slab = arena.slab(words[0] as number)
  const keyAt = at + 1 + (slab[at] as number)
  const body = Buffer.alloc(Math.min(bytes, bodySize))
  const source = new EntrySource(arena)
  source.start(words, 0, head + bodySize)
  source.skip(head)
  source.copyTo(body, 0, body.length)
  const mark = queue.marks?.get(position) ?? 0
  return {
    position,
    exchange: slab.toString('utf8', at + 1, keyAt),
    routingKey: slab.toString('utf8', keyAt + 1, keyAt + 1 + (slab[keyAt] as number)),
    properties: decodeProperties(slab, at + head - (words[4] as number), words[4] as number),
    persistent: ((messages.flags[row] as number) & EntryFlag.persistent) !== 0,
    body,
    bodySize,
    deliveryCount: failedOf(mark),
    acquiredCount: acquiredOf(mark),
  }
}

function numberOf(value: unknown, preset: number): number {
  return typeof value === 'number' && value >= 0 ? value : preset
}
