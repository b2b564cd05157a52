// Heart-beats both ways. Sending: a line feed as soon as nothing was sent for half an interval, so
// that the client never hears nothing for a whole one. Receiving: the peer is dead after two checks,
// an interval apart, that found no byte.

import type { StompContext } from './context.ts'

export class Heartbeat {
  /** Bytes came since the last check. */
  received: boolean
  private readonly context: StompContext
  private sendMs: number
  private receiveMs: number
  private lookAt: number
  /** Nothing was sent since then. */
  private quietSince: number
  private checkAt: number
  private silentChecks: number

  constructor(context: StompContext) {
    this.context = context
    this.received = false
    this.sendMs = 0
    this.receiveMs = 0
    this.lookAt = Number.POSITIVE_INFINITY
    this.quietSince = 0
    this.checkAt = Number.POSITIVE_INFINITY
    this.silentChecks = 0
  }

  /** Starts with the intervals that were agreed upon; 0: none. */
  start(sendMs: number, receiveMs: number, now: number): void {
    this.sendMs = sendMs
    this.receiveMs = receiveMs
    this.quietSince = now
    if (sendMs > 0) this.lookAt = now + sendMs / 4
    if (receiveMs > 0) this.checkAt = now + receiveMs
  }

  /** When `onDeadline` wants to be called. */
  deadline(): number {
    return Math.min(this.lookAt, this.checkAt)
  }

  /** Sends what is due. False when the peer is dead. `paused`: we don't read, so silence means nothing. */
  onDeadline(now: number, paused: boolean): boolean {
    if (now >= this.lookAt) this.look(now)
    if (now < this.checkAt) return true
    this.checkAt = now + this.receiveMs
    this.silentChecks = this.received || paused ? 0 : this.silentChecks + 1
    this.received = false
    return this.silentChecks < silentChecksMax
  }

  private look(now: number): void {
    this.lookAt = now + this.sendMs / 4
    const { context } = this
    if (!context.wrote) {
      // The next look may be too late by as much as the host's clock ticks.
      if (now - this.quietSince < this.sendMs / 2 - tickMs) return
      context.out.reserve(1)
      context.out.bytes[context.out.at++] = lineFeed
      context.touch()
    }
    context.wrote = false
    this.quietSince = now
  }
}

const silentChecksMax = 2
/** How exact deadlines are (see Session.deadline). */
const tickMs = 500
const lineFeed = 0x0a
