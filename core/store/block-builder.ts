// Builds one block of the log in memory: ops behind a header, then the checksum.

import { crc32 } from 'node:zlib'
import type { ByteView } from '../../shared/bytes/view.ts'
import { viewOf } from '../../shared/bytes/view.ts'
import {
  BlockWord,
  blockAlign,
  blockBytesMax,
  blockHeaderBytes,
  blockMagic,
  crcFrom,
  highWord,
  lowWord,
  paddedSize,
} from './wal-format.ts'

/** What a block says of itself (see wal-format.ts). */
export interface BlockHead {
  readonly file: number
  readonly sequence: number
  readonly generation: number
  readonly skipped: number
  readonly synced: number
  readonly first: number
}

/** Write ops into `words` (or `bytes`) at `at`, having asked for room, then move `at`. */
export class BlockBuilder {
  readonly words: Int32Array
  readonly bytes: Buffer
  /** Of `bytes`. */
  readonly view: ByteView
  /** Word behind the last op. */
  at: number

  private readonly salt: number

  /** `size`: bytes of the largest block that it builds. */
  constructor(salt: number, size: number = blockBytesMax) {
    this.salt = salt
    const memory = new ArrayBuffer(size + blockAlign)
    this.words = new Int32Array(memory, 0, size >> 2)
    this.bytes = Buffer.from(memory)
    this.view = viewOf(this.bytes)
    this.at = blockHeaderBytes >> 2
  }

  isEmpty(): boolean {
    return this.at === blockHeaderBytes >> 2
  }

  /** Words that still fit. */
  room(): number {
    return this.words.length - this.at
  }

  clear(): void {
    this.at = blockHeaderBytes >> 2
  }

  /**
   * Writes header, checksum and padding, and a sector of zeros behind. Returns the bytes of the block,
   * padding included.
   */
  finish({ file, sequence, generation, skipped, synced, first }: BlockHead): number {
    const { words, bytes } = this
    const size = this.at * 4
    words[BlockWord.magic] = blockMagic
    words[BlockWord.size] = size
    words[BlockWord.file] = file
    words[BlockWord.sequence] = lowWord(sequence)
    words[BlockWord.sequence + 1] = highWord(sequence)
    words[BlockWord.generation] = generation
    words[BlockWord.skipped] = skipped
    words[BlockWord.synced] = lowWord(synced)
    words[BlockWord.synced + 1] = highWord(synced)
    words[BlockWord.first] = lowWord(first)
    words[BlockWord.first + 1] = highWord(first)
    words[BlockWord.crc] = crc32(bytes.subarray(crcFrom, size), this.salt)
    const padded = paddedSize(size)
    bytes.fill(0, size, padded + blockAlign)
    return padded
  }
}
