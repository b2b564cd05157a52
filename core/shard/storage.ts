// What keeps the messages of a shard, as the shard sees it: a log, and what was in the log before.

import type { Arena } from '../../shared/bus/arena.ts'
import type { SlabReclaimer } from '../../shared/bus/slab-reclaimer.ts'
import type { SlabWriter } from '../../shared/bus/slab-writer.ts'
import type { Log } from '../log/log.ts'
import { MemoryLog } from '../log/log.ts'
import type { MessageTable } from '../message/message-table.ts'
import type { ShardState } from './shard-state.ts'

/** Where a shard has its messages. */
export interface ShardMemory {
  readonly arena: Arena
  readonly slabs: SlabWriter
  /** For what is read from disk in large pieces, of which little may be kept: it holds no slab of others. */
  readonly readSlabs: SlabWriter
  readonly messages: MessageTable
  readonly reclaimer: SlabReclaimer
}

export interface ShardStorage {
  readonly queueMemoryBudget: number

  createLog(memory: ShardMemory): Log
  /** Puts back the messages of the durable queues that there are. Once, before anything is published. */
  recover(state: ShardState): void
  /** Waits until what was appended is durable, but not for long. */
  close(): void
}

/** Keeps nothing. */
export const noStorage: ShardStorage = {
  queueMemoryBudget: Number.MAX_SAFE_INTEGER,
  createLog: () => new MemoryLog(),
  recover: () => {},
  close: () => {},
}
