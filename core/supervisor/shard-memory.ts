// The shared memory that the shards of a node start with: doorbells, and a ring for each direction
// between two shards.

import type { MessagePort } from 'node:worker_threads'
import type { ArenaMemory } from '../../shared/bus/arena.ts'
import { createDoorbell } from '../../shared/bus/doorbell.ts'
import { createDurableWords } from '../../shared/bus/link.ts'
import type { ShardStart } from '../../shared/bus/mail.ts'
import { createRing } from '../../shared/bus/ring.ts'
import type { Config } from '../../shared/config/schema.ts'
import { createRateMemory } from '../shard/publish-rates.ts'
import { logRingWords, requestRingWords } from '../store/log-wire.ts'
import { createStreamMemory } from '../store/stream-reader-wire.ts'

/** As large as a gateway's ring: forwarded publishes are records of the same size. */
const peerRingWords = 64 * 1024

/** Of the memory watermark: beyond it messages that are on disk leave memory, long before publishers are blocked. */
const backlogShare = 0.5

/** What the data directory says of itself (see core/store/node-directory.ts). */
export interface DiskFacts {
  readonly salt: number
  readonly stoppedCleanly: boolean
}

/** What each shard is started with, by shard index; `metadata` goes to the one with the registry. */
export function shardStarts(
  config: Config,
  arena: ArenaMemory,
  nodeWords: SharedArrayBuffer,
  metadata: MessagePort,
  disk: DiskFacts,
  watermarkBytes: number,
): ShardStart[] {
  const shards = config.shards
  const indexes = Array.from({ length: shards }, (_, index) => index)
  const bells = indexes.map(() => createDoorbell())
  // rings[from][to]
  const rings = indexes.map((from) =>
    indexes.map((to) => (from === to ? undefined : createRing(peerRingWords))),
  )
  const rates = createRateMemory()
  return indexes.map((shard) => ({
    shard,
    shards,
    arena,
    nodeWords,
    rates,
    bells,
    toShards: rings[shard] ?? [],
    fromShards: rings.map((row) => row[shard]),
    log: {
      ring: createRing(logRingWords),
      requests: createRing(requestRingWords),
      replies: createRing(requestRingWords),
      bell: createDoorbell(),
      durable: createDurableWords(),
      salt: disk.salt,
      streams: createStreamMemory(),
    },
    stoppedCleanly: disk.stoppedCleanly,
    memoryBudget: Math.floor(watermarkBytes * backlogShare),
    metadata: shard === 0 ? metadata : undefined,
    settings: config,
  }))
}
