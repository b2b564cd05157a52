// Rows of kept messages: alive as long as somebody holds them, counted in every slab they lie in.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MessageTable } from '../../../core/message/message-table.ts'
import { Arena, createArena } from '../../../shared/bus/arena.ts'
import { SlabReclaimer } from '../../../shared/bus/slab-reclaimer.ts'

const slabSize = 4096

function rig(): { messages: MessageTable; reclaimer: SlabReclaimer; arena: Arena } {
  const arena = new Arena(createArena(32 * slabSize, slabSize))
  const reclaimer = new SlabReclaimer(arena)
  return { messages: new MessageTable(arena, reclaimer), reclaimer, arena }
}

/** Entry words of a message of 100 bytes (10 + 20 + 30 + 40) at (slab, at). */
function small(slab: number, at: number): Int32Array {
  return Int32Array.of(slab, at, 10, 20, 30, 40, 0)
}

/** Its first extent fills slab 1 from 4000 on; then slab 2 whole, and 500 bytes of slab 3. */
const large = Int32Array.of(1, 4000, 10, 0, 30, 56 + slabSize + 500, 2, 2, 0, slabSize, 3, 100, 500)

describe('a row', () => {
  test('lives until its last holder lets go, and is used again then', () => {
    const { messages } = rig()
    const row = messages.add(small(1, 0), 0, 3)
    messages.hold(row)
    messages.hold(row)
    for (let i = 0; i < 2; i++) messages.release(row)
    expect([messages.count, messages.isAlive(row), messages.flags[row]]).toEqual([1, true, 3])
    messages.release(row)
    expect([messages.count, messages.isAlive(row)]).toEqual([0, false])
    expect(messages.add(small(2, 8), 0, 0)).toBe(row)
    expect([messages.flags[row], messages.rowsEnd()]).toEqual([0, row + 1])
  })

  test('gives its entry words back as they came, further extents included', () => {
    const { messages } = rig()
    const source = new Int32Array(20)
    source.set(large, 3)
    const row = messages.add(source, 3, 0)
    source.fill(-1)
    const words = new Int32Array(20)
    messages.writeEntry(row, words, 2)
    expect([...words.subarray(2, 2 + large.length)]).toEqual([...large])
    expect([...(messages.extentsOf(row) ?? [])]).toEqual([2, 0, slabSize, 3, 100, 500])
    const other = messages.add(small(1, 0), 0, 0)
    expect(messages.extentsOf(other)).toBeUndefined()
    messages.writeEntry(other, words, 0)
    expect([...words.subarray(0, 7)]).toEqual([...small(1, 0)])
  })

  test('that is used again has no extents left of the message before', () => {
    const { messages } = rig()
    messages.add(large, 0, 0)
    const row = messages.add(large, 0, 0)
    messages.release(row)
    expect(messages.add(small(1, 0), 0, 0)).toBe(row)
    expect(messages.extentsOf(row)).toBeUndefined()
  })
})

describe('slabs', () => {
  test('are counted by messages and by bytes, each extent in its own', () => {
    const { messages, reclaimer } = rig()
    const row = messages.add(large, 0, 0)
    expect(messages.firstExtentSize(row)).toBe(96)
    messages.add(small(3, 0), 0, 0)
    // A second holder is not a second message.
    messages.hold(row)
    const counts = (): number[][] =>
      [1, 2, 3].map((slab) => [reclaimer.liveIn(slab), messages.slabLiveBytes[slab] as number])
    expect(counts()).toEqual([
      [1, 96],
      [1, slabSize],
      [2, 600],
    ])
    messages.release(row)
    messages.release(row)
    expect(counts()).toEqual([
      [0, 0],
      [0, 0],
      [1, 100],
    ])
  })

  test('that are sealed go with their last message, and not before', () => {
    const { messages, reclaimer, arena } = rig()
    const slab = arena.acquire(1, 0)
    const rows = [0, 1, 2].map((i) => messages.add(small(slab, i * 100), 0, 0))
    reclaimer.seal(slab)
    for (const row of rows) {
      reclaimer.sweep()
      expect(arena.used()).toBe(1)
      messages.release(row)
    }
    reclaimer.sweep()
    expect(arena.used()).toBe(0)
  })

  test('change places when a message moves', () => {
    const { messages, reclaimer } = rig()
    const row = messages.add(small(1, 0), 0, 0)
    messages.move(row, 5, 640)
    expect([messages.slab[row], messages.at[row]]).toEqual([5, 640])
    expect([reclaimer.liveIn(1), reclaimer.liveIn(5)]).toEqual([0, 1])
    expect([messages.slabLiveBytes[1], messages.slabLiveBytes[5]]).toEqual([0, 100])
    messages.release(row)
    expect([reclaimer.liveIn(5), messages.slabLiveBytes[5]]).toEqual([0, 0])
  })
})

test('the table does what a map does, over growth', () => {
  const command = fc.record({
    what: fc.constantFrom('add', 'add', 'hold', 'release'),
    n: fc.nat(),
    times: fc.integer({ min: 1, max: 300 }),
  })
  fc.assert(
    fc.property(fc.array(command, { maxLength: 40 }), (commands) => {
      const { messages, reclaimer } = rig()
      const holders = new Map<number, number>()
      const entries = new Map<number, Int32Array>()
      for (const { what, n, times } of commands) {
        for (let i = 0; i < times; i++) {
          if (what === 'add') {
            const words = (n + i) % 10 === 0 ? large : small((n + i) % 8, n % 1000)
            const row = messages.add(words, 0, i & 255)
            if (holders.has(row)) throw new Error(`row ${row} is alive`)
            holders.set(row, 1)
            entries.set(row, words)
            continue
          }
          const rows = [...holders.keys()]
          const row = rows[(n + i * 7) % rows.length]
          if (row === undefined) break
          const held = (holders.get(row) ?? 0) + (what === 'hold' ? 1 : -1)
          if (what === 'hold') messages.hold(row)
          else messages.release(row)
          holders.set(row, held)
          if (held === 0) holders.delete(row)
        }
      }
      const live = new Array<number>(8).fill(0)
      const bytes = new Array<number>(8).fill(0)
      const put = (slab: number, size: number): void => {
        live[slab] = (live[slab] ?? 0) + 1
        bytes[slab] = (bytes[slab] ?? 0) + size
      }
      const wrong: number[] = []
      for (const row of holders.keys()) {
        const entry = entries.get(row) ?? large
        const words = new Int32Array(entry.length)
        messages.writeEntry(row, words, 0)
        if (!messages.isAlive(row) || words.join() !== entry.join()) wrong.push(row)
        if (entry === large) {
          put(1, 96)
          put(2, slabSize)
          put(3, 500)
        } else put(entry[0] ?? 0, 100)
      }
      expect(wrong).toEqual([])
      expect(messages.count).toBe(holders.size)
      expect(live.map((_, slab) => reclaimer.liveIn(slab))).toEqual(live)
      expect([...messages.slabLiveBytes.subarray(0, 8)]).toEqual(bytes)
    }),
    { numRuns: 40 },
  )
})
