// Control ops on connections and channels, and what goes when they go.

import type { ControlOp } from '../../shared/bus/control.ts'
import { Outcome } from '../../shared/bus/wire.ts'
import type { Consumer } from '../queue/consumer.ts'
import { Block } from '../queue/consumer.ts'
import type { Queue } from '../queue/queue.ts'
import { checkAccess } from '../topology/permissions.ts'
import type { QueueRecord } from '../topology/records.ts'
import { ShardChannel, ShardConnection } from './channel.ts'
import type { GatewayEnd } from './gateway-end.ts'
import { removeConsumer } from './queue-ops.ts'
import type { ReplyQueues } from './reply-queues.ts'
import { release, settleAll } from './settlement.ts'
import type { ShardState } from './shard-state.ts'

type Op<K extends ControlOp['op']> = Extract<ControlOp, { op: K }>

/** The registry has agreed (or was asked by the gateway through another shard). */
export function openConnection(
  state: ShardState,
  end: GatewayEnd,
  op: Op<'openConnection'>,
): boolean {
  const vhost = state.topology.vhosts.get(op.vhost)
  if (vhost === undefined) return false
  const scope = state.scopeOf(op.user, vhost.id)
  end.connectionCount++
  state.usage.vhostConnections.add(vhost.name)
  state.usage.userConnections.add(op.user)
  end.connections[op.connection] = new ShardConnection(
    op.connection,
    op.owner,
    end,
    op.user,
    vhost,
    scope,
    op.window,
    op.clientId,
  )
  return true
}

export function openChannel(state: ShardState, end: GatewayEnd, op: Op<'openChannel'>): void {
  const connection = end.connections[op.connection]
  if (connection === undefined) return
  const channel = new ShardChannel(op.channel, connection, state.clock, state.confirmed)
  state.usage.userChannels.add(connection.user)
  connection.channels.add(channel)
  end.channels[op.channel] = channel
}

/**
 * Ends a channel: consumers go, what is unsettled goes back, an open transaction is forgotten.
 * Returns the queues that lost their last consumer and are to be deleted for it.
 */
export function closeChannel(
  state: ShardState,
  replies: ReplyQueues,
  end: GatewayEnd,
  channel: ShardChannel,
): QueueRecord[] {
  const unused: QueueRecord[] = []
  channel.closed = true
  for (const consumer of [...channel.consumers]) {
    const queue = removeConsumer(state, end, consumer)
    if (queue !== undefined) unused.push(queue)
  }
  settleAll(state, channel, Outcome.requeueFailed)
  for (const held of channel.held) state.messages.release(held.row)
  channel.held.length = 0
  replies.close(channel)
  state.streamClients.closePublisher(channel)
  channel.connection.channels.delete(channel)
  state.usage.userChannels.remove(channel.connection.user)
  end.channels[channel.id] = undefined
  return unused
}

/** Ends a connection on this shard; returns as `closeChannel`. */
export function closeConnection(
  state: ShardState,
  replies: ReplyQueues,
  end: GatewayEnd,
  connection: ShardConnection,
): QueueRecord[] {
  const unused: QueueRecord[] = []
  for (const channel of [...connection.channels]) {
    unused.push(...closeChannel(state, replies, end, channel))
  }
  state.streamClients.dropConnection(end, connection)
  end.connections[connection.id] = undefined
  end.connectionCount--
  state.usage.vhostConnections.remove(connection.vhost.name)
  state.usage.userConnections.remove(connection.user)
  return unused
}

/** Cancels the connection's consumers of queues that its user may no longer read. */
export function recheckConsumers(state: ShardState, connection: ShardConnection): void {
  const { user, vhost } = connection
  for (const channel of connection.channels) {
    const refused = [...channel.consumers].filter((consumer) => {
      const record = state.topology.queuesById.get((consumer.queue as Queue).id)
      if (record === undefined) return false
      const { users } = state.topology
      return checkAccess(users, user, vhost.name, 'queue', record.name, 'read') !== undefined
    })
    cancelConsumers(state, refused)
  }
}

/** `limit` > 0: deliveries that must be acknowledged take tokens from now on. */
export function globalPrefetch(end: GatewayEnd, op: Op<'globalPrefetch'>): void {
  const channel = end.channels[op.channel]
  if (channel === undefined) return
  channel.tokenMode = op.limit > 0
  if (channel.tokenMode) return
  channel.tokens = 0
  channel.wanting = false
  release(channel.starved, Block.token)
}

/** The queue is gone: its consumers are told. */
export function cancelConsumers(state: ShardState, consumers: Iterable<Consumer>): void {
  for (const consumer of [...consumers]) {
    const end = (consumer.channel as ShardChannel).outlet
    removeConsumer(state, end, consumer)
    state.event(end, { event: 'consumerCancelled', consumer: consumer.id })
  }
}
