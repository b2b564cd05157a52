// Reads the bytes of an entry in order, over all its extents: to another shard's slabs, to the disk.

import type { Arena } from '../../shared/bus/arena.ts'
import { entryWords, extentWords } from '../../shared/bus/wire.ts'
import { copyBytes } from '../../shared/bytes/copy.ts'

export class EntrySource {
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
    this.bytes = Buffer.alloc(0)
    this.at = 0
    this.left = 0
  }

  // HOT: once per persistent or forwarded message
  /** Turns to the entry of `size` bytes in all whose entry words are at `words[e..]`. */
  start(words: Int32Array, e: number, size: number): void {
    this.words = words
    this.nextExtent = e + entryWords
    this.bytes = this.arena.slab(words[e] as number)
    this.at = words[e + 1] as number
    this.left = size
    const end = this.nextExtent + (words[e + 6] as number) * extentWords
    for (let x = this.nextExtent; x < end; x += extentWords) this.left -= words[x + 2] as number
  }

  /** Turns to an entry that lies in one piece at `bytes[at..]`. */
  startAt(bytes: Buffer, at: number, size: number): void {
    this.bytes = bytes
    this.at = at
    this.left = size
  }

  /** Leaves out the next `size` bytes, which lie in the first extent. */
  skip(size: number): void {
    this.at += size
    this.left -= size
  }

  // HOT: once per persistent or forwarded message
  /** Copies the next `size` bytes to `to[at..]`. */
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
