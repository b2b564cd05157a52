// Writes one segment: blocks of messages, then what runs of which queues they are, then the footer.

import { crc32 } from 'node:zlib'
import { BlockBuilder } from './block-builder.ts'
import type { Disk } from './disk.ts'
import type { Expiries } from './expiries.ts'
import { noteExpiry, writeExpiries } from './expiries.ts'
import {
  enqueueHeadWords,
  entryBytes,
  footerBytes,
  footerCrcAt,
  footerMagic,
  highWord,
  inParts,
  joinWords,
  lowWord,
  Op,
  partHeadWords,
  runWords,
  segmentBlockBytes,
  targetWordsOf,
  timedTargetWords,
} from './wal-format.ts'
import { levelKey } from './wal-queue.ts'

/** What a segment holds of one queue (or level): positions in [from, to), the first of them in the block at `offset`. */
export interface Run {
  readonly queue: number
  from: number
  to: number
  count: number
  offset: number
  /** Of their bodies; 0 where it was not counted. */
  bytes: number
}

/** So many targets always fit in a block, even behind an empty one. */
export const targetsPerOpMax = 4096

/** Bytes between two syncs: little enough that none of them holds the log up for long. */
const syncBytes: number = 4 * 1024 * 1024

export class SegmentWriter {
  readonly number: number
  /** By `levelKey`. */
  readonly runs: Map<number, Run>
  /** Bytes written. */
  at: number
  private readonly expiries: Map<number, Expiries>
  private readonly disk: Disk
  private readonly path: string
  private readonly generation: number
  private readonly salt: number
  private readonly block: BlockBuilder
  /** -1 once closed: the number may be another file's then. */
  private fd: number
  private sequence: number
  /** Offset of the block in which the parts of the next message begin; -1 when it has none. */
  private partsOffset: number
  private unsynced: number

  /** Writes a new file at `path`. */
  constructor(
    disk: Disk,
    path: string,
    salt: number,
    { generation, number }: { readonly generation: number; readonly number: number },
  ) {
    this.disk = disk
    this.path = path
    this.salt = salt
    this.generation = generation
    this.number = number
    this.block = new BlockBuilder(salt, segmentBlockBytes)
    this.fd = disk.open(path, true)
    this.runs = new Map()
    this.expiries = new Map()
    this.at = 0
    this.sequence = 1
    this.partsOffset = -1
    this.unsynced = 0
  }

  /** Copies the op without its targets from `words[w, end)`; `targets` are those it has here (targetsPerOpMax at most). */
  addEnqueue(words: Int32Array, w: number, end: number, targets: readonly number[]): void {
    const body = end - w
    const size = body + targets.length
    if (this.block.room() < size) this.flush()
    if (this.block.room() < size) {
      this.addInParts(words, w, targets)
      return
    }
    const { block } = this
    const to = block.words
    const at = block.at
    for (let i = 0; i < body; i++) to[at + i] = words[w + i] as number
    this.putTargets(at, at + body, targets)
  }

  /** Copies part op bytes; the enqueue op that they belong to follows. */
  addPart(bytes: Buffer, from: number, size: number): void {
    for (let done = 0; done < size; ) {
      if (this.block.room() <= partHeadWords) this.flush()
      const { block } = this
      if (this.partsOffset < 0) this.partsOffset = this.at
      const piece = Math.min(size - done, (block.room() - partHeadWords) * 4)
      const opWords = partHeadWords + ((piece + 3) >> 2)
      block.words[block.at] = (opWords << 8) | Op.part
      block.words[block.at + 1] = piece
      block.words[block.at + opWords - 1] = 0
      bytes.copy(block.bytes, (block.at + partHeadWords) * 4, from + done, from + done + piece)
      block.at += opWords
      done += piece
    }
  }

  /** Writes the rest, makes it durable, closes. */
  finish(): void {
    this.flush()
    const index = this.at
    for (const run of this.runs.values()) this.addRun(run)
    for (const [queue, expiries] of this.expiries) {
      writeExpiries(queue, expiries, this.block, () => this.flush())
    }
    this.flush()
    const footer = Buffer.alloc(footerBytes)
    footer.writeInt32LE(footerMagic, 0)
    footer.writeInt32LE(this.generation, 4)
    footer.writeInt32LE(lowWord(index), 8)
    footer.writeInt32LE(highWord(index), 12)
    footer.writeInt32LE(this.at - index, 16)
    footer.writeUInt32LE(crc32(footer.subarray(0, footerCrcAt), this.salt), footerCrcAt)
    this.disk.write(this.fd, footer, footerBytes, this.at)
    this.at += footerBytes
    this.disk.sync(this.fd)
    this.close()
  }

  /** Closes without finishing, and removes the file. */
  abandon(): void {
    this.close()
    this.disk.remove(this.path)
  }

  private close(): void {
    const { fd } = this
    this.fd = -1
    if (fd >= 0) this.disk.close(fd)
  }

  private addInParts(words: Int32Array, w: number, targets: readonly number[]): void {
    const head = enqueueHeadWords
    const size = entryBytes(words, w)
    const bytes = Buffer.from(words.buffer, words.byteOffset, words.byteLength)
    this.addPart(bytes, (w + head) * 4, size)
    if (this.block.room() < head + targets.length) this.flush()
    const { block } = this
    const at = block.at
    for (let i = 0; i < head; i++) block.words[at + i] = words[w + i] as number
    block.words[at + 1] = (words[w + 1] as number) | inParts
    this.putTargets(at, at + head, targets)
  }

  /** Ends the enqueue op at `op` with its targets. */
  private putTargets(op: number, at: number, targets: readonly number[]): void {
    const to = this.block.words
    const each = targetWordsOf(to[op + 1] as number)
    const bytes = to[op + 5] as number
    for (let i = 0; i < targets.length; i++) to[at + i] = targets[i] as number
    for (let i = 0; i < targets.length; i += each) {
      const queue = targets[i] as number
      const position = joinWords(targets[i + 1] as number, targets[i + 2] as number)
      this.noteRun(queue, position, bytes)
      if (each !== timedTargetWords) continue
      const time = joinWords(targets[i + 3] as number, targets[i + 4] as number)
      if (time !== 0) noteExpiry(this.expiries, queue, position, time)
    }
    this.partsOffset = -1
    const end = at + targets.length
    to[op] = ((end - op) << 8) | Op.enqueue
    to[op + 1] = ((to[op + 1] as number) & 255) | ((targets.length / each) << 8)
    this.block.at = end
  }

  private noteRun(queue: number, position: number, bytes: number): void {
    const key = levelKey(queue, position)
    const run = this.runs.get(key)
    if (run === undefined) {
      const offset = this.partsOffset < 0 ? this.at : this.partsOffset
      this.runs.set(key, { queue, from: position, to: position + 1, count: 1, offset, bytes })
      return
    }
    run.bytes += bytes
    run.from = Math.min(run.from, position)
    run.to = Math.max(run.to, position + 1)
    run.count++
  }

  private addRun({ queue, from, to, count, offset, bytes }: Run): void {
    if (this.block.room() < runWords) this.flush()
    const { block } = this
    const op = [lowWord(from), highWord(from), lowWord(to), highWord(to), count]
    block.words[block.at] = (runWords << 8) | Op.run
    block.words[block.at + 1] = queue
    block.words.set(op, block.at + 2)
    block.words[block.at + 7] = lowWord(offset)
    block.words[block.at + 8] = highWord(offset)
    block.words[block.at + 9] = lowWord(bytes)
    block.words[block.at + 10] = highWord(bytes)
    block.at += runWords
  }

  private flush(): void {
    const { block } = this
    if (block.isEmpty()) return
    const { generation, sequence } = this
    const rest = { skipped: 0, synced: 0, first: 1 }
    const size = block.finish({ file: generation, sequence, generation, ...rest })
    this.disk.write(this.fd, block.bytes, size, this.at)
    this.at += size
    this.sequence++
    this.unsynced += size
    block.clear()
    if (this.unsynced < syncBytes) return
    this.disk.sync(this.fd)
    this.unsynced = 0
  }
}
