// Operators' commands that look into a queue and move what is in it: peek and redrive.

import type { ControlReply } from '../../shared/bus/control.ts'
import { EntryFlag, entryWords, extentsMax, extentWords } from '../../shared/bus/wire.ts'
import { viewOf } from '../../shared/bytes/view.ts'
import { decodeProperties } from '../../shared/message/properties.ts'
import type { QueueLog } from '../log/log.ts'
import { EntrySource } from '../message/entry-source.ts'
import { browse } from '../queue/browse.ts'
import { ClassicQueue } from '../queue/classic-queue.ts'
import { Consumer } from '../queue/consumer.ts'
import { DiskLook } from '../queue/disk-look.ts'
import { acquiredOf, failedOf } from '../queue/marks.ts'
import type { Queue } from '../queue/queue.ts'
import type { QueueRecord } from '../topology/records.ts'
import { badRequest } from '../topology/refusals.ts'
import type { AdminCommand, CommandReply } from './admin-commands.ts'
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
 * `from` on, wherever they are; nothing changes. Reply `{ items, next, onDisk }`: the position to go on
 * at (undefined: that was all), and how many of the queue are on disk only. With `unacked` those that
 * are delivered and not settled, all of them.
 */
export function peekQueue(
  state: ShardState,
  queue: Queue,
  _record: QueueRecord,
  command: AdminCommand,
): CommandReply {
  if (!(queue instanceof ClassicQueue)) return { error: badRequest('this queue cannot be peeked') }
  const count = Math.min(numberOf(command['count'], peekCountPreset), peekCountMax)
  const bytes = Math.min(numberOf(command['bytes'], peekBytesPreset), peekBytesMax)
  if (command['unacked'] === true) return { items: unsettled(state, queue, count, bytes) }
  const from = numberOf(command['from'], 0)
  const found = browse(queue.ready, from, count + 1)
  const inMemory = found
    .slice(0, count)
    .map(({ row, position }) => tell(state, queue, row, position, bytes))
  const end = found[count]?.position
  const stored = queue.nextStored(from)
  if (stored === undefined || (end !== undefined && stored.position >= end)) {
    return { items: inMemory, next: end, onDisk: queue.onDiskCount() }
  }
  return (done) => peekStored(state, queue, { count, bytes, inMemory, end, stored, done })
}

/** A peek that has to read. */
interface StoredPeek {
  readonly count: number
  readonly bytes: number
  readonly inMemory: readonly PeekedMessage[]
  /** The position of the first message in memory behind those; undefined: there is none. */
  readonly end: number | undefined
  /** The first that is on disk only. */
  readonly stored: { readonly position: number; readonly log: QueueLog }
  readonly done: (reply: ControlReply) => void
}

function peekStored(state: ShardState, queue: ClassicQueue, peek: StoredPeek): void {
  const { count, bytes, inMemory, end, stored, done } = peek
  const items = [...inMemory]
  const onMessage = (row: number, position: number): void => {
    items.push(tell(state, queue, row, position, bytes))
    state.messages.release(row)
  }
  const onEnd = (exhausted: boolean): void => {
    if (!exhausted && look.read()) return
    items.sort((one, other) => one.position - other.position)
    const behind = [items[count]?.position, end, queue.nextStored(look.to)?.position]
    const next = behind.reduce((least, at) => earlier(least, at), undefined)
    const shown = items
      .slice(0, count)
      .filter(({ position }) => position < (next ?? Number.POSITIVE_INFINITY))
    done({ items: shown, next, onDisk: queue.onDiskCount() })
  }
  const look = new DiskLook(queue, state.log, stored, count + 1, onMessage, onEnd)
  look.read()
}

function earlier(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other
  return Math.min(one, other)
}

/**
 * `{ op: 'redriveQueue', vhost, queue, to, rate, count, keepDeaths, from }`: see RedriveOptions. Reply as
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
  const { to = 'queue', rate, count, keepDeaths, from } = command
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
    from: numberOf(from, 0),
  })
  state.redrives.set(record.id, job)
  return { ...job.progress() }
}

/** Reply as RedriveProgress, of the queue's last redrive. */
export function redriveStatus(state: ShardState, _queue: Queue, record: QueueRecord): ControlReply {
  const job = state.redrives.get(record.id)
  return job === undefined
    ? { running: false, moved: 0, skipped: 0, left: 0, next: 0 }
    : { ...job.progress() }
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
  source.copyTo(viewOf(body), 0, body.length)
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
