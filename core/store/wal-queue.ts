// What the store keeps of one durable queue.

import { AliveSet } from '../log/alive-set.ts'
import type { BacklogOwner, QueueLog } from '../log/log.ts'
import { levelOf, levelSpan } from '../log/log.ts'

/** The segment of a run, as the desk keeps it. */
export interface RunSegment {
  readonly generation: number
  readonly number: number
  /** Of all queues that have messages there. */
  readonly runs: readonly unknown[]
  damaged: boolean
}

/** Messages of one queue that lie in one segment: positions in [from, to). */
export interface StoredRun {
  readonly segment: RunSegment
  readonly from: number
  readonly to: number
  /** Of the block to read next. */
  offset: number
}

/** What stands for (queue, level) in a table; for level 0 the queue's id. */
export function levelKey(queue: number, position: number): number {
  return position < levelSpan ? queue : queue + levelOf(position) * keySpan
}

/** The queue of a `levelKey`. */
export function queueOfKey(key: number): number {
  return key % keySpan
}

/** More than there are queue ids. */
const keySpan = 2 ** 32

export class WalQueue implements QueueLog {
  readonly queue: number
  readonly owner: BacklogOwner
  /** Its first position: that of its level. */
  readonly base: number
  /** Further levels, of the lowest. */
  readonly levels: WalQueue[]
  /** Positions that are logged and not settled. */
  alive: AliveSet
  /** In rising order; those before what was read back last are gone. */
  readonly runs: StoredRun[]
  /** A read is under way. */
  fetching: boolean
  /** Nothing below was left out when messages were read back. */
  loadedTo: number
  /** Part ops that were read and wait for their enqueue op. */
  parts: Buffer[]
  deleted: boolean

  constructor(queue: number, owner: BacklogOwner, level: number) {
    this.queue = queue
    this.owner = owner
    this.base = level * levelSpan
    this.levels = []
    this.alive = new AliveSet()
    this.alive.skipTo(this.base)
    this.runs = []
    this.fetching = false
    this.loadedTo = 0
    this.parts = []
    this.deleted = false
  }
}
