// Heartbeats both ways. Sending: one every half interval in which nothing else was sent. Receiving:
// the peer is dead after two checks, an interval apart, that found no byte; any traffic counts.

import { FRAME_OVERHEAD } from '../codec/constants.ts'
import { encodeHeartbeat } from '../codec/frame-writer.ts'
import type { ConnectionContext } from './connection-context.ts'

export class Heartbeat {
  /** Bytes came since the last check. */
  received: boolean
  private readonly context: ConnectionContext
  private intervalMs: number
  private sendAt: number
  private checkAt: number
  private silentChecks: number

  constructor(context: ConnectionContext) {
    this.context = context
    this.received = false
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

  /** When `onDeadline` wants to be called. */
  deadline(): number {
    return Math.min(this.sendAt, this.checkAt)
  }

  /** Sends what is due. False when the peer is dead. `paused`: we don't read, so silence means nothing. */
  onDeadline(now: number, paused: boolean): boolean {
    if (now >= this.sendAt) {
      this.sendAt = now + this.intervalMs / 2
      if (!this.context.wrote) this.send()
      this.context.wrote = false
    }
    if (now < this.checkAt) return true
    this.checkAt = now + this.intervalMs
    this.silentChecks = this.received || paused ? 0 : this.silentChecks + 1
    this.received = false
    return this.silentChecks < silentChecksMax
  }

  private send(): void {
    const { out } = this.context
    out.reserve(FRAME_OVERHEAD)
    out.at = encodeHeartbeat(out.bytes, out.at)
    this.context.touch()
  }
}

const silentChecksMax = 2
