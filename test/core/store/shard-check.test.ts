import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { asideFolder, segmentFolder } from '../../../core/store/layout.ts'
import type { StoredQueue } from '../../../core/store/restoration.ts'
import { checkShard } from '../../../core/store/shard-check.ts'
import {
  blockOffsets,
  damage,
  newFolder,
  removeFolders,
  StoreBench,
  salt,
  walFiles,
} from './store-bench.ts'

afterEach(removeFolders)

const queues: ReadonlyMap<number, StoredQueue> = new Map([
  [1, { id: 1, vhost: '/', name: 'orders', shard: 0 }],
])

function check(folder: string): { notes: string[]; problems: string[] } {
  const notes: string[] = []
  const problems: string[] = []
  checkShard(folder, queues, salt, {
    note: (text) => notes.push(text),
    problem: (text) => problems.push(text),
  })
  return { notes, problems }
}

/** 5000 messages, most of them in segments. */
function fill(folder: string): void {
  const store = new StoreBench(folder, [1], { queueMemoryBudget: 0, generationBytes: 100_000 })
  for (let i = 0; i < 5000; i++) {
    store.publish(1, `m${i}`)
    if (i % 100 === 99) store.commit()
  }
}

test('says how many messages there are, and changes nothing', () => {
  const folder = newFolder()
  fill(folder)
  const { notes, problems } = check(folder)
  expect(problems).toEqual([])
  expect(notes).toContain("queue 'orders' in vhost '/': 5000 messages")
  expect(existsSync(asideFolder(folder))).toBe(false)
  expect(check(folder)).toEqual({ notes, problems })
})

test('finds a damaged block in a segment', () => {
  const folder = newFolder()
  fill(folder)
  const name = readdirSync(segmentFolder(folder)).sort()[0] ?? ''
  damage(join(segmentFolder(folder), name), (bytes) => {
    bytes[600] = (bytes[600] as number) ^ 1
    return bytes
  })
  const { problems } = check(folder)
  expect(problems).toHaveLength(1)
  expect(problems[0]).toContain(name)
})

test('finds a damaged block in the log, and leaves it where it is', () => {
  const folder = newFolder()
  fill(folder)
  const store = new StoreBench(folder, [1], { retires: false })
  for (const body of ['x', 'y', 'z']) {
    store.publish(1, body)
    store.commit()
  }
  const file = walFiles(folder).find((name) => blockOffsets(name).length > 2) ?? ''
  const at = blockOffsets(file)[1] ?? 0
  damage(file, (bytes) => {
    bytes[at + 20] = (bytes[at + 20] as number) ^ 1
    return bytes
  })
  expect(check(folder).problems.join()).toContain(`at ${at}`)
  expect(existsSync(asideFolder(folder))).toBe(false)
})

test('a shard that never had messages is sound', () => {
  expect(check(newFolder()).problems).toEqual([])
})
