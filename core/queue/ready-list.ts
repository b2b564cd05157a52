// The messages of one queue that wait for a consumer, in the order of their positions.
//
// Fresh messages form a ring; position = base + place in the ring, so it is not stored. Returned
// messages always come from before the ring's head, and wait in a heap by position.

const firstCapacity = 16

/** Positions count a queue's messages from 0; a requeued message keeps its own. */
export class ReadyList {
  /** Of the message that `take` gave last. */
  takenRow: number
  takenPosition: number
  takenReturned: boolean
  private ring: Int32Array
  private head: number
  private count: number
  private base: number
  private readonly returned: PositionHeap

  constructor() {
    this.takenRow = -1
    this.takenPosition = 0
    this.takenReturned = false
    this.ring = new Int32Array(firstCapacity)
    this.head = 0
    this.count = 0
    this.base = 0
    this.returned = new PositionHeap()
  }

  size(): number {
    return this.count + this.returned.count
  }

  // HOT: once per queued message
  /** Adds a fresh message at the end; returns its position. */
  push(row: number): number {
    if (this.count === this.ring.length) this.grow()
    this.ring[(this.head + this.count) & (this.ring.length - 1)] = row
    return this.base + this.count++
  }

  // HOT: once per message that goes straight to a consumer
  /** The position of a message that is delivered without waiting; the list must be empty of fresh ones. */
  pass(): number {
    return this.base++
  }

  // HOT: once per delivery from a backlog
  /** Takes the first message into the `taken` fields. False when there is none. */
  take(): boolean {
    if (this.returned.count > 0) {
      this.takenPosition = this.returned.position()
      this.takenRow = this.returned.pop()
      this.takenReturned = true
      return true
    }
    if (this.count === 0) return false
    this.takenRow = this.ring[this.head] as number
    this.takenPosition = this.base
    this.takenReturned = false
    this.head = (this.head + 1) & (this.ring.length - 1)
    this.count--
    this.base++
    return true
  }

  /** The row that `take` would take, or -1. */
  first(): number {
    if (this.returned.count > 0) return this.returned.row()
    return this.count === 0 ? -1 : (this.ring[this.head] as number)
  }

  /** Fresh messages get positions from `position` on; the list must be empty of fresh ones. */
  startAt(position: number): void {
    this.base = position
  }

  /** Puts a message that was taken back to its position. */
  giveBack(row: number, position: number): void {
    this.returned.push(row, position)
  }

  private grow(): void {
    const wider = new Int32Array(this.ring.length * 2)
    const tail = this.ring.length - this.head
    wider.set(this.ring.subarray(this.head), 0)
    wider.set(this.ring.subarray(0, this.head), tail)
    this.ring = wider
    this.head = 0
  }
}

/** A binary heap of rows, least position first. */
class PositionHeap {
  count: number
  private rows: Int32Array
  private positions: Float64Array

  constructor() {
    this.count = 0
    this.rows = new Int32Array(firstCapacity)
    this.positions = new Float64Array(firstCapacity)
  }

  row(): number {
    return this.rows[0] as number
  }

  position(): number {
    return this.positions[0] as number
  }

  push(row: number, position: number): void {
    if (this.count === this.rows.length) this.grow()
    const rows = this.rows
    const positions = this.positions
    let i = this.count++
    while (i > 0) {
      const parent = (i - 1) >> 1
      if ((positions[parent] as number) <= position) break
      rows[i] = rows[parent] as number
      positions[i] = positions[parent] as number
      i = parent
    }
    rows[i] = row
    positions[i] = position
  }

  pop(): number {
    const rows = this.rows
    const positions = this.positions
    const first = rows[0] as number
    const last = --this.count
    const row = rows[last] as number
    const position = positions[last] as number
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= last) break
      if (child + 1 < last && (positions[child + 1] as number) < (positions[child] as number))
        child++
      if ((positions[child] as number) >= position) break
      rows[i] = rows[child] as number
      positions[i] = positions[child] as number
      i = child
    }
    rows[i] = row
    positions[i] = position
    return first
  }

  private grow(): void {
    const rows = new Int32Array(this.rows.length * 2)
    rows.set(this.rows)
    this.rows = rows
    const positions = new Float64Array(this.positions.length * 2)
    positions.set(this.positions)
    this.positions = positions
  }
}
