// Deliveries of one session that wait for a disposition: delivery-id -> (link, shard, bus delivery id).
//
// A circular table of columns in delivery-id order. Ids that were settled out of order, or sent
// settled, leave holes, which are squeezed out before the table grows: its size follows what is
// outstanding, not its span.

import { distance } from './serial-number.ts'

const firstCapacity = 64
const hole = -1

/** The fields of an entry are read by the place that `firstPlace` and `nextPlace` give. */
export class UnsettledMap {
  /** Deliveries outstanding. */
  live: number
  private ids: Uint32Array
  private handles: Int32Array
  /** The shard, or `hole`. */
  private shards: Int32Array
  private busIds: Int32Array
  private head: number
  // Entries from head, holes included.
  private size: number

  constructor() {
    this.live = 0
    this.ids = new Uint32Array(0)
    this.handles = new Int32Array(0)
    this.shards = new Int32Array(0)
    this.busIds = new Int32Array(0)
    this.head = 0
    this.size = 0
  }

  // HOT: once per delivery that is not settled
  /** Adds a delivery-id ahead of all before. */
  add(id: number, handle: number, shard: number, busId: number): void {
    if (this.size === this.ids.length) this.makeRoom()
    const slot = (this.head + this.size) & (this.ids.length - 1)
    this.ids[slot] = id
    this.handles[slot] = handle
    this.shards[slot] = shard
    this.busIds[slot] = busId
    this.size++
    this.live++
  }

  /** The id of the oldest entry, to begin a walk over all with `firstPlace`. */
  oldest(): number {
    return this.size === 0 ? 0 : (this.ids[this.head] as number)
  }

  // HOT: once per disposition
  /** Place of the first outstanding delivery from `id` on; -1 for none. */
  firstPlace(id: number): number {
    if (this.live === 0) return -1
    const mask = this.ids.length - 1
    let low = 0
    let high = this.size
    // Most often it is the first of all.
    if (distance(this.ids[this.head] as number, id) >= 0) high = 0
    while (low < high) {
      const middle = (low + high) >> 1
      if (distance(this.ids[(this.head + middle) & mask] as number, id) < 0) low = middle + 1
      else high = middle
    }
    return this.liveFrom(low)
  }

  /** The next outstanding delivery behind `place`; -1 for none. */
  nextPlace(place: number): number {
    return this.liveFrom(place + 1)
  }

  idAt(place: number): number {
    return this.ids[this.slot(place)] as number
  }

  handleAt(place: number): number {
    return this.handles[this.slot(place)] as number
  }

  shardAt(place: number): number {
    return this.shards[this.slot(place)] as number
  }

  busIdAt(place: number): number {
    return this.busIds[this.slot(place)] as number
  }

  /** Takes the delivery at `place` out. Places stay what they are until `trim`. */
  take(place: number): void {
    this.shards[this.slot(place)] = hole
    this.live--
  }

  /** Gives up holes at both ends, after a run of `take`. */
  trim(): void {
    const mask = this.ids.length - 1
    while (this.size > 0 && this.shards[this.head] === hole) {
      this.head = (this.head + 1) & mask
      this.size--
    }
    while (this.size > 0 && this.shards[(this.head + this.size - 1) & mask] === hole) this.size--
  }

  private slot(place: number): number {
    return (this.head + place) & (this.ids.length - 1)
  }

  private liveFrom(place: number): number {
    for (let i = place; i < this.size; i++) if (this.shards[this.slot(i)] !== hole) return i
    return -1
  }

  private makeRoom(): void {
    const old = this.ids.length
    const roomy = this.live * 2 <= old && old > firstCapacity
    const capacity = old === 0 ? firstCapacity : roomy ? old : old * 2
    const ids = new Uint32Array(capacity)
    const handles = new Int32Array(capacity)
    const shards = new Int32Array(capacity)
    const busIds = new Int32Array(capacity)
    let count = 0
    for (let i = 0; i < this.size; i++) {
      const slot = (this.head + i) & (old - 1)
      if (this.shards[slot] === hole) continue
      ids[count] = this.ids[slot] as number
      handles[count] = this.handles[slot] as number
      shards[count] = this.shards[slot] as number
      busIds[count] = this.busIds[slot] as number
      count++
    }
    this.ids = ids
    this.handles = handles
    this.shards = shards
    this.busIds = busIds
    this.head = 0
    this.size = count
  }
}
