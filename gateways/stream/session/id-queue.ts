// Publishing ids that wait for their confirm, as the bytes that they came in.

import { Buffer } from 'node:buffer'
import { viewOf } from '../../../shared/bytes/view.ts'

const firstBytes: number = 8 * 256

/** First in, first out; `bytes[at..]` holds the oldest ones in order. */
export class IdQueue {
  bytes: Buffer
  at: number
  private end: number

  constructor() {
    this.bytes = Buffer.alloc(firstBytes)
    this.at = 0
    this.end = 0
  }

  /** Ids that wait. */
  count(): number {
    return (this.end - this.at) / 8
  }

  // HOT: once per entry published
  /** Adds the eight bytes of `from` at `index`. */
  push(from: DataView, index: number): void {
    if (this.end === this.bytes.length) this.makeRoom()
    const to = viewOf(this.bytes)
    to.setUint32(this.end, from.getUint32(index))
    to.setUint32(this.end + 4, from.getUint32(index + 4))
    this.end += 8
  }

  /** Takes the `count` oldest ones away. */
  drop(count: number): void {
    this.at += 8 * count
    if (this.at < this.end) return
    this.at = 0
    this.end = 0
  }

  private makeRoom(): void {
    const { bytes, at, end } = this
    const size = end - at
    // Mostly dropped already: moved to the front instead.
    if (at < size) this.bytes = Buffer.alloc(bytes.length * 2)
    bytes.copy(this.bytes, 0, at, end)
    this.at = 0
    this.end = size
  }
}
