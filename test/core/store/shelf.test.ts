// Messages that cannot die yet, and others that are looked at where they are, on disk only: memory
// stays bounded, none is lost, none comes twice.

import { afterEach, describe, expect, test } from 'vitest'
import type { DeathReason, DyingQueue } from '../../../core/queue/death.ts'
import { DiskLook } from '../../../core/queue/disk-look.ts'
import { dyingMax } from '../../../core/queue/shelf.ts'
import type { ShardState } from '../../../core/shard/shard-state.ts'
import { Outcome } from '../../../shared/bus/wire.ts'
import { newFolder, removeFolders, StoreBench } from './store-bench.ts'

afterEach(removeFolders)

interface Death {
  readonly queue: DyingQueue
  readonly row: number
  readonly position: number
  readonly reason: DeathReason
}

const settings = {
  type: 'quorum',
  deadLetterExchange: 'dlx',
  deadLetterStrategy: 'at-least-once',
  overflow: 'reject-publish',
} as const
/** Generations of some 300 messages, and nothing stays in memory that is on disk too. */
const small = { generationBytes: 32_768, queueMemoryBudget: 0, settings }
const count = 6000

/** A store with a queue whose dead letters get nowhere until `bury`. */
function open(folder: string): { store: StoreBench; dying: Death[] } {
  const dying: Death[] = []
  const prepare = (state: ShardState): void => {
    state.deaths.add = (queue, row, position, reason) => {
      dying.push({ queue, row, position, reason })
    }
  }
  return { store: new StoreBench(folder, [1], { ...small, prepare }), dying }
}

/** Lets everything that dies go, until nothing more comes; what it was, by position. */
function bury(store: StoreBench, dying: Death[], most = Number.POSITIVE_INFINITY): Death[] {
  const buried: Death[] = []
  for (let idle = 0; idle < 5 && buried.length < most; idle++) {
    for (const death of dying.splice(0, most - buried.length)) {
      idle = 0
      buried.push(death)
      death.queue.buried(death.row, death.position)
    }
    store.commit()
    store.pass(25)
    store.commit()
  }
  return buried
}

function fill(store: StoreBench): void {
  for (let i = 0; i < count; i++) {
    store.publish(1, `${i}`)
    if (i % 300 === 299) store.commit()
  }
  store.commit()
}

describe('at-least-once without a place to go', () => {
  test.each(['rejected', 'expired'] as const)(
    'keeps few in memory of those that were %s',
    (reason) => {
      const { store, dying } = open(newFolder())
      const queue = store.queue(1)
      if (reason === 'expired') queue.configure({ ...queue.settings, messageTtlMs: 10 })
      fill(store)
      if (reason === 'expired') store.pass(20)
      else while (store.get(1) !== undefined) store.settle(Outcome.discard)
      for (let i = 0; i < 20; i++) {
        store.commit()
        store.pass(25)
      }
      expect(dying.length).toBe(dyingMax)
      // Beside those, what one piece of a file brings may wait, and what is in the log only.
      expect(store.state.messages.count).toBeLessThan(dyingMax + 1500)
      expect(queue.readyCount()).toBe(0)
      expect(store.state.timers.count).toBe(0)
      const buried = bury(store, dying)
      expect(buried.map(({ position }) => position).sort((a, b) => a - b)).toEqual(
        Array.from({ length: count }, (_, i) => i),
      )
      expect(new Set(buried.map((death) => death.reason))).toEqual(new Set([reason]))
      expect(store.state.messages.count).toBe(0)
      expect(queue.dyingCount).toBe(0)
    },
  )

  test('goes on after a crash, with all that had not arrived', () => {
    const folder = newFolder()
    const { store, dying } = open(folder)
    fill(store)
    for (let i = 0; i < count - 100; i++) {
      store.get(1)
      store.settle(Outcome.discard)
    }
    store.commit()
    const before = bury(store, dying, 3000)
    expect(before).toHaveLength(3000)
    const { store: after, dying: again } = open(folder)
    after.pass(25)
    after.commit()
    expect(after.queue(1).readyCount()).toBe(100)
    expect(again.length).toBeLessThanOrEqual(dyingMax)
    const buried = [...before, ...bury(after, again)]
    expect(buried.map(({ position }) => position).sort((a, b) => a - b)).toEqual(
      Array.from({ length: count - 100 }, (_, i) => i),
    )
    expect(after.drain(1)).toEqual(Array.from({ length: 100 }, (_, i) => `${count - 100 + i}`))
  })

  test('stays when the queue is purged', () => {
    const { store, dying } = open(newFolder())
    const queue = store.queue(1)
    fill(store)
    for (let i = 0; i < 4000; i++) {
      store.get(1)
      store.settle(Outcome.discard)
    }
    store.commit()
    expect(queue.purge()).toBe(count - 4000)
    expect(bury(store, dying)).toHaveLength(4000)
  })
})

describe('a look at what is on disk only', () => {
  function look(
    store: StoreBench,
    from: number,
    most: number,
  ): { row: number; position: number }[] {
    const found: { row: number; position: number }[] = []
    const queue = store.queue(1)
    const stored = queue.nextStored(from)
    if (stored === undefined) return found
    let over = false
    const onEnd = (exhausted: boolean): void => {
      over = exhausted || !disk.read()
    }
    const take = (row: number, position: number): void => {
      found.push({ row, position })
    }
    const disk = new DiskLook(queue, store.state.log, stored, most, take, onEnd)
    disk.read()
    for (let i = 0; i < 100 && !over; i++) store.commit()
    expect(over).toBe(true)
    return found
  }

  test('finds messages by position and changes nothing', () => {
    const store = new StoreBench(newFolder(), [1], { ...small, settings: {} })
    fill(store)
    const kept = store.state.messages.count
    for (const from of [0, 1, 2321, 4500]) {
      const found = look(store, from, 10)
      expect(found.map(({ position }) => position)).toEqual(
        Array.from({ length: 10 }, (_, i) => from + i),
      )
      for (const { row } of found) store.state.messages.release(row)
    }
    expect(store.state.messages.count).toBe(kept)
    expect(store.drain(1)).toEqual(Array.from({ length: count }, (_, i) => `${i}`))
  })

  test('takes messages out, and puts them back where they were', () => {
    const store = new StoreBench(newFolder(), [1], { ...small, settings: {} })
    const queue = store.queue(1)
    fill(store)
    const found = look(store, 3000, 200)
    for (const { row, position } of found) expect(queue.takeStored(row, position)).toBe(row)
    expect(queue.readyCount()).toBe(count - 200)
    const gone = new Set(found.filter((_, i) => i % 2 === 0).map(({ position }) => position))
    for (const { row, position } of found.slice(0, 100)) {
      if (gone.has(position)) queue.buried(row, position)
      else queue.unburied(row, position)
    }
    const bodies: string[] = []
    for (let i = 0; i < 3500; i++) bodies.push(store.get(1) as string)
    // The queue has read past these meanwhile.
    for (const { row, position } of found.slice(100)) {
      if (gone.has(position)) queue.buried(row, position)
      else queue.unburied(row, position)
    }
    bodies.push(...store.drain(1))
    const all = Array.from({ length: count }, (_, i) => i).filter((at) => !gone.has(at))
    expect(bodies).toHaveLength(all.length)
    expect(bodies.map(Number).sort((a, b) => a - b)).toEqual(all)
  })
})
