// What the store keeps of one durable queue.

import { AliveSet } from '../log/alive-set.ts'
import type { BacklogOwner, QueueLog } from '../log/log.ts'

/** Messages of one queue that lie in one segment: positions in [from, to). */
export interface StoredRun {
  readonly generation: number
  readonly number: number
  readonly from: number
  readonly to: number
  /** Of the block to read next. */
  offset: number
}

export class WalQueue implements QueueLog {
  readonly queue: number
  readonly owner: BacklogOwner
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

  constructor(queue: number, owner: BacklogOwner) {
    this.queue = queue
    this.owner = owner
    this.alive = new AliveSet()
    this.runs = []
    this.fetching = false
    this.loadedTo = 0
    this.parts = []
    this.deleted = false
  }
}
