// A single-producer single-consumer ring of 32-bit words in shared memory.
//
//   control words (one cache line each)         data words (a power of two)
//   [0] head: words published by the writer     ... record | record | pad | record ...
//   [16] tail: words released by the reader
//   [32] 1 while the writer waits for room
//
// A record is contiguous: word 0 = length in words << 8 | record type, then its fields and bytes.
// A record that would cross the end is preceded by a pad record that fills the rest.
// Positions count up for ever (mod 2^32); an index is position & mask.

const head = 0
const tail = 16
const waiting = 32
const controlWords = 48
const padType = 0

/** Words in the largest record that a ring of `capacity` words takes. */
export function recordWordsMax(capacity: number): number {
  return capacity >>> 2
}

/** Shared memory of one ring that holds `capacityWords` (a power of two) words of records. */
export function createRing(capacityWords: number): SharedArrayBuffer {
  return new SharedArrayBuffer((controlWords + capacityWords) * 4)
}

/** The one writing end of a ring. */
export class RingWriter {
  readonly words: Int32Array
  readonly bytes: Buffer
  /** Words ever written, padding included; what a slab reference is compared with. */
  total: number
  private readonly control: Int32Array
  private readonly capacity: number
  private readonly mask: number
  private position: number
  private published: number
  private seenTail: number

  constructor(memory: SharedArrayBuffer) {
    this.control = new Int32Array(memory, 0, controlWords)
    this.words = new Int32Array(memory, controlWords * 4)
    this.bytes = Buffer.from(memory, controlWords * 4)
    this.capacity = this.words.length
    this.mask = this.capacity - 1
    this.position = Atomics.load(this.control, head)
    this.published = this.position
    this.seenTail = Atomics.load(this.control, tail)
    // Starts above 2^31 so that the field is a double from the beginning and never changes kind.
    this.total = 2 ** 32
  }

  // HOT: once per record; bench/micro/ring.ts
  /**
   * Index into `words` where `count` contiguous words may be written, or -1 while the ring is full.
   * Nothing is seen by the reader until `commit` and `publish`.
   */
  reserve(count: number): number {
    const index = this.position & this.mask
    const rest = this.capacity - index
    const need = count <= rest ? count : rest + count
    if (this.capacity - ((this.position - this.seenTail) | 0) < need) {
      this.seenTail = Atomics.load(this.control, tail)
      if (this.capacity - ((this.position - this.seenTail) | 0) < need) return -1
    }
    if (count <= rest) return index
    this.words[index] = (rest << 8) | padType
    this.position = (this.position + rest) | 0
    this.total += rest
    return 0
  }

  // HOT: once per record
  /** Ends the record of `count` words that the last `reserve(count)` began. */
  commit(count: number): void {
    this.position = (this.position + count) | 0
    this.total += count
  }

  /** True when `count` words could be reserved now. */
  hasRoom(count: number): boolean {
    // Twice the size covers the padding that a wrap may need.
    if (this.capacity - ((this.position - this.seenTail) | 0) >= 2 * count) return true
    this.seenTail = Atomics.load(this.control, tail)
    return this.capacity - ((this.position - this.seenTail) | 0) >= 2 * count
  }

  /** Shows all committed records to the reader. False when there was nothing new. */
  publish(): boolean {
    if (this.position === this.published) return false
    this.published = this.position
    Atomics.store(this.control, head, this.position)
    return true
  }

  /** Asks the reader to ring this side's doorbell after its next release. */
  awaitRoom(): void {
    Atomics.store(this.control, waiting, 1)
  }

  /** The value of `total` up to which the reader has released. */
  releasedTotal(): number {
    this.seenTail = Atomics.load(this.control, tail)
    return this.total - ((this.position - this.seenTail) >>> 0)
  }
}

/** The one reading end of a ring. */
export class RingReader {
  readonly words: Int32Array
  readonly bytes: Buffer
  private readonly control: Int32Array
  private readonly mask: number
  private position: number
  private released: number
  private limit: number

  constructor(memory: SharedArrayBuffer) {
    this.control = new Int32Array(memory, 0, controlWords)
    this.words = new Int32Array(memory, controlWords * 4)
    this.bytes = Buffer.from(memory, controlWords * 4)
    this.mask = this.words.length - 1
    this.position = Atomics.load(this.control, tail)
    this.released = this.position
    this.limit = this.position
  }

  /** Notes how far the writer has published; `next` goes no further until the next look. */
  look(): boolean {
    this.limit = Atomics.load(this.control, head)
    return this.limit !== this.position
  }

  // HOT: once per record; bench/micro/ring.ts
  /** Index of the next record in `words`, or -1 at the end of what `look` saw. */
  next(): number {
    while (this.position !== this.limit) {
      const index = this.position & this.mask
      const first = this.words[index] as number
      this.position = (this.position + (first >>> 8)) | 0
      if ((first & 255) !== padType) return index
    }
    return -1
  }

  /** Puts the record that `next` gave last back, so that it comes again. */
  unread(index: number): void {
    const size = (this.words[index] as number) >>> 8
    this.position = (this.position - size) | 0
  }

  /** Puts all records back that were read since the last `release`. */
  rewind(): void {
    this.position = this.released
  }

  /** Words released so far, mod 2^32; the writer's `total`, likewise, when it has been given back all. */
  releasedPosition(): number {
    return this.released
  }

  /** Gives the space of all records read so far back. True when the writer waits for it. */
  release(): boolean {
    if (this.position === this.released) return false
    this.released = this.position
    Atomics.store(this.control, tail, this.position)
    return (
      Atomics.load(this.control, waiting) === 1 && Atomics.exchange(this.control, waiting, 0) === 1
    )
  }
}
