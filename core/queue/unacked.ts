// What one channel has been given by one shard and has not settled yet: columns keyed by delivery
// id, in a ring. Ids count up by one (wrapping int32), so settling up to an id is a range.

const firstCapacity = 64

/** For who asks for no times. */
const stopped = { now: 0 }

/** `row` is -1 in a slot that is settled already. */
export class Unacked {
  rows: Int32Array
  positions: Float64Array
  /** When each was delivered, in the clock's milliseconds. */
  times: Float64Array
  /** Slot of the consumer (or of a queue's getter) that the delivery went to. */
  holders: Int32Array
  /** The lowest id that may be outstanding. */
  base: number
  /** The id that the next delivery gets. */
  next: number
  private mask: number

  private readonly clock: { readonly now: number }

  constructor(clock: { readonly now: number } = stopped) {
    this.clock = clock
    this.rows = new Int32Array(firstCapacity)
    this.positions = new Float64Array(firstCapacity)
    this.times = new Float64Array(firstCapacity)
    this.holders = new Int32Array(firstCapacity)
    this.base = 1
    this.next = 1
    this.mask = firstCapacity - 1
  }

  // HOT: once per delivery that must be acknowledged
  /** Adds a delivery and returns its id. */
  push(row: number, position: number, holder: number): number {
    if (((this.next - this.base) | 0) > this.mask) this.grow()
    const id = this.next
    const slot = id & this.mask
    this.rows[slot] = row
    this.positions[slot] = position
    this.times[slot] = this.clock.now
    this.holders[slot] = holder
    this.next = (id + 1) | 0
    return id
  }

  // HOT: once per settled delivery
  /** The slot of an outstanding delivery, or -1 when `id` is not outstanding. */
  slotOf(id: number): number {
    if (((id - this.base) | 0) < 0 || ((this.next - id) | 0) <= 0) return -1
    const slot = id & this.mask
    return (this.rows[slot] as number) < 0 ? -1 : slot
  }

  // HOT: once per settled delivery
  /** Marks a slot settled; moves the base past settled ones. */
  clear(slot: number): void {
    this.rows[slot] = -1
    while (this.base !== this.next && (this.rows[this.base & this.mask] as number) < 0) {
      this.base = (this.base + 1) | 0
    }
  }

  /** When the oldest outstanding delivery was made; `Infinity` when there is none. */
  oldestTime(): number {
    return this.base === this.next
      ? Number.POSITIVE_INFINITY
      : (this.times[this.base & this.mask] as number)
  }

  private grow(): void {
    const capacity = this.rows.length * 2
    const rows = new Int32Array(capacity)
    const positions = new Float64Array(capacity)
    const times = new Float64Array(capacity)
    const holders = new Int32Array(capacity)
    for (let id = this.base; id !== this.next; id = (id + 1) | 0) {
      const from = id & this.mask
      const to = id & (capacity - 1)
      rows[to] = this.rows[from] as number
      positions[to] = this.positions[from] as number
      times[to] = this.times[from] as number
      holders[to] = this.holders[from] as number
    }
    this.rows = rows
    this.positions = positions
    this.times = times
    this.holders = holders
    this.mask = capacity - 1
  }
}
