// Which publish rates hold for whom, and what becomes of a publisher that is ahead of one: its gateway
// is told to read nothing of the connection for a while (see publish-rates.ts).

import { limitOf } from '../topology/limits.ts'
import type { QueueRecord } from '../topology/records.ts'
import type { ShardChannel } from './channel.ts'
import type { RateLimit } from './publish-rates.ts'
import type { ShardState } from './shard-state.ts'

/** A hold is made longer in steps of at least this, in milliseconds. */
const holdStepMs = 5

/** The rates that hold for what `channel` publishes to `queues`; undefined: none. */
export function ratesOf(
  { topology, rates }: ShardState,
  channel: ShardChannel,
  queues: readonly Pick<QueueRecord, 'id' | 'settings'>[],
): RateLimit[] | undefined {
  const { user, vhost } = channel.connection
  const limits: RateLimit[] = []
  const byVhost = limitOf(vhost.limits, 'max-publish-rate')
  const byUser = limitOf(topology.users.get(user)?.limits ?? {}, 'max-publish-rate')
  if (byVhost !== undefined) limits.push(rates.limit(`vhost ${vhost.id}`, byVhost))
  if (byUser !== undefined) limits.push(rates.limit(`user ${user}`, byUser))
  for (const { id, settings } of queues) {
    const rate = settings?.publishRateMax
    if (rate !== undefined) limits.push(rates.limit(`queue ${id}`, rate))
  }
  return limits.length === 0 ? undefined : limits
}

/** `messages` of `channel` count: the connection is held where it is ahead of a rate. */
export function chargePublish(
  state: ShardState,
  { connection, outlet }: ShardChannel,
  limits: readonly RateLimit[],
  messages: number,
): void {
  const { clock, rates } = state
  const ms = rates.charge(limits, clock.wall, messages)
  // What is under way already is not told one by one.
  if (ms === 0 || clock.now + ms < connection.heldUntil + holdStepMs) return
  connection.heldUntil = clock.now + ms
  state.event(outlet, { event: 'connectionHeld', connection: connection.id, ms })
}
