// queue.declare and queue.delete, and the ends of queues that nobody asks for.

import type { PeerError } from '../../shared/errors.ts'
import { connectionError } from '../../shared/errors.ts'
import type { FieldTable } from '../../shared/message/value.ts'
import { fieldOf, fieldTypeName, textOf } from '../../shared/message/value.ts'
import { placeQueue } from '../../shared/placement.ts'
import {
  checkQueueArguments,
  checkQueueEquivalence,
  checkQueueTypeArgument,
  inequivalent,
  queueTypeModule,
  queueTypeOf,
} from './arguments.ts'
import { exchangesLeftUnused } from './cascade.ts'
import type { Decision, QueueStats, RegistryContext } from './decision.ts'
import { decided, refused, unchanged } from './decision.ts'
import { checkVhostQueues } from './limits.ts'
import { DIRECT_REPLY_TO, generatedName, reservedName, stripLineBreaks } from './names.ts'
import { checkAccess, checkAnyAccess } from './permissions.ts'
import type { QueueRecord, QueueTypeName, VhostRecord } from './records.ts'
import {
  checkExclusive,
  lockedQueue,
  noQueue,
  preconditionFailed,
  resourceText,
} from './refusals.ts'
import type { Actor, QueueDeclare, QueueDelete } from './registry-op.ts'
import type { TopologyChange } from './topology-change.ts'

const QUEUE_TYPE = 'x-queue-type'
const DEAD_LETTER_EXCHANGE = 'x-dead-letter-exchange'

/** queue.declare. Reply `{ queue, messages, consumers }`: of a queue that was there, live counts. */
export function declareQueue(
  context: RegistryContext,
  vhost: VhostRecord,
  op: QueueDeclare,
  actor: Actor,
  stats: QueueStats | undefined,
): Decision {
  const asked = stripLineBreaks(op.queue)
  const users = context.topology.users
  if (asked.startsWith(DIRECT_REPLY_TO)) return findReplyQueue(context, vhost, asked)
  if (op.passive) {
    const denied = checkAnyAccess(users, actor.user, vhost.name, 'queue', asked)
    if (denied !== undefined) return refused(denied)
    const queue = vhost.queues.get(asked)
    if (queue === undefined) return refused(noQueue(asked, vhost.name))
    const locked = checkExclusive(queue, actor.owner)
    return locked === undefined ? declareOk(queue, stats) : refused(locked)
  }
  const named = asked === '' ? serverName(context, vhost, op) : asked
  if (typeof named !== 'string') return refused(named)
  const denied = checkAccess(users, actor.user, vhost.name, 'queue', named, 'configure')
  if (denied !== undefined) return refused(denied)
  const existing = vhost.queues.get(named)
  if (existing === undefined) return createQueue(context, vhost, named, op, actor)
  const different = compareQueue(existing, vhost, op, actor)
  return different === undefined ? declareOk(existing, stats) : refused(different)
}

/** queue.delete. Reply `{ messages }`: how many it held; 0 where there was none. */
export function deleteQueue(
  context: RegistryContext,
  vhost: VhostRecord,
  op: QueueDelete,
  actor: Actor,
  stats: QueueStats | undefined,
): Decision {
  const name = stripLineBreaks(op.queue)
  const users = context.topology.users
  const denied = checkAccess(users, actor.user, vhost.name, 'queue', name, 'configure')
  if (denied !== undefined) return refused(denied)
  const queue = vhost.queues.get(name)
  if (queue === undefined) return unchanged({ messages: 0 })
  const locked = checkExclusive(queue, actor.owner)
  if (locked !== undefined) return refused(locked)
  if (stats === undefined) return { kind: 'needsQueueStats', queue }
  const resource = resourceText('queue', name, vhost.name)
  if (queue.type === 'quorum' && (op.ifUnused || op.ifEmpty)) {
    return refused(conditionalDelete(resource, op.ifUnused ? 'if-unused' : 'if-empty'))
  }
  if (op.ifUnused && stats.consumers > 0) return refused(preconditionFailed(`${resource} in use`))
  if (op.ifEmpty && stats.messages > 0) return refused(preconditionFailed(`${resource} not empty`))
  return decided(queueDeletion([queue]), { messages: stats.messages })
}

function conditionalDelete(resource: string, flag: string): PeerError {
  return connectionError(
    'NOT_IMPLEMENTED',
    `cannot delete ${resource}. queue.delete operations with ${flag} flag set are not supported ` +
      'by quorum queues',
  )
}

/** The connection is gone: so are its exclusive queues. */
export function deleteOwnedQueues(context: RegistryContext, owner: string): Decision {
  const owned = context.topology.queuesByOwner.get(owner)
  return owned === undefined ? unchanged() : decided(queueDeletion([...owned]))
}

/** The queue has ended by itself: auto-delete or expiry. */
export function deleteEndedQueue(context: RegistryContext, queueId: number): Decision {
  const queue = context.topology.queuesById.get(queueId)
  return queue === undefined ? unchanged() : decided(queueDeletion([queue]))
}

function queueDeletion(queues: readonly QueueRecord[]): TopologyChange[] {
  const changes: TopologyChange[] = queues.map((queue) => ({
    change: 'queueDeleted',
    vhost: queue.vhost.id,
    name: queue.name,
  }))
  const bindings = queues.flatMap((queue) => [...queue.inbound])
  return [...changes, ...exchangesLeftUnused(bindings)]
}

function declareOk(queue: QueueRecord, stats: QueueStats | undefined): Decision {
  if (stats === undefined) return { kind: 'needsQueueStats', queue }
  return unchanged({ queue: queue.name, messages: stats.messages, consumers: stats.consumers })
}

/** Every declare of a direct reply-to queue is passive; one that exists has one consumer. */
function findReplyQueue(context: RegistryContext, vhost: VhostRecord, name: string): Decision {
  const exists = name === DIRECT_REPLY_TO || context.settings.replyQueueExists(name)
  if (!exists) return refused(noQueue(name, vhost.name))
  return unchanged({ queue: name, messages: 0, consumers: 1 })
}

function serverName(
  context: RegistryContext,
  vhost: VhostRecord,
  op: QueueDeclare,
): string | PeerError {
  const type = effectiveType(context, vhost, op)
  if (type === 'classic') return generatedName('amq.gen', context.settings.randomBytes)
  return preconditionFailed(`Cannot declare a server-named queue for type ${queueTypeModule(type)}`)
}

function compareQueue(
  queue: QueueRecord,
  vhost: VhostRecord,
  op: QueueDeclare,
  actor: Actor,
): PeerError | undefined {
  if (queue.owner !== (op.exclusive ? actor.owner : undefined)) return lockedQueue(queue)
  const resource = resourceText('queue', queue.name, vhost.name)
  const durable = op.durable && !op.exclusive
  if (durable !== queue.durable) {
    return inequivalent(resource, 'durable', `'${durable}'`, `'${queue.durable}'`)
  }
  if (op.autoDelete !== queue.autoDelete) {
    return inequivalent(resource, 'auto_delete', `'${op.autoDelete}'`, `'${queue.autoDelete}'`)
  }
  const received = withType(op.arguments, textOf(fieldOf(op.arguments, QUEUE_TYPE)) || queue.type)
  return checkQueueEquivalence(queue.name, vhost.name, queue.type, queue.arguments, received)
}

function createQueue(
  context: RegistryContext,
  vhost: VhostRecord,
  name: string,
  op: QueueDeclare,
  actor: Actor,
): Decision {
  const type = effectiveType(context, vhost, op)
  const serverNamed = stripLineBreaks(op.queue) === ''
  const refusal =
    (serverNamed || op.generated === true ? undefined : reservedName('queue', name)) ??
    checkQueueLimit(context, vhost, name) ??
    checkDeadLetterAccess(context, vhost, name, op.arguments, actor) ??
    checkQueueTypeArgument(name, vhost.name, op.arguments) ??
    checkQueueArguments(name, vhost.name, type, op.arguments) ??
    checkFlags(context, vhost, name, type, op)
  if (refusal !== undefined) return refused(refusal)
  const change: TopologyChange = {
    change: 'queueDeclared',
    vhost: vhost.id,
    id: context.nextId(),
    name,
    type,
    durable: op.durable && !op.exclusive,
    autoDelete: op.autoDelete,
    owner: op.exclusive ? actor.owner : undefined,
    arguments: withType(op.arguments, type),
    shard: placeQueue(vhost.name, name, context.settings.shards),
  }
  return decided([change], { queue: name, messages: 0, consumers: 0 })
}

/** The type asked for; without one the vhost's or node's default, where that suits the flags, else classic. */
function effectiveType(
  context: RegistryContext,
  vhost: VhostRecord,
  op: QueueDeclare,
): QueueTypeName {
  const asked = textOf(fieldOf(op.arguments, QUEUE_TYPE))
  if (asked !== undefined && asked !== '') return queueTypeOf(asked) ?? 'classic'
  const preset = vhost.defaultQueueType ?? context.settings.defaultQueueType ?? 'classic'
  const suits = op.durable && !op.exclusive && !op.autoDelete
  return suits ? preset : 'classic'
}

function withType(args: FieldTable, type: string): FieldTable {
  return [...args.filter(([key]) => key !== QUEUE_TYPE), [QUEUE_TYPE, { type: 'S', value: type }]]
}

function checkQueueLimit(
  context: RegistryContext,
  vhost: VhostRecord,
  name: string,
): PeerError | undefined {
  const max = context.settings.queueCountMax
  if (max === undefined || context.topology.queuesById.size < max) {
    return checkVhostQueues(vhost, name)
  }
  return preconditionFailed(
    `cannot declare queue '${name}': queue limit in cluster (${max}) is reached`,
  )
}

/** A dead-letter exchange needs read on the queue and write on the exchange. */
function checkDeadLetterAccess(
  context: RegistryContext,
  vhost: VhostRecord,
  name: string,
  args: FieldTable,
  actor: Actor,
): PeerError | undefined {
  const field = fieldOf(args, DEAD_LETTER_EXCHANGE)
  if (field === undefined) return undefined
  const exchange = textOf(field)
  if (exchange === undefined) {
    const resource = resourceText('queue', name, vhost.name)
    return preconditionFailed(
      `invalid type '${fieldTypeName(field.type)}' for arg '${DEAD_LETTER_EXCHANGE}' in ${resource}`,
    )
  }
  const users = context.topology.users
  return (
    checkAccess(users, actor.user, vhost.name, 'queue', name, 'read') ??
    checkAccess(users, actor.user, vhost.name, 'exchange', exchange, 'write')
  )
}

function checkFlags(
  context: RegistryContext,
  vhost: VhostRecord,
  name: string,
  type: QueueTypeName,
  op: QueueDeclare,
): PeerError | undefined {
  if (type !== 'classic') {
    const resource = resourceText('queue', name, vhost.name)
    if (op.exclusive)
      return preconditionFailed(`invalid property 'exclusive-owner' for ${resource}`)
    if (op.autoDelete) return preconditionFailed(`invalid property 'auto-delete' for ${resource}`)
    if (!op.durable) return preconditionFailed(`invalid property 'non-durable' for ${resource}`)
  }
  const transient = !op.durable && !op.exclusive
  if (!transient || context.settings.permitTransientNonexclusiveQueues) return undefined
  return connectionError(
    'INTERNAL_ERROR',
    'Feature `transient_nonexcl_queues` is deprecated.\n' +
      'Its use is not permitted per the configuration (overriding the default, which is ' +
      'permitted):\n    deprecated_features.permit.transient_nonexcl_queues = false',
  )
}
