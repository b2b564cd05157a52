// How long to wait before a crashed gateway is started again.

const delayMsMin = 100
const delayMsMax = 10_000
/** A gateway that lived this long had no trouble to start: its next crash counts as the first. */
const healthyMs = 60_000

/** Doubles the delay for each crash in a row. */
export class Backoff {
  private delayMs: number
  private startedAt: number

  constructor(now: number) {
    this.delayMs = delayMsMin
    this.startedAt = now
  }

  /** The gateway crashed: returns after how many ms to start it again. */
  crashed(now: number): number {
    if (now - this.startedAt >= healthyMs) this.delayMs = delayMsMin
    const delayMs = this.delayMs
    this.delayMs = Math.min(delayMsMax, delayMs * 2)
    this.startedAt = now + delayMs
    return delayMs
  }
}
