// Memory that hot encoders write to and use again: grows, never shrinks, has its view at hand.

import { copyBytes } from '../../../shared/bytes/copy.ts'
import { viewOf } from '../../../shared/bytes/view.ts'

/** Write at `at` after `reserve`, then advance `at`. */
export class Scratch {
  bytes: Uint8Array
  view: DataView
  at: number

  constructor(size: number) {
    this.bytes = new Uint8Array(size)
    this.view = viewOf(this.bytes)
    this.at = 0
  }

  // HOT: once per field that is written
  /** Makes sure that `size` bytes are free at `at`; may change `bytes` and `view`. */
  reserve(size: number): void {
    if (this.bytes.length - this.at < size) this.grow(size)
  }

  u8(value: number): void {
    this.reserve(1)
    this.view.setUint8(this.at++, value)
  }

  /** Appends `size` bytes of `from` at `at`. */
  copy(from: Uint8Array, at: number, size: number): void {
    this.reserve(size)
    copyBytes(from, at, this.bytes, this.at, size)
    this.at += size
  }

  private grow(size: number): void {
    const larger = new Uint8Array(Math.max(this.at + size, 2 * this.bytes.length))
    larger.set(this.bytes.subarray(0, this.at))
    this.bytes = larger
    this.view = viewOf(larger)
  }
}
