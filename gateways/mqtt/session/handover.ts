// Messages of QoS 2 of shared subscriptions. What was sent to a member is that member's, also while it
// is away [MQTT-4.8.2-4], and no other's when its session ends [MQTT-4.8.2-5]. So a session that
// outlives its connection takes such a message over before it is sent: from the queue of the shared
// subscription into a queue of its own on the same shard, in one commit of the log.

import type { PeerError } from '../../../shared/bus/control.ts'
import { Outcome } from '../../../shared/bus/wire.ts'
import { givenQueues } from '../mapping/topic.ts'
import type { Client } from './client.ts'
import { ask, declareQueue } from './ops.ts'

/** What consumes the queues. */
export interface HandoverOwner {
  consumeGiven(queue: string, shard: number, done: (ok: boolean) => void): void
  /** The session has such a queue on this shard from now on; `done` when that is noted. */
  onGiven(shard: number, done: () => void): void
}

interface Delivery {
  readonly shard: number
  readonly deliveryId: number
}

/** Messages that a member takes over and has not completed, at most. */
const openMax = 20
const noQueues: readonly string[] = []

export class Handover {
  private readonly client: Client
  private readonly owner: HandoverOwner
  /** By shard; empty before the first is needed. */
  private queues: readonly string[]
  /** Shards whose queue is declared and consumed. */
  private readonly opened: number[]
  /** Not taken over yet. */
  private readonly waiting: Delivery[]
  private open: number

  constructor(client: Client, owner: HandoverOwner) {
    this.client = client
    this.owner = owner
    this.queues = noQueues
    this.opened = []
    this.waiting = []
    this.open = 0
  }

  /** Makes ready for a shared subscription whose queue is on `shard`. */
  prepare(shard: number, done: (error: PeerError | undefined) => void): void {
    const { client } = this
    if (this.opened.includes(shard)) return done(undefined)
    if (this.queues.length === 0) {
      this.queues = givenQueues(client.vhost, client.clientId, client.port.shardCount)
    }
    const queue = this.queues[shard] as string
    declareQueue(client, queue, true, 'classic', ({ error }) => {
      if (error !== undefined) return done(error)
      this.opened.push(shard)
      this.owner.onGiven(shard, () => {
        this.owner.consumeGiven(queue, shard, () => done(undefined))
      })
    })
  }

  /** Takes a delivery over as soon as the client has completed enough others. */
  take(shard: number, deliveryId: number): void {
    this.waiting.push({ shard, deliveryId })
    this.goOn()
  }

  /** The client has completed one. */
  onCompleted(): void {
    this.open = Math.max(0, this.open - 1)
    this.goOn()
  }

  private goOn(): void {
    while (this.open < openMax) {
      const next = this.waiting.shift()
      if (next === undefined) return
      this.open++
      this.transfer(next)
    }
  }

  private transfer({ shard, deliveryId }: Delivery): void {
    const { client } = this
    const queue = this.queues[shard] as string
    const op = { op: 'transfer', channel: client.channel, deliveryId, queue } as const
    ask(client.port, shard, op, (reply) => {
      if (!client.live || reply['moved'] === true) return
      if (reply.error === undefined) return this.transfer({ shard, deliveryId })
      this.onCompleted()
      client.settle(shard, deliveryId, Outcome.requeue)
    })
  }
}
