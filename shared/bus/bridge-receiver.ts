// Stream to rings: finds room for entries in slabs of this side and writes the records again. When
// a ring or the arena is full it keeps the rest of its input and the socket is stopped.

import { assert } from '../assert.ts'
import type { Arena } from './arena.ts'
import type { BridgeMeta } from './bridge-wire.ts'
import { BridgeItem, entryAt } from './bridge-wire.ts'
import { unpack } from './control.ts'
import type { Lane } from './lane.ts'
import type { SlabWriter } from './slab-writer.ts'
import { entryWords, extentWords } from './wire.ts'

/** Where the records of one link go. */
export interface BridgeTarget {
  readonly lane: Lane
  readonly slabs: SlabWriter
  /** A record that refers to `slab` has just been committed. */
  onReference(slab: number): void
}

const Phase = { words: 0, entry: 1, commit: 2, meta: 3 } as const

/** The receiving half of a bridge. */
export class BridgeReceiver {
  private readonly arena: Arena
  private readonly targets: readonly BridgeTarget[]
  private readonly onMeta: (meta: BridgeMeta) => void
  private readonly words: Int32Array
  private readonly wordBytes: Buffer
  private chunks: Buffer[]
  private chunkAt: number
  private phase: number
  private target: BridgeTarget | undefined
  // Bytes of the item's words that are here and that it has.
  private have: number
  private need: number
  // The entry: (slab, offset, size) triples taken so far, bytes written to the last, bytes to come.
  private readonly extents: number[]
  private written: number
  private left: number
  private meta: Buffer

  constructor(arena: Arena, targets: readonly BridgeTarget[], onMeta: (meta: BridgeMeta) => void) {
    this.arena = arena
    this.targets = targets
    this.onMeta = onMeta
    // The longest record that a ring takes: a quarter of it.
    this.words = new Int32Array(64 * 1024)
    this.wordBytes = Buffer.from(this.words.buffer)
    this.chunks = []
    this.chunkAt = 0
    this.phase = Phase.words
    this.target = undefined
    this.have = 0
    this.need = 4
    this.extents = []
    this.written = 0
    this.left = 0
    this.meta = Buffer.alloc(0)
  }

  /** Takes a chunk of the stream. False when some of it must wait: call `proceed` before the next. */
  push(chunk: Buffer): boolean {
    this.chunks.push(chunk)
    return this.proceed()
  }

  /** Goes on with what is left. True when everything is used. */
  proceed(): boolean {
    for (;;) {
      if (this.phase === Phase.commit) {
        if (!this.commit()) return false
        this.begin()
      }
      const chunk = this.chunks[0]
      if (chunk === undefined) return true
      if (this.chunkAt === chunk.length) {
        this.chunks.shift()
        this.chunkAt = 0
      } else if (this.phase === Phase.words) this.takeWords(chunk)
      else if (this.phase === Phase.meta) this.takeMeta(chunk)
      else if (!this.takeEntry(chunk)) return false
    }
  }

  private begin(): void {
    this.phase = Phase.words
    this.have = 0
    this.need = 4
    this.extents.length = 0
  }

  private takeWords(chunk: Buffer): void {
    const size = Math.min(this.need - this.have, chunk.length - this.chunkAt)
    chunk.copy(this.wordBytes, this.have, this.chunkAt, this.chunkAt + size)
    this.have += size
    this.chunkAt += size
    if (this.have < this.need) return
    const first = this.words[0] as number
    const whole = (first >>> 8) * 4
    assert(whole >= 4 && whole <= this.wordBytes.length, 'an item of the bridge fits')
    this.need = whole
    if (this.have === whole) this.onWords(first & 255)
  }

  private onWords(type: number): void {
    const value = this.words[1] as number
    if (type === BridgeItem.shard) {
      this.target = this.targets[value]
      assert(this.target !== undefined, 'the bridge names a shard that exists')
      this.begin()
      return
    }
    if (type === BridgeItem.meta) {
      this.meta = Buffer.allocUnsafe(value)
      this.have = 0
      this.phase = Phase.meta
      return
    }
    const at = entryAt(type)
    this.left = 0
    if (at !== 0) for (let k = 2; k < 6; k++) this.left += this.words[at + k] as number
    this.written = 0
    this.phase = this.left === 0 ? Phase.commit : Phase.entry
  }

  private takeMeta(chunk: Buffer): void {
    const size = Math.min(this.meta.length - this.have, chunk.length - this.chunkAt)
    chunk.copy(this.meta, this.have, this.chunkAt, this.chunkAt + size)
    this.have += size
    this.chunkAt += size
    if (this.have < this.meta.length) return
    const meta = unpack<BridgeMeta>(this.meta)
    this.begin()
    this.onMeta(meta)
  }

  /** False when the arena has no room. */
  private takeEntry(chunk: Buffer): boolean {
    const { extents } = this
    let last = extents.length - extentWords
    if (last < 0 || this.written === extents[last + 2]) {
      if (!this.takeRoom()) return false
      last = extents.length - extentWords
    }
    const room = (extents[last + 2] as number) - this.written
    const size = Math.min(room, chunk.length - this.chunkAt)
    const slab = this.arena.slab(extents[last] as number)
    const at = (extents[last + 1] as number) + this.written
    chunk.copy(slab, at, this.chunkAt, this.chunkAt + size)
    this.chunkAt += size
    this.written += size
    this.left -= size
    if (this.left === 0) this.phase = Phase.commit
    return true
  }

  private takeRoom(): boolean {
    const slabs = (this.target as BridgeTarget).slabs
    let prefix = 0
    if (this.extents.length === 0) {
      const at = entryAt((this.words[0] as number) & 255)
      for (let k = 2; k < 5; k++) prefix += this.words[at + k] as number
    }
    if (!slabs.takeSome(prefix, this.left - prefix)) return false
    this.extents.push(slabs.slab, slabs.at, slabs.size)
    this.written = 0
    return true
  }

  /** Writes the record to its ring; false when that is full. */
  private commit(): boolean {
    const target = this.target as BridgeTarget
    const { words, extents } = this
    const count = (words[0] as number) >>> 8
    const type = (words[0] as number) & 255
    const further = Math.max(0, extents.length - extentWords)
    const index = target.lane.reserve(count + further)
    if (index < 0) return false
    const to = target.lane.ring.words
    for (let k = 0; k < count; k++) to[index + k] = words[k] as number
    if (extents.length > 0) {
      const at = entryAt(type)
      to[index] = ((count + further) << 8) | type
      to[index + at] = extents[0] as number
      to[index + at + 1] = extents[1] as number
      to[index + at + 6] = further / extentWords
      const head = at + entryWords
      const behind = index + head + further
      for (let k = head; k < count; k++) to[behind + k - head] = words[k] as number
      for (let k = 0; k < further; k++) to[index + head + k] = extents[extentWords + k] as number
    }
    target.lane.ring.commit(count + further)
    for (let k = 0; k < extents.length; k += extentWords) {
      const slab = extents[k] as number
      target.onReference(slab)
      target.slabs.close(slab)
    }
    return true
  }
}
