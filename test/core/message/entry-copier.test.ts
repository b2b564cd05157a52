// Copies of entries between slabs: the same bytes whatever the extents, and nothing left when the
// arena is exhausted.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { EntryCopier } from '../../../core/message/entry-copier.ts'
import { Arena, createArena } from '../../../shared/bus/arena.ts'
import { SlabReclaimer } from '../../../shared/bus/slab-reclaimer.ts'
import { SlabWriter } from '../../../shared/bus/slab-writer.ts'
import { entryWords, extentWords } from '../../../shared/bus/wire.ts'

const slabSize = 16 * 1024
const exrkSize = 9
const propsSize = 14

interface Rig {
  readonly arena: Arena
  readonly reclaimer: SlabReclaimer
  readonly from: SlabWriter
  readonly to: SlabWriter
  readonly copier: EntryCopier
}

function rig(slabs: number): Rig {
  const arena = new Arena(createArena(slabs * slabSize, slabSize))
  const reclaimer = new SlabReclaimer(arena)
  const from = new SlabWriter(arena, 1, 0, () => {})
  const to = new SlabWriter(arena, 2, 0, (slab) => reclaimer.seal(slab))
  return { arena, reclaimer, from, to, copier: new EntryCopier(arena, to) }
}

/** Writes an entry of pseudo-random bytes; gives its words, which begin at `lead`. */
function write({ arena, from }: Rig, extraSize: number, body: number, lead: number): Int32Array {
  const prefix = exrkSize + extraSize + propsSize
  const words = new Int32Array(lead + entryWords + 100 * extentWords)
  let left = prefix + body
  let seed = left
  for (let piece = 0; left > 0; piece++) {
    expect(from.takeSome(piece === 0 ? prefix : 0, piece === 0 ? body : left)).toBe(true)
    const { slab, at, size } = from
    const bytes = arena.slab(slab)
    for (let i = 0; i < size; i++) {
      seed = (Math.imul(seed, 1103515245) + 12345) | 0
      bytes[at + i] = seed >> 16
    }
    if (piece === 0) words.set([slab, at, exrkSize, extraSize, propsSize, body, 0], lead)
    else words.set([slab, at, size], lead + entryWords + (piece - 1) * extentWords)
    words[lead + 6] = piece
    from.close(slab)
    left -= size
  }
  return words
}

/** All bytes of an entry, in order. */
function read(arena: Arena, words: Int32Array, e: number): Buffer {
  const [slab = 0, at = 0, exrk = 0, extra = 0, props = 0, body = 0, extents = 0] = words.slice(e)
  const further: Buffer[] = []
  let furtherSize = 0
  for (let i = e + entryWords; i < e + entryWords + extents * extentWords; i += extentWords) {
    const [its = 0, start = 0, size = 0] = words.slice(i)
    further.push(arena.slab(its).subarray(start, start + size))
    furtherSize += size
  }
  const first = exrk + extra + props + body - furtherSize
  return Buffer.concat([arena.slab(slab).subarray(at, at + first), ...further])
}

describe('a copy', () => {
  test('has the same bytes and sizes, wherever slabs end on either side', () => {
    const size = fc.oneof(fc.nat({ max: 300 }), fc.nat({ max: 4 * slabSize }))
    const gap = fc.nat({ max: slabSize })
    fc.assert(
      fc.property(size, fc.nat({ max: 40 }), gap, gap, (body, extra, gapFrom, gapTo) => {
        const made = rig(32)
        made.from.take(gapFrom)
        made.to.take(gapTo)
        const source = write(made, extra, body, 5)
        expect(made.copier.copy(source, 5)).toBe(true)
        const { words } = made.copier
        expect([...words.slice(2, 6)]).toEqual([exrkSize, extra, propsSize, body])
        expect(made.arena.owner(words[0] as number)).toBe(2)
        expect(read(made.arena, words, 0).equals(read(made.arena, source, 5))).toBe(true)
      }),
      { numRuns: 60 },
    )
  })

  test('of a message in many extents has its prefix in one slab', () => {
    const made = rig(32)
    const source = write(made, 0, 6 * slabSize, 0)
    made.to.take(slabSize - exrkSize)
    made.copier.copy(source, 0)
    expect(made.copier.words[6]).toBeGreaterThanOrEqual(6)
    expect(made.copier.words[1]).toBe(0)
  })

  test('keeps its slabs open until it is closed', () => {
    const made = rig(32)
    made.copier.copy(write(made, 0, 3 * slabSize, 0), 0)
    const slabs = [made.copier.words[0], made.copier.words[7], made.copier.words[10]] as number[]
    expect(slabs.map((slab) => made.reclaimer.isSealed(slab))).toEqual([false, false, false])
    made.copier.close()
    expect(slabs.map((slab) => made.reclaimer.isSealed(slab))).toEqual([true, true, true])
    // A second close closes nothing twice.
    made.copier.close()
    expect(made.to.take(10)).toBe(true)
  })
})

describe('a copy for which there is no room', () => {
  /** Takes slabs for somebody else until only `left` are free. */
  function crowd(arena: Arena, left: number): number[] {
    const free = Array.from({ length: arena.slabCount }, (_, slab) => slab)
    const others = free.filter((slab) => arena.owner(slab) === 0).slice(left)
    for (const _ of others) arena.acquire(3, 0)
    return [...free.filter((slab) => arena.owner(slab) === 3)]
  }

  function owned(arena: Arena): number {
    return Array.from({ length: arena.slabCount }, (_, slab) => arena.owner(slab)).filter(
      (owner) => owner === 2,
    ).length
  }

  function copiesLater(made: Rig, source: Int32Array): void {
    expect(made.copier.copy(source, 0)).toBe(true)
    expect(read(made.arena, made.copier.words, 0).equals(read(made.arena, source, 0))).toBe(true)
    made.copier.close()
  }

  test('takes nothing when that can be seen, and can be made later', () => {
    const made = rig(32)
    const source = write(made, 0, 10 * slabSize, 0)
    const others = crowd(made.arena, 4)
    expect(made.copier.copy(source, 0)).toBe(false)
    expect(owned(made.arena)).toBe(0)
    for (const slab of others) made.arena.free(slab)
    copiesLater(made, source)
  })

  test('leaves nothing open when others were faster, and can be made later', () => {
    const made = rig(32)
    const source = write(made, 0, 10 * slabSize, 0)
    const others = crowd(made.arena, 4)
    // What the copier saw before the others came.
    const { used } = made.arena
    made.arena.used = (): number => 0
    expect(made.copier.copy(source, 0)).toBe(false)
    made.arena.used = used
    expect(owned(made.arena)).toBe(4)
    for (const slab of others) made.arena.free(slab)
    // All but the slab that is being filled go back, since nobody holds anything in them.
    made.reclaimer.sweep()
    expect(owned(made.arena)).toBe(1)
    copiesLater(made, source)
  })
})
