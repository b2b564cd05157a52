// Deduplicating exchanges. Each has one shard that knows its ids (where a queue of its name would be),
// so a message goes there first, whatever shard it was published to. A message that is new is routed
// from there; one that has come before is dropped, and confirmed when the first one is.
//
// An id is journalled when its message is where it was routed, not before: a crash in between must
// not make the publisher's second attempt a duplicate of nothing.

import { EntryFlag, entryWords, extentsMax, extentWords } from '../../shared/bus/wire.ts'
import { placeQueue } from '../../shared/placement.ts'
import type { JournalOwner } from '../dedup/id-journal.ts'
import { IdJournal } from '../dedup/id-journal.ts'
import type { SeenId } from '../dedup/id-window.ts'
import { IdWindow } from '../dedup/id-window.ts'
import { MessageIdentity } from '../dedup/message-id.ts'
import type { MessageTarget } from '../queue/queue.ts'
import type { Route } from '../routing/router.ts'
import { newRoute } from '../routing/router.ts'
import type { DeduplicationSettings } from '../topology/queue-settings.ts'
import type { ExchangeRecord } from '../topology/records.ts'
import { EntryFacts } from './entry-facts.ts'
import type { Forwarder } from './peer-link.ts'
import type { RemoteTarget, ResolvedRoute } from './route-cache.ts'
import { newResolvedRoute } from './route-cache.ts'
import { addTarget } from './route-targets.ts'
import type { ShardState } from './shard-state.ts'

/** A message on its way from a deduplicating exchange to its queues. */
interface Passage {
  readonly gate: Gate
  readonly row: number
  readonly flags: number
  readonly seen: SeenId | undefined
  /** Who waits for a confirm, in pairs with the numbers. */
  readonly sources: Forwarder[]
  readonly sequences: number[]
  waits: number
  refused: boolean
  /** Of the log; what was put into queues of this shard is safe behind it. */
  logPosition: number
  sent: boolean
}

/** Messages sent on in one turn. */
const passagesPerTurn = 512
/** Ids that an exchange without `x-cache-size` remembers (as LavinMQ). */
const defaultSize = 128

export class Deduplication {
  private readonly state: ShardState
  /** By id of the exchange: those whose ids are known here. */
  private readonly gates: Map<number, Gate>
  private readonly pending: Passage[]
  private head: number
  /** Sent and answered; the log may be behind. */
  private unsynced: Passage[]
  private readonly route: Route
  private readonly facts: EntryFacts
  private readonly words: Int32Array

  constructor(state: ShardState) {
    this.state = state
    this.gates = new Map()
    this.pending = []
    this.head = 0
    this.unsynced = []
    this.route = newRoute()
    this.facts = new EntryFacts()
    this.words = new Int32Array(entryWords + extentsMax * extentWords)
  }

  /** The exchange deduplicates, or does so otherwise than before. */
  configure(exchange: ExchangeRecord): void {
    const { deduplication } = exchange
    const known = this.gates.get(exchange.id)
    if (deduplication === undefined) this.remove(exchange)
    else if (known !== undefined) known.configure(deduplication)
    else if (this.shardOf(exchange) === this.state.shard) {
      this.gates.set(exchange.id, new Gate(exchange, deduplication, this.state, this.pending))
    }
  }

  remove(exchange: ExchangeRecord): void {
    this.gates.get(exchange.id)?.destroy()
    this.gates.delete(exchange.id)
  }

  /** The exchange of that id, where its ids are known here. */
  find(id: number): Gate | undefined {
    return this.gates.get(id)
  }

  /** Adds a deduplicating exchange to a route that is being built. */
  addTarget(route: ResolvedRoute, exchange: ExchangeRecord): void {
    const shard = this.shardOf(exchange)
    const gate = this.gates.get(exchange.id)
    route.gated = true
    if (shard !== this.state.shard) addTarget(this.state, route, { shard, id: exchange.id })
    else if (gate !== undefined) route.local.push(gate)
  }

  /** Sends on what has come, and confirms what is safe. True when something went on. */
  turn(): boolean {
    const { pending } = this
    const from = this.head
    const end = Math.min(pending.length, from + passagesPerTurn)
    while (this.head < end && this.send(pending[this.head] as Passage)) this.head++
    const any = this.head > from
    if (this.head === pending.length) {
      pending.length = 0
      this.head = 0
    } else if (this.head > 4096) {
      pending.splice(0, this.head)
      this.head = 0
    }
    return this.confirm() || any
  }

  /** How many ids are remembered. */
  sizeOf(exchange: ExchangeRecord): number {
    return this.gates.get(exchange.id)?.size() ?? 0
  }

  private shardOf(exchange: ExchangeRecord): number {
    return placeQueue(exchange.vhost.name, exchange.name, this.state.shards)
  }

  /** False when there is no room for it now. */
  private send(passage: Passage): boolean {
    const { state, words } = this
    const { exchange } = passage.gate
    state.messages.writeEntry(passage.row, words, 0)
    const route = this.resolve(exchange)
    const flags = route.persists ? passage.flags | EntryFlag.persistent : passage.flags
    for (const { peer, queues } of route.remote) {
      if (!peer.lane.hasRoom(peer.forwardWords(words, 0, queues.length))) return false
    }
    if (route.holds && !state.delays.hasRoom(words, 0)) return false
    const logs = (flags & EntryFlag.persistent) !== 0 || route.logsAll
    if (route.durable > 0 && logs && !state.log.hasRoom(words[6] as number, route.durable)) {
      return false
    }
    let row = passage.row
    for (const target of route.local) {
      row = target.accept(words, 0, flags, row)
      if (target.refused) passage.refused = true
      passage.logPosition = Math.max(passage.logPosition, target.logPosition)
    }
    passage.waits = route.remote.length
    for (const remote of route.remote) this.forward(passage, remote, flags)
    passage.sent = true
    state.messages.release(passage.row)
    if (passage.waits === 0) this.unsynced.push(passage)
    return true
  }

  private resolve(exchange: ExchangeRecord): ResolvedRoute {
    const { state, words, facts, route } = this
    const bytes = state.arena.slab(words[0] as number)
    const at = words[1] as number
    const extraAt = at + (words[2] as number)
    const extraSize = words[3] as number
    facts.look(bytes, extraAt + extraSize, words[4] as number)
    state.router.routeBehind(exchange, bytes, at, extraAt, extraSize, facts, route)
    const resolved = newResolvedRoute(state.topology.version)
    for (const queue of route.queues) addTarget(state, resolved, queue)
    for (const holding of route.delayedBy) state.delays.addTarget(resolved, holding)
    for (const gate of route.gatedBy) this.addTarget(resolved, gate)
    return resolved
  }

  private forward(passage: Passage, { peer, queues }: RemoteTarget, flags: number): void {
    const source: Forwarder = {
      onForwarded: (_sequence, refused) => {
        passage.waits--
        if (refused) passage.refused = true
        if (passage.waits === 0) this.unsynced.push(passage)
      },
    }
    peer.forward(this.words, 0, flags, queues, source, 0)
  }

  /** Something that has arrived waits for the log. */
  get awaitsLog(): boolean {
    return this.unsynced.length > 0
  }

  /** Tells those who wait for what is safe now. */
  private confirm(): boolean {
    const { committedUpTo } = this.state.log
    let kept = 0
    const { unsynced } = this
    for (const passage of unsynced) {
      if (passage.logPosition > committedUpTo) unsynced[kept++] = passage
      else passage.gate.arrived(passage)
    }
    const any = kept < unsynced.length
    unsynced.length = kept
    return any
  }
}

/** One deduplicating exchange, on the shard that knows its ids. */
export class Gate implements MessageTarget, JournalOwner {
  readonly id: number
  readonly exchange: ExchangeRecord
  readonly durable: boolean
  readonly logsAll: boolean
  readonly logPosition: number
  readonly refused: boolean
  /** Whether the last message that was accepted is confirmed later, to those who ask by `await`. */
  awaits: boolean
  private readonly state: ShardState
  private readonly out: Passage[]
  private readonly window: IdWindow
  private readonly journal: IdJournal | undefined
  private readonly identity: MessageIdentity
  /** Of ids whose message is not where it was routed. */
  private readonly under: Map<string, Passage>
  private settings: DeduplicationSettings
  private last: Passage | undefined

  constructor(
    exchange: ExchangeRecord,
    settings: DeduplicationSettings,
    state: ShardState,
    out: Passage[],
  ) {
    this.id = exchange.id
    this.exchange = exchange
    // Nothing is logged when a message is accepted.
    this.durable = false
    this.logsAll = false
    this.logPosition = 0
    this.refused = false
    this.awaits = false
    this.state = state
    this.out = out
    this.window = new IdWindow(settings.sizeMax ?? defaultSize, (seen) =>
      this.journal?.remove(seen),
    )
    this.identity = new MessageIdentity()
    this.under = new Map()
    this.settings = settings
    this.last = undefined
    this.journal =
      exchange.durable && settings.durable ? new IdJournal(-exchange.id, state, this) : undefined
  }

  configure(settings: DeduplicationSettings): void {
    this.settings = settings
    this.window.sizeMax = settings.sizeMax ?? defaultSize
  }

  /** JournalOwner. */
  restored(id: string, expiresAt: number): SeenId {
    return this.window.restore(id, expiresAt)
  }

  /** JournalOwner. */
  allRestored(): void {
    this.window.restored()
  }

  /** Takes a message; what is new goes on in the next `turn`. */
  accept(words: Int32Array, e: number, flags: number, row: number): number {
    const { state, identity } = this
    const propsAt = (words[e + 1] as number) + (words[e + 2] as number) + (words[e + 3] as number)
    identity.look(state.arena.slab(words[e] as number), propsAt, words[e + 4] as number)
    const { id, ttlMs = this.settings.ttlMs } = identity
    const { now } = state.clock
    if (id !== undefined && this.window.find(id, now) !== undefined) {
      this.last = this.under.get(id)
      this.awaits = this.last !== undefined
      return row
    }
    const kept = row < 0 ? state.messages.add(words, e, flags) : row
    if (row >= 0) state.messages.hold(row)
    const seen =
      id === undefined ? undefined : this.window.add(id, now + (ttlMs ?? Number.POSITIVE_INFINITY))
    const passage: Passage = {
      gate: this,
      row: kept,
      flags: flags & ~(EntryFlag.mandatory | EntryFlag.confirm | EntryFlag.transactional),
      seen,
      sources: [],
      sequences: [],
      waits: 0,
      refused: false,
      logPosition: 0,
      sent: false,
    }
    if (id !== undefined) this.under.set(id, passage)
    this.out.push(passage)
    this.last = passage
    this.awaits = true
    return kept
  }

  /** `source` is told when the message accepted last is safe. */
  await(source: Forwarder, sequence: number): void {
    this.last?.sources.push(source)
    this.last?.sequences.push(sequence)
  }

  /** The message is where it was routed. One that a queue has refused may be tried again. */
  arrived({ seen, refused, sources, sequences }: Passage): void {
    if (seen !== undefined) {
      this.under.delete(seen.id)
      if (refused) this.window.forget(seen)
      else if (this.window.find(seen.id, this.state.clock.now) === seen) this.journal?.add(seen)
    }
    for (let i = 0; i < sources.length; i++) {
      sources[i]?.onForwarded(sequences[i] as number, refused)
    }
  }

  size(): number {
    return this.window.size()
  }

  destroy(): void {
    this.journal?.delete()
  }
}

/** How many of these targets confirm the message that they accepted last by themselves. */
export function countAwaiting(targets: readonly MessageTarget[]): number {
  let count = 0
  for (const target of targets) if (target instanceof Gate && target.awaits) count++
  return count
}

/** Has them tell `source`. */
export function awaitAll(
  targets: readonly MessageTarget[],
  source: Forwarder,
  sequence: number,
): void {
  for (const target of targets) {
    if (target instanceof Gate && target.awaits) target.await(source, sequence)
  }
}
