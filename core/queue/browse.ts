// Looking into what waits in a queue, and taking a message out of its middle.

import type { WaitingList } from './waiting-list.ts'
import { notThere } from './waiting-list.ts'

export interface WaitingMessage {
  readonly row: number
  readonly position: number
}

/** The first `count` messages in memory from position `from` on, in order. */
export function browse(list: WaitingList, from: number, count: number): WaitingMessage[] {
  const found: WaitingMessage[] = []
  list.each(from, count, (row, position) => found.push({ row, position }))
  return found.sort((one, other) => one.position - other.position).slice(0, count)
}

/** Takes the message at `position` out; its row, negative where it is not in memory. */
export function takeOut(list: WaitingList, position: number): number {
  // Not in the log, as it were: what is on disk only stays there.
  let row = list.remove(position, false)
  if (row !== notThere) return row
  list.removeReturned((other, at) => {
    if (at !== position) return false
    row = other
    return true
  })
  return row
}
