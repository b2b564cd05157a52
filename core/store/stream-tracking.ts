// What a stream's log says beside messages: the last publishing id of each named publisher, and offsets
// that consumers have stored. Kept in the log itself: in the trailers of chunks, in chunks of changes,
// and whole at the beginning of each segment.

import { decodeUtf8Lossy } from '../../shared/bytes/utf8.ts'
import { viewOf } from '../../shared/bytes/view.ts'
import { readU64, TrackingType, writeU64 } from '../../shared/stream/chunk.ts'

/** Publishers whose ids are remembered beyond a segment: those that published last. */
export const sequencesMax = 255

/** The last publishing id of a publisher, and the chunk that it came in. */
export interface WriterSequence {
  readonly chunk: number
  readonly id: number
}

export class StreamTracking {
  /** By publisher reference. */
  readonly sequences: Map<string, WriterSequence>
  /** By consumer name. */
  readonly offsets: Map<string, number>

  constructor() {
    this.sequences = new Map()
    this.offsets = new Map()
  }

  setSequence(reference: string, chunk: number, id: number): void {
    // Put at the end, so that the first ones are those that published longest ago.
    this.sequences.delete(reference)
    this.sequences.set(reference, { chunk, id })
  }

  /** Reads the records of a trailer, or of a chunk of changes, at `bytes[at, at + size)`. */
  apply(bytes: Uint8Array, at: number, size: number, chunk: number): void {
    this.read(bytes, at, size, chunk, false)
  }

  /** Forgets everything, then reads a snapshot. */
  restore(bytes: Uint8Array, at: number, size: number): void {
    this.sequences.clear()
    this.offsets.clear()
    this.read(bytes, at, size, 0, true)
  }

  /** The bytes of a snapshot; what lies before `firstOffset`, and old publishers, are left out. */
  snapshot(firstOffset: number): Buffer {
    for (const [name, offset] of this.offsets) if (offset < firstOffset) this.offsets.delete(name)
    for (const name of this.sequences.keys()) {
      if (this.sequences.size <= sequencesMax) break
      this.sequences.delete(name)
    }
    const parts: Buffer[] = []
    for (const [name, { chunk, id }] of this.sequences) {
      parts.push(trackingRecord(TrackingType.sequence, name, chunk, id))
    }
    for (const [name, offset] of this.offsets) {
      parts.push(trackingRecord(TrackingType.offset, name, offset))
    }
    return Buffer.concat(parts)
  }

  private read(
    bytes: Uint8Array,
    from: number,
    size: number,
    chunk: number,
    snapshot: boolean,
  ): void {
    const view = viewOf(bytes)
    const end = from + size
    let at = from
    while (at + 2 <= end) {
      const type = view.getUint8(at)
      const nameEnd = at + 2 + view.getUint8(at + 1)
      const twoValues = snapshot && type === TrackingType.sequence
      const next = nameEnd + (twoValues ? 16 : 8)
      if (next > end) return
      const name = decodeUtf8Lossy(bytes, at + 2, nameEnd)
      if (type === TrackingType.offset) this.offsets.set(name, readU64(view, nameEnd))
      else if (type === TrackingType.sequence) {
        const id = readU64(view, next - 8)
        this.setSequence(name, twoValues ? readU64(view, nameEnd) : chunk, id)
      }
      at = next
    }
  }
}

/** One record of tracking. */
export function trackingRecord(type: number, name: string, ...values: readonly number[]): Buffer {
  const text = Buffer.from(name)
  const record = Buffer.alloc(2 + text.length + 8 * values.length)
  record[0] = type
  record[1] = text.length
  text.copy(record, 2)
  const view = viewOf(record)
  for (const [i, value] of values.entries()) writeU64(view, 2 + text.length + 8 * i, value)
  return record
}
