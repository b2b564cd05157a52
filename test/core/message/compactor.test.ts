import { expect, test } from 'vitest'
import { Compactor } from '../../../core/message/compactor.ts'
import { MessageTable } from '../../../core/message/message-table.ts'
import { Arena, createArena, slabBytes } from '../../../shared/bus/arena.ts'
import { SlabReclaimer } from '../../../shared/bus/slab-reclaimer.ts'
import { SlabWriter } from '../../../shared/bus/slab-writer.ts'

const bodySize = 1024

test('a few live messages in many slabs are moved together, byte for byte, and the slabs are freed', () => {
  const arena = new Arena(createArena(256 * slabBytes))
  const reclaimer = new SlabReclaimer(arena)
  const slabs = new SlabWriter(arena, 1, 0, (slab) => reclaimer.seal(slab))
  const messages = new MessageTable(arena, reclaimer)
  const compactor = new Compactor(arena, messages, reclaimer, slabs)
  const kept = fill(arena, slabs, messages, 100 * (slabBytes / bodySize))
  reclaimer.sweep()
  const before = arena.used()
  expect(before).toBeGreaterThan(90)

  while (compactor.step()) {
    // until the pass ends
  }
  reclaimer.sweep()

  expect(arena.used()).toBeLessThan(10)
  for (const [row, mark] of kept) {
    const bytes = arena.slab(messages.slab[row] as number)
    const at = messages.at[row] as number
    expect(bytes.readUInt32LE(at)).toBe(mark)
    expect(bytes[at + bodySize - 1]).toBe(mark & 255)
  }
})

test('full slabs are left where they are', () => {
  const arena = new Arena(createArena(256 * slabBytes))
  const reclaimer = new SlabReclaimer(arena)
  const slabs = new SlabWriter(arena, 1, 0, (slab) => reclaimer.seal(slab))
  const messages = new MessageTable(arena, reclaimer)
  const compactor = new Compactor(arena, messages, reclaimer, slabs)
  const words = new Int32Array(7)
  for (let i = 0; i < 100 * (slabBytes / bodySize); i++) {
    slabs.take(bodySize)
    words.set([slabs.slab, slabs.at, 0, 0, 0, bodySize, 0])
    messages.add(words, 0, 0)
    slabs.close(slabs.slab)
  }
  expect(compactor.step()).toBe(false)
  expect(arena.used()).toBe(100)
})

/** Adds `count` messages and keeps one of 500; gives the rows kept and what is in them. */
function fill(
  arena: Arena,
  slabs: SlabWriter,
  messages: MessageTable,
  count: number,
): Map<number, number> {
  const kept = new Map<number, number>()
  const words = new Int32Array(7)
  for (let i = 0; i < count; i++) {
    slabs.take(bodySize)
    const { slab, at } = slabs
    arena.slab(slab).writeUInt32LE(i, at)
    arena.slab(slab)[at + bodySize - 1] = i & 255
    words.set([slab, at, 0, 0, 0, bodySize, 0])
    const row = messages.add(words, 0, 0)
    slabs.close(slab)
    if (i % 500 === 0) kept.set(row, i)
    else messages.release(row)
  }
  return kept
}
