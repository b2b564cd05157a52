// The levels of a queue: one, unless it has priorities. Each is a list of what waits, with a part of the
// log where the queue is durable.

import type { QueueLog } from '../log/log.ts'
import { levelOf, levelSpan } from '../log/log.ts'
import type { BacklogContext, BacklogQueue } from './backlog.ts'
import { Backlog } from './backlog.ts'
import type { DeathReason } from './death.ts'
import { ReadyList } from './ready-list.ts'

/** The queue whose levels these are. */
export interface LeveledQueue extends BacklogQueue {
  readonly id: number
  readonly durable: boolean
}

export class Levels {
  readonly lowest: ReadyList
  /** Of the lowest level; undefined in a transient queue. */
  readonly log: QueueLog | undefined
  private readonly queue: LeveledQueue
  private readonly context: BacklogContext
  private readonly backlogs: (Backlog | undefined)[]

  constructor(queue: LeveledQueue, context: BacklogContext) {
    this.queue = queue
    this.context = context
    this.backlogs = []
    this.lowest = this.open(0)
    this.log = this.backlogs[0]?.log
  }

  /** Makes the list of a level that gets its first message. */
  open(level: number): ReadyList {
    const { queue, context, backlogs } = this
    const list = new ReadyList(level * levelSpan)
    const backlog = new Backlog(queue, list, context)
    while (backlogs.length <= level) backlogs.push(undefined)
    backlogs[level] = backlog
    if (queue.durable) backlog.log = context.log.openQueue(queue.id, backlog, level)
    return list
  }

  // HOT: once per message of a queue with priorities
  /** Where the message at `position` is logged; undefined in a transient queue. */
  logOf(position: number): QueueLog | undefined {
    return position < levelSpan ? this.log : this.backlogs[levelOf(position)]?.log
  }

  isLogged(position: number): boolean {
    const log = this.logOf(position)
    return log !== undefined && this.context.log.isAlive(log, position)
  }

  /** Reads on in what is on disk of a level. */
  fetch(level: number): void {
    const log = this.backlogs[level]?.log
    if (log !== undefined) this.context.log.fetch(log)
  }

  /** Messages that are on disk only. */
  onDiskCount(): number {
    let count = 0
    for (const backlog of this.backlogs) count += backlog?.list.stored.onDisk ?? 0
    return count
  }

  /** What is on disk only is settled unread. */
  dropStored(): void {
    for (const backlog of this.backlogs) backlog?.dropStored()
  }

  /** The message at `position`, which is on disk only and waits no more, dies once it is read back. */
  lapse(position: number, reason: DeathReason): void {
    this.at(position)?.shelf.lapse(position, reason)
  }

  /** Too many are dying: the message stays, out of memory if need be, until fewer are. False for one that is not logged. */
  shelve(row: number, position: number): boolean {
    if (!this.isLogged(position)) return false
    this.at(position)?.shelf.put(row, position)
    return true
  }

  /** The level of a position. */
  at(position: number): Backlog | undefined {
    return this.backlogs[levelOf(position)]
  }

  /** The first position from `from` on of what waits and is on disk only, and its level's log. */
  nextStored(from: number): { readonly position: number; readonly log: QueueLog } | undefined {
    for (let level = levelOf(from); level < this.backlogs.length; level++) {
      const backlog = this.backlogs[level]
      if (backlog?.log === undefined) continue
      const position = backlog.nextStored(Math.max(from, level * levelSpan))
      if (position < Number.POSITIVE_INFINITY) return { position, log: backlog.log }
    }
    return undefined
  }

  /** There is room for deaths. */
  goOnDying(): void {
    for (const backlog of this.backlogs) backlog?.shelf.goOn()
  }

  /** The queue is gone. */
  destroy(): void {
    for (const backlog of this.backlogs) backlog?.destroy()
    if (this.log !== undefined) this.context.log.deleteQueue(this.log)
  }
}
