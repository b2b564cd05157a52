// What a queue remembers of single messages, over restarts: whatever became of the log meanwhile.

import { afterEach, describe, expect, test } from 'vitest'
import { acquiredOf, failedOf } from '../../../core/queue/marks.ts'
import { Outcome } from '../../../shared/bus/wire.ts'
import type { FieldTable } from '../../../shared/message/value.ts'
import { longField, textField } from '../../../shared/message/value.ts'
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

describe('what consumers have put into messages', () => {
  const note = (text: string): FieldTable => [['x-opt-note', textField(text)]]
  const other: FieldTable = [['x-opt-other', longField(7)]]

  test('is there again, also what was added later, and goes with its message', () => {
    const folder = newFolder()
    const options = { settings: { type: 'quorum' } } as const
    const store = new StoreBench(folder, [1], options)
    for (const body of ['a', 'b', 'c']) store.publish(1, body)
    store.get(1)
    store.settle(Outcome.requeueFailed, note('first'))
    expect(store.get(1)).toBe('a')
    expect(store.headers).toEqual(note('first'))
    store.settle(Outcome.requeue, [...note('second'), ...other])
    for (let i = 0; i < 2; i++) store.get(1)
    store.settle(Outcome.requeue)
    store.settle(Outcome.requeue, note('of b'))
    store.get(1)
    store.get(1)
    store.settle(Outcome.requeue)
    store.settle(Outcome.complete)
    store.commit()
    expect([...(store.queue(1).annotations?.tables.keys() ?? [])]).toEqual([0])
    const after = new StoreBench(folder, [1], options)
    expect([after.get(1), after.headers]).toEqual(['a', [...note('second'), ...other]])
    expect([after.get(1), after.headers]).toEqual(['c', []])
    for (let i = 0; i < 2; i++) after.settle(Outcome.complete)
    expect(after.queue(1).annotations?.tables.size).toBe(0)
    expect(after.state.messages.count).toBe(0)
  })

  test('comes back with messages that had left memory, and outlives the files of the log', () => {
    const folder = newFolder()
    const options = {
      settings: { type: 'quorum' as const },
      generationBytes: 20_000,
      queueMemoryBudget: 0,
    }
    const store = new StoreBench(folder, [1], options)
    for (let i = 0; i < 20; i++) store.publish(1, `noted ${i}`)
    for (let i = 0; i < 20; i++) store.get(1)
    for (let i = 0; i < 20; i++) store.settle(Outcome.requeue, note(`${i}`))
    for (let round = 0; round < 30; round++) {
      for (let i = 0; i < 100; i++) store.publish(1, `filler ${round} ${i}`)
      store.commit()
    }
    expect(store.queue(1).onDiskCount()).toBeGreaterThan(0)
    const after = new StoreBench(folder, [1], options)
    for (const each of [store, after]) {
      for (let i = 0; i < 20; i++) {
        expect([each.get(1), each.headers]).toEqual([`noted ${i}`, note(`${i}`)])
      }
      expect([each.get(1), each.headers]).toEqual(['filler 0 0', []])
    }
  })

  test('is left out where it is too much, and where a queue keeps no such things', () => {
    const quorum = new StoreBench(newFolder(), [1], { settings: { type: 'quorum' } })
    const classic = new StoreBench(newFolder(), [1])
    for (const store of [quorum, classic]) {
      store.publish(1, 'a')
      store.get(1)
      store.settle(Outcome.requeue, note('x'.repeat(store === quorum ? 20_000 : 1)))
      expect([store.get(1), store.headers]).toEqual(['a', []])
    }
  })
})
