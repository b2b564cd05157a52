// Everything declared, the same copy on every shard. It changes by `apply` alone, and only by changes
// that the registry has decided: nothing is checked here that a peer could get wrong.

import { assert } from '../../shared/assert.ts'
import type { FieldTable } from '../../shared/message/value.ts'
import { ByteMap } from '../routing/byte-map.ts'
import { exchangeTypeOf } from '../routing/exchange-types.ts'
import { canonicalTable } from '../routing/field-equality.ts'
import { DefaultTable } from '../routing/key-tables.ts'
import { compilePermissions, compileTopicPermissions } from './permissions.ts'
import { PolicySet } from './policies.ts'
import { assignExchangePolicies, assignQueuePolicies } from './policy-assignment.ts'
import { queueSettings } from './queue-settings.ts'
import type {
  BindingRecord,
  BindingTable,
  ExchangeRecord,
  QueueRecord,
  RouteTarget,
  UserRecord,
  VhostRecord,
} from './records.ts'
import type {
  BindingChange,
  LimitsChange,
  ParameterChange,
  PolicyChange,
  TopologyChange,
} from './topology-change.ts'

/** What a shard has to do about a change, beyond having it applied. */
export type TopologyEffect =
  | { readonly effect: 'queueCreated'; readonly queue: QueueRecord }
  | { readonly effect: 'queueDeleted'; readonly queue: QueueRecord }
  /** It was paused or goes on. */
  | { readonly effect: 'queuePaused'; readonly queue: QueueRecord }
  /** These three only of exchanges that hold messages back, or drop duplicates. */
  | { readonly effect: 'exchangeDeclared'; readonly exchange: ExchangeRecord }
  | { readonly effect: 'exchangeDeleted'; readonly exchange: ExchangeRecord }
  /** It does so now, or otherwise, or no longer. */
  | { readonly effect: 'exchangeConfigured'; readonly exchange: ExchangeRecord }
  /** Its settings are others than before. */
  | { readonly effect: 'queueConfigured'; readonly queue: QueueRecord }
  | { readonly effect: 'vhostDeleted'; readonly vhost: VhostRecord }
  /** The user may be allowed more or less than before. */
  | { readonly effect: 'accessChanged'; readonly user: string }
  | { readonly effect: 'userDeleted'; readonly user: string }

type Change<K extends TopologyChange['change']> = Extract<TopologyChange, { readonly change: K }>

const nothingToDo: readonly TopologyEffect[] = []

/** The identity of a binding among those of its source. */
export function bindingIdentity(
  kind: 'queue' | 'exchange',
  destination: string,
  routingKey: string,
  args: FieldTable,
): string {
  return `${kind}${destination.length}:${destination}${routingKey.length}:${routingKey}${canonicalTable(args)}`
}

export class Topology {
  /** Goes up with every change: results computed from an older version may be wrong. */
  version = 0
  readonly vhosts: Map<string, VhostRecord> = new Map()
  readonly vhostsById: Map<number, VhostRecord> = new Map()
  readonly queuesById: Map<number, QueueRecord> = new Map()
  /** Exclusive queues by the connection that owns them. */
  readonly queuesByOwner: Map<string, Set<QueueRecord>> = new Map()
  readonly users: Map<string, UserRecord> = new Map()
  /** Values are JSON. */
  readonly globalParameters: Map<string, unknown> = new Map()
  /** The largest id of a vhost, exchange or queue so far. */
  lastId = 0

  /** Forgets everything and becomes what `changes` make of a blank one; `lastId` never goes down. */
  become(changes: Iterable<TopologyChange>): void {
    const { lastId } = this
    this.vhosts.clear()
    this.vhostsById.clear()
    this.queuesById.clear()
    this.queuesByOwner.clear()
    this.users.clear()
    this.globalParameters.clear()
    for (const change of changes) this.apply(change)
    this.lastId = Math.max(lastId, this.lastId)
  }

  /** Applies one decided change and says what the shard has to do about it. */
  apply(change: TopologyChange): readonly TopologyEffect[] {
    this.version++
    switch (change.change) {
      case 'vhostAdded':
        return this.#addVhost(change)
      case 'vhostChanged':
        return this.#changeVhost(change)
      case 'vhostDeleted':
        return this.#deleteVhost(change.id)
      case 'exchangeDeclared':
        return this.#declareExchange(change)
      case 'exchangeDeleted':
        return this.#deleteExchange(this.#vhost(change.vhost), change.name)
      case 'queueDeclared':
        return this.#declareQueue(change)
      case 'queueDeleted':
        return this.#deleteQueue(this.#vhost(change.vhost), change.name)
      case 'queuePaused':
        return this.#pauseQueue(change)
      case 'bound':
        return this.#bind(change)
      case 'unbound':
        return this.#unbind(change)
      case 'policySet':
      case 'policyCleared':
        return this.#applyPolicy(change)
      case 'parameterSet':
      case 'parameterCleared':
        return this.#applyParameter(change)
      case 'vhostLimitsSet':
      case 'userLimitsSet':
        return this.#setLimits(change)
      default:
        return this.#applyAccess(change)
    }
  }

  #applyPolicy(change: PolicyChange): readonly TopologyEffect[] {
    const vhost = this.#vhost(change.vhost)
    const set = change.operator ? vhost.operatorPolicies : vhost.policies
    if (change.change === 'policySet') set.set(change.policy)
    else set.delete(change.name)
    const effects: TopologyEffect[] = []
    for (const exchange of vhost.exchanges.values()) {
      if (assignExchangePolicies(exchange)) effects.push({ effect: 'exchangeConfigured', exchange })
    }
    for (const queue of vhost.queues.values()) {
      if (assignQueuePolicies(queue)) effects.push({ effect: 'queueConfigured', queue })
    }
    return effects
  }

  #applyParameter(change: ParameterChange): readonly TopologyEffect[] {
    const { vhost, component, name } = change
    const value = change.change === 'parameterSet' ? change.value : undefined
    if (vhost === undefined) setOrDelete(this.globalParameters, name, value)
    else {
      const { parameters } = this.#vhost(vhost)
      const ofComponent = parameters.get(component) ?? new Map<string, unknown>()
      setOrDelete(ofComponent, name, value)
      parameters.set(component, ofComponent)
    }
    return nothingToDo
  }

  #setLimits(change: LimitsChange): readonly TopologyEffect[] {
    if (change.change === 'vhostLimitsSet') this.#vhost(change.vhost).limits = change.limits
    else {
      const user = this.users.get(change.user)
      if (user !== undefined) user.limits = change.limits
    }
    return nothingToDo
  }

  #applyAccess(change: AccessChange): readonly TopologyEffect[] {
    switch (change.change) {
      case 'userSet':
        return this.#setUser(change)
      case 'userDeleted':
        this.users.delete(change.name)
        return [{ effect: 'userDeleted', user: change.name }]
      case 'permissionsSet':
        return this.#setPermissions(change)
      case 'permissionsCleared':
        this.users.get(change.user)?.permissions.delete(change.vhost)
        break
      case 'topicPermissionsSet':
        return this.#setTopicPermissions(change)
      case 'topicPermissionsCleared': {
        const ofUser = this.users.get(change.user)?.topicPermissions
        if (change.exchange === undefined) ofUser?.delete(change.vhost)
        else ofUser?.get(change.vhost)?.delete(change.exchange)
        break
      }
    }
    return [{ effect: 'accessChanged', user: change.user }]
  }

  #vhost(id: number): VhostRecord {
    const vhost = this.vhostsById.get(id)
    assert(vhost !== undefined, 'a change names a vhost that there is')
    return vhost
  }

  #addVhost(change: Change<'vhostAdded'>): readonly TopologyEffect[] {
    const vhost: VhostRecord = {
      id: change.id,
      name: change.name,
      description: change.description,
      tags: change.tags,
      defaultQueueType: change.defaultQueueType,
      limits: {},
      policies: new PolicySet(),
      operatorPolicies: new PolicySet(),
      parameters: new Map(),
      exchanges: new Map(),
      queues: new Map(),
      exchangesByBytes: new ByteMap(),
      queuesByBytes: new ByteMap(),
    }
    this.vhosts.set(vhost.name, vhost)
    this.vhostsById.set(vhost.id, vhost)
    this.lastId = Math.max(this.lastId, vhost.id)
    // The default exchange has the id of its vhost: nobody declares it.
    addExchange(vhost, vhost.id, '', 'direct', new DefaultTable(vhost.queuesByBytes))
    return nothingToDo
  }

  #changeVhost(change: Change<'vhostChanged'>): readonly TopologyEffect[] {
    const vhost = this.#vhost(change.id)
    vhost.description = change.description
    vhost.tags = change.tags
    vhost.defaultQueueType = change.defaultQueueType
    return nothingToDo
  }

  #deleteVhost(id: number): readonly TopologyEffect[] {
    const vhost = this.#vhost(id)
    const effects: TopologyEffect[] = []
    for (const name of [...vhost.queues.keys()]) effects.push(...this.#deleteQueue(vhost, name))
    for (const exchange of vhost.exchanges.values()) {
      exchange.deleted = true
      if (hasState(exchange)) effects.push({ effect: 'exchangeDeleted', exchange })
    }
    for (const user of this.users.values()) {
      user.permissions.delete(vhost.name)
      user.topicPermissions.delete(vhost.name)
    }
    this.vhosts.delete(vhost.name)
    this.vhostsById.delete(id)
    effects.push({ effect: 'vhostDeleted', vhost })
    return effects
  }

  #declareExchange(change: Change<'exchangeDeclared'>): readonly TopologyEffect[] {
    const type = exchangeTypeOf(change.type)
    assert(type !== undefined, 'a declared exchange has a type that there is')
    const table = type.createTable(change.arguments)
    const vhost = this.#vhost(change.vhost)
    const exchange = addExchange(vhost, change.id, change.name, change.type, table, change)
    this.lastId = Math.max(this.lastId, change.id)
    const special = exchange.delayed || exchange.deduplication !== undefined
    return special ? [{ effect: 'exchangeDeclared', exchange }] : nothingToDo
  }

  #deleteExchange(vhost: VhostRecord, name: string): readonly TopologyEffect[] {
    const exchange = vhost.exchanges.get(name)
    assert(exchange !== undefined, 'a deleted exchange was there')
    for (const binding of exchange.inbound) removeOutbound(binding)
    // The whole table goes, so only the far ends need to forget.
    for (const binding of exchange.outbound.values()) binding.destination.inbound.delete(binding)
    exchange.deleted = true
    vhost.exchanges.delete(name)
    vhost.exchangesByBytes.delete(name)
    return hasState(exchange) ? [{ effect: 'exchangeDeleted', exchange }] : nothingToDo
  }

  #declareQueue(change: Change<'queueDeclared'>): readonly TopologyEffect[] {
    const vhost = this.#vhost(change.vhost)
    const queue: QueueRecord = {
      kind: 'queue',
      id: change.id,
      vhost,
      name: change.name,
      type: change.type,
      durable: change.durable,
      autoDelete: change.autoDelete,
      owner: change.owner,
      arguments: change.arguments,
      policy: undefined,
      operatorPolicy: undefined,
      settings: queueSettings(change.arguments, change.type),
      shard: change.shard,
      inbound: new Set(),
      paused: false,
      deleted: false,
      routeMark: 0,
    }
    assignQueuePolicies(queue)
    vhost.queues.set(queue.name, queue)
    vhost.queuesByBytes.set(queue.name, queue)
    this.queuesById.set(queue.id, queue)
    if (queue.owner !== undefined) {
      const owned = this.queuesByOwner.get(queue.owner)
      if (owned === undefined) this.queuesByOwner.set(queue.owner, new Set([queue]))
      else owned.add(queue)
    }
    this.lastId = Math.max(this.lastId, queue.id)
    return [{ effect: 'queueCreated', queue }]
  }

  #deleteQueue(vhost: VhostRecord, name: string): readonly TopologyEffect[] {
    const queue = vhost.queues.get(name)
    assert(queue !== undefined, 'a deleted queue was there')
    for (const binding of queue.inbound) removeOutbound(binding)
    queue.inbound.clear()
    queue.deleted = true
    vhost.queues.delete(name)
    vhost.queuesByBytes.delete(name)
    this.queuesById.delete(queue.id)
    if (queue.owner !== undefined) this.#disown(queue, queue.owner)
    return [{ effect: 'queueDeleted', queue }]
  }

  #pauseQueue(change: Change<'queuePaused'>): readonly TopologyEffect[] {
    const queue = this.#vhost(change.vhost).queues.get(change.name)
    assert(queue !== undefined, 'a paused queue is there')
    queue.paused = change.paused
    return [{ effect: 'queuePaused', queue }]
  }

  #disown(queue: QueueRecord, owner: string): void {
    const owned = this.queuesByOwner.get(owner)
    owned?.delete(queue)
    if (owned?.size === 0) this.queuesByOwner.delete(owner)
  }

  #bind(change: BindingChange): readonly TopologyEffect[] {
    const vhost = this.#vhost(change.vhost)
    const source = vhost.exchanges.get(change.source)
    const destination = targetOf(vhost, change)
    assert(source !== undefined && destination !== undefined, 'both ends of a binding are there')
    const binding: BindingRecord = {
      source,
      destination,
      routingKey: change.routingKey,
      arguments: change.arguments,
    }
    source.outbound.set(identityOf(binding), binding)
    destination.inbound.add(binding)
    source.table.add(binding)
    return nothingToDo
  }

  #unbind(change: BindingChange): readonly TopologyEffect[] {
    const source = this.#vhost(change.vhost).exchanges.get(change.source)
    const identity = bindingIdentity(
      change.destinationKind,
      change.destination,
      change.routingKey,
      change.arguments,
    )
    const binding = source?.outbound.get(identity)
    assert(binding !== undefined, 'a binding that goes was there')
    binding.destination.inbound.delete(binding)
    removeOutbound(binding)
    return nothingToDo
  }

  #setUser(change: Change<'userSet'>): readonly TopologyEffect[] {
    const old = this.users.get(change.name)
    this.users.set(change.name, {
      name: change.name,
      passwordHash: change.passwordHash,
      hashingAlgorithm: change.hashingAlgorithm,
      tags: change.tags,
      limits: old?.limits ?? {},
      permissions: old?.permissions ?? new Map(),
      topicPermissions: old?.topicPermissions ?? new Map(),
    })
    return nothingToDo
  }

  #setPermissions(change: Change<'permissionsSet'>): readonly TopologyEffect[] {
    const compiled = compilePermissions(change)
    assert(typeof compiled !== 'string', 'decided patterns compile')
    this.users.get(change.user)?.permissions.set(change.vhost, compiled)
    return [{ effect: 'accessChanged', user: change.user }]
  }

  #setTopicPermissions(change: Change<'topicPermissionsSet'>): readonly TopologyEffect[] {
    const compiled = compileTopicPermissions(change.user, change.vhost, change)
    assert(typeof compiled !== 'string', 'decided patterns compile')
    const ofUser = this.users.get(change.user)?.topicPermissions
    const ofVhost = ofUser?.get(change.vhost)
    if (ofVhost !== undefined) ofVhost.set(change.exchange, compiled)
    else ofUser?.set(change.vhost, new Map([[change.exchange, compiled]]))
    return [{ effect: 'accessChanged', user: change.user }]
  }
}

type AccessChange = Exclude<
  TopologyChange,
  | BindingChange
  | PolicyChange
  | ParameterChange
  | LimitsChange
  | Change<'vhostAdded' | 'vhostChanged' | 'vhostDeleted' | 'exchangeDeclared' | 'exchangeDeleted'>
  | Change<'queueDeclared' | 'queueDeleted' | 'queuePaused'>
>

interface ExchangeFlags {
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly internal: boolean
  readonly arguments: FieldTable
}

const predeclared: ExchangeFlags = {
  durable: true,
  autoDelete: false,
  internal: false,
  arguments: [],
}

function addExchange(
  vhost: VhostRecord,
  id: number,
  name: string,
  type: string,
  table: BindingTable,
  flags: ExchangeFlags = predeclared,
): ExchangeRecord {
  const exchange: ExchangeRecord = {
    kind: 'exchange',
    id,
    vhost,
    name,
    type,
    durable: flags.durable,
    autoDelete: flags.autoDelete,
    internal: flags.internal,
    arguments: flags.arguments,
    policy: undefined,
    operatorPolicy: undefined,
    delayed: false,
    deduplication: undefined,
    mayHold: false,
    alternate: undefined,
    outbound: new Map(),
    inbound: new Set(),
    table,
    deleted: false,
    routeMark: 0,
  }
  assignExchangePolicies(exchange)
  vhost.exchanges.set(name, exchange)
  vhost.exchangesByBytes.set(name, exchange)
  return exchange
}

function hasState(exchange: ExchangeRecord): boolean {
  return exchange.mayHold || exchange.deduplication !== undefined
}

function setOrDelete(map: Map<string, unknown>, key: string, value: unknown): void {
  if (value === undefined) map.delete(key)
  else map.set(key, value)
}

function targetOf(vhost: VhostRecord, change: BindingChange): RouteTarget | undefined {
  return change.destinationKind === 'queue'
    ? vhost.queues.get(change.destination)
    : vhost.exchanges.get(change.destination)
}

function identityOf(binding: BindingRecord): string {
  const { destination, routingKey } = binding
  return bindingIdentity(destination.kind, destination.name, routingKey, binding.arguments)
}

/** Takes a binding out of its source; the destination forgets it elsewhere. */
function removeOutbound(binding: BindingRecord): void {
  binding.source.outbound.delete(identityOf(binding))
  binding.source.table.remove(binding)
}
