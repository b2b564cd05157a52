// What a reader thread does, without the thread: reads the streams of one shard for its cursors, turns
// messages into entries in slabs, and sends these as far as each cursor allows.

import type { Buffer } from 'node:buffer'
import { crc32 } from 'node:zlib'
import type { Arena } from '../../shared/bus/arena.ts'
import { unpack } from '../../shared/bus/control.ts'
import type { Lane } from '../../shared/bus/lane.ts'
import { ControlAssembler } from '../../shared/bus/lane.ts'
import type { RingReader } from '../../shared/bus/ring.ts'
import { SlabWriter } from '../../shared/bus/slab-writer.ts'
import { EntryFlag, entryWords, extentWords } from '../../shared/bus/wire.ts'
import { copyBytes } from '../../shared/bytes/copy.ts'
import { viewOf } from '../../shared/bytes/view.ts'
import { Amqp10Decoder } from '../../shared/message/amqp10-form.ts'
import { BloomMatcher } from '../../shared/stream/bloom.ts'
import type { StreamEnd } from '../../shared/stream/chunk.ts'
import {
  BatchCodec,
  batchHeaderBytes,
  ChunkType,
  chunkHeaderBytes,
  writeU64,
} from '../../shared/stream/chunk.ts'
import type { OffsetSpec } from '../../shared/stream/log-cursor.ts'
import { LogCursor } from '../../shared/stream/log-cursor.ts'
import { ReadWindow } from '../../shared/stream/read-window.ts'
import { SharedFiles } from '../../shared/stream/shared-files.ts'
import { unpackBatch } from './batch-packing.ts'
import type { Disk } from './disk.ts'
import type { OpenCursor } from './stream-reader-wire.ts'
import {
  advancedWords,
  caughtUpWords,
  ReaderReply,
  ReaderRequest,
  readerEntryAt,
} from './stream-reader-wire.ts'
import { highWord, joinWords, lowWord } from './wal-format.ts'

/** What all cursors together may have sent and not seen taken, and what one may, at least and at most. */
const bytesOutMax: number = 64 * 1024 * 1024
const cursorBytesMin: number = 16 * 1024
const cursorBytesMax: number = 512 * 1024
/** Entries for one cursor before it is the next one's turn. */
const entriesPerStep = 512
const windowBytes: number = 128 * 1024
/** An unpacked batch that is larger is not kept for the next reader. */
const keptBatchBytesMax: number = 4 * 1024 * 1024

export interface StreamReadersParts {
  readonly in: RingReader
  readonly out: Lane
  readonly arena: Arena
  /** Marks slabs as this thread's; slabs of the arena that it leaves to others. */
  readonly slabOwner: number
  readonly spareSlabs: number
  readonly disk: Disk
  readonly onDamage: (folder: string, position: number) => void
  /** A batch of `messages` from `offset` on is packed in a way that cannot be undone here. */
  readonly onPacked: (folder: string, offset: number, messages: number, codec: number) => void
}

interface ReadStream {
  end: StreamEnd
  readonly cursors: Set<ReadCursor>
}

/** One consumer's place. */
class ReadCursor {
  readonly id: number
  readonly stream: ReadStream
  readonly folder: string
  readonly log: LogCursor
  readonly decoder: Amqp10Decoder
  readonly matcher: BloomMatcher | undefined
  /** Where to go before the first read; undefined once there. */
  from: OffsetSpec | undefined
  /** Messages that may be sent. */
  allowed: number
  /** Bytes sent and not taken. */
  bytesOut: number
  /** It is on the list of cursors that have work. */
  listed: boolean
  inChunk: boolean
  /** In the chunk: bytes of data passed, the offset of the next message. */
  dataAt: number
  offset: number
  /** Messages passed of the batch at `dataAt`, and their bytes. */
  batchDone: number
  batchAt: number
  toldOffset: number
  /** Where something was found that is no sound chunk: told once. */
  damageAt: number
  closed: boolean

  constructor(open: OpenCursor, stream: ReadStream, files: SharedFiles) {
    this.id = open.cursor
    this.stream = stream
    this.folder = open.folder
    this.log = new LogCursor(files, open.folder)
    this.decoder = new Amqp10Decoder(open.queue)
    const { filter, matchUnfiltered } = open
    this.matcher = filter === undefined ? undefined : new BloomMatcher(filter, matchUnfiltered)
    this.from = { kind: open.kind, value: open.value } as OffsetSpec
    this.allowed = 0
    this.bytesOut = 0
    this.listed = false
    this.inChunk = false
    this.dataAt = 0
    this.offset = 0
    this.batchDone = 0
    this.batchAt = 0
    this.toldOffset = -1
    this.damageAt = -1
    this.closed = false
  }
}

type Step = 'more' | 'end' | 'full'

export class StreamReaders {
  private readonly parts: StreamReadersParts
  private readonly assembler: ControlAssembler
  private readonly streams: Map<number, ReadStream>
  private readonly cursors: Map<number, ReadCursor>
  private readonly files: SharedFiles
  private readonly window: ReadWindow
  private readonly slabs: SlabWriter
  private busy: ReadCursor[]
  /** The last batch that was unpacked. */
  private batch:
    | { readonly fd: number; readonly position: number; readonly bytes: Buffer }
    | undefined
  private readonly extents: number[]

  constructor(parts: StreamReadersParts) {
    this.parts = parts
    this.assembler = new ControlAssembler()
    this.streams = new Map()
    this.cursors = new Map()
    const { disk } = parts
    const raw = { ...disk, open: (path: string) => disk.open(path, false) }
    this.files = new SharedFiles(raw, (fd) => {
      this.window.forget(fd)
      if (this.batch?.fd === fd) this.batch = undefined
    })
    this.window = new ReadWindow(
      (fd, bytes, at, size, position) => parts.disk.read(fd, bytes, at, size, position),
      windowBytes,
    )
    this.slabs = new SlabWriter(parts.arena, parts.slabOwner, parts.spareSlabs, (slab) =>
      parts.out.short(ReaderReply.seal, slab),
    )
    this.busy = []
    this.batch = undefined
    this.extents = []
  }

  /** Takes requests and reads on. 'waiting': there is work, but no slab for it; nobody will ring. */
  turn(): 'busy' | 'idle' | 'waiting' {
    const any = this.takeRequests()
    const { busy } = this
    this.busy = []
    let full = false
    let moved = false
    for (const cursor of busy) {
      cursor.listed = false
      if (cursor.closed) continue
      const step = this.step(cursor)
      if (step === 'end') continue
      if (step === 'full') full = true
      else moved = true
      this.list(cursor)
    }
    this.parts.out.flush()
    if (any || moved) return 'busy'
    return full ? 'waiting' : 'idle'
  }

  private takeRequests(): boolean {
    const { in: ring, out } = this.parts
    if (!ring.look()) return false
    const { words } = ring
    for (let i = ring.next(); i >= 0; i = ring.next()) {
      const type = (words[i] as number) & 255
      if (type === ReaderRequest.allow) {
        const cursor = this.cursors.get(words[i + 1] as number)
        if (cursor === undefined) continue
        cursor.allowed += words[i + 2] as number
        cursor.bytesOut -= words[i + 3] as number
        this.list(cursor)
      } else if (type === ReaderRequest.advanced) this.onAdvanced(words, i)
      else if (type === ReaderRequest.close) {
        this.close(words[i + 1] as number)
        out.short(ReaderReply.closed, words[i + 1] as number)
      } else {
        const payload = this.assembler.take(ring, i)
        if (payload !== undefined) this.open(unpack<OpenCursor>(payload))
      }
    }
    if (ring.release()) out.wake()
    return true
  }

  private open(open: OpenCursor): void {
    let stream = this.streams.get(open.stream)
    if (stream === undefined) {
      stream = { end: open.end, cursors: new Set() }
      this.streams.set(open.stream, stream)
    }
    stream.end = open.end
    const cursor = new ReadCursor(open, stream, this.files)
    stream.cursors.add(cursor)
    this.cursors.set(cursor.id, cursor)
  }

  private close(id: number): void {
    const cursor = this.cursors.get(id)
    if (cursor === undefined) return
    cursor.closed = true
    cursor.log.close()
    cursor.stream.cursors.delete(cursor)
    this.cursors.delete(id)
  }

  private onAdvanced(words: Int32Array, i: number): void {
    const stream = this.streams.get(words[i + 1] as number)
    if (stream === undefined || (words[i] as number) >>> 8 !== advancedWords) return
    stream.end = {
      next: numberAt(words, i + 2),
      lastChunk: numberAt(words, i + 4),
      base: numberAt(words, i + 6),
      position: numberAt(words, i + 8),
    }
    for (const cursor of stream.cursors) this.list(cursor)
  }

  private list(cursor: ReadCursor): void {
    if (cursor.listed || cursor.closed || cursor.allowed <= 0) return
    cursor.listed = true
    this.busy.push(cursor)
  }

  /** Reads on for one cursor, for a while. */
  private step(cursor: ReadCursor): Step {
    try {
      if (cursor.from !== undefined) this.attach(cursor)
      const share = Math.floor(bytesOutMax / Math.max(1, this.cursors.size))
      const bytesMax = Math.min(cursorBytesMax, Math.max(cursorBytesMin, share))
      for (let count = 0; count < entriesPerStep && cursor.allowed > 0; ) {
        if (cursor.bytesOut >= bytesMax) return 'end'
        if (!cursor.inChunk) {
          const found = this.nextChunk(cursor)
          if (found === 'end') return this.sayCaughtUp(cursor)
          if (found === 'skipped') {
            count += 16
            continue
          }
        }
        const before = cursor.allowed
        if (!this.readChunk(cursor, Math.min(cursor.allowed, entriesPerStep - count), bytesMax)) {
          return 'full'
        }
        count += Math.max(1, before - cursor.allowed)
      }
      return cursor.allowed > 0 ? 'more' : 'end'
    } catch (error) {
      return this.onTrouble(cursor, error)
    }
  }

  private attach(cursor: ReadCursor): void {
    if (cursor.from === undefined) return
    cursor.log.attach(cursor.from, cursor.stream.end)
    cursor.from = undefined
    cursor.inChunk = false
  }

  /** Retention may take a file between a look at the folder and the opening: looks again. */
  private onTrouble(cursor: ReadCursor, error: unknown): Step {
    const gone = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    if (!gone) {
      this.parts.onDamage(cursor.folder, cursor.log.position)
      return 'end'
    }
    cursor.from ??= { kind: 'first' }
    return 'full'
  }

  private nextChunk(cursor: ReadCursor): 'chunk' | 'skipped' | 'end' {
    const { log, matcher, stream } = cursor
    const found = log.look(stream.end, this.window)
    if (found === 'end') return 'end'
    if (found === 'damaged') {
      return this.leaveDamage(cursor) ? 'skipped' : 'end'
    }
    const { header } = log
    const isWanted =
      header.type === ChunkType.user && header.firstOffset + header.records > log.startOffset
    if (!isWanted || (matcher !== undefined && !this.isMatch(cursor, matcher))) {
      log.pass()
      return 'skipped'
    }
    if (!this.isSound(cursor)) return this.leaveDamage(cursor) ? 'skipped' : 'end'
    cursor.inChunk = true
    cursor.dataAt = 0
    cursor.offset = header.firstOffset
    return 'chunk'
  }

  /** Whether the data of the chunk at the cursor is what was written. */
  private isSound({ log, stream }: ReadCursor): boolean {
    const { window } = this
    const { header } = log
    const dataFrom = log.position + chunkHeaderBytes + header.bloomSize
    const limit = log.limit(stream.end)
    let crc = 0
    for (let done = 0; done < header.dataSize; ) {
      const size = Math.min(windowBytes, header.dataSize - done)
      const at = window.find(log.fd, dataFrom + done, size, limit)
      if (at < 0) return false
      crc = crc32(window.bytes.subarray(at, at + size), crc)
      done += size
    }
    return crc === header.crc
  }

  private isMatch({ log, stream }: ReadCursor, matcher: BloomMatcher): boolean {
    const size = log.header.bloomSize
    const position = log.position + chunkHeaderBytes
    const at = this.window.find(log.fd, position, size, log.limit(stream.end))
    return matcher.matches(this.window.bytes, at, at < 0 ? 0 : size)
  }

  // HOT: the loop over the messages of a chunk
  /** Sends up to `countMax` messages of the chunk. False when there is no room for more now. */
  private readChunk(cursor: ReadCursor, countMax: number, bytesMax: number): boolean {
    const { log, stream } = cursor
    const { header } = log
    const { window } = this
    const dataFrom = log.position + chunkHeaderBytes + header.bloomSize
    const limit = log.limit(stream.end)
    let count = 0
    while (cursor.dataAt < header.dataSize) {
      if (count >= countMax || cursor.bytesOut >= bytesMax) return true
      const position = dataFrom + cursor.dataAt
      const headAt = window.find(log.fd, position, 4, limit)
      if (headAt < 0) return this.leaveTorn(cursor)
      const head = viewOf(window.bytes).getUint32(headAt)
      if (head >= 0x80000000) {
        const sent = this.readBatch(cursor, position, limit, countMax - count, bytesMax)
        if (sent < 0) return false
        if (!cursor.inChunk) return true
        count += sent
        continue
      }
      if (cursor.offset >= log.startOffset) {
        const at = window.find(log.fd, position + 4, head, limit)
        if (at < 0) return this.leaveTorn(cursor)
        if (!this.send(cursor, window.bytes, at, head)) return false
        count++
      }
      cursor.dataAt += 4 + head
      cursor.offset++
    }
    log.pass()
    cursor.inChunk = false
    return true
  }

  /** An entry of the chunk cannot be read whole. */
  private leaveTorn(cursor: ReadCursor): true {
    this.leaveDamage(cursor)
    return true
  }

  /** There is no chunk at the cursor, or not what was written: it is left out. False: it is the end. */
  private leaveDamage(cursor: ReadCursor): boolean {
    const { log, stream } = cursor
    cursor.inChunk = false
    cursor.batchDone = 0
    cursor.batchAt = 0
    if (cursor.damageAt !== log.position) this.parts.onDamage(cursor.folder, log.position)
    cursor.damageAt = log.position
    return log.skipDamage(stream.end)
  }

  /**
   * Sends the messages of a batch, as many as may be; one that cannot be unpacked is told, and passed,
   * as RabbitMQ does with all that are packed. Returns how many were sent, -1 when there was no room:
   * the batch is gone on with then, from the offset reached.
   */
  private readBatch(
    cursor: ReadCursor,
    position: number,
    limit: number,
    countMax: number,
    bytesMax: number,
  ): number {
    const { log } = cursor
    const { window } = this
    const headAt = window.find(log.fd, position, batchHeaderBytes, limit)
    if (headAt < 0) {
      this.leaveTorn(cursor)
      return 0
    }
    const view = viewOf(window.bytes)
    const codec = (view.getUint8(headAt) >> 4) & 7
    const records = view.getUint16(headAt + 1)
    const plainSize = view.getUint32(headAt + 3)
    const size = view.getUint32(headAt + 7)
    const batchFrom = cursor.offset - cursor.batchDone
    const data = this.unpacked(cursor, position, size, codec, plainSize, limit)
    let sent = 0
    if (data === undefined) this.parts.onPacked(cursor.folder, batchFrom, records, codec)
    else {
      for (; cursor.batchDone < records && cursor.batchAt + 4 <= data.length; ) {
        if (sent >= countMax || cursor.bytesOut >= bytesMax) return sent
        const from = cursor.batchAt + 4
        const end = from + data.readUInt32BE(cursor.batchAt)
        if (end > data.length) break
        if (cursor.offset >= log.startOffset) {
          if (!this.send(cursor, data, from, end - from)) return -1
          sent++
        }
        cursor.batchDone++
        cursor.batchAt = end
        cursor.offset++
      }
    }
    cursor.offset = batchFrom + records
    cursor.batchDone = 0
    cursor.batchAt = 0
    if (data !== undefined && data.length > keptBatchBytesMax) this.batch = undefined
    cursor.dataAt += batchHeaderBytes + size
    return sent
  }

  /** The bytes of the batch at `position`; those of the last one that was packed are kept. */
  private unpacked(
    { log }: ReadCursor,
    position: number,
    size: number,
    codec: number,
    plainSize: number,
    limit: number,
  ): Buffer | undefined {
    const { window, batch } = this
    if (batch?.fd === log.fd && batch.position === position) return batch.bytes
    const at = window.find(log.fd, position + batchHeaderBytes, size, limit)
    if (at < 0) return undefined
    const bytes = unpackBatch(window.bytes.subarray(at, at + size), codec, plainSize)
    // What is not packed lies in the window, which moves on.
    if (codec === BatchCodec.none || bytes === undefined) return bytes
    this.batch = { fd: log.fd, position, bytes }
    return bytes
  }

  // HOT: once per message read
  /** Sends one message as an entry. False when there is no room; nothing happened then. */
  private send(cursor: ReadCursor, bytes: Buffer, at: number, size: number): boolean {
    const { decoder } = cursor
    const { slabs } = this
    const { arena, out } = this.parts
    decoder.prepare(bytes, at, size)
    const prefix = decoder.exrkSize + decoder.extraSize + decoder.propsSize
    const { bodySize } = decoder
    const body = decoder.joined ?? bytes
    const needed = slabs.slabsFor(prefix, bodySize)
    if (!out.hasRoom(readerEntryAt + entryWords + (needed + 1) * extentWords)) return false
    if (needed > 0 && needed > arena.slabCount - this.parts.spareSlabs - arena.used()) return false
    if (!slabs.takeSome(prefix, bodySize)) return false
    writeU64(viewOf(decoder.bytes), decoder.offsetAt, cursor.offset)
    const { slab, at: to } = slabs
    const first = slabs.size - prefix
    const target = arena.slab(slab)
    copyBytes(decoder.bytes, 0, target, to, prefix)
    if (first > 0) copyBytes(body, decoder.bodyAt, target, to + prefix, first)
    this.extents.length = 0
    if (first < bodySize && !this.copyRest(body, decoder.bodyAt + first, bodySize - first)) {
      slabs.close(slab)
      return false
    }
    this.announce(cursor, slab, to)
    cursor.allowed--
    cursor.bytesOut += prefix + bodySize
    return true
  }

  private copyRest(body: Buffer, from: number, size: number): boolean {
    const { slabs, extents } = this
    let done = 0
    while (done < size) {
      if (!slabs.takeSome(0, size - done)) {
        for (let i = 0; i < extents.length; i += extentWords) slabs.close(extents[i] as number)
        return false
      }
      extents.push(slabs.slab, slabs.at, slabs.size)
      copyBytes(body, from + done, this.parts.arena.slab(slabs.slab), slabs.at, slabs.size)
      done += slabs.size
    }
    return true
  }

  // HOT: once per message read
  private announce(cursor: ReadCursor, slab: number, at: number): void {
    const { decoder } = cursor
    const { out } = this.parts
    const { extents, slabs } = this
    const size = readerEntryAt + entryWords + extents.length
    const index = out.reserve(size)
    const { words } = out.ring
    words[index] = (size << 8) | ReaderReply.entry
    words[index + 1] = cursor.id
    words[index + 2] = lowWord(cursor.offset)
    words[index + 3] = highWord(cursor.offset)
    words[index + 4] = EntryFlag.headers
    words[index + 5] = slab
    words[index + 6] = at
    words[index + 7] = decoder.exrkSize
    words[index + 8] = decoder.extraSize
    words[index + 9] = decoder.propsSize
    words[index + 10] = decoder.bodySize
    words[index + 11] = extents.length / extentWords
    for (let i = 0; i < extents.length; i++) words[index + 12 + i] = extents[i] as number
    out.ring.commit(size)
    slabs.close(slab)
    for (let i = 0; i < extents.length; i += extentWords) slabs.close(extents[i] as number)
  }

  private sayCaughtUp(cursor: ReadCursor): Step {
    const { next } = cursor.stream.end
    if (cursor.toldOffset === next) return 'end'
    const { out } = this.parts
    const index = out.reserve(caughtUpWords)
    if (index < 0) return 'full'
    cursor.toldOffset = next
    const { words } = out.ring
    words[index] = (caughtUpWords << 8) | ReaderReply.caughtUp
    words[index + 1] = cursor.id
    words[index + 2] = lowWord(next)
    words[index + 3] = highWord(next)
    out.ring.commit(caughtUpWords)
    return 'end'
  }
}

function numberAt(words: Int32Array, at: number): number {
  return joinWords(words[at] as number, words[at + 1] as number)
}
