// exchange.declare and exchange.delete.

import { fieldOf, fieldTypeName, textOf } from '../../shared/message/value.ts'
import { exchangeTypeOf } from '../routing/exchange-types.ts'
import { checkSameArgument, inequivalent } from './arguments.ts'
import { exchangesLeftUnused } from './cascade.ts'
import type { Decision, RegistryContext } from './decision.ts'
import { decided, refused, unchanged } from './decision.ts'
import { reservedName, stripLineBreaks } from './names.ts'
import { checkAccess, checkAnyAccess } from './permissions.ts'
import type { ExchangeRecord, VhostRecord } from './records.ts'
import {
  defaultExchangeRefusal,
  noExchange,
  preconditionFailed,
  resourceText,
  systemExchangeRefusal,
} from './refusals.ts'
import type { Actor, ExchangeDeclare, ExchangeDelete } from './registry-op.ts'

const ALTERNATE = 'alternate-exchange'

/** exchange.declare. Order of checks as RabbitMQ's: type, default exchange, permission, the rest. */
export function declareExchange(
  context: RegistryContext,
  vhost: VhostRecord,
  op: ExchangeDeclare,
  actor: Actor,
): Decision {
  const name = stripLineBreaks(op.exchange)
  if (op.passive) return declareExchangePassively(context, vhost, name, actor)
  if (exchangeTypeOf(op.type) === undefined) {
    return refused(preconditionFailed(`unknown exchange type '${op.type}'`))
  }
  if (name === '') return refused(defaultExchangeRefusal())
  const users = context.topology.users
  const denied = checkAccess(users, actor.user, vhost.name, 'exchange', name, 'configure')
  if (denied !== undefined) return refused(denied)
  const existing = vhost.exchanges.get(name)
  if (existing !== undefined) return compareExchange(existing, op)
  return createExchange(context, vhost, name, op, actor)
}

/** exchange.delete. What isn't there is as good as deleted. */
export function deleteExchange(
  context: RegistryContext,
  vhost: VhostRecord,
  op: ExchangeDelete,
  actor: Actor,
): Decision {
  const name = stripLineBreaks(op.exchange)
  if (name === '') return refused(defaultExchangeRefusal())
  if (name.startsWith('amq.')) return refused(systemExchangeRefusal(name, vhost.name))
  const users = context.topology.users
  const denied = checkAccess(users, actor.user, vhost.name, 'exchange', name, 'configure')
  if (denied !== undefined) return refused(denied)
  const exchange = vhost.exchanges.get(name)
  if (exchange === undefined) return unchanged()
  if (op.ifUnused && exchange.outbound.size > 0) {
    return refused(preconditionFailed(`${resourceText('exchange', name, vhost.name)} in use`))
  }
  return decided([
    { change: 'exchangeDeleted', vhost: vhost.id, name },
    ...exchangesLeftUnused(exchange.inbound, [exchange]),
  ])
}

function declareExchangePassively(
  context: RegistryContext,
  vhost: VhostRecord,
  name: string,
  actor: Actor,
): Decision {
  if (name === '') return refused(defaultExchangeRefusal())
  const denied = checkAnyAccess(context.topology.users, actor.user, vhost.name, 'exchange', name)
  if (denied !== undefined) return refused(denied)
  return vhost.exchanges.has(name) ? unchanged() : refused(noExchange(name, vhost.name))
}

function compareExchange(existing: ExchangeRecord, op: ExchangeDeclare): Decision {
  const resource = resourceText('exchange', existing.name, existing.vhost.name)
  const pairs: readonly (readonly [string, unknown, unknown])[] = [
    ['type', op.type, existing.type],
    ['durable', op.durable, existing.durable],
    ['auto_delete', op.autoDelete, existing.autoDelete],
    ['internal', op.internal, existing.internal],
  ]
  for (const [key, received, current] of pairs) {
    if (received === current) continue
    return refused(inequivalent(resource, key, `'${received}'`, `'${current}'`))
  }
  const refusal = checkSameArgument(resource, ALTERNATE, existing.arguments, op.arguments)
  return refusal === undefined ? unchanged() : refused(refusal)
}

function createExchange(
  context: RegistryContext,
  vhost: VhostRecord,
  name: string,
  op: ExchangeDeclare,
  actor: Actor,
): Decision {
  const reserved = reservedName('exchange', name)
  if (reserved !== undefined) return refused(reserved)
  const alternate = checkAlternate(context, vhost, name, op, actor)
  if (alternate !== undefined) return alternate
  const wrong = exchangeTypeOf(op.type)?.checkArguments(op.arguments)
  if (wrong !== undefined) return refused(preconditionFailed(wrong))
  const max = context.settings.exchangeCountMax
  if (max !== undefined && countExchanges(context) >= max) {
    const resource = resourceText('exchange', name, vhost.name)
    return refused(
      preconditionFailed(`cannot declare ${resource}: exchange limit of ${max} is reached`),
    )
  }
  return decided([
    {
      change: 'exchangeDeclared',
      vhost: vhost.id,
      id: context.nextId(),
      name,
      type: op.type,
      durable: op.durable,
      autoDelete: op.autoDelete,
      internal: op.internal,
      arguments: op.arguments,
    },
  ])
}

/** An alternate exchange needs read on the exchange and write on the alternate. */
function checkAlternate(
  context: RegistryContext,
  vhost: VhostRecord,
  name: string,
  op: ExchangeDeclare,
  actor: Actor,
): Decision | undefined {
  const field = fieldOf(op.arguments, ALTERNATE)
  if (field === undefined) return undefined
  const alternate = textOf(field)
  if (alternate === undefined) {
    const type = fieldTypeName(field.type)
    const resource = resourceText('exchange', name, vhost.name)
    return refused(
      preconditionFailed(`invalid type '${type}' for arg '${ALTERNATE}' in ${resource}`),
    )
  }
  const users = context.topology.users
  const denied =
    checkAccess(users, actor.user, vhost.name, 'exchange', name, 'read') ??
    checkAccess(users, actor.user, vhost.name, 'exchange', alternate, 'write')
  return denied === undefined ? undefined : refused(denied)
}

function countExchanges(context: RegistryContext): number {
  let count = 0
  for (const vhost of context.topology.vhosts.values()) count += vhost.exchanges.size
  return count
}
