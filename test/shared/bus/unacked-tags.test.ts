import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { UnackedTags } from '../../../shared/bus/unacked-tags.ts'

interface Origin {
  readonly shard: number
  readonly id: number
  readonly counted: number
}

/** What the table says, in the plainest way. */
class Model {
  readonly tags = new Map<number, Origin>()

  upTo(tag: number): [number, Origin][] | undefined {
    if (tag !== 0 && !this.tags.has(tag)) return undefined
    return [...this.tags].filter(([each]) => tag === 0 || each <= tag)
  }
}

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('add' as const), gap: fc.nat(2) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('take' as const), pick: fc.nat(1000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('range' as const), pick: fc.nat(1000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('each' as const), pick: fc.nat(1000) }) },
)

describe('unacknowledged tags', () => {
  test('behave as a sorted map, whatever is settled in whatever order', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const table = new UnackedTags()
        const model = new Model()
        let next = 1
        let id = 0
        for (const each of steps) {
          if (each.do === 'add') {
            next += each.gap
            const origin = { shard: next % 3, id: id++, counted: next % 2 }
            table.add(next, origin.shard, origin.id, origin.counted)
            model.tags.set(next++, origin)
            continue
          }
          // Tags that were never given, already settled ones and 0 as well.
          const tag = each.pick % (next + 2)
          if (each.do === 'take') {
            const expected = model.tags.get(tag)
            expect(table.take(tag)).toBe(expected !== undefined)
            if (expected === undefined) continue
            const { shard, deliveryId, counted } = table
            expect({ shard, id: deliveryId, counted }).toEqual(expected)
            model.tags.delete(tag)
          } else {
            const expected = each.do === 'each' && tag === 0 ? undefined : model.upTo(tag)
            if (each.do === 'range') checkRange(table, tag, expected)
            else checkEach(table, tag, expected)
            for (const [taken] of expected ?? []) model.tags.delete(taken)
          }
          expect(table.live).toBe(model.tags.size)
        }
      }),
    )
  })

  test('keep little room for much that is settled out of order', () => {
    const table = new UnackedTags()
    table.add(1, 0, 0, 1)
    for (let tag = 2; tag < 100_000; tag++) {
      table.add(tag, 0, tag, 1)
      if (tag > 10) table.take(tag - 5)
    }
    expect(table.capacity()).toBeLessThanOrEqual(64)
    expect(table.take(1)).toBe(true)
  })
})

function checkRange(
  table: UnackedTags,
  tag: number,
  expected: [number, Origin][] | undefined,
): void {
  const ids = new Int32Array(3)
  const present = new Uint8Array(3)
  expect(table.takeRange(tag, ids, present)).toBe(expected !== undefined)
  if (expected === undefined) return
  const last = new Map(expected.map(([, origin]) => [origin.shard, origin.id]))
  for (let shard = 0; shard < 3; shard++) {
    expect(present[shard]).toBe(last.has(shard) ? 1 : 0)
    if (last.has(shard)) expect(ids[shard]).toBe(last.get(shard))
  }
  expect(table.counted).toBe(expected.reduce((sum, [, origin]) => sum + origin.counted, 0))
}

function checkEach(
  table: UnackedTags,
  tag: number,
  expected: [number, Origin][] | undefined,
): void {
  const seen: [number, Origin][] = []
  const known = table.takeUpTo(tag, (each, shard, id, counted) =>
    seen.push([each, { shard, id, counted }]),
  )
  expect(known).toBe(expected !== undefined)
  expect(seen).toEqual(expected ?? [])
}
