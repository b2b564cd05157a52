// The part of a queue that is on disk: how many messages there are, and those of its front that were
// read back (or never left memory).

const firstCapacity = 16

export class StoredPart {
  /** Of the message that `take` gave last. */
  takenRow: number
  takenPosition: number
  /** All messages of the part are below this position. */
  to: number
  /** Messages that are on disk only, all of them behind those in memory. */
  onDisk: number
  private rows: Int32Array
  private positions: Float64Array
  private head: number
  private count: number
  /** No message that is on disk only is below this. */
  diskFrom: number
  /** Messages that the last read has brought. */
  private lastRead: number
  private thisRead: number

  constructor() {
    this.takenRow = -1
    this.takenPosition = 0
    this.to = 0
    this.onDisk = 0
    this.rows = new Int32Array(0)
    this.positions = new Float64Array(0)
    this.head = 0
    this.count = 0
    this.diskFrom = 0
    this.lastRead = 0
    this.thisRead = 0
  }

  size(): number {
    return this.count + this.onDisk
  }

  /** Lower bound of the position of the first message; `Infinity` when there is none. */
  firstPosition(): number {
    if (this.count > 0) return this.positions[this.head] as number
    return this.onDisk > 0 ? this.diskFrom : Number.POSITIVE_INFINITY
  }

  /** The row of the first message, -1 when it must be read first. */
  firstRow(): number {
    return this.count > 0 ? (this.rows[this.head] as number) : -1
  }

  wantsMore(): boolean {
    return this.onDisk > 0 && this.count * 2 <= this.lastRead
  }

  // HOT: once per delivery from a backlog on disk
  take(): boolean {
    if (this.count === 0) return false
    this.takenRow = this.rows[this.head] as number
    this.takenPosition = this.positions[this.head] as number
    this.head = (this.head + 1) & (this.rows.length - 1)
    this.count--
    return true
  }

  /** `count` messages more, from `from` on, are on disk only; the part now ends before `to`. */
  extend(count: number, from: number, to: number): void {
    if (this.onDisk === 0) this.diskFrom = from
    this.onDisk += count
    this.to = to
  }

  /** Adds a message that stays in memory at the end; there must be none on disk only. */
  keep(row: number, position: number): void {
    this.append(row, position)
    this.to = position + 1
  }

  // HOT: once per message read back
  load(row: number, position: number): void {
    this.append(row, position)
    this.onDisk--
    this.thisRead++
    this.diskFrom = position + 1
  }

  /** A message was read back that does not wait here. */
  loadAside(position: number): void {
    this.onDisk--
    this.thisRead++
    this.diskFrom = position + 1
  }

  loadEnd(exhausted: boolean): number {
    this.lastRead = this.thisRead
    this.thisRead = 0
    if (!exhausted) return 0
    const lost = this.onDisk
    this.onDisk = 0
    return lost
  }

  drop(): number {
    const dropped = this.onDisk
    this.onDisk = 0
    return dropped
  }

  private append(row: number, position: number): void {
    if (this.count === this.rows.length) this.grow()
    const at = (this.head + this.count) & (this.rows.length - 1)
    this.rows[at] = row
    this.positions[at] = position
    this.count++
  }

  private grow(): void {
    const capacity = Math.max(firstCapacity, this.rows.length * 2)
    const rows = new Int32Array(capacity)
    const positions = new Float64Array(capacity)
    for (let i = 0; i < this.count; i++) {
      const from = (this.head + i) & (this.rows.length - 1)
      rows[i] = this.rows[from] as number
      positions[i] = this.positions[from] as number
    }
    this.rows = rows
    this.positions = positions
    this.head = 0
  }
}
