import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Histogram } from '../../../bench/load/histogram.ts'

test('a percentile is exact below 256 and at most 1/128 too high above', () => {
  const values = fc.array(fc.integer({ min: 0, max: 0x7fffffff }), { minLength: 1 })
  fc.assert(
    fc.property(values, fc.constantFrom(0.5, 0.9, 0.99, 1), (recorded, share) => {
      const histogram = new Histogram()
      for (const value of recorded) histogram.record(value)
      const sorted = [...recorded].sort((a, b) => a - b)
      const exact = sorted[Math.ceil(share * sorted.length) - 1] ?? 0
      const found = histogram.percentile(share)
      expect(found).toBeGreaterThanOrEqual(exact)
      expect(found).toBeLessThanOrEqual(exact < 256 ? exact : exact * (1 + 1 / 128))
    }),
  )
})

test('values out of range are clamped, an empty histogram reports zeros', () => {
  const histogram = new Histogram()
  expect(histogram.summary()).toEqual({ count: 0, p50: 0, p99: 0, p999: 0, max: 0 })
  histogram.record(-5)
  histogram.record(2 ** 40)
  expect(histogram.percentile(0.5)).toBe(0)
  expect(histogram.max).toBe(0x7fffffff)
})

test('reset forgets the warm-up', () => {
  const histogram = new Histogram()
  histogram.record(1_000_000)
  histogram.reset()
  histogram.record(3)
  expect(histogram.summary()).toEqual({ count: 1, p50: 3, p99: 3, p999: 3, max: 3 })
})
