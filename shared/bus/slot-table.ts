// Small integers for things that records name: dense, reused, O(1).

/** A table of slots from 1 up; 0 is never used, so that it can mean none. */
export class SlotTable<T> {
  private readonly slots: (T | undefined)[]
  private readonly free: number[]

  constructor() {
    this.slots = [undefined]
    this.free = []
  }

  /** Stores `value` and returns its slot. */
  add(value: T): number {
    const slot = this.free.pop()
    if (slot === undefined) return this.slots.push(value) - 1
    this.slots[slot] = value
    return slot
  }

  // HOT: once per record
  get(slot: number): T | undefined {
    return this.slots[slot]
  }

  /** Puts `value` at a slot that another table chose. */
  set(slot: number, value: T): void {
    while (this.slots.length <= slot) this.slots.push(undefined)
    this.slots[slot] = value
  }

  /** Empties a slot for reuse; returns what it held. */
  remove(slot: number): T | undefined {
    const value = this.slots[slot]
    if (value === undefined) return undefined
    this.slots[slot] = undefined
    this.free.push(slot)
    return value
  }

  /** The values present, in slot order. */
  *values(): IterableIterator<T> {
    for (const value of this.slots) if (value !== undefined) yield value
  }
}
