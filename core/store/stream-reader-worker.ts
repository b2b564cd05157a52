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

const packings = ['none', 'gzip', 'snappy', 'lz4', 'zstd']
const packed = new Set<string>()

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
    tell('error', 'a part of a stream cannot be read: left out', { folder, position })
  },
  onPacked: (folder, offset, messages, codec) => {
    // Once for each stream: whoever publishes so does it all the time.
    if (packed.has(folder)) return
    packed.add(folder)
    const text =
      'batches of a stream are packed in a way that this Node.js cannot undo: not given to AMQP'
    tell('warn', text, { folder, offset, messages, codec: packings[codec] ?? codec })
  },
})

for (;;) {
  const seen = bell.seen()
  const outcome = readers.turn()
  if (outcome !== 'busy') bell.sleep(seen, outcome === 'waiting' ? starvedMs : idleMs)
}

function tell(level: 'warn' | 'error', msg: string, fields: object): void {
  const what: ThreadReport = {
    report: 'log',
    level,
    msg,
    fields: { shard: start.shard, ...fields },
  }
  port?.postMessage(what)
}
