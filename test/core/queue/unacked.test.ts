// Deliveries by id: found until settled, over growth, gaps and the wrap of ids at 2^31.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Unacked } from '../../../core/queue/unacked.ts'

/** An empty table whose next id is `id`. */
function startingAt(id: number): Unacked {
  const unacked = new Unacked()
  unacked.base = id
  unacked.next = id
  return unacked
}

function settle(unacked: Unacked, id: number): boolean {
  const slot = unacked.slotOf(id)
  if (slot >= 0) unacked.clear(slot)
  return slot >= 0
}

test('ids count from 1, and a delivery is settled once', () => {
  const unacked = new Unacked()
  expect([unacked.push(10, 100, 3), unacked.push(11, 101, 4)]).toEqual([1, 2])
  const slot = unacked.slotOf(2)
  expect([unacked.rows[slot], unacked.positions[slot], unacked.holders[slot]]).toEqual([11, 101, 4])
  expect(settle(unacked, 2)).toBe(true)
  expect(settle(unacked, 2)).toBe(false)
  expect(settle(unacked, 1)).toBe(true)
  expect(unacked.base).toBe(unacked.next)
})

test('ids never given, and ids settled long ago whose slot is in use again, are not outstanding', () => {
  const unacked = new Unacked()
  for (const id of [0, 1, -1, 2 ** 31 - 1, -(2 ** 31)]) expect(unacked.slotOf(id)).toBe(-1)
  for (let i = 1; i <= 100; i++) {
    unacked.push(i, i, 0)
    expect(settle(unacked, i)).toBe(true)
  }
  unacked.push(101, 101, 0)
  for (const id of [101 - 64, 101 + 64, 100, 102]) expect(unacked.slotOf(id)).toBe(-1)
  expect(unacked.slotOf(101)).toBeGreaterThanOrEqual(0)
})

test('the base waits for the oldest delivery and then passes all settled ones', () => {
  const unacked = new Unacked()
  for (let i = 1; i <= 200; i++) unacked.push(i, i, 0)
  for (let i = 2; i <= 199; i++) settle(unacked, i)
  expect(unacked.base).toBe(1)
  settle(unacked, 1)
  expect(unacked.base).toBe(200)
})

describe.each([1, 2 ** 31 - 40, -40])('from id %i', (start) => {
  test('the table does what a map does', () => {
    const command = fc.oneof(
      fc.record({ push: fc.nat({ max: 200 }) }),
      fc.record({ settle: fc.nat(), count: fc.nat({ max: 100 }) }),
    )
    fc.assert(
      fc.property(fc.array(command, { maxLength: 30 }), (commands) => {
        const unacked = startingAt(start)
        const model = new Map<number, readonly [number, number, number]>()
        const given: number[] = []
        const wrong: number[] = []
        let serial = 0
        for (const each of commands) {
          if ('push' in each) {
            for (let i = 0; i < each.push; i++) {
              const delivery = [serial, 2 ** 33 + serial, serial % 7] as const
              model.set((start + serial++) | 0, delivery)
              given.push(unacked.push(...delivery))
            }
          } else {
            const ids = [...model.keys()]
            for (let i = 0; i < each.count && ids.length > 0; i++) {
              const [id] = ids.splice((each.settle + i * 31) % ids.length, 1) as [number]
              if (!settle(unacked, id) || settle(unacked, id)) wrong.push(id)
              model.delete(id)
            }
          }
          const [oldest] = model.keys()
          expect(unacked.base).toBe(oldest ?? unacked.next)
        }
        const { rows, positions, holders } = unacked
        const found = [...model.keys()].map((id) => {
          const slot = unacked.slotOf(id)
          return [rows[slot], positions[slot], holders[slot]]
        })
        expect(found).toEqual([...model.values()])
        expect(given).toEqual(given.map((_, i) => (start + i) | 0))
        expect(wrong).toEqual([])
      }),
      { numRuns: 40 },
    )
  })
})
