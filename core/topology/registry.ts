// The one writer of metadata. It decides on its shard's copy of the topology and changes nothing
// itself: whoever asked persists the changes, applies them on every shard, and then replies.

import type { PeerError } from '../../shared/errors.ts'
import { connectionError } from '../../shared/errors.ts'
import {
  addUser,
  addVhost,
  authenticate,
  changePassword,
  changeVhost,
  clearPermissions,
  clearTopicPermissions,
  deleteUser,
  deleteVhost,
  openConnection,
  openUserChannel,
  setPermissions,
  setTopicPermissions,
  setUserTags,
} from './access-decisions.ts'
import { bind, unbind } from './binding-decisions.ts'
import type { Decision, QueueStats, RegistryContext, RegistrySettings } from './decision.ts'
import { refused } from './decision.ts'
import { declareExchange, deleteExchange } from './exchange-decisions.ts'
import {
  clearGlobalParameter,
  clearParameter,
  clearPolicy,
  effectivePolicy,
  listGlobalParameters,
  listParameters,
  listPolicies,
  listUserLimits,
  listVhostLimits,
  setGlobalParameter,
  setParameter,
  setPolicy,
  setUserLimits,
  setVhostLimits,
} from './policy-decisions.ts'
import { setPaused } from './queue-control.ts'
import {
  declareQueue,
  deleteEndedQueue,
  deleteOwnedQueues,
  deleteQueue,
} from './queue-decisions.ts'
import type { AccessOp, Actor, AdminOp, DeclareOp, PolicyOp, RegistryOp } from './registry-op.ts'
import type { Topology } from './topology.ts'
import type { TopologyChange } from './topology-change.ts'

/** What a node without any metadata starts with. */
export interface InitialAccess {
  readonly vhost: string
  readonly user: string
  readonly password: string
  readonly tags: readonly string[]
  readonly configure: string
  readonly write: string
  readonly read: string
}

export class Registry {
  readonly #context: RegistryContext
  #lastId = 0

  /** The decisions of a `decide` must be applied to `topology` before the next one. */
  constructor(topology: Topology, settings: RegistrySettings) {
    this.#context = { topology, settings, nextId: () => this.#nextId() }
  }

  /**
   * Decides one op. `actor` is needed for what a connection declares, else undefined. `stats` are
   * those of the queue that an earlier decision on the same op has asked for.
   */
  decide(op: RegistryOp, actor: Actor | undefined, stats?: QueueStats): Decision {
    switch (op.op) {
      case 'authenticate':
        return authenticate(this.#context, op)
      case 'openConnection':
        return openConnection(this.#context, op)
      case 'openUserChannel':
        return openUserChannel(this.#context, op)
      case 'ownerGone':
        return deleteOwnedQueues(this.#context, op.owner)
      case 'queueGone':
        return deleteEndedQueue(this.#context, op.queueId)
      case 'exchangeDeclare':
      case 'exchangeDelete':
      case 'exchangeBind':
      case 'exchangeUnbind':
      case 'queueDeclare':
      case 'queueBind':
      case 'queueUnbind':
      case 'queueDelete':
        return this.#decideDeclare(op, actor, stats)
      default:
        return this.#decideAdmin(op)
    }
  }

  /**
   * The changes that give a blank node its first vhost and user, each to be applied before the next
   * is asked for; throws where the configuration asks for what cannot be.
   */
  *initialChanges(initial: InitialAccess): Generator<TopologyChange> {
    const { vhost, user, password, tags, configure, write, read } = initial
    yield* changesOf(this.#decideAdmin({ op: 'addVhost', name: vhost }))
    yield* changesOf(this.#decideAdmin({ op: 'addUser', name: user, password, tags }))
    const permissions = { op: 'setPermissions', user, vhost, configure, write, read } as const
    yield* changesOf(this.#decideAdmin(permissions))
  }

  #decideDeclare(op: DeclareOp, actor: Actor | undefined, stats: QueueStats | undefined): Decision {
    const context = this.#context
    const vhost = actor === undefined ? undefined : context.topology.vhosts.get(actor.vhost)
    if (actor === undefined || vhost === undefined) return refused(noVhost(actor?.vhost ?? ''))
    switch (op.op) {
      case 'exchangeDeclare':
        return declareExchange(context, vhost, op, actor)
      case 'exchangeDelete':
        return deleteExchange(context, vhost, op, actor)
      case 'queueDeclare':
        return declareQueue(context, vhost, op, actor, stats)
      case 'queueDelete':
        return deleteQueue(context, vhost, op, actor, stats)
      case 'exchangeBind':
      case 'queueBind':
        return bind(context, vhost, op, actor)
      case 'exchangeUnbind':
      case 'queueUnbind':
        return unbind(context, vhost, op, actor)
    }
  }

  #decideAdmin(op: AdminOp): Decision {
    const context = this.#context
    switch (op.op) {
      case 'pauseQueue':
      case 'resumeQueue':
        return setPaused(context, op)
      case 'setPolicy':
        return setPolicy(context, op)
      case 'clearPolicy':
        return clearPolicy(context, op)
      case 'listPolicies':
        return listPolicies(context, op)
      case 'effectivePolicy':
        return effectivePolicy(context, op)
      case 'setVhostLimits':
        return setVhostLimits(context, op)
      case 'setUserLimits':
        return setUserLimits(context, op)
      case 'listVhostLimits':
        return listVhostLimits(context, op)
      case 'listUserLimits':
        return listUserLimits(context, op)
      case 'setParameter':
      case 'clearParameter':
      case 'listParameters':
      case 'setGlobalParameter':
      case 'clearGlobalParameter':
      case 'listGlobalParameters':
        return this.#decideParameter(op)
      default:
        return this.#decideAccess(op)
    }
  }

  #decideParameter(op: ParameterOp): Decision {
    const context = this.#context
    switch (op.op) {
      case 'setParameter':
        return setParameter(context, op)
      case 'clearParameter':
        return clearParameter(context, op)
      case 'listParameters':
        return listParameters(context, op)
      case 'setGlobalParameter':
        return setGlobalParameter(op)
      case 'clearGlobalParameter':
        return clearGlobalParameter(context, op)
      case 'listGlobalParameters':
        return listGlobalParameters(context)
    }
  }

  #decideAccess(op: AccessOp): Decision {
    const context = this.#context
    switch (op.op) {
      case 'addVhost':
        return addVhost(context, op)
      case 'changeVhost':
        return changeVhost(context, op)
      case 'deleteVhost':
        return deleteVhost(context, op)
      case 'addUser':
        return addUser(context, op)
      case 'changePassword':
        return changePassword(context, op)
      case 'setUserTags':
        return setUserTags(context, op)
      case 'deleteUser':
        return deleteUser(context, op)
      case 'setPermissions':
        return setPermissions(context, op)
      case 'clearPermissions':
        return clearPermissions(context, op)
      case 'setTopicPermissions':
        return setTopicPermissions(context, op)
      case 'clearTopicPermissions':
        return clearTopicPermissions(context, op)
    }
  }

  #nextId(): number {
    this.#lastId = Math.max(this.#lastId, this.#context.topology.lastId) + 1
    return this.#lastId
  }
}

type ParameterOp = Extract<
  PolicyOp,
  { readonly op: `${'set' | 'clear' | 'list'}${string}Parameter${'' | 's'}` }
>

function* changesOf(decision: Decision): Generator<TopologyChange> {
  if (decision.kind === 'refused') throw new Error(decision.error.text)
  if (decision.kind === 'decided') yield* decision.changes
}

/** The vhost went while a connection was open. */
function noVhost(name: string): PeerError {
  return connectionError('NOT_ALLOWED', `vhost ${name} not found`)
}
