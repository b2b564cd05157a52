import { describe, expect, test } from 'vitest'
import { MessageTable } from '../../../core/message/message-table.ts'
import { Arena, createArena } from '../../../shared/bus/arena.ts'
import { SlabReclaimer } from '../../../shared/bus/slab-reclaimer.ts'
import { entryWords } from '../../../shared/bus/wire.ts'

const slabBytes = 16 * 1024

function table(): { messages: MessageTable; reclaimer: SlabReclaimer; arena: Arena } {
  const arena = new Arena(createArena(32 * slabBytes, slabBytes))
  const reclaimer = new SlabReclaimer(arena)
  return { messages: new MessageTable(arena, reclaimer), reclaimer, arena }
}

/** Entry words: exrk 4, extra 0, props 2, then the body. */
function entry(
  slab: number,
  at: number,
  body: number,
  extents: readonly number[] = [],
): Int32Array {
  return Int32Array.from([slab, at, 4, 0, 2, body, extents.length / 3, ...extents])
}

describe('the message table', () => {
  test('keeps a row until its last holder lets go, then uses it again', () => {
    const { messages } = table()
    const row = messages.add(entry(3, 100, 50), 0, 2)
    messages.hold(row)
    messages.release(row)
    expect(messages.isAlive(row)).toBe(true)
    expect(messages.count).toBe(1)
    expect(messages.slabLiveBytes[3]).toBe(56)
    messages.release(row)
    expect(messages.count).toBe(0)
    expect(messages.slabLiveBytes[3]).toBe(0)
    expect(messages.add(entry(4, 0, 1), 0, 0)).toBe(row)
  })

  test('writes the words that it was given, further extents included', () => {
    const { messages } = table()
    const words = entry(1, slabBytes - 100, 100 - 6 + 500, [2, 0, 500])
    const row = messages.add(Int32Array.from([9, 9, ...words]), 2, 0)
    const out = new Int32Array(entryWords + 3)
    messages.writeEntry(row, out, 0)
    expect([...out]).toEqual([...words])
    expect(messages.firstExtentSize(row)).toBe(100)
    expect([messages.slabLiveBytes[1], messages.slabLiveBytes[2]]).toEqual([100, 500])
    messages.release(row)
    expect([messages.slabLiveBytes[1], messages.slabLiveBytes[2]]).toEqual([0, 0])
    expect(messages.extentsOf(row)).toBeUndefined()
  })

  test('lets a sealed slab go with its last message, and not before', () => {
    const { messages, reclaimer, arena } = table()
    const slab = arena.acquire(1, 0)
    const rows = [0, 1, 2].map((i) => messages.add(entry(slab, i * 100, 50), 0, 0))
    reclaimer.seal(slab)
    for (const row of rows) {
      reclaimer.sweep()
      expect(arena.used()).toBe(1)
      messages.release(row)
    }
    reclaimer.sweep()
    expect(arena.used()).toBe(0)
  })

  test('moves the bytes of a row to another slab', () => {
    const { messages } = table()
    const row = messages.add(entry(1, 10, 20), 0, 0)
    messages.move(row, 2, 300)
    expect([messages.slab[row], messages.at[row]]).toEqual([2, 300])
    expect([messages.slabLiveBytes[1], messages.slabLiveBytes[2]]).toEqual([0, 26])
  })

  test('grows, and every row keeps what it holds', () => {
    const { messages } = table()
    const rows = Array.from({ length: 5000 }, (_, i) =>
      messages.add(entry(i % 32, i, i), 0, i & 127),
    )
    for (const [i, row] of rows.entries()) {
      expect(messages.at[row]).toBe(i)
      expect(messages.flags[row]).toBe(i & 127)
    }
    for (const row of rows) messages.release(row)
    expect(messages.count).toBe(0)
    expect(new Set(rows).size).toBe(5000)
  })
})
