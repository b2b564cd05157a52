// Which positions of one queue are logged and not settled: a bit each, in pages that come and go.
// One old message left behind costs a page, not the distance to it.

/** A queue that was used once keeps a page: small enough for 100 000 queues. */
const pagePositions = 1024
const pageWords: number = pagePositions / 32
/** Word of a page behind its bits: how many of them are set. */
const countWord: number = pageWords
const spareMax = 64

/** Positions are safe integers from 0; new ones usually come in rising order. */
export class AliveSet {
  /** Positions in the set. */
  count: number
  /** One more than the highest position ever added or skipped. */
  next: number
  private readonly pages: (Int32Array | undefined)[]
  /** Number of `pages[0]`. */
  private firstPage: number
  /** The page touched last, and its first position. */
  private page: Int32Array
  private pageStart: number

  constructor() {
    this.count = 0
    this.next = 0
    this.pages = []
    this.firstPage = 0
    this.page = none
    this.pageStart = -1
  }

  // HOT: once per persistent message and durable queue
  add(position: number): void {
    const offset = position - this.pageStart
    const page =
      this.pageStart >= 0 && offset >= 0 && offset < pagePositions
        ? this.page
        : this.turnTo(position)
    const bit = position - this.pageStart
    const word = page[bit >> 5] as number
    const mask = 1 << (bit & 31)
    if (position >= this.next) this.next = position + 1
    if ((word & mask) !== 0) return
    page[bit >> 5] = word | mask
    page[countWord] = (page[countWord] as number) + 1
    this.count++
  }

  // HOT: once per settled delivery of a durable queue
  /** Takes a position out; false when it was not in. */
  remove(position: number): boolean {
    const offset = position - this.pageStart
    if (this.pageStart < 0 || offset < 0 || offset >= pagePositions) {
      if (this.find(position) === undefined) return false
      this.turnTo(position)
    }
    const { page } = this
    const bit = position - this.pageStart
    const word = page[bit >> 5] as number
    const mask = 1 << (bit & 31)
    if ((word & mask) === 0) return false
    page[bit >> 5] = word & ~mask
    const left = (page[countWord] as number) - 1
    page[countWord] = left
    this.count--
    if (left === 0) this.dropPage(position)
    return true
  }

  has(position: number): boolean {
    const page = this.find(position)
    const bit = position % pagePositions
    return page !== undefined && ((page[bit >> 5] as number) & (1 << (bit & 31))) !== 0
  }

  /** Takes out all positions from `from` up to, not including, `to`. */
  removeRange(from: number, to: number): void {
    // Not looked for behind `to`: what is alive there may be far, for each of many small ranges.
    for (let p = this.scan(from, 0, to); p < to; p = this.scan(p + 1, 0, to)) this.remove(p)
  }

  /** Later positions start at `position` at least. */
  skipTo(position: number): void {
    if (position > this.next) this.next = position
  }

  /** The lowest position from `from` on that is in the set; `Infinity` when there is none. */
  firstAlive(from: number): number {
    return this.scan(from, 0)
  }

  /** The lowest position from `from` on that is not in the set. */
  firstDead(from: number): number {
    return this.scan(from, -1)
  }

  /** Positions of the set in [from, to). */
  countIn(from: number, to: number): number {
    let found = 0
    for (let at = from; at < to; ) {
      const page = this.find(at)
      const end = Math.min(to, at - (at % pagePositions) + pagePositions)
      if (page !== undefined) {
        if (end - at === pagePositions) found += page[countWord] as number
        else for (let p = at; p < end; p++) if (this.has(p)) found++
      }
      at = end
    }
    return found
  }

  /**
   * Finds the first bit that differs from those of `skip` (0 or -1: words of dead or alive positions).
   * One at `limit` or behind it may be found or not.
   */
  private scan(from: number, skip: number, limit: number = Number.POSITIVE_INFINITY): number {
    const end = Math.min(limit, (this.firstPage + this.pages.length) * pagePositions)
    let at = Math.max(from, skip === 0 ? this.firstPage * pagePositions : 0)
    while (at < end) {
      const page = this.find(at)
      if (page === undefined) {
        if (skip !== 0) return at
        at = at - (at % pagePositions) + pagePositions
        continue
      }
      const bit = at % pagePositions
      const word = ((page[bit >> 5] as number) ^ skip) >>> (bit & 31)
      if (word !== 0) return at + 31 - Math.clz32(word & -word)
      at += 32 - (bit & 31)
    }
    return skip === 0 ? Number.POSITIVE_INFINITY : at
  }

  private find(position: number): Int32Array | undefined {
    const index = Math.floor(position / pagePositions) - this.firstPage
    return index < 0 ? undefined : this.pages[index]
  }

  /** Makes the page of `position` the one touched last. */
  private turnTo(position: number): Int32Array {
    const number = Math.floor(position / pagePositions)
    if (number - this.firstPage >= this.pages.length) this.dropEmptyLast()
    if (this.pages.length === 0) this.firstPage = number
    while (number < this.firstPage) {
      this.pages.unshift(undefined)
      this.firstPage--
    }
    const at = number - this.firstPage
    while (this.pages.length <= at) this.pages.push(undefined)
    const page = this.pages[at] ?? spare.pop() ?? new Int32Array(pageWords + 1)
    this.pages[at] = page
    this.page = page
    this.pageStart = number * pagePositions
    return page
  }

  private dropPage(position: number): void {
    // More positions of the last page may still come.
    if (this.next - this.pageStart < pagePositions && this.next > position) return
    this.forget(Math.floor(position / pagePositions) - this.firstPage)
  }

  /** The last page was kept for positions to come; now they come to another. */
  private dropEmptyLast(): void {
    const last = this.pages[this.pages.length - 1]
    if (last !== undefined && last[countWord] === 0) this.forget(this.pages.length - 1)
  }

  private forget(index: number): void {
    const page = this.pages[index]
    if (page !== undefined && spare.length < spareMax) spare.push(page)
    this.pages[index] = undefined
    this.page = none
    this.pageStart = -1
    let empty = 0
    while (empty < this.pages.length && this.pages[empty] === undefined) empty++
    this.pages.splice(0, empty)
    this.firstPage += empty
  }
}

const none = new Int32Array(0)
/** Empty pages of this thread's sets. */
const spare: Int32Array[] = []
