// Heartbeats both ways: one goes out when nothing was sent for half an interval; the client is dead
// after two intervals without a byte.

import { Key } from '../codec/commands.ts'
import type { FrameWriter } from '../codec/frame-writer.ts'

export class Heartbeat {
  /** Bytes came since the last check. */
  received: boolean
  /** Something was sent since the last look. */
  wrote: boolean
  private readonly writer: FrameWriter
  private intervalMs: number
  private sendAt: number
  private checkAt: number
  private silentChecks: number

  constructor(writer: FrameWriter) {
    this.received = false
    this.wrote = false
    this.writer = writer
    this.intervalMs = 0
    this.sendAt = Number.POSITIVE_INFINITY
    this.checkAt = Number.POSITIVE_INFINITY
    this.silentChecks = 0
  }

  /** Starts with the negotiated interval; 0 seconds: no heartbeats. */
  start(seconds: number, now: number): void {
    if (seconds === 0) return
    this.intervalMs = seconds * 1000
    this.sendAt = now + this.intervalMs / 2
    this.checkAt = now + this.intervalMs
  }

  deadline(): number {
    return Math.min(this.sendAt, this.checkAt)
  }

  /** Sends what is due. False when the client is dead. `paused`: it is not read, so silence means nothing. */
  onDeadline(now: number, paused: boolean): boolean {
    if (now >= this.sendAt) {
      this.sendAt = now + this.intervalMs / 2
      if (!this.wrote) this.writer.begin(Key.heartbeat).send()
      this.wrote = false
    }
    if (now < this.checkAt) return true
    this.checkAt = now + this.intervalMs
    this.silentChecks = this.received || paused ? 0 : this.silentChecks + 1
    this.received = false
    return this.silentChecks < silentChecksMax
  }
}

const silentChecksMax = 2
