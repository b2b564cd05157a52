// What a queue remembers of single messages, over restarts: whatever became of the log meanwhile.

import { afterEach, describe, expect, test } from 'vitest'
import { acquiredOf, failedOf } from '../../../core/queue/marks.ts'
import { Outcome } from '../../../shared/bus/wire.ts'
import { newFolder, removeFolders, StoreBench } from './store-bench.ts'

afterEach(removeFolders)

function countsOf(store: StoreBench, position: number): number[] {
  const word = store.queue(1).marks?.get(position) ?? 0
  return [failedOf(word), acquiredOf(word)]
}

describe('delivery counts', () => {
  test('are there again, and those of settled messages are not', () => {
    const folder = newFolder()
    const options = { settings: { type: 'quorum' } } as const
    const store = new StoreBench(folder, [1], options)
    for (const body of ['a', 'b', 'c']) store.publish(1, body)
    for (const outcome of [Outcome.requeueFailed, Outcome.requeue, Outcome.requeueFailed]) {
      store.get(1)
      store.settle(outcome)
    }
    store.get(1)
    store.get(1)
    store.settle(Outcome.requeueFailed)
    store.settle(Outcome.requeueFailed)
    store.get(1)
    store.settle(Outcome.complete)
    store.commit()
    expect(store.queue(1).marks?.count).toBe(1)
    const after = new StoreBench(folder, [1], options)
    expect(countsOf(after, 0)).toEqual([0, 0])
    expect(countsOf(after, 1)).toEqual([1, 1])
    expect(after.queue(1).marks?.count).toBe(1)
  })

  test('outlive the files of the log that they were written to', () => {
    const folder = newFolder()
    const options = {
      settings: { type: 'quorum' as const },
      generationBytes: 20_000,
      queueMemoryBudget: 0,
    }
    const store = new StoreBench(folder, [1], options)
    for (let i = 0; i < 50; i++) store.publish(1, `marked ${i}`)
    for (let i = 0; i < 50; i++) store.get(1)
    for (let i = 0; i < 50; i++) store.settle(i % 2 === 0 ? Outcome.requeueFailed : Outcome.requeue)
    for (let round = 0; round < 30; round++) {
      for (let i = 0; i < 100; i++) store.publish(1, `filler ${round} ${i}`)
      store.commit()
    }
    store.commit()
    const after = new StoreBench(folder, [1], options)
    for (let i = 0; i < 50; i++) expect(countsOf(after, i)).toEqual([i % 2 === 0 ? 1 : 0, 1])
    expect(after.get(1)).toBe('marked 0')
    after.settle(Outcome.requeueFailed)
    expect(countsOf(after, 0)).toEqual([2, 2])
  })
})
