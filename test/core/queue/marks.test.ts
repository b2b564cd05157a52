// The sparse table of what a queue remembers of single messages, against a Map.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  acquiredOf,
  dying,
  failedOf,
  Marks,
  markCountMax,
  reasonOf,
  returnedOnce,
} from '../../../core/queue/marks.ts'

describe('marks', () => {
  test('hold what a Map would hold', () => {
    const position = fc.oneof(fc.nat(40), fc.maxSafeNat())
    const step = fc.record({
      position,
      word: fc.integer({ min: 1, max: 0x7fffffff }),
      set: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const marks = new Marks()
        const model = new Map<number, number>()
        for (const { position: at, word, set } of steps) {
          if (set) {
            marks.set(at, word)
            model.set(at, word)
          } else expect(marks.delete(at)).toBe(model.delete(at))
          expect(marks.count).toBe(model.size)
        }
        for (const { position: at } of steps) expect(marks.get(at)).toBe(model.get(at) ?? 0)
        const found = new Map<number, number>()
        marks.each((at, word) => found.set(at, word))
        expect(found).toEqual(model)
      }),
    )
  })

  test('count failed and returned deliveries apart, up to their largest value', () => {
    let word = returnedOnce(returnedOnce(0, true), false)
    expect([failedOf(word), acquiredOf(word), reasonOf(word)]).toEqual([1, 2, undefined])
    word = dying(word, 'delivery_limit')
    expect([failedOf(word), acquiredOf(word), reasonOf(word)]).toEqual([1, 2, 'delivery_limit'])
    for (let i = 0; i < markCountMax + 10; i++) word = returnedOnce(word, true)
    expect([failedOf(word), acquiredOf(word), reasonOf(word)]).toEqual([
      markCountMax,
      markCountMax,
      'delivery_limit',
    ])
  })
})
