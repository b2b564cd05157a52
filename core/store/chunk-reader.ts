// Takes the messages of one queue out of a piece of a segment that was read into a slab. They stay
// where they lie: rows point into the piece.

import type { Arena } from '../../shared/bus/arena.ts'
import type { SlabWriter } from '../../shared/bus/slab-writer.ts'
import type { MessageTable } from '../message/message-table.ts'
import { BlockReader } from './block-reader.ts'
import { EntryKeeper } from './entry-keeper.ts'
import {
  blockAlign,
  enqueueHeadWords,
  entryBytes,
  inParts,
  joinWords,
  Op,
  partHeadWords,
  targetCountOf,
  targetWordsOf,
} from './wal-format.ts'
import type { StoredRun, WalQueue } from './wal-queue.ts'

/** In place of a row: a part of the message is damaged. */
const notWhole = -2

export class ChunkReader {
  private readonly arena: Arena
  private readonly salt: number
  private readonly keeper: EntryKeeper
  /** The last piece held something that is no block. */
  damaged: boolean
  private slab: number
  private at: number

  constructor(arena: Arena, slabs: SlabWriter, messages: MessageTable, salt: number) {
    this.salt = salt
    this.arena = arena
    this.keeper = new EntryKeeper(arena, slabs, messages)
    this.damaged = false
    this.slab = 0
    this.at = 0
  }

  /**
   * Loads the messages of `queue` in the `size` bytes at (slab, at), which come from `run.offset` of
   * the segment; `asked` bytes were asked for. Moves the run's offset on. 'full': there was no slab for
   * a large message; 'end': nothing more in this segment.
   */
  read(
    queue: WalQueue,
    run: StoredRun,
    slab: number,
    at: number,
    size: number,
    asked: number,
  ): 'more' | 'full' | 'end' {
    this.damaged = false
    this.slab = slab
    this.at = at
    const bytes = this.arena.slab(slab).subarray(at, at + asked)
    const reader = new BlockReader(bytes, size, run.segment.generation, this.salt)
    let next = 0
    for (;;) {
      const state = reader.look(next)
      if (state !== 'valid') {
        const found = reader.findValid(next + blockAlign)
        if (found >= 0 || next === 0) this.damaged = true
        if (this.damaged) queue.parts = []
        if (found < 0) return this.stop(run, next, size, asked)
        reader.look(found)
      }
      const outcome = this.readBlock(queue, run, reader)
      if (outcome !== 'more') {
        if (outcome === 'full') run.offset += reader.at
        return outcome
      }
      next = reader.following()
    }
  }

  /** Nothing valid from `next` on in this piece. */
  private stop(run: StoredRun, next: number, size: number, asked: number): 'more' | 'end' {
    if (size < asked) return 'end'
    // A block that goes on behind the piece; or, at its beginning, a piece without any block.
    run.offset += next > 0 ? next : asked - (asked % blockAlign)
    return 'more'
  }

  private readBlock(queue: WalQueue, run: StoredRun, reader: BlockReader): 'more' | 'full' | 'end' {
    const { words } = reader
    const end = reader.opsTo()
    // Parts that came before this block.
    let held = queue.parts.length
    for (let w = reader.opsFrom(); w < end; w += (words[w] as number) >>> 8) {
      const type = (words[w] as number) & 255
      if (type === Op.enqueue) {
        if (!this.enqueue(queue, run, reader, w)) {
          queue.parts.length = held
          return 'full'
        }
        held = 0
        if (queue.loadedTo >= run.to) return 'end'
      } else if (type === Op.part) {
        const from = (w + partHeadWords) * 4
        queue.parts.push(Buffer.from(reader.bytes.subarray(from, from + (words[w + 1] as number))))
      } else return 'end'
    }
    return 'more'
  }

  // HOT: once per message read back
  /** False when there is no slab for it. */
  private enqueue(queue: WalQueue, run: StoredRun, reader: BlockReader, w: number): boolean {
    const { words } = reader
    const count = targetCountOf(words[w + 1] as number)
    const size = targetWordsOf(words[w + 1] as number)
    const end = w + ((words[w] as number) >>> 8)
    for (let t = end - count * size; t < end; t += size) {
      if (words[t] !== queue.queue) continue
      const position = joinWords(words[t + 1] as number, words[t + 2] as number)
      if (position < queue.loadedTo || position < run.from || position >= run.to) continue
      if (position < queue.owner.storedFrom() || position >= queue.owner.storedTo()) continue
      if (!queue.alive.has(position)) continue
      const row = this.keep(queue, reader, w, run.segment.runs.length > 1)
      if (row === notWhole) continue
      if (row < 0) return false
      queue.owner.load(row, position)
      queue.loadedTo = position + 1
    }
    if (queue.parts.length > 0) queue.parts = []
    return true
  }

  private keep(queue: WalQueue, reader: BlockReader, w: number, shared: boolean): number {
    if (((reader.words[w + 1] as number) & inParts) !== 0) {
      const source = Buffer.concat(queue.parts)
      if (source.length !== entryBytes(reader.words, w)) return notWhole
      return this.keeper.keep(reader.words, w, source, 0)
    }
    const at = (w + enqueueHeadWords) * 4
    // Where other queues' messages lie between, ours would hold a slab of mostly theirs.
    if (shared) return this.keeper.keep(reader.words, w, reader.bytes, at)
    return this.keeper.adopt(reader.words, w, this.slab, this.at + at)
  }
}
