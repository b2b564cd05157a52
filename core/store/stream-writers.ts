// The streams of a shard as its log thread writes them, beside the log: what one commit brings is
// gathered per stream, written as chunks and synced, and then the shard is told.

import type { Arena } from '../../shared/bus/arena.ts'
import type { RingWriter } from '../../shared/bus/ring.ts'
import { TrackingType } from '../../shared/stream/chunk.ts'
import type { StreamSettings } from '../log/stream-log.ts'
import { ChunkBuilder } from './chunk-builder.ts'
import type { Disk } from './disk.ts'
import { streamFolder, streamMark } from './layout.ts'
import {
  StreamRecord,
  StreamReply,
  streamAdvancedWords,
  streamBatchEntryAt,
  streamEntryAt,
} from './log-wire.ts'
import { trackingRecord } from './stream-tracking.ts'
import { StreamWriter } from './stream-writer.ts'
import { highWord, joinWords, lowWord } from './wal-format.ts'

/** Limits by age are looked after this often; those by size whenever a segment is full. */
const retainMs = 5000

export interface StreamWritersParts {
  readonly arena: Arena
  readonly disk: Disk
  /** The shard's folder. */
  readonly folder: string
  readonly replies: RingWriter
  /** Milliseconds since 1970. */
  readonly clock: () => number
}

/** A stream, and what of the current commit goes to it. */
interface OpenStream {
  readonly id: number
  settings: StreamSettings
  /** Opened with the first message: at start there may be many streams. */
  writer: StreamWriter | undefined
  readonly references: string[]
  /** Indexes of records in the ring. */
  readonly records: number[]
  dirty: boolean
  /** The shard is to be told how far it is. */
  changed: boolean
}

export class StreamWriters {
  private readonly parts: StreamWritersParts
  private readonly builder: ChunkBuilder
  private readonly streams: Map<number, OpenStream>
  /** With records, or written and not synced. */
  private dirty: OpenStream[]
  private changed: OpenStream[]
  private retainAt: number

  constructor(parts: StreamWritersParts) {
    this.parts = parts
    this.builder = new ChunkBuilder(parts.arena)
    this.streams = new Map()
    this.dirty = []
    this.changed = []
    this.retainAt = 0
  }

  // HOT: once per message, or batch, published to a stream
  /**
   * Takes the record of type `type` at index `i`; it stays in the ring until `sync`. Returns the bytes
   * that are to be written for it.
   */
  take(words: Int32Array, i: number, type: number): number {
    const id = words[i + 1] as number
    if (type === StreamRecord.open) {
      this.open(id, words, i + 2)
      return 0
    }
    const stream = this.streams.get(id)
    if (stream === undefined) return 0
    if (type === StreamRecord.deleted) this.delete(stream)
    else if (type === StreamRecord.writer) {
      stream.references[words[i + 2] as number] = textAt(words, i + 3)
    } else {
      if (!stream.dirty) {
        stream.dirty = true
        this.dirty.push(stream)
      }
      stream.records.push(i)
      if (type === StreamRecord.entry) return words[i + streamEntryAt + 5] as number
      if (type === StreamRecord.batch) return words[i + streamBatchEntryAt + 5] as number
    }
    return 0
  }

  /** Writes what was taken. Throws on disk errors: then call `fail`. */
  write(words: Int32Array): void {
    if (this.dirty.length === 0) return
    const now = this.parts.clock()
    for (const stream of this.dirty) {
      const writer = this.writerOf(stream)
      this.builder.begin(writer, now)
      const changes: Buffer[] = []
      for (const i of stream.records) this.add(stream, writer, words, i, changes)
      this.builder.end()
      if (changes.length > 0) writer.appendTracking(Buffer.concat(changes), now)
      stream.records.length = 0
    }
  }

  /** What was written is on disk. Throws on disk errors: then call `fail`. */
  sync(): void {
    if (this.dirty.length === 0) return
    for (const stream of this.dirty) {
      stream.writer?.sync()
      stream.dirty = false
      this.markChanged(stream)
    }
    this.dirty = []
  }

  /** Nothing of this commit counts: its records will be taken again. */
  fail(): void {
    for (const stream of this.dirty) {
      stream.records.length = 0
      stream.dirty = false
      stream.writer?.fail()
    }
    this.dirty = []
  }

  /** Looks after limits by age. */
  retain(): void {
    const now = this.parts.clock()
    // Later than that it never is, unless the clock has gone back.
    if (now < this.retainAt && this.retainAt - now <= retainMs) return
    this.retainAt = now + retainMs
    for (const stream of this.streams.values()) {
      if (stream.writer === undefined && stream.settings.ageMaxMs === undefined) continue
      try {
        if (this.writerOf(stream).retain(now)) this.markChanged(stream)
      } catch {
        // What the disk refuses to let go of now is tried again later.
      }
    }
  }

  /** Tells the shard what has advanced, as far as there is room. True when something was told. */
  announce(): boolean {
    if (this.changed.length === 0) return false
    const { replies } = this.parts
    let told = 0
    for (const stream of this.changed) {
      if (!this.tell(stream)) break
      stream.changed = false
      told++
    }
    this.changed.splice(0, told)
    replies.publish()
    return told > 0
  }

  private tell({ id, writer }: OpenStream): boolean {
    if (writer === undefined) return true
    const { replies } = this.parts
    const index = replies.reserve(streamAdvancedWords)
    if (index < 0) return false
    const { words } = replies
    const { next, lastChunk, base, position } = writer.end()
    words[index] = (streamAdvancedWords << 8) | StreamReply.advanced
    words[index + 1] = id
    putNumber(words, index + 2, next)
    putNumber(words, index + 4, lastChunk)
    putNumber(words, index + 6, base)
    putNumber(words, index + 8, position)
    putNumber(words, index + 10, writer.first())
    replies.commit(streamAdvancedWords)
    return true
  }

  private add(
    stream: OpenStream,
    writer: StreamWriter,
    words: Int32Array,
    i: number,
    changes: Buffer[],
  ): void {
    const type = (words[i] as number) & 255
    const { builder } = this
    if (type === StreamRecord.entry) {
      builder.addEntry(words, i + streamEntryAt)
    } else if (type === StreamRecord.batch) {
      const reference = stream.references[words[i + 5] as number]
      const at = i + streamBatchEntryAt
      const skipped = words[i + 2] as number
      builder.addBatch(words, at, skipped, words[i + 3] as number, words[i + 4] as number)
      if (reference !== undefined) builder.addSequence(reference, numberAt(words, i + 6))
    } else {
      const offset = numberAt(words, i + 2)
      const name = textAt(words, i + 4)
      writer.tracking.offsets.set(name, offset)
      changes.push(trackingRecord(TrackingType.offset, name, offset))
    }
  }

  private open(id: number, words: Int32Array, at: number): void {
    const settings = {
      bytesMax: limitAt(words, at),
      ageMaxMs: limitAt(words, at + 2),
      segmentBytesMax: numberAt(words, at + 4),
      filterBytes: words[at + 6] as number,
    }
    const known = this.streams.get(id)
    if (known === undefined) {
      this.streams.set(id, {
        id,
        settings,
        writer: undefined,
        references: [],
        records: [],
        dirty: false,
        changed: false,
      })
      return
    }
    known.settings = settings
    if (known.writer !== undefined) known.writer.settings = settings
    this.retainAt = 0
  }

  private delete(stream: OpenStream): void {
    stream.records.length = 0
    this.streams.delete(stream.id)
    this.dirty = this.dirty.filter((other) => other !== stream)
    this.changed = this.changed.filter((other) => other !== stream)
    const { disk, folder } = this.parts
    disk.remove(streamMark(folder, stream.id))
    if (stream.writer === undefined) disk.removeFolder(streamFolder(folder, stream.id))
    else stream.writer.remove()
  }

  private markChanged(stream: OpenStream): void {
    if (stream.changed) return
    stream.changed = true
    this.changed.push(stream)
  }

  private writerOf(stream: OpenStream): StreamWriter {
    const { disk, folder } = this.parts
    stream.writer ??= new StreamWriter(
      disk,
      streamFolder(folder, stream.id),
      stream.settings,
      streamMark(folder, stream.id),
    )
    return stream.writer
  }
}

function putNumber(words: Int32Array, at: number, value: number): void {
  words[at] = lowWord(value)
  words[at + 1] = highWord(value)
}

function numberAt(words: Int32Array, at: number): number {
  return joinWords(words[at] as number, words[at + 1] as number)
}

function limitAt(words: Int32Array, at: number): number | undefined {
  return words[at + 1] === -1 ? undefined : numberAt(words, at)
}

function textAt(words: Int32Array, at: number): string {
  const size = words[at] as number
  return Buffer.from(words.buffer, words.byteOffset + (at + 1) * 4, size).toString('utf8')
}
