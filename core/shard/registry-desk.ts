// The registry at work, on shard 0: decide, apply on every shard, then answer.

import type { ControlReply } from '../../shared/bus/control.ts'
import type { QueueStats } from '../topology/decision.ts'
import type { QueueRecord } from '../topology/records.ts'
import type { Registry } from '../topology/registry.ts'
import type { Actor, RegistryOp } from '../topology/registry-op.ts'
import type { TopologyChange } from '../topology/topology-change.ts'
import type { PeerDesk } from './peer-desk.ts'
import type { ShardState } from './shard-state.ts'

/** What the desk needs of its shard. */
export interface RegistryDeskContext {
  readonly state: ShardState
  readonly peers: PeerDesk
  readonly applyChanges: (changes: readonly TopologyChange[]) => void
  readonly statsOf: (queue: number) => QueueStats
}

export class RegistryDesk {
  private readonly registry: Registry
  private readonly context: RegistryDeskContext
  /** Changes that not all shards have applied yet. */
  private applying: number

  constructor(registry: Registry, context: RegistryDeskContext) {
    this.registry = registry
    this.context = context
    this.applying = 0
  }

  /** Carries out one op; `done` gets the answer once every shard has applied what was decided. */
  run(op: RegistryOp, actor: Actor | undefined, done: (reply: ControlReply) => void): void {
    this.decide(op, actor, undefined, done)
  }

  private decide(
    op: RegistryOp,
    actor: Actor | undefined,
    stats: QueueStats | undefined,
    done: (reply: ControlReply) => void,
  ): void {
    const decision = this.registry.decide(op, actor, stats)
    if (decision.kind === 'refused') {
      done({ error: decision.error })
    } else if (decision.kind === 'needsQueueStats') {
      this.askStats(decision.queue, (found) => this.decide(op, actor, found, done))
    } else if (decision.changes.length === 0) {
      this.whenApplied(() => done(decision.reply))
    } else {
      const { applyChanges, peers, state } = this.context
      applyChanges(decision.changes)
      this.applying++
      peers.askAll(state.peers, { peer: 'apply', changes: decision.changes }, () => {
        this.applying--
        done(decision.reply)
      })
    }
  }

  // Nothing had to change, but what it was decided by may be on its way to other shards still: a
  // client that declares a queue just after another did may publish to it as soon as it is told so.
  private whenApplied(then: () => void): void {
    if (this.applying === 0) then()
    else this.context.peers.askAll(this.context.state.peers, { peer: 'fence' }, then)
  }

  private askStats(queue: QueueRecord, onStats: (stats: QueueStats) => void): void {
    const peer = this.context.state.peers[queue.shard]
    if (peer === undefined) {
      onStats(this.context.statsOf(queue.id))
      return
    }
    this.context.peers.ask(peer, { peer: 'queueStats', queue: queue.id }, (reply) =>
      onStats({ messages: reply.messages ?? 0, consumers: reply.consumers ?? 0 }),
    )
  }
}
