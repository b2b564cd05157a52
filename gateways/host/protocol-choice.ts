// Two protocols on one listener, told apart by the first bytes that a client sends.

import type { Protocol, Session, SessionHost } from './protocol.ts'

/** Looks at the first bytes of a connection, all that have come; undefined while it needs more. */
export type Choose = (head: Uint8Array) => Protocol | undefined

/**
 * A protocol that is whichever `choose` says, which needs only a few bytes. A client that does not
 * send enough within `limitMs(settings)` is dropped.
 */
export function chooseByHead(
  name: string,
  choose: Choose,
  limitMs: (settings: Readonly<Record<string, unknown>>) => number,
): Protocol {
  return {
    name,
    createSession: (host, settings) =>
      new UndecidedSession(host, host.now() + limitMs(settings), (head) =>
        choose(head)?.createSession(host, settings),
      ),
  }
}

/** Gathers the head, then is only a way through to the session of its choice. */
class UndecidedSession implements Session {
  private readonly host: SessionHost
  private readonly giveUpAt: number
  private readonly decide: (head: Uint8Array) => Session | undefined
  private head: Buffer
  private chosen: Session | undefined

  constructor(
    host: SessionHost,
    giveUpAt: number,
    decide: (head: Uint8Array) => Session | undefined,
  ) {
    this.host = host
    this.giveUpAt = giveUpAt
    this.decide = decide
    this.head = noBytes
    this.chosen = undefined
  }

  get blocked(): boolean {
    return this.chosen?.blocked === true
  }

  onBytes(chunk: Buffer): void {
    if (this.chosen !== undefined) {
      this.chosen.onBytes(chunk)
      return
    }
    const bytes = this.head.length === 0 ? chunk : Buffer.concat([this.head, chunk])
    this.chosen = this.decide(bytes)
    // A copy: the chunk's memory is used again.
    this.head = this.chosen === undefined ? Buffer.from(bytes) : noBytes
    this.chosen?.onBytes(bytes)
  }

  keep(): void {
    this.chosen?.keep()
  }

  resume(): void {
    this.chosen?.resume()
  }

  onFlushed(): void {
    this.chosen?.onFlushed()
  }

  deadline(): number {
    return this.chosen === undefined ? this.giveUpAt : this.chosen.deadline()
  }

  onDeadline(now: number): void {
    if (this.chosen !== undefined) this.chosen.onDeadline(now)
    else this.host.destroy()
  }

  onShutdown(reason: string): void {
    if (this.chosen !== undefined) this.chosen.onShutdown(reason)
    else this.host.end()
  }

  onClosed(error: Error | undefined): void {
    this.chosen?.onClosed(error)
  }
}

const noBytes = Buffer.alloc(0)
