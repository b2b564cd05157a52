import fc from 'fast-check'
import { expect, test } from 'vitest'
import { hashBytes, hashText, placeQueue } from '../../shared/placement.ts'

test('the hash of a text is the hash of its UTF-8, FNV-1a', () => {
  expect(hashText('')).toBe(0x811c9dc5)
  expect(hashText('a')).toBe(0xe40c292c)
  expect(hashText('foobar')).toBe(0xbf9cf968)
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      const bytes = new TextEncoder().encode(text)
      expect(hashText(text)).toBe(hashBytes(bytes, 0, bytes.length))
    }),
  )
})

test('a queue keeps its shard for ever', () => {
  // Fixed by the data of running nodes: a change here loses queues.
  expect(['q', 'orders', 'é', ''].map((name) => placeQueue('/', name, 3))).toEqual([0, 1, 1, 2])
  expect(placeQueue('/', 'q', 1)).toBe(0)
})

test('names that differ little spread evenly', () => {
  const counts = [0, 0, 0, 0]
  for (let i = 0; i < 4000; i++) {
    const shard = placeQueue('/', `queue.${i}`, 4)
    counts[shard] = (counts[shard] ?? 0) + 1
  }
  for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(150)
})

test('vhost and name are not mixed up', () => {
  const differing = Array.from({ length: 50 }, (_, i) => i).filter(
    (i) => placeQueue('a', `b${i}`, 64) !== placeQueue('ab', String(i), 64),
  )
  expect(differing.length).toBeGreaterThan(40)
})
