import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ByteIndex } from '../../../core/routing/byte-index.ts'
import { ByteMap } from '../../../core/routing/byte-map.ts'

const encoder = new TextEncoder()

test('a byte map answers as a Map does, whatever comes and goes', () => {
  const name = fc.string({ maxLength: 4, unit: fc.constantFrom('a', 'b', 'é', '.', '') })
  const step = fc.tuple(fc.constantFrom('set', 'delete'), name, fc.nat())
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const map = new ByteMap<number>()
      const model = new Map<string, number>()
      for (const [action, key, value] of steps) {
        if (action === 'set') {
          map.set(key, value)
          model.set(key, value)
        } else {
          map.delete(key)
          model.delete(key)
        }
      }
      expect(map.size).toBe(model.size)
      for (const [, key] of steps) expect(map.get(key)).toBe(model.get(key))
    }),
  )
})

test('numbers and pool space are used again', () => {
  const index = new ByteIndex()
  for (let i = 0; i < 10_000; i++) {
    const bytes = encoder.encode(`key ${i}`)
    const number = index.intern(bytes, 0, bytes.length)
    expect(number).toBeLessThan(2)
    expect(index.find(bytes, 0, bytes.length)).toBe(number)
    index.release(number)
    expect(index.find(bytes, 0, bytes.length)).toBe(-1)
  }
  expect(index.size).toBe(0)
})

test('a slice in the middle of other bytes is found', () => {
  const map = new ByteMap<string>()
  map.set('middle', 'yes')
  map.set('', 'empty')
  const bytes = encoder.encode('left.middle.right')
  expect(map.find(bytes, 5, 11)).toBe('yes')
  expect(map.find(bytes, 5, 5)).toBe('empty')
  expect(map.find(bytes, 0, 4)).toBeUndefined()
})
