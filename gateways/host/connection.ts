// The only file that joins a transport to a session: bytes in, outbox out, and backpressure both ways.

import type { GatewayPort } from '../../shared/bus/gateway-port.ts'
import { connectionWindow } from '../../shared/bus/wire.ts'
import { DecodeError } from '../../shared/bytes/decode-error.ts'
import type { Log } from '../../shared/log.ts'
import type { LogFiles } from '../../shared/stream/log-cursor.ts'
import type { BlockPool } from './block-pool.ts'
import { logFiles } from './log-files.ts'
import type { OutboxBatch } from './outbox.ts'
import { BlockOutbox } from './outbox.ts'
import type { Peer, Protocol, Session, SessionHost } from './protocol.ts'
import type { Transport, TransportEvents } from './transport.ts'
import type { TurnLoop } from './turn-loop.ts'

/** Bytes in the socket's queue above which window is given back only as the queue drains. */
export const socketQueueBytes: number = 256 * 1024

/**
 * Bytes in the socket's queue, beyond the deliveries that windows allow, above which the peer is no
 * longer read: it asks for more than it takes (replies, returns, messages got).
 */
export const unreadReplyBytes: number = 4 * 1024 * 1024

/**
 * A chunk of this size says that more is waiting in the kernel. libuv would read on, up to 32 times,
 * before it looks at any other socket: one publisher would hold up every consumer of the thread.
 */
const fullChunkBytes = 32 * 1024

/** How long a peer may take to close after us, or to have its last bytes taken in, milliseconds. */
export const lingerMs = 5000

/** What a connection needs of its thread. */
export interface ConnectionOwner {
  readonly loop: TurnLoop
  readonly pool: BlockPool
  readonly log: Log
  readonly settings: Readonly<Record<string, unknown>>
  /** The connection is over. */
  onGone(connection: Connection): void
}

/** A transport and its session. */
export class Connection implements SessionHost, TransportEvents {
  readonly port: GatewayPort
  readonly peer: Peer
  readonly out: BlockOutbox
  readonly log: Log
  readonly files: LogFiles
  private readonly transport: Transport
  private readonly owner: ConnectionOwner
  private readonly loop: TurnLoop
  private readonly session: Session
  /** Chunks lie in memory that the next read uses again. */
  private readonly borrowed: boolean
  private readonly inflight: OutboxBatch[]
  private readonly stopReadingBytes: number
  private held: Buffer[]
  /** Callbacks of the socket that are still to come for batches already settled. */
  private callbacksLate: number
  private touched: boolean
  private waiting: boolean
  private paused: boolean
  /** The queue was too long at the last flush: `onFlushed` is owed. */
  private flushOwed: boolean
  private congested: boolean
  /** It has been read to the full and waits until every other socket was looked at. */
  private resting: boolean
  /** No more input is wanted, and the socket ends once the outbox is with it. */
  private ending: boolean
  private endSent: boolean
  private peerEnded: boolean
  private lingerUntil: number
  private closed: boolean
  private failure: Error | undefined

  constructor(transport: Transport, peer: Peer, protocol: Protocol, owner: ConnectionOwner) {
    this.transport = transport
    this.peer = peer
    this.owner = owner
    this.loop = owner.loop
    this.port = owner.loop.port
    this.log = owner.log
    this.files = logFiles
    this.out = new BlockOutbox(owner.pool, () => this.touch())
    this.inflight = []
    this.stopReadingBytes = unreadReplyBytes + connectionWindow * this.port.shardCount
    this.held = []
    this.callbacksLate = 0
    this.touched = false
    this.waiting = false
    this.paused = false
    this.flushOwed = false
    this.congested = false
    this.resting = false
    this.ending = false
    this.endSent = false
    this.peerEnded = false
    this.lingerUntil = Number.POSITIVE_INFINITY
    this.closed = false
    this.failure = undefined
    this.session = protocol.createSession(this, owner.settings)
    transport.start(this)
    this.borrowed = transport.borrowed
  }

  now(): number {
    return this.loop.now
  }

  wall(): number {
    return Date.now()
  }

  wakeAt(at: number): void {
    const wake = (): void => {
      if (this.closed) return
      this.checkInput()
      this.loop.poke()
    }
    // A timer may be a little early.
    setTimeout(wake, Math.max(0, at - this.loop.now) + 1).unref()
  }

  end(): void {
    if (this.ending || this.closed) return
    this.ending = true
    this.held = []
    this.lingerUntil = this.loop.now + lingerMs
    this.touch()
  }

  destroy(): void {
    this.held = []
    this.ending = true
    this.transport.destroy()
  }

  /** The thread's coarse timer, about twice a second. */
  onTick(now: number): void {
    if (this.closed) return
    this.transport.onTick(now)
    if (now >= this.lingerUntil) this.transport.destroy()
    else if (!this.ending && this.session.deadline() <= now) {
      this.session.onDeadline(now)
      this.checkInput()
    }
  }

  /** The node stops. */
  onShutdown(reason: string): void {
    if (!this.closed && !this.ending) this.session.onShutdown(reason)
  }

  private touch(): void {
    if (this.touched) return
    this.touched = true
    this.loop.touch(this)
  }

  flush(): void {
    this.touched = false
    const batch = this.out.collect(this.transport.queued() > 0)
    if (batch !== undefined) this.send(batch)
    if (this.closed) return
    if (this.ending && !this.endSent) {
      this.endSent = true
      this.transport.end()
      this.updateReading()
      return
    }
    const queued = this.transport.queued()
    if (!this.congested && queued > this.stopReadingBytes) {
      this.congested = true
      this.updateReading()
    }
    this.flushOwed = queued > socketQueueBytes
    if (!this.flushOwed) this.session.onFlushed()
  }

  proceed(): boolean {
    if (this.session.blocked && !this.closed && !this.ending) this.session.resume()
    this.feedHeld()
    this.waiting = this.session.blocked && !this.closed && !this.ending
    return this.waiting
  }

  // HOT: once per chunk
  onData(chunk: Buffer): void {
    if (this.ending) return
    this.loop.begin()
    // The socket is stopped only now, when a further chunk has come: most blocked sessions wait for
    // a reply, and so does their peer.
    if (this.held.length > 0 || this.session.blocked) {
      this.held.push(this.borrowed ? Buffer.from(chunk) : chunk)
    } else {
      this.feed(chunk)
      if (this.borrowed && this.session.blocked) this.session.keep()
    }
    if (chunk.length >= fullChunkBytes && !this.resting) {
      this.resting = true
      this.loop.rest(this)
    }
  }

  // HOT: once per read
  onDataEnd(): void {
    this.checkInput()
    this.loop.end()
  }

  onError(error: Error): void {
    this.failure ??= error
  }

  /** The others have had their turn. */
  rested(): void {
    this.resting = false
    this.updateReading()
  }

  private checkInput(): void {
    if (this.session.blocked && !this.waiting && !this.ending) {
      this.waiting = true
      this.loop.wait(this)
    }
    this.updateReading()
    if (this.peerEnded && this.held.length === 0 && !this.session.blocked) this.end()
  }

  private feed(chunk: Buffer): void {
    try {
      this.session.onBytes(chunk)
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      this.log.warn('closing connection: malformed bytes', {
        peer: this.peer.name,
        text: error.text,
      })
      this.failure ??= error
      this.destroy()
    }
  }

  private feedHeld(): void {
    if (this.held.length > 0 && !this.session.blocked && !this.closed) {
      const chunks = this.held
      let used = 0
      this.held = []
      while (used < chunks.length && !this.session.blocked && !this.ending) {
        this.feed(chunks[used++] as Buffer)
      }
      if (used < chunks.length && !this.ending) this.held = chunks.slice(used)
    }
    this.updateReading()
    if (this.peerEnded && this.held.length === 0 && !this.session.blocked) this.end()
  }

  private updateReading(): void {
    if (this.closed) return
    const pause = !this.ending && (this.held.length > 0 || this.congested || this.resting)
    if (pause === this.paused) return
    this.paused = pause
    if (pause) this.transport.pause()
    else this.transport.resume()
  }

  private send(batch: OutboxBatch): void {
    if (this.closed || this.endSent || this.transport.destroyed()) {
      this.out.settle(batch)
      return
    }
    this.inflight.push(batch)
    this.transport.write(batch.pieces, this.onWritten)
    // The kernel took everything at once: the blocks are free for the next connection of this turn.
    if (this.transport.queued() === 0 && !this.transport.destroyed()) {
      this.callbacksLate += this.inflight.length
      this.settleAll()
    }
  }

  private readonly onWritten = (): void => {
    if (this.closed) return
    if (this.callbacksLate > 0) {
      this.callbacksLate--
      return
    }
    const batch = this.inflight.shift()
    this.loop.begin()
    if (batch !== undefined) this.out.settle(batch)
    const queued = this.transport.queued()
    if (this.congested && queued <= this.stopReadingBytes / 2) {
      this.congested = false
      this.updateReading()
    }
    if (this.flushOwed && queued <= socketQueueBytes && !this.ending) {
      this.flushOwed = false
      this.session.onFlushed()
    }
    this.loop.end()
  }

  private settleAll(): void {
    for (const batch of this.inflight) this.out.settle(batch)
    this.inflight.length = 0
  }

  /** The peer sends no more. What it sent before still counts, so that is taken in first. */
  onEnd(): void {
    this.peerEnded = true
    this.loop.begin()
    if (this.lingerUntil === Number.POSITIVE_INFINITY) this.lingerUntil = this.loop.now + lingerMs
    if (this.held.length === 0 && !this.session.blocked) this.end()
    this.loop.end()
  }

  onClose(): void {
    if (this.closed) return
    this.closed = true
    this.held = []
    this.loop.begin()
    this.settleAll()
    this.session.onClosed(this.failure)
    const rest = this.out.collect(false)
    if (rest !== undefined) this.out.settle(rest)
    this.owner.onGone(this)
    this.loop.end()
  }
}
