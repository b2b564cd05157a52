// What the registry is asked. The first group comes from clients, named and shaped as on the bus
// (shared/bus/control.ts); the second from the node itself; the third from operators.

import type { FieldTable } from '../../shared/message/value.ts'
import type { ApplyTo } from './policies.ts'
import type { QueueTypeName } from './records.ts'

/** Who asks: user and vhost of a connection, and the id by which it owns exclusive queues. */
export interface Actor {
  readonly user: string
  readonly vhost: string
  readonly owner: string
  /** The MQTT client id. */
  readonly clientId?: string | undefined
}

export interface ExchangeDeclare {
  readonly op: 'exchangeDeclare'
  readonly exchange: string
  readonly type: string
  readonly passive: boolean
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly internal: boolean
  readonly arguments: FieldTable
}

export interface ExchangeDelete {
  readonly op: 'exchangeDelete'
  readonly exchange: string
  readonly ifUnused: boolean
}

export interface ExchangeBinding {
  readonly op: 'exchangeBind' | 'exchangeUnbind'
  readonly destination: string
  readonly source: string
  readonly routingKey: string
  readonly arguments: FieldTable
}

export interface QueueDeclare {
  readonly op: 'queueDeclare'
  readonly queue: string
  /** A gateway has made the name: it may begin with `amq.`. */
  readonly generated?: boolean
  readonly passive: boolean
  readonly durable: boolean
  readonly exclusive: boolean
  readonly autoDelete: boolean
  readonly arguments: FieldTable
}

export interface QueueBinding {
  readonly op: 'queueBind' | 'queueUnbind'
  readonly queue: string
  readonly exchange: string
  readonly routingKey: string
  readonly arguments: FieldTable
}

export interface QueueDelete {
  readonly op: 'queueDelete'
  readonly queue: string
  readonly ifUnused: boolean
  readonly ifEmpty: boolean
}

export interface Authenticate {
  readonly op: 'authenticate'
  readonly mechanism: string
  /** Ignored for ANONYMOUS. */
  readonly user: string
  /** Undefined where the transport (EXTERNAL) or nothing (ANONYMOUS) proves the identity. */
  readonly password: string | undefined
  /** Whether the peer is on this machine. */
  readonly loopback: boolean
}

export interface OpenConnection {
  readonly op: 'openConnection'
  readonly user: string
  readonly vhost: string
  /** Connections that are open already: on the node, of the vhost, of the user. */
  readonly open?: number
  readonly openInVhost?: number
  readonly openOfUser?: number
}

/** Asked for a connection: `decide` needs its actor. */
export type DeclareOp =
  | ExchangeDeclare
  | ExchangeDelete
  | ExchangeBinding
  | QueueDeclare
  | QueueBinding
  | QueueDelete

/** From the node: effects that need no permission. */
export type NodeOp =
  /** The connection is gone: so are its exclusive queues. */
  | { readonly op: 'ownerGone'; readonly owner: string }
  /** The queue's last consumer left (auto-delete) or it expired; nothing if it is gone already. */
  | { readonly op: 'queueGone'; readonly queueId: number }

/** From operators. Refusals have no channel to close: their scope is to be ignored. */
export type AdminOp = AccessOp | PolicyOp | QueueControlOp

/** Deliveries from a queue stop, and go on; publishes are taken all the time. Durable with the queue. */
export interface QueueControlOp {
  readonly op: 'pauseQueue' | 'resumeQueue'
  readonly vhost: string
  readonly queue: string
}

/** What policies, parameters and limits are set by; JSON values come as they were given. */
export type PolicyOp =
  | {
      /** A policy, or with `operator` an operator policy. */
      readonly op: 'setPolicy'
      readonly vhost: string
      readonly operator?: boolean | undefined
      readonly name: string
      readonly pattern: unknown
      readonly definition: unknown
      readonly priority?: unknown
      readonly applyTo?: ApplyTo | undefined
    }
  | {
      readonly op: 'clearPolicy'
      readonly vhost: string
      readonly operator?: boolean | undefined
      readonly name: string
    }
  /** Reply `{ items }`: vhost, name, pattern, apply-to, definition, priority; highest priority first. */
  | {
      readonly op: 'listPolicies'
      readonly vhost?: string | undefined
      readonly operator?: boolean | undefined
    }
  /** Reply `{ policy, operatorPolicy, definition }` of a queue, or of an exchange. */
  | { readonly op: 'effectivePolicy'; readonly vhost: string; readonly queue: string }
  | { readonly op: 'effectivePolicy'; readonly vhost: string; readonly exchange: string }
  | {
      readonly op: 'setParameter'
      readonly vhost: string
      readonly component: string
      readonly name: string
      readonly value: unknown
    }
  | {
      readonly op: 'clearParameter'
      readonly vhost: string
      readonly component: string
      readonly name: string
    }
  /** Reply `{ items }`: vhost, component, name, value. */
  | {
      readonly op: 'listParameters'
      readonly vhost?: string | undefined
      readonly component?: string | undefined
    }
  | { readonly op: 'setGlobalParameter'; readonly name: string; readonly value: unknown }
  | { readonly op: 'clearGlobalParameter'; readonly name: string }
  /** Reply `{ items }`: name, value. */
  | { readonly op: 'listGlobalParameters' }
  /** Sets the limits that are named and leaves the others; an empty object clears all. */
  | {
      readonly op: 'setVhostLimits'
      readonly vhost: string
      readonly limits: Readonly<Record<string, unknown>>
    }
  | {
      readonly op: 'setUserLimits'
      readonly user: string
      readonly limits: Readonly<Record<string, unknown>>
    }
  /** Reply `{ items }`: vhost and value. */
  | { readonly op: 'listVhostLimits'; readonly vhost?: string | undefined }
  /** Reply `{ items }`: user and value. */
  | { readonly op: 'listUserLimits'; readonly user?: string | undefined }

/** Vhosts, users and what they may do. */
export type AccessOp =
  | {
      readonly op: 'addVhost'
      readonly name: string
      readonly description?: string | undefined
      readonly tags?: readonly string[] | undefined
      readonly defaultQueueType?: QueueTypeName | undefined
    }
  /** What is undefined stays as it is. */
  | {
      readonly op: 'changeVhost'
      readonly name: string
      readonly description?: string | undefined
      readonly tags?: readonly string[] | undefined
      readonly defaultQueueType?: QueueTypeName | undefined
    }
  | { readonly op: 'deleteVhost'; readonly name: string }
  | {
      readonly op: 'addUser'
      readonly name: string
      /** Undefined where `passwordHash` is given; a user with neither cannot log in by password. */
      readonly password?: string | undefined
      readonly passwordHash?: string | undefined
      readonly hashingAlgorithm?: string | undefined
      readonly tags: readonly string[]
    }
  | { readonly op: 'changePassword'; readonly name: string; readonly password: string }
  | { readonly op: 'setUserTags'; readonly name: string; readonly tags: readonly string[] }
  | { readonly op: 'deleteUser'; readonly name: string }
  | {
      readonly op: 'setPermissions'
      readonly user: string
      readonly vhost: string
      readonly configure: string
      readonly write: string
      readonly read: string
    }
  | { readonly op: 'clearPermissions'; readonly user: string; readonly vhost: string }
  | {
      readonly op: 'setTopicPermissions'
      readonly user: string
      readonly vhost: string
      readonly exchange: string
      readonly write: string
      readonly read: string
    }
  | {
      readonly op: 'clearTopicPermissions'
      readonly user: string
      readonly vhost: string
      readonly exchange?: string | undefined
    }

/** channel.open of a user who has `open` channels already. */
export interface OpenChannel {
  readonly op: 'openUserChannel'
  readonly user: string
  readonly open: number
}

export type RegistryOp = DeclareOp | Authenticate | OpenConnection | OpenChannel | NodeOp | AdminOp
