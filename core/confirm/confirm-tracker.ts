// What each publish of one source still waits for, in publish order. Answers leave in that order as
// runs ("the next 500 are confirmed"), so ten thousand publishes may cost one acknowledgement.

const firstCapacity = 64
const refused = 1

/** Sequence numbers count up by one from 0 (wrapping int32). */
export class ConfirmTracker {
  /** Publishes at the front that `advance` found finished and alike, not yet taken. */
  runCount: number
  runRefused: boolean
  private next: number
  private base: number
  private waits: Int32Array
  private marks: Uint8Array
  private positions: Float64Array
  private mask: number

  constructor() {
    this.runCount = 0
    this.runRefused = false
    this.next = 0
    this.base = 0
    this.waits = new Int32Array(firstCapacity)
    this.marks = new Uint8Array(firstCapacity)
    this.positions = new Float64Array(firstCapacity)
    this.mask = firstCapacity - 1
  }

  /** Publishes without an answer yet. */
  outstanding(): number {
    return ((this.next - this.base) | 0) + this.runCount
  }

  // HOT: once per publish to be confirmed
  /** A publish waits for `answers` remote shards and for the log to reach `position`. Returns its number. */
  push(answers: number, position: number): number {
    if (((this.next - this.base) | 0) > this.mask) this.grow()
    const sequence = this.next
    const slot = sequence & this.mask
    this.waits[slot] = answers
    this.positions[slot] = position
    this.marks[slot] = 0
    this.next = (sequence + 1) | 0
    return sequence
  }

  /** The number that the next publish gets. */
  nextSequence(): number {
    return this.next
  }

  /** A queue refuses the publish: it will be answered with a nack. */
  refuse(sequence: number): void {
    this.marks[sequence & this.mask] = refused
  }

  /** One remote shard has answered for the publish. */
  answer(sequence: number, nack: boolean): void {
    const slot = sequence & this.mask
    this.waits[slot] = (this.waits[slot] as number) - 1
    if (nack) this.marks[slot] = refused
  }

  // HOT: once per batch and channel
  /**
   * Extends the run at the front by publishes that are finished, given how far the log is. True when
   * the run is not empty; take it by `takeRun`, then call again, since the next run may differ in kind.
   */
  advance(committedUpTo: number): boolean {
    while (this.base !== this.next) {
      const slot = this.base & this.mask
      if (this.waits[slot] !== 0 || (this.positions[slot] as number) > committedUpTo) break
      const nack = this.marks[slot] === refused
      if (this.runCount !== 0 && nack !== this.runRefused) break
      this.runRefused = nack
      this.runCount++
      this.base = (this.base + 1) | 0
    }
    return this.runCount !== 0
  }

  takeRun(): void {
    this.runCount = 0
  }

  private grow(): void {
    const capacity = this.waits.length * 2
    const waits = new Int32Array(capacity)
    const marks = new Uint8Array(capacity)
    const positions = new Float64Array(capacity)
    for (let i = this.base; i !== this.next; i = (i + 1) | 0) {
      const from = i & this.mask
      const to = i & (capacity - 1)
      waits[to] = this.waits[from] as number
      marks[to] = this.marks[from] as number
      positions[to] = this.positions[from] as number
    }
    this.waits = waits
    this.marks = marks
    this.positions = positions
    this.mask = capacity - 1
  }
}
