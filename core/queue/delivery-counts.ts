// How often the messages of a queue were delivered in vain, and which of them are dying: marks, kept
// in the log too. For queues that count (quorum queues).

import { acquiredShift, deliveredCountMax, EntryFlag, failedShift } from '../../shared/bus/wire.ts'
import type { Log, QueueLog } from '../log/log.ts'
import type { DeathReason } from './death.ts'
import { acquiredOf, dying, failedOf, Marks, reasonOf, returnedOnce } from './marks.ts'

/** RabbitMQ 4.0: what has failed more often is dead-lettered. */
const deliveryLimitDefault = 20

export class DeliveryCounts {
  readonly marks: Marks
  private readonly log: Log
  /** The log of the message at a position; undefined in a transient queue. */
  private readonly logOf: (position: number) => QueueLog | undefined

  constructor(log: Log, logOf: (position: number) => QueueLog | undefined) {
    this.marks = new Marks()
    this.log = log
    this.logOf = logOf
  }

  // HOT: once per delivery
  /** The flags of a delivery that tell how often the message was delivered before. */
  flagsOf(position: number): number {
    if (this.marks.count === 0) return 0
    const word = this.marks.get(position)
    if (word === 0) return 0
    const failed = Math.min(failedOf(word), deliveredCountMax)
    const acquired = Math.min(acquiredOf(word), deliveredCountMax)
    return (failed << failedShift) | (acquired << acquiredShift) | EntryFlag.redelivered
  }

  /** Why a message was dying when the node stopped; undefined: it was not. */
  reasonOf(position: number): DeathReason | undefined {
    return this.marks.count === 0 ? undefined : reasonOf(this.marks.get(position))
  }

  /** The mark of a message that has come back once more. */
  returned(position: number, failed: boolean): number {
    return returnedOnce(this.marks.get(position), failed)
  }

  /** Whether a message with this mark has failed too often; a negative limit is none. */
  isOver(word: number, limit: number | undefined): boolean {
    const most = limit ?? deliveryLimitDefault
    return most >= 0 && failedOf(word) > most
  }

  set(position: number, word: number): void {
    this.marks.set(position, word)
    const queue = this.logOf(position)
    if (queue !== undefined) this.log.mark(queue, position, word)
  }

  /** A restart goes on with its death rather than deliver it again. */
  setDying(position: number, reason: DeathReason): void {
    const word = this.marks.get(position)
    const next = dying(word, reason)
    if (next !== word) this.set(position, next)
  }

  // HOT: once per message that leaves the queue
  forget(position: number): void {
    if (this.marks.count !== 0) this.marks.delete(position)
  }
}
