// What shard 0 and the thread that keeps the metadata tell each other, through a MessageChannel.

import type { MessagePort } from 'node:worker_threads'
import type { TopologyChange } from '../topology/topology-change.ts'

/** `workerData` of the metadata thread. */
export interface MetadataStart {
  readonly dataDir: string
  /** To shard 0, whose doorbell is `bell`. */
  readonly port: MessagePort
  readonly bell: SharedArrayBuffer
  readonly nodeWords: SharedArrayBuffer
}

/** Shard 0 -> metadata thread: rows to write (see RowBatch). Positions go up by one. */
export interface MetadataWrite {
  readonly position: number
  /** How many refusals shard 0 has taken account of; with fewer than there were, it is not written. */
  readonly refusals: number
  readonly rows: Uint8Array<ArrayBuffer>
}

/** Shard 0 -> metadata thread: as `MetadataWrite`, for the keyed store, which counts for itself. */
export interface KeyedWrite {
  readonly keyedPosition: number
  readonly rows: Uint8Array<ArrayBuffer>
}

/** Shard 0 -> metadata thread: a packed KeyedOp that reads. */
export interface KeyedRead {
  readonly request: number
  readonly op: Uint8Array
}

export type MetadataRequest = MetadataWrite | KeyedWrite | KeyedRead

/** Metadata thread -> shard 0. The shard's doorbell says `mail`. */
export type MetadataReport =
  /** Once, first. `changes` is msgpack of TopologyChange[] in parts, in an order in which they can be applied. */
  | {
      readonly report: 'loaded'
      readonly changes: readonly Uint8Array[]
      readonly lastId: number
      readonly provisioned: boolean
    }
  /** Everything up to `position` is on disk. */
  | { readonly report: 'durable'; readonly position: number }
  /** Nothing after the last 'durable' was or will be written, until shard 0 has counted this. */
  | { readonly report: 'refused' }
  /** After 'refused': the disk takes metadata again. */
  | { readonly report: 'room' }
  | { readonly report: 'keyedDurable'; readonly position: number }
  /** `reply`: packed. */
  | { readonly report: 'keyedAnswer'; readonly request: number; readonly reply: Uint8Array }

/** What a part of `loaded` holds at most: a ring takes one part at a time. */
export const changesPerPart = 200

/** A part of `loaded`. */
export type ChangesPart = readonly TopologyChange[]
