// From a publish record to queues: route, forward, confirm, return.

import type { PeerError } from '../../shared/bus/control.ts'
import {
  deliverEntryAt,
  EntryFlag,
  entryWords,
  extentsMax,
  extentWords,
  publishEntryAt,
  Record,
} from '../../shared/bus/wire.ts'
import { ReplyCode } from '../../shared/errors.ts'
import { foldTopic, NativePart, routingSize } from '../../shared/message/native-part.ts'
import type { MessageTarget } from '../queue/queue.ts'
import type { Route } from '../routing/router.ts'
import { newRoute } from '../routing/router.ts'
import { checkAccess, checkTopicAccess, hasTopicPermissions } from '../topology/permissions.ts'
import type { ExchangeRecord } from '../topology/records.ts'
import { internalExchange, noExchange } from '../topology/refusals.ts'
import type { ShardChannel } from './channel.ts'
import { awaitAll, countAwaiting } from './deduplication.ts'
import { EntryFacts } from './entry-facts.ts'
import type { GatewayEnd } from './gateway-end.ts'
import { chargePublish, ratesOf } from './publish-holds.ts'
import type { RemoteTarget, ResolvedRoute } from './route-cache.ts'
import { newResolvedRoute, RouteCache, sameKey } from './route-cache.ts'
import { addTarget } from './route-targets.ts'
import type { ShardState } from './shard-state.ts'
import type { Sink, Sinks } from './sinks.ts'

/** Finds the queue behind a direct reply-to name, and its shard. */
type ReplyQueueFinder = (key: string) => { readonly shard: number; readonly id: number } | undefined

const routingKeyMax = 255
const replyPrefix = 'amq.rabbitmq.reply-to.'
const noRemote: readonly RemoteTarget[] = []
const noSinks: readonly Sink[] = []

export class Publisher {
  private readonly context: ShardState
  private readonly replyQueue: ReplyQueueFinder
  private readonly cache: RouteCache
  private readonly route: Route
  private readonly facts: EntryFacts
  private readonly native: NativePart
  private readonly sinks: Sinks
  /** The last refusal asked for holds for one client alone. */
  private askedByClient: boolean
  /** Entry words of a held message. */
  private readonly heldWords: Int32Array

  constructor(context: ShardState, replyQueue: ReplyQueueFinder, sinks: Sinks) {
    this.context = context
    this.replyQueue = replyQueue
    this.cache = new RouteCache()
    this.route = newRoute()
    this.facts = new EntryFacts()
    this.native = new NativePart()
    this.sinks = sinks
    this.askedByClient = false
    this.heldWords = new Int32Array(entryWords + extentsMax * extentWords)
  }

  // HOT: once per publish
  /** Handles the publish record at index `i`. False when it must wait for room; nothing happened then. */
  publish(end: GatewayEnd, i: number): boolean {
    const words = end.in.words
    const channel = end.channels[words[i + 1] as number]
    // Publishes that were on their way when their channel failed or closed.
    if (channel === undefined || channel.failed) return true
    const flags = words[i + 2] as number
    const e = i + publishEntryAt
    if ((flags & EntryFlag.transactional) !== 0) return this.hold(channel, words, e, flags)
    const route = this.resolve(channel, words, e)
    if (route.refusal !== undefined) {
      if ((flags & EntryFlag.lenient) === 0) this.fail(channel, route.refusal)
      else this.refuse(channel, words, e, flags, route.refusal)
      return true
    }
    if (!this.dispatch(channel, route, words, e, flags, -1)) return false
    if (route.rates !== undefined) chargePublish(this.context, channel, route.rates, 1)
    return true
  }

  /** The transaction commits: dispatches held messages while there is room. True when all are out. */
  commit(channel: ShardChannel): boolean {
    const { messages } = this.context
    let done = 0
    for (const { row, flags } of channel.held) {
      messages.writeEntry(row, this.heldWords, 0)
      const route = this.resolve(channel, this.heldWords, 0)
      if (route.refusal === undefined) {
        if (!this.dispatch(channel, route, this.heldWords, 0, flags | EntryFlag.confirm, row)) break
        channel.commitOpen++
      }
      messages.release(row)
      done++
    }
    channel.held.splice(0, done)
    return channel.held.length === 0
  }

  private hold(channel: ShardChannel, words: Int32Array, e: number, flags: number): boolean {
    const { refusal, rates } = this.resolve(channel, words, e)
    if (refusal !== undefined) this.fail(channel, refusal)
    else {
      channel.held.push({ row: this.context.messages.add(words, e, flags), flags })
      if (rates !== undefined) chargePublish(this.context, channel, rates, 1)
    }
    return true
  }

  private fail(channel: ShardChannel, error: PeerError): void {
    channel.failed = true
    this.context.event(channel.outlet, { event: 'channelError', channel: channel.id, error })
  }

  /** The message is gone; if its publisher waits for a confirm, that follows. */
  private refuse(
    channel: ShardChannel,
    words: Int32Array,
    e: number,
    flags: number,
    error: PeerError,
  ): void {
    const bytes = this.context.arena.slab(words[e] as number)
    const at = words[e + 1] as number
    const exchange = bytes.toString('utf8', at + 1, at + 1 + (bytes[at] as number))
    const awaited = (flags & EntryFlag.confirm) !== 0
    const sequence = awaited ? channel.confirms.push(0, 0) : -1
    if (awaited) this.context.confirmed(channel)
    this.context.event(channel.outlet, {
      event: 'publishRefused',
      channel: channel.id,
      sequence,
      exchange,
      error,
    })
  }

  // HOT: once per publish
  private dispatch(
    channel: ShardChannel,
    route: ResolvedRoute,
    words: Int32Array,
    e: number,
    asked: number,
    heldRow: number,
  ): boolean {
    const { local } = route
    const isHere = (asked & EntryFlag.here) !== 0
    const remote = isHere ? noRemote : route.remote
    const sinks = isHere ? noSinks : route.sinks
    const flags = (route.persists ? asked | EntryFlag.persistent : asked) & ~EntryFlag.here
    if (local.length === 0 && remote.length === 0) {
      if ((flags & EntryFlag.mandatory) !== 0 && !this.giveBack(channel, words, e)) return false
    }
    if (route.holds && !this.context.delays.hasRoom(words, e)) return false
    if ((flags & EntryFlag.mandatory) !== 0 && (route.holds || route.gated)) {
      if (!this.routesNow(channel, words, e)) return this.giveUp(channel, words, e, flags)
    }
    for (let i = 0; i < sinks.length; i++) {
      if ((sinks[i] as Sink).holdsUp(channel.outlet)) return false
    }
    for (let i = 0; i < remote.length; i++) {
      const { peer, queues } = remote[i] as ResolvedRoute['remote'][number]
      if (!peer.lane.hasRoom(peer.forwardWords(words, e, queues.length))) return false
    }
    if (
      route.durable > 0 &&
      ((flags & EntryFlag.persistent) !== 0 || route.logsAll) &&
      !this.context.log.hasRoom(words[e + 6] as number, route.durable)
    ) {
      return false
    }
    let row = heldRow
    let position = 0
    let refused = false
    for (let i = 0; i < local.length; i++) {
      const queue = local[i] as MessageTarget
      if (isHere && !queue.durable) continue
      row = queue.accept(words, e, flags, row)
      if (queue.logPosition > position) position = queue.logPosition
      if (queue.refused) refused = true
    }
    let sequence = 0
    if ((flags & EntryFlag.confirm) !== 0) {
      const later = route.gated ? countAwaiting(local) : 0
      sequence = channel.confirms.push(remote.length + later, position, route.logsAll)
      if (later > 0) awaitAll(local, channel, sequence)
      if (refused) channel.confirms.refuse(sequence)
      this.context.confirmed(channel)
    }
    const forConfirm = (flags & EntryFlag.confirm) === 0 ? undefined : channel
    for (let i = 0; i < remote.length; i++) {
      const { peer, queues } = remote[i] as ResolvedRoute['remote'][number]
      peer.forward(words, e, flags, queues, forConfirm, sequence)
    }
    return true
  }

  /** Whether a message that is to be held back would reach a queue if it were not. */
  private routesNow(channel: ShardChannel, words: Int32Array, e: number): boolean {
    const bytes = this.context.arena.slab(words[e] as number)
    const at = words[e + 1] as number
    const extraAt = at + (words[e + 2] as number)
    const extraSize = words[e + 3] as number
    this.facts.look(bytes, extraAt + extraSize, words[e + 4] as number)
    const { vhost } = channel.connection
    this.context.router.routeNow(vhost, bytes, at, extraAt, extraSize, this.facts, this.route)
    return this.route.queues.length > 0
  }

  /** A mandatory message goes nowhere. */
  private giveUp(channel: ShardChannel, words: Int32Array, e: number, flags: number): boolean {
    if (!this.giveBack(channel, words, e)) return false
    if ((flags & EntryFlag.confirm) === 0) return true
    channel.confirms.push(0, 0)
    this.context.confirmed(channel)
    return true
  }

  /** basic.return: nothing matched a mandatory message. */
  private giveBack(channel: ShardChannel, words: Int32Array, e: number): boolean {
    const { lane, lastReference } = channel.outlet
    const entrySize = entryWords + (words[e + 6] as number) * extentWords
    const size = deliverEntryAt + entrySize
    const index = lane.reserve(size)
    if (index < 0) return false
    const to = lane.ring.words
    to[index] = (size << 8) | Record.returned
    to[index + 1] = channel.id
    to[index + 2] = ReplyCode.NO_ROUTE
    to[index + 3] = channel.confirms.nextSequence()
    for (let i = 0; i < entrySize; i++) to[index + deliverEntryAt + i] = words[e + i] as number
    lane.ring.commit(size)
    lastReference[words[e] as number] = lane.ring.total
    for (let i = entryWords; i < entrySize; i += extentWords) {
      lastReference[words[e + i] as number] = lane.ring.total
    }
    return true
  }

  // HOT: once per publish
  private resolve(channel: ShardChannel, words: Int32Array, e: number): ResolvedRoute {
    const bytes = this.context.arena.slab(words[e] as number)
    const at = words[e + 1] as number
    const size = routingSize(bytes, at, words[e + 2] as number, words[e + 3] as number)
    const last = channel.lastRoute
    if (
      last !== undefined &&
      last.version === this.context.topology.version &&
      sameKey(channel.lastKey, channel.lastKeySize, bytes, at, size)
    ) {
      return last
    }
    return this.resolveNew(channel, words, e, bytes, at, size)
  }

  private resolveNew(
    channel: ShardChannel,
    words: Int32Array,
    e: number,
    bytes: Buffer,
    at: number,
    size: number,
  ): ResolvedRoute {
    const { version } = this.context.topology
    const { scope, vhost } = channel.connection
    let found = this.cache.find(version, scope, bytes, at, size)
    if (found === undefined) {
      const extraAt = at + (words[e + 2] as number)
      const extraSize = words[e + 3] as number
      this.facts.look(bytes, extraAt + extraSize, words[e + 4] as number)
      this.context.router.route(vhost, bytes, at, extraAt, extraSize, this.facts, this.route)
      const topic = extraSize === 0 ? undefined : this.longTopic(bytes, extraAt, extraSize)
      found = this.build(channel, bytes, at, version, topic)
      if (!this.route.cacheable) return found
      // What one client may, another of the same user may not.
      if (!this.askedByClient) this.cache.add(scope, bytes, at, size, found)
    }
    if (size <= channel.lastKey.length) {
      for (let i = 0; i < size; i++) channel.lastKey[i] = bytes[at + i] as number
      channel.lastKeySize = size
      channel.lastRoute = found
    }
    return found
  }

  /** The routing key that an MQTT topic would have if keys were long enough for it. */
  private longTopic(bytes: Buffer, extraAt: number, extraSize: number): string | undefined {
    this.native.look(bytes, extraAt, extraSize)
    const { topicAt, topicSize } = this.native
    if (topicSize <= routingKeyMax) return undefined
    return foldTopic(bytes.toString('utf8', topicAt, topicAt + topicSize))
  }

  /** `topic`: what to ask permission for, where it is not the routing key. */
  private build(
    channel: ShardChannel,
    bytes: Buffer,
    at: number,
    version: number,
    topic: string | undefined,
  ): ResolvedRoute {
    const built = newResolvedRoute(version)
    const exchangeEnd = at + 1 + (bytes[at] as number)
    const key = bytes.toString(
      'utf8',
      exchangeEnd + 1,
      exchangeEnd + 1 + (bytes[exchangeEnd] as number),
    )
    const { exchange, queues } = this.route
    const name = exchange?.name ?? bytes.toString('utf8', at + 1, exchangeEnd)
    built.refusal = this.refusalOf(channel, exchange, name, topic ?? key)
    if (built.refusal !== undefined) return built
    for (const queue of queues) {
      addTarget(this.context, built, queue)
      const sink = queue.id < 0 ? this.sinks.find(queue.id) : undefined
      if (sink !== undefined) built.sinks.push(sink)
    }
    for (const holding of this.route.delayedBy) this.context.delays.addTarget(built, holding)
    for (const gate of this.route.gatedBy) this.context.gates.addTarget(built, gate)
    built.rates = ratesOf(this.context, channel, queues)
    if (exchange?.name === '' && key.startsWith(replyPrefix)) {
      const reply = this.replyQueue(key)
      if (reply !== undefined) addTarget(this.context, built, reply)
    }
    return built
  }

  private refusalOf(
    channel: ShardChannel,
    exchange: ExchangeRecord | undefined,
    name: string,
    key: string,
  ): PeerError | undefined {
    const { users } = this.context.topology
    const { user, vhost, clientId } = channel.connection
    this.askedByClient = false
    // Before the look-up: names are not to be probed.
    const refused = checkAccess(users, user, vhost.name, 'exchange', name, 'write')
    if (refused !== undefined) return refused
    if (exchange === undefined) return noExchange(name, vhost.name)
    if (exchange.internal) return internalExchange(name, vhost.name)
    if (exchange.type === 'topic' && hasTopicPermissions(users, user, vhost.name, name)) {
      this.askedByClient = clientId !== undefined
      return checkTopicAccess(users, user, vhost.name, name, key, 'write', clientId)
    }
    return undefined
  }
}
