// What main posts to the threads it starts, and what they post back. Shards read mail with
// receiveMessageOnPort when their doorbell says so; gateways have an event loop.

import type { MessagePort } from 'node:worker_threads'
import type { ArenaMemory } from './arena.ts'
import type { ControlReply } from './control.ts'
import type { LinkMemory } from './link.ts'

/** `workerData` of a shard thread. `settings` is the resolved configuration (plain object). */
export interface ShardStart {
  readonly shard: number
  readonly shards: number
  readonly arena: ArenaMemory
  readonly nodeWords: SharedArrayBuffer
  /** What all shards know of publish rates (core/shard/publish-rates.ts). */
  readonly rates: SharedArrayBuffer
  /** Doorbell memory of every shard, by index. */
  readonly bells: readonly SharedArrayBuffer[]
  /** rings[i]: written by this shard, read by shard i; `fromShards[i]` the reverse. Undefined at its own index. */
  readonly toShards: readonly (SharedArrayBuffer | undefined)[]
  readonly fromShards: readonly (SharedArrayBuffer | undefined)[]
  readonly log: LogMemory
  /** The process before this one stopped in order. */
  readonly stoppedCleanly: boolean
  /** Bytes of slabs in use above which backlogs keep nothing in memory. */
  readonly memoryBudget: number
  /** To the thread that keeps the metadata; undefined on shards other than the registry's. */
  readonly metadata: MessagePort | undefined
  readonly settings: unknown
}

/** What a shard and its log thread share: rings, and that thread's doorbell. */
export interface LogMemory {
  readonly ring: SharedArrayBuffer
  readonly requests: SharedArrayBuffer
  readonly replies: SharedArrayBuffer
  readonly bell: SharedArrayBuffer
  /** See ConfirmGate. */
  readonly durable: SharedArrayBuffer
  /** What checksums on disk start from (see core/store/wal-format.ts). */
  readonly salt: number
  readonly streams: StreamMemory
}

/** What a shard shares with its log thread, and with the thread that reads, about streams. */
export interface StreamMemory {
  /** Log thread -> shard. */
  readonly replies: SharedArrayBuffer
  readonly toReader: SharedArrayBuffer
  readonly fromReader: SharedArrayBuffer
  readonly readerBell: SharedArrayBuffer
}

/** `workerData` of the thread that reads the streams of a shard. */
export interface StreamReaderStart {
  readonly shard: number
  readonly arena: ArenaMemory
  readonly streams: StreamMemory
  readonly shardBell: SharedArrayBuffer
}

/** `workerData` of a shard's log thread. */
export interface LogStart {
  readonly shard: number
  /** The shard's folder in the data directory. */
  readonly folder: string
  readonly arena: ArenaMemory
  readonly nodeWords: SharedArrayBuffer
  readonly log: LogMemory
  readonly shardBell: SharedArrayBuffer
}

/** Main -> log thread: a gateway that holds confirms has come, or has gone. */
export type LogMail =
  | {
      readonly mail: 'gateway'
      readonly link: number
      readonly bell: SharedArrayBuffer
      readonly awaits: SharedArrayBuffer
    }
  | { readonly mail: 'gatewayLost'; readonly link: number }

/** Main -> shard. */
export type ShardMail =
  | {
      readonly mail: 'gateway'
      readonly link: LinkMemory
      readonly bell: SharedArrayBuffer
      readonly name: string
    }
  | { readonly mail: 'gatewayLost'; readonly link: number }
  /** To the registry's shard: an operator's command, as the bus op `admin`; an `answer` follows. */
  | {
      readonly mail: 'admin'
      readonly request: number
      readonly command: Readonly<Record<string, unknown>>
    }
  | { readonly mail: 'stop' }

/** `workerData` of a gateway thread. */
export interface GatewayStart {
  /** Unique per started gateway, also after a restart. */
  readonly gateway: number
  readonly name: string
  /** Services (`serviceListeners`) of this thread. */
  readonly protocols: readonly string[]
  readonly arena: ArenaMemory
  readonly nodeWords: SharedArrayBuffer
  readonly bell: SharedArrayBuffer
  readonly shardBells: readonly SharedArrayBuffer[]
  /** One link per shard, by shard index. */
  readonly links: readonly LinkMemory[]
  readonly settings: unknown
}

/** Main -> gateway. */
export type GatewayMail =
  | { readonly mail: 'listen' }
  | { readonly mail: 'shutdown'; readonly reason: string }

/** Any thread -> main. */
export type ThreadReport =
  | { readonly report: 'ready' }
  | {
      readonly report: 'listening'
      readonly protocol: string
      readonly address: string
      readonly port: number
    }
  | { readonly report: 'answer'; readonly request: number; readonly reply: ControlReply }
  /** Gateways: every listener is open. */
  | { readonly report: 'serving' }
  | { readonly report: 'failed'; readonly text: string }
  | { readonly report: 'stopped' }
  /** Of a shard: its streams are read, which wants a thread. */
  | { readonly report: 'readerNeeded' }
  | {
      readonly report: 'log'
      readonly level: 'debug' | 'info' | 'warn' | 'error'
      readonly msg: string
      readonly fields?: object
    }
