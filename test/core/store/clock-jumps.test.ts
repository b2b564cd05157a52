// A wall clock that stands before the last stop when a node starts, or far behind it.

import { afterEach, describe, expect, test } from 'vitest'
import { DelayedMessages } from '../../../core/delay/delayed-messages.ts'
import { EntryCopier } from '../../../core/message/entry-copier.ts'
import type { ShardState } from '../../../core/shard/shard-state.ts'
import { nodeDisk } from '../../../core/store/disk.ts'
import { scanStream } from '../../../core/store/stream-scan.ts'
import { StreamWriter } from '../../../core/store/stream-writer.ts'
import { EntryFlag, entryWords } from '../../../shared/bus/wire.ts'
import { encodeProperties } from '../../../shared/message/properties.ts'
import { chunkHeaderBytes } from '../../../shared/stream/chunk.ts'
import type { StoreOptions } from './store-bench.ts'
import { damage, newFolder, removeFolders, StoreBench } from './store-bench.ts'

afterEach(removeFolders)

const wall = 1_700_000_000_000
const hour = 3_600_000
const years = 20 * 365 * 24 * hour
const minute = 60_000
const inSegments = { generationBytes: 32_768, queueMemoryBudget: 0 }
const places: [string, StoreOptions][] = [
  ['in the log', {}],
  ['in segments', inSegments],
]

describe.each(places)('messages with a time, %s', (_, place) => {
  const settings = { messageTtlMs: minute, declaredTtlMs: minute }
  const bodies = Array.from({ length: 1000 }, (_, i) => `${i}`)

  function written(): string {
    const folder = newFolder()
    const store = new StoreBench(folder, [1, 2], { ...place, settings, wall })
    store.queue(2).configure({ ...store.queue(2).settings, messageTtlMs: undefined })
    for (const [i, body] of bodies.entries()) {
      store.publish([1, 2], body)
      if (i % 50 === 49) store.commit()
    }
    store.commit()
    return folder
  }

  test.each([hour, years])(
    'have no longer than they were given after a start %i ms before',
    (ms) => {
      const folder = written()
      const after = new StoreBench(folder, [1, 2], { ...place, settings, wall: wall - ms })
      after.pass(minute - 10)
      expect(after.queue(1).readyCount()).toBe(bodies.length)
      after.pass(11)
      expect(after.queue(1).readyCount()).toBe(0)
      expect(after.drain(2)).toEqual(bodies)
    },
  )

  test('are all that goes when the clock has jumped ahead', () => {
    const after = new StoreBench(written(), [1, 2], { ...place, settings, wall: wall + years })
    after.pass(1)
    expect(after.queue(1).readyCount()).toBe(0)
    expect(after.drain(2)).toEqual(bodies)
    after.publish([1, 2], 'new')
    after.commit()
    expect(after.queue(1).readyCount()).toBe(1)
  })
})

describe.each(places)('delayed messages, %s', (_, place) => {
  function open(folder: string, at: number): { store: StoreBench; delayed: DelayedMessages } {
    let delayed: DelayedMessages | undefined
    const prepare = (state: ShardState): void => {
      const copies = new EntryCopier(state.arena, state.slabs)
      const { messages, arena, log, clock, timers } = state
      const lost = (): void => expect.unreachable('nothing is lost')
      const own = { messages, arena, log, clock, timers, copies, wake: () => {}, lost }
      const memoryBudget = place.queueMemoryBudget ?? 1 << 30
      delayed = new DelayedMessages(7, true, { ...own, memoryBudget })
    }
    const store = new StoreBench(folder, [], { ...place, wall: at, prepare })
    if (delayed === undefined) throw new Error('prepared')
    return { store, delayed }
  }

  function hold(store: StoreBench, delayed: DelayedMessages, delayMs: number): void {
    const { slabs, arena, messages } = store.state
    const headers = [['x-delay', { type: 'l', value: delayMs }]] as const
    const props = encodeProperties({ headers, deliveryMode: 2 })
    const bytes = Buffer.concat([Buffer.from([0, 1, 0x71]), props, Buffer.from(`${delayMs}`)])
    if (!slabs.take(bytes.length)) throw new Error('no slab')
    const { slab, at } = slabs
    bytes.copy(arena.slab(slab), at)
    const words = new Int32Array(entryWords)
    words.set([slab, at, 3, 0, props.length, bytes.length - 3 - props.length, 0])
    const flags = EntryFlag.persistent | EntryFlag.headers
    const row = messages.add(words, 0, flags)
    slabs.close(slab)
    delayed.accept(words, 0, flags, row)
    messages.release(row)
  }

  /** Bodies of what is due, which is let go. */
  function due(store: StoreBench, delayed: DelayedMessages): string[] {
    const found: string[] = []
    for (let looks = 0; looks < 20; looks++) {
      for (let at = delayed.due(); at >= 0; at = delayed.due()) {
        const row = delayed.dueRow()
        const { messages, arena } = store.state
        const size = messages.bodySize[row] as number
        const end = (messages.at[row] as number) + messages.entrySize(row)
        const bytes = arena.slab(messages.slab[row] as number)
        found.push(Buffer.from(bytes.subarray(end - size, end)).toString())
        delayed.take()
        delayed.end(row, at)
      }
      store.commit()
    }
    return found
  }

  const count = 600
  const delays = Array.from({ length: count }, (_, i) => minute + ((i * 7919) % count))
  const inOrder = delays.toSorted((a, b) => a - b).map(String)

  function written(): string {
    const folder = newFolder()
    const { store, delayed } = open(folder, wall)
    for (const [i, delay] of delays.entries()) {
      hold(store, delayed, delay)
      if (i % 50 === 49) store.commit()
    }
    store.commit()
    return folder
  }

  test.each([hour, years])('wait no longer than they asked after a start %i ms before', (ms) => {
    const { store, delayed } = open(written(), wall - ms)
    store.pass(minute - 1)
    expect(due(store, delayed)).toEqual([])
    store.pass(count + 1)
    expect(due(store, delayed)).toEqual(inOrder)
  })

  test('are due, in their order, when the clock has jumped ahead', () => {
    const { store, delayed } = open(written(), wall + years)
    store.pass(1)
    expect(due(store, delayed)).toEqual(inOrder)
  })
})

describe('a stream whose clock has gone back', () => {
  const settings = {
    bytesMax: undefined,
    ageMaxMs: minute,
    segmentBytesMax: 4096,
    filterBytes: 16,
  }

  function append(writer: StreamWriter, now: number): void {
    const bytes = Buffer.alloc(chunkHeaderBytes + 1000, 7)
    writer.append(bytes, chunkHeaderBytes, 1000, 10, 10, 0, 0, now)
    writer.sync()
  }

  test('loses nothing for it, and what is too old goes all the same', () => {
    const folder = newFolder()
    const ahead = new StreamWriter(nodeDisk, folder, settings)
    for (let i = 0; i < 10; i++) append(ahead, wall + years + i)
    ahead.close()
    const writer = new StreamWriter(nodeDisk, folder, settings)
    expect(writer.retain(wall)).toBe(false)
    for (let i = 0; i < 10; i++) append(writer, wall + i)
    expect(writer.retain(wall + minute)).toBe(false)
    expect(writer.first()).toBe(0)
    expect(writer.retain(wall + minute + 10)).toBe(true)
    expect(writer.segments).toHaveLength(1)
    expect(writer.end().next).toBe(200)
    writer.close()
  })

  test('keeps what was confirmed behind a damaged chunk', () => {
    const folder = newFolder()
    const large = { ...settings, segmentBytesMax: 1_000_000 }
    const ahead = new StreamWriter(nodeDisk, folder, large)
    append(ahead, wall + years)
    ahead.close()
    const writer = new StreamWriter(nodeDisk, folder, large)
    for (let i = 0; i < 9; i++) append(writer, wall + 5 * i)
    writer.close()
    damage(`${folder}/00000000000000000000.segment`, (bytes) => {
      bytes[8 + 4 * 1048 + 500] = 0xff
      return undefined
    })
    const { end, damage: told } = scanStream(nodeDisk, folder, true)
    expect(told).toMatchObject({ offset: 8 + 4 * 1048, size: 1048, cut: false })
    expect(end.next).toBe(100)
  })
})
