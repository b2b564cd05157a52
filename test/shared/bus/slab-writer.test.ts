import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Arena, createArena, slabBytes, spareSlabs } from '../../../shared/bus/arena.ts'
import { contiguousMax, SlabWriter } from '../../../shared/bus/slab-writer.ts'

function makeArena(slabs = spareSlabs * 2): Arena {
  return new Arena(createArena(slabs * slabBytes))
}

describe('the arena', () => {
  test('hands each slab to one owner and counts what is used', () => {
    const arena = makeArena()
    const first = arena.acquire(5, 0)
    const second = arena.acquire(6, 0)
    expect(first).not.toBe(second)
    expect([arena.owner(first), arena.owner(second), arena.used()]).toEqual([5, 6, 2])
    arena.free(first)
    expect([arena.owner(first), arena.used()]).toEqual([0, 1])
    expect(arena.acquire(7, 0)).toBe(first)
  })

  test('refuses at the spare slabs, and tells once that somebody waits', () => {
    const arena = makeArena()
    let last = -1
    for (let i = 0; i < arena.slabCount - spareSlabs; i++) last = arena.acquire(1, spareSlabs)
    expect(last).toBeGreaterThanOrEqual(0)
    expect(arena.takeWaiting()).toBe(false)
    expect(arena.acquire(1, spareSlabs)).toBe(-1)
    expect(arena.acquire(2, 0)).toBeGreaterThanOrEqual(0)
    expect([arena.takeWaiting(), arena.takeWaiting()]).toEqual([true, false])
  })
})

describe('the slab writer', () => {
  test('reports a slab once it is full and nothing in it is open', () => {
    const sealed: number[] = []
    const writer = new SlabWriter(makeArena(), 1, 0, (slab) => sealed.push(slab))
    expect(writer.take(slabBytes - 10)).toBe(true)
    const first = writer.slab
    expect(writer.take(100)).toBe(true)
    const second = writer.slab
    expect(second).not.toBe(first)
    expect(sealed).toEqual([])
    writer.close(first)
    expect(sealed).toEqual([first])
    writer.close(second)
    // Still being filled.
    expect(sealed).toEqual([first])
  })

  test('seals a slab that was empty of open rooms when it became full', () => {
    const sealed: number[] = []
    const writer = new SlabWriter(makeArena(), 1, 0, (slab) => sealed.push(slab))
    writer.take(slabBytes)
    const first = writer.slab
    writer.close(first)
    expect(sealed).toEqual([])
    writer.take(1)
    expect(sealed).toEqual([first])
  })

  test('keeps small entries whole and splits large bodies behind a whole prefix', () => {
    const writer = new SlabWriter(makeArena(), 1, 0, () => {})
    writer.take(slabBytes - contiguousMax - 100)
    expect(writer.takeSome(100, contiguousMax - 99)).toBe(true)
    expect(writer.at).toBe(slabBytes - contiguousMax - 100)
    expect(writer.size).toBe(contiguousMax + 1)
    // 99 bytes are left: not worth an extent.
    expect(writer.takeSome(10, contiguousMax)).toBe(true)
    expect([writer.at, writer.size]).toEqual([0, contiguousMax + 10])
    expect(writer.takeSome(10, 3 * slabBytes)).toBe(true)
    expect(writer.size).toBe(slabBytes - contiguousMax - 10)
  })

  test('refuses when the arena is exhausted and goes on when a slab is free again', () => {
    const arena = makeArena()
    const writer = new SlabWriter(arena, 1, 0, () => {})
    for (let i = 0; i < arena.slabCount; i++) expect(writer.take(slabBytes)).toBe(true)
    expect(writer.take(1)).toBe(false)
    expect(writer.takeSome(1, slabBytes)).toBe(false)
    arena.free(3)
    expect(writer.take(1)).toBe(true)
    expect(writer.slab).toBe(3)
  })

  test('never hands out the same bytes twice while they are open', () => {
    const sizes = fc.array(
      fc.tuple(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 0, max: 300_000 })),
      { maxLength: 60 },
    )
    fc.assert(
      fc.property(sizes, (entries) => {
        const writer = new SlabWriter(makeArena(64), 1, 0, () => {})
        const taken = new Map<number, [number, number][]>()
        for (const [prefix, body] of entries) {
          let left = prefix + body
          let need = prefix
          while (left > 0) {
            expect(writer.takeSome(need, left - need)).toBe(true)
            expect(writer.size).toBeGreaterThanOrEqual(need)
            expect(writer.at + writer.size).toBeLessThanOrEqual(slabBytes)
            const others = taken.get(writer.slab) ?? []
            for (const [from, to] of others) {
              expect(writer.at >= to || writer.at + writer.size <= from).toBe(true)
            }
            taken.set(writer.slab, [...others, [writer.at, writer.at + writer.size]])
            left -= writer.size
            need = 0
          }
        }
      }),
      { numRuns: 50 },
    )
  })
})
