// A stream: an append-only log as a kind of queue. Messages stay, whoever reads them; each consumer
// has a place of its own. What is published goes to the log at once and to no memory here; what is
// read comes from there, as far ahead as each consumer may be sent soon.

import type { StreamEnd } from '../../shared/stream/chunk.ts'
import type { OffsetSpec } from '../../shared/stream/log-cursor.ts'
import type { Log } from '../log/log.ts'
import type { StreamLog, StreamOwner, StreamSettings } from '../log/stream-log.ts'
import type { MessageTable } from '../message/message-table.ts'
import type { Consumer, ConsumerChannel } from '../queue/consumer.ts'
import { ConsumerRing } from '../queue/consumer.ts'
import type { Holder } from '../queue/holder.ts'
import type { GetOutcome, Queue } from '../queue/queue.ts'
import type { QueueSettings } from '../topology/queue-settings.ts'
import { ActiveGroup } from './active-group.ts'
import { intervalMs } from './offset-argument.ts'
import { StreamReader } from './stream-reader.ts'

/** What streams share with their shard. */
export interface StreamContext {
  readonly messages: MessageTable
  readonly log: Log
  /** Asks for `pump` before the batch ends. */
  readonly wake: (queue: Queue) => void
  /** The stream is committed further: those who read its files are to be told before the batch ends. */
  readonly advanced: (stream: StreamQueue) => void
}

/** How a consumer wants to read. */
export interface ReadOptions {
  readonly from: OffsetSpec
  readonly filter: readonly string[] | undefined
  readonly matchUnfiltered: boolean
  /** Progress is stored by this name, and read on behind what is stored. */
  readonly name: string | undefined
  /** One consumer of that name at a time. */
  readonly singleActive: boolean
}

/** What RabbitMQ takes where nothing is said: 500 MB, 16 bytes. */
export const defaultSegmentBytes = 500_000_000
const defaultFilterBytes = 16

export class StreamQueue implements Queue, StreamOwner {
  readonly id: number
  readonly name: string
  readonly durable: boolean
  readonly logsAll: boolean
  readonly singleActive: boolean
  readonly consumers: ConsumerRing
  unackedCount: number
  woken: boolean
  deleted: boolean
  logPosition: number
  /** Of the last batch of a stream client. */
  lastPosition: number
  readonly refused: boolean
  settings: QueueSettings
  /** How far it is committed, and where it begins. */
  end: StreamEnd
  first: number
  /** Last publishing id by publisher reference, and stored offsets by consumer name. */
  readonly sequences: Map<string, number>
  readonly offsets: Map<string, number>
  readonly log: StreamLog
  /** Gateways that read its files themselves, and how many subscriptions each has. */
  readonly followers: Map<object, number>
  private readonly context: StreamContext
  private readonly readers: Map<Holder, StreamReader>
  private readonly options: Map<Consumer, ReadOptions>
  private readonly groups: Map<string, ActiveGroup>
  private dirty: StreamReader[]

  constructor(id: number, name: string, settings: QueueSettings, context: StreamContext) {
    this.id = id
    this.name = name
    this.durable = true
    this.logsAll = true
    this.singleActive = false
    this.consumers = new ConsumerRing()
    this.unackedCount = 0
    this.woken = false
    this.deleted = false
    this.logPosition = 0
    this.lastPosition = 0
    this.refused = false
    this.settings = settings
    this.end = { base: -1, position: 0, next: 0, lastChunk: -1 }
    this.first = 0
    this.sequences = new Map()
    this.offsets = new Map()
    this.followers = new Map()
    this.context = context
    this.readers = new Map()
    this.options = new Map()
    this.groups = new Map()
    this.dirty = []
    this.log = context.log.openStream(id, name, streamSettings(settings), this)
  }

  configure(settings: QueueSettings): void {
    this.settings = settings
    this.log.configure(streamSettings(settings))
  }

  /** Streams have no lease. */
  used(): void {}

  restored(sequences: ReadonlyMap<string, number>, offsets: ReadonlyMap<string, number>): void {
    for (const [reference, id] of sequences) this.sequences.set(reference, id)
    for (const [name, offset] of offsets) this.offsets.set(name, offset)
  }

  advanced(end: StreamEnd, first: number): void {
    this.end = end
    this.first = first
    this.context.advanced(this)
  }

  /** Messages that can be read. */
  readyCount(): number {
    return this.end.next - this.first
  }

  // HOT: once per publish and stream
  accept(words: Int32Array, e: number, flags: number, row: number): number {
    this.logPosition = this.deleted ? 0 : this.log.append(words, e, flags)
    return row
  }

  // HOT: once per batch of a stream client
  /** Takes entries as the stream protocol has them: see StreamLog.appendBatch. */
  acceptBatch(
    words: Int32Array,
    e: number,
    skipped: number,
    entries: number,
    messages: number,
  ): number {
    this.lastPosition = this.log.appendBatch(words, e, skipped, entries, messages, 0, 0)
    return this.lastPosition
  }

  /** As `acceptBatch`, of a named publisher whose last publishing id is then `sequence`. */
  acceptBatchOf(
    reference: string,
    sequence: number,
    words: Int32Array,
    e: number,
    skipped: number,
    entries: number,
    messages: number,
  ): number {
    const writer = this.log.writer(reference)
    this.sequences.set(reference, sequence)
    this.lastPosition = this.log.appendBatch(words, e, skipped, entries, messages, writer, sequence)
    return this.lastPosition
  }

  pump(): void {
    const { dirty } = this
    this.dirty = []
    for (let i = 0; i < dirty.length; i++) (dirty[i] as StreamReader).pump()
  }

  /** Refused before it comes here. */
  get(_channel: ConsumerChannel, _getter: Holder, _request: number, _noAck: boolean): GetOutcome {
    return 'empty'
  }

  // HOT: once per settled delivery
  settled(holder: Holder, _row: number, position: number, _outcome: number): void {
    holder.unacked--
    this.unackedCount--
    // Whatever the outcome: a stream keeps its messages, and never gives one twice.
    if (!holder.ended) this.readers.get(holder)?.settled(position)
  }

  // HOT: once per settled delivery
  afterSettle(consumer: Consumer): void {
    this.readers.get(consumer)?.afterSettle()
  }

  unblock(consumer: Consumer, reason: number): void {
    if (!this.consumers.unblock(consumer, reason)) return
    const reader = this.readers.get(consumer)
    if (reader !== undefined) this.touch(reader)
  }

  grantCredit(consumer: Consumer, deliveryCount: number, credit: number, flags: number): void {
    this.readers.get(consumer)?.grantCredit(deliveryCount, credit, flags)
  }

  /** Says how `consumer` reads; before `addConsumer`. */
  prepare(consumer: Consumer, options: ReadOptions): void {
    this.options.set(consumer, options)
  }

  addConsumer(consumer: Consumer): void {
    const options = this.options.get(consumer) ?? readNext
    this.options.delete(consumer)
    this.consumers.add(consumer)
    const reader = new StreamReader(this, consumer, options, this.context.messages)
    this.readers.set(consumer, reader)
    const { name, singleActive } = options
    if (name !== undefined && singleActive) reader.join(this.group(name, -1))
    else reader.activate()
  }

  removeConsumer(consumer: Consumer): void {
    consumer.ended = true
    this.consumers.remove(consumer)
    const reader = this.readers.get(consumer)
    this.readers.delete(consumer)
    reader?.end()
    this.sweepGroups()
  }

  /** The group of consumers of `name`; see ActiveGroup. */
  group(name: string, partition: number): ActiveGroup {
    let group = this.groups.get(name)
    if (group === undefined) {
      group = new ActiveGroup(partition)
      this.groups.set(name, group)
    }
    return group
  }

  /** Forgets groups that nobody is in any more. */
  sweepGroups(): void {
    for (const [name, group] of this.groups) {
      if (group.members.length === 0) this.groups.delete(name)
    }
  }

  storeOffset(name: string, offset: number): void {
    this.offsets.set(name, offset)
    if (!this.deleted) this.log.storeOffset(name, offset)
  }

  /** The stored offset of a name, undefined where there is none, or what it said is gone. */
  storedOffset(name: string): number | undefined {
    return this.offsets.get(name)
  }

  /** Has `reader` pumped. */
  touch(reader: StreamReader): void {
    if (reader.touched) return
    reader.touched = true
    this.dirty.push(reader)
    this.context.wake(this)
  }

  /** Refused before it comes here. */
  purge(): number {
    return 0
  }

  destroy(): void {
    this.deleted = true
    this.log.delete()
  }
}

const readNext: ReadOptions = {
  from: { kind: 'next' },
  filter: undefined,
  matchUnfiltered: false,
  name: undefined,
  singleActive: false,
}

function streamSettings(settings: QueueSettings): StreamSettings {
  const { bytesMax, maxAge, segmentBytesMax, filterBytes } = settings
  return {
    bytesMax,
    ageMaxMs: maxAge === undefined ? undefined : intervalMs(maxAge),
    segmentBytesMax: segmentBytesMax ?? defaultSegmentBytes,
    filterBytes: filterBytes ?? defaultFilterBytes,
  }
}
