// One queue with real rings to its consumers, against a plain list of messages.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MemoryLog } from '../../../core/log/log.ts'
import { MessageTable } from '../../../core/message/message-table.ts'
import { ClassicQueue } from '../../../core/queue/classic-queue.ts'
import type { ConsumerChannel } from '../../../core/queue/consumer.ts'
import { Block, Consumer } from '../../../core/queue/consumer.ts'
import type { Holder } from '../../../core/queue/holder.ts'
import { Unacked } from '../../../core/queue/unacked.ts'
import { ShardClock } from '../../../core/time/clock.ts'
import { TimerWheel } from '../../../core/time/timer-wheel.ts'
import { plainSettings } from '../../../core/topology/queue-settings.ts'
import { Arena, createArena } from '../../../shared/bus/arena.ts'
import { createDoorbell, Doorbell } from '../../../shared/bus/doorbell.ts'
import { Lane } from '../../../shared/bus/lane.ts'
import { createRing, RingReader, RingWriter } from '../../../shared/bus/ring.ts'
import { SlabReclaimer } from '../../../shared/bus/slab-reclaimer.ts'
import { EntryFlag, LinkFlag, Outcome, Record } from '../../../shared/bus/wire.ts'

/** A delivery as the gateway reads it; `message` is the number it was published with. */
interface Seen {
  readonly type: number
  readonly target: number
  readonly id: number
  readonly flags: number
  readonly message: number
  readonly left: number
  /** The record whole. */
  readonly words: readonly number[]
}

class Bench {
  readonly queue: ClassicQueue
  readonly messages: MessageTable
  readonly channel: ConsumerChannel & { readonly unacked: Unacked }
  readonly log: MemoryLog
  wants = 0
  private readonly reader: RingReader
  private readonly lane: Lane
  private woken = false
  private slot = 0

  constructor(options: { durable?: boolean; single?: boolean; ringWords?: number } = {}) {
    const arena = new Arena(createArena(0, 16 * 1024))
    const memory = createRing(options.ringWords ?? 1 << 16)
    this.messages = new MessageTable(arena, new SlabReclaimer(arena))
    this.log = new MemoryLog()
    this.reader = new RingReader(memory)
    this.lane = new Lane(new RingWriter(memory), new Doorbell(createDoorbell()))
    const lastReference = new Float64Array(arena.slabCount)
    this.channel = {
      id: 1,
      outlet: { lane: this.lane, lastReference, stalled: [] },
      window: { bytes: 1 << 30, stalled: [] },
      unacked: new Unacked(),
      tokenMode: false,
      tokens: 0,
      starved: [],
    }
    const settings = { ...plainSettings, singleActiveConsumer: options.single ?? false }
    this.queue = new ClassicQueue(1, options.durable ?? false, settings, {
      messages: this.messages,
      log: this.log,
      queueMemoryBudget: Number.MAX_SAFE_INTEGER,
      clock: new ShardClock(),
      timers: new TimerWheel(),
      deaths: { add: (queue, row, position) => queue.buried(row, position) },
      unused: () => {},
      wake: () => {
        this.woken = true
      },
      want: () => this.wants++,
    })
  }

  consumer(
    options: { noAck?: boolean; prefetch?: number; priority?: number; credited?: boolean } = {},
  ): Consumer {
    const { noAck = false, prefetch = 0, priority = 0, credited = false } = options
    const made = new Consumer(++this.slot, this.channel, this.queue, {
      tag: `${this.slot}`,
      noAck,
      exclusive: false,
      prefetch,
      priority,
      credited,
    })
    made.slot = this.slot
    this.queue.addConsumer(made)
    return made
  }

  /** Publishes message `number`; its offset in the slab tells it apart. Returns its row. */
  publish(number: number, flags = 0): number {
    return this.queue.accept(Int32Array.from([0, number, 2, 0, 2, 10, 0]), 0, flags, -1)
  }

  /** Serves what was woken, and reads what came. */
  read(): Seen[] {
    if (this.woken) this.queue.pump()
    this.woken = false
    this.lane.flush()
    this.reader.look()
    const seen: Seen[] = []
    const { words } = this.reader
    for (let i = this.reader.next(); i >= 0; i = this.reader.next()) {
      const at = (k: number): number => words[i + k] as number
      const left = at((at(0) >>> 8) - 1)
      const type = at(0) & 255
      const whole = [...words.subarray(i, i + (at(0) >>> 8))]
      seen.push({
        type,
        target: at(1),
        id: at(2),
        flags: at(3),
        message: at(5),
        left,
        words: whole,
      })
    }
    this.reader.release()
    return seen
  }

  /** As the shard settles one delivery (core/shard/settlement.ts). */
  settle(holder: Holder, id: number, outcome: number): void {
    const { unacked } = this.channel
    const slot = unacked.slotOf(id)
    const [row, position] = [unacked.rows[slot] as number, unacked.positions[slot] as number]
    unacked.clear(slot)
    this.queue.settled(holder, row, position, outcome)
    if (holder instanceof Consumer) this.queue.afterSettle(holder)
  }
}

function numbers(seen: readonly Seen[]): number[] {
  return seen.map(({ message }) => message)
}

describe('a classic queue', () => {
  test('keeps nothing of a message that goes straight to a consumer without acknowledgement', () => {
    const bench = new Bench()
    bench.consumer({ noAck: true })
    expect(bench.publish(7)).toBe(-1)
    expect(bench.messages.count).toBe(0)
    const [seen] = bench.read()
    expect(seen).toMatchObject({
      type: Record.deliver,
      id: 0,
      flags: EntryFlag.settled,
      message: 7,
    })
  })

  test('delivers in turn and stops at each prefetch', () => {
    const bench = new Bench()
    const [a, b] = [bench.consumer({ prefetch: 1 }), bench.consumer({ prefetch: 2 })]
    for (let i = 0; i < 5; i++) bench.publish(i)
    const seen = bench.read()
    expect(seen.map(({ target }) => target)).toEqual([a.id, b.id, b.id])
    expect(bench.queue.readyCount()).toBe(2)
    expect(bench.queue.unackedCount).toBe(3)
    bench.settle(a, 1, Outcome.complete)
    expect(numbers(bench.read())).toEqual([3])
    expect(a.unacked).toBe(1)
  })

  test('gives a requeued message again in its place, redelivered', () => {
    const bench = new Bench()
    const a = bench.consumer({ prefetch: 2 })
    for (let i = 0; i < 4; i++) bench.publish(i)
    bench.read()
    bench.settle(a, 2, Outcome.requeue)
    bench.settle(a, 1, Outcome.requeue)
    const seen = bench.read()
    expect(numbers(seen)).toEqual([0, 1])
    expect(seen.every(({ flags }) => flags === EntryFlag.redelivered)).toBe(true)
  })

  test('serves one active consumer, the next when that goes', () => {
    const bench = new Bench({ single: true })
    const [a, b] = [bench.consumer(), bench.consumer()]
    bench.publish(0)
    bench.queue.removeConsumer(a)
    bench.publish(1)
    expect(bench.read().map(({ target }) => target)).toEqual([a.id, b.id])
  })

  test('holds a consumer without window, and serves others meanwhile', () => {
    const bench = new Bench()
    const a = bench.consumer()
    bench.channel.window.bytes = 1
    bench.publish(0)
    bench.publish(1)
    expect(numbers(bench.read())).toEqual([0])
    expect(a.blocked).toBe(Block.window)
    expect(bench.channel.window.stalled).toEqual([a])
    bench.channel.window.bytes = 1
    bench.queue.unblock(a, Block.window)
    expect(numbers(bench.read())).toEqual([1])
  })

  test('asks for a token before each delivery that needs one', () => {
    const bench = new Bench()
    const a = bench.consumer()
    bench.channel.tokenMode = true
    bench.publish(0)
    bench.publish(1)
    expect(bench.read()).toEqual([])
    expect(bench.wants).toBe(1)
    bench.channel.tokens = 1
    bench.queue.unblock(a, Block.token)
    expect(numbers(bench.read())).toEqual([0])
    expect([bench.channel.tokens, bench.wants]).toEqual([0, 2])
  })

  test('stops at a full ring without losing its place', () => {
    const bench = new Bench({ ringWords: 4096 })
    const a = bench.consumer()
    for (let i = 0; i < 1000; i++) bench.publish(i)
    const got: number[] = []
    while (got.length < 1000) {
      const seen = numbers(bench.read())
      expect(seen.length).toBeGreaterThan(0)
      got.push(...seen)
      bench.queue.unblock(a, Block.ring)
    }
    expect(got).toEqual(Array.from({ length: 1000 }, (_, i) => i))
  })

  test('answers get with the first message and how many are left', () => {
    const bench = new Bench()
    const getter: Holder = { queue: bench.queue, slot: 9, unacked: 0, ended: false }
    expect(bench.queue.get(bench.channel, getter, 1, true)).toBe('empty')
    for (let i = 0; i < 3; i++) bench.publish(i)
    expect(bench.queue.get(bench.channel, getter, 5, false)).toBe('sent')
    expect(bench.queue.get(bench.channel, getter, 6, true)).toBe('sent')
    const [first, second] = bench.read()
    expect(first).toMatchObject({
      type: Record.got,
      target: 5,
      id: 1,
      flags: 0,
      message: 0,
      left: 2,
    })
    expect(second).toMatchObject({
      target: 6,
      id: 0,
      flags: EntryFlag.settled,
      message: 1,
      left: 1,
    })
    expect([getter.unacked, bench.messages.count]).toEqual([1, 2])
    bench.settle(getter, 1, Outcome.requeue)
    expect(bench.queue.readyCount()).toBe(2)
  })

  test('logs persistent messages of a durable queue, and nothing else', () => {
    const bench = new Bench({ durable: true })
    bench.publish(0)
    expect(bench.queue.logPosition).toBe(0)
    bench.publish(1, EntryFlag.persistent)
    expect(bench.queue.logPosition).toBe(1)
    bench.publish(2)
    expect(bench.queue.logPosition).toBe(0)
  })

  test('drops what is ready when purged, and what is settled later when destroyed', () => {
    const bench = new Bench()
    const a = bench.consumer({ prefetch: 2 })
    for (let i = 0; i < 5; i++) bench.publish(i)
    expect(bench.queue.purge()).toBe(3)
    expect(bench.messages.count).toBe(2)
    bench.publish(5)
    bench.queue.destroy()
    expect(bench.publish(6)).toBe(-1)
    expect(bench.messages.count).toBe(2)
    bench.settle(a, 1, Outcome.requeue)
    bench.settle(a, 2, Outcome.complete)
    expect(bench.messages.count).toBe(0)
  })

  test('does what a list does, whatever the order of things', () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.constant('publish' as const) },
      { weight: 4, arbitrary: fc.nat({ max: 999 }) },
      { weight: 1, arbitrary: fc.constant('purge' as const) },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), fc.nat({ max: 3 }), (steps, prefetch) => {
        const bench = new Bench()
        const holder = bench.consumer({ prefetch })
        let published = 0
        let ready: { number: number; again: boolean }[] = []
        const out = new Map<number, number>()
        for (const each of steps) {
          if (each === 'publish') {
            ready.push({ number: published, again: false })
            bench.publish(published++)
          } else if (each === 'purge') {
            expect(bench.queue.purge()).toBe(ready.length)
            ready = []
          } else if (out.size > 0) {
            const [id, number] = [...out][each % out.size] as [number, number]
            const outcome = each % 3 === 0 ? Outcome.requeue : Outcome.complete
            bench.settle(holder, id, outcome)
            out.delete(id)
            if (outcome === Outcome.requeue) ready.push({ number, again: true })
          }
          ready.sort((a, b) => a.number - b.number)
          const room = prefetch === 0 ? ready.length : prefetch - out.size
          const due = ready.splice(0, Math.max(0, room))
          const seen = bench.read()
          expect(seen.map(({ message, flags }) => [message, flags])).toEqual(
            due.map(({ number, again }) => [number, again ? EntryFlag.redelivered : 0]),
          )
          for (const { id, message } of seen) out.set(id, message)
          expect(bench.messages.count).toBe(ready.length + out.size)
        }
      }),
    )
  })
})

describe('a credited consumer', () => {
  /** How a consumer was told that it stands: delivery-count, credit, available, flags. */
  const states = (seen: readonly Seen[]): number[][] =>
    seen
      .filter(({ type }) => type === Record.linkState)
      .map(({ id, flags, words }) => [id, flags, ...words.slice(4)])

  test.each([true, false])('gets as many as it has credit for, settled: %s', (noAck) => {
    const bench = new Bench()
    const a = bench.consumer({ noAck, credited: true })
    for (let i = 0; i < 3; i++) bench.publish(i)
    expect(bench.read()).toEqual([])
    bench.queue.grantCredit(a, 0, 2, 0)
    expect(numbers(bench.read())).toEqual([0, 1])
    bench.queue.grantCredit(a, 2, 3, 0)
    expect(numbers(bench.read())).toEqual([2])
    bench.publish(3)
    bench.publish(4)
    bench.publish(5)
    expect(numbers(bench.read())).toEqual([3, 4])
    expect(bench.queue.readyCount()).toBe(1)
  })

  test('does not hold up the others while it has no credit', () => {
    const bench = new Bench()
    const a = bench.consumer({ credited: true, priority: 5 })
    const b = bench.consumer()
    bench.publish(0)
    bench.queue.grantCredit(a, 0, 1, 0)
    bench.publish(1)
    bench.publish(2)
    expect(bench.read().map(({ target }) => target)).toEqual([b.id, a.id, b.id])
  })

  test('that drains gets what there is, then uses up the rest and is told', () => {
    const bench = new Bench()
    const a = bench.consumer({ credited: true })
    bench.publish(0)
    bench.queue.grantCredit(a, 0, 5, LinkFlag.drain)
    const seen = bench.read()
    expect(numbers(seen.slice(0, 1))).toEqual([0])
    expect(states(seen)).toEqual([[5, 0, 0, LinkFlag.drain]])
    bench.publish(1)
    expect(bench.read()).toEqual([])
  })

  test('that drains while its socket is stuck is told when the messages are with it', () => {
    const bench = new Bench()
    const a = bench.consumer({ credited: true })
    bench.publish(0)
    bench.channel.window.bytes = 0
    bench.queue.grantCredit(a, 0, 5, LinkFlag.drain)
    expect(bench.read()).toEqual([])
    bench.channel.window.bytes = 1000
    bench.queue.unblock(a, Block.window)
    expect(states(bench.read())).toEqual([[5, 0, 0, LinkFlag.drain]])
  })

  test('that drains is told when the messages that it waited for went elsewhere', () => {
    const bench = new Bench()
    const a = bench.consumer({ credited: true })
    bench.publish(0)
    bench.channel.window.bytes = 0
    bench.queue.grantCredit(a, 0, 5, LinkFlag.drain)
    expect(bench.read()).toEqual([])
    bench.queue.purge()
    expect(states(bench.read())).toEqual([[5, 0, 0, LinkFlag.drain]])
  })

  test('that waits behind the active one of a queue drains at once', () => {
    const bench = new Bench({ single: true })
    bench.consumer({ credited: true })
    const b = bench.consumer({ credited: true })
    bench.publish(0)
    bench.queue.grantCredit(b, 0, 2, LinkFlag.drain)
    expect(states(bench.read())).toEqual([[2, 0, 1, LinkFlag.drain]])
  })

  test('hears how it stands when it asks', () => {
    const bench = new Bench()
    const a = bench.consumer({ credited: true })
    for (let i = 0; i < 3; i++) bench.publish(i)
    bench.queue.grantCredit(a, 0, 1, LinkFlag.echo)
    expect(states(bench.read())).toEqual([[1, 0, 2, 0]])
  })
})
