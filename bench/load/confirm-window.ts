/**
 * Which publishes of one channel still wait for their confirm. Brokers confirm ranges
 * (`multiple`), single tags, and both in any order; each publish must be counted once.
 */

/** Publish tags run from 1; at most `size` are outstanding at a time. */
export class ConfirmWindow {
  readonly size: number
  readonly #strays: Uint8Array
  readonly #mask: number
  #strayCount: number
  #nextTag: number
  #lowestOpen: number
  outstanding: number
  confirmed: number
  nacked: number

  constructor(size: number) {
    let capacity = 1
    while (capacity < size + 1) capacity *= 2
    this.size = size
    this.#strays = new Uint8Array(capacity)
    this.#mask = capacity - 1
    this.#strayCount = 0
    this.#nextTag = 1
    this.#lowestOpen = 1
    this.outstanding = 0
    this.confirmed = 0
    this.nacked = 0
  }

  /** Publishes that may be sent now. Bounded by the span of tags, so that marks never overlap. */
  room(): number {
    return this.size - (this.#nextTag - this.#lowestOpen)
  }

  /** `count` publishes were sent; `count` must not exceed `room()`. */
  sent(count: number): void {
    this.#nextTag += count
    this.outstanding += count
  }

  /** HOT: basic.ack or basic.nack from the broker. Throws on a tag that is not outstanding. */
  settle(tag: number, multiple: boolean, nack: boolean): void {
    if (tag >= this.#nextTag || tag < this.#lowestOpen) {
      throw new Error(`confirm for tag ${tag}, open are ${this.#lowestOpen}..${this.#nextTag - 1}`)
    }
    const count = multiple ? this.#settleUpTo(tag) : this.#settleOne(tag)
    this.outstanding -= count
    this.confirmed += count
    if (nack) this.nacked += count
  }

  #settleUpTo(tag: number): number {
    let count = tag - this.#lowestOpen + 1
    if (this.#strayCount > 0) {
      for (let t = this.#lowestOpen; t <= tag; t++) {
        if (this.#strays[t & this.#mask] === 1) {
          this.#strays[t & this.#mask] = 0
          this.#strayCount--
          count--
        }
      }
    }
    this.#lowestOpen = tag + 1
    if (this.#strayCount > 0) this.#skipStrays()
    return count
  }

  #settleOne(tag: number): number {
    if (tag === this.#lowestOpen) {
      this.#lowestOpen++
      if (this.#strayCount > 0) this.#skipStrays()
      return 1
    }
    if (this.#strays[tag & this.#mask] === 1) throw new Error(`tag ${tag} confirmed twice`)
    this.#strays[tag & this.#mask] = 1
    this.#strayCount++
    return 1
  }

  #skipStrays(): void {
    while (this.#strays[this.#lowestOpen & this.#mask] === 1) {
      this.#strays[this.#lowestOpen & this.#mask] = 0
      this.#strayCount--
      this.#lowestOpen++
    }
  }
}
