// The records between a shard and its log thread, as Int32 words (see shared/bus/ring.ts). Settle,
// settle bits and queue deleted are the ops of wal-format.ts, word for word.

export const LogRecord = {
  settle: 3,
  settleBits: 4,
  queueDeleted: 5,
  /** [1] flags [2] queue [3..4] position [5..11] entry, extents (see shared/bus/wire.ts) */
  enqueue: 16,
  /** The message of the enqueue record before it goes to another queue too. [1] queue [2..3] position */
  target: 17,
  /** Recovery is done: start to write. [1] file [2..3] sequence [4] generation */
  open: 18,
  /** What follows belongs to a new generation. [1] generation */
  roll: 19,
  /** Settles that say what is dead have been repeated since generation [1] ended: it may be retired. */
  retire: 20,
} as const

export const enqueueEntryAt = 5
export const targetRecordWords = 4
export const openWords = 5
export const rollWords = 2
export const retireWords = 2

/** Words of the ring to a log thread: 1 MiB, what 20 000 small messages need while a sync takes 20 ms. */
export const logRingWords: number = 256 * 1024
