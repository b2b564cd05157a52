// How many bytes of messages the records of a ring refer to that its reader has not released yet. Of
// small messages the ring is full first; of large ones it would take far more than memory.

/** Marks are so far apart: the sum is that exact. */
const markBytes: number = 1024 * 1024

export class BytesAhead {
  bytes: number
  /** Pairs: total of the ring, and the bytes from the mark before up to it. */
  private marks: number[]
  private sinceMark: number
  private last: number

  constructor() {
    this.bytes = 0
    this.marks = []
    this.sinceMark = 0
    this.last = 0
  }

  // HOT: once per publish
  /** A record refers to `size` bytes; the ring's total behind it is `position`. */
  add(size: number, position: number): void {
    this.bytes += size
    this.sinceMark += size
    this.last = position
    if (this.sinceMark < markBytes) return
    this.marks.push(position, this.sinceMark)
    this.sinceMark = 0
  }

  /** The reader has released all up to `position`. */
  release(position: number): void {
    const { marks } = this
    let done = 0
    while (done < marks.length && (marks[done] as number) <= position) {
      this.bytes -= marks[done + 1] as number
      done += 2
    }
    if (done > 0) this.marks = marks.slice(done)
    if (this.last <= position) {
      this.bytes -= this.sinceMark
      this.sinceMark = 0
    }
  }
}
