// The timers of one shard: five wheels of 256 slots, a tick of one millisecond in the first, 256 times
// longer in each that follows. A timer lies in the lowest wheel in which its tick and the current one
// are in the same turn; when its slot comes, it moves to a lower wheel, and from the first it fires.
//
//   wheel 0   1 ms slots, 256 ms in all      wheel 3   4.7 h, 50 days
//   wheel 1   256 ms, 65 s                   wheel 4   50 days, 34 years
//   wheel 2   65 s, 4.7 h
//
// Nothing fires early. Each slot is a ring of entries, which are columns of numbers; handles are
// indices into them and are used again once a timer has fired or was cancelled.

/** Whoever sets timers. */
export interface TimerOwner {
  /**
   * The timer set with `key` has come; its handle is gone. Returns how much was done, in messages or
   * the like: what of a long list is left then waits for the next `advance`.
   */
  onTimer(key: number): number
}

const slots = 256
const wheels = 5
const bitmapWords: number = slots / 32
/** Ticks of a slot of each wheel, and of the whole last one. */
const scales: readonly number[] = [1, 2 ** 8, 2 ** 16, 2 ** 24, 2 ** 32, 2 ** 40]
/** The last tick that there is: what is later fires then, 34 years after the start. */
const tickMax: number = 2 ** 40 - 1
const firstCapacity = 64

export class TimerWheel {
  /** Timers that are set. */
  count: number
  /** All ticks up to this have fired, but for what `advance` has left over. */
  private current: number
  private readonly heads: Int32Array
  private readonly occupied: Int32Array
  private readonly counts: Int32Array
  private next: Int32Array
  private previous: Int32Array
  /** Slot that an entry is in, counted over all wheels. */
  private places: Int32Array
  private ticks: Float64Array
  private keys: Float64Array
  private readonly owners: (TimerOwner | undefined)[]
  /** First of the free entries, linked by `next`; -1: none. */
  private free: number

  constructor() {
    this.count = 0
    this.current = 0
    this.heads = new Int32Array(wheels * slots).fill(-1)
    this.occupied = new Int32Array(wheels * bitmapWords)
    this.counts = new Int32Array(wheels)
    this.next = new Int32Array(0)
    this.previous = new Int32Array(0)
    this.places = new Int32Array(0)
    this.ticks = new Float64Array(0)
    this.keys = new Float64Array(0)
    this.owners = []
    this.free = -1
  }

  /** Sets a timer for the time `at` (monotonic ms); in the past, it fires with the next tick. Returns its handle. */
  add(at: number, owner: TimerOwner, key: number): number {
    if (this.free < 0) this.grow()
    const entry = this.free
    this.free = this.next[entry] as number
    this.ticks[entry] = Math.min(Math.max(Math.ceil(at), this.current + 1), tickMax)
    this.keys[entry] = key
    this.owners[entry] = owner
    this.count++
    this.link(entry)
    return entry
  }

  cancel(handle: number): void {
    this.unlink(handle)
    this.release(handle)
  }

  /** When `advance` should be called next, at the latest; `Infinity` when no timer is set. */
  deadline(): number {
    for (let wheel = 0; wheel < wheels; wheel++) {
      if (this.counts[wheel] === 0) continue
      const scale = scales[wheel] as number
      const now = Math.floor(this.current / scale)
      const slot = this.firstSlot(wheel, now % slots)
      return (now - (now % slots) + slot) * scale
    }
    return Number.POSITIVE_INFINITY
  }

  /**
   * Fires what is due at `now`, in order of time, until `budget` is spent. True when anything fired;
   * what is left over is due at once (see `deadline`).
   */
  advance(now: number, budget: number): boolean {
    const target = Math.floor(now)
    let left = budget
    for (;;) {
      const tick = this.deadline()
      if (tick > target) break
      this.current = tick
      for (let wheel = wheels - 1; wheel > 0; wheel--) this.cascade(wheel)
      left -= this.fire(left)
      if (left <= 0) return true
    }
    if (target > this.current) this.current = target
    return left < budget
  }

  /** Fires the slot of the current tick, until `budget` is spent; returns what was spent, at least 1 a timer. */
  private fire(budget: number): number {
    const place = this.current % slots
    let spent = 0
    while (spent < budget) {
      const entry = this.heads[place] as number
      if (entry < 0) break
      const owner = this.owners[entry]
      const key = this.keys[entry] as number
      this.unlink(entry)
      this.release(entry)
      spent += Math.max(1, owner === undefined ? 1 : owner.onTimer(key))
    }
    return spent
  }

  /** Moves the entries of a wheel's slot that begins now to lower wheels. */
  private cascade(wheel: number): void {
    const scale = scales[wheel] as number
    if (this.counts[wheel] === 0 || this.current % scale !== 0) return
    const place = wheel * slots + (Math.floor(this.current / scale) % slots)
    for (let entry = this.heads[place] as number; entry >= 0; entry = this.heads[place] as number) {
      this.unlink(entry)
      this.link(entry)
    }
  }

  private link(entry: number): void {
    const tick = this.ticks[entry] as number
    let wheel = 0
    while (wheel < wheels - 1) {
      const turn = scales[wheel + 1] as number
      if (Math.floor(tick / turn) === Math.floor(this.current / turn)) break
      wheel++
    }
    const slot = Math.floor(tick / (scales[wheel] as number)) % slots
    const place = wheel * slots + slot
    const head = this.heads[place] as number
    this.places[entry] = place
    this.counts[wheel] = (this.counts[wheel] as number) + 1
    if (head < 0) {
      this.heads[place] = entry
      this.next[entry] = entry
      this.previous[entry] = entry
      const word = wheel * bitmapWords + (slot >> 5)
      this.occupied[word] = (this.occupied[word] as number) | (1 << (slot & 31))
      return
    }
    const last = this.previous[head] as number
    this.next[entry] = head
    this.previous[entry] = last
    this.next[last] = entry
    this.previous[head] = entry
  }

  private unlink(entry: number): void {
    const place = this.places[entry] as number
    const wheel = Math.floor(place / slots)
    const next = this.next[entry] as number
    this.counts[wheel] = (this.counts[wheel] as number) - 1
    if (next === entry) {
      const slot = place % slots
      const word = wheel * bitmapWords + (slot >> 5)
      this.heads[place] = -1
      this.occupied[word] = (this.occupied[word] as number) & ~(1 << (slot & 31))
      return
    }
    const previous = this.previous[entry] as number
    this.next[previous] = next
    this.previous[next] = previous
    if (this.heads[place] === entry) this.heads[place] = next
  }

  private release(entry: number): void {
    this.owners[entry] = undefined
    this.next[entry] = this.free
    this.free = entry
    this.count--
  }

  /** The first slot of a wheel from `from` on that has entries; there is one. */
  private firstSlot(wheel: number, from: number): number {
    let at = from
    while (at < slots) {
      const word = (this.occupied[wheel * bitmapWords + (at >> 5)] as number) >>> (at & 31)
      if (word !== 0) return at + 31 - Math.clz32(word & -word)
      at += 32 - (at & 31)
    }
    return slots
  }

  private grow(): void {
    const from = this.owners.length
    const capacity = Math.max(firstCapacity, from * 2)
    this.next = wider(this.next, new Int32Array(capacity))
    this.previous = wider(this.previous, new Int32Array(capacity))
    this.places = wider(this.places, new Int32Array(capacity))
    this.ticks = wider(this.ticks, new Float64Array(capacity))
    this.keys = wider(this.keys, new Float64Array(capacity))
    for (let entry = capacity - 1; entry >= from; entry--) {
      this.owners[entry] = undefined
      this.next[entry] = this.free
      this.free = entry
    }
  }
}

function wider<T extends Int32Array | Float64Array>(column: T, made: T): T {
  made.set(column)
  return made
}
