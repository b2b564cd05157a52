// How often the messages of a queue were delivered in vain, which of them are dying, and what consumers
// have said of them: marks and annotations, kept in the log too. For queues that count (quorum queues).

import { acquiredShift, deliveredCountMax, EntryFlag, failedShift } from '../../shared/bus/wire.ts'
import type { FieldTable } from '../../shared/message/value.ts'
import type { QueueLog } from '../log/log.ts'
import type { AnnotationContext } from './annotations.ts'
import { Annotations } from './annotations.ts'
import type { DeathReason } from './death.ts'
import { acquiredOf, dying, failedOf, Marks, reasonOf, returnedOnce } from './marks.ts'

/** RabbitMQ 4.0: what has failed more often is dead-lettered. */
const deliveryLimitDefault = 20

export class DeliveryCounts {
  readonly marks: Marks
  /** Undefined while no message has any. */
  annotations: Annotations | undefined
  private readonly context: AnnotationContext
  /** The log of the message at a position; undefined in a transient queue. */
  private readonly logOf: (position: number) => QueueLog | undefined

  constructor(context: AnnotationContext, logOf: (position: number) => QueueLog | undefined) {
    this.marks = new Marks()
    this.annotations = undefined
    this.context = context
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
    if (queue !== undefined) this.context.log.mark(queue, position, word)
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
    if (this.annotations !== undefined) this.annotations.tables.delete(position)
  }

  /** See Annotations.add. */
  annotate(row: number, position: number, headers: FieldTable): number {
    this.annotations ??= new Annotations(this.context, this.logOf)
    return this.annotations.add(row, position, headers)
  }

  /** After a restart: what was said of the message at `position`. */
  restoreAnnotation(position: number, table: Uint8Array): void {
    this.annotations ??= new Annotations(this.context, this.logOf)
    this.annotations.tables.set(position, table)
  }
}
