// Reads the bytes of an entry in order, over all its extents: to another shard's slabs, to the disk.

import type { Arena } from '../../shared/bus/arena.ts'
import { entryWords, extentWords } from '../../shared/bus/wire.ts'
import { copyViewed } from '../../shared/bytes/copy.ts'
import type { ByteView } from '../../shared/bytes/view.ts'
import { viewOf } from '../../shared/bytes/view.ts'

export class EntrySource {
  private readonly arena: Arena
  private words: Int32Array
  private nextExtent: number
  private view: ByteView
  private at: number
  private left: number

  constructor(arena: Arena) {
    this.arena = arena
    this.words = new Int32Array(0)
    this.nextExtent = 0
    this.view = viewOf(Buffer.alloc(0))
    this.at = 0
    this.left = 0
  }

  // HOT: once per persistent or forwarded message
  /** Turns to the entry of `size` bytes in all whose entry words are at `words[e..]`. */
  start(words: Int32Array, e: number, size: number): void {
    this.words = words
    this.nextExtent = e + entryWords
    this.view = this.arena.slabView(words[e] as number)
    this.at = words[e + 1] as number
    this.left = size
    const end = this.nextExtent + (words[e + 6] as number) * extentWords
    for (let x = this.nextExtent; x < end; x += extentWords) this.left -= words[x + 2] as number
  }

  /** Turns to an entry that lies in one piece at `bytes[at..]`. */
  startAt(bytes: Buffer, at: number, size: number): void {
    this.view = viewOf(bytes)
    this.at = at
    this.left = size
  }

  /** Leaves out the next `size` bytes, which lie in the first extent. */
  skip(size: number): void {
    this.at += size
    this.left -= size
  }

  // HOT: once per persistent or forwarded message
  /** Copies the next `size` bytes to `at` in `to`. */
  copyTo(to: ByteView, at: number, size: number): void {
    let done = 0
    while (done < size) {
      if (this.left === 0) this.turn()
      const piece = Math.min(this.left, size - done)
      copyViewed(this.view, this.at, to, at + done, piece)
      this.at += piece
      this.left -= piece
      done += piece
    }
  }

  private turn(): void {
    this.view = this.arena.slabView(this.words[this.nextExtent] as number)
    this.at = this.words[this.nextExtent + 1] as number
    this.left = this.words[this.nextExtent + 2] as number
    this.nextExtent += extentWords
  }
}
