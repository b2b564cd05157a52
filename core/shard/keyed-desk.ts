// The keyed store as gateways reach it: ops in, rows of the metadata thread's store out.

import type { ControlReply, KeyedOp } from '../../shared/bus/control.ts'
import { pack } from '../../shared/bus/control.ts'
import { tableKey } from '../store/keyed-key.ts'
import type { MetadataStore } from '../store/metadata-store.ts'
import { RowBatch } from '../store/row-batch.ts'

/** A write that is not on disk yet. */
interface OpenWrite {
  readonly position: number
  readonly answer: (reply: ControlReply) => void
}

export class KeyedDesk {
  private readonly store: MetadataStore
  private readonly batch: RowBatch
  /** In order of their positions. */
  private readonly writes: OpenWrite[]

  constructor(store: MetadataStore) {
    this.store = store
    this.batch = new RowBatch()
    this.writes = []
  }

  run(op: KeyedOp, answer: (reply: ControlReply) => void): void {
    if (op.op === 'keyedWrite') {
      for (const [key, value] of op.rows) {
        if (value === null) this.batch.remove(tableKey(op.table, key))
        else this.batch.put(tableKey(op.table, key), value)
      }
      this.writes.push({ position: this.store.writeKeyed(this.batch.take()), answer })
      this.turn()
    } else {
      this.store.readKeyed(pack(op), answer)
    }
  }

  /** What came on disk is answered. True when something was. */
  turn(): boolean {
    let done = 0
    for (const { position, answer } of this.writes) {
      if (position > this.store.keyedDurableUpTo) break
      answer({})
      done++
    }
    if (done > 0) this.writes.splice(0, done)
    return done > 0
  }
}
