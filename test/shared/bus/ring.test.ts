import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createRing, RingReader, RingWriter, recordWordsMax } from '../../../shared/bus/ring.ts'

const capacity = 64

function makeRing(): { writer: RingWriter; reader: RingReader; memory: SharedArrayBuffer } {
  const memory = createRing(capacity)
  return { memory, writer: new RingWriter(memory), reader: new RingReader(memory) }
}

/** Writes a record of `count` words that carry `value`; false when the ring is full. */
function write(writer: RingWriter, count: number, value: number): boolean {
  const index = writer.reserve(count)
  if (index < 0) return false
  writer.words[index] = (count << 8) | 1
  for (let i = 1; i < count; i++) writer.words[index + i] = value
  writer.commit(count)
  return true
}

/** Sizes and values of the records that are visible. */
function readAll(reader: RingReader): [number, number][] {
  const seen: [number, number][] = []
  reader.look()
  for (let i = reader.next(); i >= 0; i = reader.next()) {
    const count = (reader.words[i] as number) >>> 8
    for (let k = 1; k < count; k++) expect(reader.words[i + k]).toBe(reader.words[i + 1])
    seen.push([count, reader.words[i + 1] as number])
  }
  return seen
}

describe('a ring', () => {
  test('shows records only after publish, in order', () => {
    const { writer, reader } = makeRing()
    write(writer, 2, 7)
    write(writer, 3, 8)
    expect(readAll(reader)).toEqual([])
    expect(writer.publish()).toBe(true)
    expect(writer.publish()).toBe(false)
    expect(readAll(reader)).toEqual([
      [2, 7],
      [3, 8],
    ])
  })

  test('is full until the reader releases, and says that the writer waits', () => {
    const { writer, reader } = makeRing()
    let written = 0
    while (write(writer, 8, written)) written++
    expect(written).toBe(capacity / 8)
    writer.awaitRoom()
    writer.publish()
    expect(readAll(reader)).toHaveLength(written)
    expect(write(writer, 8, 0)).toBe(false)
    expect(reader.release()).toBe(true)
    expect(write(writer, 8, 0)).toBe(true)
    expect(reader.release()).toBe(false)
  })

  test('keeps a record contiguous at its end by a pad', () => {
    const { writer, reader } = makeRing()
    for (let i = 0; i < 4; i++) write(writer, 15, i)
    writer.publish()
    readAll(reader)
    reader.release()
    // 4 words are left before the end: the next record begins at 0.
    expect(writer.reserve(10)).toBe(0)
    writer.words[0] = (10 << 8) | 1
    for (let i = 1; i < 10; i++) writer.words[i] = 99
    writer.commit(10)
    writer.publish()
    expect(readAll(reader)).toEqual([[10, 99]])
  })

  test('always takes its largest record once it is empty, wherever it stands', () => {
    const { writer, reader } = makeRing()
    const largest = recordWordsMax(capacity)
    for (let i = 0; i < 500; i++) {
      const count = i % 2 === 0 ? largest : (i % 7) + 2
      expect(writer.hasRoom(largest)).toBe(true)
      expect(write(writer, count, i)).toBe(true)
      writer.publish()
      expect(readAll(reader)).toEqual([[count, i]])
      reader.release()
    }
  })

  test('gives back the last record with unread, also behind a pad', () => {
    const { writer, reader } = makeRing()
    for (let i = 0; i < 4; i++) write(writer, 15, i)
    writer.publish()
    readAll(reader)
    reader.release()
    write(writer, 10, 5)
    writer.publish()
    reader.look()
    const index = reader.next()
    reader.unread(index)
    expect(reader.next()).toBe(index)
    expect(reader.next()).toBe(-1)
  })

  test('goes on at its place for a new writer and a new reader', () => {
    const { writer, reader, memory } = makeRing()
    write(writer, 5, 1)
    writer.publish()
    readAll(reader)
    reader.release()
    const second = new RingWriter(memory)
    write(second, 6, 2)
    second.publish()
    expect(readAll(new RingReader(memory))).toEqual([[6, 2]])
  })

  test('counts on when its positions pass 2^31 and 2^32', () => {
    for (const start of [2 ** 31 - 40, -40]) {
      const memory = createRing(capacity)
      const control = new Int32Array(memory)
      control[0] = start
      control[16] = start
      const writer = new RingWriter(memory)
      const reader = new RingReader(memory)
      for (let i = 0; i < 40; i++) {
        const before = writer.total
        expect(write(writer, 9, i)).toBe(true)
        expect(writer.releasedTotal()).toBeLessThanOrEqual(before)
        writer.publish()
        expect(readAll(reader)).toEqual([[9, i]])
        reader.release()
        expect(writer.releasedTotal()).toBe(writer.total)
      }
    }
  })

  test('behaves as a bounded queue under any schedule', () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('write' as const), count: fc.integer({ min: 2, max: 16 }) }),
      fc.constant({ do: 'publish' as const, count: 0 }),
      fc.constant({ do: 'read' as const, count: 0 }),
      fc.constant({ do: 'release' as const, count: 0 }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const { writer, reader } = makeRing()
        const written: [number, number][] = []
        const read: [number, number][] = []
        let published = 0
        let value = 0
        for (const { do: what, count } of steps) {
          if (what === 'write') {
            if (write(writer, count, value)) written.push([count, value])
            value++
          } else if (what === 'publish') {
            writer.publish()
            published = written.length
          } else if (what === 'read') {
            read.push(...readAll(reader))
            expect(read).toEqual(written.slice(0, published))
          } else reader.release()
        }
      }),
      { numRuns: 300 },
    )
  })
})
