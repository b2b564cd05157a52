// A disk that refuses: nothing is confirmed then, nothing that was confirmed is lost, and the log goes
// on when the disk does.

import { afterEach, describe, expect, test } from 'vitest'
import type { Disk } from '../../../core/store/disk.ts'
import { nodeDisk } from '../../../core/store/disk.ts'
import { eventually } from '../../support/wait.ts'
import { newFolder, removeFolders, StoreBench, walFiles } from './store-bench.ts'

afterEach(removeFolders)

type Call = 'write' | 'sync' | 'open' | 'rename' | 'read'

/** A disk that fails the calls in `failing`. */
function faultyDisk(): { disk: Disk; failing: Set<Call>; calls: Call[] } {
  const failing = new Set<Call>()
  const calls: Call[] = []
  const check = (call: Call, code: string): void => {
    calls.push(call)
    if (failing.has(call)) throw new Error(`${code}: made to fail`)
  }
  const disk: Disk = {
    ...nodeDisk,
    write: (fd, bytes, size, position) => {
      check('write', 'ENOSPC')
      nodeDisk.write(fd, bytes, size, position)
    },
    sync: (fd) => {
      check('sync', 'EIO')
      nodeDisk.sync(fd)
    },
    open: (path, create) => {
      if (create) check('open', 'EROFS')
      return nodeDisk.open(path, create)
    },
    read: (fd, bytes, at, size, position) => {
      check('read', 'EIO')
      return nodeDisk.read(fd, bytes, at, size, position)
    },
    rename: (from, to) => {
      check('rename', 'EROFS')
      nodeDisk.rename(from, to)
    },
  }
  return { disk, failing, calls }
}

/** Log position that the last message of queue 1 waits for. */
function publish(store: StoreBench, body: string): number {
  store.publish(1, body)
  return store.queue(1).logPosition
}

describe.each<Call>(['write', 'sync'])('when %s fails', (call) => {
  test('nothing is confirmed, and all of it once the disk works again', () => {
    const folder = newFolder()
    const { disk, failing } = faultyDisk()
    const store = new StoreBench(folder, [1], { disk, retires: false })
    const before = publish(store, 'a')
    store.commit()
    failing.add(call)
    const during = publish(store, 'b')
    expect(store.commit()).toBe('failed')
    // Writing would go on in another file.
    failing.add('open')
    for (let i = 0; i < 3; i++) expect(store.commit()).toBe('failed')
    expect(store.log.committedUpTo).toBeLessThan(during)
    expect(store.log.committedUpTo).toBeGreaterThanOrEqual(before)
    expect(store.trouble).toHaveLength(1)
    failing.clear()
    store.commit()
    expect(store.trouble).toEqual([])
    expect(store.log.committedUpTo).toBeGreaterThanOrEqual(during)
    const after = new StoreBench(folder, [1], { retires: false })
    expect(after.drain(1)).toEqual(['a', 'b'])
    expect(after.reports.filter(({ level }) => level === 'error')).toEqual([])
  })

  test('and the node dies then: what was confirmed is there', () => {
    const folder = newFolder()
    const { disk, failing } = faultyDisk()
    const store = new StoreBench(folder, [1], { disk, retires: false })
    publish(store, 'a')
    store.commit()
    failing.add(call)
    publish(store, 'b')
    store.commit()
    const found = new StoreBench(folder, [1]).drain(1)
    expect(found[0]).toBe('a')
  })
})

test('a file is never written again after a failed sync', () => {
  const folder = newFolder()
  const { disk, failing } = faultyDisk()
  const store = new StoreBench(folder, [1], { disk, retires: false })
  publish(store, 'a')
  store.commit()
  const files = walFiles(folder).length
  failing.add('sync')
  publish(store, 'b')
  store.commit()
  failing.clear()
  store.commit()
  expect(walFiles(folder).length).toBeGreaterThan(files)
})

test('a disk that stays full leaves no heap of files behind', () => {
  const folder = newFolder()
  const { disk, failing } = faultyDisk()
  const store = new StoreBench(folder, [1], { disk, retires: false })
  publish(store, 'a')
  store.commit()
  failing.add('write')
  publish(store, 'b')
  for (let i = 0; i < 20; i++) store.commit()
  expect(walFiles(folder).length).toBeLessThan(3)
  failing.clear()
  store.commit()
  expect(new StoreBench(folder, [1]).drain(1)).toEqual(['a', 'b'])
})

test('a read that the disk refuses loses nothing', async () => {
  const { disk, failing } = faultyDisk()
  const store = new StoreBench(newFolder(), [1], {
    disk,
    queueMemoryBudget: 0,
    generationBytes: 32_768,
  })
  const bodies = Array.from({ length: 3000 }, (_, i) => `m${i}`)
  for (const [i, body] of bodies.entries()) {
    store.publish(1, body)
    if (i % 50 === 49) store.commit()
  }
  failing.add('read')
  expect(() => store.get(1)).toThrow('never gives')
  failing.clear()
  // A second later it is asked again.
  await eventually('the first message is read', () => {
    store.commit()
    return store.queue(1).ready.first() >= 0
  })
  expect(store.drain(1)).toEqual(bodies)
})

test('retiring starts again after the disk has refused a segment', () => {
  const folder = newFolder()
  const { disk, failing, calls } = faultyDisk()
  const options = { disk, queueMemoryBudget: 0, generationBytes: 32_768 }
  const store = new StoreBench(folder, [1], options)
  const bodies = Array.from({ length: 3000 }, (_, i) => `m${i}`)
  for (const [i, body] of bodies.entries()) {
    store.publish(1, body)
    if (i % 50 !== 49) continue
    const fails = i % 250 === 249
    if (fails) failing.add(i % 500 === 499 ? 'sync' : 'write')
    store.commit()
    failing.clear()
    store.commit()
  }
  expect(calls.length).toBeGreaterThan(0)
  store.commit()
  expect(store.drain(1)).toEqual(bodies)
  expect(new StoreBench(folder, [1], { ...options, disk: nodeDisk }).drain(1)).toEqual(bodies)
})

test('a file of the log that cannot be given back does not cost what others held', () => {
  const folder = newFolder()
  const { disk, failing } = faultyDisk()
  let renames = 0
  let fails = false
  const options = { queueMemoryBudget: 0, generationBytes: 40_000 }
  const second: Disk = {
    ...disk,
    rename: (from, to) => {
      if (fails && ++renames === 2) throw new Error('EIO: made to fail')
      nodeDisk.rename(from, to)
    },
  }
  const store = new StoreBench(folder, [1], { ...options, disk: second })
  // A generation of two files, since the first cannot be trusted any more.
  const bodies = Array.from({ length: 60 }, (_, i) => `m${i}`.padEnd(1000))
  for (const [i, body] of bodies.entries()) {
    publish(store, body)
    if (i === 15) {
      failing.add('sync')
      store.commit()
      failing.clear()
      fails = true
    }
    store.commit()
  }
  expect(renames).toBeGreaterThan(1)
  expect(new StoreBench(folder, [1], options).drain(1)).toEqual(bodies)
})

test('a settle alone waits for the next message, and shares its sync', () => {
  const { disk, calls } = faultyDisk()
  const store = new StoreBench(newFolder(), [1], { disk, retires: false, settleWaitMs: 60_000 })
  publish(store, 'a')
  store.commit()
  expect(store.get(1, true)).toBe('a')
  calls.length = 0
  expect(store.commit()).toBe('waiting')
  expect(calls).toEqual([])
  const position = publish(store, 'b')
  store.commit()
  expect(store.log.committedUpTo).toBeGreaterThanOrEqual(position)
  expect(calls.filter((call) => call === 'sync')).toHaveLength(1)
})
