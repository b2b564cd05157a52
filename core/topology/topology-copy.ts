// A topology told as changes: applied to a blank one, in this order, they make the same.

import type { ExchangeRecord, QueueRecord, UserRecord, VhostRecord } from './records.ts'
import type { Topology } from './topology.ts'
import type { TopologyChange } from './topology-change.ts'

/** What is declared now, transient things too. Ids that were given out and are free again are not told. */
export function* changesThatMake(topology: Topology): Generator<TopologyChange> {
  for (const [name, value] of topology.globalParameters) {
    yield { change: 'parameterSet', vhost: undefined, component: '', name, value }
  }
  for (const vhost of topology.vhosts.values()) yield* vhostChanges(vhost)
  for (const user of topology.users.values()) yield* userChanges(user)
  for (const vhost of topology.vhosts.values()) {
    for (const exchange of vhost.exchanges.values()) {
      // It comes with its vhost.
      if (exchange.name !== '') yield exchangeDeclared(exchange)
    }
    for (const queue of vhost.queues.values()) yield* queueChanges(queue)
    for (const exchange of vhost.exchanges.values()) yield* bindingChanges(exchange)
  }
}

function* vhostChanges(vhost: VhostRecord): Generator<TopologyChange> {
  const { id, name, description, tags, defaultQueueType, limits } = vhost
  yield { change: 'vhostAdded', id, name, description, tags, defaultQueueType }
  yield { change: 'vhostLimitsSet', vhost: id, limits }
  for (const policy of vhost.policies.list()) {
    yield { change: 'policySet', vhost: id, operator: false, policy }
  }
  for (const policy of vhost.operatorPolicies.list()) {
    yield { change: 'policySet', vhost: id, operator: true, policy }
  }
  for (const [component, values] of vhost.parameters) {
    for (const [key, value] of values) {
      yield { change: 'parameterSet', vhost: id, component, name: key, value }
    }
  }
}

function* userChanges(user: UserRecord): Generator<TopologyChange> {
  const { name, passwordHash, hashingAlgorithm, tags, limits } = user
  yield { change: 'userSet', name, passwordHash, hashingAlgorithm, tags }
  yield { change: 'userLimitsSet', user: name, limits }
  for (const [vhost, { configure, write, read }] of user.permissions) {
    yield { change: 'permissionsSet', user: name, vhost, configure, write, read }
  }
  for (const [vhost, byExchange] of user.topicPermissions) {
    for (const [exchange, { write, read }] of byExchange) {
      yield { change: 'topicPermissionsSet', user: name, vhost, exchange, write, read }
    }
  }
}

function exchangeDeclared(exchange: ExchangeRecord): TopologyChange {
  const { id, name, type, durable, autoDelete, internal } = exchange
  const facts = { id, name, type, durable, autoDelete, internal, arguments: exchange.arguments }
  return { change: 'exchangeDeclared', vhost: exchange.vhost.id, ...facts }
}

function* queueChanges(queue: QueueRecord): Generator<TopologyChange> {
  const { id, name, type, durable, autoDelete, owner, shard } = queue
  const facts = { id, name, type, durable, autoDelete, owner, shard, arguments: queue.arguments }
  yield { change: 'queueDeclared', vhost: queue.vhost.id, ...facts }
  if (queue.paused) yield { change: 'queuePaused', vhost: queue.vhost.id, name, paused: true }
}

function* bindingChanges(exchange: ExchangeRecord): Generator<TopologyChange> {
  for (const { destination, routingKey, arguments: table } of exchange.outbound.values()) {
    yield {
      change: 'bound',
      vhost: exchange.vhost.id,
      source: exchange.name,
      destinationKind: destination.kind,
      destination: destination.name,
      routingKey,
      arguments: table,
    }
  }
}
