// Idle time-out both ways (2.4.5). Sending: an empty frame whenever half the client's time-out went by
// without any. Receiving: the client is gone after two checks, an interval apart, that found no byte.

import { FRAME_HEAD } from '../codec/frame-writer.ts'
import type { ConnectionContext } from './connection-context.ts'

export class IdleTimer {
  /** Bytes came since the last check. */
  received: boolean
  private readonly context: ConnectionContext
  private sendEveryMs: number
  private sendAt: number
  private checkEveryMs: number
  private checkAt: number
  private silentChecks: number

  constructor(context: ConnectionContext) {
    this.context = context
    this.received = false
    this.sendEveryMs = 0
    this.sendAt = Number.POSITIVE_INFINITY
    this.checkEveryMs = 0
    this.checkAt = Number.POSITIVE_INFINITY
    this.silentChecks = 0
  }

  /** `clientMs` is the client's time-out, `ownMs` the interval of our checks; 0: none. */
  start(clientMs: number, ownMs: number, now: number): void {
    if (clientMs > 0) {
      this.sendEveryMs = clientMs / 2
      this.sendAt = now + this.sendEveryMs
    }
    if (ownMs > 0) {
      this.checkEveryMs = ownMs
      this.checkAt = now + ownMs
    }
  }

  deadline(): number {
    return Math.min(this.sendAt, this.checkAt)
  }

  /** Sends what is due. False when the client is gone. `paused`: we don't read, so silence means nothing. */
  onDeadline(now: number, paused: boolean): boolean {
    if (now >= this.sendAt) {
      this.sendAt = now + this.sendEveryMs
      if (!this.context.wrote) this.sendEmpty()
      this.context.wrote = false
    }
    if (now < this.checkAt) return true
    this.checkAt = now + this.checkEveryMs
    this.silentChecks = this.received || paused ? 0 : this.silentChecks + 1
    this.received = false
    return this.silentChecks < silentChecksMax
  }

  private sendEmpty(): void {
    const { out } = this.context
    out.reserve(FRAME_HEAD)
    out.bytes.set(EMPTY_FRAME, out.at)
    out.at += FRAME_HEAD
    this.context.touch()
  }
}

const EMPTY_FRAME = Uint8Array.of(0, 0, 0, 8, 2, 0, 0, 0)

const silentChecksMax = 2
