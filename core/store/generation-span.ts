// Which positions of which queues a generation of the log holds: from and to, per queue.

import type { DeadPositions } from './dead-positions.ts'

interface Span {
  from: number
  /** One more than the highest. */
  to: number
}

export class GenerationSpan {
  private readonly queues: Map<number, Span>
  /** The queue noted last. */
  private queue: number
  private span: Span

  constructor() {
    this.queues = new Map()
    this.queue = -1
    this.span = { from: 0, to: 0 }
  }

  // HOT: once per persistent message and durable queue
  note(queue: number, position: number): void {
    if (queue !== this.queue) this.turnTo(queue, position)
    const { span } = this
    if (position >= span.to) span.to = position + 1
    else if (position < span.from) span.from = position
  }

  /** Messages that may be alive, at most; not more than `limit` queues are looked at. */
  aliveMax(dead: DeadPositions, limit: number): number {
    if (this.queues.size > limit) return Number.POSITIVE_INFINITY
    let alive = 0
    for (const [queue, { from, to }] of this.queues) alive += dead.countAlive(queue, from, to)
    return alive
  }

  private turnTo(queue: number, position: number): void {
    let span = this.queues.get(queue)
    if (span === undefined) {
      span = { from: position, to: position }
      this.queues.set(queue, span)
    }
    this.queue = queue
    this.span = span
  }
}
