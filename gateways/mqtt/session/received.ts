// Packet ids of QoS 2 that a client has published and not released: a second PUBLISH with one of them
// is the same message. For a session that outlives its connection they are messages in a queue of
// its own, which also keeps them from a crash; see inbound.ts.

import type { DeliverySink, GatewayLink } from '../../../shared/bus/gateway-port.ts'
import { deliveryCost, Outcome } from '../../../shared/bus/wire.ts'
import { shortstrBytes } from '../../../shared/bytes/utf8.ts'
import { EMPTY_TABLE } from '../../../shared/message/value.ts'
import { placeQueue } from '../../../shared/placement.ts'
import { PacketType } from '../codec/constants.ts'
import { receivedQueue } from '../mapping/topic.ts'
import type { Client } from './client.ts'
import { Wait } from './client.ts'
import { ask, declareQueue, registryShard } from './ops.ts'

interface Entry {
  /** PUBREC has been sent. */
  confirmed: boolean
  /** Its message in the queue; 0: not here yet. */
  deliveryId: number
  /** PUBREL has come. */
  released: boolean
}

export class Received implements DeliverySink {
  /** The queue is in use. */
  queued: boolean
  /** Routing key of the queue, as a shortstr. */
  key: Uint8Array
  count: number
  private readonly client: Client
  private readonly onQueue: (done: () => void) => void
  private readonly entries: Map<number, Entry>
  private opening: boolean
  /** No queue could be had: ids are kept in memory. */
  private failed: boolean
  private slot: number
  private shard: number
  /** Released, and settled in the queue: to be acknowledged when that is on disk. */
  private settled: number[]
  private syncing: boolean
  /** On resume: messages that are still to come from the queue, and who waits for them. */
  private missing: number
  private whenComplete: (() => void) | undefined

  /** `onQueue` notes in the session that it has such a queue, and calls back when that is on disk. */
  constructor(client: Client, onQueue: (done: () => void) => void) {
    this.client = client
    this.onQueue = onQueue
    this.queued = false
    this.key = noKey
    this.count = 0
    this.entries = new Map()
    this.opening = false
    this.failed = false
    this.slot = 0
    this.shard = 0
    this.settled = []
    this.syncing = false
    this.missing = 0
    this.whenComplete = undefined
  }

  stateOf(packetId: number): 'unknown' | 'known' | 'publishing' {
    const entry = this.entries.get(packetId)
    if (entry === undefined) return 'unknown'
    return entry.confirmed ? 'known' : 'publishing'
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

  /** The session had such a queue: `done` when all ids of it are known. */
  resume(done: () => void): void {
    this.whenComplete = done
    this.open(() => {
      if (this.missing === 0) this.complete()
    })
  }

  add(packetId: number): void {
    this.count++
    const known = this.entries.get(packetId)
    // Its message may have come back before the publish was noted.
    if (known === undefined) {
      this.entries.set(packetId, { confirmed: false, deliveryId: 0, released: false })
    }
  }

  confirm(packetId: number): void {
    const entry = this.entries.get(packetId)
    if (entry !== undefined) entry.confirmed = true
  }

  /** The publish was refused: the id is free. */
  forget(packetId: number): void {
    const entry = this.entries.get(packetId)
    if (entry === undefined) return
    if (entry.deliveryId !== 0) this.client.settle(this.shard, entry.deliveryId, Outcome.complete)
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
      if (entry.deliveryId !== 0) this.settle(packetId, entry)
    }
    return true
  }

  onDeliver(link: GatewayLink, at: number, deliveryId: number): void {
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
    let entry = this.entries.get(packetId)
    if (entry === undefined) {
      // From before the connection, or the publish that is just being noted.
      entry = { confirmed: this.missing > 0, deliveryId, released: false }
      this.entries.set(packetId, entry)
      if (this.missing > 0) this.count++
    }
    entry.deliveryId = deliveryId
    if (entry.released) this.settle(packetId, entry)
    if (this.missing > 0 && --this.missing === 0) this.complete()
  }

  onCancelled(): void {
    // Somebody has deleted the queue: what is left is in memory.
    this.queued = false
    this.failed = true
    this.close()
    for (const [packetId, { released }] of this.entries) if (released) this.finish(packetId)
    if (this.missing > 0) this.complete()
  }

  /** Nothing more can come for it. */
  close(): void {
    if (this.slot !== 0) this.client.port.consumers.remove(this.slot)
    this.slot = 0
  }

  private complete(): void {
    this.missing = 0
    const done = this.whenComplete
    this.whenComplete = undefined
    done?.()
  }

  private settle(packetId: number, entry: Entry): void {
    this.client.settle(this.shard, entry.deliveryId, Outcome.complete)
    this.settled.push(packetId)
    this.sync()
  }

  private sync(): void {
    if (this.syncing || this.settled.length === 0) return
    const batch = this.settled
    const { client } = this
    this.settled = []
    this.syncing = true
    client.afterSettles(() => {
      ask(client.port, this.shard, { op: 'sync', channel: client.channel }, () => {
        this.syncing = false
        for (const packetId of batch) this.finish(packetId)
        this.sync()
      })
    })
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
    const name = receivedQueue(client.clientId)
    this.opening = true
    const fail = (): void => {
      this.opening = false
      this.failed = true
      done()
    }
    declareQueue(client, name, true, 'classic', (declared) => {
      if (declared.error !== undefined) return fail()
      const there = declared['messages']
      this.missing = typeof there === 'number' ? there : 0
      ask(
        client.port,
        registryShard,
        {
          op: 'queueBind',
          connection: client.slot,
          queue: name,
          exchange: client.settings.exchange,
          routingKey: name,
          arguments: EMPTY_TABLE,
        },
        (bound) => {
          if (bound.error === undefined) this.consume(name, done, fail)
          else fail()
        },
      )
    })
  }

  private consume(queue: string, done: () => void, fail: () => void): void {
    const { client } = this
    const { port } = client
    this.shard = placeQueue(client.vhost, queue, port.shardCount)
    this.slot = port.consumers.add(this)
    const op = {
      op: 'consume',
      channel: client.channelSlot(),
      consumer: this.slot,
      queue,
      tag: 'received',
      noAck: false,
      exclusive: false,
      prefetch: 0,
      arguments: EMPTY_TABLE,
    } as const
    ask(port, this.shard, op, (reply) => {
      if (reply.error !== undefined) return fail()
      this.key = shortstrBytes(queue)
      this.queued = true
      this.opening = false
      this.onQueue(done)
    })
  }
}

const noKey = new Uint8Array(0)
