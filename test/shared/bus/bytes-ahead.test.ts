import { expect, test } from 'vitest'
import { BytesAhead } from '../../../shared/bus/bytes-ahead.ts'

const MIB = 1024 * 1024

test('counts what was added and not released, to a mebibyte', () => {
  const ahead = new BytesAhead()
  for (let i = 1; i <= 1000; i++) ahead.add(64 * 1024, i)
  expect(ahead.bytes).toBe(1000 * 64 * 1024)
  ahead.release(500)
  expect(Math.abs(ahead.bytes - 500 * 64 * 1024)).toBeLessThanOrEqual(MIB)
  ahead.release(1000)
  expect(ahead.bytes).toBe(0)
})

test('is exact at rest, also below the distance of its marks', () => {
  const ahead = new BytesAhead()
  ahead.add(100, 1)
  ahead.release(0)
  expect(ahead.bytes).toBe(100)
  ahead.release(1)
  expect(ahead.bytes).toBe(0)
  ahead.release(1)
  expect(ahead.bytes).toBe(0)
})
