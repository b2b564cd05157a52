// Packet ids of QoS 2 that a client has published and not released: a second PUBLISH with one of them
// is the same message. For a session that outlives its connection they are messages in queues of its
// own, one on every shard: the publish puts its id there and the message where it is routed, in one
// record of each shard's log. So a crash leaves both on a shard or none, and what a shard lacks when
// the client comes back it is sent again, alone; see inbound.ts.

import type { DeliverySink, GatewayLink } from '../../../shared/bus/gateway-port.ts'
import { deliveryCost, Outcome } from '../../../shared/bus/wire.ts'
import { shortstrBytes } from '../../../shared/bytes/utf8.ts'
import { EMPTY_TABLE } from '../../../shared/message/value.ts'
import { PacketType } from '../codec/constants.ts'
import { receivedQueues } from '../mapping/topic.ts'
import type { Client } from './client.ts'
import { Wait } from './client.ts'
import { ask, declareQueue, registryShard } from './ops.ts'

interface Entry {
  /** PUBREC has been sent, or can be. */
  confirmed: boolean
  /** PUBREL has come. */
  released: boolean
  /** Its messages in the queues, by shard; 0: not here (yet). */
  readonly deliveryIds: number[]
  /** How many of them are, or will be, here; how many have ended, on disk. */
  wanted: number
  ended: number
  /** Of one that some shards lack after a crash: those that were sent it again. */
  again: Set<number> | undefined
  /** What the second attempt waits for before it can be acknowledged; it counts itself. */
  repairs: number
}

/** The queue of one shard. */
class Part implements DeliverySink {
  readonly shard: number
  readonly queue: string
  slot: number
  /** On resume: messages that are still to come. */
  missing: number
  /** Released, and settled in the queue: to be acknowledged when that is on disk. */
  settled: number[]
  syncing: boolean
  private readonly received: Received

  constructor(received: Received, shard: number, queue: string) {
    this.received = received
    this.shard = shard
    this.queue = queue
    this.slot = 0
    this.missing = 0
    this.settled = []
    this.syncing = false
  }

  onDeliver(link: GatewayLink, at: number, deliveryId: number): void {
    this.received.onDeliver(this, link, at, deliveryId)
  }

  onCancelled(): void {
    this.received.onCancelled()
  }
}

export class Received {
  /** The queues are in use. */
  queued: boolean
  /** Routing key of the queues, as a shortstr. */
  key: Uint8Array
  count: number
  private readonly client: Client
  private readonly onQueue: (done: () => void) => void
  private readonly entries: Map<number, Entry>
  private parts: readonly Part[]
  private opening: boolean
  /** No queues could be had: ids are kept in memory. */
  private failed: boolean
  /** On resume: who waits until all ids are known. */
  private whenComplete: (() => void) | undefined

  /** `onQueue` notes in the session that it has such queues, and calls back when that is on disk. */
  constructor(client: Client, onQueue: (done: () => void) => void) {
    this.client = client
    this.onQueue = onQueue
    this.queued = false
    this.key = noKey
    this.count = 0
    this.entries = new Map()
    this.parts = []
    this.opening = false
    this.failed = false
    this.whenComplete = undefined
  }

  /** `partial`: before a crash, some shards have got the message and others have not. */
  stateOf(packetId: number): 'unknown' | 'known' | 'publishing' | 'partial' {
    const entry = this.entries.get(packetId)
    if (entry === undefined) return 'unknown'
    if (entry.confirmed) return 'known'
    return this.lacking(packetId).length > 0 ? 'partial' : 'publishing'
  }

  /** Of a durable session: whether publishing can begin; if not, the client waits. */
  ready(): boolean {
    if (this.queued || this.failed) return true
    if (!this.opening) {
      this.client.waits |= Wait.reply
      this.open(() => {
        this.client.waits &= ~Wait.reply
      })
    }
    return false
  }

  /** The session had such queues: `done` when all ids of them are known. */
  resume(done: () => void): void {
    const { client } = this
    this.whenComplete = done
    // What the last connection has published may be on its way between shards.
    const op = { op: 'fence', channel: client.channelSlot() } as const
    ask(client.port, client.ingressShard, op, () => {
      this.open(() => this.completeIfAll())
    })
  }

  add(packetId: number): void {
    this.count++
    // Its messages may have come back before the publish was noted.
    if (!this.entries.has(packetId)) this.entries.set(packetId, this.newEntry(this.parts.length))
  }

  confirm(packetId: number): void {
    const entry = this.entries.get(packetId)
    if (entry !== undefined) entry.confirmed = true
  }

  /** The publish was refused: the id is free. */
  forget(packetId: number): void {
    const entry = this.entries.get(packetId)
    if (entry === undefined) return
    for (const { shard } of this.parts) {
      const deliveryId = entry.deliveryIds[shard] as number
      if (deliveryId !== 0) this.client.settle(shard, deliveryId, Outcome.complete)
    }
    this.remove(packetId)
  }

  /** PUBREL; false if the id is not known. */
  release(packetId: number): boolean {
    const entry = this.entries.get(packetId)
    if (entry === undefined) return false
    if (!this.queued) {
      this.remove(packetId)
      this.client.ack(PacketType.pubcomp, packetId, 0)
    } else if (!entry.released) {
      entry.released = true
      for (const part of this.parts) this.settle(part, packetId, entry)
    }
    return true
  }

  /** The shards that do not have a message that is `partial`, and were not sent it again. */
  lacking(packetId: number): readonly number[] {
    const entry = this.entries.get(packetId)
    const again = entry?.again
    if (entry === undefined || again === undefined) return []
    return this.parts
      .map(({ shard }) => shard)
      .filter((shard) => entry.deliveryIds[shard] === 0 && !again.has(shard))
  }

  /** A message that is `partial` was sent again to a shard. */
  onRepair(packetId: number, shard: number): void {
    const entry = this.entries.get(packetId)
    if (entry === undefined) return
    entry.again?.add(shard)
    entry.wanted++
    entry.repairs++
  }

  /** One of the things that a second attempt waits for has happened. */
  onRepaired(packetId: number): void {
    const entry = this.entries.get(packetId)
    if (entry === undefined || entry.repairs === 0) return
    entry.repairs--
    if (entry.repairs > 0) return
    entry.confirmed = true
    if (this.client.live) this.client.ack(PacketType.pubrec, packetId, 0)
  }

  onDeliver(part: Part, link: GatewayLink, at: number, deliveryId: number): void {
    const { client } = this
    const { words } = link
    const cost = deliveryCost(
      words[at + 2] as number,
      words[at + 4] as number,
      words[at + 5] as number,
    )
    client.window.owe(link.shard, cost)
    client.out.touch()
    const { view } = client.hub
    view.look(words, at)
    const { packetId } = view
    const { shard } = part
    const isOld = part.missing > 0
    let entry = this.entries.get(packetId)
    if (entry === undefined) {
      // From before the connection, or the publish that is just being noted.
      entry = this.newEntry(isOld ? 0 : this.parts.length)
      this.entries.set(packetId, entry)
      if (isOld) this.count++
    }
    entry.deliveryIds[shard] = deliveryId
    if (isOld) entry.wanted++
    else if (entry.again?.has(shard) === true) this.awaitRepair(shard, packetId)
    if (entry.released) this.settle(part, packetId, entry)
    if (isOld) {
      part.missing--
      this.completeIfAll()
    }
  }

  onCancelled(): void {
    // Somebody has deleted a queue: what is left is in memory.
    this.queued = false
    this.failed = true
    this.close()
    for (const [packetId, { released }] of this.entries) if (released) this.finish(packetId)
    this.complete()
  }

  /** Nothing more can come for it. */
  close(): void {
    for (const part of this.parts) {
      if (part.slot !== 0) this.client.port.consumers.remove(part.slot)
      part.slot = 0
    }
  }

  private newEntry(wanted: number): Entry {
    const deliveryIds: number[] = []
    for (let shard = 0; shard < this.client.port.shardCount; shard++) deliveryIds.push(0)
    return {
      confirmed: false,
      released: false,
      deliveryIds,
      wanted,
      ended: 0,
      again: undefined,
      repairs: 0,
    }
  }

  private completeIfAll(): void {
    if (this.opening || this.parts.some(({ missing }) => missing > 0)) return
    this.complete()
  }

  private complete(): void {
    const done = this.whenComplete
    this.whenComplete = undefined
    if (done === undefined) return
    for (const entry of this.entries.values()) {
      entry.confirmed = entry.wanted === this.parts.length
      if (entry.confirmed) continue
      entry.again = new Set()
      entry.repairs = 1
    }
    done()
  }

  private awaitRepair(shard: number, packetId: number): void {
    const { client } = this
    ask(client.port, shard, { op: 'sync', channel: client.channel }, () => {
      this.onRepaired(packetId)
    })
  }

  private settle(part: Part, packetId: number, entry: Entry): void {
    const deliveryId = entry.deliveryIds[part.shard] as number
    if (deliveryId === 0) return
    this.client.settle(part.shard, deliveryId, Outcome.complete)
    part.settled.push(packetId)
    this.sync(part)
  }

  private sync(part: Part): void {
    if (part.syncing || part.settled.length === 0) return
    const batch = part.settled
    const { client } = this
    part.settled = []
    part.syncing = true
    client.afterSettles(() => {
      ask(client.port, part.shard, { op: 'sync', channel: client.channel }, () => {
        part.syncing = false
        for (const packetId of batch) this.onEnded(packetId)
        this.sync(part)
      })
    })
  }

  /** A released id has ended on one shard. */
  private onEnded(packetId: number): void {
    const entry = this.entries.get(packetId)
    if (entry === undefined) return
    entry.ended++
    if (entry.ended === entry.wanted) this.finish(packetId)
  }

  private finish(packetId: number): void {
    this.remove(packetId)
    this.client.ack(PacketType.pubcomp, packetId, 0)
  }

  private remove(packetId: number): void {
    if (this.entries.delete(packetId)) this.count--
  }

  private open(done: () => void): void {
    const { client } = this
    const names = receivedQueues(client.vhost, client.clientId, client.port.shardCount)
    this.opening = true
    this.parts = names.map((queue, shard) => new Part(this, shard, queue))
    const key = names[client.ingressShard] as string
    let left = this.parts.length
    const one = (ok: boolean): void => {
      if (!ok) this.failed = true
      left--
      if (left > 0) return
      this.opening = false
      if (this.failed) {
        this.close()
        return done()
      }
      this.key = shortstrBytes(key)
      this.queued = true
      this.onQueue(done)
    }
    // All have the key of the publisher's shard.
    for (const part of this.parts) this.openPart(part, key, one)
  }

  private openPart(part: Part, key: string, done: (ok: boolean) => void): void {
    const { client } = this
    const { queue } = part
    declareQueue(client, queue, true, 'classic', (declared) => {
      if (declared.error !== undefined) return done(false)
      const there = declared['messages']
      part.missing = typeof there === 'number' ? there : 0
      const op = {
        op: 'queueBind',
        connection: client.slot,
        queue,
        exchange: client.settings.exchange,
        routingKey: key,
        arguments: EMPTY_TABLE,
      } as const
      ask(client.port, registryShard, op, (bound) => {
        if (bound.error === undefined) this.consume(part, done)
        else done(false)
      })
    })
  }

  private consume(part: Part, done: (ok: boolean) => void): void {
    const { client } = this
    const { port } = client
    part.slot = port.consumers.add(part)
    const op = {
      op: 'consume',
      channel: client.channelSlot(),
      consumer: part.slot,
      queue: part.queue,
      tag: 'received',
      noAck: false,
      exclusive: false,
      prefetch: 0,
      arguments: EMPTY_TABLE,
    } as const
    ask(port, part.shard, op, (reply) => done(reply.error === undefined))
  }
}

const noKey = new Uint8Array(0)
