// What is on disk of a message's time and priority: a queue that has left memory, or was recovered,
// behaves as one that was always there.

import { rmSync } from 'node:fs'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import type { ShardState } from '../../../core/shard/shard-state.ts'
import { plainSettings } from '../../../core/topology/queue-settings.ts'
import { Outcome } from '../../../shared/bus/wire.ts'
import { BoundsModel } from '../../support/bounds-model.ts'
import type { StoreOptions } from './store-bench.ts'
import { newFolder, removeFolders, StoreBench } from './store-bench.ts'

afterEach(removeFolders)

const wall = 1_700_000_000_000
/** Generations of some 300 messages, and nothing stays in memory that is on disk too. */
const small: StoreOptions = { generationBytes: 32_768, queueMemoryBudget: 0, wall }

/** Publishes a message for each time to live, `undefined` for none; bodies tell them apart. */
function publishAll(store: StoreBench, id: number, ttls: readonly (number | undefined)[]): void {
  for (const [i, messageTtlMs] of ttls.entries()) {
    store.queue(id).configure({ ...plainSettings, messageTtlMs })
    store.publish(id, `${i}`)
    if (i % 50 === 49) store.commit()
  }
  store.commit()
}

/** Times between 1 and 1000, and none for every eleventh. */
const ttls = Array.from({ length: 3000 }, (_, i) =>
  i % 11 === 3 ? undefined : 1 + ((i * 7) % 1000),
)

function leftAt(ms: number): string[] {
  return ttls.flatMap((ttl, i) => (ttl === undefined || ttl > ms ? [`${i}`] : []))
}

describe('messages with a time', () => {
  test('expire on time while they are on disk only, and are not read for it', () => {
    const store = new StoreBench(newFolder(), [1], small)
    publishAll(store, 1, ttls)
    expect(store.state.messages.count).toBeLessThan(1000)
    for (const ms of [100, 250, 251, 600]) {
      store.pass(ms - (store.state.clock.now - 1000))
      expect(store.queue(1).readyCount(), `after ${ms} ms`).toBe(leftAt(ms).length)
    }
    expect(store.drain(1)).toEqual(leftAt(600))
  })

  test.each([
    ['in the log', { wall }],
    ['in segments', small],
  ])('have it after a restart, when they are %s', (_where, options) => {
    const folder = newFolder()
    publishAll(new StoreBench(folder, [1], options), 1, ttls)
    // The node was away for 300 ms; nothing but the log says when messages expire.
    const after = new StoreBench(folder, [1], { ...options, wall: wall + 300 })
    after.pass(0)
    after.pass(1)
    expect(after.queue(1).readyCount()).toBe(leftAt(301).length)
    after.pass(400)
    expect(after.queue(1).readyCount()).toBe(leftAt(701).length)
    expect(after.drain(1)).toEqual(leftAt(701))
  })

  test('have it after one restart upon the other', () => {
    const folder = newFolder()
    publishAll(new StoreBench(folder, [1], small), 1, ttls)
    const again = new StoreBench(folder, [1], { ...small, wall: wall + 100 })
    again.commit()
    const third = new StoreBench(folder, [1], { ...small, wall: wall + 500 })
    third.pass(1)
    expect(third.drain(1)).toEqual(leftAt(501))
  })

  test('in several queues have the time of each, in whatever order they come', () => {
    for (const order of [
      [1, 2, 3],
      [3, 2, 1],
      [2, 1, 3],
    ]) {
      const folder = newFolder()
      const store = new StoreBench(folder, [1, 2, 3], { wall })
      store.queue(2).configure({ ...plainSettings, messageTtlMs: 500 })
      store.queue(3).configure({ ...plainSettings, messageTtlMs: 900 })
      for (let i = 0; i < 20; i++) store.publish(order, `${i}`)
      store.commit()
      const bodies = Array.from({ length: 20 }, (_, i) => `${i}`)
      const after = new StoreBench(folder, [1, 2, 3], { wall: wall + 600 })
      after.pass(1)
      expect([after.drain(2), after.queue(3).readyCount()]).toEqual([[], 20])
      after.pass(400)
      expect([after.drain(3), after.drain(1)]).toEqual([[], bodies])
    }
  })

  test('are read back to be dead-lettered, and nothing else with them', () => {
    const settings = { ...plainSettings, deadLetterExchange: 'dlx' }
    const store = new StoreBench(newFolder(), [1], { ...small, settings })
    const dead: number[] = []
    store.state.deaths.add = (queue, row, position, reason) => {
      expect(reason).toBe('expired')
      dead.push(position)
      queue.buried(row, position)
    }
    for (const [i, messageTtlMs] of ttls.entries()) {
      store.queue(1).configure({ ...settings, messageTtlMs })
      store.publish(1, `${i}`)
      if (i % 50 === 49) store.commit()
    }
    store.commit()
    const kept = store.state.messages.count
    for (const ms of [300, 310, 900]) {
      store.pass(ms - (store.state.clock.now - 1000))
      expect(store.queue(1).readyCount()).toBe(leftAt(ms).length)
    }
    for (let i = 0; i < 40 && dead.length < ttls.length - leftAt(1000).length; i++) {
      store.commit()
      store.pass(5)
      expect(store.state.messages.count).toBeLessThan(kept + 10)
    }
    const left = new Set(leftAt(1000))
    expect(dead.sort((a, b) => a - b)).toEqual(
      ttls.flatMap((_, i) => (left.has(`${i}`) ? [] : [i])),
    )
    expect(store.drain(1)).toEqual([...left])
    store.commit()
    expect(store.state.timers.count).toBe(0)
  })

  test('that are settled are not remembered', () => {
    const folder = newFolder()
    const store = new StoreBench(folder, [1], small)
    publishAll(store, 1, ttls)
    for (let i = 0; i < 2000; i++) {
      store.get(1)
      store.settle()
    }
    store.commit()
    const after = new StoreBench(folder, [1], small)
    after.pass(2000)
    expect(after.queue(1).readyCount()).toBe(
      leftAt(1000).filter((body) => Number(body) >= 2000).length,
    )
    expect(after.state.timers.count).toBe(0)
  })
})

describe('priorities', () => {
  const settings = { ...plainSettings, priorityMax: 9 }
  const levels = Array.from({ length: 3000 }, (_, i) => (i * 7) % 12)
  const sorted = levels
    .map((level, i) => ({ level: Math.min(level, 9), i }))
    .sort((a, b) => b.level - a.level || a.i - b.i)
    .map(({ i }) => `${i}`)

  function publishLevels(store: StoreBench): void {
    for (const [i, level] of levels.entries()) {
      store.publish(1, `${i}`, true, level)
      if (i % 50 === 49) store.commit()
    }
    store.commit()
  }

  test.each([
    ['in memory', { settings }],
    ['on disk', { ...small, settings }],
  ])('keep their order %s', (_where, options) => {
    const store = new StoreBench(newFolder(), [1], options)
    publishLevels(store)
    expect(store.drain(1)).toEqual(sorted)
  })

  test.each([
    ['in the log', { settings }],
    ['in segments', { ...small, settings }],
  ])('keep their order over a restart %s', (_where, options) => {
    const folder = newFolder()
    const store = new StoreBench(folder, [1], options)
    publishLevels(store)
    for (let i = 0; i < 1000; i++) {
      expect(store.get(1)).toBe(sorted[i])
      store.settle()
    }
    // Taken and not settled: back in their places.
    for (let i = 0; i < 100; i++) store.get(1)
    store.commit()
    const after = new StoreBench(folder, [1], options)
    expect(after.queue(1).readyCount()).toBe(2000)
    after.publish(1, 'new', true, 9)
    expect(after.get(1)).toBe('new')
    expect(after.drain(1)).toEqual(sorted.slice(1000))
  })

  test('go with their queue', () => {
    const folder = newFolder()
    const store = new StoreBench(folder, [1], { ...small, settings })
    publishLevels(store)
    store.queue(1).destroy()
    store.commit()
    const after = new StoreBench(folder, [1], { ...small, settings })
    expect(after.queue(1).readyCount()).toBe(0)
  })
})

test('a limit of bytes knows what a restart finds on disk only', () => {
  const folder = newFolder()
  const store = new StoreBench(folder, [1], small)
  const body = 'x'.repeat(100)
  for (let i = 0; i < 3000; i++) {
    store.publish(1, body)
    if (i % 50 === 49) store.commit()
  }
  const settings = { ...plainSettings, bytesMax: 200_000 }
  const after = new StoreBench(folder, [1], { ...small, settings })
  after.queue(1).pump()
  for (let i = 0; i < 50; i++) {
    after.commit()
    after.queue(1).pump()
  }
  expect(after.queue(1).readyCount()).toBe(2000)
})

test('a limit of messages drops what is on disk only, at once and unread', () => {
  const folder = newFolder()
  const store = new StoreBench(folder, [1], small)
  for (let i = 0; i < 3000; i++) {
    store.publish(1, `${i}`)
    if (i % 50 === 49) store.commit()
  }
  store.commit()
  const kept = store.state.messages.count
  expect(kept).toBeLessThan(1000)
  const settings = { ...plainSettings, lengthMax: 2500 }
  store.queue(1).configure(settings)
  expect(store.queue(1).readyCount()).toBe(2500)
  store.publish(1, '3000')
  expect(store.queue(1).readyCount()).toBe(2500)
  store.commit()
  const after = new StoreBench(folder, [1], { ...small, settings })
  expect(after.drain(1)).toEqual(Array.from({ length: 2500 }, (_, i) => `${i + 501}`))
})

test('a limit of messages dead-letters what is on disk only, each once, and never lets in more', () => {
  const folder = newFolder()
  const limited = { ...plainSettings, lengthMax: 2500, deadLetterExchange: 'dlx' }
  const options = { ...small, settings: limited }
  const dead: number[] = []
  const open = (): StoreBench => {
    const store = new StoreBench(folder, [1], options)
    store.state.deaths.add = (queue, row, position, reason) => {
      expect(reason).toBe('maxlen')
      dead.push(position)
      queue.buried(row, position)
    }
    return store
  }
  const settle = (store: StoreBench, count: number): void => {
    for (let i = 0; i < 60 && dead.length < count; i++) {
      store.commit()
      store.pass(5)
    }
    expect(dead.splice(0)).toEqual(Array.from({ length: count }, (_, i) => i))
  }
  const store = open()
  store.queue(1).configure({ ...plainSettings, deadLetterExchange: 'dlx' })
  for (let i = 0; i < 3000; i++) {
    store.publish(1, `${i}`)
    if (i % 50 === 49) store.commit()
  }
  store.commit()
  store.queue(1).configure(limited)
  for (let i = 3000; i < 3200; i++) {
    expect(store.queue(1).readyCount()).toBe(2500)
    store.publish(1, `${i}`)
  }
  // Nothing was read yet: after a crash now, the same ones die.
  expect(dead).toEqual([])
  store.commit()
  settle(store, 700)
  expect(store.queue(1).readyCount()).toBe(2500)
  const after = open()
  expect(after.drain(1)).toEqual(Array.from({ length: 2500 }, (_, i) => `${i + 700}`))
  expect(dead).toEqual([])
  expect(after.state.timers.count).toBe(0)
})

describe('random programs', () => {
  const step = fc.oneof(
    {
      weight: 10,
      arbitrary: fc.record({
        op: fc.constant('publish' as const),
        ttl: fc.option(fc.integer({ min: 1, max: 2000 }), { nil: undefined, freq: 3 }),
        spread: fc.integer({ min: 1, max: 400 }),
        priority: fc.integer({ min: 0, max: 4 }),
        size: fc.integer({ min: 1, max: 200 }),
        count: fc.integer({ min: 1, max: 120 }),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        op: fc.constant('pass' as const),
        ms: fc.integer({ min: 0, max: 900 }),
      }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        op: fc.constant('get' as const),
        count: fc.integer({ min: 1, max: 60 }),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        op: fc.constant('settle' as const),
        outcome: fc.constantFrom('complete' as const, 'requeue' as const),
        count: fc.integer({ min: 1, max: 60 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ op: fc.constant('restart' as const), ms: fc.nat(500) }) },
  )
  type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

  /** What the model and the store do alike: paging out and restarts change nothing. */
  function run(
    priorityMax: number | undefined,
    lengthMax: number | undefined,
    deadLetterExchange: string | undefined,
    program: readonly Step[],
  ): void {
    const folder = newFolder()
    const settings = { ...plainSettings, priorityMax, lengthMax, deadLetterExchange }
    const prepare = (state: ShardState): void => {
      state.deaths.add = (queue, row, position) => queue.buried(row, position)
    }
    const options = { generationBytes: 16_384, queueMemoryBudget: 4096, settings, prepare }
    const model = new BoundsModel(1000, settings)
    let clock = wall
    let store = new StoreBench(folder, [1], { ...options, wall: clock })
    let last = 0
    const pass = (ms: number): void => {
      clock += ms
      store.pass(ms)
      model.pass(ms)
    }
    for (const step of program) {
      if (step.op === 'publish') {
        for (let i = 0; i < step.count; i++) {
          const messageTtlMs = step.ttl === undefined ? undefined : step.ttl + (i % step.spread)
          const changed = { ...settings, messageTtlMs }
          store.queue(1).configure(changed)
          model.configure(changed)
          const body = String(++last).padEnd(step.size)
          store.publish(1, body, true, step.priority)
          model.publish(last, body.length, step.priority, undefined)
        }
        store.commit()
      } else if (step.op === 'pass') {
        pass(step.ms)
        let before: number
        do {
          before = model.deaths.length
          pass(10)
        } while (model.deaths.length > before)
      } else if (step.op === 'get') {
        for (let i = 0; i < step.count; i++) {
          expect(store.get(1)?.trimEnd()).toBe(model.get()?.toString())
        }
      } else if (step.op === 'settle') {
        for (let i = 0; i < step.count && model.unacked.length > 0; i++) {
          store.settle(Outcome[step.outcome])
          model.settle(0, step.outcome, false)
        }
        store.queue(1).pump()
        model.pump()
      } else {
        store.commit()
        clock += step.ms
        store = new StoreBench(folder, [1], { ...options, wall: clock })
        store.pass(0)
        store.pass(1)
        clock += 1
        model.restart(step.ms + 1)
        store.queue(1).pump()
      }
      // What is to be dropped may have to be read first.
      for (let i = 0; i < 4; i++) {
        store.commit()
        store.queue(1).pump()
      }
      expect(store.queue(1).readyCount(), step.op).toBe(model.ready.length)
    }
    expect(store.drain(1).map(Number)).toEqual(model.ready.map(({ number }) => number))
    rmSync(folder, { recursive: true })
  }

  test('end the same in memory, on disk and over restarts', { timeout: 120_000 }, () => {
    fc.assert(
      fc.property(
        fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined, freq: 2 }),
        fc.option(fc.integer({ min: 50, max: 500 }), { nil: undefined, freq: 2 }),
        fc.constantFrom(undefined, 'dlx'),
        fc.array(step, { maxLength: 30 }),
        run,
      ),
      { numRuns: Number(process.env['BOUNDS_RUNS'] ?? 15) },
    )
  })
})
