// When the messages of one queue expire: a time for each position that has one, in pages of positions
// that come and go with the messages. A page has one timer, for the first of its times, and looks
// through its positions when that comes. So a message with an expiry costs 8 bytes and its share of a
// page, wherever in the queue it lies, in memory or on disk only; one without costs nothing.
//
// A time that is negative is that of a message which is not waiting (it is delivered and not
// settled): it does not fire.

import type { ShardClock } from '../time/clock.ts'
import type { TimerOwner, TimerWheel } from '../time/timer-wheel.ts'

const pagePositions = 128
const sparesMax = 256
const never: number = Number.POSITIVE_INFINITY

interface Page {
  /** Its first position; -1 while it is spare. */
  start: number
  /** Positions with a time. */
  count: number
  /** Handle of its timer, -1 while it has none, and when that fires. */
  timer: number
  due: number
  readonly times: Float64Array
}

/** Who has the messages. */
export interface ExpiryOwner {
  /** The time of the message that waits at `position` has come. It is cleared, or comes again when the page is looked at next. */
  expired(position: number): void
}

export class ExpiryIndex implements TimerOwner {
  /** Positions that have a time. */
  count: number
  private readonly clock: ShardClock
  private readonly timers: TimerWheel
  private readonly owner: ExpiryOwner
  private readonly pages: Map<number, Page>
  /** The page that was set in last, and the one that was asked for last. */
  private tail: Page
  private front: Page
  /** The page that is being looked through. */
  private scanned: Page | undefined

  constructor(clock: ShardClock, timers: TimerWheel, owner: ExpiryOwner) {
    this.count = 0
    this.clock = clock
    this.timers = timers
    this.owner = owner
    this.pages = new Map()
    this.tail = nowhere
    this.front = nowhere
    this.scanned = undefined
  }

  // HOT: once per message with an expiry
  /** The message at `position` expires at the (monotonic) time `at`; while it is not `waiting` nothing happens. */
  set(position: number, at: number, waiting: boolean): void {
    let page = this.tail
    let slot = position - page.start
    if (slot < 0 || slot >= pagePositions || page.start < 0) {
      page = this.turnTo(Math.floor(position / pagePositions) * pagePositions)
      slot = position - page.start
    }
    if (page.times[slot] === 0) {
      page.count++
      this.count++
    }
    page.times[slot] = waiting ? at : -at
    if (waiting && at < page.due) this.arm(page, at)
  }

  // HOT: once per delivery of a queue with expiries
  /** When the message at `position` expires; 0: never. */
  at(position: number): number {
    const page = this.find(position)
    return page === undefined ? 0 : Math.abs(page.times[position - page.start] as number)
  }

  // HOT: once per delivery of a queue with expiries
  /** The message at `position` does not wait any more, but may come back. */
  hide(position: number): void {
    const page = this.find(position)
    if (page === undefined) return
    const slot = position - page.start
    page.times[slot] = -Math.abs(page.times[slot] as number)
  }

  /** The message at `position` waits again. */
  show(position: number): void {
    const page = this.find(position)
    if (page === undefined) return
    const slot = position - page.start
    const at = Math.abs(page.times[slot] as number)
    page.times[slot] = at
    if (at !== 0 && at < page.due) this.arm(page, at)
  }

  // HOT: once per settled message of a queue with expiries
  /** The message at `position` is gone. False when it had no time here. */
  clear(position: number): boolean {
    const page = this.find(position)
    if (page === undefined) return false
    const slot = position - page.start
    if (page.times[slot] === 0) return false
    page.times[slot] = 0
    page.count--
    this.count--
    // The page at the end is kept until its timer: more positions of it are to come.
    if (page.count === 0 && page !== this.tail && page !== this.scanned) this.forget(page)
    return true
  }

  /** What waits in [from, to) is gone. */
  clearWaiting(from: number, to: number): void {
    for (const page of [...this.pages.values()]) {
      const { start } = page
      if (start >= to || start + pagePositions <= from) continue
      for (let slot = 0; slot < pagePositions; slot++) {
        const position = start + slot
        if (position < from || position >= to) continue
        if ((page.times[slot] as number) > 0) this.clear(position)
      }
    }
  }

  /** Forgets all. */
  destroy(): void {
    for (const page of [...this.pages.values()]) this.forget(page)
    this.count = 0
  }

  /** TimerOwner: looks through the page that begins at `key`. */
  onTimer(key: number): number {
    const page = this.pages.get(key)
    if (page === undefined) return 1
    page.timer = -1
    page.due = never
    this.scanned = page
    const { now } = this.clock
    let next = never
    let died = 0
    for (let slot = 0; slot < pagePositions; slot++) {
      const at = page.times[slot] as number
      if (at <= 0) continue
      if (at > now) {
        if (at < next) next = at
        continue
      }
      died++
      this.owner.expired(page.start + slot)
    }
    this.scanned = undefined
    if (page.count === 0) this.forget(page)
    else if (next < page.due) this.arm(page, next)
    return died + 1
  }

  private arm(page: Page, at: number): void {
    if (page.timer >= 0) this.timers.cancel(page.timer)
    page.due = at
    page.timer = this.timers.add(at, this, page.start)
  }

  private find(position: number): Page | undefined {
    if (isIn(this.front, position)) return this.front
    if (isIn(this.tail, position)) return this.tail
    const page = this.pages.get(Math.floor(position / pagePositions) * pagePositions)
    if (page !== undefined) this.front = page
    return page
  }

  private turnTo(start: number): Page {
    let page = this.pages.get(start)
    if (page === undefined) {
      page = spares.pop() ?? newPage()
      page.start = start
      this.pages.set(start, page)
    }
    const left = this.tail
    this.tail = page
    if (left.count === 0 && left !== nowhere && left !== this.scanned) this.forget(left)
    return page
  }

  private forget(page: Page): void {
    if (page.timer >= 0) this.timers.cancel(page.timer)
    this.pages.delete(page.start)
    if (this.tail === page) this.tail = nowhere
    if (this.front === page) this.front = nowhere
    if (page.count > 0) page.times.fill(0)
    page.start = -1
    page.count = 0
    page.timer = -1
    page.due = never
    if (spares.length < sparesMax) spares.push(page)
  }
}

function isIn({ start }: Page, position: number): boolean {
  return position >= start && position < start + pagePositions && start >= 0
}

function newPage(): Page {
  const times = new Float64Array(pagePositions)
  return { start: -1, count: 0, timer: -1, due: never, times }
}

/** In place of a page that there is not. */
const nowhere: Page = newPage()
/** Empty pages of this thread's indexes. */
const spares: Page[] = []
