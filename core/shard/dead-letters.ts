// Dead-lettering: what queues part with goes to their dead-letter exchange, a bounded number of
// messages a turn, so that a chain of queues that feed each other cannot hold a shard (nor its stack).
//
// The dying message stays its queue's, in the log too, until those that it goes to have it: those of
// this shard at once (their records come before its end in the same log), those of other shards when
// they have answered. So a crash may show a dead letter twice, and loses none. At-most-once gives up
// what finds no exchange or no queue; at-least-once keeps it and tries again.

import { EntryFlag, entryWords, extentsMax, extentWords } from '../../shared/bus/wire.ts'
import { routingSize } from '../../shared/message/native-part.ts'
import type { DeathTarget } from '../message/death-entry.ts'
import { DeathEntry, isDeathCycle } from '../message/death-entry.ts'
import type { DeathReason, DeathSink, DyingQueue } from '../queue/death.ts'
import type { MessageTarget } from '../queue/queue.ts'
import type { Route } from '../routing/router.ts'
import { newRoute } from '../routing/router.ts'
import type { TimerOwner } from '../time/timer-wheel.ts'
import type { QueueRecord } from '../topology/records.ts'
import { EntryFacts } from './entry-facts.ts'
import type { Forwarder } from './peer-link.ts'
import type { RemoteTarget, ResolvedRoute } from './route-cache.ts'
import { newResolvedRoute, RouteCache } from './route-cache.ts'
import { addTarget } from './route-targets.ts'
import type { ShardState } from './shard-state.ts'

/** A message that is dying, and who has it already. */
interface Death {
  readonly queue: DyingQueue
  readonly record: QueueRecord
  readonly row: number
  readonly position: number
  /** Undefined for a message that is redirected. */
  readonly reason: DeathReason | undefined
  readonly redirect: Redirect | undefined
}

/** A message leaves its queue for another place without having died. */
export interface Redirect {
  readonly target: DeathTarget
  /** Whether it keeps what it tells of earlier deaths. */
  readonly keepDeaths: boolean
  /** It is where it was to go, or it is back in its queue. */
  readonly onEnd: (arrived: boolean) => void
}

/** A death that waits for other shards, or for a better time. */
interface OpenDeath extends Death {
  /** Shards that have not answered. */
  waits: number
  /** Somebody has refused it. */
  refused: boolean
  /** Ids of queues that have it. */
  readonly reached: Set<number>
  tries: number
  dueAt: number
}

/** Deaths handled in one turn of the shard. */
const deathsPerTurn = 512
/** At-least-once: the first retry after this, then twice as long each time up to the longest wait. */
const retryMs = 1000
const retryMsMax = 60_000
/** Queues whose troubles are remembered, so as to tell each once. */
const toldMax = 1000

export class DeadLetters implements DeathSink, TimerOwner {
  /** The last death found no slab: nobody rings when there is one. */
  starved: boolean
  private readonly state: ShardState
  private readonly entry: DeathEntry
  private readonly cache: RouteCache
  private readonly route: Route
  private readonly facts: EntryFacts
  private readonly words: Int32Array
  /** Deaths to handle are those from `head` on. */
  private pending: Death[]
  private head: number
  /** At-least-once deaths that could not be delivered everywhere. */
  private stuck: OpenDeath[]
  /** Handle of the timer for the next retry; -1: none. */
  private timer: number
  private stuckVersion: number
  private readonly told: Set<string>

  constructor(state: ShardState) {
    this.starved = false
    this.state = state
    this.entry = new DeathEntry()
    this.cache = new RouteCache()
    this.route = newRoute()
    this.facts = new EntryFacts()
    this.words = new Int32Array(entryWords + extentsMax * extentWords)
    this.pending = []
    this.head = 0
    this.stuck = []
    this.timer = -1
    this.stuckVersion = -1
    this.told = new Set()
  }

  /** `queue` parts with the message in `row`, whose hold passes to this until `queue.buried`. */
  add(queue: DyingQueue, row: number, position: number, reason: DeathReason): void {
    const record = this.state.topology.queuesById.get(queue.id)
    if (record === undefined) queue.buried(row, position)
    else this.pending.push({ queue, record, row, position, reason, redirect: undefined })
  }

  /** As `add` for a message that is to go somewhere else; if it can't, it goes back to its queue. */
  redirect(
    queue: DyingQueue,
    record: QueueRecord,
    row: number,
    position: number,
    redirect: Redirect,
  ): void {
    this.pending.push({ queue, record, row, position, reason: undefined, redirect })
  }

  /** Handles what has died. True when something went on. */
  turn(): boolean {
    if (this.stuck.length > 0 && this.stuckVersion !== this.state.topology.version) {
      this.retry(Number.POSITIVE_INFINITY)
    }
    this.starved = false
    const from = this.head
    const end = Math.min(this.pending.length, from + deathsPerTurn)
    while (this.head < end && this.bury(this.pending[this.head] as Death, undefined)) this.head++
    const any = this.head > from
    if (this.head === this.pending.length) {
      if (this.head > 0) this.pending = []
      this.head = 0
    } else if (this.head > 4096 && this.head * 2 > this.pending.length) {
      this.pending.splice(0, this.head)
      this.head = 0
    }
    return any
  }

  /** TimerOwner: it is time to try again what could not be delivered. */
  onTimer(_key: number): number {
    this.timer = -1
    return this.retry(this.state.clock.now)
  }

  /** Publishes a dead letter. False when it must wait for room; nothing happened then. */
  private bury(death: Death, open: OpenDeath | undefined): boolean {
    const { settings } = death.queue
    const exchange = death.redirect?.target.exchange ?? settings.deadLetterExchange
    if (exchange === undefined || (open !== undefined && death.queue.deleted)) {
      return this.end(death)
    }
    if (!death.record.vhost.exchanges.has(exchange)) {
      this.tell(death, 'its dead-letter exchange does not exist')
      return this.giveUp(death, open)
    }
    this.build(death, exchange, settings.deadLetterRoutingKey)
    const route = this.resolve(death, open)
    if (route.local.length === 0 && route.remote.length === 0) return this.giveUp(death, open)
    return this.send(death, open, route)
  }

  private build(death: Death, exchange: string, routingKey: string | undefined): void {
    const { messages, arena, clock } = this.state
    const { row } = death
    const sizes = {
      exrk: messages.exrkSize[row] as number,
      extra: messages.extraSize[row] as number,
      props: messages.propsSize[row] as number,
    }
    const source = arena.slab(messages.slab[row] as number)
    const at = messages.at[row] as number
    const { redirect, reason } = death
    if (redirect !== undefined || reason === undefined) {
      const target = redirect?.target ?? { exchange, routingKey }
      this.entry.redirect(source, at, sizes, target, redirect?.keepDeaths === true)
      return
    }
    this.entry.build(
      source,
      at,
      sizes,
      { exchange, routingKey },
      death.record.name,
      reason,
      Math.floor(clock.wall / 1000),
      ((messages.flags[row] as number) & EntryFlag.died) !== 0,
    )
  }

  private resolve(death: Death, open: OpenDeath | undefined): ResolvedRoute {
    const { topology, router } = this.state
    const { entry } = this
    const { vhost } = death.record
    const { bytes, exrkSize, extraSize } = entry
    const keysEnd = routingSize(bytes, 0, exrkSize, extraSize)
    const { version } = topology
    let found = this.cache.find(version, vhost.id, bytes, 0, keysEnd)
    if (found === undefined) {
      this.facts.look(bytes, exrkSize + extraSize, entry.propsSize)
      router.route(vhost, bytes, 0, exrkSize, extraSize, this.facts, this.route)
      found = newResolvedRoute(version)
      for (const queue of this.route.queues) addTarget(this.state, found, queue)
      for (const holding of this.route.delayedBy) this.state.delays.addTarget(found, holding)
      for (const gate of this.route.gatedBy) this.state.gates.addTarget(found, gate)
      if (this.route.cacheable) this.cache.add(vhost.id, bytes, 0, keysEnd, found)
    }
    if (death.reason === 'rejected' && open === undefined) return found
    return this.filtered(found, death, open)
  }

  /** `route` without queues that the message must not come to again, or has come to already. */
  private filtered(route: ResolvedRoute, death: Death, open: OpenDeath | undefined): ResolvedRoute {
    const isOut = (id: number): boolean => this.isCycle(death, id) || open?.reached.has(id) === true
    const allIn =
      !route.local.some((queue) => isOut(queue.id)) &&
      !route.remote.some(({ queues }) => queues.some(isOut))
    if (allIn) return route
    const left = newResolvedRoute(route.version)
    for (const queue of route.local) {
      if (isOut(queue.id)) continue
      left.local.push(queue)
      if (queue.durable) left.durable++
    }
    left.logsAll = route.logsAll
    left.persists = route.persists
    for (const { peer, queues } of route.remote) {
      const some = queues.filter((id) => !isOut(id))
      if (some.length > 0) left.remote.push({ peer, queues: some })
    }
    return left
  }

  private isCycle(death: Death, id: number): boolean {
    const name = this.state.topology.queuesById.get(id)?.name
    if (name === undefined || !isDeathCycle(this.entry.deaths, name)) return false
    this.tell(death, 'dead letters go round in a circle: dropped')
    return true
  }

  private send(death: Death, open: OpenDeath | undefined, route: ResolvedRoute): boolean {
    const { state, words } = this
    const { copier, messages } = state
    const { local, remote } = route
    messages.writeEntry(death.row, words, 0)
    const keeps = ((messages.flags[death.row] as number) & EntryFlag.persistent) !== 0
    const persistent = keeps || route.persists
    // One extent more than before: the head may have grown into another slab.
    const extents = (words[6] as number) + 1
    for (let i = 0; i < remote.length; i++) {
      const { peer, queues } = remote[i] as RemoteTarget
      const room = peer.forwardWords(words, 0, queues.length) + extentWords
      if (!peer.lane.hasRoom(room)) return false
    }
    if (route.durable > 0 && (persistent || route.logsAll)) {
      if (!state.log.hasRoom(extents, route.durable)) return false
    }
    this.starved = !copier.copyUnder(words, 0, this.entry)
    if (this.starved) return false
    const flags = this.flagsOf(death, persistent)
    const isSimple = remote.length === 0 && !isKept(death)
    const opened = isSimple ? undefined : (open ?? newOpenDeath(death))
    const refused = this.accept(local, flags, opened)
    if (opened === undefined) this.end(death)
    else this.forward(opened, remote, flags, refused)
    copier.close()
    return true
  }

  private flagsOf({ row, redirect }: Death, persistent: boolean): number {
    const kept = (this.state.messages.flags[row] as number) & ~droppedFlags
    const flags = kept | EntryFlag.headers | (persistent ? EntryFlag.persistent : 0)
    if (redirect === undefined) return flags | EntryFlag.died
    return redirect.keepDeaths ? flags : flags & ~EntryFlag.died
  }

  /** True when a queue refuses the message. */
  private accept(
    local: readonly MessageTarget[],
    flags: number,
    open: OpenDeath | undefined,
  ): boolean {
    const { words } = this.state.copier
    let row = -1
    let refused = false
    for (let i = 0; i < local.length; i++) {
      const queue = local[i] as MessageTarget
      row = queue.accept(words, 0, flags, row)
      if (queue.refused) refused = true
      else open?.reached.add(queue.id)
    }
    return refused
  }

  /** Sends the message to other shards; the death stays open until they have answered. */
  private forward(
    open: OpenDeath,
    remote: readonly RemoteTarget[],
    flags: number,
    refused: boolean,
  ): void {
    open.waits = remote.length
    open.refused = refused
    for (let i = 0; i < remote.length; i++) {
      const { peer, queues } = remote[i] as RemoteTarget
      peer.forward(this.state.copier.words, 0, flags, queues, this.answerFor(open, queues), 0)
    }
    if (open.waits === 0) this.settle(open)
  }

  private answerFor(open: OpenDeath, queues: readonly number[]): Forwarder {
    return {
      onForwarded: (_sequence, refused) => {
        open.waits--
        if (refused) open.refused = true
        else for (const id of queues) open.reached.add(id)
        if (open.waits === 0) this.settle(open)
      },
    }
  }

  /** Everybody has answered. */
  private settle(open: OpenDeath): void {
    if (!open.refused || !isKept(open)) this.end(open)
    else if (open.redirect === undefined) this.keep(open)
    else this.giveUp(open, undefined)
  }

  /** There is nowhere to go (any more). */
  private giveUp(death: Death, open: OpenDeath | undefined): boolean {
    if (death.redirect !== undefined) {
      death.queue.unburied(death.row, death.position)
      death.redirect.onEnd(false)
      return true
    }
    if (!death.queue.atLeastOnce() || (open !== undefined && open.reached.size > 0)) {
      return this.end(death)
    }
    this.tell(death, 'dead letters cannot be routed: they are kept')
    this.keep(open ?? newOpenDeath(death))
    return true
  }

  private end(death: Death): boolean {
    death.queue.buried(death.row, death.position)
    death.redirect?.onEnd(true)
    return true
  }

  private keep(open: OpenDeath): void {
    const { clock, timers, topology } = this.state
    const wait = Math.min(retryMs * 2 ** Math.min(open.tries, 16), retryMsMax)
    open.tries++
    open.dueAt = clock.now + wait
    this.stuck.push(open)
    this.stuckVersion = topology.version
    if (this.timer < 0) this.timer = timers.add(open.dueAt, this, 0)
  }

  /** Tries again what is due at `now`. Returns how many. */
  private retry(now: number): number {
    const { stuck } = this
    const { clock, timers, topology } = this.state
    this.stuck = []
    this.stuckVersion = topology.version
    let tried = 0
    for (const open of stuck) {
      if (open.dueAt > now && !open.queue.deleted) this.stuck.push(open)
      else if (this.bury(open, open)) tried++
      else this.stuck.push({ ...open, dueAt: clock.now + roomRetryMs })
    }
    let next = Number.POSITIVE_INFINITY
    for (const { dueAt } of this.stuck) if (dueAt < next) next = dueAt
    if (this.timer >= 0) timers.cancel(this.timer)
    this.timer = this.stuck.length === 0 ? -1 : timers.add(next, this, 0)
    return tried
  }

  private tell({ record }: Death, text: string): void {
    const key = `${record.id} ${text}`
    if (this.told.has(key)) return
    if (this.told.size >= toldMax) this.told.clear()
    this.told.add(key)
    this.state.report('warn', `queue '${record.name}': ${text}`, { vhost: record.vhost.name })
  }
}

/** Whether the message stays until everybody has it. */
function isKept(death: Death): boolean {
  return death.redirect !== undefined || death.queue.atLeastOnce()
}

function newOpenDeath(death: Death): OpenDeath {
  return { ...death, waits: 0, refused: false, reached: new Set(), tries: 0, dueAt: 0 }
}

/** A retry that found no room is tried again after this. */
const roomRetryMs = 50
const droppedFlags: number =
  EntryFlag.mandatory |
  EntryFlag.confirm |
  EntryFlag.redelivered |
  EntryFlag.transactional |
  EntryFlag.settled |
  EntryFlag.expiration
