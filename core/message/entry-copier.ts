// Copies messages into slabs of a shard's own: from another shard's slabs, from files.

import type { Arena } from '../../shared/bus/arena.ts'
import type { SlabWriter } from '../../shared/bus/slab-writer.ts'
import { entryWords, extentsMax, extentWords } from '../../shared/bus/wire.ts'
import { copyViewed } from '../../shared/bytes/copy.ts'
import { viewOf } from '../../shared/bytes/view.ts'
import { EntrySource } from './entry-source.ts'

/** What lies before the body of an entry: keys, further keys and native part, properties. */
export interface EntryHead {
  readonly bytes: Uint8Array
  readonly exrkSize: number
  readonly extraSize: number
  readonly propsSize: number
}

/** Makes copies of entries; `words` are the entry words of the last one. */
export class EntryCopier {
  readonly words: Int32Array
  private readonly arena: Arena
  private readonly slabs: SlabWriter
  private readonly source: EntrySource
  private readonly taken: number[]

  constructor(arena: Arena, slabs: SlabWriter) {
    this.words = new Int32Array(entryWords + extentsMax * extentWords)
    this.arena = arena
    this.slabs = slabs
    this.source = new EntrySource(arena)
    this.taken = []
  }

  /**
   * Copies the entry at `source[e..]`. False when the arena is exhausted; nothing is kept then. After
   * true the copy's rooms are open until `close`.
   */
  copy(source: Int32Array, e: number): boolean {
    const prefix = (source[e + 2] as number) + (source[e + 3] as number) + (source[e + 4] as number)
    const body = source[e + 5] as number
    if (!this.open(prefix, body)) return false
    for (let i = 2; i < 6; i++) this.words[i] = source[e + i] as number
    this.source.start(source, e, prefix + body)
    this.source.copyTo(this.arena.slabView(this.slabs.slab), this.slabs.at, this.slabs.size)
    return this.copyRest(prefix + body - this.slabs.size)
  }

  /** As `copy`, of an entry whose bytes lie at `bytes[at..]`; its four sizes are at `sizes[s..]`. */
  copyFrom(bytes: Buffer, at: number, sizes: Int32Array, s: number): boolean {
    const { words } = this
    for (let i = 0; i < 4; i++) words[2 + i] = sizes[s + i] as number
    const prefix = (words[2] as number) + (words[3] as number) + (words[4] as number)
    const body = words[5] as number
    if (!this.open(prefix, body)) return false
    this.source.startAt(bytes, at, prefix + body)
    this.source.copyTo(this.arena.slabView(this.slabs.slab), this.slabs.at, this.slabs.size)
    return this.copyRest(prefix + body - this.slabs.size)
  }

  /** As `copy`, with another head in place of what lies before the body. */
  copyUnder(source: Int32Array, e: number, head: EntryHead): boolean {
    const old = (source[e + 2] as number) + (source[e + 3] as number) + (source[e + 4] as number)
    const prefix = head.exrkSize + head.extraSize + head.propsSize
    const body = source[e + 5] as number
    if (!this.open(prefix, body)) return false
    const { words } = this
    words[2] = head.exrkSize
    words[3] = head.extraSize
    words[4] = head.propsSize
    words[5] = body
    const to = this.arena.slabView(this.slabs.slab)
    copyViewed(viewOf(head.bytes), 0, to, this.slabs.at, prefix)
    this.source.start(source, e, old + body)
    this.source.skip(old)
    this.source.copyTo(to, this.slabs.at + prefix, this.slabs.size - prefix)
    return this.copyRest(prefix + body - this.slabs.size)
  }

  /** The copy is counted by whoever keeps it (or nobody does). */
  close(): void {
    for (const slab of this.taken) this.slabs.close(slab)
    this.taken.length = 0
  }

  /** Takes the first room; false when the arena is exhausted. */
  private open(prefix: number, body: number): boolean {
    const { words } = this
    this.taken.length = 0
    // Looked at first: a large body would be copied in vain, again and again, until there is room.
    const slabsLeft = this.arena.slabCount - this.arena.used()
    if (this.slabs.slabsFor(prefix, body) > slabsLeft) return false
    if (!this.slabs.takeSome(prefix, body)) return false
    words[0] = this.slabs.slab
    words[1] = this.slabs.at
    words[6] = 0
    this.taken.push(this.slabs.slab)
    return true
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
      this.source.copyTo(this.arena.slabView(this.slabs.slab), this.slabs.at, this.slabs.size)
      left -= this.slabs.size
    }
    return true
  }
}
