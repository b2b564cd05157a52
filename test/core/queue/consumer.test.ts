// Whose turn it is: round robin within a priority, higher priorities first, nobody who is blocked.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ConsumerChannel } from '../../../core/queue/consumer.ts'
import { Block, Consumer, ConsumerRing } from '../../../core/queue/consumer.ts'

// The order of consumers depends on nothing of their channel or queue.
const channel = {} as ConsumerChannel
const queue = { settled: (): void => {} }

function consumer(id: number, priority = 0, blocked = 0): Consumer {
  const options = { tag: `${id}`, noAck: false, exclusive: false, prefetch: 0, priority }
  const made = new Consumer(id, channel, queue, options)
  made.blocked = blocked
  return made
}

/** A ring of one consumer per priority given; ids count from 0. */
function ringOf(...priorities: number[]): { ring: ConsumerRing; all: Consumer[] } {
  const ring = new ConsumerRing()
  const all = priorities.map((priority, id) => consumer(id, priority))
  for (const each of all) ring.add(each)
  return { ring, all }
}

/** The ids that the next `count` messages go to. */
function serve(ring: ConsumerRing, count: number): (number | undefined)[] {
  return Array.from({ length: count }, () => {
    const picked = ring.pick()
    if (picked !== undefined) ring.served(picked)
    return picked?.id
  })
}

test('a consumer without acknowledgements has no prefetch', () => {
  const options = { tag: '', noAck: true, exclusive: false, prefetch: 5, priority: 0 }
  expect(new Consumer(0, channel, queue, options).prefetch).toBe(0)
})

describe('turns', () => {
  test('go round in order of registration, and stay where nobody was served', () => {
    const { ring } = ringOf(0, 0, 0)
    expect(serve(ring, 5)).toEqual([0, 1, 2, 0, 1])
    expect([ring.pick()?.id, ring.pick()?.id]).toEqual([2, 2])
    expect(serve(new ConsumerRing(), 1)).toEqual([undefined])
  })

  test('go to the highest priority that can be served, each priority by its own order', () => {
    const { ring, all } = ringOf(0, 5, -3, 5, 0)
    const [zero, five, , otherFive, otherZero] = all as [Consumer, ...Consumer[]]
    expect(serve(ring, 3)).toEqual([1, 3, 1])
    ring.block(five as Consumer, Block.prefetch)
    ring.block(otherFive as Consumer, Block.window)
    expect(serve(ring, 3)).toEqual([0, 4, 0])
    ring.remove(zero)
    ring.remove(otherZero as Consumer)
    expect(serve(ring, 2)).toEqual([2, 2])
    ring.unblock(five as Consumer, Block.prefetch)
    expect(serve(ring, 2)).toEqual([1, 1])
  })

  test('a consumer that can be served again waits behind the others', () => {
    const { ring, all } = ringOf(0, 0, 0)
    const [first] = all as [Consumer]
    ring.block(first, Block.ring)
    expect(serve(ring, 1)).toEqual([1])
    expect(ring.unblock(first, Block.ring)).toBe(true)
    expect(serve(ring, 4)).toEqual([2, 1, 0, 2])
  })

  test('blocking the consumer that was just served does not skip the next', () => {
    const { ring, all } = ringOf(0, 0, 0)
    const [first] = all as [Consumer]
    ring.block(first, Block.prefetch)
    ring.served(first)
    expect(serve(ring, 3)).toEqual([1, 2, 1])
  })
})

describe('reasons not to serve', () => {
  test('must all be gone', () => {
    const { ring, all } = ringOf(0)
    const [only] = all as [Consumer]
    ring.block(only, Block.prefetch)
    ring.block(only, Block.token)
    expect(ring.pick()).toBeUndefined()
    expect(ring.unblock(only, Block.prefetch)).toBe(false)
    expect(ring.pick()).toBeUndefined()
    expect(ring.unblock(only, Block.token)).toBe(true)
    expect(ring.pick()).toBe(only)
    expect(ring.unblock(only, Block.token)).toBe(false)
    expect(serve(ring, 2)).toEqual([0, 0])
  })

  test('hold from the start, and a consumer that has ended never comes back', () => {
    const ring = new ConsumerRing()
    const waiting = consumer(1, 0, Block.waiting)
    ring.add(waiting)
    expect(ring.pick()).toBeUndefined()
    expect(ring.all.size).toBe(1)
    waiting.ended = true
    ring.remove(waiting)
    expect(ring.unblock(waiting, Block.waiting)).toBe(false)
    expect([ring.pick(), ring.all.size]).toEqual([undefined, 0])
  })
})

test('the ring does what one list per priority does', () => {
  const reasons = Object.values(Block)
  const command = fc.tuple(
    fc.constantFrom('add', 'remove', 'block', 'unblock', 'serve'),
    fc.nat(),
    fc.constantFrom(...reasons),
  )
  fc.assert(
    fc.property(fc.array(command, { maxLength: 120 }), (commands) => {
      const ring = new ConsumerRing()
      // Who can be served, highest priority first, next in turn first.
      const model = new Map<number, Consumer[]>([2, 1, 0].map((priority) => [priority, []]))
      const turns = ({ priority }: Consumer): Consumer[] => model.get(priority) ?? []
      const drop = (each: Consumer): void => {
        if (each.blocked === 0) turns(each).splice(turns(each).indexOf(each), 1)
      }
      for (const [what, n, reason] of commands) {
        const chosen = [...ring.all][n % ring.all.size]
        if (what === 'add') {
          const added = consumer(n, n % 3)
          ring.add(added)
          turns(added).push(added)
        } else if (what === 'serve') {
          const level = [...model.values()].find((list) => list.length > 0)
          const picked = ring.pick()
          expect(picked).toBe(level?.[0])
          if (picked !== undefined) ring.served(picked)
          level?.push(...level.splice(0, 1))
        } else if (chosen !== undefined) {
          if (what === 'remove' || what === 'block') drop(chosen)
          if (what === 'remove') ring.remove(chosen)
          else if (what === 'block') ring.block(chosen, reason)
          else if (ring.unblock(chosen, reason)) turns(chosen).push(chosen)
        }
      }
      const left = [...model.values()].find((list) => list.length > 0) ?? []
      expect(serve(ring, left.length)).toEqual(left.map(({ id }) => id))
    }),
  )
})
