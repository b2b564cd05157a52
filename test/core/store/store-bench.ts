// One shard's store with its log "thread" run by hand, on real files or a disk that can be made to fail.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClassicQueue } from '../../../core/queue/classic-queue.ts'
import type { ConsumerChannel } from '../../../core/queue/consumer.ts'
import type { Holder } from '../../../core/queue/holder.ts'
import { Unacked } from '../../../core/queue/unacked.ts'
import { ShardState } from '../../../core/shard/shard-state.ts'
import type { Disk } from '../../../core/store/disk.ts'
import { nodeDisk } from '../../../core/store/disk.ts'
import { DurableMark } from '../../../core/store/durable-mark.ts'
import { asideFolder, logMark, segmentFolder, walFolder } from '../../../core/store/layout.ts'
import { LogBackground } from '../../../core/store/log-background.ts'
import { LogThread } from '../../../core/store/log-thread.ts'
import { logRingWords, requestRingWords } from '../../../core/store/log-wire.ts'
import { listWal } from '../../../core/store/recovery.ts'
import { ShardStore } from '../../../core/store/shard-store.ts'
import { createStreamMemory } from '../../../core/store/stream-reader-wire.ts'
import { StreamWriters } from '../../../core/store/stream-writers.ts'
import { WalFiles } from '../../../core/store/wal.ts'
import type { WalLog } from '../../../core/store/wal-log.ts'
import type { QueueSettings } from '../../../core/topology/queue-settings.ts'
import { plainSettings } from '../../../core/topology/queue-settings.ts'
import { createArena } from '../../../shared/bus/arena.ts'
import { createDoorbell, Doorbell } from '../../../shared/bus/doorbell.ts'
import { Lane } from '../../../shared/bus/lane.ts'
import { createDurableWords } from '../../../shared/bus/link.ts'
import { createRing, RingReader, RingWriter } from '../../../shared/bus/ring.ts'
import {
  EntryFlag,
  entryWords,
  extentWords,
  Outcome,
  priorityShift,
} from '../../../shared/bus/wire.ts'
import { decodeHeaders } from '../../../shared/message/properties.ts'
import type { FieldTable } from '../../../shared/message/value.ts'

/** Of checksums (see wal-format.ts). */
export const salt = 0x5eed5a17

const arenaBytes = 256 * 1024 * 1024

export interface StoreOptions {
  readonly disk?: Disk
  readonly queueMemoryBudget?: number
  readonly memoryBudget?: number
  readonly generationBytes?: number
  readonly settleWaitMs?: number
  readonly retireWaitMs?: number
  readonly stoppedCleanly?: boolean
  /** Of all queues. */
  readonly settings?: Partial<QueueSettings>
  /** Wall clock at the start; the monotonic clock begins at 1000. */
  readonly wall?: number
  /** Called before there are queues. */
  readonly prepare?: (state: ShardState) => void
  /** False: old generations stay in the log. */
  readonly retires?: boolean
}

export interface Report {
  readonly level: string
  readonly text: string
  readonly fields: Readonly<Record<string, unknown>>
}

/** A folder that is removed by `removeFolders`. */
export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'warren-store-'))
  folders.push(folder)
  return folder
}

export function removeFolders(): void {
  for (const folder of folders.splice(0)) {
    rmSync(folder, { recursive: true, force: true })
    rmSync(logMark(folder), { force: true })
  }
}

const folders: string[] = []

/** From start (recovery included) to the moment the test forgets it, which is a crash. */
export class StoreBench {
  readonly folder: string
  readonly state: ShardState
  readonly log: WalLog
  readonly thread: LogThread
  readonly store: ShardStore
  readonly reports: Report[] = []
  readonly trouble: unknown[] = []
  /** Whether the message that `get` gave last was marked as redelivered. */
  redelivered = false
  /** The headers of that message. */
  headers: FieldTable = []
  private readonly settings: QueueSettings
  private readonly channel: ConsumerChannel
  private readonly reader: RingReader

  /** `queues`: ids of the durable queues that metadata knows. */
  constructor(
    folder: string,
    queues: readonly number[],
    {
      disk = nodeDisk,
      queueMemoryBudget = 1 << 30,
      memoryBudget = 1 << 30,
      generationBytes = 1 << 30,
      settleWaitMs = 0,
      retireWaitMs = 0,
      retires = true,
      stoppedCleanly = false,
      settings = {},
      wall = 1_700_000_000_000,
      prepare,
    }: StoreOptions = {},
  ) {
    this.folder = folder
    const arena = createArena(arenaBytes)
    const ring = createRing(logRingWords)
    const bell = createDoorbell()
    const shardBell = createDoorbell()
    const durable = createDurableWords()
    const requests = createRing(requestRingWords)
    const replies = createRing(requestRingWords)
    const streams = createStreamMemory()
    this.store = new ShardStore({
      disk,
      folder,
      ring,
      requests,
      replies,
      queueMemoryBudget,
      memoryBudget,
      generationBytes,
      salt,
      stoppedCleanly,
      bell,
      durable,
      shardBell,
      streams,
      onReaderNeeded: () => {},
      onReport: (level, text, fields) =>
        this.reports.push({ level, text, fields: fields as Report['fields'] }),
    })
    this.state = new ShardState(
      0,
      1,
      arena,
      this.store,
      () => 0,
      () => {},
    )
    this.log = this.state.log as WalLog
    const background = new LogBackground({
      requests: new RingReader(requests),
      replies: new RingWriter(replies),
      arena: this.state.arena,
      disk,
      salt,
      onDamage: (generation, bytes) =>
        this.reports.push({
          level: 'error',
          text: 'damaged in retirement',
          fields: { generation, bytes },
        }),
      folders: {
        wal: walFolder(folder),
        segments: segmentFolder(folder),
        aside: asideFolder(folder),
      },
    })
    if (!retires) background.retire = () => {}
    this.thread = new LogThread({
      durable: new DurableMark(durable),
      ring: new RingReader(ring),
      shardBell: new Doorbell(shardBell),
      settleWaitMs,
      retireWaitMs,
      salt,
      arena: this.state.arena,
      background,
      streams: new StreamWriters({
        arena: this.state.arena,
        disk,
        folder,
        replies: new RingWriter(streams.replies),
        clock: () => Date.now(),
      }),
      openWal: (place) => {
        const wal = walFolder(folder)
        const { files: oldFiles, spares } = listWal(disk, wal)
        return new WalFiles(disk, wal, salt, { ...place, oldFiles, spares })
      },
      onTrouble: (cause) => this.trouble.push(cause),
      onRelief: () => this.trouble.splice(0),
    })
    this.state.clock.set(1000, wall)
    this.settings = { ...plainSettings, ...settings }
    prepare?.(this.state)
    for (const id of queues) this.declare(id)
    const outRing = createRing(1 << 16)
    const lane = new Lane(new RingWriter(outRing), new Doorbell(createDoorbell()))
    this.reader = new RingReader(outRing)
    this.channel = {
      id: 1,
      outlet: { lane, lastReference: new Float64Array(this.state.arena.slabCount), stalled: [] },
      window: { bytes: 1 << 30, stalled: [] },
      unacked: new Unacked(),
      tokenMode: false,
      tokens: 0,
      starved: [],
    }
    this.store.recover(this.state)
    this.commit()
  }

  /** Metadata has a queue with this id. */
  declare(id: number): ClassicQueue {
    this.state.createQueue({ id, durable: true, arguments: [], settings: this.settings } as never)
    return this.queue(id)
  }

  queue(id: number): ClassicQueue {
    const queue = this.state.queues.get(id)
    if (!(queue instanceof ClassicQueue)) throw new Error(`no queue ${id}`)
    return queue
  }

  /** Puts a message into queues; it is durable after `commit`. */
  publish(
    ids: number | readonly number[],
    body: string | Buffer,
    persistent = true,
    priority = 0,
  ): void {
    const { slabs, messages, arena } = this.state
    const bytes = Buffer.concat([prefix, Buffer.from(body as string)])
    const words = new Int32Array(entryWords + 300 * extentWords)
    let at = 0
    let extents = -1
    const rooms: number[] = []
    while (at < bytes.length) {
      const first = extents < 0
      const left = bytes.length - at
      if (!slabs.takeSome(first ? prefix.length : 0, first ? left - prefix.length : left)) {
        throw new Error('no slab')
      }
      const e = first ? 0 : entryWords + extents * extentWords
      words[e] = slabs.slab
      words[e + 1] = slabs.at
      if (!first) words[e + 2] = slabs.size
      bytes.copy(arena.slab(slabs.slab), slabs.at, at, at + slabs.size)
      rooms.push(slabs.slab)
      at += slabs.size
      extents++
    }
    words[2] = keySize
    words[3] = 0
    words[4] = propsSize
    words[5] = bytes.length - prefix.length
    words[6] = extents
    let row = -1
    const flags = (persistent ? EntryFlag.persistent : 0) | (priority << priorityShift)
    for (const id of typeof ids === 'number' ? [ids] : ids) {
      if (!this.log.hasRoom(extents, 1)) this.commit()
      row = this.queue(id).accept(words, 0, flags, row)
    }
    for (const slab of rooms) slabs.close(slab)
    if (row >= 0 && !messages.isAlive(row)) throw new Error('lost the message')
  }

  /** Lets time pass, and what is due happen. */
  pass(ms: number): void {
    const { clock, timers } = this.state
    clock.set(clock.now + ms, clock.wall + ms)
    timers.advance(clock.now, Number.POSITIVE_INFINITY)
  }

  /** The log thread writes and syncs everything there is. */
  commit(): string {
    let outcome: string
    do {
      this.log.flush()
      outcome = this.thread.turn()
      this.log.poll()
    } while (outcome === 'busy')
    this.log.flush()
    this.state.reclaimer.sweep()
    return outcome
  }

  /** Takes one message: its body, or undefined when the queue is empty. Settled by `settle` unless noAck. */
  get(id: number, noAck = false): string | undefined {
    const queue = this.queue(id)
    const getter: Holder = this.getters.get(id) ?? { queue, slot: 0, unacked: 0, ended: false }
    if (getter.slot === 0) getter.slot = this.state.holders.add(getter)
    this.getters.set(id, getter)
    for (let tries = 0; tries < 100; tries++) {
      const outcome = queue.get(this.channel, getter, 1, noAck)
      if (outcome === 'empty') return undefined
      if (outcome === 'sent') return this.received()
      this.commit()
    }
    throw new Error('the queue never gives its message')
  }

  private readonly getters = new Map<number, Holder>()

  /** Settles the oldest message that was taken and not settled yet. */
  settle(outcome: number = Outcome.complete, headers: FieldTable = []): void {
    const { unacked } = this.channel
    const slot = unacked.slotOf(unacked.base)
    const holder = this.state.holders.get(unacked.holders[slot] as number) as Holder
    let row = unacked.rows[slot] as number
    const position = unacked.positions[slot] as number
    if (headers.length > 0) {
      row = holder.queue.annotate?.(row, position, headers) ?? row
    }
    unacked.clear(slot)
    holder.queue.settled(holder, row, position, outcome)
  }

  /** The oldest message that was taken is left unsettled; `settle` goes on with the next. */
  keepUnsettled(): void {
    const { unacked } = this.channel
    unacked.clear(unacked.slotOf(unacked.base))
  }

  /** Bodies of all ready messages in order, without settling: only to look before a crash. */
  drain(id: number): string[] {
    const bodies: string[] = []
    for (let body = this.get(id); body !== undefined; body = this.get(id)) bodies.push(body)
    return bodies
  }

  private received(): string {
    const { lane } = this.channel.outlet
    lane.flush()
    this.reader.look()
    const i = this.reader.next()
    const { words } = this.reader
    this.redelivered = ((words[i + 3] as number) & EntryFlag.redelivered) !== 0
    const e = i + 4
    const all: Buffer[] = []
    let left = (words[e + 2] as number) + (words[e + 4] as number) + (words[e + 5] as number)
    const extents = words[e + 6] as number
    for (let x = 0; x < extents; x++) left -= words[e + entryWords + x * extentWords + 2] as number
    const slice = (slab: number, at: number, size: number): void => {
      all.push(Buffer.from(this.state.arena.slab(slab).subarray(at, at + size)))
    }
    slice(words[e] as number, words[e + 1] as number, left)
    for (let x = 0; x < extents; x++) {
      const w = e + entryWords + x * extentWords
      slice(words[w] as number, words[w + 1] as number, words[w + 2] as number)
    }
    const skip = (words[e + 2] as number) + (words[e + 4] as number)
    this.reader.release()
    const propsAt = words[e + 2] as number
    this.headers = decodeHeaders(Buffer.concat(all), propsAt, words[e + 4] as number)
    return Buffer.concat(all).subarray(skip).toString('latin1')
  }
}

/** Default exchange, key "q"; no properties. */
const keySize = 3
const propsSize = 2
const prefix: Buffer = Buffer.from([0, 1, 0x71, 0, 0])

/** The files of the log, oldest first, to be read and damaged. */
export function walFiles(folder: string): string[] {
  const wal = walFolder(folder)
  return readdirSync(wal)
    .filter((name) => /^\d+\.wal$/.test(name))
    .sort()
    .map((name) => join(wal, name))
}

/** Changes a file's bytes. */
export function damage(path: string, change: (bytes: Buffer) => Buffer | undefined): void {
  const bytes = readFileSync(path)
  writeFileSync(path, change(bytes) ?? bytes)
}

/** Offsets of the blocks in a file, by their magic. */
export function blockOffsets(path: string): number[] {
  const bytes = readFileSync(path)
  const found: number[] = []
  for (let at = 0; at + 512 <= bytes.length; at += 512) {
    if (bytes.toString('latin1', at, at + 4) === 'WRN1') found.push(at)
  }
  return found
}

export function makeFolder(path: string): void {
  mkdirSync(path, { recursive: true })
}
