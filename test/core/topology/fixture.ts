// A registry and its topology in one place: what it decides is applied at once.

import type { Decision, QueueStats, RegistrySettings } from '../../../core/topology/decision.ts'
import type { QueueRecord, VhostRecord } from '../../../core/topology/records.ts'
import { Registry } from '../../../core/topology/registry.ts'
import type {
  Actor,
  ExchangeDeclare,
  QueueDeclare,
  RegistryOp,
} from '../../../core/topology/registry-op.ts'
import type { TopologyEffect } from '../../../core/topology/topology.ts'
import { Topology } from '../../../core/topology/topology.ts'
import type { FieldTable, FieldValue } from '../../../shared/message/value.ts'

export const guest: Actor = { user: 'guest', vhost: '/', owner: 'connection 1' }

export interface Node {
  readonly topology: Topology
  readonly registry: Registry
  readonly vhost: VhostRecord
  /** Decides, gives `stats` when asked for, applies; the last effects are in `effects`. */
  ask(op: RegistryOp, actor?: Actor, stats?: QueueStats): Decision
  /** As `ask`, for what must be decided; gives the reply. */
  must(op: RegistryOp, actor?: Actor, stats?: QueueStats): Readonly<Record<string, unknown>>
  /** As `ask`, for what must be refused; gives `scope code text`. */
  refusal(op: RegistryOp, actor?: Actor, stats?: QueueStats): string
  effects: TopologyEffect[]
}

const none: QueueStats = { messages: 0, consumers: 0 }

export function newNode(overrides: Partial<RegistrySettings> = {}): Node {
  let seed = 0
  const topology = new Topology()
  const registry = new Registry(topology, {
    shards: 3,
    randomBytes: (size) => new Uint8Array(size).map(() => ++seed),
    permitTransientNonexclusiveQueues: true,
    loopbackUsers: new Set(['guest']),
    replyQueueExists: (name) => name === 'amq.rabbitmq.reply-to.known',
    anonymousUser: undefined,
    hashingAlgorithm: 'rabbit_password_hashing_sha256',
    queueCountMax: undefined,
    exchangeCountMax: undefined,
    ...overrides,
  })
  const all = { configure: '.*', write: '.*', read: '.*' }
  const initial = { vhost: '/', user: 'guest', password: 'guest', tags: ['administrator'], ...all }
  for (const change of registry.initialChanges(initial)) topology.apply(change)
  const vhost = topology.vhosts.get('/')
  if (vhost === undefined) throw new Error('no vhost')
  const node: Node = {
    topology,
    registry,
    vhost,
    effects: [],
    ask(op, actor = guest, stats = none) {
      let decision = registry.decide(op, actor)
      if (decision.kind === 'needsQueueStats') decision = registry.decide(op, actor, stats)
      node.effects = []
      if (decision.kind !== 'decided') return decision
      for (const change of decision.changes) node.effects.push(...topology.apply(change))
      return decision
    },
    must(op, actor, stats) {
      const decision = node.ask(op, actor, stats)
      if (decision.kind !== 'decided') throw new Error(JSON.stringify(decision))
      return decision.reply
    },
    refusal(op, actor, stats) {
      const decision = node.ask(op, actor, stats)
      if (decision.kind !== 'refused') throw new Error(`not refused: ${decision.kind}`)
      const { scope, code, text } = decision.error
      return `${scope} ${code} ${text}`
    },
  }
  return node
}

/** A user with these patterns in '/', as an actor. */
export function addUser(node: Node, name: string, configure = '', write = '', read = ''): Actor {
  node.must({ op: 'addUser', name, password: name, tags: [] })
  node.must({ op: 'setPermissions', user: name, vhost: '/', configure, write, read })
  return { user: name, vhost: '/', owner: `connection of ${name}` }
}

export function queueDeclare(queue: string, fields: Partial<QueueDeclare> = {}): QueueDeclare {
  return {
    op: 'queueDeclare',
    queue,
    passive: false,
    durable: true,
    exclusive: false,
    autoDelete: false,
    arguments: [],
    ...fields,
  }
}

export function exchangeDeclare(
  exchange: string,
  type: string,
  fields: Partial<ExchangeDeclare> = {},
): ExchangeDeclare {
  return {
    op: 'exchangeDeclare',
    exchange,
    type,
    passive: false,
    durable: true,
    autoDelete: false,
    internal: false,
    arguments: [],
    ...fields,
  }
}

/** Binds a queue of '/'. */
export function bindQueue(
  node: Node,
  queue: string,
  exchange: string,
  routingKey: string,
  args: FieldTable = [],
): void {
  node.must({ op: 'queueBind', queue, exchange, routingKey, arguments: args })
}

/** Binds an exchange of '/' to another. */
export function bindExchange(
  node: Node,
  destination: string,
  source: string,
  routingKey: string,
  args: FieldTable = [],
): void {
  node.must({ op: 'exchangeBind', destination, source, routingKey, arguments: args })
}

export function queueNamed(node: Node, name: string): QueueRecord {
  const queue = node.vhost.queues.get(name)
  if (queue === undefined) throw new Error(`no queue ${name}`)
  return queue
}

/** A field table: strings become longstr, numbers signedint, booleans bool, null void. */
export function table(fields: Readonly<Record<string, Plain | FieldValue>>): FieldTable {
  return Object.entries(fields).map(([key, value]) => [key, fieldValue(value)] as const)
}

type Plain = string | number | boolean | null

function fieldValue(value: Plain | FieldValue): FieldValue {
  if (typeof value === 'string') return { type: 'S', value }
  if (typeof value === 'number') return { type: 'I', value }
  if (typeof value === 'boolean') return { type: 't', value }
  return value ?? { type: 'V', value: null }
}
