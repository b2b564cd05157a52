// Gathers what was published to one stream into chunks: converts messages of other protocols to the
// stored form, takes batches of the stream protocol as they are.

import { Buffer } from 'node:buffer'
import type { Arena } from '../../shared/bus/arena.ts'
import { viewOf } from '../../shared/bytes/view.ts'
import { Amqp10Encoder } from '../../shared/message/amqp10-form.ts'
import { BloomWriter } from '../../shared/stream/bloom.ts'
import { chunkHeaderBytes, TrackingType } from '../../shared/stream/chunk.ts'
import { EntrySource } from '../message/entry-source.ts'
import { trackingRecord } from './stream-tracking.ts'
import type { StreamWriter } from './stream-writer.ts'

/**
 * A chunk is given to readers as a whole, and skipped as a whole by filters: these are a compromise
 * between many small writes and much that is read in vain. RabbitMQ's chunks end at 4096 entries too.
 */
const entriesMax = 4096
const dataBytesMax: number = 512 * 1024
const bloomBytesMax = 255
const dataAt: number = chunkHeaderBytes + bloomBytesMax
/** Behind the data: 255 writers with the longest references. */
const trailerBytesMax: number = 256 * 270
const idleBytesMax: number = 4 * 1024 * 1024

export class ChunkBuilder {
  private readonly source: EntrySource
  private readonly arena: Arena
  private readonly encoder: Amqp10Encoder
  private readonly blooms: Map<number, BloomWriter>
  /** Publishers in the chunk, with their last publishing ids. */
  private readonly sequences: Map<string, number>
  private bytes: Buffer
  private at: number
  private entries: number
  private records: number
  private writer: StreamWriter | undefined
  private bloom: BloomWriter
  private now: number

  constructor(arena: Arena) {
    this.arena = arena
    this.source = new EntrySource(arena)
    this.encoder = new Amqp10Encoder()
    this.blooms = new Map()
    this.sequences = new Map()
    this.bytes = Buffer.allocUnsafeSlow(dataAt + dataBytesMax + trailerBytesMax)
    this.at = dataAt
    this.entries = 0
    this.records = 0
    this.writer = undefined
    this.bloom = this.bloomOf(16)
    this.now = 0
  }

  /** Begins with what goes to `writer` at time `now`. */
  begin(writer: StreamWriter, now: number): void {
    this.writer = writer
    this.bloom = this.bloomOf(writer.settings.filterBytes)
    this.now = now
    this.clear()
  }

  // HOT: once per message published to a stream by another protocol
  /** Adds the message whose entry words are at `words[e..]`. */
  addEntry(words: Int32Array, e: number): void {
    const exrkSize = words[e + 2] as number
    const extraSize = words[e + 3] as number
    const propsSize = words[e + 4] as number
    const bodySize = words[e + 5] as number
    const headSize = exrkSize + extraSize + propsSize
    const { encoder, source } = this
    const slab = this.arena.slab(words[e] as number)
    encoder.prepare(slab, words[e + 1] as number, exrkSize, extraSize, propsSize)
    const size = encoder.size(bodySize)
    this.makeRoom(4 + size, 1)
    const to = viewOf(this.bytes)
    to.setUint32(this.at, size)
    const bodyAt = encoder.writeHead(this.bytes, this.at + 4, bodySize)
    source.start(words, e, headSize + bodySize)
    source.skip(headSize)
    source.copyTo(to, bodyAt, bodySize)
    this.at += 4 + size
    this.entries++
    this.records++
    this.bloom.add(encoder.filter, 0, encoder.filter.length)
  }

  // HOT: once per batch published by a stream client
  /** Adds entries as they are: see StreamLog.appendBatch. */
  addBatch(words: Int32Array, e: number, skipped: number, entries: number, records: number): void {
    const headSize = words[e + 4] as number
    const bodySize = words[e + 5] as number
    const size = bodySize - skipped
    this.makeRoom(size, entries)
    const { source } = this
    source.start(words, e, headSize + bodySize)
    source.skip(headSize + skipped)
    source.copyTo(viewOf(this.bytes), this.at, size)
    this.at += size
    this.entries += entries
    this.records += records
    this.addFilters(this.arena.slab(words[e] as number), words[e + 1] as number, headSize)
  }

  /** A publisher's last publishing id is `id`. */
  addSequence(reference: string, id: number): void {
    this.sequences.delete(reference)
    this.sequences.set(reference, id)
  }

  /** Appends what was gathered. */
  end(): void {
    const { writer } = this
    if (writer === undefined || this.entries === 0) return
    const dataSize = this.at - dataAt
    const bloomSize = this.bloom.used ? this.bloom.bytes.length : 0
    if (bloomSize > 0) this.bloom.bytes.copy(this.bytes, dataAt - bloomSize)
    let trailerSize = 0
    for (const [reference, id] of this.sequences) {
      const record = trackingRecord(TrackingType.sequence, reference, id)
      if (trailerSize + record.length > trailerBytesMax) break
      record.copy(this.bytes, this.at + trailerSize)
      trailerSize += record.length
      writer.tracking.setSequence(reference, writer.next, id)
    }
    const { entries, records } = this
    writer.append(this.bytes, dataAt, dataSize, entries, records, bloomSize, trailerSize, this.now)
    this.clear()
  }

  private clear(): void {
    this.at = dataAt
    this.entries = 0
    this.records = 0
    this.bloom.clear()
    if (this.sequences.size > 0) this.sequences.clear()
    if (this.bytes.length > idleBytesMax) {
      this.bytes = Buffer.allocUnsafeSlow(dataAt + dataBytesMax + trailerBytesMax)
    }
  }

  private makeRoom(size: number, entries: number): void {
    const end = this.at + size
    if (this.entries > 0 && (this.entries + entries > entriesMax || end > dataAt + dataBytesMax)) {
      this.end()
    }
    if (this.at + size + trailerBytesMax <= this.bytes.length) return
    // One entry that is larger than a chunk should be.
    this.bytes = Buffer.allocUnsafeSlow(dataAt + size + trailerBytesMax)
  }

  /** `ids u32 bytes | publishing ids | filter values, each u16 size and bytes`; see Record.streamPublish. */
  private addFilters(bytes: Buffer, at: number, size: number): void {
    if (size === 0) {
      this.bloom.add(bytes, 0, 0)
      return
    }
    const view = viewOf(bytes)
    const end = at + size
    let from = at + 4 + view.getUint32(at)
    if (from === end) this.bloom.add(bytes, 0, 0)
    while (from < end) {
      const length = view.getUint16(from)
      this.bloom.add(bytes, from + 2, length)
      from += 2 + length
    }
  }

  private bloomOf(size: number): BloomWriter {
    let bloom = this.blooms.get(size)
    if (bloom === undefined) {
      bloom = new BloomWriter(size)
      this.blooms.set(size, bloom)
    }
    return bloom
  }
}
