// What a log thread learns while a checkpoint passes: which queues there are, and which of their
// messages are settled. With that it can tell what of an old generation is worth keeping.

import { PositionRanges } from './position-ranges.ts'
import { joinWords, Op, settleBitsPositions } from './wal-format.ts'

export class DeadPositions {
  private readonly queues: Map<number, PositionRanges>

  constructor() {
    this.queues = new Map()
  }

  /** Takes note of the op at `words[w..]`, if it is settle, settle bits or queue deleted. */
  note(words: Int32Array, w: number): void {
    const type = (words[w] as number) & 255
    if (type !== Op.settle && type !== Op.settleBits && type !== Op.queueDeleted) return
    const id = words[w + 1] as number
    if (type === Op.queueDeleted) {
      this.queues.delete(id)
      return
    }
    let queue = this.queues.get(id)
    if (queue === undefined) {
      queue = new PositionRanges()
      this.queues.set(id, queue)
    }
    const from = joinWords(words[w + 2] as number, words[w + 3] as number)
    if (type === Op.settle) {
      queue.add(from, from + joinWords(words[w + 4] as number, words[w + 5] as number))
      return
    }
    for (let i = 0; i < settleBitsPositions; i++) {
      if (((words[w + 4 + (i >> 5)] as number) & (1 << (i & 31))) === 0) {
        queue.add(from + i, from + i + 1)
      }
    }
  }

  /** How many of the messages in [from, to) may be needed, at most. */
  countAlive(queue: number, from: number, to: number): number {
    return this.queues.get(queue)?.countOutside(from, to) ?? 0
  }

  /** Whether the message may be needed: its queue was named and it is not settled. */
  isAlive(queue: number, position: number): boolean {
    const dead = this.queues.get(queue)
    return dead !== undefined && !dead.has(position)
  }
}
