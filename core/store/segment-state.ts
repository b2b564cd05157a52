// What the log says of segments that are not whole, or not there.

import type { WalEnd } from './recovery.ts'
import type { Replay } from './replay.ts'
import type { SegmentListing } from './segment-reader.ts'
import { segmentName } from './wal-format.ts'

interface SegmentId {
  readonly generation: number
  readonly number: number
}

/** A segment without a whole footer was never finished: all that it was to hold is in the log. */
export function isUnfinished(
  { generation, number }: SegmentId,
  end: WalEnd,
  replay: Replay,
): boolean {
  return generation >= end.firstGeneration && !replay.segments.has(segmentName(generation, number))
}

/** Names of segments that the log says are needed, and that are not in the folder. */
export function missingSegments({ segments, broken }: SegmentListing, replay: Replay): string[] {
  const there = new Set(
    [...segments, ...broken].map(({ generation, number }) => segmentName(generation, number)),
  )
  return [...replay.segments].filter((name) => !there.has(name))
}
