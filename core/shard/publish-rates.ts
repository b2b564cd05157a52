// How fast may be published: to a queue, by a user, into a vhost. Every message moves the time at
// which the next one is welcome on by the inverse of the rate (the "generic cell rate algorithm"); a
// publisher that is ahead of that time is held until it is reached, no message is refused. All
// shards share the times, so that a rate holds for the node, through whatever shards it is used.
//
//   slots      per limited thing: when its next message is welcome, microseconds since 1970 (Int64)
//   keys       hash of its name (Int64); 0: free. Found by linear probing, never freed.

import { createHash } from 'node:crypto'

const slots = 16 * 1024
/** A publisher may be this far ahead before it is held: what comes in bursts is not slowed down. */
const toleranceUs = 100_000
/** Also for a rate of 0. */
const perMessageUsMax = 3_600_000_000
/** One hold lasts at most this long; then the publisher may send something, and is held again. */
const holdMsMax = 1000

/** The memory that all shards of a node share. */
export function createRateMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(2 * 8 * slots)
}

/** A limit as messages are charged for it. */
export interface RateLimit {
  readonly slot: number
  readonly perMessageUs: bigint
}

export class PublishRates {
  private readonly times: BigInt64Array
  private readonly keys: BigInt64Array

  constructor(memory: SharedArrayBuffer) {
    this.times = new BigInt64Array(memory, 0, slots)
    this.keys = new BigInt64Array(memory, 8 * slots, slots)
  }

  /** `name` (unique in the node) may take `rate` messages a second. */
  limit(name: string, rate: number): RateLimit {
    const perMessageUs = BigInt(Math.max(1, Math.min(perMessageUsMax, Math.round(1e6 / rate))))
    return { slot: this.slotOf(name), perMessageUs }
  }

  /** `messages` go to all of these at `wall` (milliseconds since 1970): how long their publisher is to wait, in milliseconds. */
  charge(limits: readonly RateLimit[], wall: number, messages: number): number {
    const now = BigInt(Math.round(wall * 1000))
    let waitUs = 0
    for (const { slot, perMessageUs } of limits) {
      const costUs = perMessageUs * BigInt(messages)
      const before = Atomics.add(this.times, slot, costUs)
      if (before < now) {
        // Nobody has used it for a while: what was not used then is not to be had now.
        Atomics.compareExchange(this.times, slot, before + costUs, now + costUs)
      } else waitUs = Math.max(waitUs, Number(before + costUs - now) - toleranceUs)
    }
    return waitUs <= 0 ? 0 : Math.min(holdMsMax, Math.ceil(waitUs / 1000))
  }

  private slotOf(name: string): number {
    const hash = createHash('sha256').update(name).digest().readBigInt64LE()
    const key = hash === 0n ? 1n : hash
    let slot = Number(BigInt.asUintN(32, key)) % slots
    for (let i = 0; i < slots; i++) {
      const found = Atomics.compareExchange(this.keys, slot, 0n, key)
      if (found === 0n || found === key) return slot
      slot = (slot + 1) % slots
    }
    // Very many have come and gone: this one shares a slot, and is held more than it should be.
    return slot
  }
}
