// The memory that joins one gateway thread to one shard, and one shard to another.

import { createRing } from './ring.ts'

/** Ring sizes: 256 KiB each way stays in a core's second-level cache and holds 6 000 publishes. */
const ringWords = 64 * 1024

/**
 * How a gateway learns by itself how far the log of a shard is. `durable`: the shard's DurableWords.
 * `awaits`, of the link: [0] 1 while the gateway wants to be rung when the position moves.
 */
export interface ConfirmGate {
  readonly durable: SharedArrayBuffer
  readonly awaits: SharedArrayBuffer
}

/** Words that a log thread and a shard share with the gateways. */
export const DurableWord = {
  /** Up to here all is synced, in words of the ring to the log thread (mod 2^32). */
  position: 0,
  /** 1: the shard need not be rung for a commit. */
  unwanted: 1,
} as const

export function createDurableWords(): SharedArrayBuffer {
  return new SharedArrayBuffer(8)
}

/** One gateway x shard link. `id` is unique in the node's life and > 0: it also tags slabs. */
export interface LinkMemory {
  readonly id: number
  readonly toShard: SharedArrayBuffer
  readonly toGateway: SharedArrayBuffer
  /** Int32 per slab: bodies that the gateway still reads although it released the record. */
  readonly pins: SharedArrayBuffer
  /** Undefined: the shard sends confirms only when they are due. */
  readonly confirms: ConfirmGate | undefined
}

/**
 * Makes the memory of a link; `slabCount` is the arena's, `words` (a power of two) each ring's size,
 * `durable` that of ConfirmGate, if the gateway may hold confirms.
 */
export function createLink(
  id: number,
  slabCount: number,
  words: number = ringWords,
  durable?: SharedArrayBuffer,
): LinkMemory {
  return {
    id,
    toShard: createRing(words),
    toGateway: createRing(words),
    pins: new SharedArrayBuffer(slabCount * 4),
    confirms: durable === undefined ? undefined : { durable, awaits: new SharedArrayBuffer(4) },
  }
}

/** Words shared by all threads of a node. `alarms` are those that block publishers. */
export const NodeWord = {
  alarms: 0,
  shutdown: 1,
  /** How many threads the disk refuses to write for: logs, and the metadata. */
  failingLogs: 2,
} as const
/** Bits of `NodeWord.alarms`, with the reason that connection.blocked gives. */
export const Alarm = { memory: 1, disk: 2 } as const

export function createNodeWords(): SharedArrayBuffer {
  return new SharedArrayBuffer(64)
}
