// Control ops on queues that this shard owns: consume, cancel, get, purge.

import type { ControlOp, PeerError } from '../../shared/bus/control.ts'
import { deliverEntryAt, EntryFlag, entryWords, Record } from '../../shared/bus/wire.ts'
import { channelError, connectionError } from '../../shared/errors.ts'
import type { FieldTable } from '../../shared/message/value.ts'
import { fieldOf, fieldTypeName, integerOf } from '../../shared/message/value.ts'
import { Consumer } from '../queue/consumer.ts'
import type { Holder } from '../queue/holder.ts'
import type { Queue } from '../queue/queue.ts'
import { StreamQueue } from '../stream/stream-queue.ts'
import { checkAccess } from '../topology/permissions.ts'
import type { QueueRecord } from '../topology/records.ts'
import { checkExclusive, noQueue, preconditionFailed, resourceText } from '../topology/refusals.ts'
import type { ShardChannel, ShardConnection } from './channel.ts'
import type { GatewayEnd } from './gateway-end.ts'
import type { ReplyQueues } from './reply-queues.ts'
import { transfer } from './settlement.ts'
import type { ShardState } from './shard-state.ts'
import { streamGetRefusal, streamPurgeRefusal, streamReadOptions } from './stream-consume.ts'

type Op<K extends ControlOp['op']> = Extract<ControlOp, { op: K }>

/** RabbitMQ: what a consumer of a quorum queue without a prefetch may hold. */
const quorumPrefetch = 2000

interface OwnQueue {
  readonly record: QueueRecord
  readonly queue: Queue
}

/** The queue that an op reads from, or why not. Permission comes first: names are not to be probed. */
function readable(
  state: ShardState,
  connection: ShardConnection,
  name: string,
): OwnQueue | PeerError {
  const { user, vhost } = connection
  const refused = checkAccess(state.topology.users, user, vhost.name, 'queue', name, 'read')
  if (refused !== undefined) return refused
  const record = vhost.queues.get(name)
  if (record === undefined) return noQueue(name, vhost.name)
  const locked = checkExclusive(record, connection.owner)
  if (locked !== undefined) return locked
  const queue = state.queues.get(record.id)
  return queue === undefined ? noQueue(name, vhost.name) : { record, queue }
}

/** Ops on messages that are there already. */
export function runQueueOp(
  state: ShardState,
  end: GatewayEnd,
  request: number,
  op: Op<'queuePurge' | 'transfer'>,
): void {
  if (op.op === 'transfer') transferTo(state, end, request, op)
  else purge(state, end, request, op)
}

/** Moves a delivery to another queue: see the op. */
function transferTo(state: ShardState, end: GatewayEnd, request: number, op: Op<'transfer'>): void {
  const channel = end.channels[op.channel]
  const record = channel?.connection.vhost.queues.get(op.queue)
  const queue = record === undefined ? undefined : state.queues.get(record.id)
  if (channel === undefined || queue === undefined) {
    const vhost = channel?.connection.vhost.name ?? ''
    state.refuse(end, request, noQueue(op.queue, vhost))
    return
  }
  state.reply(end, request, { moved: transfer(state, channel, op.deliveryId, queue) })
}

export function consume(
  state: ShardState,
  replies: ReplyQueues,
  end: GatewayEnd,
  request: number,
  op: Op<'consume'>,
): void {
  const channel = end.channels[op.channel]
  if (channel === undefined) {
    state.refuse(end, request, connectionError('CHANNEL_ERROR', 'the channel is closed'))
    return
  }
  if (op.queue === replies.pseudoName) {
    const { name, queue } = replies.open(channel)
    addConsumer(
      state,
      end,
      queue,
      new Consumer(op.consumer, channel, queue, { ...op, priority: 0 }),
    )
    state.reply(end, request, { replyTo: name })
    return
  }
  const found = readable(state, channel.connection, op.queue)
  if ('code' in found) {
    state.refuse(end, request, found)
    return
  }
  const quorum = found.record.type === 'quorum'
  const exclusive = op.exclusive && !quorum && !(found.queue instanceof StreamQueue)
  const priority = priorityOf(op.arguments, found.record)
  const refused =
    typeof priority === 'number'
      ? ((quorum ? checkGlobalPrefetch(found.record, channel) : undefined) ??
        checkExclusiveUse(found, exclusive))
      : priority
  if (refused !== undefined) {
    state.refuse(end, request, refused)
    return
  }
  const consumer = new Consumer(op.consumer, channel, found.queue, {
    tag: op.tag,
    noAck: op.noAck,
    exclusive,
    prefetch: quorum && op.prefetch === 0 && op.credited !== true ? quorumPrefetch : op.prefetch,
    priority: priority as number,
    timeoutMs: timeoutOf(op.arguments),
    credited: op.credited === true,
    positions: op.positions === true,
  })
  if (found.queue instanceof StreamQueue) {
    const { tokenMode } = channel
    const options = streamReadOptions(found.record, op, tokenMode, state.clock.wall)
    if ('code' in options) {
      state.refuse(end, request, options)
      return
    }
    found.queue.prepare(consumer, options)
  }
  state.reply(end, request, {})
  addConsumer(state, end, found.queue, consumer)
}

function addConsumer(state: ShardState, end: GatewayEnd, queue: Queue, consumer: Consumer): void {
  if (!consumer.noAck) state.timeouts.watch(queue.id, consumer.timeoutMs)
  consumer.slot = state.holders.add(consumer)
  end.consumers[consumer.id] = consumer
  end.channels[consumer.channel.id]?.consumers.add(consumer)
  queue.addConsumer(consumer)
}

/** `x-priority` must be an integer (RabbitMQ 4: 406). */
function priorityOf(args: FieldTable, queue: QueueRecord): number | PeerError {
  const field = fieldOf(args, 'x-priority')
  if (field === undefined) return 0
  const value = integerOf(field)
  if (value !== undefined) return Number(value)
  const resource = resourceText('queue', queue.name, queue.vhost.name)
  const reason = `"expected integer, got ${fieldTypeName(field.type)}"`
  return preconditionFailed(`invalid arg 'x-priority' for ${resource}: ${reason}`)
}

function timeoutOf(args: FieldTable): number | undefined {
  const ms = integerOf(fieldOf(args, 'x-consumer-timeout'))
  return ms === undefined || ms < 0 ? undefined : Number(ms)
}

/** Quorum queues know no prefetch of a whole channel. */
function checkGlobalPrefetch(queue: QueueRecord, channel: ShardChannel): PeerError | undefined {
  if (!channel.tokenMode) return undefined
  const resource = resourceText('queue', queue.name, queue.vhost.name)
  return connectionError('NOT_IMPLEMENTED', `${resource} does not support global qos`)
}

function checkExclusiveUse({ record, queue }: OwnQueue, exclusive: boolean): PeerError | undefined {
  const { all } = queue.consumers
  let taken = exclusive && (all.size > 0 || queue.singleActive)
  for (const other of all) if (other.exclusive) taken = true
  if (!taken) return undefined
  const resource = resourceText('queue', record.name, record.vhost.name)
  return channelError('ACCESS_REFUSED', `${resource} in exclusive use`)
}

/** Takes a consumer away; its unsettled deliveries stay the channel's. Returns a queue that is now to be auto-deleted. */
export function removeConsumer(
  state: ShardState,
  end: GatewayEnd,
  consumer: Consumer,
): QueueRecord | undefined {
  const queue = consumer.queue as Queue
  end.consumers[consumer.id] = undefined
  end.channels[consumer.channel.id]?.consumers.delete(consumer)
  queue.removeConsumer(consumer)
  if (consumer.unacked === 0) state.holders.remove(consumer.slot)
  if (queue.deleted || queue.consumers.all.size > 0) return undefined
  const record = state.topology.queuesById.get(queue.id)
  return record?.autoDelete === true ? record : undefined
}

/** The answer when there is none; otherwise the queue answers by a `got` record. False: no room now. */
export function get(state: ShardState, end: GatewayEnd, request: number, op: Op<'get'>): boolean {
  const channel = end.channels[op.channel]
  if (channel === undefined) {
    state.refuse(end, request, connectionError('CHANNEL_ERROR', 'the channel is closed'))
    return true
  }
  const found = readable(state, channel.connection, op.queue)
  if ('code' in found) {
    state.refuse(end, request, found)
    return true
  }
  if (found.queue instanceof StreamQueue) {
    state.refuse(end, request, streamGetRefusal(found.record))
    return true
  }
  if (found.queue.consumers.all.size > 0) {
    for (const consumer of found.queue.consumers.all) {
      if (!consumer.exclusive) continue
      const resource = resourceText('queue', op.queue, channel.connection.vhost.name)
      state.refuse(end, request, channelError('ACCESS_REFUSED', `${resource} in exclusive use`))
      return true
    }
  }
  if (found.record.type === 'quorum' && found.queue.singleActive) {
    const resource = resourceText('queue', op.queue, channel.connection.vhost.name)
    const text = `cannot obtain access to locked ${resource}. basic.get operations are not supported by quorum queues with single active consumer`
    state.refuse(end, request, channelError('RESOURCE_LOCKED', text))
    return true
  }
  if (!op.noAck) state.timeouts.watch(found.queue.id, undefined)
  const outcome = found.queue.get(channel, getterOf(state, found.queue), request, op.noAck)
  if (outcome === 'empty') return sayEmpty(end, request)
  return outcome === 'sent'
}

function sayEmpty(end: GatewayEnd, request: number): boolean {
  const size = deliverEntryAt + entryWords + 1
  const index = end.lane.reserve(size)
  if (index < 0) return false
  const { words } = end.lane.ring
  words.fill(0, index, index + size)
  words[index] = (size << 8) | Record.got
  words[index + 1] = request
  words[index + 3] = EntryFlag.empty
  end.lane.ring.commit(size)
  return true
}

function getterOf(state: ShardState, queue: Queue): Holder {
  let getter = state.getters.get(queue)
  if (getter === undefined) {
    getter = { queue, slot: 0, unacked: 0, ended: false }
    getter.slot = state.holders.add(getter)
    state.getters.set(queue, getter)
  }
  return getter
}

export function purge(
  state: ShardState,
  end: GatewayEnd,
  request: number,
  op: Op<'queuePurge'>,
): void {
  const connection = end.connections[op.connection]
  if (connection === undefined) return
  const found = readable(state, connection, op.queue)
  if ('code' in found) state.refuse(end, request, found)
  else if (found.queue instanceof StreamQueue) {
    state.refuse(end, request, streamPurgeRefusal(found.record))
  } else state.reply(end, request, { messages: found.queue.purge() })
}
