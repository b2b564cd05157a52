// The records between a shard and the thread that reads streams for it, as Int32 words. Numbers below
// 2^53, or -1, take two words.

import { createDoorbell } from '../../shared/bus/doorbell.ts'
import type { StreamMemory } from '../../shared/bus/mail.ts'
import { createRing } from '../../shared/bus/ring.ts'
import { streamReplyRingWords } from './log-wire.ts'

/** Shard -> reader. */
export const ReaderRequest = {
  /** A lane's control payload (msgpack): `OpenCursor`. */
  control: 1,
  /** A stream is committed so far. [1] stream [2..3] next [4..5] last chunk [6..7] segment [8..9] position */
  advanced: 2,
  /** [1] cursor [2] messages that may come besides [3] bytes that were taken */
  allow: 3,
  /** [1] cursor */
  close: 4,
} as const

/** Reader -> shard. */
export const ReaderReply = {
  /** [1] cursor [2..3] offset [4] flags [5..11] entry, extents */
  entry: 1,
  /** Nothing is left below an offset. [1] cursor [2..3] offset */
  caughtUp: 2,
  /** No more entries will lie in this slab. [1] slab */
  seal: 3,
  /** Nothing more comes from a cursor that was to be closed. [1] cursor */
  closed: 4,
} as const

export const advancedWords = 10
export const allowWords = 4
export const readerEntryAt = 5
export const caughtUpWords = 4

/** Words of the rings between a shard and its reader: 5 000 entries on their way. */
export const readerRingWords: number = 64 * 1024

/** What opens a cursor. */
export interface OpenCursor {
  readonly cursor: number
  readonly stream: number
  readonly folder: string
  /** The stream's name: the routing key of messages that say none. */
  readonly queue: string
  readonly kind: 'first' | 'last' | 'next' | 'offset' | 'fromEnd' | 'timestamp'
  readonly value: number
  readonly filter: readonly string[] | undefined
  readonly matchUnfiltered: boolean
  readonly end: {
    readonly base: number
    readonly position: number
    readonly next: number
    readonly lastChunk: number
  }
}

export function createStreamMemory(): StreamMemory {
  return {
    replies: createRing(streamReplyRingWords),
    toReader: createRing(readerRingWords),
    fromReader: createRing(readerRingWords),
    readerBell: createDoorbell(),
  }
}
