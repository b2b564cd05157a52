// The table at the head of core/store/recovery.ts, row by row, on files that are really damaged.

import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { afterEach, describe, expect, test } from 'vitest'
import { BlockBuilder } from '../../../core/store/block-builder.ts'
import type { Disk } from '../../../core/store/disk.ts'
import { nodeDisk } from '../../../core/store/disk.ts'
import { blockHeaderBytes, crcFrom } from '../../../core/store/wal-format.ts'
import { Outcome } from '../../../shared/bus/wire.ts'
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

/** Publishes each body in a block of its own. */
function publishEach(store: StoreBench, queue: number, bodies: readonly string[]): void {
  for (const body of bodies) {
    store.publish(queue, body)
    store.commit()
  }
}

/** A store whose log keeps everything, so that there is something to damage. */
function keeping(folder: string): StoreBench {
  return new StoreBench(folder, [1, 2], { retires: false })
}

/** Works on paths but those that end in `name`, for which there is no space. */
function fullFor(name: string, work: (path: string) => void): (path: string) => void {
  return (path) => {
    if (path.endsWith(name)) throw Object.assign(new Error('full'), { code: 'ENOSPC' })
    work(path)
  }
}

function firstFile(folder: string): string {
  const file = walFiles(folder)[0]
  if (file === undefined) throw new Error('no log')
  return file
}

describe('a restart', () => {
  test('brings back persistent messages in order, and nothing else', () => {
    const folder = newFolder()
    const before = new StoreBench(folder, [1, 2])
    before.publish(1, 'a')
    before.publish(1, 'transient', false)
    before.publish([1, 2], 'b')
    before.publish(1, 'c')
    before.commit()
    const after = new StoreBench(folder, [1, 2])
    expect(after.drain(1)).toEqual(['a', 'b', 'c'])
    expect(after.drain(2)).toEqual(['b'])
    expect(after.reports.filter(({ level }) => level !== 'info')).toEqual([])
  })

  test('brings back messages of many queues that were too much for one commit', () => {
    const folder = newFolder()
    const before = new StoreBench(folder, [1, 2, 3])
    // The log thread stops in the middle of these twice.
    const bodies = Array.from({ length: 450 }, (_, i) => `${i} `.padEnd(40_000, '.'))
    for (const body of bodies) before.publish([1, 2, 3], body)
    before.commit()
    const after = new StoreBench(folder, [1, 2, 3])
    for (const queue of [1, 2, 3]) expect(after.drain(queue)).toEqual(bodies)
    expect(after.reports.filter(({ level }) => level !== 'info')).toEqual([])
  })

  test('does not bring back what was settled, purged or deleted', () => {
    const folder = newFolder()
    const before = new StoreBench(folder, [1, 2, 3])
    for (const body of ['a', 'b', 'c']) before.publish(1, body)
    for (const body of ['d', 'e']) before.publish([2, 3], body)
    expect(before.get(1)).toBe('a')
    expect(before.get(1)).toBe('b')
    before.settle(Outcome.requeue)
    before.settle(Outcome.complete)
    before.queue(2).purge()
    before.queue(3).destroy()
    before.commit()
    const after = new StoreBench(folder, [1, 2, 3])
    expect(after.drain(1)).toEqual(['a', 'c'])
    expect(after.drain(2)).toEqual([])
    expect(after.drain(3)).toEqual([])
    expect(after.state.messages.count).toBe(2)
  })

  test('keeps what happens after it, and can be repeated', () => {
    const folder = newFolder()
    for (let round = 0; round < 5; round++) {
      const store = new StoreBench(folder, [1])
      store.publish(1, `m${round}`)
      store.commit()
    }
    const store = new StoreBench(folder, [1])
    expect(store.get(1, true)).toBe('m0')
    store.commit()
    expect(new StoreBench(folder, [1]).drain(1)).toEqual(['m1', 'm2', 'm3', 'm4'])
  })

  test('brings back messages larger than a block, and larger than a slab', () => {
    const folder = newFolder()
    const before = new StoreBench(folder, [1])
    const bodies = [600_000, 1_048_576, 5_000_000].map((size) => 'xyz'.repeat(size / 3))
    for (const body of bodies) before.publish(1, body)
    before.commit()
    expect(new StoreBench(folder, [1]).drain(1)).toEqual(bodies)
  })

  test('a message in more queues than one op takes', () => {
    const folder = newFolder()
    const ids = Array.from({ length: 20_000 }, (_, i) => i + 1)
    const before = new StoreBench(folder, ids)
    before.publish(ids, 'everywhere')
    before.commit()
    const after = new StoreBench(folder, ids)
    expect(after.drain(1)).toEqual(['everywhere'])
    expect(after.drain(20_000)).toEqual(['everywhere'])
  })
})

describe('a recovered message', () => {
  function fill(store: StoreBench): void {
    for (const body of ['a', 'b', 'c', 'd']) store.publish(1, body)
    expect(store.get(1)).toBe('a')
    expect(store.get(1)).toBe('b')
    store.settle(Outcome.complete)
    store.commit()
  }

  function redelivered(store: StoreBench): boolean[] {
    return ['b', 'c', 'd'].map((body) => {
      expect(store.get(1)).toBe(body)
      return store.redelivered
    })
  }

  // RabbitMQ 4.0, head of rabbit_variable_queue.erl: next_deliver_seq_id is kept in the queue's terms on a
  // graceful stop; after any other it is that of the newest message.
  test('is marked as redelivered only if it was delivered, after an orderly stop', () => {
    const folder = newFolder()
    const before = new StoreBench(folder, [1])
    fill(before)
    before.log.stop()
    before.commit()
    const after = new StoreBench(folder, [1], { stoppedCleanly: true })
    expect(redelivered(after)).toEqual([true, false, false])
  })

  test('is marked as redelivered after a crash', () => {
    const folder = newFolder()
    fill(new StoreBench(folder, [1]))
    expect(redelivered(new StoreBench(folder, [1]))).toEqual([true, true, true])
  })
})

describe('recovery finds', () => {
  test('a torn tail: what was synced before it is there, the rest is moved aside', () => {
    const folder = newFolder()
    publishEach(keeping(folder), 1, ['a', 'b', 'c'])
    const file = firstFile(folder)
    const last = blockOffsets(file).at(-1) ?? 0
    damage(file, (bytes) => {
      bytes.fill(0x55, last + 40, last + 50)
    })
    const after = keeping(folder)
    expect(after.drain(1)).toEqual(['a', 'b'])
    expect(after.reports[0]).toMatchObject({ level: 'warn', fields: { offset: last, size: 512 } })
    const saved = String(after.reports[0]?.fields['savedAs'])
    expect(readFileSync(saved).subarray(40, 50)).toEqual(Buffer.alloc(10, 0x55))
  })

  test('a log cut anywhere: all blocks before the cut, whatever the byte', () => {
    const folder = newFolder()
    publishEach(keeping(folder), 1, ['a', 'b', 'c'])
    const file = firstFile(folder)
    const whole = readFileSync(file)
    const offsets = blockOffsets(file).slice(-3)
    for (let cut = (offsets[2] ?? 0) + 300; cut > 0; cut -= 61) {
      damage(file, () => whole.subarray(0, cut))
      for (const other of walFiles(folder).slice(1)) rmSync(other)
      const after = keeping(folder)
      // The smallest cut that leaves a block is its used bytes, not its padding.
      const atLeast = offsets.filter((at) => at + 512 <= cut).length
      const found = after.drain(1)
      expect(['a', 'b', 'c'].slice(0, found.length)).toEqual(found)
      expect(found.length).toBeGreaterThanOrEqual(atLeast)
      expect(found.length).toBeLessThanOrEqual(atLeast + 1)
    }
  })

  test('a torn tail on a full disk: the start goes on, and what is cut is told', () => {
    const folder = newFolder()
    publishEach(keeping(folder), 1, ['a', 'b'])
    const file = firstFile(folder)
    damage(file, (bytes) => {
      bytes[(blockOffsets(file).at(-1) ?? 0) + 60] = 77
    })
    const disk: Disk = { ...nodeDisk, makeFolder: fullFor('damaged', nodeDisk.makeFolder) }
    const after = new StoreBench(folder, [1], { retires: false, disk })
    expect(after.drain(1)).toEqual(['a'])
    expect(after.reports[0]).toMatchObject({ level: 'warn', fields: { savedAs: undefined } })
  })

  test('damage in the middle: only the damaged block is lost, and it is moved aside', () => {
    const folder = newFolder()
    publishEach(keeping(folder), 1, ['a', 'b', 'c'])
    const file = firstFile(folder)
    const middle = blockOffsets(file).at(-2) ?? 0
    damage(file, (bytes) => {
      bytes[middle + 60] = (bytes[middle + 60] as number) ^ 1
    })
    const after = keeping(folder)
    expect(after.drain(1)).toEqual(['a', 'c'])
    const errors = after.reports.filter(({ level }) => level === 'error')
    expect(errors[0]?.fields).toMatchObject({ offset: middle, size: 512 })
    expect(existsSync(String(errors[0]?.fields['savedAs']))).toBe(true)
  })

  test('damage at the end of a file that another one follows', () => {
    const folder = newFolder()
    publishEach(keeping(folder), 1, ['a', 'b'])
    const file = firstFile(folder)
    publishEach(keeping(folder), 1, ['c'])
    const last = blockOffsets(file).at(-1) ?? 0
    damage(file, (bytes) => {
      bytes[last + 60] = (bytes[last + 60] as number) ^ 1
    })
    const after = keeping(folder)
    expect(after.drain(1)).toEqual(['a', 'c'])
    expect(after.reports.some(({ level }) => level === 'error')).toBe(true)
  })

  test('a commit that was torn in its middle: all of it is cut, once', () => {
    const folder = newFolder()
    const before = keeping(folder)
    publishEach(before, 1, ['a', 'b'])
    // One commit, several blocks: a copy of the message first, then its end.
    expect(before.get(1)).toBe('a')
    before.publish(2, `copy ${'a'.repeat(1_500_000)}`)
    before.settle(Outcome.complete)
    before.commit()
    const file = firstFile(folder)
    const [torn = 0, behind] = blockOffsets(file).slice(-2)
    expect(behind).toBeDefined()
    damage(file, (bytes) => {
      bytes.fill(0, torn, torn + 4096)
    })
    const after = keeping(folder)
    expect(after.drain(1)).toEqual(['a', 'b'])
    expect(after.drain(2)).toEqual([])
    expect(after.reports.map(({ level }) => level)).toEqual(['warn', 'info'])
    expect(after.reports[0]?.fields).toMatchObject({ offset: torn })
    publishEach(after, 1, ['c'])
    const again = keeping(folder)
    expect(again.drain(1)).toEqual(['a', 'b', 'c'])
    expect(again.reports.map(({ level }) => level)).toEqual(['info'])
  })

  test('a damaged part of a large message: that one is lost, not given with holes', () => {
    const folder = newFolder()
    const before = keeping(folder)
    publishEach(before, 1, ['a', 'b'.repeat(3_000_000), 'c', 'd'.repeat(2_000_000), 'e'])
    const file = firstFile(folder)
    damage(file, (bytes) => {
      const at = bytes.indexOf('bbbbbbbb', 1_500_000)
      bytes[at] = 0
    })
    const after = keeping(folder)
    expect(after.drain(1)).toEqual(['a', 'c', 'd'.repeat(2_000_000), 'e'])
    expect(after.reports.map(({ text }) => text)).toContain(
      'messages of which a part is damaged: they are lost',
    )
  })

  test('bytes in a damaged message that look like a block: they are none', () => {
    const folder = newFolder()
    const before = keeping(folder)
    publishEach(before, 1, ['a'])
    const file = firstFile(folder)
    const sequence = blockOffsets(file).length + 1
    // What a publisher can make who knows all but the salt: a block that settles everything.
    const forged = new BlockBuilder(0, 512)
    forged.words.set([(6 << 8) | 3, 1, 0, 0, 1000, 0], forged.at)
    forged.at += 6
    forged.finish({ file: 1, sequence, generation: 1, skipped: 0, synced: sequence, first: 1 })
    publishEach(before, 1, [
      'x'.repeat(512 - 48 - 24 - 5) + forged.bytes.toString('latin1', 0, 512),
      'b',
    ])
    const at = blockOffsets(file).at(-3) ?? 0
    damage(file, (bytes) => {
      bytes[at + 20] = 77
    })
    expect(keeping(folder).drain(1)).toEqual(['a', 'b'])
  })

  test('a block with an op that leads nowhere: it is left out, and the start ends', () => {
    const folder = newFolder()
    publishEach(keeping(folder), 1, ['a', 'b', 'c'])
    const file = firstFile(folder)
    const at = blockOffsets(file).at(-2) ?? 0
    damage(file, (bytes) => {
      bytes.writeInt32LE(1, at + blockHeaderBytes)
      const size = bytes.readInt32LE(at + 4)
      bytes.writeUInt32LE(crc32(bytes.subarray(at + crcFrom, at + size), salt), at + 8)
    })
    const after = keeping(folder)
    expect(after.drain(1)).toEqual(['a', 'c'])
    expect(after.reports[0]).toMatchObject({
      level: 'error',
      text: 'a part of the log is damaged: it was left out',
    })
  })

  test('that the oldest file is missing', () => {
    const folder = newFolder()
    for (const body of ['a', 'b', 'c']) publishEach(keeping(folder), 1, [body])
    rmSync(walFiles(folder)[0] ?? '')
    const after = keeping(folder)
    expect(after.drain(1)).toEqual(['b', 'c'])
    expect(after.reports[0]).toMatchObject({
      level: 'error',
      text: 'a part of the log is missing',
      fields: { size: 2 },
    })
  })

  test('no damage where old files were retired', () => {
    const folder = newFolder()
    for (let round = 0; round < 4; round++) {
      const store = new StoreBench(folder, [1], { generationBytes: 20_000 })
      for (let i = 0; i < 50; i++) publishEach(store, 1, [`${round} ${'x'.repeat(1000)}`])
      expect(store.reports.filter(({ level }) => level !== 'info')).toEqual([])
    }
    const file = new StoreBench(folder, [1])
    expect(file.drain(1)).toHaveLength(200)
  })

  test('that the log as a whole is gone, with its folder or without', () => {
    for (const gone of ['', 'wal']) {
      const folder = newFolder()
      expect(keeping(folder).reports).toEqual([])
      expect(keeping(folder).reports).toEqual([])
      publishEach(keeping(folder), 1, ['a'])
      rmSync(join(folder, gone), { recursive: true })
      const after = keeping(folder)
      expect(after.drain(1)).toEqual([])
      expect(after.reports[0]).toMatchObject({
        level: 'error',
        text: 'the log of this shard is gone, and what was only in it',
      })
      publishEach(after, 1, ['b'])
      expect(keeping(folder).drain(1)).toEqual(['b'])
    }
  })

  test('a missing file: what is in the others, and a report', () => {
    const folder = newFolder()
    publishEach(keeping(folder), 1, ['a'])
    publishEach(keeping(folder), 1, ['b'])
    publishEach(keeping(folder), 1, ['c'])
    const files = walFiles(folder)
    expect(files).toHaveLength(3)
    rmSync(files[1] ?? '')
    const after = keeping(folder)
    expect(after.drain(1)).toEqual(['a', 'c'])
    expect(after.reports[0]).toMatchObject({ level: 'error', fields: { size: 2 } })
  })

  test('messages of a queue whose deletion was not logged: dropped and reported', () => {
    const folder = newFolder()
    publishEach(new StoreBench(folder, [1, 7]), 7, ['a', 'b'])
    const after = keeping(folder)
    expect(after.state.messages.count).toBe(0)
    expect(after.reports[0]).toMatchObject({ level: 'warn', fields: { queue: 7, messages: 2 } })
  })

  test('a queue without messages, as when it was just declared', () => {
    const folder = newFolder()
    keeping(folder).commit()
    const after = new StoreBench(folder, [1, 2, 3])
    expect(after.drain(3)).toEqual([])
    expect(after.reports).toEqual([])
  })

  test('an id that belonged to a deleted queue: the new one has its own messages only', () => {
    const folder = newFolder()
    const before = keeping(folder)
    before.publish(1, 'old')
    before.queue(1).destroy()
    before.state.queues.delete(1)
    before.declare(1)
    before.publish(1, 'new')
    before.commit()
    expect(keeping(folder).drain(1)).toEqual(['new'])
  })
})
