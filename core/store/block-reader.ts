// Finds the blocks of one file in its bytes, and says what lies between them.

import { crc32 } from 'node:zlib'
import {
  BlockWord,
  blockAlign,
  blockBytesMax,
  blockHeaderBytes,
  blockMagic,
  crcFrom,
  joinWords,
  paddedSize,
} from './wal-format.ts'

/** What is at a place where a block could begin. */
export type BlockState =
  /** A whole block of this file. */
  | 'valid'
  /** Zeros, or a block that the file held before it was recycled. */
  | 'unused'
  /** Neither. */
  | 'broken'

/** `bytes` (at offset 0 of its buffer) must hold whole sectors of the file from its start. */
export class BlockReader {
  readonly words: Int32Array
  readonly bytes: Buffer
  /** Bytes of the file. */
  readonly size: number
  /** Where the block that `look` found begins. */
  at: number
  private readonly file: number
  private readonly salt: number

  constructor(bytes: Buffer, size: number, file: number, salt: number) {
    this.salt = salt
    this.bytes = bytes
    this.words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2)
    this.size = size
    this.file = file
    this.at = 0
  }

  /** Moves to offset `at` and says what is there. */
  look(at: number): BlockState {
    this.at = at
    const w = at >> 2
    if (at + blockHeaderBytes > this.size) return 'unused'
    if (this.words[w + BlockWord.magic] !== blockMagic)
      return this.isBlank(at) ? 'unused' : 'broken'
    const size = this.words[w + BlockWord.size] as number
    const file = this.words[w + BlockWord.file] as number
    if (size < blockHeaderBytes || size > blockBytesMax || at + size > this.size) return 'broken'
    const crc = crc32(this.bytes.subarray(at + crcFrom, at + size), this.salt) | 0
    if (crc !== this.words[w + BlockWord.crc]) return file < this.file ? 'unused' : 'broken'
    if (file !== this.file) return 'unused'
    return this.isWhole() ? 'valid' : 'broken'
  }

  /** Whether the ops of the block follow one another to its end: one that goes nowhere would be read forever. */
  private isWhole(): boolean {
    const { words } = this
    const end = this.opsTo()
    let w = this.opsFrom()
    while (w < end) {
      const size = (words[w] as number) >>> 8
      if (size === 0) return false
      w += size
    }
    return w === end
  }

  /** Offset of the next valid block from `at` on, or -1. */
  findValid(at: number): number {
    for (let next = at; next + blockHeaderBytes <= this.size; next += blockAlign) {
      const w = next >> 2
      if (this.words[w + BlockWord.magic] !== blockMagic) continue
      if (this.words[w + BlockWord.file] !== this.file) continue
      if (this.look(next) === 'valid') return next
    }
    return -1
  }

  /** Sequence number of the block at `at`. */
  sequence(): number {
    return this.long(BlockWord.sequence)
  }

  /** All blocks below this sequence number were synced before this one was written. */
  synced(): number {
    return this.long(BlockWord.synced)
  }

  /** The oldest sequence number that the log needed when this block was written. */
  first(): number {
    return this.long(BlockWord.first)
  }

  /** Sequence numbers left out before the block, on purpose. */
  skipped(): number {
    return this.words[(this.at >> 2) + BlockWord.skipped] as number
  }

  generation(): number {
    return this.words[(this.at >> 2) + BlockWord.generation] as number
  }

  /** First word of the block's ops, and the word behind the last. */
  opsFrom(): number {
    return (this.at + blockHeaderBytes) >> 2
  }

  opsTo(): number {
    return (this.at + (this.words[(this.at >> 2) + BlockWord.size] as number)) >> 2
  }

  /** Where the next block would begin. */
  following(): number {
    return this.at + paddedSize(this.words[(this.at >> 2) + BlockWord.size] as number)
  }

  private long(word: number): number {
    const w = (this.at >> 2) + word
    return joinWords(this.words[w] as number, this.words[w + 1] as number)
  }

  private isBlank(at: number): boolean {
    const end = Math.min(at + blockAlign, this.size) >> 2
    for (let w = at >> 2; w < end; w++) if (this.words[w] !== 0) return false
    return true
  }
}
