// The shard's side of streams: appends to the log thread's ring, hears how far each stream is synced,
// and has cursors read by a thread of their own, which is started for the first of them.

import { Buffer } from 'node:buffer'
import { pack } from '../../shared/bus/control.ts'
import type { Doorbell } from '../../shared/bus/doorbell.ts'
import type { Lane } from '../../shared/bus/lane.ts'
import type { RingReader } from '../../shared/bus/ring.ts'
import type { SlabReclaimer } from '../../shared/bus/slab-reclaimer.ts'
import { SlotTable } from '../../shared/bus/slot-table.ts'
import { entryWords, extentWords } from '../../shared/bus/wire.ts'
import type { StreamEnd } from '../../shared/stream/chunk.ts'
import type { OffsetSpec } from '../../shared/stream/log-cursor.ts'
import type {
  CursorOptions,
  CursorOwner,
  StreamCursor,
  StreamLog,
  StreamOwner,
  StreamSettings,
} from '../log/stream-log.ts'
import { streamFolder } from './layout.ts'
import { StreamRecord, streamBatchEntryAt, streamEntryAt } from './log-wire.ts'
import type { OpenCursor } from './stream-reader-wire.ts'
import {
  advancedWords,
  allowWords,
  ReaderReply,
  ReaderRequest,
  readerEntryAt,
} from './stream-reader-wire.ts'
import { highWord, joinWords, lowWord } from './wal-format.ts'

/** What the shard's log does for streams: they share its ring and its commits. */
export interface StreamAppender {
  /** Room for a record of a message, which the log was asked for. The ring's index. */
  reserveEntry(words: number): number
  /** The record at `index` is whole; its entry words are at `e`, `bytes` of messages. The log's position. */
  commitEntry(index: number, words: number, e: number, bytes: number): number
  /** Appends a record (its type, then its words from the second on) now or when there is room. */
  putRecord(words: readonly number[]): void
  readonly words: Int32Array
}

export interface StreamDeskParts {
  readonly appender: StreamAppender
  /** The shard's folder. */
  readonly folder: string
  readonly replies: RingReader
  /** Of the log thread. */
  readonly logBell: Doorbell
  readonly toReader: Lane
  readonly fromReader: RingReader
  readonly readerBell: Doorbell
  readonly reclaimer: SlabReclaimer
  /** The first cursor is there: somebody has to read. */
  readonly onReaderNeeded: () => void
}

export class StreamDesk {
  readonly appender: StreamAppender
  private readonly parts: StreamDeskParts
  private readonly streams: Map<number, DiskStream>
  private readonly cursors: SlotTable<DiskCursor>
  private readerNeeded: boolean

  constructor(parts: StreamDeskParts) {
    this.appender = parts.appender
    this.parts = parts
    this.streams = new Map()
    this.cursors = new SlotTable()
    this.readerNeeded = false
  }

  /** A stream is there. */
  open(id: number, name: string, settings: StreamSettings, owner: StreamOwner): DiskStream {
    const stream = new DiskStream(this, id, name, owner, streamFolder(this.parts.folder, id))
    this.streams.set(id, stream)
    stream.configure(settings)
    return stream
  }

  /** Recovery found this. */
  restore(
    id: number,
    end: StreamEnd,
    first: number,
    sequences: ReadonlyMap<string, number>,
    offsets: ReadonlyMap<string, number>,
  ): void {
    const stream = this.streams.get(id)
    if (stream === undefined) return
    stream.end = end
    stream.owner.restored(sequences, offsets)
    stream.owner.advanced(end, first)
  }

  ids(): Iterable<number> {
    return this.streams.keys()
  }

  /** Takes what log and reader have said. True when there was anything. */
  poll(): boolean {
    const { replies, logBell, fromReader } = this.parts
    let any = false
    if (replies.look()) {
      any = true
      for (let i = replies.next(); i >= 0; i = replies.next()) this.onAdvanced(replies.words, i)
      if (replies.release()) logBell.ring()
    }
    if (fromReader.look()) {
      any = true
      this.takeEntries()
    }
    return any
  }

  /** The batch ends: the reader is shown what it may read. */
  flush(): void {
    this.parts.toReader.flush()
  }

  forget(id: number): void {
    this.streams.delete(id)
  }

  openCursor(stream: DiskStream, options: CursorOptions, owner: CursorOwner): StreamCursor {
    if (!this.readerNeeded) {
      this.readerNeeded = true
      this.parts.onReaderNeeded()
    }
    const cursor = new DiskCursor(this.parts.toReader, stream, owner)
    cursor.id = this.cursors.add(cursor)
    stream.cursors++
    const from = fixedFrom(options.from, stream.end)
    const open: OpenCursor = {
      cursor: cursor.id,
      stream: stream.id,
      folder: stream.folder,
      queue: stream.name,
      kind: from.kind,
      value: 'value' in from ? from.value : 0,
      filter: options.filter,
      matchUnfiltered: options.matchUnfiltered,
      end: stream.end,
    }
    this.parts.toReader.control(ReaderRequest.control, 0, pack(open))
    return cursor
  }

  private onAdvanced(words: Int32Array, i: number): void {
    const stream = this.streams.get(words[i + 1] as number)
    if (stream === undefined) return
    stream.end = {
      next: numberAt(words, i + 2),
      lastChunk: numberAt(words, i + 4),
      base: numberAt(words, i + 6),
      position: numberAt(words, i + 8),
    }
    if (stream.cursors > 0) this.tellReader(words, i)
    stream.owner.advanced(stream.end, numberAt(words, i + 10))
  }

  private tellReader(words: Int32Array, i: number): void {
    const { toReader } = this.parts
    const index = toReader.reserve(advancedWords)
    if (index < 0) {
      toReader.short(ReaderRequest.advanced, ...words.subarray(i + 1, i + advancedWords))
      return
    }
    const to = toReader.ring.words
    to[index] = (advancedWords << 8) | ReaderRequest.advanced
    for (let k = 1; k < advancedWords; k++) to[index + k] = words[i + k] as number
    toReader.ring.commit(advancedWords)
  }

  // HOT: the loop over what was read
  private takeEntries(): void {
    const { fromReader, readerBell, reclaimer } = this.parts
    const { words } = fromReader
    for (let i = fromReader.next(); i >= 0; i = fromReader.next()) {
      const type = (words[i] as number) & 255
      if (type === ReaderReply.entry) {
        const cursor = this.cursors.get(words[i + 1] as number)
        if (cursor === undefined || cursor.closed) continue
        const flags = words[i + 4] as number
        cursor.owner.onEntry(numberAt(words, i + 2), words, i + readerEntryAt, flags)
      } else if (type === ReaderReply.seal) reclaimer.seal(words[i + 1] as number)
      else if (type === ReaderReply.closed) this.cursors.remove(words[i + 1] as number)
      else {
        const cursor = this.cursors.get(words[i + 1] as number)
        if (cursor?.closed === false) cursor.owner.onCaughtUp(numberAt(words, i + 2))
      }
    }
    if (fromReader.release()) readerBell.ring()
  }
}

/**
 * What stands in relation to the end is settled now: the reader comes to it later, and what has been
 * published meanwhile is behind `next`.
 */
function fixedFrom(from: OffsetSpec, end: StreamEnd): OffsetSpec {
  if (from.kind === 'next') return { kind: 'offset', value: end.next }
  if (from.kind === 'fromEnd') return { kind: 'offset', value: Math.max(0, end.next - from.value) }
  if (from.kind !== 'last') return from
  return { kind: 'offset', value: end.lastChunk < 0 ? end.next : end.lastChunk }
}

class DiskStream implements StreamLog {
  readonly id: number
  readonly name: string
  readonly owner: StreamOwner
  readonly folder: string
  end: StreamEnd
  cursors: number
  private readonly desk: StreamDesk
  private readonly writers: Map<string, number>

  constructor(desk: StreamDesk, id: number, name: string, owner: StreamOwner, folder: string) {
    this.desk = desk
    this.id = id
    this.name = name
    this.owner = owner
    this.folder = folder
    this.end = { base: -1, position: 0, next: 0, lastChunk: -1 }
    this.cursors = 0
    this.writers = new Map()
  }

  // HOT: once per message published to a stream
  append(words: Int32Array, e: number, flags: number): number {
    const { appender } = this.desk
    const entrySize = entryWords + (words[e + 6] as number) * extentWords
    const size = streamEntryAt + entrySize
    const index = appender.reserveEntry(size)
    const to = appender.words
    to[index] = (size << 8) | StreamRecord.entry
    to[index + 1] = this.id
    to[index + 2] = flags
    const at = index + streamEntryAt
    for (let i = 0; i < entrySize; i++) to[at + i] = words[e + i] as number
    const bytes =
      (words[e + 2] as number) +
      (words[e + 3] as number) +
      (words[e + 4] as number) +
      (words[e + 5] as number)
    return appender.commitEntry(index, size, at, bytes)
  }

  // HOT: once per batch of a stream client
  appendBatch(
    words: Int32Array,
    e: number,
    skipped: number,
    entries: number,
    records: number,
    writer: number,
    sequence: number,
  ): number {
    const { appender } = this.desk
    const entrySize = entryWords + (words[e + 6] as number) * extentWords
    const size = streamBatchEntryAt + entrySize
    const index = appender.reserveEntry(size)
    const to = appender.words
    to[index] = (size << 8) | StreamRecord.batch
    to[index + 1] = this.id
    to[index + 2] = skipped
    to[index + 3] = entries
    to[index + 4] = records
    to[index + 5] = writer
    to[index + 6] = lowWord(sequence)
    to[index + 7] = highWord(sequence)
    const at = index + streamBatchEntryAt
    for (let i = 0; i < entrySize; i++) to[at + i] = words[e + i] as number
    const bytes = (words[e + 4] as number) + (words[e + 5] as number)
    return appender.commitEntry(index, size, at, bytes)
  }

  writer(reference: string): number {
    let writer = this.writers.get(reference)
    if (writer === undefined) {
      writer = this.writers.size + 1
      this.writers.set(reference, writer)
      this.put(StreamRecord.writer, [writer], reference)
    }
    return writer
  }

  storeOffset(name: string, offset: number): void {
    this.put(StreamRecord.offset, [lowWord(offset), highWord(offset)], name)
  }

  configure(settings: StreamSettings): void {
    const { bytesMax = -1, ageMaxMs = -1, segmentBytesMax, filterBytes } = settings
    const words: number[] = [StreamRecord.open, this.id]
    for (const value of [bytesMax, ageMaxMs, segmentBytesMax]) {
      words.push(lowWord(value), highWord(value))
    }
    words.push(filterBytes)
    this.desk.appender.putRecord(words)
  }

  openCursor(options: CursorOptions, owner: CursorOwner): StreamCursor {
    return this.desk.openCursor(this, options, owner)
  }

  delete(): void {
    this.desk.forget(this.id)
    this.desk.appender.putRecord([StreamRecord.deleted, this.id])
  }

  private put(type: number, fields: readonly number[], text: string): void {
    const bytes = Buffer.from(text)
    const padded = Buffer.alloc((bytes.length + 3) & ~3)
    bytes.copy(padded)
    const words: number[] = [type, this.id, ...fields, bytes.length]
    for (let i = 0; i < padded.length; i += 4) words.push(padded.readInt32LE(i))
    this.desk.appender.putRecord(words)
  }
}

class DiskCursor implements StreamCursor {
  id: number
  readonly owner: CursorOwner
  /** What is still on its way is not wanted; its number is free once the reader has said so. */
  closed: boolean
  private readonly lane: Lane
  private readonly stream: DiskStream

  constructor(lane: Lane, stream: DiskStream, owner: CursorOwner) {
    this.id = 0
    this.owner = owner
    this.closed = false
    this.lane = lane
    this.stream = stream
  }

  allow(messages: number, bytes: number): void {
    const index = this.lane.reserve(allowWords)
    if (index < 0) {
      this.lane.short(ReaderRequest.allow, this.id, messages, bytes)
      return
    }
    const { words } = this.lane.ring
    words[index] = (allowWords << 8) | ReaderRequest.allow
    words[index + 1] = this.id
    words[index + 2] = messages
    words[index + 3] = bytes
    this.lane.ring.commit(allowWords)
  }

  close(): void {
    if (this.closed) return
    this.closed = true
    this.stream.cursors--
    this.lane.short(ReaderRequest.close, this.id)
  }
}

function numberAt(words: Int32Array, at: number): number {
  return joinWords(words[at] as number, words[at + 1] as number)
}
