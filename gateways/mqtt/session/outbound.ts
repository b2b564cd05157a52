// Messages of QoS 1 and 2 to a client, from the queues that it consumes.
//
//   QoS 1   PUBLISH -> PUBACK -> settled
//   QoS 2   PUBLISH -> PUBREC -> (marked, durably) -> PUBREL -> PUBCOMP -> settled, mark removed
//
// A message's packet id is its place in the session's queue, modulo 65535. So a message that comes
// again has the id that it had, after a reconnect or a crash, without anything having been written.
// The mark says that the client has the message: then PUBREL comes again, and not PUBLISH.
// (Of a message that a shared subscription has given: its place in the queue for that; handover.ts.)
//
// A place is sure once the message is on disk: before that, a crash may give it to another message. So
// a message of QoS 2 waits for that, where the session can outlive the broker's crash.

import type { DeliverySink, GatewayLink } from '../../../shared/bus/gateway-port.ts'
import {
  deliveryCost,
  EntryFlag,
  entryWords,
  extentWords,
  Outcome,
} from '../../../shared/bus/wire.ts'
import { EMPTY_TABLE } from '../../../shared/message/value.ts'
import { placeQueue } from '../../../shared/placement.ts'
import { PacketType, Reason } from '../codec/constants.ts'
import type { Client } from './client.ts'
import type { Handover } from './handover.ts'
import { HeldDeliveries, heldHead } from './held-deliveries.ts'
import { givenOfId, Inflight, InflightState, idOfPlace } from './inflight.ts'
import { ask } from './ops.ts'
import type { PublishForm } from './publish-writer.ts'
import { packetSize, writePublish } from './publish-writer.ts'
import type { SentRetained } from './session-rows.ts'
import type { Subscription, Wish } from './subscription.ts'
import { wishOf } from './subscription.ts'

/** One queue that the client consumes. */
export class Feed implements DeliverySink {
  readonly index: number
  readonly queue: string
  readonly shard: number
  /** Of a shared subscription; undefined: a queue of the session's own. */
  readonly shared: Subscription | undefined
  /** The shard whose shared subscriptions have given it what is in there; -1: the session's first queue. */
  readonly given: number
  slot: number
  /** Behind the last place that has come, and that is known to be on disk. */
  arrivedTo: number
  sureTo: number
  asksSure: boolean
  /** Marked messages whose delivery has not come (again), by place. */
  readonly released: Map<number, number>
  private readonly outbound: Outbound

  constructor(
    outbound: Outbound,
    index: number,
    queue: string,
    shard: number,
    shared: Subscription | undefined,
    given: number,
    released: Map<number, number>,
  ) {
    this.outbound = outbound
    this.index = index
    this.queue = queue
    this.shard = shard
    this.shared = shared
    this.given = given
    this.slot = 0
    this.arrivedTo = 0
    this.sureTo = 0
    this.asksSure = false
    this.released = released
  }

  onDeliver(link: GatewayLink, at: number, deliveryId: number, flags: number): void {
    this.outbound.onDeliver(this, link, at, deliveryId, flags)
  }

  onCancelled(): void {
    this.outbound.onCancelled(this)
  }
}

/** Marks of QoS 2 messages that the client has (see above), in the keyed store. */
export interface Marks {
  put(packetId: number, position: number, done: () => void): void
  remove(packetId: number): void
  /** Of a retained message. */
  putSent(sent: SentRetained, done: () => void): void
  removeSent(packetId: number): void
}

export class Outbound {
  readonly inflight: Inflight
  /** Behind the last place in the session's queue whose message was sent. */
  sentTo: number
  /** What an earlier connection has left as `sentTo`: up to there, a message may have been sent. */
  sentBefore: number
  private readonly client: Client
  private readonly marks: Marks
  private readonly feeds: Feed[]
  /** Waiting until the client takes more, or their packet ids are free. */
  private readonly held: HeldDeliveries
  /** Marked messages whose delivery has not come (again), by place, by `given` of their queue. */
  private readonly released: Map<number, Map<number, number>>
  /** Settled and to be unmarked when that is on disk: packet ids by shard. */
  private settled: { readonly shard: number; readonly packetId: number }[]
  private syncing: boolean
  /** Called when the client has acknowledged something. */
  onRoom: () => void
  /** Where QoS 2 of shared subscriptions goes first. */
  handover: Handover | undefined
  /** Messages of QoS 1 and 2 that the client may have unacknowledged. */
  private readonly window: number
  private lastTopic: string
  private lastWish: Wish | undefined

  constructor(client: Client, marks: Marks) {
    this.client = client
    this.marks = marks
    this.inflight = new Inflight()
    this.feeds = []
    this.held = new HeldDeliveries(client.port)
    this.released = new Map()
    this.settled = []
    this.syncing = false
    this.onRoom = () => undefined
    this.handover = undefined
    this.window = Math.min(client.settings.prefetch, client.receiveMaximum)
    this.sentTo = 0
    this.sentBefore = Number.POSITIVE_INFINITY
    this.lastTopic = ''
    this.lastWish = undefined
  }

  /**
   * Consumes a queue; `done(false)`: it may not, or the queue is gone. `given`: see Feed.
   */
  consume(
    queue: string,
    shared: Subscription | undefined,
    done: (ok: boolean) => void,
    given: number = -1,
  ): void {
    const { client } = this
    const { port } = client
    const shard = placeQueue(client.vhost, queue, port.shardCount)
    // One that was cancelled may still have messages that the client has not acknowledged.
    let index = this.feeds.findIndex((feed) => feed.queue === queue)
    if (index < 0) index = this.feeds.length
    const released = this.releasedOf(given)
    const feed = new Feed(this, index, queue, shard, shared, given, released)
    this.feeds[index] = feed
    feed.slot = port.consumers.add(feed)
    const op = {
      op: 'consume',
      channel: client.channelSlot(),
      consumer: feed.slot,
      queue,
      tag: client.clientId,
      noAck: false,
      exclusive: false,
      // More than the client takes at once: the next ones are here when it acknowledges some.
      prefetch: shared === undefined ? Math.min(65535, 2 * this.window + aheadMin) : sharedMax,
      positions: true,
      arguments: EMPTY_TABLE,
    } as const
    ask(port, shard, op, (reply) => {
      if (reply.error !== undefined) this.drop(feed)
      done(reply.error === undefined)
    })
  }

  /** Consumes a queue no longer. */
  cancel(queue: string, done: () => void): void {
    const { client } = this
    const feed = this.feeds.find((each) => each.queue === queue && each.slot !== 0)
    if (feed === undefined) return done()
    const op = { op: 'cancel', channel: client.channel, consumer: feed.slot } as const
    ask(client.port, feed.shard, op, () => {
      // What it has not acknowledged stays its own until it is.
      if (feed.slot !== 0) client.port.consumers.remove(feed.slot)
      feed.slot = 0
      done()
    })
  }

  consumes(queue: string): boolean {
    return this.feeds.some((feed) => feed.queue === queue && feed.slot !== 0)
  }

  /** The subscriptions have changed. */
  forgetWishes(): void {
    this.lastWish = undefined
    this.lastTopic = ''
  }

  /** Messages that the client has and that were not released before it went: PUBREL goes out again. */
  resume(marks: readonly { readonly packetId: number; readonly position: number }[]): void {
    for (const { packetId, position } of marks) {
      const given = givenOfId(packetId, this.client.port.shardCount)
      this.releasedOf(given).set(position, packetId)
      this.inflight.add(packetId, 2, noFeed, 0, position, InflightState.released)
      this.client.ack(PacketType.pubrel, packetId, 0)
    }
  }

  // HOT: once per delivery
  onDeliver(feed: Feed, link: GatewayLink, at: number, deliveryId: number, flags: number): void {
    const { client } = this
    const { words } = link
    const cost = deliveryCost(
      words[at + 2] as number,
      words[at + 4] as number,
      words[at + 5] as number,
    )
    client.window.owe(link.shard, cost)
    client.out.touch()
    if (!client.live) return
    if (feed.shared === undefined && client.durable) {
      feed.arrivedTo = Math.max(feed.arrivedTo, positionIn(words, at) + 1)
    }
    if (this.held.count > 0 || !this.deliver(feed, link, words, at, deliveryId, flags)) {
      this.held.push(feed.index, link.shard, words, at, deliveryId, flags)
    }
  }

  /** The queue is gone. */
  onCancelled(feed: Feed): void {
    this.drop(feed)
    if (feed.shared === undefined && this.client.live) {
      this.client.owner.disconnect(Reason.administrativeAction, 'the queue of the session is gone')
    }
  }

  /** PUBACK. */
  onPuback(packetId: number, reason: number): void {
    const slot = this.inflight.find(packetId)
    if (slot < 0 || this.inflight.qos[slot] !== 1) return
    this.finish(slot, reason >= Reason.unspecified ? Outcome.discard : Outcome.complete)
    this.goOn()
  }

  /** PUBREC. */
  onPubrec(packetId: number, reason: number): void {
    const { client, inflight } = this
    const slot = inflight.find(packetId)
    if (slot < 0 || inflight.qos[slot] !== 2) {
      client.ack(PacketType.pubrel, packetId, Reason.packetIdNotFound)
      return
    }
    if (inflight.state[slot] === InflightState.released) {
      client.ack(PacketType.pubrel, packetId, 0)
    } else if (reason >= Reason.unspecified) {
      this.finish(slot, Outcome.discard)
      this.goOn()
    } else {
      inflight.state[slot] = InflightState.released
      const position = inflight.positions[slot] as number
      const goOn = (): void => {
        if (client.live) client.ack(PacketType.pubrel, packetId, 0)
      }
      if (client.durable && position > 0) this.marks.put(packetId, position, goOn)
      else if (this.isKept(slot)) {
        this.marks.putSent({ packetId, qos: 2, id: 0, message: undefined }, goOn)
      } else goOn()
    }
  }

  /** PUBCOMP. */
  onPubcomp(packetId: number): void {
    const { client, inflight } = this
    const slot = inflight.find(packetId)
    if (slot < 0 || inflight.state[slot] !== InflightState.released) return
    const position = inflight.positions[slot] as number
    const deliveryId = inflight.deliveryIds[slot] as number
    const shard = this.shardOf(slot)
    if (!client.durable || position === 0) {
      this.finish(slot, Outcome.complete)
    } else if (deliveryId === 0) {
      // The message itself may still come; then it is settled (see `deliver`).
      inflight.remove(slot)
      const given = givenOfId(packetId, client.port.shardCount)
      this.releasedOf(given).set(position, completed)
      this.marks.remove(packetId)
    } else {
      this.finish(slot, Outcome.complete)
      this.settled.push({ shard, packetId })
      this.sync()
    }
    this.goOn()
  }

  /** A retained message that an earlier connection was sent; `released`: the client has it. */
  resumeRetained(packetId: number, qos: number, released: boolean): void {
    const state = released ? InflightState.released : InflightState.published
    this.inflight.add(packetId, qos, noFeed, 0, 0, state)
    if (released) this.client.ack(PacketType.pubrel, packetId, 0)
  }

  /** If the client takes one more, a packet id for something that is in no queue; else 0. */
  takeId(qos: number): number {
    const { inflight } = this
    if (this.held.count > 0 || inflight.count >= this.window) return 0
    const packetId = inflight.unused()
    if (packetId !== 0) inflight.add(packetId, qos, noFeed, 0, 0, InflightState.published)
    return packetId
  }

  /** The packet that the id was taken for is not sent. */
  giveId(packetId: number): void {
    const slot = this.inflight.find(packetId)
    if (slot >= 0) this.inflight.remove(slot)
  }

  /** Nothing more can come. `over`: the session ends with the connection. */
  close(over: boolean): void {
    this.held.clear()
    if (over) {
      this.inflight.forEach((_, slot) => {
        this.endShared(slot)
      })
    }
    for (const feed of this.feeds) this.drop(feed)
  }

  // HOT: once per delivery
  /** Sends a message, or settles it if the client does not want it. False: it has to wait. */
  private deliver(
    feed: Feed,
    link: GatewayLink,
    words: Int32Array,
    at: number,
    deliveryId: number,
    flags: number,
  ): boolean {
    const { client } = this
    const { view } = client.hub
    view.look(words, at)
    const wish = view.hasTopic && !view.expired ? this.wishFor(feed) : undefined
    if (wish === undefined || (wish.noLocal && view.isFrom(client.publisher))) {
      client.settle(link.shard, deliveryId, Outcome.complete)
      return true
    }
    form.version = client.version
    form.qos = Math.min(view.qos, wish.qos)
    form.dup = false
    form.retain = wish.retainAsPublished && view.retain
    form.packetId = 0
    form.ids = wish.ids
    let position = 0
    if (form.qos === 2 && feed.shared !== undefined && client.durable) {
      this.handover?.take(link.shard, deliveryId)
      return true
    }
    if (form.qos > 0) {
      position = feed.shared === undefined ? positionIn(words, at) : 0
      const taken = this.takePacketId(feed, position, deliveryId, link)
      if (taken !== undefined) return taken
      if (form.qos === 2 && position >= feed.sureTo && position > 0 && client.durable) {
        this.askSure(feed)
        return false
      }
      // What was another member's is new to this one.
      const again = position > 0 && (feed.given >= 0 || position < this.sentBefore)
      form.dup = again && (flags & EntryFlag.redelivered) !== 0
    }
    if (client.isV5) view.findProperties()
    client.chooseAlias(view, form)
    if (packetSize(view, form) > client.packetSizeMax) {
      // As if it had been delivered [MQTT-3.1.2-25].
      client.dropAlias(form)
      client.dropped++
      client.hub.counters.dropped++
      client.settle(link.shard, deliveryId, Outcome.complete)
      return true
    }
    if (form.qos === 0) client.settle(link.shard, deliveryId, Outcome.complete)
    else {
      const id = form.packetId
      const state = InflightState.published
      this.inflight.add(id, form.qos, feed.index, deliveryId, position, state)
      if (position >= this.sentTo && feed.given < 0) this.sentTo = position + 1
    }
    client.hub.counters.sent++
    writePublish(client.port, client.out, link, view, form)
    return true
  }

  // HOT: once per delivery of QoS 1 or 2
  /** Sets the form's packet id; not undefined: what `deliver` returns at once. */
  private takePacketId(
    feed: Feed,
    position: number,
    deliveryId: number,
    link: GatewayLink,
  ): boolean | undefined {
    const { inflight } = this
    if (feed.released.size > 0 && position > 0) {
      const marked = feed.released.get(position)
      if (marked !== undefined) {
        feed.released.delete(position)
        this.meet(marked, feed, deliveryId, link)
        return true
      }
    }
    if (inflight.count >= this.window) return false
    if (position === 0) {
      form.packetId = inflight.unused()
      return form.packetId === 0 ? false : undefined
    }
    form.packetId = idOfPlace(position, feed.given, this.client.port.shardCount)
    if (inflight.find(form.packetId) < 0) return undefined
    return false
  }

  /** The delivery of a message that the client has already. */
  private meet(marked: number, feed: Feed, deliveryId: number, link: GatewayLink): void {
    if (marked === completed) {
      this.client.settle(link.shard, deliveryId, Outcome.complete)
      return
    }
    const slot = this.inflight.find(marked)
    this.inflight.deliveryIds[slot] = deliveryId
    this.inflight.feeds[slot] = feed.index
  }

  private wishFor(feed: Feed): Wish | undefined {
    if (feed.shared !== undefined) return wishOf([feed.shared])
    if (feed.given >= 0) return this.client.subscriptions.sharedWish(this.client.hub.view.topic())
    const topic = this.client.hub.view.topic()
    if (this.lastTopic === topic && this.lastWish !== undefined) return this.lastWish
    const wish = this.client.subscriptions.wish(topic)
    this.lastTopic = topic
    this.lastWish = wish
    return wish
  }

  /** The client has acknowledged something: what was held goes on. */
  private goOn(): void {
    const { held } = this
    while (held.count > 0) {
      const { words } = held
      const at = held.first()
      const feed = this.feeds[words[at + 1] as number] as Feed
      const link = this.client.port.link(words[at + 2] as number)
      const deliveryId = words[at + 3] as number
      const flags = words[at + 4] as number
      this.client.out.touch()
      if (!this.deliver(feed, link, words, at + heldHead, deliveryId, flags)) return
      held.shift()
    }
    this.onRoom()
  }

  /** What one member was sent with QoS 2, no other gets [MQTT-4.8.2-5]. */
  private endShared(slot: number): void {
    const { inflight } = this
    const feed = this.feeds[inflight.feeds[slot] as number]
    if (feed?.shared === undefined || inflight.qos[slot] !== 2) return
    const deliveryId = inflight.deliveryIds[slot] as number
    if (deliveryId !== 0) this.client.settle(feed.shard, deliveryId, Outcome.complete)
  }

  private finish(slot: number, outcome: number): void {
    const deliveryId = this.inflight.deliveryIds[slot] as number
    if (deliveryId !== 0) this.client.settle(this.shardOf(slot), deliveryId, outcome)
    const feed = this.feeds[this.inflight.feeds[slot] as number]
    if (this.isKept(slot)) this.marks.removeSent(this.inflight.idAt(slot))
    this.inflight.remove(slot)
    if (feed !== undefined && feed.given >= 0) this.handover?.onCompleted()
  }

  /** Whether it is a retained message of a session that outlives the connection. */
  private isKept(slot: number): boolean {
    const { feeds, positions } = this.inflight
    return this.client.durable && feeds[slot] === noFeed && positions[slot] === 0
  }

  private shardOf(slot: number): number {
    const index = this.inflight.feeds[slot] as number
    return index === noFeed ? 0 : (this.feeds[index]?.shard ?? 0)
  }

  /** Takes marks away once their messages' ends are on disk. */
  private sync(): void {
    if (this.syncing) return
    const { client } = this
    const batch = this.settled
    const shards = new Set(batch.map(({ shard }) => shard))
    if (shards.size === 0) return
    this.settled = []
    this.syncing = true
    let left = shards.size
    const onSynced = (): void => {
      left--
      if (left > 0) return
      this.syncing = false
      for (const { packetId } of batch) this.marks.remove(packetId)
      if (client.live) this.sync()
    }
    client.afterSettles(() => {
      for (const shard of shards) {
        ask(client.port, shard, { op: 'sync', channel: client.channel }, onSynced)
      }
    })
  }

  /** Goes on when all that has come from a queue of the session is on disk. */
  private askSure(feed: Feed): void {
    if (feed.asksSure) return
    const { client } = this
    const { arrivedTo } = feed
    feed.asksSure = true
    ask(client.port, feed.shard, { op: 'sync', channel: client.channel }, () => {
      feed.asksSure = false
      feed.sureTo = arrivedTo
      if (client.live) this.goOn()
    })
  }

  private releasedOf(given: number): Map<number, number> {
    let released = this.released.get(given)
    if (released === undefined) {
      released = new Map()
      this.released.set(given, released)
    }
    return released
  }

  private drop(feed: Feed): void {
    if (feed.slot !== 0) this.client.port.consumers.remove(feed.slot)
    feed.slot = 0
  }
}

/** Where in its queue a delivered message is: behind its entry. */
function positionIn(words: Int32Array, at: number): number {
  const from = at + entryWords + (words[at + 6] as number) * extentWords
  return ((words[from] as number) >>> 0) + (words[from + 1] as number) * 0x1_0000_0000 + 1
}

/** Messages that one member of a shared subscription takes at a time: the others are to have some. */
const sharedMax = 20
/** Messages that are fetched beyond twice what the client takes. */
const aheadMin = 32
const noFeed = 65535
/** In place of a packet id: the client has said PUBCOMP. */
const completed = 0
const form: PublishForm = {
  version: 4,
  qos: 0,
  dup: false,
  retain: false,
  packetId: 0,
  ids: [],
  alias: 0,
  aliasKnown: false,
}
