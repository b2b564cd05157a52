// Operators' commands on the messages that an exchange holds back. Every shard has its own; a message
// is named by shard and position, as '0-17'.

import type { ControlReply } from '../../shared/bus/control.ts'
import type { DelayedMessages } from '../delay/delayed-messages.ts'
import { dueBytes } from '../delay/delayed-messages.ts'
import type { ExchangeRecord } from '../topology/records.ts'
import { badRequest } from '../topology/refusals.ts'
import type { ShardState } from './shard-state.ts'

type Command = Readonly<Record<string, unknown>>

const listedMax = 10_000

/**
 * `{ count, items }`: how many messages are held back, and of each shard the first `limit` (100) by the
 * time they are due: id, dueAt (milliseconds since 1970), and of those in memory exchange, routingKey and bodyBytes.
 */
export function listDelayed(
  state: ShardState,
  exchange: ExchangeRecord,
  command: Command,
): ControlReply {
  const delayed = state.delays.of(exchange)
  if (delayed === undefined) return { count: 0, items: [] }
  const asked = command['limit']
  const limit = typeof asked === 'number' ? Math.min(asked, listedMax) : 100
  const items: object[] = []
  delayed.soonest(limit, (position, due, row) => {
    if (items.length >= limit) return
    const dueAt = state.clock.toWall(Math.max(due, state.clock.now))
    const id = `${state.shard}-${position}`
    items.push(row < 0 ? { id, dueAt } : { id, dueAt, ...describe(state, row) })
  })
  return { count: delayed.count(), items }
}

/** Drops the message `id`. `{ done }`: 1 where it was held back. */
export function cancelDelayed(
  state: ShardState,
  exchange: ExchangeRecord,
  command: Command,
): ControlReply {
  return onOne(state, exchange, command, (delayed, position) => delayed.cancel(position))
}

/** Delivers the message `id` now. `{ done }`: 1 where it was held back. */
export function deliverDelayed(
  state: ShardState,
  exchange: ExchangeRecord,
  command: Command,
): ControlReply {
  return onOne(state, exchange, command, (delayed, position) => delayed.deliverNow(position))
}

function onOne(
  state: ShardState,
  exchange: ExchangeRecord,
  { id }: Command,
  act: (delayed: DelayedMessages, position: number) => boolean,
): ControlReply {
  const parts = typeof id === 'string' ? /^(\d+)-(\d+)$/.exec(id) : null
  if (parts === null) return { error: badRequest('the id of a delayed message is needed') }
  const delayed = state.delays.of(exchange)
  if (delayed === undefined || Number(parts[1]) !== state.shard) return { done: 0 }
  return { done: act(delayed, Number(parts[2])) ? 1 : 0 }
}

function describe(state: ShardState, row: number): object {
  const { messages, arena } = state
  const bytes = arena.slab(messages.slab[row] as number)
  const at = (messages.at[row] as number) + dueBytes
  const exchangeEnd = at + 1 + (bytes[at] as number)
  const keyEnd = exchangeEnd + 1 + (bytes[exchangeEnd] as number)
  return {
    exchange: bytes.toString('utf8', at + 1, exchangeEnd),
    routingKey: bytes.toString('utf8', exchangeEnd + 1, keyEnd),
    bodyBytes: messages.bodySize[row] as number,
  }
}
