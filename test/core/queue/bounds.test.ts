// Random programs on one queue with times, limits and priorities, against a plain model.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MemoryLog } from '../../../core/log/log.ts'
import { MessageTable } from '../../../core/message/message-table.ts'
import { ClassicQueue } from '../../../core/queue/classic-queue.ts'
import type { ConsumerChannel } from '../../../core/queue/consumer.ts'
import { Consumer } from '../../../core/queue/consumer.ts'
import type { Holder } from '../../../core/queue/holder.ts'
import { Unacked } from '../../../core/queue/unacked.ts'
import { ShardClock } from '../../../core/time/clock.ts'
import { TimerWheel } from '../../../core/time/timer-wheel.ts'
import type { QueueSettings } from '../../../core/topology/queue-settings.ts'
import { plainSettings } from '../../../core/topology/queue-settings.ts'
import { Arena, createArena } from '../../../shared/bus/arena.ts'
import { createDoorbell, Doorbell } from '../../../shared/bus/doorbell.ts'
import { Lane } from '../../../shared/bus/lane.ts'
import { createRing, RingReader, RingWriter } from '../../../shared/bus/ring.ts'
import { SlabReclaimer } from '../../../shared/bus/slab-reclaimer.ts'
import { EntryFlag, Outcome, priorityShift, Record } from '../../../shared/bus/wire.ts'
import { encodeProperties } from '../../../shared/message/properties.ts'
import type { Died } from '../../support/bounds-model.ts'
import { BoundsModel } from '../../support/bounds-model.ts'

const start = 1000

/** One queue, driven by hand; every record that leaves it is read. */
class Bench {
  readonly queue: ClassicQueue
  readonly messages: MessageTable
  readonly clock = new ShardClock()
  readonly timers = new TimerWheel()
  deaths: Died[] = []
  /** Holder and delivery id of what is not settled, in the order of the model. */
  readonly open: { readonly holder: Holder; readonly id: number }[] = []
  consumer: Consumer | undefined
  private readonly arena: Arena
  private readonly reader: RingReader
  private readonly lane: Lane
  private readonly channel: ConsumerChannel & { readonly unacked: Unacked }
  private readonly getter: Holder
  private readonly numbers = new Map<number, number>()
  private woken = false
  private at = 0

  constructor(settings: QueueSettings) {
    this.arena = new Arena(createArena(1 << 20, 1 << 20))
    const memory = createRing(1 << 16)
    this.messages = new MessageTable(this.arena, new SlabReclaimer(this.arena))
    this.reader = new RingReader(memory)
    this.lane = new Lane(new RingWriter(memory), new Doorbell(createDoorbell()))
    const lastReference = new Float64Array(this.arena.slabCount)
    this.channel = {
      id: 1,
      outlet: { lane: this.lane, lastReference, stalled: [] },
      window: { bytes: 1 << 30, stalled: [] },
      unacked: new Unacked(),
      tokenMode: false,
      tokens: 0,
      starved: [],
    }
    this.clock.set(start, 0)
    this.timers.advance(start, 1)
    this.queue = new ClassicQueue(1, true, settings, {
      messages: this.messages,
      log: new MemoryLog(),
      queueMemoryBudget: Number.MAX_SAFE_INTEGER,
      clock: this.clock,
      timers: this.timers,
      deaths: {
        add: (queue, row, position, reason) => {
          const number = this.numbers.get(this.messages.at[row] as number) ?? -1
          this.deaths.push({ number, reason: reason as Died['reason'] })
          queue.buried(row, position)
        },
      },
      unused: () => {},
      wake: () => {
        this.woken = true
      },
      want: () => {},
    })
    this.getter = { queue: this.queue, slot: 1, unacked: 0, ended: false }
  }

  publish(number: number, size: number, priority: number, ttl: number | undefined): void {
    const props = encodeProperties(ttl === undefined ? {} : { expiration: String(ttl) })
    const at = this.at
    this.arena.slab(0).set(props, at + 2)
    this.at += 2 + props.length
    this.numbers.set(at, number)
    const flags =
      EntryFlag.persistent |
      (priority << priorityShift) |
      (ttl === undefined ? 0 : EntryFlag.expiration)
    this.queue.accept(Int32Array.of(0, at, 2, 0, props.length, size, 0), 0, flags, -1)
  }

  consume(prefetch: number): void {
    const options = { tag: 'c', noAck: false, exclusive: false, prefetch, priority: 0 }
    this.consumer = new Consumer(1, this.channel, this.queue, options)
    this.consumer.slot = 2
    this.queue.addConsumer(this.consumer)
  }

  /** basic.get: whether there was a message. */
  get(): boolean {
    return this.queue.get(this.channel, this.getter, 1, false) === 'sent'
  }

  settle(which: number, outcome: number): boolean {
    const [{ holder, id }] = this.open.splice(which, 1) as [{ holder: Holder; id: number }]
    const { unacked } = this.channel
    const slot = unacked.slotOf(id)
    const [row, position] = [unacked.rows[slot] as number, unacked.positions[slot] as number]
    unacked.clear(slot)
    this.queue.settled(holder, row, position, outcome)
    if (holder instanceof Consumer) this.queue.afterSettle(holder)
    return holder instanceof Consumer
  }

  pass(ms: number): void {
    this.clock.set(this.clock.now + ms, 0)
    while (this.timers.deadline() <= this.clock.now) this.timers.advance(this.clock.now, 7)
    this.timers.advance(this.clock.now, 7)
  }

  /** Serves what was woken; the numbers of what was delivered. */
  read(): number[] {
    if (this.woken) this.queue.pump()
    this.woken = false
    this.lane.flush()
    this.reader.look()
    const { words } = this.reader
    const got: number[] = []
    for (let i = this.reader.next(); i >= 0; i = this.reader.next()) {
      const isGet = ((words[i] as number) & 255) === Record.got
      const holder = isGet ? this.getter : (this.consumer as Holder)
      this.open.push({ holder, id: words[i + 2] as number })
      got.push(this.numbers.get(words[i + 5] as number) ?? -1)
    }
    this.reader.release()
    return got
  }
}

const settingsOf = fc.record({
  messageTtlMs: fc.option(fc.integer({ min: 0, max: 60 }), { nil: undefined, freq: 2 }),
  lengthMax: fc.option(fc.integer({ min: 0, max: 12 }), { nil: undefined, freq: 2 }),
  bytesMax: fc.option(fc.integer({ min: 0, max: 60 }), { nil: undefined, freq: 2 }),
  overflow: fc.constantFrom(
    'drop-head' as const,
    'reject-publish' as const,
    'reject-publish-dlx' as const,
  ),
})

const step = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      op: fc.constant('publish' as const),
      size: fc.integer({ min: 0, max: 15 }),
      priority: fc.integer({ min: 0, max: 7 }),
      ttl: fc.option(fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 80 })), { nil: undefined }),
      count: fc.integer({ min: 1, max: 6 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ op: fc.constant('pass' as const), ms: fc.integer({ min: 0, max: 40 }) }),
  },
  { weight: 3, arbitrary: fc.record({ op: fc.constant('get' as const) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant('settle' as const),
      which: fc.nat(),
      outcome: fc.constantFrom('complete' as const, 'requeue' as const, 'discard' as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: fc.constant('consume' as const),
      prefetch: fc.integer({ min: 0, max: 4 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant('configure' as const), settings: settingsOf }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('purge' as const) }) },
)

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

const dead = { deadLetterExchange: 'dlx' }

function sorted(deaths: readonly Died[]): readonly Died[] {
  return [...deaths].sort((a, b) => a.number - b.number)
}

function run(settings: QueueSettings, program: readonly Step[]): void {
  const bench = new Bench(settings)
  const model = new BoundsModel(start, settings)
  let last = 0
  for (const step of program) {
    let straight: number[] = []
    if (step.op === 'publish') {
      for (let i = 0; i < step.count; i++) {
        const number = ++last
        bench.publish(number, step.size, step.priority, step.ttl)
        if (model.publish(number, step.size, step.priority, step.ttl)) straight.push(number)
        expect(bench.queue.refused).toBe(model.refused)
      }
    } else if (step.op === 'pass') {
      let before: number
      let ms = step.ms
      // What came back is looked through a little later than it expires.
      do {
        before = model.deaths.length
        bench.pass(ms)
        model.pass(ms)
        ms = 10
      } while (model.deaths.length > before)
    } else if (step.op === 'get') {
      const got = bench.get()
      const number = model.get()
      expect(got).toBe(number !== undefined)
      straight = number === undefined ? [] : [number]
    } else if (step.op === 'settle') {
      if (bench.open.length === 0) continue
      const which = step.which % bench.open.length
      model.settle(which, step.outcome, bench.settle(which, Outcome[step.outcome]))
    } else if (step.op === 'consume') {
      if (bench.consumer !== undefined) continue
      bench.consume(step.prefetch)
      model.prefetch = step.prefetch
    } else if (step.op === 'configure') {
      const changed = { ...settings, ...step.settings }
      bench.queue.configure(changed)
      model.configure(changed)
    } else expect(bench.queue.purge()).toBe(model.purge())
    const got = bench.read()
    expect(got).toEqual([...straight, ...model.pump()])
    expect(sorted(bench.deaths)).toEqual(sorted(model.deaths))
    bench.deaths = []
    model.deaths = []
    expect(bench.queue.readyCount()).toBe(model.ready.length)
    expect(bench.queue.unackedCount).toBe(model.unacked.length)
  }
  bench.queue.destroy()
  while (bench.open.length > 0) bench.settle(0, Outcome.complete)
  expect([bench.messages.count, bench.timers.count]).toEqual([0, 0])
}

test('a queue with times, limits and priorities does what the model does', () => {
  fc.assert(
    fc.property(
      settingsOf,
      fc.option(fc.integer({ min: 0, max: 6 }), { nil: undefined }),
      fc.array(step, { maxLength: 60 }),
      (some, priorityMax, program) =>
        run({ ...plainSettings, ...dead, ...some, priorityMax }, program),
    ),
    { numRuns: Number(process.env['BOUNDS_RUNS'] ?? 2000) },
  )
})
