// Clients of the stream protocol, as the shard that owns a stream knows them: publishers, subscriptions,
// and gateways that follow how far streams are committed.

import type { ControlReply, PeerError } from '../../shared/bus/control.ts'
import type { StreamOp } from '../../shared/bus/stream-op.ts'
import { Record, streamPublishEntryAt } from '../../shared/bus/wire.ts'
import { viewOf } from '../../shared/bytes/view.ts'
import { channelError } from '../../shared/errors.ts'
import { fieldOf, integerOf } from '../../shared/message/value.ts'
import { readU64 } from '../../shared/stream/chunk.ts'
import type { ActiveGroup, GroupMember } from '../stream/active-group.ts'
import { StreamQueue } from '../stream/stream-queue.ts'
import { checkAccess, checkAnyAccess } from '../topology/permissions.ts'
import type { ExchangeRecord, QueueRecord } from '../topology/records.ts'
import { noExchange, noQueue } from '../topology/refusals.ts'
import type { ShardChannel, ShardConnection } from './channel.ts'
import type { GatewayEnd } from './gateway-end.ts'
import { chargePublish, ratesOf } from './publish-holds.ts'
import type { RateLimit } from './publish-rates.ts'
import type { ShardState } from './shard-state.ts'

type Op<K extends StreamOp['op']> = Extract<StreamOp, { op: K }>

/** What a channel of the stream protocol publishes to. */
export interface StreamPublisher {
  readonly stream: StreamQueue
  /** Empty: no deduplication. */
  readonly reference: string
  /** The version of the topology by which it may publish. */
  accessVersion: number
  /** Those that hold for it at that version of the topology. */
  rates: readonly RateLimit[] | undefined
  ratesVersion: number
}

/** A subscription. Its gateway reads; the shard says how far, and whose turn it is. */
class Subscription implements GroupMember {
  readonly end: GatewayEnd
  readonly slot: number
  readonly stream: StreamQueue
  readonly connection: ShardConnection
  group: ActiveGroup | undefined
  private readonly onTurn: (subscription: Subscription, active: boolean) => void
  private onStopped: (() => void) | undefined

  constructor(
    end: GatewayEnd,
    slot: number,
    stream: StreamQueue,
    connection: ShardConnection,
    onTurn: (subscription: Subscription, active: boolean) => void,
  ) {
    this.end = end
    this.slot = slot
    this.stream = stream
    this.connection = connection
    this.group = undefined
    this.onTurn = onTurn
    this.onStopped = undefined
  }

  activate(): void {
    this.onTurn(this, true)
  }

  deactivate(done: () => void): void {
    this.onStopped = done
    this.onTurn(this, false)
  }

  /** The client has stopped, as it was told. */
  stopped(): void {
    const { onStopped } = this
    this.onStopped = undefined
    onStopped?.()
  }
}

export class StreamClients {
  private readonly state: ShardState
  /** By gateway and its slot. */
  private readonly subscriptions: Map<GatewayEnd, Map<number, Subscription>>
  private readonly publishers: Map<StreamQueue, Set<ShardChannel>>

  constructor(state: ShardState) {
    this.state = state
    this.subscriptions = new Map()
    this.publishers = new Map()
  }

  /** Carries out one op. */
  run(end: GatewayEnd, request: number, op: StreamOp): void {
    switch (op.op) {
      case 'declarePublisher':
        return this.state.reply(end, request, this.declarePublisher(end, op))
      case 'streamSubscribe':
        return this.subscribe(end, request, op)
      case 'streamUnsubscribe':
        this.drop(this.subscriptions.get(end)?.get(op.subscription))
        return this.state.reply(end, request, {})
      case 'streamStopped':
        return this.subscriptions.get(end)?.get(op.subscription)?.stopped()
      default: {
        const connection = end.connections[op.connection]
        if (connection !== undefined) this.state.reply(end, request, this.answer(connection, op))
      }
    }
  }

  // HOT: once per batch of a stream client
  /** Handles the streamPublish record at index `i`. False when it must wait for room. */
  publish(end: GatewayEnd, i: number): boolean {
    const { state } = this
    const { words } = end.in
    const channel = end.channels[words[i + 1] as number]
    const publisher = channel?.publisher
    if (channel === undefined || publisher === undefined) return true
    if (
      publisher.accessVersion !== state.topology.version &&
      !this.mayPublish(channel, publisher)
    ) {
      channel.confirms.refuse(channel.confirms.push(0, 0))
      state.confirmed(channel)
      return true
    }
    const e = i + streamPublishEntryAt
    if (!state.log.hasRoom(words[e + 6] as number, 1)) return false
    const { stream, reference } = publisher
    if (stream.deleted) {
      channel.confirms.refuse(channel.confirms.push(0, 0))
    } else {
      const entries = words[i + 2] as number
      const messages = words[i + 3] as number
      const position =
        reference === ''
          ? stream.acceptBatch(words, e, 0, entries, messages)
          : this.publishOnce(publisher, words, i, e)
      channel.confirms.push(0, position, true)
      this.charge(channel, publisher, messages)
    }
    state.confirmed(channel)
    return true
  }

  private charge(channel: ShardChannel, publisher: StreamPublisher, messages: number): void {
    const { state } = this
    const { version } = state.topology
    if (publisher.ratesVersion !== version) {
      publisher.rates = ratesOf(state, channel, [publisher.stream])
      publisher.ratesVersion = version
    }
    if (publisher.rates !== undefined) chargePublish(state, channel, publisher.rates, messages)
  }

  /** Tells gateways how far streams are that have advanced. */
  announce(): void {
    const { advancedStreams } = this.state
    if (advancedStreams.size === 0) return
    for (const stream of advancedStreams) {
      for (const follower of stream.followers.keys()) tell(follower as GatewayEnd, stream)
    }
    advancedStreams.clear()
  }

  /** What the user of `connection` may do can have changed: what is no longer allowed ends. */
  recheck(end: GatewayEnd, connection: ShardConnection): void {
    for (const subscription of [...(this.subscriptions.get(end)?.values() ?? [])]) {
      const { stream, slot } = subscription
      if (subscription.connection !== connection) continue
      if (this.find(connection, stream.name, 'read') === stream) continue
      this.drop(subscription)
      this.state.event(end, { event: 'consumerCancelled', consumer: slot })
    }
    for (const channel of connection.channels) {
      const { publisher } = channel
      if (publisher !== undefined) this.mayPublish(channel, publisher)
    }
  }

  /** The channel is closed. */
  closePublisher(channel: ShardChannel): void {
    const stream = channel.publisher?.stream
    if (stream === undefined) return
    const channels = this.publishers.get(stream)
    channels?.delete(channel)
    if (channels?.size === 0) this.publishers.delete(stream)
    channel.publisher = undefined
  }

  /** The connection is closed. */
  dropConnection(end: GatewayEnd, connection: ShardConnection): void {
    const open = this.subscriptions.get(end)
    if (open === undefined) return
    for (const subscription of [...open.values()]) {
      if (subscription.connection === connection) this.drop(subscription)
    }
  }

  /** The stream is deleted: who has to do with it is told. */
  dropStream(stream: StreamQueue): void {
    for (const open of [...this.subscriptions.values()]) {
      for (const subscription of [...open.values()]) {
        if (subscription.stream !== stream) continue
        this.drop(subscription)
        const { end, slot } = subscription
        this.state.event(end, { event: 'consumerCancelled', consumer: slot })
      }
    }
    for (const channel of this.publishers.get(stream) ?? []) {
      this.state.event(channel.outlet, { event: 'publisherEnded', channel: channel.id })
    }
    this.publishers.delete(stream)
  }

  private declarePublisher(end: GatewayEnd, op: Op<'declarePublisher'>): ControlReply {
    const channel = end.channels[op.channel]
    if (channel === undefined)
      return { error: channelError('CHANNEL_ERROR', 'the channel is closed') }
    const found = this.find(channel.connection, op.stream, 'write')
    if ('code' in found) return { error: found }
    channel.publisher = {
      stream: found,
      reference: op.reference,
      accessVersion: this.state.topology.version,
      rates: undefined,
      ratesVersion: -1,
    }
    const channels = this.publishers.get(found) ?? new Set()
    channels.add(channel)
    this.publishers.set(found, channels)
    return {}
  }

  private subscribe(end: GatewayEnd, request: number, op: Op<'streamSubscribe'>): void {
    const { state } = this
    const connection = end.connections[op.connection]
    if (connection === undefined) return
    const stream = this.find(connection, op.stream, 'read')
    if ('code' in stream) return state.refuse(end, request, stream)
    const subscription = new Subscription(end, op.subscription, stream, connection, this.onTurn)
    const open = this.subscriptions.get(end) ?? new Map<number, Subscription>()
    open.set(op.subscription, subscription)
    this.subscriptions.set(end, open)
    stream.followers.set(end, (stream.followers.get(end) ?? 0) + 1)
    const { id, end: streamEnd, log } = stream
    state.reply(end, request, { id, folder: log.folder, end: streamEnd })
    if (!op.singleActive) return
    const partition = partitionOf(connection, op.superStream, op.stream)
    subscription.group = stream.group(op.name, partition)
    subscription.group.add(subscription)
  }

  /** Whether the publisher may still write to its stream; one that may not is told, and ends. */
  private mayPublish(channel: ShardChannel, publisher: StreamPublisher): boolean {
    const { user, vhost } = channel.connection
    const { users, version } = this.state.topology
    const { name } = publisher.stream
    if (checkAccess(users, user, vhost.name, 'queue', name, 'write') === undefined) {
      publisher.accessVersion = version
      return true
    }
    this.state.event(channel.outlet, { event: 'publisherEnded', channel: channel.id })
    return false
  }

  private drop(subscription: Subscription | undefined): void {
    if (subscription === undefined) return
    const { end, slot, stream, group } = subscription
    const open = this.subscriptions.get(end)
    open?.delete(slot)
    if (open?.size === 0) this.subscriptions.delete(end)
    const count = (stream.followers.get(end) ?? 1) - 1
    if (count === 0) stream.followers.delete(end)
    else stream.followers.set(end, count)
    if (group === undefined) return
    group.remove(subscription)
    stream.sweepGroups()
  }

  private readonly onTurn = ({ end, slot }: Subscription, active: boolean): void => {
    this.state.event(end, { event: 'consumerActive', consumer: slot, active })
  }

  private answer(
    connection: ShardConnection,
    op: Exclude<
      StreamOp,
      Op<'declarePublisher' | 'streamSubscribe' | 'streamUnsubscribe' | 'streamStopped'>
    >,
  ): ControlReply {
    if (op.op === 'describeStreams') {
      return { codes: op.streams.map((name) => this.codeOf(connection, name)) }
    }
    if (op.op === 'superStream') return this.route(connection, op)
    const access = op.op === 'publisherSequence' ? 'write' : 'read'
    const stream = this.find(connection, op.stream, access)
    if ('code' in stream) return { error: stream }
    switch (op.op) {
      case 'publisherSequence':
        return { sequence: stream.sequences.get(op.reference) ?? 0 }
      case 'streamStoreOffset':
        stream.storeOffset(op.name, op.offset)
        return {}
      case 'streamQueryOffset':
        return { offset: stream.storedOffset(op.name) }
      case 'streamStats':
        return { first: stream.first, end: stream.end, folder: stream.log.folder }
    }
  }

  private codeOf(connection: ShardConnection, name: string): number {
    const { user, vhost } = connection
    const { users } = this.state.topology
    const may =
      checkAccess(users, user, vhost.name, 'queue', name, 'read') === undefined ||
      checkAccess(users, user, vhost.name, 'queue', name, 'write') === undefined
    if (!may) return 403
    return vhost.queues.get(name)?.type === 'stream' ? 0 : 404
  }

  /** The stream of that name, if the connection's user has the access. Permission comes first. */
  private find(
    connection: ShardConnection,
    name: string,
    access: 'read' | 'write',
  ): StreamQueue | PeerError {
    const { user, vhost } = connection
    const { users } = this.state.topology
    const refused = checkAccess(users, user, vhost.name, 'queue', name, access)
    if (refused !== undefined) return refused
    const record = vhost.queues.get(name)
    const queue = record === undefined ? undefined : this.state.queues.get(record.id)
    return queue instanceof StreamQueue ? queue : noQueue(name, vhost.name)
  }

  private route(connection: ShardConnection, op: Op<'superStream'>): ControlReply {
    const { user, vhost } = connection
    const exchange = vhost.exchanges.get(op.name)
    const access = op.routingKey === undefined ? 'configure' : 'write'
    const { users } = this.state.topology
    const refused =
      op.routingKey === undefined
        ? checkAnyAccess(users, user, vhost.name, 'exchange', op.name)
        : checkAccess(users, user, vhost.name, 'exchange', op.name, access)
    if (refused !== undefined) return { error: refused }
    if (exchange === undefined) return { error: noExchange(op.name, vhost.name) }
    return { streams: partitionsOf(exchange, op.routingKey).map(({ name }) => name) }
  }

  /** Publishes what of a batch has not been published before. Returns what its confirm waits for. */
  private publishOnce(
    { stream, reference }: StreamPublisher,
    words: Int32Array,
    i: number,
    e: number,
  ): number {
    const bytes = this.state.arena.slab(words[e] as number)
    const view = viewOf(bytes)
    const headAt = words[e + 1] as number
    const idsAt = headAt + 4
    const entries = words[i + 2] as number
    const last = stream.sequences.get(reference) ?? -1
    let known = 0
    while (known < entries && readU64(view, idsAt + 8 * known) <= last) known++
    // Confirmed when what was published before is.
    if (known === entries) return stream.lastPosition
    let skipped = 0
    let messages = words[i + 3] as number
    let at = headAt + (words[e + 4] as number)
    for (let k = 0; k < known; k++) {
      const head = view.getUint32(at)
      const isBatch = head >= 0x80000000
      const size = isBatch ? 11 + view.getUint32(at + 7) : 4 + head
      messages -= isBatch ? view.getUint16(at + 1) : 1
      skipped += size
      at += size
    }
    const sequence = readU64(view, idsAt + 8 * (entries - 1))
    return stream.acceptBatchOf(reference, sequence, words, e, skipped, entries - known, messages)
  }
}

function tell(
  end: GatewayEnd,
  { id, end: { next, lastChunk, base, position } }: StreamQueue,
): void {
  if (end.lost) return
  const fields = [id]
  for (const value of [next, lastChunk, base, position]) {
    fields.push(value | 0, Math.floor(value / 0x100000000))
  }
  end.lane.short(Record.streamAdvanced, ...fields)
}

/** The index of a stream among the partitions of a super stream; -1: it is none of them. */
function partitionOf({ vhost }: ShardConnection, superStream: string, stream: string): number {
  const exchange = superStream === '' ? undefined : vhost.exchanges.get(superStream)
  if (exchange === undefined) return -1
  return partitionsOf(exchange, undefined).findIndex(({ name }) => name === stream)
}

/** The streams that a super stream's exchange leads to (by a key, where given), in partition order. */
function partitionsOf(exchange: ExchangeRecord, key: string | undefined): QueueRecord[] {
  const found: { readonly queue: QueueRecord; readonly order: number }[] = []
  for (const { destination, routingKey, arguments: args } of exchange.outbound.values()) {
    if (destination.kind !== 'queue' || destination.type !== 'stream') continue
    if (key !== undefined && routingKey !== key) continue
    const order = Number(integerOf(fieldOf(args, 'x-stream-partition-order')) ?? 0)
    found.push({ queue: destination, order })
  }
  return found.sort((a, b) => a.order - b.order).map(({ queue }) => queue)
}
