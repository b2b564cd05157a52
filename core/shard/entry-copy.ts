// Copies a forwarded message from the other shard's slabs into this shard's own.

import type { Arena } from '../../shared/bus/arena.ts'
import type { SlabWriter } from '../../shared/bus/slab-writer.ts'
import { entryWords, extentWords } from '../../shared/bus/wire.ts'
import { copyBytes } from '../../shared/bytes/copy.ts'

/** Reads an entry's bytes in order across its extents. */
class EntryReader {
  private readonly arena: Arena
  private words: Int32Array
  private nextExtent: number
  private bytes: Buffer
  private at: number
  private left: number

  constructor(arena: Arena) {
    this.arena = arena
    this.words = new Int32Array(0)
    this.nextExtent = 0
    this.bytes = arena.slab(0)
    this.at = 0
    this.left = 0
  }

  start(words: Int32Array, e: number, firstSize: number): void {
    this.words = words
    this.nextExtent = e + entryWords
    this.bytes = this.arena.slab(words[e] as number)
    this.at = words[e + 1] as number
    this.left = firstSize
  }

  copyTo(to: Buffer, at: number, size: number): void {
    let done = 0
    while (done < size) {
      if (this.left === 0) this.turn()
      const piece = Math.min(this.left, size - done)
      copyBytes(this.bytes, this.at, to, at + done, piece)
      this.at += piece
      this.left -= piece
      done += piece
    }
  }

  private turn(): void {
    this.bytes = this.arena.slab(this.words[this.nextExtent] as number)
    this.at = this.words[this.nextExtent + 1] as number
    this.left = this.words[this.nextExtent + 2] as number
    this.nextExtent += extentWords
  }
}

/** Makes copies of entries; `words` are the entry words of the last one. */
export class EntryCopier {
  readonly words: Int32Array
  private readonly arena: Arena
  private readonly slabs: SlabWriter
  private readonly reader: EntryReader
  private readonly taken: number[]

  constructor(arena: Arena, slabs: SlabWriter) {
    this.words = new Int32Array(entryWords + 260 * extentWords)
    this.arena = arena
    this.slabs = slabs
    this.reader = new EntryReader(arena)
    this.taken = []
  }

  /**
   * Copies the entry at `source[e..]`. False when the arena is exhausted; nothing is kept then. After
   * true the copy's rooms are open until `close`.
   */
  copy(source: Int32Array, e: number): boolean {
    const prefix = (source[e + 2] as number) + (source[e + 3] as number) + (source[e + 4] as number)
    const body = source[e + 5] as number
    this.taken.length = 0
    if (!this.slabs.takeSome(prefix, body)) return false
    const { words } = this
    for (let i = 2; i < 6; i++) words[i] = source[e + i] as number
    words[0] = this.slabs.slab
    words[1] = this.slabs.at
    words[6] = 0
    this.taken.push(this.slabs.slab)
    this.reader.start(source, e, firstSizeOf(source, e, prefix + body))
    this.reader.copyTo(this.arena.slab(this.slabs.slab), this.slabs.at, this.slabs.size)
    return this.copyRest(prefix + body - this.slabs.size)
  }

  /** The copy is counted by whoever keeps it (or nobody does). */
  close(): void {
    for (const slab of this.taken) this.slabs.close(slab)
    this.taken.length = 0
  }

  private copyRest(size: number): boolean {
    let left = size
    while (left > 0) {
      if (!this.slabs.takeSome(0, left)) {
        this.close()
        return false
      }
      const at = entryWords + (this.words[6] as number) * extentWords
      this.words[at] = this.slabs.slab
      this.words[at + 1] = this.slabs.at
      this.words[at + 2] = this.slabs.size
      this.words[6] = (this.words[6] as number) + 1
      this.taken.push(this.slabs.slab)
      this.reader.copyTo(this.arena.slab(this.slabs.slab), this.slabs.at, this.slabs.size)
      left -= this.slabs.size
    }
    return true
  }
}

function firstSizeOf(words: Int32Array, e: number, whole: number): number {
  let size = whole
  const extents = words[e + 6] as number
  for (let i = 0; i < extents; i++) size -= words[e + entryWords + i * extentWords + 2] as number
  return size
}
