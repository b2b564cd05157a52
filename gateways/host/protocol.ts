// What a protocol offers to the host, and what the host offers to a session.

import type { GatewayPort } from '../../shared/bus/gateway-port.ts'
import type { ByteView } from '../../shared/bytes/view.ts'
import type { Log } from '../../shared/log.ts'
import type { LogFiles } from '../../shared/stream/log-cursor.ts'

/** Facts about the transport that authentication and logs need. */
export interface Peer {
  /** `host:port -> host:port`, as in RabbitMQ's logs. */
  readonly name: string
  readonly address: string
  readonly port: number
  readonly localAddress: string
  readonly localPort: number
  readonly loopback: boolean
  readonly tls: boolean
  /** The user name that a verified client certificate proves (ssl_cert_login_from), if any. */
  readonly certificateUser: string | undefined
  /** Further names in that certificate. */
  readonly certificateNames?: CertificateNames
  /** Undefined for bytes over TCP or TLS. */
  readonly web?: WebFacts
}

export interface CertificateNames {
  readonly distinguishedName: string | undefined
  readonly alternativeName: string | undefined
}

/** What the HTTP request said that opened a WebSocket. */
export interface WebFacts {
  /** The sub-protocol agreed upon; empty for none. */
  readonly subprotocol: string
  /** User and password of HTTP Basic authentication, where the listener takes them. */
  readonly login: { readonly user: string; readonly password: string } | undefined
}

/** Where a session writes what the socket shall send, in order. Owned by the host's connection. */
export interface Outbox {
  /** The current block; write at `at` after `reserve`, then advance `at`. */
  bytes: Buffer
  /** Of `bytes`. */
  dataView: ByteView
  at: number
  /** Makes sure that `size` (at most `blockBytes`) contiguous bytes are free at `at`; may change `bytes` and `at`. */
  reserve(size: number): void
  /**
   * Appends bytes that must not be copied (a large body in a slab). `onSent` is called once, when
   * the socket has taken them or is gone.
   */
  view(bytes: Uint8Array, onSent: () => void): void
  /** Asks the host to flush this connection at the end of the turn. Cheap to repeat. */
  touch(): void
}

/** The two clocks, in milliseconds. */
export interface Clock {
  /** Monotonic, as of this turn. */
  now(): number
  /** Since 1970: for what has a date, like an expiry that outlives the process. */
  wall(): number
}

/** What a session may ask of its host. Nothing here runs session code before it returns. */
export interface SessionHost extends Clock {
  readonly port: GatewayPort
  readonly peer: Peer
  readonly out: Outbox
  readonly log: Log
  /** Files of streams; a host may have none. */
  readonly files?: LogFiles
  /** Has a session that is `blocked` resumed at that time (`now()` scale), though nothing happens then. */
  wakeAt(at: number): void
  /** Flushes what is in the outbox, then closes the socket; input is thrown away from now on. */
  end(): void
  /** Closes the socket at once. */
  destroy(): void
}

/**
 * One connection's protocol state. The host calls, in any order:
 * inputs `onBytes`, `resume`, `onFlushed`, `onDeadline`, `onShutdown`, and once at the end `onClosed`.
 * After each it looks at `blocked` and flushes the outbox.
 */
export interface Session {
  /**
   * Takes a chunk from the socket; the chunk is the session's until it has been used up, or `keep` is
   * called. Not called while `blocked`.
   */
  onBytes(chunk: Buffer): void
  /** The memory of the last chunk is about to be used again: copies what is still needed of it. */
  keep(): void
  /** True while the session can't take more bytes (bus full, a reply pending, an alarm): the host pauses the socket. */
  readonly blocked: boolean
  /** Called after every drain of the bus while `blocked`: goes on with the rest of the chunk if it can. */
  resume(): void
  /** What was written before is with the kernel (or the socket's short queue): time to give window back. */
  onFlushed(): void
  /** When `onDeadline` wants to be called (`now()` scale), Infinity for never. Checked about twice a second. */
  deadline(): number
  onDeadline(now: number): void
  /** The node stops: tell the client. */
  onShutdown(reason: string): void
  /** The socket is gone; frees everything. `error` is undefined for an orderly end. */
  onClosed(error: Error | undefined): void
}

/** What a protocol does on its thread whether it has connections or not. */
export interface Attendant {
  /** When `onDeadline` wants to be called, as `Session.deadline`. */
  deadline(): number
  onDeadline(now: number): void
}

/** One protocol a gateway thread can serve. `settings` is the resolved configuration. */
export interface Protocol {
  readonly name: string
  createSession(host: SessionHost, settings: Readonly<Record<string, unknown>>): Session
  /** Called once, when the gateway has begun to serve. */
  attend?(
    port: GatewayPort,
    log: Log,
    settings: Readonly<Record<string, unknown>>,
    clock: Clock,
  ): Attendant
}

/** Size of an outbox block: what `Outbox.reserve` can give at most. */
export const blockBytes: number = 128 * 1024 + 1024
