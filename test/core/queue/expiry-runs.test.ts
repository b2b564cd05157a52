import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ExpiryRuns } from '../../../core/queue/expiry-runs.ts'

const step = fc.record({
  /** Later than the one before by so much; negative: earlier. */
  later: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.integer({ min: -3, max: 9 })),
  count: fc.integer({ min: 1, max: 4 }),
  /** Of those that there are, which are gone then. */
  gone: fc.array(fc.nat(), { maxLength: 4 }),
})

const clock = { now: 0 }

function isDue(runs: ExpiryRuns, position: number, now: number): boolean {
  clock.now = now
  return runs.isDue(position)
}

test('knows the time of each message that came in order, and of no other', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (program) => {
      const runs = new ExpiryRuns(clock)
      runs.start()
      const times = new Map<number, number>()
      let position = 0
      let last = -1
      for (const { later, count, gone } of program) {
        const at = (last < 0 ? 100 : last) + later
        for (let i = 0; i < count; i++) {
          const taken = runs.add(position, Float64Array.of(at))
          expect(taken).toBe(at >= last)
          if (taken) times.set(position, at)
          position++
        }
        last = Math.max(last, at)
        for (const which of gone) {
          const dead = [...times.keys()][which % Math.max(1, times.size)]
          if (dead === undefined) continue
          times.delete(dead)
          runs.gone(dead)
        }
        for (const [place, time] of times) {
          expect(runs.at(place)).toBe(time)
          expect([isDue(runs, place, time - 1), isDue(runs, place, time)]).toEqual([false, true])
        }
      }
    }),
    { numRuns: 200 },
  )
})

test('has no time for what came after it was closed, until it begins again', () => {
  const runs = new ExpiryRuns(clock)
  runs.start()
  runs.add(7, Float64Array.of(100))
  runs.close(8)
  expect(runs.add(9, Float64Array.of(200))).toBe(false)
  expect([isDue(runs, 7, 300), isDue(runs, 9, 300)]).toEqual([true, false])
  runs.start()
  expect(runs.add(10, Float64Array.of(50))).toBe(true)
  expect([isDue(runs, 10, 49), isDue(runs, 10, 50)]).toEqual([false, true])
})
