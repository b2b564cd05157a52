import { describe, expect, test } from 'vitest'
import type { JournalContext } from '../../../core/dedup/id-journal.ts'
import { QueueIds } from '../../../core/dedup/queue-ids.ts'
import type { BacklogOwner } from '../../../core/log/log.ts'

const bytes = Buffer.alloc(256)
const settings = {
  sizeMax: undefined,
  ttlMs: undefined,
  durable: true,
} as unknown as ConstructorParameters<typeof QueueIds>[2]

/** The ids of queue 7 after a restart: what its journal has on disk is read back by `read`. */
function restarted(inQueue: readonly number[]): {
  readonly ids: QueueIds
  readonly settled: number[]
  read(id: string, position: number, journal: number): void
  look(): void
} {
  const settled: number[] = []
  const owners: BacklogOwner[] = []
  const context = {
    clock: { now: 1000, wall: 1000, toWall: (at: number) => at, fromWall: (at: number) => at },
    arena: { slab: () => bytes },
    messages: { at: [0], slab: [0], bodySize: [0], release: () => {} },
    log: {
      openQueue: (queue: number, owner: BacklogOwner) => {
        owners.push(owner)
        return { queue }
      },
      settle: (_log: unknown, from: number) => settled.push(from),
      fetch: () => {},
    },
  }
  const ids = new QueueIds(7, true, settings, context as unknown as JournalContext, (position) =>
    inQueue.includes(position),
  )
  return {
    ids,
    settled,
    read: (id, position, journal) => {
      const text = Buffer.from(id)
      bytes.writeDoubleLE(position, 4)
      bytes.writeDoubleLE(Number.POSITIVE_INFINITY, 12)
      text.copy(bytes, 20)
      context.messages.bodySize[0] = 16 + text.length
      owners[0]?.load(0, journal)
    },
    // A message without properties asks whether it is a duplicate: the ids are checked at the first.
    look: () => {
      bytes.fill(0, 0, 4)
      ids.isDuplicate(new Int32Array([0, 0, 2, 0, 2, 0, 0]), 0)
    },
  }
}

describe('ids that are read back after a restart', () => {
  test('count when their message is still in the queue, also when read late', () => {
    const queue = restarted([3, 4])
    queue.read('early', 3, 0)
    queue.look()
    queue.read('late', 4, 1)
    expect(queue.ids.size()).toBe(2)
    expect(queue.settled).toEqual([])
  })

  test('are forgotten, on disk too, when their message has gone', () => {
    const queue = restarted([])
    queue.read('early', 3, 0)
    queue.look()
    expect(queue.ids.size()).toBe(0)
    queue.read('late', 4, 1)
    expect(queue.ids.size()).toBe(0)
    expect(queue.settled).toEqual([0, 1])
  })
})
