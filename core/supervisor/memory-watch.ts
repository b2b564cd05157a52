// Raises and clears the memory alarm that blocks publishers (connection.blocked).

import { slabBytes } from '../../shared/bus/arena.ts'

/** What one look at the memory found. */
export interface MemorySample {
  /** Resident bytes of the process. */
  readonly residentBytes: number
  /** Slabs in use now. */
  readonly slabsUsed: number
  /** Slabs below the highest one in use: all that can have been touched lie there. */
  readonly slabsTouched: number
}

/**
 * Follows the samples. The arena takes low slabs first and never returns pages to the system, so
 * the resident size does not fall when a backlog is consumed: touched slabs that are free again are
 * subtracted.
 */
export class MemoryWatch {
  private readonly watermark: number
  private slabsTouched: number
  private raised: boolean

  constructor(watermark: number) {
    this.watermark = watermark
    this.slabsTouched = 0
    this.raised = false
  }

  /** Returns true or false when the alarm is to be raised or cleared, undefined when it stays. */
  look(sample: MemorySample): boolean | undefined {
    const over = this.usedBytes(sample) > this.watermark
    if (over === this.raised) return undefined
    this.raised = over
    return over
  }

  /** Bytes that count against the watermark. */
  usedBytes(sample: MemorySample): number {
    this.slabsTouched = Math.max(this.slabsTouched, sample.slabsTouched)
    return sample.residentBytes - (this.slabsTouched - sample.slabsUsed) * slabBytes
  }
}
