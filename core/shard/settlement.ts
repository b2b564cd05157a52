// Settle, credit and grant records: what consumers give back.

import type { ControlOp } from '../../shared/bus/control.ts'
import { entryWords, extentsMax, extentWords, Outcome } from '../../shared/bus/wire.ts'
import { Block, Consumer } from '../queue/consumer.ts'
import type { Queue } from '../queue/queue.ts'
import type { ShardChannel } from './channel.ts'
import type { GatewayEnd } from './gateway-end.ts'
import type { ShardState } from './shard-state.ts'

type Op<K extends ControlOp['op']> = Extract<ControlOp, { op: K }>

// HOT: once per acknowledgement; bench/micro/queue.ts
/** Handles the settle record at index `i`. Unknown ids are settled already: the gateway checks its client. */
export function settle(state: ShardState, end: GatewayEnd, i: number): void {
  const { words } = end.in
  const channel = end.channels[words[i + 1] as number]
  if (channel === undefined) return
  const id = words[i + 2] as number
  const outcome = words[i + 3] as number
  const { unacked } = channel
  if (words[i + 4] === 1) {
    settleUpTo(state, channel, id, outcome)
    return
  }
  const slot = unacked.slotOf(id)
  if (slot >= 0) settleSlot(state, channel, slot, outcome)
}

/** Settles one delivery, and puts headers into its message where its queue keeps such. */
export function modify(state: ShardState, end: GatewayEnd, op: Op<'modify'>): void {
  const channel = end.channels[op.channel]
  const slot = channel?.unacked.slotOf(op.delivery) ?? -1
  if (channel === undefined || slot < 0) return
  const { unacked } = channel
  const queue = state.holders.get(unacked.holders[slot] as number)?.queue
  const row = unacked.rows[slot] as number
  const position = unacked.positions[slot] as number
  unacked.rows[slot] = queue?.annotate?.(row, position, op.headers) ?? row
  settleSlot(state, channel, slot, op.outcome)
}

/** Settles every outstanding delivery of the channel. */
export function settleAll(state: ShardState, channel: ShardChannel, outcome: number): void {
  settleUpTo(state, channel, (channel.unacked.next - 1) | 0, outcome)
}

function settleUpTo(state: ShardState, channel: ShardChannel, id: number, outcome: number): void {
  const { unacked } = channel
  const end = unacked.next
  for (let next = unacked.base; next !== end && ((id - next) | 0) >= 0; next = (next + 1) | 0) {
    const slot = unacked.slotOf(next)
    if (slot >= 0) settleSlot(state, channel, slot, outcome)
  }
}

// HOT: once per settled delivery
function settleSlot(state: ShardState, channel: ShardChannel, slot: number, outcome: number): void {
  const { unacked } = channel
  const holder = state.holders.get(unacked.holders[slot] as number)
  const row = unacked.rows[slot] as number
  const position = unacked.positions[slot] as number
  unacked.clear(slot)
  if (holder === undefined) return
  holder.queue.settled(holder, row, position, outcome)
  if (holder instanceof Consumer) (holder.queue as Queue).afterSettle(holder)
  if (holder.ended && holder.unacked === 0) state.holders.remove(holder.slot)
}

/**
 * Moves an unsettled delivery to another queue of this shard; what that refuses dies. Both are in one
 * commit of the log. False: the log has no room now.
 */
export function transfer(
  state: ShardState,
  channel: ShardChannel,
  deliveryId: number,
  target: Queue,
): boolean {
  const { unacked } = channel
  const slot = unacked.slotOf(deliveryId)
  if (slot < 0) return true
  const row = unacked.rows[slot] as number
  state.messages.writeEntry(row, transferWords, 0)
  if (!state.log.hasRoom(transferWords[6] as number, 2)) return false
  target.accept(transferWords, 0, state.messages.flags[row] as number, row)
  settleSlot(state, channel, slot, target.refused ? Outcome.discard : Outcome.complete)
  return true
}

/** Window comes back to a connection: its consumers are served again. */
export function credit(end: GatewayEnd, i: number): void {
  const connection = end.connections[end.in.words[i + 1] as number]
  if (connection === undefined) return
  connection.bytes += end.in.words[i + 2] as number
  if (connection.bytes > 0) release(connection.stalled, Block.window)
}

/** Handles the linkCredit record at index `i`; the consumer may have gone meanwhile. */
export function linkCredit(end: GatewayEnd, i: number): void {
  const { words } = end.in
  const consumer = end.consumers[words[i + 1] as number]
  if (consumer === undefined) return
  const queue = consumer.queue as Queue
  queue.grantCredit(
    consumer,
    words[i + 2] as number,
    words[i + 3] as number,
    words[i + 4] as number,
  )
}

/** Tokens for a channel with global prefetch; what finds no message goes back at the end of the turn. */
export function grant(state: ShardState, end: GatewayEnd, i: number): void {
  const channel = end.channels[end.in.words[i + 1] as number]
  if (channel === undefined) return
  channel.wanting = false
  channel.tokens += end.in.words[i + 2] as number
  state.granted.push(channel)
  release(channel.starved, Block.token)
}

/** Takes a reason away from all consumers of a list, and empties it. */
export function release(consumers: Consumer[], reason: number): void {
  for (const consumer of consumers) (consumer.queue as Queue).unblock(consumer, reason)
  consumers.length = 0
}

const transferWords = new Int32Array(entryWords + extentsMax * extentWords)
