// Control ops that only look at what is declared: any shard has all of it but the counts of a queue,
// which its owner has.

import type { ControlOp, PeerError } from '../../shared/bus/control.ts'
import { checkAccess, checkAnyAccess } from '../topology/permissions.ts'
import type { BindingRecord, RouteTarget } from '../topology/records.ts'
import { internalExchange, noExchange, noQueue } from '../topology/refusals.ts'
import type { ShardConnection } from './channel.ts'
import type { GatewayEnd } from './gateway-end.ts'
import type { ShardState } from './shard-state.ts'

type LookUp = Extract<ControlOp, { op: 'checkTarget' | 'describeQueue' | 'listBindings' }>
type Op<K extends LookUp['op']> = Extract<LookUp, { op: K }>

/** Answers one of them. */
export function lookUp(state: ShardState, end: GatewayEnd, request: number, op: LookUp): void {
  const connection = end.connections[op.connection]
  if (connection === undefined) {
    state.reply(end, request, {})
    return
  }
  switch (op.op) {
    case 'checkTarget': {
      const error = checkTarget(state, connection, op)
      state.reply(end, request, error === undefined ? {} : { error })
      return
    }
    case 'describeQueue':
      return state.reply(end, request, describeQueue(state, connection, op))
    case 'listBindings':
      return state.reply(end, request, { bindings: bindingsOf(connection, op) })
  }
}

/** Why the connection may not publish there. Permission comes first: names are not to be probed. */
function checkTarget(
  state: ShardState,
  { user, vhost }: ShardConnection,
  { exchange, queue }: Op<'checkTarget'>,
): PeerError | undefined {
  const { users } = state.topology
  const refused = checkAccess(users, user, vhost.name, 'exchange', exchange, 'write')
  if (refused !== undefined) return refused
  const found = vhost.exchanges.get(exchange)
  if (found === undefined) return noExchange(exchange, vhost.name)
  if (found.internal) return internalExchange(exchange, vhost.name)
  if (queue === undefined || vhost.queues.has(queue)) return undefined
  return noQueue(queue, vhost.name)
}

function describeQueue(
  state: ShardState,
  { user, vhost }: ShardConnection,
  { queue: name }: Op<'describeQueue'>,
): { readonly error?: PeerError; readonly [field: string]: unknown } {
  const refused = checkAnyAccess(state.topology.users, user, vhost.name, 'queue', name)
  if (refused !== undefined) return { error: refused }
  const record = vhost.queues.get(name)
  const queue = record === undefined ? undefined : state.queues.get(record.id)
  if (record === undefined || queue === undefined) return { error: noQueue(name, vhost.name) }
  return {
    name,
    durable: record.durable,
    autoDelete: record.autoDelete,
    exclusive: record.owner !== undefined,
    type: record.type,
    arguments: record.arguments,
    messages: queue.readyCount(),
    consumers: queue.consumers.all.size,
  }
}

function bindingsOf(
  { vhost }: ShardConnection,
  { source, destination, destinationKind, routingKey }: Op<'listBindings'>,
): { readonly routingKey: string; readonly arguments: unknown }[] {
  const target: RouteTarget | undefined =
    destinationKind === 'queue' ? vhost.queues.get(destination) : vhost.exchanges.get(destination)
  const matches = (binding: BindingRecord): boolean =>
    binding.source.name === source &&
    (routingKey === undefined || binding.routingKey === routingKey)
  return [...(target?.inbound ?? [])]
    .filter(matches)
    .map((binding) => ({ routingKey: binding.routingKey, arguments: binding.arguments }))
}
