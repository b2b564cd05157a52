// The returned messages of one queue.

import type { MessageTable } from '../message/message-table.ts'

const firstCapacity = 16

/** A binary heap of rows, least position first. */
export class PositionHeap {
  count: number
  private rows: Int32Array
  private positions: Float64Array

  constructor() {
    this.count = 0
    this.rows = new Int32Array(firstCapacity)
    this.positions = new Float64Array(firstCapacity)
  }

  row(): number {
    return this.rows[0] as number
  }

  position(): number {
    return this.positions[0] as number
  }

  push(row: number, position: number): void {
    if (this.count === this.rows.length) this.grow()
    const rows = this.rows
    const positions = this.positions
    let i = this.count++
    while (i > 0) {
      const parent = (i - 1) >> 1
      if ((positions[parent] as number) <= position) break
      rows[i] = rows[parent] as number
      positions[i] = positions[parent] as number
      i = parent
    }
    rows[i] = row
    positions[i] = position
  }

  pop(): number {
    const rows = this.rows
    const positions = this.positions
    const first = rows[0] as number
    const last = --this.count
    const row = rows[last] as number
    const position = positions[last] as number
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= last) break
      if (child + 1 < last && (positions[child + 1] as number) < (positions[child] as number))
        child++
      if ((positions[child] as number) >= position) break
      rows[i] = rows[child] as number
      positions[i] = positions[child] as number
      i = child
    }
    rows[i] = row
    positions[i] = position
    return first
  }

  /** Bytes of the bodies of all its messages. */
  bytes(messages: MessageTable): number {
    let bytes = 0
    for (let i = 0; i < this.count; i++)
      bytes += messages.bodySize[this.rows[i] as number] as number
    return bytes
  }

  each(from: number, onMessage: (row: number, position: number) => void): void {
    for (let i = 0; i < this.count; i++) {
      const position = this.positions[i] as number
      if (position >= from) onMessage(this.rows[i] as number, position)
    }
  }

  /** Removes what `gone` says is to go. */
  removeIf(gone: (row: number, position: number) => boolean): void {
    const { rows, positions, count } = this
    this.count = 0
    // What is pushed back never overtakes what is still to be read.
    for (let i = 0; i < count; i++) {
      const row = rows[i] as number
      const position = positions[i] as number
      if (!gone(row, position)) this.push(row, position)
    }
  }

  private grow(): void {
    const rows = new Int32Array(this.rows.length * 2)
    rows.set(this.rows)
    this.rows = rows
    const positions = new Float64Array(this.positions.length * 2)
    positions.set(this.positions)
    this.positions = positions
  }
}
