// Ids of messages that came before: known after a crash, those too that have left the log.

import { afterEach, expect, test } from 'vitest'
import { IdJournal } from '../../../core/dedup/id-journal.ts'
import type { SeenId } from '../../../core/dedup/id-window.ts'
import { IdWindow } from '../../../core/dedup/id-window.ts'
import type { ShardState } from '../../../core/shard/shard-state.ts'
import { newFolder, removeFolders, StoreBench } from './store-bench.ts'

afterEach(removeFolders)

/** A window of 1000 ids with its journal, as exchanges have one. */
class Ids {
  readonly window: IdWindow
  readonly journal: IdJournal

  constructor(state: ShardState) {
    this.window = new IdWindow(1000, (seen) => this.journal.remove(seen))
    this.journal = new IdJournal(-7, state, {
      restored: (id, expiresAt) => this.window.restore(id, expiresAt),
      allRestored: () => this.window.restored(),
    })
  }

  add(id: string): SeenId {
    const seen = this.window.add(id, Number.POSITIVE_INFINITY)
    this.journal.add(seen)
    return seen
  }
}

function open(folder: string): { store: StoreBench; ids: Ids } {
  let ids: Ids | undefined
  const prepare = (state: ShardState): void => {
    ids = new Ids(state)
  }
  const store = new StoreBench(folder, [], { generationBytes: 16_384, prepare })
  if (ids === undefined) throw new Error('prepared')
  return { store, ids }
}

test('the last ids are known after a crash before the shard is ready, the oldest going first', () => {
  const folder = newFolder()
  const { store, ids } = open(folder)
  for (let i = 0; i < 3000; i++) {
    ids.add(`id ${i}`)
    if (i % 200 === 199) store.commit()
  }
  store.commit()
  const after = open(folder)
  let ready = false
  after.store.state.unreadIds.read(() => {
    ready = true
  })
  for (let i = 0; i < 100 && !ready; i++) after.store.commit()
  expect(ready).toBe(true)
  const expected = Array.from({ length: 1000 }, (_, i) => `id ${2000 + i}`)
  expect(after.ids.window.all().map(({ id }) => id)).toEqual(expected)
  after.ids.add('new')
  expect(after.ids.window.find('id 2000', 0)).toBeUndefined()
  expect(after.ids.window.find('id 2001', 0)).toBeDefined()
  after.store.commit()
  const third = open(folder)
  third.store.state.unreadIds.read(() => {})
  for (let i = 0; i < 20; i++) third.store.commit()
  expect(third.ids.window.all().map(({ id }) => id)).toEqual([...expected.slice(1), 'new'])
})
