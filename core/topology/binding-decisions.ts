// queue.bind, queue.unbind, exchange.bind, exchange.unbind.

import type { PeerError } from '../../shared/errors.ts'
import { channelError } from '../../shared/errors.ts'
import type { FieldTable } from '../../shared/message/value.ts'
import { exchangeTypeOf } from '../routing/exchange-types.ts'
import { exchangesLeftUnused } from './cascade.ts'
import type { Decision, RegistryContext } from './decision.ts'
import { decided, refused, unchanged } from './decision.ts'
import { DIRECT_REPLY_TO, stripLineBreaks } from './names.ts'
import { checkAccess, checkTopicAccess } from './permissions.ts'
import type { ExchangeRecord, RouteTarget, VhostRecord } from './records.ts'
import {
  checkExclusive,
  defaultExchangeRefusal,
  noExchange,
  noQueue,
  preconditionFailed,
} from './refusals.ts'
import type { Actor, ExchangeBinding, QueueBinding } from './registry-op.ts'
import { bindingIdentity } from './topology.ts'
import type { BindingChange } from './topology-change.ts'

/** Any of the four, in one shape. */
interface BindingRequest {
  readonly source: string
  readonly kind: 'queue' | 'exchange'
  readonly destination: string
  readonly routingKey: string
  readonly arguments: FieldTable
}

/** Makes a binding, or finds it made. */
export function bind(
  context: RegistryContext,
  vhost: VhostRecord,
  op: QueueBinding | ExchangeBinding,
  actor: Actor,
): Decision {
  const request = requestOf(op)
  const denied = checkPermitted(context, vhost, request, actor)
  if (denied !== undefined) return refused(denied)
  const source = vhost.exchanges.get(request.source)
  if (source === undefined) return refused(noExchange(request.source, vhost.name))
  const target = targetOf(vhost, request)
  if (target === undefined) return refused(noTarget(vhost, request))
  const draft = {
    routingKey: request.routingKey,
    arguments: request.arguments,
    queueType: target.kind === 'queue' ? target.type : undefined,
  }
  const wrong = exchangeTypeOf(source.type)?.checkBinding(draft, source.arguments)
  if (wrong !== undefined) return refused(preconditionFailed(wrong))
  const locked = target.kind === 'queue' ? checkExclusive(target, actor.owner) : undefined
  if (locked !== undefined) return refused(locked)
  if (source.outbound.has(identityOf(request))) return unchanged()
  return decided([changeOf('bound', vhost, request)])
}

/** Removes a binding; one that isn't there, or whose ends aren't, is as good as removed. */
export function unbind(
  context: RegistryContext,
  vhost: VhostRecord,
  op: QueueBinding | ExchangeBinding,
  actor: Actor,
): Decision {
  const request = requestOf(op)
  const denied = checkPermitted(context, vhost, request, actor)
  if (denied !== undefined) return refused(denied)
  const target = targetOf(vhost, request)
  const binding = vhost.exchanges.get(request.source)?.outbound.get(identityOf(request))
  if (target === undefined || binding === undefined) return unchanged()
  const locked = target.kind === 'queue' ? checkExclusive(target, actor.owner) : undefined
  if (locked !== undefined) return refused(locked)
  return decided([changeOf('unbound', vhost, request), ...exchangesLeftUnused([binding])])
}

function requestOf(op: QueueBinding | ExchangeBinding): BindingRequest {
  const { routingKey, arguments: args } = op
  if ('queue' in op) {
    const source = stripLineBreaks(op.exchange)
    const destination = stripLineBreaks(op.queue)
    return { source, kind: 'queue', destination, routingKey, arguments: args }
  }
  const source = stripLineBreaks(op.source)
  const destination = stripLineBreaks(op.destination)
  return { source, kind: 'exchange', destination, routingKey, arguments: args }
}

/** Write on the destination, read on the source, read on the topic: in RabbitMQ's order. */
function checkPermitted(
  context: RegistryContext,
  vhost: VhostRecord,
  request: BindingRequest,
  actor: Actor,
): PeerError | undefined {
  const { source, kind, destination, routingKey } = request
  if (kind === 'queue' && destination.startsWith(DIRECT_REPLY_TO)) {
    return channelError(
      'ACCESS_REFUSED',
      'cannot bind or unbind to a volatile (direct reply-to) queue',
    )
  }
  const users = context.topology.users
  const denied = checkAccess(users, actor.user, vhost.name, kind, destination, 'write')
  if (denied !== undefined) return denied
  if (source === '' || (kind === 'exchange' && destination === '')) return defaultExchangeRefusal()
  const unreadable = checkAccess(users, actor.user, vhost.name, 'exchange', source, 'read')
  if (unreadable !== undefined) return unreadable
  return isTopic(vhost.exchanges.get(source))
    ? checkTopicAccess(users, actor.user, vhost.name, source, routingKey, 'read', actor.clientId)
    : undefined
}

function isTopic(exchange: ExchangeRecord | undefined): boolean {
  return exchange?.type === 'topic'
}

function targetOf(vhost: VhostRecord, request: BindingRequest): RouteTarget | undefined {
  return request.kind === 'queue'
    ? vhost.queues.get(request.destination)
    : vhost.exchanges.get(request.destination)
}

function noTarget(vhost: VhostRecord, request: BindingRequest): PeerError {
  return request.kind === 'queue'
    ? noQueue(request.destination, vhost.name)
    : noExchange(request.destination, vhost.name)
}

function identityOf(request: BindingRequest): string {
  const { kind, destination, routingKey } = request
  return bindingIdentity(kind, destination, routingKey, request.arguments)
}

function changeOf(
  change: 'bound' | 'unbound',
  vhost: VhostRecord,
  request: BindingRequest,
): BindingChange {
  return {
    change,
    vhost: vhost.id,
    source: request.source,
    destinationKind: request.kind,
    destination: request.destination,
    routingKey: request.routingKey,
    arguments: request.arguments,
  }
}
