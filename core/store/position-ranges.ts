// A set of positions as ranges, in order. Made for sets of few ranges, or that grow at their end.

export class PositionRanges {
  private readonly starts: number[]
  private readonly ends: number[]

  constructor() {
    this.starts = []
    this.ends = []
  }

  has(position: number): boolean {
    const i = this.indexOf(position)
    return i < this.starts.length && (this.starts[i] as number) <= position
  }

  /** How many of [from, to) are not in the set. */
  countOutside(from: number, to: number): number {
    let outside = 0
    let at = from
    for (let i = this.indexOf(from); at < to; i++) {
      const start = i < this.starts.length ? Math.min(to, this.starts[i] as number) : to
      if (start > at) outside += start - at
      if (start >= to) break
      at = Math.max(at, this.ends[i] as number)
    }
    return outside
  }

  /** Adds [from, to). */
  add(from: number, to: number): void {
    if (to <= from) return
    const { starts, ends } = this
    const last = ends.length - 1
    if (last < 0 || from > (ends[last] as number)) {
      starts.push(from)
      ends.push(to)
      return
    }
    // The first range that touches the new one, and the one behind the last that does.
    const first = this.indexOf(from - 1)
    let end = first
    let low = from
    let high = to
    while (end < starts.length && (starts[end] as number) <= to) {
      low = Math.min(low, starts[end] as number)
      high = Math.max(high, ends[end] as number)
      end++
    }
    if (end === first + 1) {
      starts[first] = low
      ends[first] = high
      return
    }
    starts.splice(first, end - first, low)
    ends.splice(first, end - first, high)
  }

  /** Index of the first range that ends above `position`. */
  private indexOf(position: number): number {
    let low = 0
    let high = this.ends.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.ends[middle] as number) <= position) low = middle + 1
      else high = middle
    }
    return low
  }
}
