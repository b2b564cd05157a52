// Where the registry's decisions are kept, as shard 0 sees it: rows are handed over, and some time
// later they are on disk. A shard never waits for that.

/** Takes rows, and says how far they are safe. */
export interface MetadataStore {
  /** Every batch up to this position is on disk. */
  readonly durableUpTo: number
  /** Hands over a batch (see RowBatch) to be written as one; the position to wait for. */
  write(rows: Uint8Array<ArrayBuffer>): number
}

/** Keeps nothing: for a node without a disk. */
export class NoMetadata implements MetadataStore {
  readonly durableUpTo: number = 0

  write(_rows: Uint8Array<ArrayBuffer>): number {
    return 0
  }
}
