// Confirms that a shard has sent ahead, held at the gateway until the shard's log has come so far. The
// log thread wakes the gateway itself, so a confirm does not wait for the shard's next turn.

import type { ConfirmGate } from './link.ts'
import { DurableWord } from './link.ts'

/** Takes a confirm whose messages are durable. */
export type TakeConfirm = (channel: number, count: number, nack: boolean) => void

/** Words of a held confirm: channel, count, 1: nack, position. */
const heldWords = 4
/** Words that were taken and still lie in front, at most. */
const compactFrom = 4096

/** Of one link. Confirms of one channel leave in the order in which they came. */
export class HeldConfirms {
  private readonly durable: Int32Array
  private readonly awaits: Int32Array
  private readonly held: number[]
  private from: number
  /** Held confirms by channel. */
  private readonly counts: Map<number, number>

  constructor(gate: ConfirmGate) {
    this.durable = new Int32Array(gate.durable)
    this.awaits = new Int32Array(gate.awaits)
    this.held = []
    this.from = 0
    this.counts = new Map()
  }

  /** Whether anything is held. */
  isEmpty(): boolean {
    return this.counts.size === 0
  }

  /** Whether a confirm of `channel` that needs no wait has to wait behind others of that channel. */
  holdsFor(channel: number): boolean {
    return this.counts.has(channel)
  }

  // HOT: once per batch and channel
  /** Keeps a confirm until the log has reached `position` (words, mod 2^32). */
  hold(channel: number, count: number, nack: number, position: number): void {
    this.held.push(channel, count, nack, position)
    this.counts.set(channel, (this.counts.get(channel) ?? 0) + 1)
  }

  /** Keeps a confirm that waits for nothing but what is held of its channel. */
  holdBehind(channel: number, count: number, nack: number): void {
    this.hold(channel, count, nack, this.held[this.held.length - 1] as number)
  }

  /**
   * Hands on what is durable by now. For what is left the log thread will ring the gateway's bell.
   * True when there was anything.
   */
  release(take: TakeConfirm): boolean {
    let any = this.takeDurable(take)
    while (!this.isEmpty()) {
      Atomics.store(this.awaits, 0, 1)
      // The log may have moved between the two looks.
      if (!this.takeDurable(take)) break
      any = true
    }
    return any
  }

  /** The channel has gone, and its number is free for another one. */
  forget(channel: number): void {
    if (!this.counts.delete(channel)) return
    const { held } = this
    let to = 0
    for (let i = this.from; i < held.length; i += heldWords) {
      if (held[i] === channel) continue
      for (let k = 0; k < heldWords; k++) held[to + k] = held[i + k] as number
      to += heldWords
    }
    held.length = to
    this.from = 0
  }

  private takeDurable(take: TakeConfirm): boolean {
    const { held } = this
    const durable = Atomics.load(this.durable, DurableWord.position)
    let any = false
    // Whoever takes one may forget a channel, so nothing is remembered over the call.
    while (this.from < held.length && this.isReached(this.from, durable)) {
      const channel = held[this.from] as number
      const nack = held[this.from + 2] as number
      let count = 0
      let taken = 0
      do {
        count += held[this.from + 1] as number
        this.from += heldWords
        taken++
      } while (
        held[this.from] === channel &&
        held[this.from + 2] === nack &&
        this.isReached(this.from, durable)
      )
      const left = (this.counts.get(channel) ?? taken) - taken
      if (left === 0) this.counts.delete(channel)
      else this.counts.set(channel, left)
      any = true
      take(channel, count, nack === 1)
    }
    if (this.from === held.length) held.length = 0
    else if (this.from > compactFrom) held.splice(0, this.from)
    else return any
    this.from = 0
    return any
  }

  private isReached(i: number, durable: number): boolean {
    return ((durable - (this.held[i + 3] as number)) | 0) >= 0
  }
}
