import { describe, expect, test } from 'vitest'
import { Arena, createArena } from '../../../shared/bus/arena.ts'
import { createRing, RingReader, RingWriter } from '../../../shared/bus/ring.ts'
import { SlabReclaimer } from '../../../shared/bus/slab-reclaimer.ts'

describe('the slab reclaimer', () => {
  function make(): {
    arena: Arena
    reclaimer: SlabReclaimer
    writer: RingWriter
    reader: RingReader
    pins: Int32Array
    last: Float64Array
  } {
    const arena = new Arena(createArena(1))
    const memory = createRing(64)
    const reclaimer = new SlabReclaimer(arena)
    const writer = new RingWriter(memory)
    const pins = new Int32Array(new SharedArrayBuffer(arena.slabCount * 4))
    const last = reclaimer.watch(1, writer, pins)
    return { arena, reclaimer, writer, reader: new RingReader(memory), pins, last }
  }

  function refer(writer: RingWriter, last: Float64Array, slab: number): void {
    const index = writer.reserve(2)
    writer.words[index] = (2 << 8) | 1
    writer.commit(2)
    last[slab] = writer.total
    writer.publish()
  }

  test('frees a sealed slab when its last message is gone', () => {
    const { arena, reclaimer } = make()
    const slab = arena.acquire(1, 0)
    reclaimer.retain(slab)
    reclaimer.seal(slab)
    expect(reclaimer.sweep()).toBe(0)
    expect(arena.owner(slab)).toBe(1)
    reclaimer.release(slab)
    expect(reclaimer.sweep()).toBe(0)
    expect(arena.owner(slab)).toBe(0)
  })

  test('frees nothing before the seal, and an empty slab at the seal', () => {
    const { arena, reclaimer } = make()
    const slab = arena.acquire(1, 0)
    reclaimer.retain(slab)
    reclaimer.release(slab)
    reclaimer.sweep()
    expect(arena.owner(slab)).toBe(1)
    reclaimer.seal(slab)
    reclaimer.sweep()
    expect(arena.owner(slab)).toBe(0)
  })

  test('waits until a ring that referred to the slab is read past it, and for pins', () => {
    const { arena, reclaimer, writer, reader, pins, last } = make()
    const slab = arena.acquire(1, 0)
    reclaimer.seal(slab)
    refer(writer, last, slab)
    expect(reclaimer.sweep()).toBe(1)
    reader.look()
    reader.next()
    Atomics.add(pins, slab, 1)
    reader.release()
    expect(reclaimer.sweep()).toBe(1)
    Atomics.sub(pins, slab, 1)
    expect(reclaimer.sweep()).toBe(0)
    expect(arena.owner(slab)).toBe(0)
  })

  test('does not wait for a ring whose reader is gone', () => {
    const { arena, reclaimer, writer, pins, last } = make()
    const slab = arena.acquire(1, 0)
    reclaimer.seal(slab)
    refer(writer, last, slab)
    Atomics.add(pins, slab, 3)
    expect(reclaimer.sweep()).toBe(1)
    reclaimer.unwatch(1)
    expect(reclaimer.sweep()).toBe(0)
    expect(arena.owner(slab)).toBe(0)
  })

  test('frees a slab once, however often it became empty', () => {
    const { arena, reclaimer } = make()
    const slab = arena.acquire(1, 0)
    reclaimer.seal(slab)
    reclaimer.retain(slab)
    reclaimer.release(slab)
    reclaimer.retain(slab)
    reclaimer.release(slab)
    reclaimer.sweep()
    expect([arena.owner(slab), arena.used()]).toEqual([0, 0])
    expect(arena.acquire(9, 0)).toBe(slab)
    reclaimer.sweep()
    expect(arena.owner(slab)).toBe(9)
  })
})
