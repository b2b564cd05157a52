// Which positions of which queues a generation of the log holds: from and to, per queue.

import { levelSpan } from '../log/log.ts'
import type { DeadPositions } from './dead-positions.ts'
import { levelKey, queueOfKey } from './wal-queue.ts'

interface Span {
  from: number
  /** One more than the highest. */
  to: number
}

export class GenerationSpan {
  /** By `levelKey`. */
  private readonly queues: Map<number, Span>
  /** The level noted last. */
  private key: number
  private span: Span

  constructor() {
    this.queues = new Map()
    this.key = -1
    this.span = { from: 0, to: 0 }
  }

  // HOT: once per persistent message and durable queue
  note(queue: number, position: number): void {
    const key = position < levelSpan ? queue : levelKey(queue, position)
    if (key !== this.key) this.turnTo(key, position)
    const { span } = this
    if (position >= span.to) span.to = position + 1
    else if (position < span.from) span.from = position
  }

  /** Messages that may be alive, at most; not more than `limit` queues are looked at. */
  aliveMax(dead: DeadPositions, limit: number): number {
    if (this.queues.size > limit) return Number.POSITIVE_INFINITY
    let alive = 0
    for (const [key, { from, to }] of this.queues) {
      alive += dead.countAlive(queueOfKey(key), from, to)
    }
    return alive
  }

  private turnTo(key: number, position: number): void {
    let span = this.queues.get(key)
    if (span === undefined) {
      span = { from: position, to: position }
      this.queues.set(key, span)
    }
    this.key = key
    this.span = span
  }
}
