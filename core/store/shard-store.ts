// The storage of one shard on this machine: its write-ahead log, and how it is read back at start.

import { assert } from '../../shared/assert.ts'
import { Doorbell } from '../../shared/bus/doorbell.ts'
import { RingWriter } from '../../shared/bus/ring.ts'
import type { SlabReclaimer } from '../../shared/bus/slab-reclaimer.ts'
import type { MessageTable } from '../message/message-table.ts'
import type { ShardState } from '../shard/shard-state.ts'
import type { ShardStorage } from '../shard/storage.ts'
import type { Disk } from './disk.ts'
import { asideFolder, walFolder } from './layout.ts'
import type { WalEnd } from './recovery.ts'
import { WalRecovery } from './recovery.ts'
import { Replay } from './replay.ts'
import { WalLog } from './wal-log.ts'

/** A stop waits this long for the log at most; a supervisor waits a little longer for the shard. */
const closeMs = 400

/** The folder of a shard's files in the data directory. */
export interface ShardStoreParts {
  readonly disk: Disk
  readonly folder: string
  readonly ring: SharedArrayBuffer
  /** Of the log thread. */
  readonly bell: SharedArrayBuffer
  /** Of the shard: rung by the log thread. */
  readonly shardBell: SharedArrayBuffer
  readonly onReport: (level: 'info' | 'warn' | 'error', text: string, fields: object) => void
}

export class ShardStore implements ShardStorage {
  private readonly parts: ShardStoreParts
  private log: WalLog | undefined

  constructor(parts: ShardStoreParts) {
    this.parts = parts
    this.log = undefined
  }

  createLog(messages: MessageTable, reclaimer: SlabReclaimer, slabCount: number): WalLog {
    const ring = new RingWriter(this.parts.ring)
    this.log = new WalLog(ring, new Doorbell(this.parts.bell), messages, reclaimer, slabCount)
    return this.log
  }

  recover(state: ShardState): void {
    const { log } = this
    assert(log !== undefined, 'the shard has made its log')
    const { disk, folder } = this.parts
    disk.makeFolder(walFolder(folder))
    const replay = new Replay(state, log.queues.keys())
    const end = new WalRecovery(disk, walFolder(folder), asideFolder(folder), replay).run()
    let messages = 0
    for (const [id, replayed] of replay.queues) {
      const queue = state.queues.get(id)
      const alive = log.queues.get(id)?.alive
      if (queue === undefined || alive === undefined) continue
      replayed.each((position, row) => {
        alive.add(position)
        queue.restore(row, position)
      })
      alive.skipTo(replayed.next)
      queue.restoreEnd(replayed.next)
      messages += replayed.count
    }
    log.start(end)
    this.report(state.shard, end, replay, messages)
  }

  close(): void {
    const { log } = this
    if (log === undefined) return
    const bell = new Doorbell(this.parts.shardBell)
    const deadline = performance.now() + closeMs
    for (;;) {
      const seen = bell.seen()
      log.flush()
      const left = deadline - performance.now()
      if (log.isSettled() || left <= 0) return
      bell.sleep(seen, left)
    }
  }

  private report(shard: number, end: WalEnd, replay: Replay, messages: number): void {
    const { onReport } = this.parts
    for (const { kind, file, offset, size, savedAs } of end.damage) {
      const text =
        kind === 'torn tail'
          ? 'the log ended in a write that was not finished: cut there'
          : kind === 'damaged'
            ? 'a part of the log is damaged: it was left out'
            : 'a part of the log is missing'
      onReport(kind === 'torn tail' ? 'warn' : 'error', text, {
        shard,
        file,
        offset,
        size,
        savedAs,
      })
    }
    for (const [queue, count] of replay.orphans) {
      onReport('warn', 'messages of a queue that is gone: dropped', {
        shard,
        queue,
        messages: count,
      })
    }
    if (messages > 0) onReport('info', 'messages recovered', { shard, messages })
  }
}
