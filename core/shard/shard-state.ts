// What one shard owns, and the small verbs that its parts share. No IO, no clock.

import type { ArenaMemory } from '../../shared/bus/arena.ts'
import { Arena } from '../../shared/bus/arena.ts'
import type { ControlReply, PeerError, ShardEvent } from '../../shared/bus/control.ts'
import { pack } from '../../shared/bus/control.ts'
import { SlabReclaimer } from '../../shared/bus/slab-reclaimer.ts'
import { SlabWriter } from '../../shared/bus/slab-writer.ts'
import { SlotTable } from '../../shared/bus/slot-table.ts'
import { Record } from '../../shared/bus/wire.ts'
import type { FieldTable } from '../../shared/message/value.ts'
import { UnreadIds } from '../dedup/id-journal.ts'
import { QueueIds } from '../dedup/queue-ids.ts'
import type { Log } from '../log/log.ts'
import { EntryCopier } from '../message/entry-copier.ts'
import { copyWithHeaders } from '../message/header-copy.ts'
import { MessageTable } from '../message/message-table.ts'
import { ClassicQueue } from '../queue/classic-queue.ts'
import type { ConsumerChannel } from '../queue/consumer.ts'
import type { Holder } from '../queue/holder.ts'
import type { Queue } from '../queue/queue.ts'
import type { IdentifiedQueue, QueueContext } from '../queue/queue-context.ts'
import { Router } from '../routing/router.ts'
import type { StreamContext } from '../stream/stream-queue.ts'
import { StreamQueue } from '../stream/stream-queue.ts'
import { ShardClock } from '../time/clock.ts'
import { TimerWheel } from '../time/timer-wheel.ts'
import type { DeduplicationSettings } from '../topology/queue-settings.ts'
import type { QueueRecord } from '../topology/records.ts'
import { Topology } from '../topology/topology.ts'
import type { ShardChannel } from './channel.ts'
import { DeadLetters } from './dead-letters.ts'
import { Deduplication } from './deduplication.ts'
import { DelayedReleases } from './delayed-releases.ts'
import { DeliveryTimeouts } from './delivery-timeouts.ts'
import type { GatewayEnd } from './gateway-end.ts'
import type { PeerLink } from './peer-link.ts'
import { createRateMemory, PublishRates } from './publish-rates.ts'
import type { Redrive } from './redrive.ts'
import type { ShardStorage } from './storage.ts'
import { StreamClients } from './stream-clients.ts'
import { Usage } from './usage.ts'

/** A line of the log: what an operator should know. */
export type ShardReport = (level: 'info' | 'warn' | 'error', text: string, fields: object) => void

/** Tags the slabs that a shard writes itself; gateway links count up from 1. */
const ownerBase = 1 << 30

export class ShardState implements QueueContext, StreamContext {
  readonly shard: number
  readonly shards: number
  readonly arena: Arena
  readonly reclaimer: SlabReclaimer
  readonly slabs: SlabWriter
  /** See ShardMemory. */
  readonly readSlabs: SlabWriter
  readonly messages: MessageTable
  readonly log: Log
  readonly queueMemoryBudget: number
  readonly clock: ShardClock
  readonly timers: TimerWheel
  readonly copier: EntryCopier
  readonly deaths: DeadLetters
  /** What exchanges hold back. */
  readonly delays: DelayedReleases
  /** What deduplicating exchanges know. */
  readonly gates: Deduplication
  readonly timeouts: DeliveryTimeouts
  /** The last redrive of each queue, by its id. */
  readonly redrives: Map<number, Redrive>
  readonly topology: Topology
  readonly router: Router
  /** The next random number, 0 to 2^32 - 1. */
  readonly random: () => number
  /** Tells the operator. */
  readonly report: ShardReport
  readonly queues: Map<number, Queue>
  readonly holders: SlotTable<Holder>
  /** The `basic.get` holder of each queue that has been got from. */
  readonly getters: Map<Queue, Holder>
  readonly ends: GatewayEnd[]
  /** By shard; undefined at its own index. */
  readonly peers: (PeerLink | undefined)[]
  /** Queues to pump, channels whose confirms may have advanced, channels that got tokens: this turn's. */
  readonly woken: Queue[]
  dirtyChannels: ShardChannel[]
  readonly granted: ShardChannel[]
  /** Streams whose followers are to be told how far they are. */
  readonly advancedStreams: Set<StreamQueue>
  readonly streamClients: StreamClients
  /** Queues to delete, since nobody uses them. */
  readonly unusedQueues: Queue[]
  /** Messages were put back: time has passed that no queue should be charged for. */
  restored: boolean
  readonly unreadIds: UnreadIds
  /** Of all connections: every one is open on every shard. */
  readonly usage: Usage
  readonly rates: PublishRates
  private readonly scopes: Map<string, number>

  constructor(
    shard: number,
    shards: number,
    arena: ArenaMemory,
    storage: ShardStorage,
    random: () => number,
    report: ShardReport,
    deliveryTimeoutMs = 0,
    rates: SharedArrayBuffer = createRateMemory(),
  ) {
    this.shard = shard
    this.shards = shards
    this.arena = new Arena(arena)
    this.reclaimer = new SlabReclaimer(this.arena)
    const seal = (slab: number): void => this.reclaimer.seal(slab)
    this.slabs = new SlabWriter(this.arena, ownerBase + shard, 0, seal)
    this.readSlabs = new SlabWriter(this.arena, ownerBase + shard, 0, seal)
    this.messages = new MessageTable(this.arena, this.reclaimer)
    this.log = storage.createLog(this)
    this.queueMemoryBudget = storage.queueMemoryBudget
    this.clock = new ShardClock()
    this.timers = new TimerWheel()
    this.copier = new EntryCopier(this.arena, this.slabs)
    this.deaths = new DeadLetters(this)
    this.redrives = new Map()
    this.delays = new DelayedReleases(this)
    this.gates = new Deduplication(this)
    this.timeouts = new DeliveryTimeouts(this, deliveryTimeoutMs)
    this.topology = new Topology()
    this.router = new Router(random)
    this.random = random
    this.report = report
    this.queues = new Map()
    this.holders = new SlotTable()
    this.getters = new Map()
    this.ends = []
    this.peers = new Array<PeerLink | undefined>(shards).fill(undefined)
    this.woken = []
    this.dirtyChannels = []
    this.granted = []
    this.advancedStreams = new Set()
    this.streamClients = new StreamClients(this)
    this.unusedQueues = []
    this.restored = false
    this.unreadIds = new UnreadIds()
    this.usage = new Usage()
    this.rates = new PublishRates(rates)
    this.scopes = new Map()
  }

  /** A small number for (user, vhost), the same for the same pair. */
  scopeOf(user: string, vhost: number): number {
    const key = `${vhost} ${user}`
    let scope = this.scopes.get(key)
    if (scope === undefined) {
      scope = this.scopes.size + 1
      this.scopes.set(key, scope)
    }
    return scope
  }

  /** QueueContext. */
  readonly wake = (queue: Queue): void => {
    if (queue.woken) return
    queue.woken = true
    this.woken.push(queue)
  }

  /** QueueContext. */
  readonly unused = (queue: Queue): void => {
    this.unusedQueues.push(queue)
  }

  /** StreamContext. */
  readonly advanced = (stream: StreamQueue): void => {
    if (stream.followers.size > 0) this.advancedStreams.add(stream)
  }

  /** QueueContext. */
  readonly want = (asking: ConsumerChannel): void => {
    const channel = asking as ShardChannel
    if (channel.wanting) return
    channel.wanting = true
    channel.outlet.lane.short(Record.want, channel.id, 0)
  }

  /** QueueContext. */
  readonly copyWithHeaders = (row: number, headers: FieldTable): number =>
    copyWithHeaders(this, row, headers)

  /** QueueContext. */
  readonly newIds = (queue: IdentifiedQueue, settings: DeduplicationSettings): QueueIds =>
    new QueueIds(queue.id, queue.durable, settings, this, (position) => queue.isLogged(position))

  /** The channel's confirms may have advanced. */
  readonly confirmed = (channel: ShardChannel): void => {
    if (channel.confirmsDirty) return
    channel.confirmsDirty = true
    this.dirtyChannels.push(channel)
  }

  readonly event = (end: GatewayEnd, event: ShardEvent): void => {
    if (!end.lost) end.lane.control(Record.control, 0, pack(event))
  }

  /** Answers a request of a gateway; request 0 was a notice. */
  reply(end: GatewayEnd, request: number, reply: ControlReply): void {
    if (request !== 0 && !end.lost) end.lane.control(Record.reply, request, pack(reply))
  }

  refuse(end: GatewayEnd, request: number, error: PeerError): void {
    this.reply(end, request, { error })
  }

  /** Makes the engine of a queue that this shard owns. */
  createQueue(record: QueueRecord): Queue {
    const queue =
      record.type === 'stream'
        ? new StreamQueue(record.id, record.name, record.settings, this)
        : new ClassicQueue(record.id, record.durable, record.settings, this)
    this.queues.set(record.id, queue)
    return queue
  }
}
