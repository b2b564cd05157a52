// Listens to a ring without being its reader: sees every record once, as soon as it is published, and
// how far the reader has released.

const head = 0
const tail = 16
const controlWords = 48

export class RingTap {
  readonly words: Int32Array
  readonly bytes: Buffer
  /** Position behind the record that `next` gave last. */
  end: number
  private readonly control: Int32Array

  constructor(memory: SharedArrayBuffer) {
    this.control = new Int32Array(memory, 0, controlWords)
    this.words = new Int32Array(memory, controlWords * 4)
    this.bytes = Buffer.from(memory, controlWords * 4)
    this.end = Atomics.load(this.control, tail)
  }

  /** Index of the next record, -1 at the end of what is published. */
  next(): number {
    const limit = Atomics.load(this.control, head)
    while (this.end !== limit) {
      const index = this.end & (this.words.length - 1)
      const first = this.words[index] as number
      this.end = (this.end + (first >>> 8)) | 0
      if ((first & 255) !== 0) return index
    }
    return -1
  }

  /** Whether the reader has released everything up to `position`. */
  passed(position: number): boolean {
    return ((Atomics.load(this.control, tail) - position) | 0) >= 0
  }
}
