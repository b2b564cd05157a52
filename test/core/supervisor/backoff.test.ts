import { expect, test } from 'vitest'
import { Backoff } from '../../../core/supervisor/backoff.ts'

test('each crash in a row doubles the delay up to 10 s', () => {
  const backoff = new Backoff(0)
  const delays = Array.from({ length: 9 }, () => backoff.crashed(0))
  expect(delays).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000])
})

test('a crash after a minute of work counts as the first', () => {
  const backoff = new Backoff(0)
  backoff.crashed(0)
  backoff.crashed(0)
  expect(backoff.crashed(61_000)).toBe(100)
})
