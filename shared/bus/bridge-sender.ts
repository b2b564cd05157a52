// Rings to stream: copies records and their entries into blocks and hands them to a socket. When the
// socket is full it stops, in the midst of an entry if need be, and the rings fill up behind it.

import type { Arena } from './arena.ts'
import type { BridgeMeta } from './bridge-wire.ts'
import { BridgeItem, bridgeItemWords, entryAt } from './bridge-wire.ts'
import { pack } from './control.ts'
import type { Doorbell } from './doorbell.ts'
import type { RingReader } from './ring.ts'
import { entryWords, extentWords, Record } from './wire.ts'

/** The part of a `net.Socket` that a bridge needs. */
export interface BridgeSocket {
  write(bytes: Uint8Array, onWritten: () => void): boolean
  pause(): unknown
  resume(): unknown
  readonly writableLength: number
}

/** One ring to read, and the bell of its writer. */
export interface BridgeSource {
  readonly reader: RingReader
  readonly bell: Doorbell
}

/** Larger than any record, so that a record's words always fit in one block. */
const blockBytes = 128 * 1024
/**
 * Bytes in the socket's queue above which the rings are read no further: a few blocks. Window given
 * back and acknowledgements stand in the same queue, so a long one costs throughput the other way.
 */
const queueBytesMax = 512 * 1024
const blocksKept = 8

/** The sending half of a bridge. */
export class BridgeSender {
  private readonly socket: BridgeSocket
  private readonly arena: Arena
  private readonly sources: readonly BridgeSource[]
  /** A slab that the ring's writer has sealed: everything in it has been copied. */
  private readonly onSeal: (source: number, slab: number) => void
  /** The socket is full and `pump` stops; later, with false: it has room again. */
  private readonly onStall: (stalled: boolean) => void
  private readonly metas: Uint8Array[]
  private readonly scratch: Int32Array
  private readonly scratchBytes: Buffer
  private readonly blocks: Buffer[]
  private block: Buffer
  private at: number
  private source: number
  private announced: number
  // What of an entry is still to copy: (slab, offset, size) triples, and the one it stands at.
  private readonly pieces: number[]
  private piece: number
  private stalled: boolean

  constructor(
    socket: BridgeSocket,
    arena: Arena,
    sources: readonly BridgeSource[],
    onSeal: (source: number, slab: number) => void,
    onStall: (stalled: boolean) => void,
  ) {
    this.socket = socket
    this.arena = arena
    this.sources = sources
    this.onSeal = onSeal
    this.onStall = onStall
    this.metas = []
    this.scratch = new Int32Array(32)
    this.scratchBytes = Buffer.from(this.scratch.buffer)
    this.blocks = []
    this.block = Buffer.allocUnsafeSlow(blockBytes)
    this.at = 0
    this.source = 0
    this.announced = -1
    this.pieces = []
    this.piece = 0
    this.stalled = false
  }

  /** Sends what the rings hold now, as far as the socket takes it. */
  pump(): void {
    for (let n = 0; n < this.sources.length && !this.full(); n++) {
      this.drain(this.sources[this.source] as BridgeSource)
      // An entry that stopped midway goes on first; otherwise no ring comes twice in a row.
      if (this.pieces.length > 0) break
      this.source = (this.source + 1) % this.sources.length
    }
    this.emit()
  }

  /** Sends a message of the bridge itself as soon as no entry is torn by it. */
  meta(meta: BridgeMeta): void {
    this.metas.push(pack(meta))
    if (this.pieces.length === 0) this.sendMetas()
  }

  private sendMetas(): void {
    for (const bytes of this.metas) {
      this.item(BridgeItem.meta, bytes.length)
      this.emit()
      this.socket.write(bytes, this.onWritten)
    }
    this.metas.length = 0
  }

  /** Reads one ring until it is empty or the socket is full. */
  private drain(source: BridgeSource): void {
    if (!this.copyEntry()) return
    const { reader } = source
    const words = reader.words
    reader.look()
    for (let i = reader.next(); i >= 0; i = reader.next()) {
      this.record(reader, words, i)
      // The ring is not released before its last entry is copied: then its slab may be used again.
      if (!this.copyEntry()) return
      if (this.full()) break
    }
    if (reader.release()) source.bell.ring()
  }

  private record(reader: RingReader, words: Int32Array, i: number): void {
    const first = words[i] as number
    const type = first & 255
    if (type === Record.seal) {
      this.onSeal(this.source, words[i + 1] as number)
      return
    }
    if (this.announced !== this.source) {
      this.announced = this.source
      this.item(BridgeItem.shard, this.source)
    }
    const at = entryAt(type)
    if (at === 0) {
      this.copy(reader.bytes, i * 4, (i + (first >>> 8)) * 4)
      return
    }
    const extents = words[i + at + 6] as number
    const head = at + entryWords
    // What follows the extents follows the entry's words here: they are made anew on the other side.
    const tail = (first >>> 8) - head - extents * extentWords
    const tailAt = i + (first >>> 8) - tail
    const count = head + tail
    for (let k = 1; k < head; k++) this.scratch[k] = words[i + k] as number
    for (let k = 0; k < tail; k++) this.scratch[head + k] = words[tailAt + k] as number
    this.scratch[0] = (count << 8) | type
    this.scratch[at + 6] = 0
    this.copy(this.scratchBytes, 0, count * 4)
    this.gather(words, i + at, extents)
  }

  /** Notes the pieces of the entry whose words begin at `e`. */
  private gather(words: Int32Array, e: number, extents: number): void {
    let size = 0
    for (let k = 2; k < 6; k++) size += words[e + k] as number
    const pieces = this.pieces
    pieces.push(words[e] as number, words[e + 1] as number, size)
    for (let k = 0; k < extents * extentWords; k++) {
      const word = words[e + entryWords + k] as number
      pieces.push(word)
      if (k % extentWords === 2) pieces[2] = (pieces[2] as number) - word
    }
  }

  /** Copies the rest of the entry. False when the socket is full before its end. */
  private copyEntry(): boolean {
    const { pieces } = this
    if (pieces.length === 0) return true
    while (this.piece < pieces.length) {
      const offset = pieces[this.piece + 1] as number
      const left = pieces[this.piece + 2] as number
      if (left === 0) {
        this.piece += 3
        continue
      }
      if (this.at === blockBytes) {
        this.emit()
        if (this.full()) return false
      }
      const size = Math.min(left, blockBytes - this.at)
      const slab = this.arena.slab(pieces[this.piece] as number)
      slab.copy(this.block, this.at, offset, offset + size)
      this.at += size
      pieces[this.piece + 1] = offset + size
      pieces[this.piece + 2] = left - size
    }
    pieces.length = 0
    this.piece = 0
    if (this.metas.length > 0) this.sendMetas()
    return true
  }

  /** True while the socket's queue is too long. */
  private full(): boolean {
    if (this.socket.writableLength < queueBytesMax) return false
    if (!this.stalled) {
      this.stalled = true
      this.onStall(true)
    }
    return true
  }

  private item(type: number, value: number): void {
    this.scratch[0] = (bridgeItemWords << 8) | type
    this.scratch[1] = value
    this.copy(this.scratchBytes, 0, bridgeItemWords * 4)
  }

  private copy(from: Buffer, start: number, end: number): void {
    if (blockBytes - this.at < end - start) this.emit()
    from.copy(this.block, this.at, start, end)
    this.at += end - start
  }

  private emit(): void {
    if (this.at === 0) return
    const block = this.block
    const bytes = block.subarray(0, this.at)
    this.at = 0
    this.block = this.blocks.pop() ?? Buffer.allocUnsafeSlow(blockBytes)
    this.socket.write(bytes, () => {
      if (this.blocks.length < blocksKept) this.blocks.push(block)
      this.onWritten()
    })
  }

  private readonly onWritten = (): void => {
    if (!this.stalled || this.socket.writableLength >= queueBytesMax) return
    this.stalled = false
    this.onStall(false)
  }
}
