// Thread entry of a reader: reads the streams of one shard for its consumers, until the process ends.

import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../../shared/assert.ts'
import { Arena, spareSlabs } from '../../shared/bus/arena.ts'
import { Doorbell } from '../../shared/bus/doorbell.ts'
import { Lane } from '../../shared/bus/lane.ts'
import type { StreamReaderStart, ThreadReport } from '../../shared/bus/mail.ts'
import { RingReader, RingWriter } from '../../shared/bus/ring.ts'
import { nodeDisk } from './disk.ts'
import { StreamReaders } from './stream-readers.ts'

/** With work that waits for a free slab, which rings no bell. */
const starvedMs = 10
const idleMs = 10_000
/** Tags the slabs that readers write: shards count from 2^30 on, these from behind them. */
const ownerBase: number = (1 << 30) + (1 << 20)

const port = parentPort
assert(port !== null, 'a reader runs in a worker thread')
const start = workerData as StreamReaderStart
const bell = new Doorbell(start.streams.readerBell)
const readers = new StreamReaders({
  in: new RingReader(start.streams.toReader),
  out: new Lane(new RingWriter(start.streams.fromReader), new Doorbell(start.shardBell)),
  arena: new Arena(start.arena),
  slabOwner: ownerBase + start.shard,
  spareSlabs,
  disk: nodeDisk,
  onDamage: (folder, position) => {
    const fields = { shard: start.shard, folder, position }
    const what: ThreadReport = {
      report: 'log',
      level: 'error',
      msg: 'a part of a stream cannot be read: left out',
      fields,
    }
    port?.postMessage(what)
  },
})

for (;;) {
  const seen = bell.seen()
  const outcome = readers.turn()
  if (outcome !== 'busy') bell.sleep(seen, outcome === 'waiting' ? starvedMs : idleMs)
}
