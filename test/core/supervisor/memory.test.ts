import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../../core/config/load.ts'
import {
  arenaBytes,
  highWatermarkBytes,
  reserveArena,
} from '../../../core/supervisor/memory-plan.ts'
import { MemoryWatch } from '../../../core/supervisor/memory-watch.ts'
import { createArena, slabBytes } from '../../../shared/bus/arena.ts'

const gib = 2 ** 30

describe('the memory plan', () => {
  test('takes its part of what is available, or the absolute number', () => {
    const relative = loadConfig({ env: {}, set: ['vm_memory_high_watermark.relative=0.25'] })
    expect(highWatermarkBytes(relative.config, 8 * gib)).toBe(2 * gib)
    const absolute = loadConfig({ env: {}, set: ['vm_memory_high_watermark.absolute=1GiB'] })
    expect(highWatermarkBytes(absolute.config, 8 * gib)).toBe(gib)
  })

  test('reserves more than the watermark, so that the alarm comes before the arena is full', () => {
    expect(arenaBytes(2 * gib, 8 * gib)).toBeGreaterThan(2 * gib)
    expect(arenaBytes(0, 8 * gib)).toBeGreaterThan(0)
  })

  test('takes less where the system refuses the address space', () => {
    expect(() => createArena(2 ** 44)).toThrow(RangeError)
    // Not the system's own limit: what it grants just below would keep this process from forking.
    const asked: number[] = []
    const arena = reserveArena(2 ** 44, (size) => {
      asked.push(size)
      if (size > gib / 2) throw new RangeError('Array buffer allocation failed')
      return createArena(size / 64)
    })
    expect(asked).toEqual(Array.from({ length: 16 }, (_, i) => 2 ** (44 - i)))
    expect(arena.data.byteLength).toBeGreaterThan(slabBytes)
    expect(() =>
      reserveArena(gib, () => {
        throw new RangeError('Array buffer allocation failed')
      }),
    ).toThrow(RangeError)
  })
})

describe('the memory watch', () => {
  test('raises above the watermark and clears below it, once each', () => {
    const watch = new MemoryWatch(gib)
    const sample = { slabsUsed: 0, slabsTouched: 0 }
    expect(watch.look({ residentBytes: gib - 1, ...sample })).toBeUndefined()
    expect(watch.look({ residentBytes: gib + 1, ...sample })).toBe(true)
    expect(watch.look({ residentBytes: gib + 2, ...sample })).toBeUndefined()
    expect(watch.look({ residentBytes: gib - 1, ...sample })).toBe(false)
  })

  test('clears when a backlog is consumed although its pages stay resident', () => {
    const watch = new MemoryWatch(gib)
    const residentBytes = gib + 100 * slabBytes
    expect(watch.look({ residentBytes, slabsUsed: 600, slabsTouched: 600 })).toBe(true)
    expect(watch.look({ residentBytes, slabsUsed: 10, slabsTouched: 12 })).toBe(false)
  })
})
