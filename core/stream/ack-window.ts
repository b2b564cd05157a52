// Offsets delivered to a consumer whose progress is stored: which of them are settled, and up to where
// all are.

export class AckWindow {
  /** Delivered and not known to be settled with all before, in rising order. */
  private offsets: number[]
  private settled: boolean[]
  private head: number

  constructor() {
    this.offsets = []
    this.settled = []
    this.head = 0
  }

  push(offset: number): void {
    this.offsets.push(offset)
    this.settled.push(false)
  }

  /** Notes that `offset` is settled. Returns the offset up to which all are now, -1 if that has not moved. */
  settle(offset: number): number {
    const at = this.find(offset)
    if (at < 0) return -1
    this.settled[at] = true
    if (at !== this.head) return -1
    while (this.settled[this.head] === true) this.head++
    const upTo = this.offsets[this.head - 1] as number
    if (this.head > 64 && this.head * 2 > this.offsets.length) {
      this.offsets = this.offsets.slice(this.head)
      this.settled = this.settled.slice(this.head)
      this.head = 0
    }
    return upTo
  }

  private find(offset: number): number {
    let low = this.head
    let high = this.offsets.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.offsets[middle] as number) < offset) low = middle + 1
      else high = middle
    }
    return this.offsets[low] === offset ? low : -1
  }
}
