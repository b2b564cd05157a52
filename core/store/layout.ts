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

/**
 * There since the log of the shard was first synced: it stands beside the shard's folder, so that the
 * folder is missed when it is gone.
 */
export function logMark(shardFolder: string): string {
  return `${shardFolder}-begun`
}

/** The write-ahead log of one shard. */
export function walFolder(shardFolder: string): string {
  return join(shardFolder, 'wal')
}

/** What retired files of the log still held. */
export function segmentFolder(shardFolder: string): string {
  return join(shardFolder, 'segments')
}

/** The streams of one shard. */
export function streamsFolder(shardFolder: string): string {
  return join(shardFolder, 'streams')
}

/** The segments of one stream; `queue` is its queue's id. */
export function streamFolder(shardFolder: string, queue: number): string {
  return join(streamsFolder(shardFolder), String(queue))
}

/** Holds a mark for each stream of the shard that has messages, so that they are missed when they are gone. */
export function streamMarksFolder(shardFolder: string): string {
  return join(shardFolder, 'streams-begun')
}

/** There since something of the stream was first synced. */
export function streamMark(shardFolder: string, queue: number): string {
  return join(streamMarksFolder(shardFolder), String(queue))
}

/** What could not be read, kept for whoever can. */
export function asideFolder(shardFolder: string): string {
  return join(shardFolder, 'damaged')
}
