// Deliveries that wait until the client takes more: a ring of words, so that holding one allocates
// nothing. What an entry refers to is pinned, since its record is given back.
//
//   size of all | feed | shard | delivery id | flags | entry words, extents, place

import type { GatewayPort } from '../../../shared/bus/gateway-port.ts'
import { entryWords, extentWords } from '../../../shared/bus/wire.ts'

/** Words in front of an entry. */
export const heldHead = 5
const firstCapacity = 512
/** Words of the place behind an entry. */
const placeWords = 2

export class HeldDeliveries {
  count: number
  words: Int32Array
  private readonly port: GatewayPort
  /** Of the first one; those behind it follow without gaps. */
  private head: number
  private end: number

  constructor(port: GatewayPort) {
    this.port = port
    this.count = 0
    this.words = noWords
    this.head = 0
    this.end = 0
  }

  // HOT: once per held delivery
  /** Keeps the delivery whose entry is at `words[at]`. */
  push(
    feed: number,
    shard: number,
    words: Int32Array,
    at: number,
    deliveryId: number,
    flags: number,
  ): void {
    const entry = entryWords + (words[at + 6] as number) * extentWords + placeWords
    const size = heldHead + entry
    if (this.end + size > this.words.length) this.makeRoom(size)
    const to = this.words
    const { end } = this
    to[end] = size
    to[end + 1] = feed
    to[end + 2] = shard
    to[end + 3] = deliveryId
    to[end + 4] = flags
    for (let i = 0; i < entry; i++) to[end + heldHead + i] = words[at + i] as number
    this.end = end + size
    this.count++
    this.pin(end, true)
  }

  /** Index of the first one in `words`. */
  first(): number {
    return this.head
  }

  /** Takes the first one out. */
  shift(): void {
    this.pin(this.head, false)
    this.head += this.words[this.head] as number
    this.count--
    if (this.count > 0) return
    this.head = 0
    this.end = 0
  }

  clear(): void {
    while (this.count > 0) this.shift()
  }

  private makeRoom(size: number): void {
    const used = this.end - this.head
    let capacity = Math.max(firstCapacity, this.words.length)
    while (used + size > capacity / 2) capacity *= 2
    const words = capacity === this.words.length ? this.words : new Int32Array(capacity)
    words.set(this.words.subarray(this.head, this.end))
    this.words = words
    this.head = 0
    this.end = used
  }

  private pin(at: number, hold: boolean): void {
    const { words } = this
    const link = this.port.link(words[at + 2] as number)
    const entry = at + heldHead
    const extents = words[entry + 6] as number
    if (hold) link.pin(words[entry] as number)
    else link.unpin(words[entry] as number)
    for (let i = 0; i < extents; i++) {
      const slab = words[entry + entryWords + i * extentWords] as number
      if (hold) link.pin(slab)
      else link.unpin(slab)
    }
  }
}

const noWords = new Int32Array(0)
