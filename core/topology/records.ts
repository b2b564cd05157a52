// The declared things, as every shard holds them. Plain records: made and linked by Topology alone,
// read by the router and the shard. Only `routeMark` is the router's to write.

import type { FieldTable } from '../../shared/message/value.ts'
import type { ByteMap } from '../routing/byte-map.ts'
import type { NameMatcher } from './name-matcher.ts'
import type { Policy, PolicySet } from './policies.ts'
import type { DeduplicationSettings, QueueSettings } from './queue-settings.ts'

/** The queue types by the name of `x-queue-type`. */
export type QueueTypeName = 'classic' | 'quorum' | 'stream'

/** A virtual host and what is declared in it. */
export interface VhostRecord {
  /** Unique for the life of a node, never reused. */
  readonly id: number
  readonly name: string
  description: string
  tags: readonly string[]
  defaultQueueType: QueueTypeName | undefined
  /** By name, as `max-queues`; negative: none. */
  limits: Limits
  readonly policies: PolicySet
  readonly operatorPolicies: PolicySet
  /** Runtime parameters by component, then by name; values are JSON. */
  readonly parameters: Map<string, Map<string, unknown>>
  readonly exchanges: Map<string, ExchangeRecord>
  readonly queues: Map<string, QueueRecord>
  /** The same as `exchanges` and `queues`, found by the bytes of a name. */
  readonly exchangesByBytes: ByteMap<ExchangeRecord>
  readonly queuesByBytes: ByteMap<QueueRecord>
}

/** Limits of a vhost or user by RabbitMQ's names; one that is negative or missing limits nothing. */
export type Limits = Readonly<Record<string, number>>

export interface QueueRecord {
  readonly kind: 'queue'
  /** Unique for the life of a node, ever increasing. */
  readonly id: number
  readonly vhost: VhostRecord
  readonly name: string
  readonly type: QueueTypeName
  /** False for every exclusive queue. */
  readonly durable: boolean
  readonly autoDelete: boolean
  /** The connection that alone may use an exclusive queue; undefined: not exclusive. */
  readonly owner: string | undefined
  readonly arguments: FieldTable
  /** What applies to it now. */
  policy: Policy | undefined
  operatorPolicy: Policy | undefined
  /** What holds for it now: arguments and policies together. */
  settings: QueueSettings
  /** The shard that owns its messages. */
  readonly shard: number
  /** The bindings that lead here. */
  readonly inbound: Set<BindingRecord>
  /** It takes messages and gives none. */
  paused: boolean
  /** Set when the queue is gone, for those who still hold the record. */
  deleted: boolean
  routeMark: number
}

export interface ExchangeRecord {
  readonly kind: 'exchange'
  /** Unique for the life of a node, ever increasing. */
  readonly id: number
  readonly vhost: VhostRecord
  readonly name: string
  readonly type: string
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly internal: boolean
  readonly arguments: FieldTable
  policy: Policy | undefined
  operatorPolicy: Policy | undefined
  /** Messages with a positive x-delay are held back here. */
  delayed: boolean
  /** Which messages count as the same here; undefined: none. */
  deduplication: DeduplicationSettings | undefined
  /** It was `delayed` once: some may still be held. */
  mayHold: boolean
  /** Name of the exchange that gets what matches nothing here, by argument or policy. */
  alternate: string | undefined
  /** The bindings from here, by `bindingIdentity`. */
  readonly outbound: Map<string, BindingRecord>
  /** The bindings that lead here. */
  readonly inbound: Set<BindingRecord>
  /** The bindings from here in the form that this type matches by. */
  readonly table: BindingTable
  deleted: boolean
  routeMark: number
}

/** What a binding can lead to. */
export type RouteTarget = QueueRecord | ExchangeRecord

/** Identity: source, destination, routing key, arguments (sorted). */
export interface BindingRecord {
  readonly source: ExchangeRecord
  readonly destination: RouteTarget
  readonly routingKey: string
  readonly arguments: FieldTable
}

/** The facts of a message that some exchange types look at; asked for only when needed. */
export interface MessageFacts {
  /** The header table, undefined where the message has none. */
  headers(): FieldTable | undefined
  /** What the header x-delay asks for, in milliseconds; 0: nothing; negative: it has been served. */
  delay(): number
  /** A property as text, undefined where the message has none. */
  property(name: 'message_id' | 'correlation_id' | 'timestamp'): string | undefined
}

/** What a binding table needs to know of a message. Fields are reused: read, never keep. */
export interface RouteInput {
  /** The routing key is `bytes[keyStart, keyEnd)`. */
  readonly bytes: Uint8Array
  readonly keyStart: number
  readonly keyEnd: number
  /** The message's MQTT topic is `bytes[topicStart, topicEnd)`; end 0: the routing key tells it. */
  readonly topicStart: number
  readonly topicEnd: number
  readonly facts: MessageFacts
  /** The next random number, 0 to 2^32 - 1. */
  readonly random: () => number
}

/** Where a match puts what it finds. */
export interface TargetSink {
  push(target: RouteTarget): void
}

/** One exchange's bindings, in the form its type matches by. */
export interface BindingTable {
  /** Whether the routing key alone decides, so that a result holds for every message with that key. */
  readonly cacheable: boolean
  /** Whether each further key (CC, BCC) of a message is matched too, not only the first. */
  readonly matchesEveryKey: boolean
  add(binding: BindingRecord): void
  remove(binding: BindingRecord): void
  /** Appends the targets of a message to `out`; the same target may be appended twice. */
  match(input: RouteInput, out: TargetSink): void
}

export interface UserRecord {
  readonly name: string
  readonly passwordHash: string
  readonly hashingAlgorithm: string
  readonly tags: readonly string[]
  /** By name, as `max-channels`; negative: none. */
  limits: Limits
  /** By vhost name. */
  readonly permissions: Map<string, PermissionRecord>
  /** By vhost name, then by exchange name. */
  readonly topicPermissions: Map<string, Map<string, TopicPermissionRecord>>
}

/** Patterns of one user in one vhost, as given. */
export interface PermissionPatterns {
  readonly configure: string
  readonly write: string
  readonly read: string
}

export interface PermissionRecord extends PermissionPatterns {
  readonly matchers: {
    readonly configure: NameMatcher
    readonly write: NameMatcher
    readonly read: NameMatcher
  }
}

export interface TopicPermissionRecord {
  readonly write: string
  readonly read: string
  readonly matchers: { readonly write: NameMatcher; readonly read: NameMatcher }
  /** Where the patterns name `{client_id}`: the patterns with all else filled in, and those in use. */
  readonly clients:
    | {
        readonly write: string
        readonly read: string
        readonly known: Map<string, { readonly write: NameMatcher; readonly read: NameMatcher }>
      }
    | undefined
}
