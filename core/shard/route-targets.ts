// From the queues that a route names to this shard's engines and the links to the others.

import type { ResolvedRoute } from './route-cache.ts'
import type { ShardState } from './shard-state.ts'

/** What a route needs to know of a queue; a reply queue has no record. */
export interface RoutedQueue {
  readonly shard: number
  readonly id: number
  /** Undefined for a reply queue. */
  readonly type?: string
}

/** Adds a queue to a route that is being built. */
export function addTarget(state: ShardState, route: ResolvedRoute, target: RoutedQueue): void {
  const { shard, id } = target
  if (target.type === 'quorum') route.persists = true
  if (shard === state.shard) {
    const queue = state.queues.get(id)
    if (queue === undefined) return
    route.local.push(queue)
    if (queue.durable) route.durable++
    if (queue.logsAll) route.logsAll = true
    return
  }
  const peer = state.peers[shard]
  if (peer === undefined) return
  const known = route.remote.find((other) => other.peer === peer)
  if (known === undefined) route.remote.push({ peer, queues: [id] })
  else known.queues.push(id)
}
