// The memory of a gateway in a process of its own: as a thread's, but with nobody else to share it.

import { Arena, createArena } from './arena.ts'
import type { BridgeStart } from './bridge-wire.ts'
import { createDoorbell } from './doorbell.ts'
import { createLink, createNodeWords } from './link.ts'
import type { GatewayStart } from './mail.ts'

/** What the process makes its `GatewayPort` and its half of the bridge from. */
export function createBridgedStart(start: BridgeStart): GatewayStart {
  const arena = createArena(start.arenaBytes)
  const slabCount = new Arena(arena).slabCount
  const shards = Array.from({ length: start.shards }, (_, index) => index)
  // The bridge is all the shards.
  const bridgeBell = createDoorbell()
  return {
    gateway: start.gateway,
    name: start.name,
    protocols: start.protocols,
    arena,
    nodeWords: createNodeWords(),
    bell: createDoorbell(),
    shardBells: shards.map(() => bridgeBell),
    links: shards.map((shard) => createLink(shard + 1, slabCount)),
    settings: start.settings,
  }
}
