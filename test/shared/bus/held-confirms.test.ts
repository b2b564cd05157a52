// Confirms that a gateway holds until the log of the shard is there: none too early, none lost, those
// of a channel in order, and none for a channel that only has the number of one that went.

import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import { DurableMark } from '../../../core/store/durable-mark.ts'
import { Arena } from '../../../shared/bus/arena.ts'
import { createDoorbell, Doorbell } from '../../../shared/bus/doorbell.ts'
import type { ChannelSink } from '../../../shared/bus/gateway-port.ts'
import { GatewayPort } from '../../../shared/bus/gateway-port.ts'
import { HeldConfirms } from '../../../shared/bus/held-confirms.ts'
import type { ConfirmGate } from '../../../shared/bus/link.ts'
import { createDurableWords, createLink } from '../../../shared/bus/link.ts'
import { Record } from '../../../shared/bus/wire.ts'
import { createGatewayStart, FakeShard } from './fake-shard.ts'

interface Held {
  readonly channel: number
  readonly count: number
  readonly nack: boolean
  readonly position: number
}

function createGate(at: number): ConfirmGate {
  const durable = createDurableWords()
  new Int32Array(durable)[0] = at
  return { durable, awaits: new SharedArrayBuffer(4) }
}

/** One entry per publish that was answered, by channel. */
class Taken {
  private readonly kinds = new Map<number, boolean[]>()

  readonly take = (channel: number, count: number, nack: boolean): void => {
    const kinds = this.kinds.get(channel) ?? []
    for (let i = 0; i < count; i++) kinds.push(nack)
    this.kinds.set(channel, kinds)
  }

  of(channel: number): readonly boolean[] {
    return this.kinds.get(channel) ?? []
  }
}

describe.each([0, 2 ** 31 - 40, 2 ** 32 - 40])('with the log at %d', (first) => {
  test('each leaves when the log is there, in the order of its channel', () => {
    const command = fc.oneof(
      fc.record({
        channel: fc.integer({ min: 1, max: 3 }),
        count: fc.integer({ min: 1, max: 9 }),
        nack: fc.boolean(),
        ahead: fc.nat({ max: 20 }),
      }),
      fc.record({ commit: fc.nat({ max: 40 }) }),
      fc.record({ forget: fc.integer({ min: 1, max: 3 }) }),
    )
    fc.assert(
      fc.property(fc.array(command, { maxLength: 80 }), (commands) => {
        const gate = createGate(first | 0)
        const mark = new DurableMark(gate.durable)
        const confirms = new HeldConfirms(gate)
        let model: Held[] = []
        let durable = first
        let furthest = first
        for (const each of commands) {
          if ('channel' in each) {
            // Those of one shard come nearly in the order of the log.
            furthest = Math.max(furthest, durable) + (each.ahead >> 1)
            const position = furthest - (each.ahead & 1)
            const { channel, count, nack } = each
            confirms.hold(channel, count, nack ? 1 : 0, position | 0)
            model.push({ channel, count, nack, position })
          } else if ('commit' in each) {
            durable += each.commit
            mark.advance(durable | 0)
          } else {
            confirms.forget(each.forget)
            model = model.filter(({ channel }) => channel !== each.forget)
          }
          const taken = new Taken()
          const any = confirms.release(taken.take)
          let left = model.findIndex(({ position }) => position > durable)
          if (left < 0) left = model.length
          expect(any).toBe(left > 0)
          for (const channel of [1, 2, 3]) {
            const due = model.slice(0, left).filter((held) => held.channel === channel)
            expect(taken.of(channel)).toEqual(
              due.flatMap(({ count, nack }) => new Array<boolean>(count).fill(nack)),
            )
          }
          model.splice(0, left)
          expect(confirms.isEmpty()).toBe(model.length === 0)
          for (const channel of [1, 2, 3]) {
            expect(confirms.holdsFor(channel)).toBe(model.some((held) => held.channel === channel))
          }
        }
      }),
      { numRuns: 200 },
    )
  })
})

test('the log rings those that wait, once, and nobody else', () => {
  const gate = createGate(0)
  const mark = new DurableMark(gate.durable)
  const waits = createDoorbell()
  const idle = createDoorbell()
  const gone = createDoorbell()
  const goneAwaits = new SharedArrayBuffer(4)
  new Int32Array(goneAwaits)[0] = 1
  mark.add(1, waits, gate.awaits)
  mark.add(2, idle, new SharedArrayBuffer(4))
  mark.add(3, gone, goneAwaits)
  mark.remove(3)
  const confirms = new HeldConfirms(gate)
  confirms.hold(5, 1, 0, 10)
  confirms.release(() => {
    throw new Error('the log is not there')
  })
  const rings = (): number[] => [waits, idle, gone].map((bell) => new Doorbell(bell).seen())
  mark.advance(9)
  mark.advance(12)
  expect(rings()).toEqual([1, 0, 0])
})

describe('a gateway', () => {
  let shard: FakeShard
  let port: GatewayPort
  let mark: DurableMark
  let log: unknown[]

  beforeEach(() => {
    const gate = createGate(0)
    const given = createGatewayStart(1)
    const { slabCount } = new Arena(given.arena)
    const link = createLink(1, slabCount, undefined, gate.durable)
    const start = { ...given, links: [link] }
    shard = new FakeShard(start, 0)
    port = new GatewayPort(start)
    mark = new DurableMark(gate.durable)
    log = []
  })

  function sink(name: string): ChannelSink {
    return {
      onConfirm: (count, nack) => log.push([name, count, nack]),
      onReturn: () => {},
      onError: () => {},
      onWant: () => {},
      onUnused: () => {},
    }
  }

  test('answers nothing before it is durable, and nothing before what came before', () => {
    const slow = port.channels.add(sink('slow'))
    const quick = port.channels.add(sink('quick'))
    shard.writeWords(Record.confirmAt, [slow, 5, 0, 100])
    shard.writeWords(Record.confirm, [slow, 2, 1])
    shard.writeWords(Record.confirm, [quick, 1, 0])
    shard.flush()
    port.drain()
    expect(log).toEqual([['quick', 1, false]])
    mark.advance(99)
    expect(port.drain()).toBe(false)
    mark.advance(100)
    expect(port.drain()).toBe(true)
    expect(log.slice(1)).toEqual([
      ['slow', 5, false],
      ['slow', 2, true],
    ])
    expect(port.drain()).toBe(false)
  })

  test('keeps nothing for a channel that has gone', () => {
    const old = port.channels.add(sink('old'))
    shard.writeWords(Record.confirmAt, [old, 5, 0, 100])
    shard.flush()
    port.drain()
    port.channels.remove(old)
    expect(port.channels.add(sink('new'))).toBe(old)
    mark.advance(200)
    port.drain()
    expect(log).toEqual([])
    shard.writeWords(Record.confirmAt, [old, 1, 0, 300])
    shard.flush()
    port.drain()
    mark.advance(300)
    port.drain()
    expect(log).toEqual([['new', 1, false]])
  })
})
