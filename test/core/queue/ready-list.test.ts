// The ready list against a sorted array: order of positions, whatever comes back when.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ReadyList } from '../../../core/queue/ready-list.ts'

interface Place {
  readonly row: number
  readonly position: number
}

/** Takes the first message; undefined when there is none. */
function take(list: ReadyList): (Place & { readonly returned: boolean }) | undefined {
  if (!list.take()) return undefined
  return { row: list.takenRow, position: list.takenPosition, returned: list.takenReturned }
}

test('messages leave in the order they came, over growth and over the end of the ring', () => {
  const list = new ReadyList()
  let pushed = 0
  let taken = 0
  for (const [fresh, gone] of [
    [10, 7],
    [13, 2],
    [3, 17],
    [200, 150],
    [1, 51],
  ] as const) {
    for (let i = 0; i < fresh; i++, pushed++) expect(list.push(1000 + pushed)).toBe(pushed)
    for (let i = 0; i < gone; i++, taken++) {
      expect(list.first()).toBe(1000 + taken)
      expect(take(list)).toEqual({ row: 1000 + taken, position: taken, returned: false })
    }
    expect(list.size()).toBe(pushed - taken)
  }
  expect(take(list)).toBeUndefined()
  expect(list.first()).toBe(-1)
})

test('a message that passes by takes up a position', () => {
  const list = new ReadyList()
  expect([list.pass(), list.pass(), list.push(7), list.push(8)]).toEqual([0, 1, 2, 3])
  take(list)
  take(list)
  expect(list.pass()).toBe(4)
  list.giveBack(5, 0)
  expect(take(list)).toEqual({ row: 5, position: 0, returned: true })
})

test('returned messages come first, by position and not by the order of their return', () => {
  const list = new ReadyList()
  for (let i = 0; i < 40; i++) list.push(i)
  for (let i = 0; i < 30; i++) list.take()
  for (let i = 0; i < 30; i++) list.giveBack((i * 7) % 30, (i * 7) % 30)
  const order = Array.from({ length: 40 }, () => take(list))
  expect(order.map((each) => each?.position)).toEqual(Array.from({ length: 40 }, (_, i) => i))
  expect(order.map((each) => each?.row)).toEqual(Array.from({ length: 40 }, (_, i) => i))
  expect(order.map((each) => each?.returned)).toEqual(Array.from({ length: 40 }, (_, i) => i < 30))
})

test('positions beyond 2^32 are kept apart', () => {
  const list = new ReadyList()
  const far = 2 ** 32
  for (const position of [far + 1, 1, far, 0]) list.giveBack(position % 10, position)
  const order = Array.from({ length: 4 }, () => take(list)?.position)
  expect(order).toEqual([0, 1, far, far + 1])
})

test('the list does what a sorted array does', () => {
  const command = fc.oneof(
    { weight: 4, arbitrary: fc.constant('push' as const) },
    { weight: 4, arbitrary: fc.constant('take' as const) },
    { weight: 3, arbitrary: fc.nat() },
  )
  fc.assert(
    fc.property(fc.array(command, { maxLength: 400 }), (commands) => {
      const list = new ReadyList()
      const waiting: Place[] = []
      const out: Place[] = []
      let next = 0
      for (const command of commands) {
        if (command === 'push') {
          const position = waiting.length === 0 && next % 3 === 0 ? list.pass() : list.push(next)
          expect(position).toBe(next)
          if (list.size() > waiting.length) waiting.push({ row: next, position })
          else out.push({ row: next, position })
          next++
        } else if (command === 'take') {
          const first = waiting.shift()
          expect(list.first()).toBe(first?.row ?? -1)
          const got = take(list)
          expect(got?.position).toBe(first?.position)
          expect(got?.row).toBe(first?.row)
          if (first !== undefined) out.push(first)
        } else if (out.length > 0) {
          const [back] = out.splice(command % out.length, 1) as [Place]
          list.giveBack(back.row, back.position)
          waiting.push(back)
          waiting.sort((a, b) => a.position - b.position)
        }
        expect(list.size()).toBe(waiting.length)
      }
    }),
  )
})
