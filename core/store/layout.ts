// Where things are in a data directory. Loads nothing, so that main can ask without the readers.

import { join } from 'node:path'

/** The registry's tables. */
export function metadataFolder(dataDir: string): string {
  return join(dataDir, 'metadata')
}

/** What gateways keep: retained messages, sessions. */
export function keyedFolder(dataDir: string): string {
  return join(dataDir, 'keyed')
}

/** The messages of one shard. */
export function shardFolder(dataDir: string, shard: number): string {
  return join(dataDir, `shard-${shard}`)
}

/** The write-ahead log of one shard. */
export function walFolder(shardFolder: string): string {
  return join(shardFolder, 'wal')
}

/** What retired files of the log still held. */
export function segmentFolder(shardFolder: string): string {
  return join(shardFolder, 'segments')
}

/** What could not be read, kept for whoever can. */
export function asideFolder(shardFolder: string): string {
  return join(shardFolder, 'damaged')
}
