// The keyed store: rows by key, and the topic filter that skips what cannot match.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Keyed } from '../../../core/store/keyed.ts'
import { tableKey } from '../../../core/store/keyed-key.ts'
import { PathFilter } from '../../../core/store/path-filter.ts'
import { RowBatch } from '../../../core/store/row-batch.ts'

let folder: string
let store: Keyed

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'warren-keyed-'))
  store = new Keyed(folder)
})

afterEach(async () => {
  await store.close()
  await rm(folder, { recursive: true })
})

function pathKey(topic: string): Buffer {
  return Buffer.from(topic.replaceAll('/', '\0'))
}

function put(...topics: readonly string[]): void {
  const batch = new RowBatch()
  for (const topic of topics) batch.put(tableKey('t', pathKey(topic)), Buffer.from(topic))
  store.write([batch.take()])
}

function scan(filter: string | null, bytesMax = 1 << 20): string[] {
  const found: string[] = []
  let after: Uint8Array | null = null
  do {
    const op = { op: 'keyedScan', table: 't', prefix: Buffer.alloc(0), filter, after, bytesMax }
    const { rows, next } = store.scan(op as Parameters<Keyed['scan']>[0])
    for (const [, value] of rows) found.push(value.toString())
    after = next
  } while (after !== null)
  return found
}

/** The definition of a match [MQTT 4.7]. */
function matches(filter: string, topic: string): boolean {
  const wanted = filter.split('/')
  const levels = topic.split('/')
  if (topic.startsWith('$') && (wanted[0] === '+' || wanted[0] === '#')) return false
  for (const [i, each] of wanted.entries()) {
    if (each === '#') return true
    if (i >= levels.length || (each !== '+' && each !== levels[i])) return false
  }
  return wanted.length === levels.length
}

describe('rows', () => {
  test('are there after they were written, also for who opens the store anew', async () => {
    put('a', 'b/c')
    await store.close()
    store = new Keyed(folder)
    const keys = [pathKey('b/c'), pathKey('x'), pathKey('a')]
    const values = store.get({ op: 'keyedGet', table: 't', keys })
    expect(values.map((value) => value?.toString())).toEqual(['b/c', undefined, 'a'])
    const other = store.get({ op: 'keyedGet', table: 'other', keys })
    expect(other).toEqual([null, null, null])
    const batch = new RowBatch()
    batch.remove(tableKey('t', pathKey('a')))
    store.write([batch.take()])
    expect(scan(null)).toEqual(['b/c'])
  })

  test('with long keys are told apart', () => {
    const long = 'xyz'.repeat(1700)
    put(`${long}1`, `${long}2`, `a/${long}/1`)
    const keys = [pathKey(`${long}2`), pathKey(`${long}3`)]
    const values = store.get({ op: 'keyedGet', table: 't', keys })
    expect(values.map((value) => value?.toString())).toEqual([`${long}2`, undefined])
    // One that was cut may match: who has the whole key tells.
    expect(scan(`a/${long}/+`)).toContain(`a/${long}/1`)
  })

  test('of a store that was never written to are none, and no file is made', () => {
    expect(scan('#')).toEqual([])
    expect(store.get({ op: 'keyedGet', table: 't', keys: [pathKey('a')] })).toEqual([null])
  })
})

describe('a topic filter', () => {
  const topics = [
    'a',
    'a/b',
    'a/b/c',
    'a/bb/c',
    'a!/b',
    'a/b!/c',
    'b',
    '',
    '/',
    '/a',
    '$s/a',
    'z/b',
  ]

  test.each([
    ['#', ['', '/', '/a', 'a', 'a/b', 'a/b!/c', 'a/b/c', 'a/bb/c', 'a!/b', 'b', 'z/b']],
    ['a/#', ['a', 'a/b', 'a/b!/c', 'a/b/c', 'a/bb/c']],
    ['+/b', ['a!/b', 'a/b', 'z/b']],
    ['a/+/c', ['a/b!/c', 'a/b/c', 'a/bb/c']],
    ['a/b', ['a/b']],
    ['+', ['', 'a', 'b']],
    ['/+', ['/', '/a']],
    ['$s/#', ['$s/a']],
    ['nothing/+', []],
  ])('%s finds what it matches', (filter, found) => {
    put(...topics)
    expect(scan(filter).sort()).toEqual([...found].sort())
    expect(scan(filter, 1).sort()).toEqual([...found].sort())
  })

  test('finds what the definition says, and skips only forwards', () => {
    const level = fc.constantFrom('', 'a', 'b', 'ab', 'b!', '$a', '\u{1f600}')
    const topic = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/'))
    const wanted = fc.constantFrom('', 'a', 'b', '+', 'ab', '$a')
    const filter = fc
      .tuple(fc.array(wanted, { maxLength: 4 }), fc.boolean())
      .map(([levels, open]) => [...levels, ...(open ? ['#'] : [])])
      .filter((levels) => levels.length > 0)
      .map((levels) => levels.join('/'))
    fc.assert(
      fc.property(fc.uniqueArray(topic, { maxLength: 30 }), filter, (all, text) => {
        const prefix = tableKey('t', Buffer.alloc(0))
        const path = new PathFilter(prefix, text)
        const keys = all.map((each) => tableKey('t', pathKey(each))).sort(Buffer.compare)
        const found: Buffer[] = []
        let from = path.start()
        for (const key of keys) {
          if (key.compare(from) < 0) continue
          const verdict = path.judge(key)
          if (verdict.matches) found.push(key)
          else if (verdict.skipTo === undefined) break
          else {
            expect(verdict.skipTo.compare(key)).toBe(1)
            from = verdict.skipTo
          }
        }
        const expected = all.filter((each) => matches(text, each))
        expect(found).toEqual(
          expected.map((each) => tableKey('t', pathKey(each))).sort(Buffer.compare),
        )
      }),
      { numRuns: 1000 },
    )
  })
})
