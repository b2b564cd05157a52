// The seam between streams and what keeps them: appended to as the log of queues is, read by cursors
// that send what they find.

import type { StreamEnd } from '../../shared/stream/chunk.ts'
import type { OffsetSpec } from '../../shared/stream/log-cursor.ts'

/** What limits a stream; undefined: nothing. */
export interface StreamSettings {
  readonly bytesMax: number | undefined
  readonly ageMaxMs: number | undefined
  readonly segmentBytesMax: number
  /** Bytes of a chunk's Bloom filter. */
  readonly filterBytes: number
}

/** What a stream is told of its log. */
export interface StreamOwner {
  /** After a restart: what the log says of publishers (last id by reference) and consumers (offset by name). */
  restored(sequences: ReadonlyMap<string, number>, offsets: ReadonlyMap<string, number>): void
  /** The log is committed up to `end`; the oldest message has offset `first`. */
  advanced(end: StreamEnd, first: number): void
}

/** What a cursor brings. Entry words as in shared/bus/wire.ts, at `words[e..]`. */
export interface CursorOwner {
  onEntry(offset: number, words: Int32Array, e: number, flags: number): void
  /** All that is committed before `offset` was brought: nothing comes until there is more. */
  onCaughtUp(offset: number): void
}

/** Reads on as far as it is allowed to. */
export interface StreamCursor {
  /** `messages` more may be brought; `bytes` of what was brought have been taken. */
  allow(messages: number, bytes: number): void
  close(): void
}

export interface CursorOptions {
  readonly from: OffsetSpec
  /** Undefined: everything. */
  readonly filter: readonly string[] | undefined
  readonly matchUnfiltered: boolean
}

/** One stream's log. Positions that are returned are those of the shard's log. */
export interface StreamLog {
  /** Folder of its segments, for readers of files; empty where there are none. */
  readonly folder: string
  /** Appends the message whose entry is at `words[e..]`. The log was asked for room. */
  append(words: Int32Array, e: number, flags: number): number
  /**
   * Appends entries as the stream protocol has them: `words[e..]` is an entry (its properties: see
   * Record.streamPublish; its body: the entries), of which the first `skipped` body bytes are left
   * out. `writer` 0: no deduplication; else `sequence` is the last publishing id.
   */
  appendBatch(
    words: Int32Array,
    e: number,
    skipped: number,
    entries: number,
    records: number,
    writer: number,
    sequence: number,
  ): number
  /** The number that stands for a publisher's reference in `appendBatch`, 1 and up. */
  writer(reference: string): number
  storeOffset(name: string, offset: number): void
  configure(settings: StreamSettings): void
  openCursor(options: CursorOptions, owner: CursorOwner): StreamCursor
  /** The stream is gone, with all that it holds. */
  delete(): void
}
