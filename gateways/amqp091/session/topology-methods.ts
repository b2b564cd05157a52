// Declaring, binding, deleting and purging: the registry or the queue's shard decides.

import type { PeerError } from '../../../shared/errors.ts'
import { placeQueue } from '../../../shared/placement.ts'
import type { Method, MethodOf } from '../codec/method.ts'
import {
  exchangeBindOp,
  exchangeDeclareOp,
  exchangeDeleteOp,
  queueBindOp,
  queueDeclareOp,
  withoutLineEnds,
} from '../mapping/operations.ts'
import { noLastQueue, noQueue, unimplementedMethod } from '../mapping/refusals.ts'
import { replyToName } from '../mapping/reply-to.ts'
import { ask, countIn, registryShard, textIn } from './ask.ts'
import type { Channel } from './channel.ts'

/** Methods of classes exchange and queue; any other is none that a client may send here. */
export function handleTopologyMethod(channel: Channel, method: Method): PeerError | undefined {
  switch (method.kind) {
    case 'queue.declare':
      return declareQueue(channel, method)
    case 'queue.bind':
    case 'queue.unbind':
      return bindQueue(channel, method)
    case 'queue.purge':
      return purgeQueue(channel, method)
    case 'queue.delete':
      return deleteQueue(channel, method)
    case 'exchange.declare':
    case 'exchange.delete':
    case 'exchange.bind':
    case 'exchange.unbind':
      return changeExchange(channel, method)
    default:
      return unimplementedMethod()
  }
}

function declareQueue(channel: Channel, method: MethodOf<'queue.declare'>): PeerError | undefined {
  const { context } = channel
  if (method.queue === replyToName) return declareReplyTo(channel, method.noWait)
  ask(
    channel,
    method.kind,
    registryShard,
    queueDeclareOp(context.slot, method),
    (reply): Method | undefined => {
      const queue = textIn(reply, 'queue')
      channel.lastQueue = queue
      if (method.noWait) return undefined
      return {
        kind: 'queue.declare-ok',
        queue,
        messageCount: countIn(reply, 'messages'),
        consumerCount: countIn(reply, 'consumers'),
      }
    },
  )
  return undefined
}

// The pseudo queue is there for a channel that consumes from it; declaring it only asks.
function declareReplyTo(channel: Channel, noWait: boolean): PeerError | undefined {
  if (channel.replyTo === undefined) return noQueue(replyToName, channel.context.vhost)
  channel.lastQueue = replyToName
  if (noWait) return undefined
  channel.context.send(channel.number, {
    kind: 'queue.declare-ok',
    queue: replyToName,
    messageCount: 0,
    consumerCount: 1,
  })
  return undefined
}

function bindQueue(
  channel: Channel,
  method: MethodOf<'queue.bind'> | MethodOf<'queue.unbind'>,
): PeerError | undefined {
  const queue = queueOf(channel, method.queue)
  if (queue === undefined) return noLastQueue()
  // Both names empty: the last declared queue, bound by its own name.
  const routingKey = method.queue === '' && method.routingKey === '' ? queue : method.routingKey
  ask(
    channel,
    method.kind,
    registryShard,
    queueBindOp(channel.context.slot, method, queue, routingKey),
    () => {
      if (method.kind === 'queue.unbind') return { kind: 'queue.unbind-ok' }
      return method.noWait ? undefined : { kind: 'queue.bind-ok' }
    },
  )
  return undefined
}

function purgeQueue(channel: Channel, method: MethodOf<'queue.purge'>): PeerError | undefined {
  const { context } = channel
  const queue = queueOf(channel, method.queue)
  if (queue === undefined) return noLastQueue()
  ask(
    channel,
    method.kind,
    placeQueue(context.vhost, queue, context.port.shardCount),
    { op: 'queuePurge', connection: context.slot, queue },
    (reply) =>
      method.noWait
        ? undefined
        : { kind: 'queue.purge-ok', messageCount: countIn(reply, 'messages') },
  )
  return undefined
}

function deleteQueue(channel: Channel, method: MethodOf<'queue.delete'>): PeerError | undefined {
  const queue = queueOf(channel, method.queue)
  if (queue === undefined) return noLastQueue()
  ask(
    channel,
    method.kind,
    registryShard,
    {
      op: 'queueDelete',
      connection: channel.context.slot,
      queue,
      ifUnused: method.ifUnused,
      ifEmpty: method.ifEmpty,
    },
    (reply) =>
      method.noWait
        ? undefined
        : { kind: 'queue.delete-ok', messageCount: countIn(reply, 'messages') },
  )
  return undefined
}

function changeExchange(
  channel: Channel,
  method:
    | MethodOf<'exchange.declare'>
    | MethodOf<'exchange.delete'>
    | MethodOf<'exchange.bind'>
    | MethodOf<'exchange.unbind'>,
): undefined {
  const connection = channel.context.slot
  const op =
    method.kind === 'exchange.declare'
      ? exchangeDeclareOp(connection, method)
      : method.kind === 'exchange.delete'
        ? exchangeDeleteOp(connection, method)
        : exchangeBindOp(connection, method)
  ask(channel, method.kind, registryShard, op, () =>
    method.noWait ? undefined : { kind: `${method.kind}-ok` },
  )
}

// An empty name stands for the queue that the channel declared last.
function queueOf(channel: Channel, name: string): string | undefined {
  return name === '' ? channel.lastQueue : withoutLineEnds(name)
}
