// Copies entries that come from files into slabs.

import type { Arena } from '../../shared/bus/arena.ts'
import type { SlabWriter } from '../../shared/bus/slab-writer.ts'
import { entryWords } from '../../shared/bus/wire.ts'
import { EntryCopier } from '../message/entry-copier.ts'
import type { MessageTable } from '../message/message-table.ts'
import { inParts, timed } from './wal-format.ts'

/** Where replayed messages go: rows, each held by the queues that have the message. */
export interface MessageKeeper {
  /**
   * Keeps the entry of the enqueue op at `words[w..]`, whose bytes are at `source[from..]`, held once.
   * Returns its row, or -1 when there is no slab to copy it to.
   */
  keep(words: Int32Array, w: number, source: Buffer, from: number): number
  hold(row: number): void
  release(row: number): void
}

/** For who wants to know only what there is. */
export const keepNothing: MessageKeeper = { keep: () => 0, hold: () => {}, release: () => {} }

export class EntryKeeper implements MessageKeeper {
  private readonly messages: MessageTable
  private readonly copier: EntryCopier
  private readonly entry: Int32Array

  constructor(arena: Arena, slabs: SlabWriter, messages: MessageTable) {
    this.messages = messages
    this.copier = new EntryCopier(arena, slabs)
    this.entry = new Int32Array(entryWords)
  }

  keep(words: Int32Array, w: number, source: Buffer, from: number): number {
    const { copier } = this
    const copied = copier.copyFrom(source, from, words, w + 2)
    const row = copied ? this.messages.add(copier.words, 0, flagsOf(words, w)) : -1
    copier.close()
    return row
  }

  hold(row: number): void {
    this.messages.hold(row)
  }

  release(row: number): void {
    this.messages.release(row)
  }

  // HOT: once per message read back
  /** Keeps the entry of the enqueue op at `words[w..]`, whose bytes lie in a slab already. */
  adopt(words: Int32Array, w: number, slab: number, at: number): number {
    const { entry } = this
    entry[0] = slab
    entry[1] = at
    for (let i = 2; i < 6; i++) entry[i] = words[w + i] as number
    entry[6] = 0
    return this.messages.add(entry, 0, flagsOf(words, w))
  }
}

/** Flags of the message: those of the op itself left out. */
function flagsOf(words: Int32Array, w: number): number {
  return (words[w + 1] as number) & 255 & ~(inParts | timed)
}
