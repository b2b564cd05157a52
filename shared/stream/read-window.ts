// The bytes of a segment around a reader: read once, looked at many times. Chunks of a quiet stream are
// small, and so are readers' steps.

import { Buffer } from 'node:buffer'

/** Reads up to `size` bytes of a file at `position` into `bytes[at..]`; returns how many there were. */
export type ReadAt = (
  fd: number,
  bytes: Buffer,
  at: number,
  size: number,
  position: number,
) => number

export class ReadWindow {
  /** What was read; kept until the next `find`. */
  bytes: Buffer
  private readonly readAt: ReadAt
  private readonly bytesMin: number
  private fd: number
  private position: number
  private size: number

  /** At least `bytesMin` are read at a time, where there are as many. */
  constructor(readAt: ReadAt, bytesMin: number) {
    this.bytes = Buffer.alloc(0)
    this.readAt = readAt
    this.bytesMin = bytesMin
    this.fd = -1
    this.position = 0
    this.size = 0
  }

  // HOT: once per entry read
  /**
   * Index in `bytes` of the `size` bytes at `position` of a file, -1 when they are not all there.
   * Nothing at or behind `limit` is read: it may still change.
   */
  find(fd: number, position: number, size: number, limit: number): number {
    const at = position - this.position
    if (fd === this.fd && at >= 0 && at + size <= this.size) return at
    return this.load(fd, position, size, limit)
  }

  /** Bytes in the window behind the index that `find` gave. */
  behind(index: number): number {
    return this.size - index
  }

  /** The file is closed: its number may come to mean another. */
  forget(fd: number): void {
    if (this.fd === fd) this.fd = -1
  }

  private load(fd: number, position: number, size: number, limit: number): number {
    const wanted = Math.min(Math.max(size, this.bytesMin), limit - position)
    if (wanted < size) return -1
    if (wanted > this.bytes.length || this.bytes.length > 4 * Math.max(wanted, this.bytesMin)) {
      this.bytes = Buffer.allocUnsafeSlow(wanted)
    }
    this.fd = -1
    this.size = this.readAt(fd, this.bytes, 0, wanted, position)
    this.fd = fd
    this.position = position
    return this.size < size ? -1 : 0
  }
}
