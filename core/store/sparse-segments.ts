// Segments of which little is alive: they are written anew, so that a few messages left behind do not
// keep the space of all that came with them. The log thread does it; until the new segment is there,
// and durable, the old one is used.

import type { RingWriter } from '../../shared/bus/ring.ts'
import { compactRequestWords, LogRequest } from './log-wire.ts'
import type { RunSegment, StoredRun, WalQueue } from './wal-queue.ts'

/** A segment, as the shard knows it. */
export interface Segment extends RunSegment {
  readonly size: number
  readonly runs: {
    readonly queue: WalQueue
    readonly from: number
    readonly to: number
    readonly offset: number
  }[]
  /** Messages that it was made with. */
  count: number
  /** Runs before this one are dead. */
  firstAlive: number
  /** The log thread was asked to write it anew. */
  compacting: boolean
  /** Position of the log that covers what settled the last of its messages; 0 while any is alive. */
  deadAt: number
}

/** A segment with a smaller share alive is written anew: then it costs a fifth of what it frees. */
const aliveShare = 0.2
/** Segments looked at after a retirement. */
const looksMax = 64

export class SparseSegments {
  private readonly requests: RingWriter
  private readonly bytesMin: number
  /** Where to look next. */
  private next: number
  /** The one that is being replaced, and what takes the place of its runs. */
  private old: Segment | undefined
  private readonly replacements: Map<WalQueue, StoredRun>

  constructor(requests: RingWriter, bytesMin: number) {
    this.requests = requests
    this.bytesMin = bytesMin
    this.next = 0
    this.old = undefined
    this.replacements = new Map()
  }

  /** Asks for sparse ones among the segments to be written anew; looks at some of them. */
  look(segments: readonly Segment[]): void {
    const { requests } = this
    const looks = Math.min(looksMax, segments.length)
    for (let i = 0; i < looks && requests.hasRoom(compactRequestWords); i++) {
      this.next = (this.next + 1) % segments.length
      const segment = segments[this.next]
      if (segment === undefined || !this.isSparse(segment)) continue
      segment.compacting = true
      const index = requests.reserve(compactRequestWords)
      requests.words[index] = (compactRequestWords << 8) | LogRequest.compact
      requests.words[index + 1] = segment.generation
      requests.words[index + 2] = segment.number
      requests.commit(compactRequestWords)
    }
  }

  isReplacing(): boolean {
    return this.old !== undefined
  }

  /** What follows takes the place of this segment. */
  begin(segments: readonly Segment[], generation: number, number: number): void {
    this.old = segments.find((each) => each.generation === generation && each.number === number)
  }

  /** The run of `queue` in the segment that is being replaced is this one now. */
  replaceRun(queue: WalQueue, run: StoredRun): void {
    this.replacements.set(queue, run)
  }

  /** The new segments, which are the last ones, are complete. Returns all in their order. */
  end(segments: readonly Segment[], done: boolean): Segment[] {
    const { old, replacements } = this
    this.old = undefined
    if (old === undefined || !done) return [...segments]
    const made = new Set<RunSegment>([...replacements.values()].map(({ segment }) => segment))
    for (const { queue } of old.runs) {
      const index = queue.runs.findIndex(({ segment }) => segment === old)
      const run = replacements.get(queue)
      if (index >= 0) queue.runs.splice(index, 1, ...(run === undefined ? [] : [run]))
    }
    replacements.clear()
    const kept = segments.filter((segment) => !made.has(segment))
    const fresh = segments.filter((segment) => made.has(segment))
    kept.splice(kept.indexOf(old), 0, ...fresh)
    // Nothing is read from it any more: it goes when the log has said so.
    old.runs.length = 0
    return kept
  }

  private isSparse(segment: Segment): boolean {
    if (segment.compacting || segment.deadAt !== 0 || segment.size < this.bytesMin) return false
    let alive = 0
    for (const { queue, from, to } of segment.runs) {
      if (!queue.deleted) alive += queue.alive.countIn(from, to)
    }
    return alive > 0 && alive < segment.count * aliveShare
  }
}

/** Whether nothing in a segment is alive. */
export function isDead(segment: Segment): boolean {
  const { runs } = segment
  for (; segment.firstAlive < runs.length; segment.firstAlive++) {
    const run = runs[segment.firstAlive]
    if (run === undefined || run.queue.deleted) continue
    if (run.queue.alive.firstAlive(run.from) < run.to) return false
  }
  return true
}
