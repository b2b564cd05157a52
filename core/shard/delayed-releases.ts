// Lets go of the messages that exchanges hold back, when they are due: each is routed as if it had just
// come to its exchange. It stays held, in the log too, until all that it goes to have it, so that a
// crash may show it twice and loses none.

import { EntryFlag, entryWords, extentsMax } from '../../shared/bus/wire.ts'
import { PropertyScan, propertyFlags } from '../../shared/message/properties.ts'
import type { DelayContext } from '../delay/delayed-messages.ts'
import { DelayedMessages, dueBytes } from '../delay/delayed-messages.ts'
import { EntryCopier } from '../message/entry-copier.ts'
import type { Route } from '../routing/router.ts'
import { newRoute } from '../routing/router.ts'
import type { ExchangeRecord } from '../topology/records.ts'
import { awaitAll, countAwaiting } from './deduplication.ts'
import { EntryFacts } from './entry-facts.ts'
import type { Forwarder } from './peer-link.ts'
import type { ResolvedRoute } from './route-cache.ts'
import { newResolvedRoute } from './route-cache.ts'
import { addTarget } from './route-targets.ts'
import type { ShardState } from './shard-state.ts'

interface Held {
  readonly exchange: ExchangeRecord
  readonly messages: DelayedMessages
}

/** Messages let go in one turn of the shard. */
const releasesPerTurn = 512

export class DelayedReleases {
  /** A message found no slab: nobody rings when there is one. */
  starved: boolean
  private readonly state: ShardState
  private readonly copier: EntryCopier
  /** By id of the exchange. */
  private readonly held: Map<number, Held>
  /** With something to do. */
  private woken: DelayedMessages[]
  private readonly route: Route
  private readonly facts: EntryFacts
  private readonly scan: PropertyScan
  private readonly words: Int32Array

  constructor(state: ShardState) {
    this.starved = false
    this.state = state
    this.copier = new EntryCopier(state.arena, state.slabs)
    this.held = new Map()
    this.woken = []
    this.route = newRoute()
    this.facts = new EntryFacts()
    this.scan = new PropertyScan()
    this.words = new Int32Array(entryWords + extentsMax * 3)
  }

  /** The exchange delays messages, or does so no longer. */
  configure(exchange: ExchangeRecord): void {
    const known = this.held.get(exchange.id)
    if (known !== undefined) {
      known.messages.hurried = !exchange.delayed
      if (!exchange.delayed) known.messages.hurry()
      return
    }
    if (!exchange.delayed) return
    const messages = new DelayedMessages(exchange.id, exchange.durable, this.contextOf(exchange))
    this.held.set(exchange.id, { exchange, messages })
  }

  /** The exchange is gone: so is what it held. */
  remove(exchange: ExchangeRecord): void {
    this.held.get(exchange.id)?.messages.destroy()
    this.held.delete(exchange.id)
  }

  of(exchange: ExchangeRecord): DelayedMessages | undefined {
    return this.held.get(exchange.id)?.messages
  }

  /** Adds what an exchange holds back to a route that is being built. */
  addTarget(route: ResolvedRoute, exchange: ExchangeRecord): void {
    const messages = this.of(exchange)
    if (messages === undefined) return
    route.local.push(messages)
    route.holds = true
    if (messages.durable) route.durable++
  }

  /** Whether there are slabs for a copy of the message at `words[e..]`. */
  hasRoom(words: Int32Array, e: number): boolean {
    const { arena, slabs } = this.state
    const head = (words[e + 2] as number) + (words[e + 3] as number) + (words[e + 4] as number)
    const needed = slabs.slabsFor(head + headGrowth, words[e + 5] as number)
    this.starved = needed > arena.slabCount - arena.used()
    return !this.starved
  }

  /** Lets go of what is due. True when something went on. */
  turn(): boolean {
    this.starved = false
    if (this.woken.length === 0) return false
    const { woken } = this
    this.woken = []
    let left = releasesPerTurn
    for (const messages of woken) {
      messages.woken = false
      const exchange = this.held.get(messages.id)?.exchange
      if (exchange === undefined || messages.deleted) continue
      while (messages.due() >= 0) {
        if (left > 0 && this.release(exchange, messages)) left--
        else {
          this.wake(messages)
          break
        }
      }
    }
    return left < releasesPerTurn
  }

  private readonly wake = (messages: DelayedMessages): void => {
    if (messages.woken) return
    messages.woken = true
    this.woken.push(messages)
  }

  private contextOf(exchange: ExchangeRecord): DelayContext {
    const { messages, arena, log, clock, timers, queueMemoryBudget } = this.state
    return {
      messages,
      arena,
      log,
      clock,
      timers,
      memoryBudget: queueMemoryBudget,
      copies: this.copier,
      wake: this.wake,
      lost: (_delayed, count) => {
        const text = `exchange '${exchange.name}': delayed messages could not be read back`
        this.state.report('error', text, { vhost: exchange.vhost.name, messages: count })
      },
    }
  }

  /** Publishes the message that is due first. False when it must wait for room. */
  private release(exchange: ExchangeRecord, messages: DelayedMessages): boolean {
    const { state, words } = this
    const row = messages.dueRow()
    const { bytes, at, flags } = this.read(row)
    const extraSize = words[3] as number
    const extraAt = at + (words[2] as number)
    this.facts.look(bytes, extraAt + extraSize, words[4] as number)
    state.router.routeBehind(exchange, bytes, at, extraAt, extraSize, this.facts, this.route)
    const route = newResolvedRoute(state.topology.version)
    for (const queue of this.route.queues) addTarget(state, route, queue)
    for (const gate of this.route.gatedBy) state.gates.addTarget(route, gate)
    if (!this.hasRoomFor(route, flags)) return false
    const position = messages.due()
    messages.take()
    const kept = route.persists ? flags | EntryFlag.persistent : flags
    let copy = -1
    for (const queue of route.local) copy = queue.accept(words, 0, kept, copy)
    const later = route.gated ? countAwaiting(route.local) : 0
    let waits = route.remote.length + later
    if (waits === 0) {
      messages.end(row, position)
      return true
    }
    const source: Forwarder = {
      onForwarded: () => {
        waits--
        if (waits === 0) messages.end(row, position)
      },
    }
    if (later > 0) awaitAll(route.local, source, 0)
    for (const { peer, queues } of route.remote) peer.forward(words, 0, kept, queues, source, 0)
    return true
  }

  /** Turns `words` to the message of a row, as it is to be delivered. */
  private read(row: number): { bytes: Buffer; at: number; flags: number } {
    const { messages, arena } = this.state
    const { words, scan } = this
    messages.writeEntry(row, words, 0)
    const at = (words[1] as number) + dueBytes
    words[1] = at
    words[2] = (words[2] as number) - dueBytes
    const bytes = arena.slab(words[0] as number)
    scan.scan(bytes, at + (words[2] as number) + (words[3] as number), words[4] as number)
    // After a restart the log has not kept all flags.
    const flags = (messages.flags[row] as number) & (EntryFlag.persistent | EntryFlag.died)
    return { bytes, at, flags: flags | propertyFlags(scan) }
  }

  private hasRoomFor(route: ResolvedRoute, flags: number): boolean {
    const { words, state } = this
    for (const { peer, queues } of route.remote) {
      if (!peer.lane.hasRoom(peer.forwardWords(words, 0, queues.length))) return false
    }
    const logs = (flags & EntryFlag.persistent) !== 0 || route.persists || route.logsAll
    if (route.durable === 0 || !logs) return true
    return state.log.hasRoom(words[6] as number, route.durable)
  }
}

/** By which a head may grow when it is held: the time in front, and a header that becomes longer. */
const headGrowth = 64
