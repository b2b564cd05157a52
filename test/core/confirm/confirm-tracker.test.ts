// Confirms in publish order: runs of one kind, none before its answers and its place in the log.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ConfirmTracker } from '../../../core/confirm/confirm-tracker.ts'

/** All runs there are: positive numbers are confirms, negative ones nacks. */
function runs(tracker: ConfirmTracker, committedUpTo: number): number[] {
  const taken: number[] = []
  while (tracker.advance(committedUpTo)) {
    taken.push(tracker.runRefused ? -tracker.runCount : tracker.runCount)
    tracker.takeRun()
  }
  return taken
}

describe('a run', () => {
  test('takes all that is finished at once', () => {
    const tracker = new ConfirmTracker()
    for (let i = 0; i < 10_000; i++) tracker.push(0, 0)
    expect(tracker.outstanding()).toBe(10_000)
    expect(runs(tracker, 0)).toEqual([10_000])
    expect(tracker.outstanding()).toBe(0)
    expect(runs(tracker, 0)).toEqual([])
  })

  test('ends where the kind of answer changes', () => {
    const tracker = new ConfirmTracker()
    for (let i = 0; i < 8; i++) tracker.push(0, 0)
    for (const sequence of [2, 3, 7]) tracker.refuse(sequence)
    expect(runs(tracker, 0)).toEqual([2, -2, 3, -1])
  })

  test('that is not taken goes on, and counts as outstanding until then', () => {
    const tracker = new ConfirmTracker()
    tracker.push(0, 0)
    expect(tracker.advance(0)).toBe(true)
    tracker.push(0, 0)
    tracker.push(1, 0)
    expect(tracker.advance(0)).toBe(true)
    expect([tracker.runCount, tracker.outstanding()]).toEqual([2, 3])
    tracker.takeRun()
    expect([tracker.advance(0), tracker.outstanding()]).toEqual([false, 1])
  })

  test('that is not taken does not turn into the other kind', () => {
    const tracker = new ConfirmTracker()
    tracker.push(0, 0)
    tracker.advance(0)
    tracker.refuse(tracker.push(0, 0))
    tracker.advance(0)
    expect([tracker.runCount, tracker.runRefused]).toEqual([1, false])
    expect(runs(tracker, 0)).toEqual([1, -1])
  })
})

describe('ahead of the log', () => {
  test('a run tells where the log must be', () => {
    const tracker = new ConfirmTracker()
    for (const position of [5, 9, 7]) tracker.push(0, position)
    expect(tracker.advance(0)).toBe(false)
    expect(tracker.advance(0, true)).toBe(true)
    expect([tracker.runCount, tracker.runPosition]).toEqual([3, 9])
    tracker.takeRun()
    tracker.push(0, 8)
    tracker.advance(0, true)
    expect([tracker.runCount, tracker.runPosition]).toEqual([1, 8])
  })

  test('firm ones and those that wait for other shards hold up the rest', () => {
    const tracker = new ConfirmTracker()
    tracker.push(0, 1)
    tracker.push(0, 2, true)
    const sequence = tracker.push(1, 3)
    tracker.refuse(tracker.push(0, 4, true))
    tracker.advance(0, true)
    expect(tracker.runCount).toBe(1)
    tracker.advance(2, true)
    expect(tracker.runCount).toBe(2)
    tracker.answer(sequence, false)
    tracker.advance(2, true)
    expect([tracker.runCount, tracker.runRefused]).toEqual([3, false])
    expect(runs(tracker, 4)).toEqual([3, -1])
  })
})

describe('a publish waits', () => {
  test('for each remote shard, and holds up those behind it', () => {
    const tracker = new ConfirmTracker()
    const sequence = tracker.push(2, 0)
    tracker.push(0, 0)
    tracker.answer(sequence, false)
    expect(runs(tracker, 0)).toEqual([])
    tracker.answer(sequence, false)
    expect(runs(tracker, 0)).toEqual([2])
  })

  test('for all of them even when one has refused, and is refused then', () => {
    const tracker = new ConfirmTracker()
    const sequence = tracker.push(2, 0)
    tracker.answer(sequence, true)
    expect(runs(tracker, 0)).toEqual([])
    tracker.answer(sequence, false)
    expect(runs(tracker, 0)).toEqual([-1])
  })

  test('for the log to cover its position, which may be beyond 2^32', () => {
    const tracker = new ConfirmTracker()
    const far = 2 ** 32
    for (const position of [0, 3, far, far + 1]) tracker.push(0, position)
    expect(runs(tracker, 2)).toEqual([1])
    expect(runs(tracker, 3)).toEqual([1])
    expect(runs(tracker, far - 1)).toEqual([])
    expect(runs(tracker, far)).toEqual([1])
    expect(runs(tracker, far + 1)).toEqual([1])
  })
})

test.each([0, 2 ** 31 - 40])('from number %i it does what a list of publishes does', (first) => {
  const command = fc.oneof(
    fc.record({ push: fc.nat({ max: 100 }), answers: fc.nat({ max: 2 }), ahead: fc.nat(3) }),
    fc.record({ answer: fc.nat(), nack: fc.boolean() }),
    fc.record({ commit: fc.nat({ max: 300 }) }),
  )
  fc.assert(
    fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
      // Nobody waits for two thousand million publishes to see the numbers wrap.
      const tracker = new ConfirmTracker()
      Object.assign<object, object>(tracker, { base: first, next: first })
      const model: { sequence: number; waits: number; position: number; nack: boolean }[] = []
      let position = 0
      let committed = 0
      for (const each of commands) {
        if ('push' in each) {
          for (let i = 0; i < each.push; i++) {
            position += each.ahead
            const sequence = tracker.push(each.answers, position)
            model.push({ sequence, waits: each.answers, position, nack: false })
          }
        } else if ('answer' in each) {
          const waiting = model.filter(({ waits }) => waits > 0)
          const chosen = waiting[each.answer % waiting.length]
          if (chosen === undefined) continue
          tracker.answer(chosen.sequence, each.nack)
          chosen.waits--
          chosen.nack ||= each.nack
        } else {
          committed = Math.min(position, committed + each.commit)
          const left = model.findIndex((one) => one.waits > 0 || one.position > committed)
          const done = model.splice(0, left < 0 ? model.length : left)
          const kinds = runs(tracker, committed).flatMap((run) =>
            Array.from({ length: Math.abs(run) }, () => run < 0),
          )
          expect(kinds).toEqual(done.map(({ nack }) => nack))
        }
        expect(tracker.outstanding()).toBe(model.length)
      }
    }),
    { numRuns: 60 },
  )
})
