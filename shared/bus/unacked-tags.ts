// Delivery tags of one channel that wait for an acknowledgement: tag -> (shard, delivery id).
//
// A circular table of columns in tag order. Tags that were settled out of order leave holes, which
// are squeezed out before the table grows: its size follows what is outstanding, not its span.

const firstCapacity = 16
const hole = -1

/** The results of the last `take`, `takeUpTo` are in the public fields. */
export class UnackedTags {
  /** Tags outstanding. */
  live: number
  /** take: where the delivery came from. */
  shard: number
  deliveryId: number
  /** take: 1 if it counts for the channel's prefetch; takeUpTo, clear: how many did. */
  counted: number
  private tags: Float64Array
  // shard * 2 + counted, or `hole`.
  private origins: Int32Array
  private ids: Int32Array
  private head: number
  // Entries from head, holes included.
  private size: number

  constructor() {
    this.live = 0
    this.shard = 0
    this.deliveryId = 0
    this.counted = 0
    this.tags = new Float64Array(0)
    this.origins = new Int32Array(0)
    this.ids = new Int32Array(0)
    this.head = 0
    this.size = 0
  }

  // HOT: once per delivery that wants an acknowledgement
  /** Adds a tag larger than all before. `counted` is 1 if it counts for the channel's prefetch. */
  add(tag: number, shard: number, deliveryId: number, counted: number): void {
    if (this.size === this.tags.length) this.makeRoom()
    const slot = (this.head + this.size) & (this.tags.length - 1)
    this.tags[slot] = tag
    this.origins[slot] = shard * 2 + counted
    this.ids[slot] = deliveryId
    this.size++
    this.live++
  }

  // HOT: once per acknowledgement
  /** Takes one tag out; false if it is not outstanding. */
  take(tag: number): boolean {
    const place = this.find(tag)
    if (place < 0) return false
    const slot = (this.head + place) & (this.tags.length - 1)
    const origin = this.origins[slot] as number
    this.shard = origin >> 1
    this.counted = origin & 1
    this.deliveryId = this.ids[slot] as number
    this.origins[slot] = hole
    this.live--
    this.trim()
    return true
  }

  /**
   * Takes out `tag`, which must be outstanding, and all before it. `onEach` sees them in order; false
   * if the tag is not outstanding: then nothing is taken.
   */
  takeUpTo(
    tag: number,
    onEach: (tag: number, shard: number, id: number, counted: number) => void,
  ): boolean {
    const place = this.find(tag)
    if (place < 0) return false
    this.takeFirst(place + 1, onEach)
    return true
  }

  /** Takes all out. */
  takeAll(onEach: (tag: number, shard: number, id: number, counted: number) => void): void {
    this.takeFirst(this.size, onEach)
  }

  /**
   * Takes out `tag` and all before it, as `takeUpTo`; notes per shard the last delivery id in
   * `lastIds` and 1 in `present`, and how many counted in `counted`. A tag of 0 means all.
   */
  takeRange(tag: number, lastIds: Int32Array, present: Uint8Array): boolean {
    this.counted = 0
    const place = tag === 0 ? this.size - 1 : this.find(tag)
    if (place < 0) return tag === 0
    const mask = this.tags.length - 1
    for (let i = 0; i <= place; i++) {
      const slot = (this.head + i) & mask
      const origin = this.origins[slot] as number
      if (origin === hole) continue
      lastIds[origin >> 1] = this.ids[slot] as number
      present[origin >> 1] = 1
      this.counted += origin & 1
      this.live--
    }
    this.drop(place + 1)
    return true
  }

  /** Entries that fit before the table grows. */
  capacity(): number {
    return this.tags.length
  }

  private takeFirst(
    count: number,
    onEach: (tag: number, shard: number, id: number, counted: number) => void,
  ): void {
    const mask = this.tags.length - 1
    for (let i = 0; i < count; i++) {
      const slot = (this.head + i) & mask
      const origin = this.origins[slot] as number
      if (origin === hole) continue
      this.live--
      onEach(this.tags[slot] as number, origin >> 1, this.ids[slot] as number, origin & 1)
    }
    this.drop(count)
  }

  private drop(count: number): void {
    this.head = (this.head + count) & (this.tags.length - 1)
    this.size -= count
    this.trim()
  }

  // Holes at either end are no use.
  private trim(): void {
    const mask = this.tags.length - 1
    while (this.size > 0 && this.origins[this.head] === hole) {
      this.head = (this.head + 1) & mask
      this.size--
    }
    while (this.size > 0 && this.origins[(this.head + this.size - 1) & mask] === hole) this.size--
  }

  // Place of an outstanding tag counted from the head, or -1. Tags rise by at least one per entry,
  // so an entry is never further back than its distance from the first; most often exactly there.
  private find(tag: number): number {
    if (this.size === 0) return -1
    const mask = this.tags.length - 1
    const distance = tag - (this.tags[this.head] as number)
    if (!(distance >= 0)) return -1
    let high = Math.min(distance, this.size - 1)
    let low = 0
    let place = high
    while (low <= high) {
      const found = this.tags[(this.head + place) & mask] as number
      if (found === tag) {
        return this.origins[(this.head + place) & mask] === hole ? -1 : place
      }
      if (found < tag) low = place + 1
      else high = place - 1
      place = (low + high) >> 1
    }
    return -1
  }

  private makeRoom(): void {
    const old = this.tags.length
    const capacity =
      old === 0 ? firstCapacity : this.live * 2 <= old && old > firstCapacity ? old : old * 2
    const tags = new Float64Array(capacity)
    const origins = new Int32Array(capacity)
    const ids = new Int32Array(capacity)
    let count = 0
    for (let i = 0; i < this.size; i++) {
      const slot = (this.head + i) & (old - 1)
      const origin = this.origins[slot] as number
      if (origin === hole) continue
      tags[count] = this.tags[slot] as number
      origins[count] = origin
      ids[count] = this.ids[slot] as number
      count++
    }
    this.tags = tags
    this.origins = origins
    this.ids = ids
    this.head = 0
    this.size = count
  }
}
