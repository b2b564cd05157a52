// Positions by the time at which they are due, the soonest first; of equal times, the lower position.
// 16 bytes each, in two columns.

const firstCapacity = 64

export class DueHeap {
  size: number
  private dues: Float64Array
  private positions: Float64Array

  constructor() {
    this.size = 0
    this.dues = new Float64Array(firstCapacity)
    this.positions = new Float64Array(firstCapacity)
  }

  // HOT: once per delayed message
  push(due: number, position: number): void {
    if (this.size === this.dues.length) this.grow()
    this.rise(this.size++, due, position)
  }

  /** When the first is due; `Infinity` when there is none. */
  due(): number {
    return this.size === 0 ? Number.POSITIVE_INFINITY : (this.dues[0] as number)
  }

  /** The position that is due first. */
  first(): number {
    return this.positions[0] as number
  }

  // HOT: once per delayed message
  /** Takes the first away. */
  pop(): void {
    const last = --this.size
    const due = this.dues[last] as number
    const position = this.positions[last] as number
    if (last > 0) this.sink(due, position)
  }

  /** The entry with index `i` (0 to `size`, in no order) is due then. */
  dueAt(i: number): number {
    return this.dues[i] as number
  }

  positionAt(i: number): number {
    return this.positions[i] as number
  }

  /** The index of a position, or -1. Looks at all. */
  indexOf(position: number): number {
    const { positions, size } = this
    for (let i = 0; i < size; i++) if (positions[i] === position) return i
    return -1
  }

  /** Makes the entry with index `i` due before all others. */
  hurry(i: number): void {
    this.rise(i, Number.NEGATIVE_INFINITY, this.positions[i] as number)
  }

  /** Indices of the `count` entries that are due first, in order. */
  soonest(count: number): number[] {
    const found: number[] = []
    const candidates = this.size === 0 ? [] : [0]
    while (found.length < count && candidates.length > 0) {
      let best = 0
      for (let c = 1; c < candidates.length; c++) {
        if (this.isBefore(candidates[c] as number, candidates[best] as number)) best = c
      }
      const i = candidates[best] as number
      const last = candidates.pop() as number
      if (best < candidates.length) candidates[best] = last
      found.push(i)
      for (const child of [2 * i + 1, 2 * i + 2]) if (child < this.size) candidates.push(child)
    }
    return found
  }

  private isBefore(i: number, j: number): boolean {
    const a = this.dues[i] as number
    const b = this.dues[j] as number
    return a < b || (a === b && (this.positions[i] as number) < (this.positions[j] as number))
  }

  private rise(from: number, due: number, position: number): void {
    const { dues, positions } = this
    let i = from
    while (i > 0) {
      const parent = (i - 1) >> 1
      const other = dues[parent] as number
      if (other < due || (other === due && (positions[parent] as number) < position)) break
      dues[i] = other
      positions[i] = positions[parent] as number
      i = parent
    }
    dues[i] = due
    positions[i] = position
  }

  private sink(due: number, position: number): void {
    const { dues, positions, size } = this
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= size) break
      if (child + 1 < size && this.isBefore(child + 1, child)) child++
      const other = dues[child] as number
      if (due < other || (due === other && position < (positions[child] as number))) break
      dues[i] = other
      positions[i] = positions[child] as number
      i = child
    }
    dues[i] = due
    positions[i] = position
  }

  private grow(): void {
    const capacity = this.dues.length * 2
    const dues = new Float64Array(capacity)
    const positions = new Float64Array(capacity)
    dues.set(this.dues)
    positions.set(this.positions)
    this.dues = dues
    this.positions = positions
  }
}
