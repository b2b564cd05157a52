// Heartbeats both ways. Sending: one as soon as nothing was sent for half an interval, seen by looks
// every quarter, so that the client never hears nothing for a whole interval, however short (some
// clients give up then). Receiving: the peer is dead after two checks, an interval apart, that found
// no byte; any traffic counts.

import { FRAME_OVERHEAD } from '../codec/constants.ts'
import { encodeHeartbeat } from '../codec/frame-writer.ts'
import type { ConnectionContext } from './connection-context.ts'

export class Heartbeat {
  /** Bytes came since the last check. */
  received: boolean
  private readonly context: ConnectionContext
  private intervalMs: number
  private lookAt: number
  /** Nothing was sent since then. */
  private quietSince: number
  private checkAt: number
  private silentChecks: number

  constructor(context: ConnectionContext) {
    this.context = context
    this.received = false
    this.intervalMs = 0
    this.lookAt = Number.POSITIVE_INFINITY
    this.quietSince = 0
    this.checkAt = Number.POSITIVE_INFINITY
    this.silentChecks = 0
  }

  /** Starts with the negotiated interval; 0 seconds: no heartbeats. */
  start(seconds: number, now: number): void {
    if (seconds === 0) return
    this.intervalMs = seconds * 1000
    this.lookAt = now + this.intervalMs / 4
    this.quietSince = now
    this.checkAt = now + this.intervalMs
  }

  /** When `onDeadline` wants to be called. */
  deadline(): number {
    return Math.min(this.lookAt, this.checkAt)
  }

  /** Sends what is due. False when the peer is dead. `paused`: we don't read, so silence means nothing. */
  onDeadline(now: number, paused: boolean): boolean {
    if (now >= this.lookAt) this.look(now)
    if (now < this.checkAt) return true
    this.checkAt = now + this.intervalMs
    this.silentChecks = this.received || paused ? 0 : this.silentChecks + 1
    this.received = false
    return this.silentChecks < silentChecksMax
  }

  private look(now: number): void {
    this.lookAt = now + this.intervalMs / 4
    if (!this.context.wrote) {
      // The next look may be too late by as much as the host's clock ticks.
      if (now - this.quietSince < this.intervalMs / 2 - tickMs) return
      this.send()
    }
    this.context.wrote = false
    this.quietSince = now
  }

  private send(): void {
    const { out } = this.context
    out.reserve(FRAME_OVERHEAD)
    out.at = encodeHeartbeat(out.bytes, out.at)
    this.context.touch()
  }
}

const silentChecksMax = 2
/** How exact deadlines are (see Session.deadline). */
const tickMs = 500
