// Where the registry's decisions are kept, as shard 0 sees it: rows are handed over, and some time
// later they are on disk. A shard never waits for that.

import type { ControlReply } from '../../shared/bus/control.ts'

/** Takes rows, and says how far they are safe. */
export interface MetadataStore {
  /** Every batch up to this position is on disk. */
  readonly durableUpTo: number
  /** The disk takes nothing now; batches in want of it are better not handed over. */
  readonly refuses: boolean
  /** Nothing behind `durableUpTo` was or will be written, nor what comes until `acceptRefusal`. */
  readonly refused: boolean
  /** What is handed over from now on takes no account of what was refused. */
  acceptRefusal(): void
  /** Hands over a batch (see RowBatch) to be written as one; the position to wait for. */
  write(rows: Uint8Array<ArrayBuffer>): number
  /** As `durableUpTo`, for the keyed store. */
  readonly keyedDurableUpTo: number
  /** As `write`, for the keyed store. */
  writeKeyed(rows: Uint8Array<ArrayBuffer>): number
  /** Answers a packed `keyedGet`, `keyedScan` or `keyedTake`, which sees everything written before. */
  readKeyed(op: Uint8Array, answer: (reply: ControlReply) => void): void
}

/** Keeps nothing: for a node without a disk. */
export class NoMetadata implements MetadataStore {
  durableUpTo: number = 0
  readonly refuses: boolean = false
  readonly refused: boolean = false
  readonly keyedDurableUpTo: number = 0

  acceptRefusal(): void {}

  write(_rows: Uint8Array<ArrayBuffer>): number {
    return 0
  }

  writeKeyed(_rows: Uint8Array<ArrayBuffer>): number {
    return 0
  }

  readKeyed(_op: Uint8Array, answer: (reply: ControlReply) => void): void {
    answer({ values: [], rows: [], next: null })
  }
}
