// The tables of a session: filters, packet ids, publishes on their way.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { matches } from '../../../../gateways/mqtt/mapping/topic.ts'
import { Awaited, AwaitedConfirms } from '../../../../gateways/mqtt/session/awaited-confirms.ts'
import { FilterTrie } from '../../../../gateways/mqtt/session/filter-trie.ts'
import { Inflight, InflightState } from '../../../../gateways/mqtt/session/inflight.ts'
import type { Subscription } from '../../../../gateways/mqtt/session/subscription.ts'
import { SubscriptionSet } from '../../../../gateways/mqtt/session/subscription.ts'

const level = fc.constantFrom('', 'a', 'b', 'ab', '$a')
const topic = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/'))
const filter = fc
  .tuple(fc.array(fc.constantFrom('', 'a', 'b', '+', '$a'), { maxLength: 4 }), fc.boolean())
  .map(([levels, open]) => [...levels, ...(open ? ['#'] : [])])
  .filter((levels) => levels.length > 0)
  .map((levels) => levels.join('/'))

describe('topic filters', () => {
  test.each([
    ['#', 'a/b', true],
    ['a/#', 'a', true],
    ['a/#', 'ab', false],
    ['+', '', true],
    ['+/+', '/a', true],
    ['+', 'a/b', false],
    ['a/+/c', 'a//c', true],
    ['#', '$SYS/x', false],
    ['+/x', '$SYS/x', false],
    ['$SYS/#', '$SYS/x', true],
  ])('%s and %s: %s', (wanted, name, expected) => {
    expect(matches(wanted, name)).toBe(expected)
  })

  test('the trie finds what the definition says, before and after some are removed', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(filter, { maxLength: 20 }),
        fc.nat(20),
        topic,
        (all, gone, name) => {
          const trie = new FilterTrie<string>()
          for (const each of all) trie.add(each, each)
          for (const each of all.slice(0, gone)) trie.remove(each, each)
          const found: string[] = []
          trie.match(name, found)
          const expected = all.slice(gone).filter((each) => matches(each, name))
          expect(found.sort()).toEqual(expected.sort())
          for (const each of all.slice(gone)) trie.remove(each, each)
          expect(trie.isEmpty()).toBe(true)
        },
      ),
      { numRuns: 500 },
    )
  })

  test('a session wants a message at its highest QoS, under all identifiers', () => {
    const set = new SubscriptionSet()
    const subscription = (name: string, qos: number, id: number): Subscription => ({
      name,
      filter: name,
      shared: undefined,
      qos,
      noLocal: id === 1,
      retainAsPublished: false,
      retainHandling: 0,
      id,
    })
    // More than are looked through one by one.
    for (let i = 0; i < 20; i++) set.add(subscription(`other/${i}`, 2, 0))
    set.add(subscription('a/+', 1, 1))
    set.add(subscription('a/#', 0, 2))
    expect(set.wish('a/b')).toEqual({
      qos: 1,
      ids: [2, 1],
      retainAsPublished: false,
      noLocal: false,
    })
    expect([set.isQueued('a/b'), set.isQueued('a/b/c')]).toEqual([true, false])
    set.add(subscription('a/+', 0, 3))
    expect(set.isQueued('a/b')).toBe(false)
    set.remove('a/#')
    expect(set.wish('a/b')?.ids).toEqual([3])
    expect(set.wish('b')).toBeUndefined()
  })
})

describe('packet ids', () => {
  test('are found while in use, however far apart they are', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 65535 }), { maxLength: 60 }), (ids) => {
        const table = new Inflight()
        for (const id of ids) table.add(id, 1, 0, id * 2, id * 3, InflightState.published)
        for (const [i, id] of ids.entries()) {
          const slot = table.find(id)
          expect([table.deliveryIds[slot], table.positions[slot]]).toEqual([id * 2, id * 3])
          table.remove(slot)
          expect([table.find(id), table.count]).toEqual([-1, ids.length - i - 1])
        }
      }),
      { numRuns: 200 },
    )
  })

  test('the highest that is free is given to what is in no queue', () => {
    const table = new Inflight()
    expect(table.unused()).toBe(65535)
    table.add(65535, 1, 0, 0, 0, InflightState.published)
    table.add(65534, 1, 0, 0, 0, InflightState.published)
    expect(table.unused()).toBe(65533)
  })
})

test('acknowledgements leave in the order of the publishes, however long one is held', () => {
  const awaited = new AwaitedConfirms()
  const left: number[] = []
  const flush = (): void => {
    while (awaited.ready()) {
      left.push(awaited.firstId())
      awaited.take()
    }
  }
  for (let id = 1; id <= 40; id++) awaited.push(id, id === 3 ? Awaited.held : 0)
  awaited.confirm(30, false)
  flush()
  expect(left).toEqual([1, 2])
  expect([awaited.has(3), awaited.has(2), awaited.count()]).toEqual([true, false, 38])
  awaited.unmark(2, Awaited.held)
  flush()
  expect(left).toHaveLength(30)
  awaited.confirm(10, true)
  expect(awaited.take() & Awaited.rejected).not.toBe(0)
})
