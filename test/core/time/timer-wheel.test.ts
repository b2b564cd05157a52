// The wheel against a sorted list.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TimerWheel } from '../../../core/time/timer-wheel.ts'

interface Timer {
  readonly key: number
  readonly at: number
  readonly handle: number
}

const all = Number.POSITIVE_INFINITY

/** Delays of every size: most short, some at the borders of wheels, some of years. */
const delays = fc.oneof(
  fc.double({ min: -5, max: 700, noNaN: true }),
  fc.integer({ min: 0, max: 200_000 }),
  fc.integer({ min: 0, max: 2 ** 33 }),
  fc.constantFrom(1, 255, 256, 257, 65_535, 65_536, 65_537, 2 ** 24, 2 ** 32, 2 ** 36),
)

const steps = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('add' as const), delay: delays }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('cancel' as const), which: fc.nat() }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait' as const), delay: delays }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('deadline' as const) }) },
)

describe('the timer wheel', () => {
  test('fires what a sorted list says, never early and in order, and says when to look again', () => {
    const program = fc.array(steps, { maxLength: 120 })
    fc.assert(
      fc.property(program, fc.double({ min: 0, max: 2 ** 32, noNaN: true }), (list, start) => {
        const wheel = new TimerWheel()
        let timers: Timer[] = []
        let now = start
        let fired: number[] = []
        let last = 0
        wheel.advance(now, all)
        const owner = {
          onTimer: (key: number): number => {
            fired.push(key)
            return 1
          },
        }
        const moveTo = (to: number): void => {
          now = Math.max(now, to)
          fired = []
          wheel.advance(now, all)
          const due = timers.filter(({ at }) => Math.ceil(at) <= Math.floor(now))
          timers = timers.filter((timer) => !due.includes(timer))
          due.sort((a, b) => Math.ceil(a.at) - Math.ceil(b.at) || a.key - b.key)
          expect(fired).toEqual(due.map(({ key }) => key))
        }
        for (const step of list) {
          if (step.kind === 'add') {
            // What is in the past fires with the next tick.
            const at = Math.max(now + step.delay, Math.floor(now) + 1)
            const key = ++last
            timers.push({ key, at, handle: wheel.add(now + step.delay, owner, key) })
          } else if (step.kind === 'cancel') {
            const [gone] = timers.splice(step.which % Math.max(1, timers.length), 1)
            if (gone !== undefined) wheel.cancel(gone.handle)
          } else if (step.kind === 'wait') moveTo(now + step.delay)
          else {
            const first = timers.reduce((least, { at }) => Math.min(least, Math.ceil(at)), all)
            const deadline = wheel.deadline()
            expect(deadline).toBeLessThanOrEqual(first)
            if (first < all) moveTo(deadline)
          }
          expect(wheel.count).toBe(timers.length)
        }
        for (let i = 0; timers.length > 0 && i < 10_000; i++) moveTo(wheel.deadline())
        expect(timers).toEqual([])
        expect(wheel.deadline()).toBe(all)
      }),
      { numRuns: 300 },
    )
  })

  test('stops when the budget is spent, and goes on where it was', () => {
    const wheel = new TimerWheel()
    const fired: number[] = []
    const owner = {
      onTimer: (key: number): number => {
        fired.push(key)
        return 10
      },
    }
    for (let key = 0; key < 10; key++) wheel.add(key < 5 ? 100 : 200, owner, key)
    expect(wheel.advance(300, 25)).toBe(true)
    expect(fired).toEqual([0, 1, 2])
    expect(wheel.deadline()).toBe(100)
    wheel.advance(300, 30)
    expect(fired).toEqual([0, 1, 2, 3, 4, 5])
    wheel.advance(300, 1000)
    expect(fired).toHaveLength(10)
    expect(wheel.deadline()).toBe(all)
    expect(wheel.advance(400, 1000)).toBe(false)
  })

  test('timers may be set and cancelled while others fire', () => {
    const wheel = new TimerWheel()
    const fired: number[] = []
    const handles: number[] = []
    const owner = {
      onTimer: (key: number): number => {
        fired.push(key)
        if (key === 1) wheel.cancel(handles[2] as number)
        if (key === 1) wheel.add(0, owner, 9)
        return 1
      },
    }
    for (let key = 0; key < 4; key++) handles.push(wheel.add(5, owner, key))
    wheel.advance(5, 100)
    expect(fired).toEqual([0, 1, 3])
    wheel.advance(6, 100)
    expect(fired).toEqual([0, 1, 3, 9])
    expect(wheel.count).toBe(0)
  })
})
