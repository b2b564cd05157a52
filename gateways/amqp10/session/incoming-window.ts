// The session window that we give the client: how many transfer frames it may send (2.5.6).

import { advance } from './serial-number.ts'

export class IncomingWindow {
  /** The id that the next transfer frame has. */
  nextIncomingId: number
  /** Frames that may still come; below 0: the client has gone beyond. */
  left: number
  /** An alarm is on: the window stays shut. */
  shut: boolean
  private readonly max: number

  constructor(nextIncomingId: number, max: number, shut: boolean) {
    this.nextIncomingId = nextIncomingId
    this.max = max
    this.shut = shut
    this.left = shut ? 0 : max
  }

  // HOT: once per transfer frame
  /** A frame came. True when the window has to be opened again, with a flow. */
  take(): boolean {
    this.nextIncomingId = advance(this.nextIncomingId, 1)
    this.left--
    if (this.shut || this.left > this.max >> 1) return false
    this.left = this.max
    return true
  }

  /** Whether the client has sent more than may have been on its way when the window was shut. */
  violated(): boolean {
    return this.left < -this.max
  }

  /** What a flow says. */
  size(): number {
    return Math.max(this.left, 0)
  }

  /** Shuts the window for an alarm, or opens it. True when that is a change, to be told. */
  setShut(shut: boolean): boolean {
    if (this.shut === shut) return false
    this.shut = shut
    this.left = shut ? 0 : this.max
    return true
  }
}
