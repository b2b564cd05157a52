// Operators' commands on queues and exchanges that a shard carries out itself, beside those that the
// registry decides. `queue` commands go to the shard that owns the queue, `exchange` commands to
// every shard, whose answers are joined.

import type { ControlReply } from '../../shared/bus/control.ts'
import type { Queue } from '../queue/queue.ts'
import type { ExchangeRecord, QueueRecord } from '../topology/records.ts'
import { badRequest, noExchange, noQueue, noSuch } from '../topology/refusals.ts'
import { cancelDelayed, deliverDelayed, listDelayed } from './delay-commands.ts'
import { cancelRedrive, peekQueue, redriveQueue, redriveStatus } from './queue-browse.ts'
import type { ShardState } from './shard-state.ts'

/** `{ op, vhost, queue or exchange, ... }`. */
export type AdminCommand = Readonly<Record<string, unknown>>

/** Gives its reply, or takes whom to give it to later. */
export type CommandReply = ControlReply | ((done: (reply: ControlReply) => void) => void)

type QueueCommand = (
  state: ShardState,
  queue: Queue,
  record: QueueRecord,
  command: AdminCommand,
) => CommandReply

type ExchangeCommand = (
  state: ShardState,
  exchange: ExchangeRecord,
  command: AdminCommand,
) => ControlReply

const queueCommands: ReadonlyMap<string, QueueCommand> = new Map<string, QueueCommand>([
  ['queueStatus', queueStatus],
  ['peekQueue', peekQueue],
  ['redriveQueue', redriveQueue],
  ['redriveStatus', redriveStatus],
  ['cancelRedrive', cancelRedrive],
])

const exchangeCommands: ReadonlyMap<string, ExchangeCommand> = new Map([
  ['listDelayed', listDelayed],
  ['cancelDelayed', cancelDelayed],
  ['deliverDelayed', deliverDelayed],
])

/** Whether a command is for shards, and not for the registry. */
export function isShardCommand({ op }: AdminCommand): boolean {
  return typeof op === 'string' && (queueCommands.has(op) || exchangeCommands.has(op))
}

/** The shards that carry out a command, or why nobody does. */
export function shardsOf(state: ShardState, command: AdminCommand): number[] | ControlReply {
  const target = targetOf(state, command)
  if ('error' in target) return target
  if (target.kind === 'queue') return [target.shard]
  return Array.from({ length: state.shards }, (_, shard) => shard)
}

/** Carries out a command here; `done` gets the reply, maybe later. */
export function runShardCommand(
  state: ShardState,
  command: AdminCommand,
  done: (reply: ControlReply) => void,
): void {
  const reply = replyTo(state, command)
  if (typeof reply === 'function') reply(done)
  else done(reply)
}

function replyTo(state: ShardState, command: AdminCommand): CommandReply {
  const target = targetOf(state, command)
  if ('error' in target) return target
  const op = String(command['op'])
  if (target.kind === 'exchange') return exchangeCommands.get(op)?.(state, target, command) ?? {}
  const queue = state.queues.get(target.id)
  if (queue === undefined) return { error: noQueue(target.name, target.vhost.name) }
  return queueCommands.get(op)?.(state, queue, target, command) ?? {}
}

/** Lists are put together, numbers added up; of the rest the first answer's holds. */
export function joinReplies(replies: readonly ControlReply[]): ControlReply {
  const joined: Record<string, unknown> = {}
  for (const reply of replies) {
    for (const [field, value] of Object.entries(reply)) {
      const before = joined[field]
      if (Array.isArray(before) && Array.isArray(value)) joined[field] = [...before, ...value]
      else if (typeof before === 'number' && typeof value === 'number')
        joined[field] = before + value
      else if (before === undefined) joined[field] = value
    }
  }
  return joined
}

function targetOf(
  state: ShardState,
  command: AdminCommand,
): QueueRecord | ExchangeRecord | { readonly error: NonNullable<ControlReply['error']> } {
  const { op, vhost: vhostName, queue, exchange } = command
  const vhost = state.topology.vhosts.get(String(vhostName))
  if (vhost === undefined) return { error: noSuch('vhost', String(vhostName)) }
  if (queueCommands.has(String(op))) {
    if (typeof queue !== 'string') return { error: badRequest(`${op} needs a queue`) }
    return vhost.queues.get(queue) ?? { error: noQueue(queue, vhost.name) }
  }
  if (typeof exchange !== 'string') return { error: badRequest(`${op} needs an exchange`) }
  return vhost.exchanges.get(exchange) ?? { error: noExchange(exchange, vhost.name) }
}

/** What a queue holds and goes by: `{ messages, unacknowledged, consumers, paused, settings }`. */
function queueStatus(_state: ShardState, queue: Queue, record: QueueRecord): ControlReply {
  return {
    messages: queue.readyCount(),
    unacknowledged: queue.unackedCount,
    consumers: queue.consumers.all.size,
    paused: record.paused,
    settings: record.settings,
  }
}
