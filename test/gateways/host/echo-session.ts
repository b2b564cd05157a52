// A protocol for tests of the host: echoes bytes, and can be told to block, to send and to end.

import type { Protocol, Session, SessionHost } from '../../../gateways/host/protocol.ts'
import { DecodeError } from '../../../shared/bytes/decode-error.ts'

export class EchoSession implements Session {
  readonly host: SessionHost
  readonly calls: string[] = []
  readonly received: Buffer[] = []
  blocked = false
  /** Block again after each chunk. */
  blockEach = false
  /** `resume` ends the block. */
  resumes = true
  echoes = true
  deadlineAt: number = Number.POSITIVE_INFINITY
  flushes = 0
  closes: (Error | undefined)[] = []

  constructor(host: SessionHost) {
    this.host = host
  }

  get bytes(): Buffer {
    return Buffer.concat(this.received)
  }

  onBytes(chunk: Buffer): void {
    if (this.blocked) throw new Error('called while blocked')
    this.received.push(Buffer.from(chunk))
    if (chunk.includes('GARBAGE')) throw new DecodeError(501, 'garbage')
    if (chunk.includes('QUIT')) this.host.end()
    if (this.blockEach) this.blocked = true
    if (this.echoes) this.send(chunk)
  }

  send(bytes: Uint8Array): void {
    const { out } = this.host
    for (let at = 0; at < bytes.length; at += 1000) {
      const part = bytes.subarray(at, at + 1000)
      out.reserve(part.length)
      out.bytes.set(part, out.at)
      out.at += part.length
    }
    out.touch()
  }

  resume(): void {
    this.calls.push('resume')
    if (this.resumes) this.blocked = false
  }

  keep(): void {
    // An echo is written before onBytes returns.
  }

  onFlushed(): void {
    this.flushes++
  }

  deadline(): number {
    return this.deadlineAt
  }

  onDeadline(now: number): void {
    this.calls.push('deadline')
    if (now < this.deadlineAt) throw new Error('too early')
    this.deadlineAt = Number.POSITIVE_INFINITY
  }

  onShutdown(reason: string): void {
    this.calls.push(`shutdown ${reason}`)
    this.send(Buffer.from('bye'))
    this.host.end()
  }

  onClosed(error: Error | undefined): void {
    this.closes.push(error)
  }
}

export class EchoProtocol implements Protocol {
  readonly name = 'echo'
  readonly sessions: EchoSession[] = []
  /** Called with each new session. */
  onSession: (session: EchoSession) => void = () => {}

  createSession(host: SessionHost): Session {
    const session = new EchoSession(host)
    this.sessions.push(session)
    this.onSession(session)
    return session
  }
}
