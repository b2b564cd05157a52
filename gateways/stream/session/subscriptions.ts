// The subscriptions of one connection, and what it is told when a stream goes.

import { placeQueue } from '../../../shared/placement.ts'
import type { StreamEnd } from '../../../shared/stream/chunk.ts'
import type { LogFiles, OffsetSpec } from '../../../shared/stream/log-cursor.ts'
import type { Outbox } from '../../host/protocol.ts'
import { Code, Key, OffsetType } from '../codec/commands.ts'
import type { FieldReader } from '../codec/frame-reader.ts'
import { codeOf } from '../mapping/codes.ts'
import type { StreamConnection } from './connection.ts'
import { followedStreams } from './follower.ts'
import type { SubscribeOptions, SubscriptionOwner } from './subscription.ts'
import { Subscription } from './subscription.ts'

/** Written to a socket before it has taken what came before: some large chunks, many small ones. */
const unflushedMax: number = 1024 * 1024
/** A client may take this long to answer a consumer update. */
const updateMs = 60_000

/** A consumer update that the client has not answered. */
interface OpenUpdate {
  readonly subscription: Subscription
  readonly active: boolean
  readonly until: number
}

export class Subscriptions implements SubscriptionOwner {
  readonly out: Outbox
  deliverVersion: number
  private readonly connection: StreamConnection
  private readonly subscriptions: Map<number, Subscription>
  private readonly closed: Subscription[]
  private readonly updates: Map<number, OpenUpdate>
  private lastCorrelation: number

  constructor(connection: StreamConnection) {
    this.out = connection.host.out
    this.deliverVersion = 1
    this.connection = connection
    this.subscriptions = new Map()
    this.closed = []
    this.updates = new Map()
    this.lastCorrelation = 0
  }

  /** A command with an answer. False: it is none of subscriptions'. */
  onCommand(key: number, correlation: number, fields: FieldReader): boolean {
    if (key === Key.subscribe) this.subscribe(correlation, fields)
    else if (key === Key.unsubscribe) this.unsubscribe(correlation, fields.u8())
    else return false
    return true
  }

  onCredit(fields: FieldReader): void {
    const id = fields.u8()
    const credit = fields.u16()
    const subscription = this.subscriptions.get(id)
    if (subscription === undefined) {
      this.refuseCredit(id, Code.noSubscription)
      return
    }
    subscription.credit += credit
    if (subscription.active) subscription.pump()
    else this.refuseCredit(id, Code.preconditionFailed)
  }

  /** The client has answered a consumer update: where to begin, if it is its turn. */
  onUpdated(fields: FieldReader): void {
    const correlation = fields.u32()
    const code = fields.u16()
    const update = this.updates.get(correlation)
    if (update === undefined) return
    this.updates.delete(correlation)
    const { subscription, active } = update
    if (!this.has(subscription)) return
    if (!active) {
      const { slot, link } = subscription
      this.connection.host.port.notify(link.shard, { op: 'streamStopped', subscription: slot })
      return
    }
    if (code !== Code.ok) return
    subscription.start(readOffset(fields) ?? subscription.options.from)
  }

  /** Sends what there is to all. */
  pump(): void {
    for (const subscription of this.subscriptions.values()) subscription.pump()
  }

  room(): number {
    return unflushedMax - this.connection.unflushed
  }

  wrote(bytes: number): void {
    this.connection.unflushed += bytes
  }

  onGone(subscription: Subscription): void {
    this.onStreamGone(subscription.options.stream)
  }

  /** A stream that the connection has to do with is deleted: all that it has there ends. */
  onStreamGone(stream: string): void {
    const { connection } = this
    if (connection.phase !== 'open') return
    for (const subscription of this.subscriptions.values()) {
      if (subscription.options.stream === stream) this.drop(subscription)
    }
    connection.publishers.dropStream(stream)
    const { writer } = connection
    writer.begin(Key.metadataUpdate).u16(Code.streamUnavailable).string(stream).send()
  }

  onActive(subscription: Subscription, active: boolean): void {
    const { connection } = this
    if (connection.phase !== 'open' || !this.has(subscription)) return
    if (!active) subscription.stop()
    const correlation = ++this.lastCorrelation
    const until = connection.host.now() + updateMs
    this.updates.set(correlation, { subscription, active, until })
    connection.writer
      .begin(Key.consumerUpdate)
      .u32(correlation)
      .u8(subscription.options.id)
      .u8(active ? 1 : 0)
      .send()
  }

  onDamage(subscription: Subscription, reason: string): void {
    const { stream } = subscription.options
    this.connection.host.log.error(`stream '${stream}' cannot be read`, { reason })
  }

  /** When the first unanswered update is too late. */
  deadline(): number {
    for (const { until } of this.updates.values()) return until
    return Number.POSITIVE_INFINITY
  }

  /** The connection ends; shards forget its subscriptions with it. */
  end(): void {
    for (const subscription of this.subscriptions.values()) {
      subscription.end()
      this.closed.push(subscription)
    }
    this.subscriptions.clear()
    this.updates.clear()
  }

  /** The shards have forgotten them. */
  release(): void {
    for (const { slot } of this.closed) this.connection.host.port.consumers.remove(slot)
    this.closed.length = 0
  }

  /** The client says which versions of deliver it takes. */
  exchangeVersions(fields: FieldReader): void {
    for (const [key, , max] of fields.array(() => [fields.u16(), fields.u16(), fields.u16()])) {
      if (key === Key.deliver && max !== undefined && max >= 2) this.deliverVersion = 2
    }
  }

  private subscribe(correlation: number, fields: FieldReader): void {
    const { connection } = this
    const { host } = connection
    const { port, files } = host
    const options = readSubscribe(fields)
    const refuse = (code: number): void =>
      connection.respond(Key.subscribe, correlation, code).send()
    if (this.subscriptions.has(options.id)) return refuse(Code.subscriptionExists)
    if (options.singleActive && options.name === '') return refuse(Code.preconditionFailed)
    if (files === undefined) return refuse(Code.streamUnavailable)
    const link = port.link(placeQueue(connection.vhost, options.stream, port.shardCount))
    const subscription = new Subscription(options, link, this)
    subscription.slot = port.consumers.add(subscription)
    const op = {
      op: 'streamSubscribe',
      connection: connection.slot,
      subscription: subscription.slot,
      stream: options.stream,
      name: options.name,
      singleActive: options.singleActive,
      superStream: options.superStream,
    } as const
    connection.await()
    // Before the reply, since what follows it may concern the subscription already.
    this.subscriptions.set(options.id, subscription)
    port.request(link.shard, op, {
      onReply: (reply) => {
        const isWanted = connection.answered()
        if (reply.error !== undefined) {
          this.subscriptions.delete(options.id)
          port.consumers.remove(subscription.slot)
          if (isWanted) refuse(codeOf(reply.error))
          return
        }
        if (!isWanted) return
        connection.respond(Key.subscribe, correlation, Code.ok).send()
        this.follow(subscription, files, reply)
      },
    })
  }

  private follow(
    subscription: Subscription,
    files: LogFiles,
    reply: { readonly [field: string]: unknown },
  ): void {
    const { port } = this.connection.host
    const streams = followedStreams(port, files)
    const [id, folder, end] = [reply['id'], reply['folder'], reply['end']]
    const stream = streams.follow(Number(id), String(folder), end as StreamEnd, subscription)
    subscription.follow(streams, stream)
    if (!subscription.options.singleActive) subscription.start(subscription.options.from)
  }

  private unsubscribe(correlation: number, id: number): void {
    const { connection } = this
    const subscription = this.subscriptions.get(id)
    if (subscription === undefined) {
      connection.respond(Key.unsubscribe, correlation, Code.noSubscription).send()
      return
    }
    const { slot, link } = subscription
    const { port } = connection.host
    this.subscriptions.delete(id)
    subscription.end()
    connection.await()
    port.request(
      link.shard,
      { op: 'streamUnsubscribe', subscription: slot },
      {
        onReply: () => {
          port.consumers.remove(slot)
          if (!connection.answered()) return
          connection.respond(Key.unsubscribe, correlation, Code.ok).send()
        },
      },
    )
  }

  private drop(subscription: Subscription): void {
    this.subscriptions.delete(subscription.options.id)
    subscription.end()
    const { slot, link } = subscription
    const { port } = this.connection.host
    port.request(
      link.shard,
      { op: 'streamUnsubscribe', subscription: slot },
      {
        onReply: () => port.consumers.remove(slot),
      },
    )
  }

  private has(subscription: Subscription): boolean {
    return this.subscriptions.get(subscription.options.id) === subscription
  }

  private refuseCredit(id: number, code: number): void {
    this.connection.writer
      .begin(Key.credit | 0x8000)
      .u16(code)
      .u8(id)
      .send()
  }
}

function readSubscribe(fields: FieldReader): SubscribeOptions {
  const id = fields.u8()
  const stream = fields.string()
  const from = readOffset(fields) ?? { kind: 'next' }
  const credit = fields.u16()
  const properties = fields.end > fields.at ? fields.pairs() : new Map<string, string>()
  return {
    id,
    stream,
    from,
    credit,
    filter: filtersIn(properties),
    matchUnfiltered: properties.get('match-unfiltered') === 'true',
    name: properties.get('name') ?? '',
    singleActive: properties.get('single-active-consumer') === 'true',
    superStream: properties.get('super-stream') ?? '',
  }
}

/** The values of `filter.0`, `filter.1`, ... */
export function filtersIn(properties: ReadonlyMap<string, string>): string[] {
  return [...properties].filter(([key]) => key.startsWith('filter.')).map(([, value]) => value)
}

/** An offset specification; undefined: none. */
export function readOffset(fields: FieldReader): OffsetSpec | undefined {
  const type = fields.u16()
  switch (type) {
    case OffsetType.first:
      return { kind: 'first' }
    case OffsetType.last:
      return { kind: 'last' }
    case OffsetType.next:
      return { kind: 'next' }
    case OffsetType.offset:
      return { kind: 'offset', value: fields.u64() }
    case OffsetType.timestamp:
      return { kind: 'timestamp', value: fields.i64() }
    default:
      return undefined
  }
}
