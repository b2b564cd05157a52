// One publisher: entries of publish frames go to slabs as they are, and their publishing ids wait here
// for the confirm. A record of the bus carries many entries, and is confirmed as one.

import type { Buffer } from 'node:buffer'
import type { ChannelSink, GatewayLink } from '../../../shared/bus/gateway-port.ts'
import { contiguousMax } from '../../../shared/bus/slab-writer.ts'
import { extentWords } from '../../../shared/bus/wire.ts'
import { copyBytes } from '../../../shared/bytes/copy.ts'
import { viewOf } from '../../../shared/bytes/view.ts'
import { batchHeaderBytes, readU64 } from '../../../shared/stream/chunk.ts'
import { IdQueue } from './id-queue.ts'

/** Entries of one record: no more than a chunk should have. */
const entriesMax = 2048

/** What becomes of a frame's entries. */
export interface PublisherOwner {
  /** `count` ids at `ids[at..]` are confirmed, or refused. */
  onConfirmed(publisher: Publisher, ids: Buffer, at: number, count: number, refused: boolean): void
  onEnded(publisher: Publisher): void
}

/** A record whose bytes lie in slabs and that found no room in the ring. */
interface Unsent {
  readonly entries: number
  readonly messages: number
  readonly slab: number
  readonly at: number
  readonly headSize: number
  readonly bodySize: number
  readonly extents: readonly number[]
}

export class Publisher implements ChannelSink {
  readonly id: number
  readonly stream: string
  readonly reference: string
  readonly link: GatewayLink
  /** Its channel on the bus. */
  slot: number
  ended: boolean
  readonly ids: IdQueue
  private readonly owner: PublisherOwner
  private readonly batchBytesMax: number
  private readonly arena: { slab(index: number): Buffer }
  /** Records of which the shard has not confirmed all. */
  private counts: number[]
  private unsent: Unsent | undefined
  private readonly extents: number[]

  constructor(
    id: number,
    stream: string,
    reference: string,
    link: GatewayLink,
    arena: { slab(index: number): Buffer },
    batchBytesMax: number,
    owner: PublisherOwner,
  ) {
    this.id = id
    this.stream = stream
    this.reference = reference
    this.link = link
    this.slot = 0
    this.ended = false
    this.ids = new IdQueue()
    this.owner = owner
    this.batchBytesMax = batchBytesMax
    this.arena = arena
    this.counts = []
    this.unsent = undefined
    this.extents = []
  }

  // HOT: once per publish frame
  /**
   * Publishes the entries of a frame at `bytes[at, end)`: `publishing id u64, entry` each, with
   * `filters` a filter value before the entry. Returns where it has come to: `end`, or less when there
   * is no room now (go on from there), or -1 - (that place) when the entry there is none.
   */
  publish(bytes: Buffer, at: number, end: number, filters: boolean): number {
    let from = at
    while (from < end) {
      if (!this.sendUnsent()) return from
      const next = this.publishSome(bytes, from, end, filters)
      if (next === from) return from
      if (next < 0) return next
      from = next
    }
    return end
  }

  /** Sends what found no room. True when nothing is left. */
  retry(): boolean {
    return this.sendUnsent()
  }

  // HOT: once per confirmed record
  onConfirm(count: number, nack: boolean): void {
    let entries = 0
    for (let i = 0; i < count; i++) entries += this.counts[i] ?? 0
    this.counts = count === this.counts.length ? [] : this.counts.slice(count)
    const { ids } = this
    this.owner.onConfirmed(this, ids.bytes, ids.at, entries, nack)
    ids.drop(entries)
  }

  onReturn(): void {}
  onError(): void {}
  onWant(): void {}
  onUnused(): void {}

  onPublisherEnded(): void {
    this.ended = true
    this.owner.onEnded(this)
  }

  /** Publishes what fits in one record. Returns as `publish`. */
  private publishSome(bytes: Buffer, from: number, end: number, filters: boolean): number {
    const view = viewOf(bytes)
    const named = this.reference !== ''
    let at = from
    let entries = 0
    let messages = 0
    let bodySize = 0
    let filterBytes = 0
    let lastId = -1
    while (at < end && entries < entriesMax) {
      const entryAt = this.entryAt(view, at, end, filters)
      const size = entryAt < 0 ? -1 : this.checkedSize(view, entryAt, end)
      if (size < 0) {
        if (entries === 0) return -1 - at
        break
      }
      const filterSize = entryAt - at - 8
      if (entries > 0) {
        const whole = bodySize + size + filterBytes + filterSize + 8 * (entries + 1)
        if (whole > recordBytesMax) break
      }
      if (named) {
        const id = readU64(view, at)
        if (id <= lastId) break
        lastId = id
      }
      bodySize += size
      filterBytes += filterSize
      entries++
      messages += view.getUint32(entryAt) >= 0x80000000 ? view.getUint16(entryAt + 1) : 1
      at = entryAt + size
    }
    const headSize = named || filters ? 4 + (named ? 8 * entries : 0) + filterBytes : 0
    return this.gather(bytes, from, at, entries, messages, headSize, bodySize, filters)
  }

  /** Where the entry begins whose publishing id is at `at`; -1 where the frame ends before. */
  private entryAt(view: DataView, at: number, end: number, filters: boolean): number {
    if (!filters) return at + 12 > end ? -1 : at + 8
    if (at + 10 > end) return -1
    const entryAt = at + 10 + Math.max(0, view.getInt16(at + 8))
    return entryAt + 4 > end ? -1 : entryAt
  }

  /** Bytes of the entry at `at`, -1 where it is none that may be. */
  private checkedSize(view: DataView, at: number, end: number): number {
    const isBatch = view.getUint32(at) >= 0x80000000
    if (isBatch && this.batchCount(view, at, end) === 0) return -1
    const size = sizeOfEntry(view, at)
    return at + size > end ? -1 : size
  }

  /** Messages in the batch at `at`; 0: it is none that may be. */
  private batchCount(view: DataView, at: number, end: number): number {
    if (at + batchHeaderBytes > end) return 0
    const codec = (view.getUint8(at) >> 4) & 7
    const count = view.getUint16(at + 1)
    const plainSize = view.getUint32(at + 3)
    if (codec > 4 || count * 4 > plainSize || plainSize > this.batchBytesMax) return 0
    return count
  }

  /** Copies entries, and what the shard needs beside them, to slabs. Returns as `publish`. */
  private gather(
    bytes: Buffer,
    from: number,
    to: number,
    entries: number,
    messages: number,
    headSize: number,
    bodySize: number,
    filters: boolean,
  ): number {
    const { slabs } = this.link
    if (!slabs.takeSome(headSize, bodySize)) return from
    const { slab, at } = slabs
    const left = headSize + bodySize - slabs.size
    if (left > 0 && !this.takeRest(left)) {
      slabs.close(slab)
      return from
    }
    const target = this.arena.slab(slab)
    if (headSize > 0) this.copyHead(bytes, from, to, entries, filters, target, at)
    this.copyEntries(bytes, from, to, filters, target, at + headSize)
    if (left > 0) this.spread(bytes, to - left)
    this.unsent = { entries, messages, slab, at, headSize, bodySize, extents: this.extents.slice() }
    this.extents.length = 0
    this.sendUnsent()
    return to
  }

  // HOT: the loop over the entries of a frame
  private copyEntries(
    bytes: Buffer,
    from: number,
    to: number,
    filters: boolean,
    target: Buffer,
    bodyAt: number,
  ): void {
    const view = viewOf(bytes)
    const { ids } = this
    let at = bodyAt
    for (let i = from; i < to; ) {
      ids.push(view, i)
      const entryAt = filters ? i + 10 + Math.max(0, view.getInt16(i + 8)) : i + 8
      const size = sizeOfEntry(view, entryAt)
      // What does not lie in the first slab is copied behind this.
      const room = Math.min(size, target.length - at)
      copyBytes(bytes, entryAt, target, at, room)
      at += room
      i = entryAt + size
    }
  }

  /** Publishing ids and filter values, as Record.streamPublish says. */
  private copyHead(
    bytes: Buffer,
    from: number,
    to: number,
    entries: number,
    filters: boolean,
    target: Buffer,
    at: number,
  ): void {
    const view = viewOf(bytes)
    const into = viewOf(target)
    const named = this.reference !== ''
    let idAt = at + 4
    let filterAt = named ? idAt + 8 * entries : idAt
    into.setUint32(at, filterAt - idAt)
    for (let i = from; i < to; ) {
      if (named) {
        copyBytes(bytes, i, target, idAt, 8)
        idAt += 8
      }
      let entryAt = i + 8
      if (filters) {
        const size = Math.max(0, view.getInt16(entryAt))
        into.setUint16(filterAt, size)
        copyBytes(bytes, entryAt + 2, target, filterAt + 2, size)
        filterAt += 2 + size
        entryAt += 2 + size
      }
      i = entryAt + sizeOfEntry(view, entryAt)
    }
  }

  /** Room for the rest of one large entry. */
  private takeRest(size: number): boolean {
    const { slabs } = this.link
    const { extents } = this
    let left = size
    while (left > 0) {
      if (!slabs.takeSome(0, left)) {
        for (let i = 0; i < extents.length; i += extentWords) slabs.close(extents[i] as number)
        extents.length = 0
        return false
      }
      extents.push(slabs.slab, slabs.at, slabs.size)
      left -= slabs.size
    }
    return true
  }

  /** What is at `from` goes to the further extents: they are of one large entry. */
  private spread(bytes: Buffer, from: number): void {
    const { extents } = this
    let at = from
    for (let i = 0; i < extents.length; i += extentWords) {
      const size = extents[i + 2] as number
      copyBytes(bytes, at, this.arena.slab(extents[i] as number), extents[i + 1] as number, size)
      at += size
    }
  }

  private sendUnsent(): boolean {
    const { unsent } = this
    if (unsent === undefined) return true
    const { entries, messages, slab, at, headSize, bodySize, extents } = unsent
    const sent = this.link.publishStream(
      this.slot,
      entries,
      messages,
      slab,
      at,
      headSize,
      bodySize,
      extents,
    )
    if (!sent) return false
    this.counts.push(entries)
    this.unsent = undefined
    return true
  }
}

/** Bytes of a record that has several entries: it lies in one slab, with a little to spare. */
const recordBytesMax: number = contiguousMax - 64

function sizeOfEntry(view: DataView, at: number): number {
  const head = view.getUint32(at)
  return head >= 0x80000000 ? batchHeaderBytes + view.getUint32(at + 7) : 4 + head
}
