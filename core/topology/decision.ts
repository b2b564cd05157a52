// What the registry answers, and what it decides by.

import type { PeerError } from '../../shared/errors.ts'
import type { QueueRecord, QueueTypeName } from './records.ts'
import type { Topology } from './topology.ts'
import type { TopologyChange } from './topology-change.ts'
import type { VhostDefaults } from './vhost-defaults.ts'

/** The fields of an answer, as the op's comment in shared/bus/control.ts names them. */
export type Reply = Readonly<Record<string, unknown>>

export type Decision =
  | { readonly kind: 'refused'; readonly error: PeerError }
  /** Ask the shard of `queue` for its counts, then decide again with them. */
  | { readonly kind: 'needsQueueStats'; readonly queue: QueueRecord }
  /** To apply everywhere, in order and before the reply; nothing to apply is common. */
  | {
      readonly kind: 'decided'
      readonly changes: readonly TopologyChange[]
      readonly reply: Reply
    }

/** Live counts of one queue. */
export interface QueueStats {
  readonly messages: number
  readonly consumers: number
}

export interface RegistrySettings {
  readonly shards: number
  /** Fills names and salts; cryptographically strong outside tests. */
  readonly randomBytes: (size: number) => Uint8Array
  /** `deprecated_features.permit.transient_nonexcl_queues`. */
  readonly permitTransientNonexclusiveQueues: boolean
  /** Users that may log in from this machine only. */
  readonly loopbackUsers: ReadonlySet<string>
  /** Whether `amq.rabbitmq.reply-to.<suffix>` has a consumer. */
  readonly replyQueueExists: (name: string) => boolean
  /** Who logs in by ANONYMOUS; undefined: nobody. */
  readonly anonymousUser: string | undefined
  /** `rabbit_password_hashing_sha256` or `_sha512`: for passwords set from now on. */
  readonly hashingAlgorithm: string
  /** `default_queue_type`: where the vhost has none. */
  readonly defaultQueueType?: QueueTypeName | undefined
  /** `max_connections`; undefined: no limit. */
  readonly connectionCountMax?: number | undefined
  /** `cluster_queue_limit`, `cluster_exchange_limit`; undefined: no limit. */
  readonly queueCountMax: number | undefined
  readonly exchangeCountMax: number | undefined
  /** `vhost_max`; undefined: no limit. */
  readonly vhostCountMax?: number | undefined
  readonly vhostDefaults?: VhostDefaults
}

/** What each decision sees. */
export interface RegistryContext {
  readonly topology: Topology
  readonly settings: RegistrySettings
  /** A new id for a vhost, exchange or queue. */
  readonly nextId: () => number
}

export function refused(error: PeerError): Decision {
  return { kind: 'refused', error }
}

export function decided(changes: readonly TopologyChange[], reply: Reply = {}): Decision {
  return { kind: 'decided', changes, reply }
}

/** Nothing has to change. */
export function unchanged(reply: Reply = {}): Decision {
  return decided([], reply)
}
