// The log's side of a queue, or of one level of a queue with priorities: what leaves memory because it
// can be read back, what comes back, and what a restart puts back.

import { AliveSet } from '../log/alive-set.ts'
import type { BacklogOwner, QueueLog } from '../log/log.ts'
import type { MessageTable } from '../message/message-table.ts'
import type { DeathReason } from './death.ts'
import type { Marks } from './marks.ts'
import type { ReadyList } from './ready-list.ts'

/** What a backlog asks of its queue. */
export interface BacklogQueue {
  readonly marks: Marks | undefined
  /** Why the message was dying when the node stopped; undefined: it was not. */
  dyingOf(position: number): DeathReason | undefined
  die(row: number, position: number, reason: DeathReason): void
  restoreExpiry(position: number, at: number): void
  restoreMark(position: number, word: number): void
  restoreLevel(level: number): void
  /** What was asked for has come back, or has not: deliveries may go on. */
  readBack(): void
}

export class Backlog implements BacklogOwner {
  readonly list: ReadyList
  /** Undefined in a transient queue. */
  log: QueueLog | undefined
  private readonly queue: BacklogQueue
  private readonly messages: MessageTable
  private readonly memoryBudget: number
  /** Messages on disk only whose time has come: they die when they are read back. */
  private lapsed: AliveSet | undefined

  constructor(queue: BacklogQueue, list: ReadyList, messages: MessageTable, memoryBudget: number) {
    this.queue = queue
    this.list = list
    this.messages = messages
    this.memoryBudget = memoryBudget
    this.log = undefined
    this.lapsed = undefined
  }

  /** The message at `position`, which is on disk only and waits no more, dies once it is read back. */
  lapse(position: number): void {
    this.lapsed ??= new AliveSet()
    this.lapsed.add(position)
  }

  get marks(): Marks | undefined {
    return this.queue.marks
  }

  restore(row: number, position: number): void {
    const reason = this.queue.dyingOf(position)
    if (reason !== undefined) {
      this.queue.die(row, position, reason)
      return
    }
    this.list.restore(row, position)
  }

  restoreStored(count: number, from: number, to: number, bytes: number): void {
    this.list.restoreStored(count, from, to, bytes)
  }

  restoreEnd(next: number, deliveredTo: number): void {
    this.list.startAt(next, deliveredTo)
    this.queue.readBack()
  }

  restoreExpiry(position: number, at: number): void {
    this.queue.restoreExpiry(position, at)
  }

  restoreMark(position: number, word: number): void {
    this.queue.restoreMark(position, word)
  }

  restoreLevel(level: number): void {
    this.queue.restoreLevel(level)
  }

  pageOut(to: number, bytes: number): void {
    this.list.pageOut(to, Math.min(this.memoryBudget, bytes), this.messages)
  }

  undeliveredFrom(): number {
    return this.list.deliveredTo
  }

  storedFrom(): number {
    const { stored } = this.list
    if (this.lapsed !== undefined && this.lapsed.count > 0) {
      const first = this.lapsed.firstAlive(0)
      return stored.onDisk === 0 ? first : Math.min(first, stored.diskFrom)
    }
    return stored.onDisk === 0 ? stored.to : stored.diskFrom
  }

  storedTo(): number {
    return this.list.stored.to
  }

  load(row: number, position: number): void {
    const bytes = this.messages.bodySize[row] as number
    const { stored } = this.list
    if (this.lapsed?.remove(position) === true) {
      this.queue.die(row, position, 'expired')
      return
    }
    const reason = this.queue.dyingOf(position)
    if (reason === undefined) stored.load(row, position, bytes)
    else {
      stored.loadAside(position, bytes)
      this.queue.die(row, position, reason)
    }
  }

  loadEnd(exhausted: boolean): number {
    const missing = this.list.stored.loadEnd(exhausted)
    this.queue.readBack()
    return missing
  }
}
