// The turns of a gateway thread. A turn begins with a chunk from a socket, a ring of the doorbell or
// a timer; at its end every touched outbox goes to its socket and everything for the shards to the
// rings, once.

import type { GatewayPort } from '../../shared/bus/gateway-port.ts'

/** What the loop does to a connection. */
export interface TurnMember {
  /** Hands the outbox to the socket. */
  flush(): void
  /** The bus has moved: goes on with held bytes. False when there is nothing to go on with any more. */
  proceed(): boolean
  /** See `TurnLoop.rest`. */
  rested(): void
}

/** One per thread. */
export class TurnLoop {
  readonly port: GatewayPort
  /** Milliseconds of the monotonic clock, as of the begin of the turn. */
  now: number
  private touched: TurnMember[]
  private flushing: TurnMember[]
  private waiting: TurnMember[]
  private resting: TurnMember[]
  private rotation: number
  private pumpSoon: boolean
  private wakePlanned: boolean
  private stopped: boolean

  constructor(port: GatewayPort) {
    this.port = port
    this.now = performance.now()
    this.touched = []
    this.flushing = []
    this.waiting = []
    this.resting = []
    this.rotation = 0
    this.pumpSoon = false
    this.wakePlanned = false
    this.stopped = false
  }

  /** Starts to serve the bus. */
  start(): void {
    this.pump()
  }

  /** Serves the bus no longer. */
  stop(): void {
    this.stopped = true
  }

  /** Begins a turn. */
  begin(): void {
    this.now = performance.now()
  }

  /** Flushes `member` at the end of the turn. Each member comes once: it remembers that it is in. */
  touch(member: TurnMember): void {
    this.touched.push(member)
  }

  /** Calls `member.rested()` when the other sockets have been looked at. */
  rest(member: TurnMember): void {
    if (this.resting.length === 0) setImmediate(this.endRest)
    this.resting.push(member)
  }

  /** Calls `member.proceed()` after every drain of the bus until it returns false. */
  wait(member: TurnMember): void {
    this.waiting.push(member)
  }

  /**
   * Ends a turn. What the shards have sent meanwhile goes out with it: the event loop may read many
   * chunks of one socket before it comes to the next ring of the bell.
   */
  end(): void {
    if (this.port.drain()) this.proceedAll()
    this.flushTouched()
    // What flushing touched again (a reply, window given back) goes out too, but not for ever.
    if (this.touched.length > 0) this.flushTouched()
    if (this.touched.length > 0) this.soon()
    if (this.port.show()) this.wakeSoon()
  }

  /** Lets waiting members try again although the bus has not moved, as when an alarm has ended. */
  poke(): void {
    this.begin()
    this.proceedAll()
    this.end()
  }

  private flushTouched(): void {
    const members = this.touched
    if (members.length === 0) return
    this.touched = this.flushing
    this.flushing = members
    for (let i = 0; i < members.length; i++) members[i]?.flush()
    members.length = 0
  }

  /** One bounded round: at most what the rings held when it began. */
  private readonly pump = (): void => {
    if (this.stopped) return
    this.begin()
    const mark = this.port.mark()
    this.port.drain()
    this.proceedAll()
    this.end()
    // Rung meanwhile: the next round comes after a look at the sockets, so that neither starves.
    if (this.port.sleep(mark, this.pump)) setImmediate(this.pump)
  }

  /**
   * Wakes the shards after this round of sockets: one system call then serves all the chunks that
   * were read in it.
   */
  private wakeSoon(): void {
    if (this.wakePlanned) return
    this.wakePlanned = true
    setImmediate(this.wake)
  }

  private readonly endRest = (): void => {
    const members = this.resting
    this.resting = []
    for (const member of members) member.rested()
  }

  private readonly wake = (): void => {
    this.wakePlanned = false
    this.port.wake()
  }

  private soon(): void {
    if (this.pumpSoon) return
    this.pumpSoon = true
    setImmediate(() => {
      this.pumpSoon = false
      this.begin()
      this.end()
    })
  }

  private proceedAll(): void {
    const count = this.waiting.length
    if (count === 0) return
    const members = this.waiting
    this.waiting = []
    // Another one begins each time, so that the room in a ring is not always the same member's.
    this.rotation = (this.rotation + 1) % count
    for (let i = 0; i < count; i++) {
      const member = members[(i + this.rotation) % count] as TurnMember
      if (member.proceed()) this.waiting.push(member)
    }
  }
}
