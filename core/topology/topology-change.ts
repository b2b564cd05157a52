// The decisions of the registry: what happened, not what was asked. Every shard applies the same
// ones in the same order. Plain data; arguments keep their wire types.

import type { FieldTable } from '../../shared/message/value.ts'
import type { Policy } from './policies.ts'
import type { Limits, QueueTypeName } from './records.ts'

/** `vhost` is the vhost's id in what is declared, its name in what concerns users. */
export type TopologyChange =
  | {
      readonly change: 'vhostAdded'
      readonly id: number
      readonly name: string
      readonly description: string
      readonly tags: readonly string[]
      readonly defaultQueueType: QueueTypeName | undefined
    }
  | {
      readonly change: 'vhostChanged'
      readonly id: number
      readonly description: string
      readonly tags: readonly string[]
      readonly defaultQueueType: QueueTypeName | undefined
    }
  /** With all that is declared in it, and all permissions for it. */
  | { readonly change: 'vhostDeleted'; readonly id: number }
  | {
      readonly change: 'exchangeDeclared'
      readonly vhost: number
      readonly id: number
      readonly name: string
      readonly type: string
      readonly durable: boolean
      readonly autoDelete: boolean
      readonly internal: boolean
      readonly arguments: FieldTable
    }
  /** With the bindings from it and to it. */
  | { readonly change: 'exchangeDeleted'; readonly vhost: number; readonly name: string }
  | {
      readonly change: 'queueDeclared'
      readonly vhost: number
      readonly id: number
      readonly name: string
      readonly type: QueueTypeName
      readonly durable: boolean
      readonly autoDelete: boolean
      readonly owner: string | undefined
      readonly arguments: FieldTable
      readonly shard: number
    }
  | {
      readonly change: 'queuePaused'
      readonly vhost: number
      readonly name: string
      /** False: it goes on. */
      readonly paused: boolean
    }
  /** With the bindings to it. */
  | { readonly change: 'queueDeleted'; readonly vhost: number; readonly name: string }
  | BindingChange
  | {
      readonly change: 'userSet'
      readonly name: string
      readonly passwordHash: string
      readonly hashingAlgorithm: string
      readonly tags: readonly string[]
    }
  | { readonly change: 'userDeleted'; readonly name: string }
  | {
      readonly change: 'permissionsSet'
      readonly user: string
      readonly vhost: string
      readonly configure: string
      readonly write: string
      readonly read: string
    }
  | { readonly change: 'permissionsCleared'; readonly user: string; readonly vhost: string }
  | {
      readonly change: 'topicPermissionsSet'
      readonly user: string
      readonly vhost: string
      readonly exchange: string
      readonly write: string
      readonly read: string
    }
  /** Without an exchange: those for every exchange of the vhost. */
  | {
      readonly change: 'topicPermissionsCleared'
      readonly user: string
      readonly vhost: string
      readonly exchange: string | undefined
    }
  | PolicyChange
  | ParameterChange
  | LimitsChange

/** A policy (or, with `operator`, an operator policy) of a vhost; it applies at once. */
export type PolicyChange =
  | {
      readonly change: 'policySet'
      readonly vhost: number
      readonly operator: boolean
      readonly policy: Policy
    }
  | {
      readonly change: 'policyCleared'
      readonly vhost: number
      readonly operator: boolean
      readonly name: string
    }

/** Runtime parameters; `vhost` undefined: a global one, without a component. */
export type ParameterChange =
  | {
      readonly change: 'parameterSet'
      readonly vhost: number | undefined
      readonly component: string
      readonly name: string
      readonly value: unknown
    }
  | {
      readonly change: 'parameterCleared'
      readonly vhost: number | undefined
      readonly component: string
      readonly name: string
    }

/** All limits of a vhost or user, in place of those before. */
export type LimitsChange =
  | { readonly change: 'vhostLimitsSet'; readonly vhost: number; readonly limits: Limits }
  | { readonly change: 'userLimitsSet'; readonly user: string; readonly limits: Limits }

export interface BindingChange {
  readonly change: 'bound' | 'unbound'
  readonly vhost: number
  readonly source: string
  readonly destinationKind: 'queue' | 'exchange'
  readonly destination: string
  readonly routingKey: string
  readonly arguments: FieldTable
}
