// What waits in a queue for a consumer, in the order in which it is to be delivered.

import type { MessageTable } from '../message/message-table.ts'

/** Positions count the messages of a queue and name them; one that comes back keeps its own. */
export interface WaitingList {
  /** Of the message that `take` gave last; `takenReturned`: it may have been delivered before. */
  readonly takenRow: number
  readonly takenPosition: number
  readonly takenReturned: boolean
  /** Of the message that `remove` found on disk only: bytes of its body, as far as they are known. */
  readonly removedBytes: number

  size(): number
  isEmpty(): boolean
  /** Adds a fresh message of a level at its end; returns its position. */
  push(row: number, level: number): number
  /** The position of a message of a level that is delivered without waiting; nothing may wait. */
  pass(level: number): number
  /** Puts a message that was taken back to its position. */
  giveBack(row: number, position: number): void
  /** The level whose next messages are to be read back; -1: none. */
  levelToRead(): number
  /** Takes the first message into the `taken` fields. False when there is none in memory. */
  take(): boolean
  /** The row that `take` would take, or -1: there is none, or it must be read back first. */
  first(): number
  /** Its position. */
  firstPosition(): number
  /**
   * Takes the message at `position` out, wherever it lies: gives its row, or `removedOnDisk`, or
   * `notThere` for one that came back (see `removeReturned`). `logged`: it is in the log and not settled.
   */
  remove(position: number, logged: boolean): number
  /** How many messages came back. */
  returnedCount(): number
  /** Takes those that came back and are to `go` out. */
  removeReturned(go: (row: number, position: number) => boolean): void
  /** Visits those in memory from position `from` on, in no order; all of the first `most` at least. */
  each(from: number, most: number, onMessage: (row: number, position: number) => void): void
  /** Bytes of the bodies of all messages; a guess for those on disk only, after a restart. */
  bytes(messages: MessageTable): number
}

/** What `remove` gives in place of a row. */
export const removedOnDisk = -1
export const notThere = -2
