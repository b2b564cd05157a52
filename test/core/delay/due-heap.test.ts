import { expect, test } from 'vitest'
import { delayOf, withServedDelay } from '../../../core/delay/delay-header.ts'
import { DueHeap } from '../../../core/delay/due-heap.ts'
import { decodeHeaders, encodeProperties } from '../../../shared/message/properties.ts'
import type { FieldValue } from '../../../shared/message/value.ts'

test('a heap gives positions in order of time, then of position', () => {
  const heap = new DueHeap()
  const expected: [number, number][] = []
  let random = 1
  for (let position = 0; position < 2000; position++) {
    random = (Math.imul(random, 1103515245) + 12345) >>> 0
    const due = (random >>> 8) % 300
    heap.push(due, position)
    expected.push([due, position])
  }
  expected.sort((a, b) => a[0] - b[0] || a[1] - b[1])
  const soonest = heap.soonest(50).map((i) => [heap.dueAt(i), heap.positionAt(i)])
  expect(soonest).toEqual(expected.slice(0, 50))
  heap.hurry(heap.indexOf(1234))
  expect(heap.first()).toBe(1234)
  const rest = expected.filter(([, position]) => position !== 1234)
  heap.pop()
  for (const [due, position] of rest) {
    expect([heap.due(), heap.first()]).toEqual([due, position])
    heap.pop()
  }
  expect(heap.due()).toBe(Number.POSITIVE_INFINITY)
})

const headers: readonly [string, FieldValue, number][] = [
  ['a short', { type: 's', value: 5 }, 5],
  ['an int', { type: 'I', value: 5000 }, 5000],
  ['a long of years', { type: 'l', value: 315_360_000_000 }, 315_360_000_000],
  ['a negative int', { type: 'I', value: -5 }, -5],
  ['a text', { type: 'S', value: '1500' }, 1500],
  ['a decimal text', { type: 'S', value: '15.9' }, 15],
  ['a text that is no number', { type: 'S', value: 'soon' }, 0],
  ['a double', { type: 'd', value: 99.9 }, 99],
  ['a decimal', { type: 'D', value: { scale: 1, unscaled: 55 } }, 5],
  ['a boolean', { type: 't', value: true }, 0],
  ['nothing', { type: 'V', value: null }, 0],
]

test.each(headers)('x-delay as %s', (_, value, delay) => {
  const table = [['other', { type: 't', value: true }] as const, ['x-delay', value] as const]
  const props = encodeProperties({ headers: table, contentType: 'a', expiration: '5' })
  expect(delayOf(props, 0, props.length)).toBe(delay)
  if (delay <= 0) return
  const served = withServedDelay(props, 0, props.length, delay)
  expect(delayOf(served, 0, served.length)).toBe(-delay)
  expect(decodeHeaders(served, 0, served.length).map(([key]) => key)).toEqual(['other', 'x-delay'])
})

test('without headers, or without x-delay among them, there is no delay', () => {
  const bare = encodeProperties({})
  expect(delayOf(bare, 0, bare.length)).toBe(0)
  const other = encodeProperties({ headers: [['x-delays', { type: 'I', value: 5 }]] })
  expect(delayOf(other, 0, other.length)).toBe(0)
})
