import { expect, test } from 'vitest'
import { median, medianRatio } from '../../../bench/runner/statistics.ts'

test('the median ignores one disturbed round', () => {
  expect(median([100, 1, 102])).toBe(100)
  expect(median([1, 2, 3, 10])).toBe(2.5)
  expect(median([])).toBeNaN()
})

test('a ratio is taken within each round, then the middle one', () => {
  // In the second round the machine was half as fast for both.
  expect(medianRatio([1000, 500, 990], [100, 50, 110])).toBe(10)
})
