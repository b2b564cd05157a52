// What each publish of one source still waits for, in publish order. Answers leave in that order as
// runs ("the next 500 are confirmed"), so ten thousand publishes may cost one acknowledgement.

const firstCapacity = 64
const refused = 1
/** See `push`. */
const firm = 2

/** Sequence numbers count up by one from 0 (wrapping int32). */
export class ConfirmTracker {
  /** Publishes at the front that `advance` found finished and alike, not yet taken. */
  runCount: number
  runRefused: boolean
  /** The furthest position of the log that they wait for. */
  runPosition: number
  private next: number
  private base: number
  private waits: Int32Array
  private marks: Uint8Array
  private positions: Float64Array
  private mask: number

  constructor() {
    this.runCount = 0
    this.runRefused = false
    this.runPosition = 0
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
  /**
   * A publish waits for `answers` remote shards and for the log to reach `position`. Returns its number.
   * `isFirm`: who confirms it must know more than that the log is there (see `advance`).
   */
  push(answers: number, position: number, isFirm: boolean = false): number {
    if (((this.next - this.base) | 0) > this.mask) this.grow()
    const sequence = this.next
    const slot = sequence & this.mask
    this.waits[slot] = answers
    this.positions[slot] = position
    this.marks[slot] = isFirm ? firm : 0
    this.next = (sequence + 1) | 0
    return sequence
  }

  /** The number that the next publish gets. */
  nextSequence(): number {
    return this.next
  }

  /** A queue refuses the publish: it will be answered with a nack. */
  refuse(sequence: number): void {
    this.markRefused(sequence & this.mask)
  }

  /** One remote shard has answered for the publish. */
  answer(sequence: number, nack: boolean): void {
    const slot = sequence & this.mask
    this.waits[slot] = (this.waits[slot] as number) - 1
    if (nack) this.markRefused(slot)
  }

  // HOT: once per batch and channel
  /**
   * Extends the run at the front by publishes that are finished, given how far the log is. True when
   * the run is not empty; take it by `takeRun`, then call again, since the next run may differ in kind.
   * `ahead`: somebody else watches the log, so that all but firm ones are finished without it; the run
   * is due at `runPosition`.
   */
  advance(committedUpTo: number, ahead: boolean = false): boolean {
    while (this.base !== this.next) {
      const slot = this.base & this.mask
      const mark = this.marks[slot] as number
      const position = this.positions[slot] as number
      if (this.waits[slot] !== 0) break
      if (position > committedUpTo && (!ahead || (mark & firm) !== 0)) break
      const nack = (mark & refused) !== 0
      if (this.runCount !== 0 && nack !== this.runRefused) break
      if (position > this.runPosition) this.runPosition = position
      this.runRefused = nack
      this.runCount++
      this.base = (this.base + 1) | 0
    }
    return this.runCount !== 0
  }

  takeRun(): void {
    this.runCount = 0
    this.runPosition = 0
  }

  private markRefused(slot: number): void {
    this.marks[slot] = (this.marks[slot] as number) | refused
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
