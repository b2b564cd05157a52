// How far a log is, for gateways that hold confirms back until it is there (see ConfirmGate).

import { Doorbell } from '../../shared/bus/doorbell.ts'
import { DurableWord } from '../../shared/bus/link.ts'

interface Waiter {
  readonly link: number
  readonly bell: Doorbell
  readonly awaits: Int32Array
}

/** The log thread's end. */
export class DurableMark {
  private readonly durable: Int32Array
  private readonly waiters: Waiter[]

  constructor(durable: SharedArrayBuffer) {
    this.durable = new Int32Array(durable)
    this.waiters = []
  }

  /** A gateway has come; `awaits` is its ConfirmGate's. */
  add(link: number, bell: SharedArrayBuffer, awaits: SharedArrayBuffer): void {
    this.waiters.push({ link, bell: new Doorbell(bell), awaits: new Int32Array(awaits) })
  }

  remove(link: number): void {
    const index = this.waiters.findIndex((waiter) => waiter.link === link)
    if (index >= 0) this.waiters.splice(index, 1)
  }

  /** Whether the shard wants to know of a commit. */
  isShardAwaiting(): boolean {
    return Atomics.load(this.durable, DurableWord.unwanted) === 0
  }

  /** All up to `position` (words of the ring, mod 2^32) is synced: wakes the gateways that wait. */
  advance(position: number): void {
    Atomics.store(this.durable, DurableWord.position, position)
    for (const { awaits, bell } of this.waiters) {
      if (Atomics.load(awaits, 0) === 1 && Atomics.exchange(awaits, 0, 0) === 1) bell.ring()
    }
  }
}
