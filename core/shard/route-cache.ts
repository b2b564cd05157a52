// Where messages go, remembered by the bytes of their exchange and routing key.

import type { PeerError } from '../../shared/bus/control.ts'
import { hashBytes } from '../../shared/placement.ts'
import type { MessageTarget } from '../queue/queue.ts'
import type { PeerLink } from './peer-link.ts'
import type { RateLimit } from './publish-rates.ts'
import type { Sink } from './sinks.ts'

/** Queues of one other shard that a message goes to. */
export interface RemoteTarget {
  readonly peer: PeerLink
  readonly queues: number[]
}

/** A route resolved to this shard's queues and the links to others. */
export interface ResolvedRoute {
  /** The topology it holds for. */
  version: number
  /** Set when the publisher may not publish so. */
  refusal: PeerError | undefined
  readonly local: MessageTarget[]
  /** How many of `local` are durable. */
  durable: number
  /** Some of `local` log messages that are not persistent too. */
  logsAll: boolean
  /** Some queue keeps every message as if it were persistent (quorum queues do): so do all of them. */
  persists: boolean
  /** Sinks among `local`. */
  readonly sinks: Sink[]
  readonly remote: RemoteTarget[]
  /** Rates that publishers are held to; undefined: none. */
  rates: readonly RateLimit[] | undefined
  /** Some of `local` hold the message back: what lies behind them is not known yet. */
  holds: boolean
  /** Some target drops duplicates first: what lies behind it is not known yet. */
  gated: boolean
}

export function newResolvedRoute(version: number): ResolvedRoute {
  return {
    version,
    refusal: undefined,
    local: [],
    durable: 0,
    logsAll: false,
    sinks: [],
    persists: false,
    remote: [],
    rates: undefined,
    holds: false,
    gated: false,
  }
}

interface Entry {
  readonly scope: number
  readonly key: Uint8Array
  readonly route: ResolvedRoute
}

/** Slots; a full cache is emptied, which costs one routing per key in use. */
const slots = 1 << 16
const entriesMax = slots >> 1

/** Open addressing; a key is (scope, exchange and routing key bytes, further keys and MQTT topic included). */
export class RouteCache {
  private entries: (Entry | undefined)[]
  private count: number
  private version: number

  constructor() {
    this.entries = []
    this.count = 0
    this.version = -1
  }

  // HOT: on every change of key of a channel
  find(
    version: number,
    scope: number,
    bytes: Uint8Array,
    at: number,
    size: number,
  ): ResolvedRoute | undefined {
    if (this.version !== version) {
      if (this.count > 0) this.entries = []
      this.count = 0
      this.version = version
      return undefined
    }
    let slot = hashBytes(bytes, at, at + size, scope) & (slots - 1)
    for (;;) {
      const entry = this.entries[slot]
      if (entry === undefined) return undefined
      if (entry.scope === scope && sameKey(entry.key, entry.key.length, bytes, at, size))
        return entry.route
      slot = (slot + 1) & (slots - 1)
    }
  }

  add(scope: number, bytes: Uint8Array, at: number, size: number, route: ResolvedRoute): void {
    if (this.count === 0 || this.count >= entriesMax) {
      this.entries = new Array<Entry | undefined>(slots).fill(undefined)
      this.count = 0
    }
    let slot = hashBytes(bytes, at, at + size, scope) & (slots - 1)
    while (this.entries[slot] !== undefined) slot = (slot + 1) & (slots - 1)
    this.entries[slot] = {
      scope,
      key: Uint8Array.prototype.slice.call(bytes, at, at + size),
      route,
    }
    this.count++
  }
}

// HOT: once per publish
/** Whether `key[0, keySize)` equals `bytes[at, at + size)`. */
export function sameKey(
  key: Uint8Array,
  keySize: number,
  bytes: Uint8Array,
  at: number,
  size: number,
): boolean {
  if (keySize !== size) return false
  for (let i = 0; i < size; i++) if (key[i] !== bytes[at + i]) return false
  return true
}
