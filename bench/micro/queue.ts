/** A message through a classic queue: accepted, put on the ring to its consumer, settled. */

import { MemoryLog } from '../../core/log/log.ts'
import { MessageTable } from '../../core/message/message-table.ts'
import { ClassicQueue } from '../../core/queue/classic-queue.ts'
import type { ConsumerChannel } from '../../core/queue/consumer.ts'
import { Consumer } from '../../core/queue/consumer.ts'
import { Unacked } from '../../core/queue/unacked.ts'
import { ShardClock } from '../../core/time/clock.ts'
import { TimerWheel } from '../../core/time/timer-wheel.ts'
import type { QueueSettings } from '../../core/topology/queue-settings.ts'
import { plainSettings } from '../../core/topology/queue-settings.ts'
import { Arena, createArena, slabBytes } from '../../shared/bus/arena.ts'
import { createDoorbell, Doorbell } from '../../shared/bus/doorbell.ts'
import { Lane } from '../../shared/bus/lane.ts'
import { createRing, RingReader, RingWriter } from '../../shared/bus/ring.ts'
import { SlabReclaimer } from '../../shared/bus/slab-reclaimer.ts'
import { EntryFlag, Outcome, priorityShift } from '../../shared/bus/wire.ts'
import type { Micro } from './harness.ts'

const RING_WORDS = 1 << 16
const SLABS = 64
const BATCH = 500
/** Entry words of a 16 B message: slab, offset, names, extra keys, properties, body, extents. */
const entry: Int32Array = Int32Array.of(3, 4096, 20, 0, 10, 16, 0)
/** Delivery mode and an expiration of six digits. */
const properties: Uint8Array = Uint8Array.of(0x11, 0, 2, 6, ...Buffer.from('600000'))

export function queueMicros(): readonly Micro[] {
  return [
    noAckDelivery(),
    backlog(),
    ...features.flatMap((feature) => [acknowledged(feature), queued(feature)]),
  ]
}

/** What messages of a queue may have that plain ones have not. */
type Feature = {
  readonly name: string
  readonly settings: Partial<QueueSettings>
  readonly flags?: number
  readonly priorities?: number
}

const features: readonly Feature[] = [
  { name: '', settings: {} },
  { name: ', x-message-ttl', settings: { messageTtlMs: 600_000 } },
  { name: ', expiration', settings: {}, flags: EntryFlag.expiration },
  { name: ', limits', settings: { lengthMax: 1e8, bytesMax: 1e10 } },
  { name: ', priorities', settings: { priorityMax: 10 }, priorities: 10 },
]

type Bench = {
  readonly queue: ClassicQueue
  readonly reader: RingReader
  readonly lane: Lane
  readonly channel: ConsumerChannel
  readonly consumer: Consumer
}

function noAckDelivery(): Micro {
  const bench = makeBench(true, 0)
  bench.queue.addConsumer(bench.consumer)
  const batch = (): void => {
    for (let i = 0; i < BATCH; i++) bench.queue.accept(entry, 0, 0, -1)
    expectDeliveries(bench, BATCH)
  }
  return { name: 'queue: straight to a consumer without acks', size: BATCH, batch }
}

function backlog(): Micro {
  const bench = makeBench(true, 0)
  const batch = (): void => {
    for (let i = 0; i < BATCH; i++) bench.queue.accept(entry, 0, EntryFlag.persistent, -1)
    bench.queue.addConsumer(bench.consumer)
    bench.queue.pump()
    expectDeliveries(bench, BATCH)
    bench.queue.consumers.remove(bench.consumer)
  }
  return { name: 'queue: kept, then delivered', size: BATCH, batch }
}

function acknowledged(feature: Feature): Micro {
  const bench = makeBench(false, 1000, feature.settings)
  bench.queue.addConsumer(bench.consumer)
  const batch = (): void => {
    publishAll(bench, feature)
    expectDeliveries(bench, BATCH)
    settleAll(bench)
  }
  return { name: `queue: to a consumer with acks, settled${feature.name}`, size: BATCH, batch }
}

/** Through the queue: the consumer takes a fifth of what comes at a time. */
function queued(feature: Feature): Micro {
  const bench = makeBench(false, BATCH / 5, feature.settings)
  bench.queue.addConsumer(bench.consumer)
  const batch = (): void => {
    publishAll(bench, feature)
    for (let i = 0; i < 5; i++) {
      expectDeliveries(bench, BATCH / 5)
      settleAll(bench)
      bench.queue.pump()
    }
  }
  return { name: `queue: kept, delivered, settled${feature.name}`, size: BATCH, batch }
}

function publishAll({ queue }: Bench, { flags = 0, priorities = 1 }: Feature): void {
  for (let i = 0; i < BATCH; i++) {
    const priority = (i % priorities) << priorityShift
    queue.accept(entry, 0, EntryFlag.persistent | flags | priority, -1)
  }
}

function settleAll({ queue, consumer, channel }: Bench): void {
  const { unacked } = channel
  for (let id = unacked.base; id !== unacked.next; id = (id + 1) | 0) {
    const slot = unacked.slotOf(id)
    const row = unacked.rows[slot] as number
    const position = unacked.positions[slot] as number
    unacked.clear(slot)
    queue.settled(consumer, row, position, Outcome.complete)
    queue.afterSettle(consumer)
  }
}

function makeBench(noAck: boolean, prefetch: number, settings: Partial<QueueSettings> = {}): Bench {
  const arena = new Arena(createArena(SLABS * slabBytes))
  arena.slab(entry[0] as number).set(properties, (entry[1] as number) + (entry[2] as number))
  const reclaimer = new SlabReclaimer(arena)
  const memory = createRing(RING_WORDS)
  const lane = new Lane(new RingWriter(memory), new Doorbell(createDoorbell()))
  const lastReference = reclaimer.watch(1, lane.ring, new Int32Array(arena.slabCount))
  const channel: ConsumerChannel = {
    id: 1,
    outlet: { lane, lastReference, stalled: [] },
    window: { bytes: 0, stalled: [] },
    unacked: new Unacked(),
    tokenMode: false,
    tokens: 0,
    starved: [],
  }
  const queue = new ClassicQueue(
    1,
    true,
    { ...plainSettings, ...settings },
    {
      messages: new MessageTable(arena, reclaimer),
      log: new MemoryLog(),
      queueMemoryBudget: Number.MAX_SAFE_INTEGER,
      clock: startedClock(),
      timers: new TimerWheel(),
      deaths: { add: (queue, row, position) => queue.buried(row, position) },
      unused: () => {},
      wake: () => {},
      want: () => {},
    },
  )
  const options = { tag: 'c', noAck, exclusive: false, prefetch, priority: 0 }
  const consumer = new Consumer(1, channel, queue, options)
  channel.window.bytes = WINDOW
  return { queue, reader: new RingReader(memory), lane, channel, consumer }
}

/** More than a batch costs; given back after each, as a socket that keeps up would. */
const WINDOW = 1024 * 1024

function expectDeliveries(bench: Bench, count: number): void {
  bench.lane.flush()
  bench.reader.look()
  let deliveries = 0
  while (bench.reader.next() >= 0) deliveries++
  bench.reader.release()
  bench.channel.window.bytes = WINDOW
  if (deliveries !== count) throw new Error(`${deliveries} deliveries out of ${count}`)
}

function startedClock(): ShardClock {
  const clock = new ShardClock()
  clock.set(1000, 1_700_000_000_000)
  return clock
}
