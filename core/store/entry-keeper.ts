// Copies entries that come from files into slabs.

import type { Arena } from '../../shared/bus/arena.ts'
import type { SlabWriter } from '../../shared/bus/slab-writer.ts'
import { entryWords, extentsMax, extentWords } from '../../shared/bus/wire.ts'
import type { MessageTable } from '../message/message-table.ts'
import { inParts } from './wal-format.ts'

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
  private readonly arena: Arena
  private readonly slabs: SlabWriter
  private readonly messages: MessageTable
  private readonly entry: Int32Array
  private readonly rooms: number[]

  constructor(arena: Arena, slabs: SlabWriter, messages: MessageTable) {
    this.arena = arena
    this.slabs = slabs
    this.messages = messages
    this.entry = new Int32Array(entryWords + extentsMax * extentWords)
    this.rooms = []
  }

  keep(words: Int32Array, w: number, source: Buffer, from: number): number {
    const { entry } = this
    for (let i = 2; i < 6; i++) entry[i] = words[w + i] as number
    const prefix = (entry[2] as number) + (entry[3] as number) + (entry[4] as number)
    const copied = this.copy(source, from, prefix, words[w + 5] as number)
    const flags = (words[w + 1] as number) & 255 & ~inParts
    const row = copied ? this.messages.add(entry, 0, flags) : -1
    for (let i = 0; i < this.rooms.length; i++) this.slabs.close(this.rooms[i] as number)
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
    return this.messages.add(entry, 0, (words[w + 1] as number) & 255)
  }

  private copy(source: Buffer, from: number, prefix: number, body: number): boolean {
    const { entry, rooms, slabs } = this
    rooms.length = 0
    let extents = -1
    let left = prefix + body
    let at = from
    while (left > 0) {
      const first = extents < 0
      if (!slabs.takeSome(first ? prefix : 0, first ? body : left)) return false
      rooms.push(slabs.slab)
      const e = first ? 0 : entryWords + extents * extentWords
      entry[e] = slabs.slab
      entry[e + 1] = slabs.at
      if (!first) entry[e + 2] = slabs.size
      source.copy(this.arena.slab(slabs.slab), slabs.at, at, at + slabs.size)
      at += slabs.size
      left -= slabs.size
      extents++
    }
    entry[6] = extents
    return true
  }
}
