// The writing end of a ring with its doorbell, and control payloads of any size in order with the
// hot records. While control parts wait for room, hot records wait too: a lane never reorders.

import type { Doorbell } from './doorbell.ts'
import type { RingReader, RingWriter } from './ring.ts'
import { recordWordsMax } from './ring.ts'
import { controlHeaderWords } from './wire.ts'

interface ControlPart {
  readonly type: number
  readonly request: number
  readonly bytes: Uint8Array
  readonly more: boolean
}

/** A record of a few words that may not be lost. */
interface ShortRecord {
  readonly type: number
  readonly fields: readonly number[]
}

/** One writer's way to one reader. */
export class Lane {
  readonly ring: RingWriter
  private readonly bell: Doorbell
  private readonly backlog: (ControlPart | ShortRecord)[]
  private readonly partBytesMax: number
  /** A reader that sleeps is woken after this many words: it works while the writer reads on. */
  private readonly wakeWords: number
  private wokenTotal: number
  private wakeOwed: boolean

  constructor(ring: RingWriter, bell: Doorbell) {
    this.ring = ring
    this.bell = bell
    this.backlog = []
    this.wakeWords = ring.words.length >> 3
    this.wokenTotal = ring.total
    this.wakeOwed = false
    this.partBytesMax = (recordWordsMax(ring.words.length) - controlHeaderWords) * 4
  }

  // HOT: once per record
  /** As `RingWriter.reserve`; after -1 the reader will ring this side when there is room. */
  reserve(words: number): number {
    if (this.backlog.length !== 0 && !this.drained()) return -1
    const index = this.ring.reserve(words)
    if (index < 0) {
      this.ring.awaitRoom()
      // The reader may have released between the two looks.
      return this.ring.reserve(words)
    }
    return index
  }

  /** True when a hot record of `words` would be taken now; otherwise asks for a ring of the bell. */
  hasRoom(words: number): boolean {
    if (this.backlog.length !== 0 && !this.drained()) return false
    if (this.ring.hasRoom(words)) return true
    this.ring.awaitRoom()
    return this.ring.hasRoom(words)
  }

  /** Writes a control payload, or keeps it for the next `flush`. */
  control(type: number, request: number, payload: Uint8Array): void {
    let at = 0
    do {
      const size = Math.min(this.partBytesMax, payload.length - at)
      const more = at + size < payload.length
      this.backlog.push({ type, request, bytes: payload.subarray(at, at + size), more })
      at += size
    } while (at < payload.length)
    this.drained()
  }

  /** Writes a record of `type` and `fields`, or keeps it for the next `flush`. For rare records. */
  short(type: number, ...fields: readonly number[]): void {
    this.backlog.push({ type, fields })
    this.drained()
  }

  /** Shows everything written to the reader and wakes it. True when nothing is left waiting. */
  flush(): boolean {
    const drained = this.drained()
    this.show()
    this.wake()
    return drained
  }

  // HOT: once per chunk from a socket
  /**
   * Shows everything written to the reader, who may be awake; wakes it only when much has come since
   * the last `wake`. Otherwise true, and `wake` is owed before the thread sleeps.
   */
  show(): boolean {
    this.drained()
    if (this.ring.publish()) this.wakeOwed = true
    if (this.ring.total - this.wokenTotal >= this.wakeWords) this.wake()
    return this.wakeOwed
  }

  wake(): void {
    if (!this.wakeOwed) return
    this.wakeOwed = false
    this.wokenTotal = this.ring.total
    this.bell.ring()
  }

  /**
   * Writes what waits; true when nothing is left. On false the reader has been asked for a ring, so
   * whoever is refused because of the backlog gets that ring too.
   */
  private drained(): boolean {
    let done = 0
    for (const part of this.backlog) {
      if (!('bytes' in part ? this.write(part) : this.writeShort(part))) break
      done++
    }
    if (done > 0) this.backlog.splice(0, done)
    return this.backlog.length === 0
  }

  private room(words: number): number {
    const index = this.ring.reserve(words)
    if (index >= 0) return index
    this.ring.awaitRoom()
    return this.ring.reserve(words)
  }

  private writeShort(record: ShortRecord): boolean {
    const size = 1 + record.fields.length
    const index = this.room(size)
    if (index < 0) return false
    const to = this.ring.words
    to[index] = (size << 8) | record.type
    to.set(record.fields, index + 1)
    this.ring.commit(size)
    return true
  }

  private write(part: ControlPart): boolean {
    const words = controlHeaderWords + ((part.bytes.length + 3) >> 2)
    const index = this.room(words)
    if (index < 0) return false
    const to = this.ring.words
    to[index] = (words << 8) | part.type
    to[index + 1] = part.request
    to[index + 2] = part.bytes.length
    to[index + 3] = part.more ? 1 : 0
    this.ring.bytes.set(part.bytes, (index + controlHeaderWords) * 4)
    this.ring.commit(words)
    return true
  }
}

/** Joins the parts of control payloads that one ring carries. */
export class ControlAssembler {
  private parts: Buffer[] = []

  /** The whole payload once its last part is at `index`; undefined before. */
  take(ring: RingReader, index: number): Buffer | undefined {
    const size = ring.words[index + 2] as number
    const at = (index + controlHeaderWords) * 4
    // Copied: the ring's space is given back before the payload is used up.
    const part = Buffer.from(ring.bytes.subarray(at, at + size))
    if (ring.words[index + 3] === 1) {
      this.parts.push(part)
      return undefined
    }
    if (this.parts.length === 0) return part
    const whole = Buffer.concat([...this.parts, part])
    this.parts = []
    return whole
  }
}
