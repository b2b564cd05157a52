// The registry at work, on shard 0: decide, persist, apply on every shard, then answer; in this order
// for each decision, and each step for all decisions in their order.
//
// The registry decides on a topology of its own, which a decision changes at once: so many decisions
// can wait for the disk together. The shards' topologies follow when a decision is on disk: nothing
// is routed to, nor logged for, a queue that a crash could take back.
//
// What a full disk does not take is undone: the registry's topology becomes what the shards have, and
// who asked is told so. What has to happen all the same (an owner is gone) is kept until there is room.

import type { ControlReply } from '../../shared/bus/control.ts'
import { unpack } from '../../shared/bus/control.ts'
import type { ChangesPart } from '../store/metadata-mail.ts'
import { collectNodeRow, collectRows } from '../store/metadata-rows.ts'
import type { MetadataStore } from '../store/metadata-store.ts'
import { RowBatch } from '../store/row-batch.ts'
import type { QueueStats } from '../topology/decision.ts'
import type { QueueRecord } from '../topology/records.ts'
import { preconditionFailed } from '../topology/refusals.ts'
import type { Registry } from '../topology/registry.ts'
import type { Actor, AdminOp, RegistryOp } from '../topology/registry-op.ts'
import type { Topology } from '../topology/topology.ts'
import type { TopologyChange } from '../topology/topology-change.ts'
import { changesThatMake } from '../topology/topology-copy.ts'
import type { PeerDesk } from './peer-desk.ts'
import type { ShardState } from './shard-state.ts'

/** What the desk needs of its shard. */
export interface RegistryDeskContext {
  readonly state: ShardState
  readonly peers: PeerDesk
  readonly metadata: MetadataStore
  readonly applyChanges: (changes: readonly TopologyChange[]) => void
  readonly statsOf: (queue: number) => QueueStats
}

/** Who asked, and what becomes of it. */
interface Asked {
  /** Decides anew, on what is there then. */
  readonly again: () => void
  /** Says that the disk does not take it; undefined: it waits until the disk does. */
  readonly refuse: (() => void) | undefined
}

/** A decision on its way. */
interface OpenDecision {
  readonly changes: readonly TopologyChange[]
  /** What of the metadata has to be on disk before it is applied. */
  readonly position: number
  /** It has rows of its own there. */
  readonly stored: boolean
  readonly asked: Asked
  readonly answer: () => void
  /** Every shard has it. */
  applied: boolean
}

export class RegistryDesk {
  /** The registry's topology: ahead of the shards by what is not on disk yet. */
  readonly topology: Topology
  private readonly registry: Registry
  private readonly context: RegistryDeskContext
  private readonly batch: RowBatch
  /** Oldest first. Those before `sent` were given to the shards. */
  private readonly open: OpenDecision[]
  private sent: number
  private lastPosition: number
  /** What waits for room on the disk, oldest first. */
  private held: (() => void)[]

  constructor(registry: Registry, topology: Topology, context: RegistryDeskContext) {
    this.registry = registry
    this.topology = topology
    this.context = context
    this.batch = new RowBatch()
    this.open = []
    this.sent = 0
    this.lastPosition = 0
    this.held = []
  }

  /** Carries out one op; `done` gets the answer once every shard has applied what was decided. */
  run(op: RegistryOp, actor: Actor | undefined, done: (reply: ControlReply) => void): void {
    const again = (): void => this.run(op, actor, done)
    const refuse = (): void => done({ error: notStored })
    const mayRefuse = op.op !== 'ownerGone' && op.op !== 'queueGone'
    this.decide(op, actor, undefined, done, { again, refuse: mayRefuse ? refuse : undefined })
  }

  /** As `run` for an operator's op, which waits for room on a full disk. */
  insist(op: AdminOp, done: (reply: ControlReply) => void): void {
    const again = (): void => this.insist(op, done)
    this.decide(op, undefined, undefined, done, { again, refuse: undefined })
  }

  /** What came on disk goes on, what the disk refused is undone. True when something was. */
  turn(): boolean {
    const { metadata } = this.context
    let any = this.sendDurable()
    if (metadata.refused) {
      any = true
      this.undo()
    }
    if (!metadata.refuses && this.held.length > 0) {
      any = true
      for (const again of this.held.splice(0)) again()
    }
    return any
  }

  private sendDurable(): boolean {
    const { metadata } = this.context
    let any = false
    for (let next = this.open[this.sent]; next !== undefined; next = this.open[this.sent]) {
      if (next.position > metadata.durableUpTo) break
      this.sent++
      any = true
      this.send(next)
    }
    return any
  }

  /** Puts back what was stored; `done` when every shard has it. Before the first op. */
  restore(parts: readonly Uint8Array[], lastId: number, done: () => void): void {
    const { applyChanges, peers, state } = this.context
    let missing = parts.length + 1
    const onPart = (): void => {
      missing--
      if (missing === 0) done()
    }
    for (const part of parts) {
      const changes = unpack<ChangesPart>(part)
      for (const change of changes) this.topology.apply(change)
      applyChanges(changes)
      peers.askAll(state.peers, { peer: 'apply', changes }, onPart)
    }
    this.topology.lastId = Math.max(this.topology.lastId, lastId)
    onPart()
  }

  /** Notes that the node has its first vhost and user; `done` when that is on disk. */
  markProvisioned(done: () => void): void {
    const again = (): void => this.markProvisioned(done)
    if (this.context.metadata.refuses) {
      this.held.push(again)
      return
    }
    collectNodeRow({ change: 'provisioned' }, this.batch)
    this.enter([], done, { again, refuse: undefined })
  }

  private decide(
    op: RegistryOp,
    actor: Actor | undefined,
    stats: QueueStats | undefined,
    done: (reply: ControlReply) => void,
    asked: Asked,
  ): void {
    const decision = this.registry.decide(op, actor, stats)
    if (decision.kind === 'refused') {
      done({ error: decision.error })
    } else if (decision.kind === 'needsQueueStats') {
      this.askStats(decision.queue, (found) => this.decide(op, actor, found, done, asked))
    } else if (decision.changes.length === 0 && !this.mustWait(op)) {
      done(decision.reply)
    } else if (this.context.metadata.refuses && this.mustStore(decision.changes)) {
      if (asked.refuse === undefined) this.held.push(asked.again)
      else asked.refuse()
    } else {
      this.persist(decision.changes)
      this.enter(decision.changes, () => done(decision.reply), asked)
    }
  }

  private mustStore(changes: readonly TopologyChange[]): boolean {
    const rows = new RowBatch()
    return changes.some((change) => {
      collectRows(this.topology, change, rows)
      return !rows.isEmpty()
    })
  }

  /** What is not on disk never was: what had rows is refused or held, the rest is decided anew. */
  private undo(): void {
    const { metadata, state } = this.context
    metadata.acceptRefusal()
    const undone = this.open.splice(this.sent)
    this.lastPosition = metadata.durableUpTo
    this.topology.become(changesThatMake(state.topology))
    for (const { stored, asked } of undone) {
      if (!stored) asked.again()
      else if (asked.refuse === undefined) this.held.push(asked.again)
      else asked.refuse()
    }
  }

  /** An answer tells of everything decided before it, so it may not come first. Logins need not wait. */
  private mustWait(op: RegistryOp): boolean {
    if (this.open.length === 0 || op.op === 'authenticate' || op.op === 'openUserChannel') {
      return false
    }
    return op.op !== 'openConnection' || !this.context.state.topology.vhosts.has(op.vhost)
  }

  /** Applies changes to the registry's topology and gathers their rows. */
  private persist(changes: readonly TopologyChange[]): void {
    const before = this.topology.lastId
    for (const change of changes) {
      collectRows(this.topology, change, this.batch)
      this.topology.apply(change)
    }
    // Ids of what is not stored may come again: nothing on disk names them.
    if (this.topology.lastId > before && !this.batch.isEmpty()) {
      collectNodeRow({ change: 'lastId', id: this.topology.lastId }, this.batch)
    }
  }

  private enter(changes: readonly TopologyChange[], answer: () => void, asked: Asked): void {
    const stored = !this.batch.isEmpty()
    if (stored) this.lastPosition = this.context.metadata.write(this.batch.take())
    const position = this.lastPosition
    this.open.push({ changes, position, stored, asked, answer, applied: false })
    this.sendDurable()
  }

  private send(decision: OpenDecision): void {
    const { applyChanges, peers, state } = this.context
    const { changes } = decision
    const onApplied = (): void => {
      decision.applied = true
      this.answer()
    }
    if (changes.length === 0) {
      onApplied()
      return
    }
    applyChanges(changes)
    peers.askAll(state.peers, { peer: 'apply', changes }, onApplied)
  }

  private answer(): void {
    while (this.open[0]?.applied === true) {
      const first = this.open.shift()
      this.sent--
      first?.answer()
    }
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

const notStored = preconditionFailed(
  'the disk is full or refuses writes: nothing was changed, try again when it takes them',
)
