// The records between a shard and its log thread, as Int32 words (see shared/bus/ring.ts). Those
// below `enqueue` are ops of wal-format.ts, word for word.

export const LogRecord = {
  settle: 3,
  settleBits: 4,
  queueDeleted: 5,
  segment: 7,
  segmentDropped: 8,
  delivered: 9,
  mark: 10,
  annotate: 12,
  /** [1] flags [2] queue [3..4] position [5..11] entry, extents (see shared/bus/wire.ts) */
  enqueue: 16,
  /** The message of the enqueue record before it goes to another queue too. [1] queue [2..3] position */
  target: 17,
  /** Recovery is done: start to write. [1] file [2..3] sequence [4] generation [5..6] first sequence */
  open: 18,
  /** What follows belongs to a new generation. [1] generation */
  roll: 19,
  /** Settles that say what is dead have been repeated since generation [1] ended: it may be retired. */
  retire: 20,
  /** As `enqueue`, and behind its extents when the message expires (2 words), as in wal-format.ts. */
  enqueueTimed: 24,
  /** As `target`. [4..5] when the message expires */
  targetTimed: 25,
} as const

/** Further records of that ring, about streams. `stream` is the id of a stream's queue. */
export const StreamRecord = {
  /** [1] stream [2] flags [3..9] entry, extents */
  entry: 32,
  /**
   * [1] stream [2] body bytes left out [3] entries [4] messages [5] writer, 0: none [6..7] sequence
   * [8..14] entry (see Record.streamPublish)
   */
  batch: 33,
  /** The stream is there, or has new settings. [1] stream, then `streamSettingWords` words */
  open: 34,
  /** [1] stream [2] number of the writer [3] bytes of its reference, and these */
  writer: 35,
  /** [1] stream [2..3] offset [4] bytes of the name, and these */
  offset: 36,
  /** [1] stream */
  deleted: 37,
} as const

/** Bytes limit (2 words, -1 -1: none), age limit in ms (2, likewise), segment bytes (2), filter bytes. */
export const streamSettingWords = 7
export const streamEntryAt = 3
export const streamBatchEntryAt = 8

/** Log thread -> shard, in a ring of its own. */
export const StreamReply = {
  /** Synced up to here. [1] stream [2..3] next [4..5] last chunk [6..7] segment [8..9] position [10..11] first */
  advanced: 1,
} as const

export const streamAdvancedWords = 12
/** Some 1300 streams that advance in one commit. */
export const streamReplyRingWords: number = 16 * 1024

/** A second ring, for what does not wait for the disk to take writes. */
export const LogRequest = {
  /** [1] request [2] generation [3] number of the segment [4..5] offset [6] slab [7] at [8] bytes */
  read: 1,
  /** The segment is not needed any more. [1] generation [2] number [3] 1: it is damaged, keep it aside */
  drop: 2,
  /** Little is alive in it: it may be written anew. [1] generation [2] number */
  compact: 3,
} as const

/** Log thread -> shard. */
export const LogReply = {
  /** [1] request [2] bytes read, or a ReadFailure */
  read: 1,
  /** A segment was made. [1] generation [2] number [3..4] bytes */
  segment: 2,
  /** What the segment before holds: a run op of wal-format.ts, word for word. */
  run: 3,
  /** Generations up to [1] are in segments, as far as they are needed. */
  retired: 4,
  /** Until `compacted`, segments and runs take the place of this segment. [1] generation [2] number */
  compacting: 5,
  /** [1] 1: done, 0: there is nothing in its place */
  compacted: 6,
} as const

export const readRequestWords = 9
/** In place of a number of bytes. */
export const ReadFailure = { refused: -1, missing: -2 } as const

export const dropRequestWords = 4
export const compactRequestWords = 3
export const readReplyWords = 3
export const segmentReplyWords = 5
export const retiredReplyWords = 2
export const compactingReplyWords = 3
export const compactedReplyWords = 2

/** Words of the rings of requests and replies. */
export const requestRingWords: number = 16 * 1024

export const enqueueEntryAt = 5
export const targetRecordWords = 4
export const expiryWords = 2
export const openWords = 7
export const rollWords = 2
export const retireWords = 2

/** Words of the ring to a log thread: 1 MiB, what 20 000 small messages need while a sync takes 20 ms. */
export const logRingWords: number = 256 * 1024
