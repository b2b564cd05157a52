// What leaves the log and memory: segments, reading back, giving space back; and a model that
// everything is compared with.

import { cpSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import type { Disk } from '../../../core/store/disk.ts'
import { nodeDisk } from '../../../core/store/disk.ts'
import { asideFolder, segmentFolder } from '../../../core/store/layout.ts'
import { Outcome } from '../../../shared/bus/wire.ts'
import {
  blockOffsets,
  damage,
  newFolder,
  removeFolders,
  StoreBench,
  walFiles,
} from './store-bench.ts'

afterEach(removeFolders)

const small = { queueMemoryBudget: 0, generationBytes: 64 * 1024 }

function segments(folder: string): string[] {
  return readdirSync(segmentFolder(folder)).sort()
}

function numbers(count: number, from = 0): string[] {
  return Array.from({ length: count }, (_, i) => `m${from + i}`)
}

/** Publishes with a commit after every 100. */
function publishAll(store: StoreBench, queue: number | number[], bodies: readonly string[]): void {
  for (const [i, body] of bodies.entries()) {
    store.publish(queue, body)
    if (i % 100 === 99) store.commit()
  }
  store.commit()
}

describe('a backlog', () => {
  test('leaves memory once it is on disk, and is read back in order', () => {
    const store = new StoreBench(newFolder(), [1], small)
    const bodies = numbers(20_000)
    publishAll(store, 1, bodies)
    expect(store.queue(1).readyCount()).toBe(20_000)
    expect(store.state.messages.count).toBeLessThan(2000)
    expect(store.drain(1)).toEqual(bodies)
  })

  test('of which a part was damaged in the log is told when it leaves the log', () => {
    const folder = newFolder()
    const store = new StoreBench(folder, [1], { ...small, queueMemoryBudget: 1 << 30 })
    publishAll(store, 1, numbers(300))
    const [file = ''] = walFiles(folder)
    const at = blockOffsets(file)[1] ?? 0
    damage(file, (bytes) => {
      bytes[at + 100] = (bytes[at + 100] as number) ^ 1
    })
    publishAll(store, 1, numbers(3000, 300))
    expect(store.reports.map(({ text }) => text)).toEqual(['damaged in retirement'])
    expect(store.drain(1)).toEqual(numbers(3300))
  })

  test('within the budget stays in memory', () => {
    const store = new StoreBench(newFolder(), [1], { ...small, queueMemoryBudget: 1 << 30 })
    publishAll(store, 1, numbers(5000))
    expect(store.state.messages.count).toBe(5000)
  })

  test('of many queues stays within the budget of the node', () => {
    const ids = Array.from({ length: 20 }, (_, i) => i + 1)
    const budgets = { queueMemoryBudget: 1 << 30, memoryBudget: 8 << 20 }
    const store = new StoreBench(newFolder(), ids, { ...budgets, generationBytes: 1 << 20 })
    const bodies = numbers(500).map((body) => body.padEnd(4000))
    for (const body of bodies) {
      for (const id of ids) store.publish(id, body)
      store.commit()
    }
    // 40 MB in all; in memory are the budget and what is not in segments yet.
    expect(store.state.messages.count * 4000).toBeLessThan(14e6)
    for (const id of ids) expect(store.drain(id)).toEqual(bodies)
  })

  test('keeps the budget of its front in memory', () => {
    const store = new StoreBench(newFolder(), [1], { ...small, queueMemoryBudget: 100_000 })
    publishAll(store, 1, numbers(10_000))
    expect(store.state.messages.count).toBeGreaterThan(1000)
    expect(store.state.messages.count).toBeLessThan(4000)
    expect(store.drain(1)).toEqual(numbers(10_000))
  })

  test('is there again after a restart, without being read', () => {
    const folder = newFolder()
    publishAll(new StoreBench(folder, [1], small), 1, numbers(20_000))
    const after = new StoreBench(folder, [1], small)
    expect(after.queue(1).readyCount()).toBe(20_000)
    expect(after.state.messages.count).toBeLessThan(2000)
    publishAll(after, 1, numbers(5000, 20_000))
    expect(after.drain(1)).toEqual(numbers(25_000))
  })

  test('gives its space back when it is consumed, and the log its files', () => {
    const folder = newFolder()
    const store = new StoreBench(folder, [1, 2], small)
    publishAll(store, 1, numbers(20_000))
    expect(segments(folder).length).toBeGreaterThan(5)
    for (let i = 0; i < 20_000; i++) {
      expect(store.get(1, true)).toBe(`m${i}`)
      if (i % 100 === 99) store.commit()
    }
    store.commit()
    store.commit()
    expect(segments(folder)).toEqual([])
    expect(walFiles(folder).length).toBeLessThanOrEqual(2)
  })

  test('of which little is left gives back the space of the rest', () => {
    const folder = newFolder()
    const store = new StoreBench(folder, [1, 2], { ...small, generationBytes: 256 * 1024 })
    const bodies = numbers(10_000).map((body) => body.padEnd(200))
    publishAll(store, 1, bodies)
    const bytes = (): number =>
      segments(folder)
        .map((name) => statSync(join(segmentFolder(folder), name)).size)
        .reduce((sum, size) => sum + size, 0)
    const before = bytes()
    const left: string[] = []
    for (const [i, body] of bodies.entries()) {
      expect(store.get(1)).toBe(body)
      if (i % 50 !== 7) store.settle()
      else {
        left.push(body)
        store.keepUnsettled()
      }
      if (i % 100 === 99) store.commit()
    }
    // Generations go on, with what another queue does.
    publishAll(
      store,
      2,
      numbers(8000).map((body) => body.padEnd(200)),
    )
    expect(store.queue(2).purge()).toBe(8000)
    publishAll(
      store,
      2,
      numbers(8000).map((body) => body.padEnd(200)),
    )
    expect(store.queue(2).purge()).toBe(8000)
    publishAll(
      store,
      2,
      numbers(2000).map((body) => body.padEnd(200)),
    )
    expect(store.queue(2).purge()).toBe(2000)
    store.commit()
    expect(bytes()).toBeLessThan(before / 5)
    const after = new StoreBench(folder, [1, 2], small)
    expect(after.drain(1)).toEqual(left)
    expect(after.reports.filter(({ level }) => level !== 'info')).toEqual([])
  })

  test('that is in two segments, as a crash may leave it when one is written anew, comes once', () => {
    const folder = newFolder()
    publishAll(new StoreBench(folder, [1], small), 1, numbers(6000))
    const name = segments(folder)[1] ?? ''
    const file = join(segmentFolder(folder), name)
    cpSync(file, file.replace('-0.seg', '-1.seg'))
    const after = new StoreBench(folder, [1], small)
    expect(after.queue(1).readyCount()).toBe(6000)
    expect(after.drain(1)).toEqual(numbers(6000))
  })

  test('that is consumed as it comes is never read or written again', () => {
    const folder = newFolder()
    const reads: string[] = []
    const disk: Disk = {
      ...nodeDisk,
      read: (...what) => {
        reads.push('read')
        return nodeDisk.read(...what)
      },
    }
    const store = new StoreBench(folder, [1], { ...small, disk, retireWaitMs: 60_000 })
    reads.length = 0
    for (let i = 0; i < 20_000; i++) {
      store.publish(1, `m${i}`)
      // A few are always on their way.
      if (i >= 50) expect(store.get(1, true)).toBe(`m${i - 50}`)
      if (i % 100 === 99) store.commit()
    }
    store.commit()
    expect(walFiles(folder).length).toBeLessThanOrEqual(3)
    expect(reads).toEqual([])
    expect(segments(folder)).toEqual([])
    expect(new StoreBench(folder, [1], small).drain(1)).toEqual(numbers(50, 19_950))
  })

  test('is purged and deleted on disk as well', () => {
    const folder = newFolder()
    const store = new StoreBench(folder, [1, 2], small)
    publishAll(store, 1, numbers(10_000))
    publishAll(store, 2, numbers(10_000))
    expect(store.queue(1).purge()).toBe(10_000)
    store.queue(2).destroy()
    store.state.queues.delete(2)
    store.commit()
    store.commit()
    expect(segments(folder)).toEqual([])
    expect(store.state.messages.count).toBe(0)
    const after = new StoreBench(folder, [1], small)
    expect(after.queue(1).readyCount()).toBe(0)
    publishAll(after, 1, ['next'])
    expect(after.drain(1)).toEqual(['next'])
  })

  test('of large messages is read back too', () => {
    const folder = newFolder()
    const bodies = [70_000, 300_000, 3_000_000, 10, 900_000].map((size, i) =>
      String.fromCharCode(97 + i).repeat(size),
    )
    const store = new StoreBench(folder, [1], small)
    for (const body of bodies) publishAll(store, 1, [body])
    expect(store.drain(1)).toEqual(bodies)
    expect(new StoreBench(folder, [1], small).drain(1)).toEqual(bodies)
  })

  test('in many queues is stored once', () => {
    const folder = newFolder()
    const ids = [1, 2, 3, 4, 5, 6, 7, 8]
    const store = new StoreBench(folder, ids, small)
    const body = 'x'.repeat(10_000)
    for (let i = 0; i < 100; i++) {
      store.publish(ids, body)
      store.commit()
    }
    const bytes = segments(folder).reduce(
      (sum, name) => sum + readFileSync(join(segmentFolder(folder), name)).length,
      0,
    )
    expect(bytes).toBeLessThan(1_100_000)
    for (const id of ids) expect(store.drain(id)).toHaveLength(100)
  })

  test('with a damaged block loses only that, and says so', () => {
    const folder = newFolder()
    const store = new StoreBench(folder, [1], { ...small, generationBytes: 1 << 20 })
    publishAll(store, 1, numbers(30_000))
    const name = join(segmentFolder(folder), segments(folder)[0] ?? '')
    const bytes = readFileSync(name)
    bytes[5000] = (bytes[5000] as number) ^ 1
    writeFileSync(name, bytes)
    const found = store.drain(1)
    expect(found.length).toBeLessThan(30_000)
    expect(found.length).toBeGreaterThan(25_000)
    expect([...found].sort((a, b) => Number(a.slice(1)) - Number(b.slice(1)))).toEqual(found)
    expect(store.reports).toContainEqual(
      expect.objectContaining({
        level: 'error',
        fields: { queue: 1, messages: 30_000 - found.length },
      }),
    )
  })

  test('leaves transient messages in memory, in their place, and does not call them redelivered', () => {
    const store = new StoreBench(newFolder(), [1], small)
    const bodies = numbers(3000)
    for (const [i, body] of bodies.entries()) {
      store.publish(1, body, i % 10 !== 5)
      if (i % 100 === 99) store.commit()
    }
    expect(store.state.messages.count).toBeLessThan(2000)
    for (const body of bodies) {
      expect(store.get(1)).toBe(body)
      expect(store.redelivered, body).toBe(false)
    }
  })

  test('whose segment has lost its end is read all the same', () => {
    const folder = newFolder()
    publishAll(new StoreBench(folder, [1, 2], small), 1, numbers(10_000))
    const name = join(segmentFolder(folder), segments(folder)[2] ?? '')
    damage(name, (bytes) => bytes.subarray(0, bytes.length - 600))
    const after = new StoreBench(folder, [1, 2], small)
    expect(after.reports.map(({ text }) => text)).toContain(
      'a segment is damaged at its end: what is whole in it is used',
    )
    expect(after.drain(1)).toEqual(numbers(10_000))
  })

  test('whose segment is missing: the rest, and a report', () => {
    const folder = newFolder()
    publishAll(new StoreBench(folder, [1], small), 1, numbers(10_000))
    const name = segments(folder)[1] ?? ''
    rmSync(join(segmentFolder(folder), name))
    const after = new StoreBench(folder, [1], small)
    expect(after.reports).toContainEqual({
      level: 'error',
      text: 'a segment is missing: its messages are lost',
      fields: { name },
    })
    const found = after.drain(1)
    expect(found.length).toBeLessThan(10_000)
    expect(found.at(-1)).toBe('m9999')
    // It is told once.
    expect(new StoreBench(folder, [1], small).reports.map(({ level }) => level)).toEqual(['info'])
  })

  test('of queues that nobody knows is moved aside, not removed', () => {
    const folder = newFolder()
    publishAll(new StoreBench(folder, [1], small), 1, numbers(5000))
    const before = segments(folder)
    const after = new StoreBench(folder, [2], small)
    expect(segments(folder)).toEqual([])
    expect(readdirSync(asideFolder(folder)).sort()).toEqual(before)
    expect(after.reports[0]).toMatchObject({ level: 'warn', fields: { queues: [1] } })
  })

  test('is whole when a generation ends before the one before it is retired', () => {
    const folder = newFolder()
    const ids = Array.from({ length: 30_000 }, (_, i) => i + 1)
    const store = new StoreBench(folder, ids, { ...small, generationBytes: 20_000 })
    // The log thread rests while one generation's checkpoint is said, and the next begins.
    const bodies = numbers(60)
    for (const body of bodies) {
      store.publish(30_000, body.padEnd(1000))
      store.log.flush()
    }
    store.thread.turn()
    const after = new StoreBench(folder, ids, small)
    expect(after.drain(30_000).map((body) => body.trimEnd())).toEqual(bodies)
  })

  test('in an unfinished segment is still in the log', () => {
    const folder = newFolder()
    const store = new StoreBench(folder, [1], { ...small, retires: false })
    publishAll(store, 1, numbers(3000))
    writeFileSync(join(segmentFolder(folder), '0000000001-0.seg'), Buffer.alloc(70_000, 7))
    const after = new StoreBench(folder, [1], small)
    expect(after.drain(1)).toEqual(numbers(3000))
    expect(after.reports.map(({ text }) => text)).toContain(
      'a segment was not finished: its messages are in the log',
    )
  })
})

describe('any sequence of operations and crashes', () => {
  const seeds = Number(process.env['WARREN_STORE_SEEDS'] ?? 5)
  test.each(Array.from({ length: seeds }, (_, i) => i + 1))('seed %i', (seed) => {
    runModel(seed)
  })
})

/** Runs random operations against arrays of bodies. */
function runModel(seed: number): void {
  const random = generator(seed)
  const ids = [1, 2, 3]
  const folder = newFolder()
  const options = {
    queueMemoryBudget: random(2) * 20_000,
    generationBytes: 4000 + random(60_000),
    retireWaitMs: random(2) * 20,
  }
  let store = new StoreBench(folder, ids, options)
  let ready = new Map<number, string[]>(ids.map((id) => [id, []]))
  let taken: { id: number; body: string; order: number }[] = []
  const order = new Map<string, number>()
  let count = 0
  const giveBack = (id: number, body: string): void => {
    const list = ready.get(id) ?? []
    list.push(body)
    list.sort((a, b) => (order.get(a) ?? 0) - (order.get(b) ?? 0))
  }
  for (let step = 0; step < 2500; step++) {
    const what = random(100)
    const id = ids[random(3)] as number
    if (what < 50) {
      const targets = random(4) === 0 ? ids : [id]
      const body = `${count}-${'x'.repeat(random(200))}`
      order.set(body, count++)
      store.publish(targets, body)
      for (const target of targets) ready.get(target)?.push(body)
    } else if (what < 80) {
      const expected = ready.get(id)?.shift()
      expect(store.get(id), `step ${step}`).toBe(expected)
      if (expected !== undefined) taken.push({ id, body: expected, order: 0 })
    } else if (what < 93) {
      const first = taken.shift()
      if (first === undefined) continue
      const requeue = random(4) === 0
      store.settle(requeue ? Outcome.requeue : Outcome.complete)
      if (requeue) giveBack(first.id, first.body)
    } else if (what < 98) store.commit()
    else if (what === 98 && random(10) === 0) {
      expect(store.queue(id).purge()).toBe(ready.get(id)?.length)
      ready.set(id, [])
    } else if (what === 99 && random(5) === 0) {
      store.commit()
      store = new StoreBench(folder, ids, options)
      for (const { id: from, body } of taken) giveBack(from, body)
      taken = []
      for (const each of ids) {
        expect(store.queue(each).readyCount(), `step ${step}`).toBe(ready.get(each)?.length)
      }
    }
  }
  store.commit()
  store = new StoreBench(folder, ids, options)
  for (const { id, body } of taken) giveBack(id, body)
  for (const id of ids) expect(store.drain(id)).toEqual(ready.get(id))
  ready = new Map()
  expect(store.reports.filter(({ level }) => level === 'error')).toEqual([])
}

/** Numbers below `limit`, the same for the same seed. */
function generator(seed: number): (limit: number) => number {
  let state = seed * 2654435761
  return (limit) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x6d2b79f5) | 0
    return ((state ^ (state >>> 12)) >>> 0) % limit
  }
}
