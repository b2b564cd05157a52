// Reads messages of a queue that wait and are on disk only, while they stay where they are: little by
// little, from a position on. Who looks decides what becomes of each.

import { AliveSet } from '../log/alive-set.ts'
import type { Log, QueueLog, SomeSink } from '../log/log.ts'
import type { Annotations } from './annotations.ts'

/** The queue that is looked into. */
export interface StoredQueue {
  readonly deleted: boolean
  readonly annotations: Annotations | undefined
  nextStored(from: number): { readonly position: number; readonly log: QueueLog } | undefined
}

export class DiskLook implements SomeSink {
  /** All that it looks for is below. */
  readonly to: number
  private readonly queue: StoredQueue
  private readonly wanted: AliveSet
  private readonly readOn: () => void
  private readonly onMessage: (row: number, position: number) => void
  private readonly onEnd: (exhausted: boolean) => void

  /**
   * Looks for the first `count` messages from `from` on, which has to be that of a stored message, of its level
   * alone. `onMessage` takes over a hold on the row; `onEnd` tells that a piece was read, `exhausted` that
   * all were.
   */
  constructor(
    queue: StoredQueue,
    log: Log,
    from: { readonly position: number; readonly log: QueueLog },
    count: number,
    onMessage: (row: number, position: number) => void,
    onEnd: (exhausted: boolean) => void,
  ) {
    this.queue = queue
    this.wanted = new AliveSet()
    this.onMessage = onMessage
    this.onEnd = onEnd
    let next = queue.nextStored(from.position)
    let to = from.position
    while (next?.log === from.log && this.wanted.count < count) {
      this.wanted.add(next.position)
      to = next.position + 1
      next = queue.nextStored(to)
    }
    this.to = to
    this.readOn = log.readSome(from.log, this.wanted, this)
  }

  /** Reads the next piece; `onEnd` follows. False when the queue is gone: nothing follows. */
  read(): boolean {
    if (this.queue.deleted) return false
    this.readOn()
    return true
  }

  /** SomeSink. */
  loadSome(row: number, position: number): void {
    this.wanted.remove(position)
    const { annotations } = this.queue
    const told = annotations === undefined ? row : annotations.apply(row, position)
    this.onMessage(told, position)
  }

  /** SomeSink. */
  someEnd(exhausted: boolean): void {
    this.onEnd(exhausted || this.wanted.count === 0)
  }
}
