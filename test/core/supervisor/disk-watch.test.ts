import { expect, test } from 'vitest'
import { loadConfig } from '../../../core/config/load.ts'
import { DiskWatch, diskLimitBytes } from '../../../core/supervisor/disk-watch.ts'

function limit(...set: readonly string[]): number {
  return diskLimitBytes(loadConfig({ env: {}, set }).config, 1000)
}

test('the limit is 50 MB, or what is set, or a multiple of the memory', () => {
  expect(limit()).toBe(50_000_000)
  expect(limit('disk_free_limit.absolute=2GB')).toBe(2_000_000_000)
  expect(limit('disk_free_limit.relative=1.5')).toBe(1500)
  expect(limit('disk_free_limit.absolute=0')).toBe(0)
})

test('the alarm is raised below the limit or when writes fail, and cleared when neither holds', () => {
  const watch = new DiskWatch(100)
  expect(watch.look({ freeBytes: 100, refused: 0 })).toBeUndefined()
  expect(watch.look({ freeBytes: 99, refused: 0 })).toBe(true)
  expect(watch.look({ freeBytes: 99, refused: 1 })).toBeUndefined()
  expect(watch.look({ freeBytes: 200, refused: 1 })).toBeUndefined()
  expect(watch.look({ freeBytes: 200, refused: 0 })).toBe(false)
  expect(watch.look({ freeBytes: 200, refused: 1 })).toBe(true)
})

test('an unknown free space neither raises nor clears it', () => {
  const watch = new DiskWatch(100)
  expect(watch.look({ freeBytes: undefined, refused: 0 })).toBeUndefined()
  expect(watch.look({ freeBytes: 10, refused: 0 })).toBe(true)
  expect(watch.look({ freeBytes: undefined, refused: 0 })).toBeUndefined()
  expect(watch.look({ freeBytes: 100, refused: 0 })).toBe(false)
})
