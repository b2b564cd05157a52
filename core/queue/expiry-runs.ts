// When the messages of a queue expire, where later ones never expire before earlier ones: a time for
// each run of positions that have the same. What comes in one turn of the shard with the same time to
// live is one run, so a message costs nothing but its place in a count. As time goes with position, the
// first message that waits is always the first to expire.

const firstCapacity = 16
const none = 0
const open = 1
const closed = 2

export class ExpiryRuns {
  private readonly clock: { readonly now: number }
  private state: number
  /** Runs are at [first, end) of the columns: first position, time, messages that are not gone. */
  private first: number
  private end: number
  private starts: Float64Array
  private times: Float64Array
  private alive: Int32Array
  /** The run that was looked at last. */
  private near: number

  constructor(clock: { readonly now: number }) {
    this.clock = clock
    this.state = none
    this.first = 0
    this.end = 0
    this.starts = new Float64Array(firstCapacity)
    this.times = new Float64Array(firstCapacity)
    this.alive = new Int32Array(firstCapacity)
    this.near = 0
  }

  /** Some messages may have a time here. */
  isUsed(): boolean {
    return this.end > this.first
  }

  isOpen(): boolean {
    return this.state === open
  }

  /** Begins, or begins again: no message of the queue is left. */
  start(): void {
    this.state = open
    this.first = 0
    this.end = 0
    this.near = 0
  }

  /** The messages from `position` on have no time here, until all are gone. */
  close(position: number): void {
    if (this.state !== open) return
    this.state = closed
    if (this.end > this.first) this.append(position, Number.POSITIVE_INFINITY, 0)
  }

  // HOT: once per message that expires in its order
  /**
   * The message at `position`, the highest so far, expires at `time[0]` (a number of its own would be an
   * object). False, and nothing happens, where an earlier one expires later.
   */
  add(position: number, time: Float64Array): boolean {
    if (this.state !== open) return false
    const at = time[0] as number
    const last = this.end - 1
    if (last < this.first || at > (this.times[last] as number)) this.append(position, at, 1)
    else if (at === this.times[last]) this.alive[last] = (this.alive[last] as number) + 1
    else return false
    return true
  }

  // HOT: once per delivery of a queue whose messages expire in their order
  /** Whether the message at `position` has a time that has come. */
  isDue(position: number): boolean {
    const { now } = this.clock
    if (this.end === this.first || (this.times[this.first] as number) > now) return false
    const run = this.find(position)
    return run >= 0 && (this.times[run] as number) <= now
  }

  /** When the message at `position` expires, as far as is known here; `Infinity`: never. */
  at(position: number): number {
    const run = this.find(position)
    return run < 0 ? Number.POSITIVE_INFINITY : (this.times[run] as number)
  }

  // HOT: once per message that is gone
  /** The message at `position`, which was added, is gone. */
  gone(position: number): void {
    const run = this.find(position)
    if (run < 0) return
    const left = (this.alive[run] as number) - 1
    this.alive[run] = left
    if (left > 0 || run !== this.first) return
    while (this.first < this.end - 1 && (this.alive[this.first] as number) <= 0) this.first++
  }

  /** The run that `position` is in, -1 when it is before all of them. */
  private find(position: number): number {
    let run = this.near
    if (run < this.first || run >= this.end) run = this.first
    if (this.has(run, position)) return run
    if (this.has(run + 1, position)) {
      this.near = run + 1
      return run + 1
    }
    let low = this.first
    let high = this.end
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.starts[middle] as number) <= position) low = middle + 1
      else high = middle
    }
    run = low - 1
    if (run < this.first) return -1
    this.near = run
    return run
  }

  private has(run: number, position: number): boolean {
    if (run >= this.end || (this.starts[run] as number) > position) return false
    return run + 1 === this.end || position < (this.starts[run + 1] as number)
  }

  private append(position: number, at: number, alive: number): void {
    if (this.end === this.starts.length) this.compact()
    this.starts[this.end] = position
    this.times[this.end] = at
    this.alive[this.end] = alive
    this.end++
  }

  /** Makes room: runs whose messages are gone become part of those before them. */
  private compact(): void {
    let to = 0
    for (let run = this.first; run < this.end; run++) {
      if ((this.alive[run] as number) <= 0 && run !== this.end - 1) continue
      this.starts[to] = this.starts[run] as number
      this.times[to] = this.times[run] as number
      this.alive[to] = this.alive[run] as number
      to++
    }
    this.first = 0
    this.end = to
    this.near = 0
    if (to * 2 <= this.starts.length) return
    const capacity = this.starts.length * 2
    this.starts = wider(this.starts, new Float64Array(capacity))
    this.times = wider(this.times, new Float64Array(capacity))
    this.alive = wider(this.alive, new Int32Array(capacity))
  }
}

function wider<T extends Int32Array | Float64Array>(column: T, made: T): T {
  made.set(column)
  return made
}
