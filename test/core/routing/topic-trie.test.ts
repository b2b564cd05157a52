import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TargetList } from '../../../core/routing/target-list.ts'
import { countHashWords, TopicTrie } from '../../../core/routing/topic-trie.ts'
import type { RouteTarget } from '../../../core/topology/records.ts'

const encoder = new TextEncoder()

function target(name: string): RouteTarget {
  return { name } as RouteTarget
}

function match(trie: TopicTrie, key: string): string[] {
  const out = new TargetList()
  // Not at the start of the bytes: the key lies in the middle of a message.
  const bytes = encoder.encode(`..${key}##`)
  trie.match(bytes, 2, bytes.length - 2, out)
  return out.items
    .slice(0, out.count)
    .map((found) => found.name)
    .sort()
}

/** The definition, word by word. */
function matches(pattern: readonly string[], words: readonly string[]): boolean {
  const [first, ...rest] = pattern
  if (first === undefined) return words.length === 0
  if (first === '#') {
    return matches(rest, words) || (words.length > 0 && matches(pattern, words.slice(1)))
  }
  if (words.length === 0) return false
  return (first === '*' || first === words[0]) && matches(rest, words.slice(1))
}

describe('topic matching', () => {
  const cases: readonly (readonly [pattern: string, key: string, hit: boolean])[] = [
    ['a.b.c', 'a.b.c', true],
    ['a.b.c', 'a.b', false],
    ['a.b', 'a.b.c', false],
    ['*', 'a', true],
    ['*', 'a.b', false],
    ['*', '', true],
    ['#', '', true],
    ['#', 'a.b.c', true],
    ['', '', true],
    ['', 'a', false],
    ['a.#', 'a', true],
    ['a.#', 'a.b.c', true],
    ['a.#', 'b', false],
    ['#.c', 'a.b.c', true],
    ['#.c', 'c', true],
    ['#.a.#', 'b.a.c', true],
    ['#.a.#', 'a', true],
    ['#.a.#', 'b.c', false],
    ['a.*.#', 'a', false],
    ['a.*.#', 'a.b', true],
    ['#.*', 'a', true],
    ['*.#.*', 'a', false],
    ['*.#.*', 'a.b', true],
    ['#.#', '', true],
    ['..', '..', true],
    ['..', '.', false],
    ['a..b', 'a..b', true],
    ['a.*.b', 'a..b', true],
    ['a#', 'ab', false],
    ['a#', 'a#', true],
  ]
  test.each(cases)('%j with key %j: %j', (pattern, key, hit) => {
    const trie = new TopicTrie()
    trie.add(pattern, target('q'))
    expect(match(trie, key)).toEqual(hit ? ['q'] : [])
  })
})

const word = fc.constantFrom(
  'a',
  'b',
  '',
  'é',
  'exactly16bytes..'.replaceAll('.', '-'),
  'longer than 16 bytes A',
  'longer than 16 bytes B',
)
const patternWord = fc.oneof({ weight: 3, arbitrary: word }, fc.constantFrom('*', '#'))
const patterns = fc
  .array(patternWord, { minLength: 1, maxLength: 5 })
  .filter((words) => words.filter((one) => one === '#').length <= 2)
  .map((words) => words.join('.'))
const keys = fc.array(word, { minLength: 1, maxLength: 6 }).map((words) => words.join('.'))

test('the trie finds exactly what the definition says, also after removals', () => {
  const property = fc.property(
    fc.array(fc.tuple(patterns, fc.boolean()), { maxLength: 40 }),
    fc.array(keys, { minLength: 1, maxLength: 10 }),
    (bindings, routingKeys) => {
      const trie = new TopicTrie()
      const targets = bindings.map((_, i) => target(`q${i}`))
      bindings.forEach(([pattern], i) => {
        trie.add(pattern, targets[i] as RouteTarget)
      })
      bindings.forEach(([pattern, stays], i) => {
        if (!stays) trie.remove(pattern, targets[i] as RouteTarget)
      })
      for (const key of routingKeys) {
        const expected = bindings
          .map(([pattern, stays], i) => ({ pattern, stays, name: `q${i}` }))
          .filter(({ pattern, stays }) => stays && matches(pattern.split('.'), key.split('.')))
          .map(({ name }) => name)
          .sort()
        expect(match(trie, key)).toEqual(expected)
      }
    },
  )
  fc.assert(property, { numRuns: 500 })
})

test('what was added and removed leaves no node behind', () => {
  const trie = new TopicTrie()
  const queue = target('q')
  const some = ['a.b.c', 'a.#', '*.b', '#', 'a.b', '', '#.x.#']
  for (let round = 0; round < 3; round++) {
    for (const pattern of some) trie.add(pattern, queue)
    expect(trie.nodeCount).toBeGreaterThan(some.length)
    for (const pattern of some) trie.remove(pattern, queue)
    expect(trie.nodeCount).toBe(1)
  }
})

test('a key that was never added can be removed', () => {
  const trie = new TopicTrie()
  trie.add('a.b.c', target('q'))
  trie.remove('a.b', target('q'))
  trie.remove('x.y', target('q'))
  trie.remove('a.b.c', target('other'))
  expect(match(trie, 'a.b.c')).toEqual(['q'])
})

test('two bindings of one key and target need two removals', () => {
  const trie = new TopicTrie()
  const queue = target('q')
  trie.add('a', queue)
  trie.add('a', queue)
  trie.remove('a', queue)
  expect(match(trie, 'a')).toEqual(['q'])
  trie.remove('a', queue)
  expect(match(trie, 'a')).toEqual([])
})

test('a key of 256 empty words and one longer than a shortstr are matched', () => {
  const trie = new TopicTrie()
  trie.add('#.end', target('q'))
  trie.add('#.*.#', target('any'))
  expect(match(trie, '.'.repeat(255))).toEqual(['any'])
  expect(match(trie, `${'.'.repeat(1000)}.end`)).toEqual(['any', 'q'])
})

test('hash words are counted as words, not as characters', () => {
  expect(countHashWords('#.a#.#.##.#')).toBe(3)
  expect(countHashWords('')).toBe(0)
})
