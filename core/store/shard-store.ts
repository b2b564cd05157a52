// The storage of one shard on this machine: its write-ahead log, and how it is read back at start.

import { basename, join } from 'node:path'
import { assert } from '../../shared/assert.ts'
import { Doorbell } from '../../shared/bus/doorbell.ts'
import { RingReader, RingWriter } from '../../shared/bus/ring.ts'
import type { ShardState } from '../shard/shard-state.ts'
import type { ShardMemory, ShardStorage } from '../shard/storage.ts'
import type { Disk } from './disk.ts'
import { EntryKeeper } from './entry-keeper.ts'
import { asideFolder, segmentFolder, walFolder } from './layout.ts'
import type { WalEnd } from './recovery.ts'
import { WalRecovery } from './recovery.ts'
import { Replay } from './replay.ts'
import type { SegmentListing } from './segment-reader.ts'
import { listSegments } from './segment-reader.ts'
import { WalLog } from './wal-log.ts'

/** A stop waits this long for the log at most; a supervisor waits a little longer for the shard. */
const closeMs = 400

export interface ShardStoreParts {
  readonly disk: Disk
  readonly folder: string
  readonly ring: SharedArrayBuffer
  readonly requests: SharedArrayBuffer
  readonly replies: SharedArrayBuffer
  readonly queueMemoryBudget: number
  /** Other than the usual one in tests. */
  readonly generationBytes: number
  /** Of the log thread. */
  readonly bell: SharedArrayBuffer
  /** Of the shard: rung by the log thread. */
  readonly shardBell: SharedArrayBuffer
  readonly onReport: (level: 'info' | 'warn' | 'error', text: string, fields: object) => void
}

export class ShardStore implements ShardStorage {
  readonly queueMemoryBudget: number
  private readonly parts: ShardStoreParts
  private log: WalLog | undefined

  constructor(parts: ShardStoreParts) {
    this.queueMemoryBudget = parts.queueMemoryBudget
    this.parts = parts
    this.log = undefined
  }

  createLog(memory: ShardMemory): WalLog {
    const { ring, requests, replies, bell, onReport } = this.parts
    this.log = new WalLog({
      generationBytes: this.parts.generationBytes,
      ring: new RingWriter(ring),
      requests: new RingWriter(requests),
      replies: new RingReader(replies),
      bell: new Doorbell(bell),
      arena: memory.arena,
      slabs: memory.slabs,
      messages: memory.messages,
      reclaimer: memory.reclaimer,
      onLost: (queue, messages) =>
        onReport('error', 'messages could not be read back: they are lost', { queue, messages }),
    })
    return this.log
  }

  recover(state: ShardState): void {
    const { log } = this
    assert(log !== undefined, 'the shard has made its log')
    const { disk, folder } = this.parts
    disk.makeFolder(walFolder(folder))
    disk.makeFolder(segmentFolder(folder))
    const keeper = new EntryKeeper(state.arena, state.slabs, state.messages)
    const replay = new Replay(keeper, log.queues.keys())
    const { segments, broken } = listSegments(disk, segmentFolder(folder))
    for (const { runs } of segments) {
      for (const { queue, from, to } of runs) replay.addStored(queue, from, to)
    }
    const end = new WalRecovery(disk, walFolder(folder), asideFolder(folder), replay).run()
    this.removeBroken(broken, end)
    const messages = this.putBack(log, replay)
    let last = 0
    for (const { generation, number, size, runs } of segments) {
      log.desk.add(generation, number, size)
      for (const { queue, from, to, offset } of runs) log.desk.addRun(queue, from, to, offset)
      last = Math.max(last, generation)
    }
    log.start({ ...end, generation: Math.max(end.generation, last + 1) })
    this.report(state.shard, end, replay, messages)
  }

  /** Puts the replayed messages into their queues; returns how many there are. */
  private putBack(log: WalLog, replay: Replay): number {
    let messages = 0
    for (const [id, replayed] of replay.queues) {
      const walQueue = log.queues.get(id)
      if (walQueue === undefined) continue
      const queue = walQueue.owner
      const alive = replayed.stored
      const stored = alive.count
      if (stored > 0) queue.restoreStored(stored, alive.firstAlive(0), replayed.storedTo)
      replayed.marks.each((position, word) => queue.restoreMark(position, word))
      replayed.each((position, row) => {
        alive.add(position)
        queue.restore(row, position)
      })
      alive.skipTo(replayed.next)
      walQueue.alive = alive
      queue.restoreEnd(replayed.next)
      messages += stored + replayed.count
    }
    return messages
  }

  /** Segments without a whole footer: what the log still holds is not lost with them. */
  private removeBroken(broken: SegmentListing['broken'], end: WalEnd): void {
    const { disk, folder, onReport } = this.parts
    for (const { path, generation } of broken) {
      if (generation >= end.firstGeneration) {
        disk.remove(path)
        onReport('info', 'a segment was not finished: its messages are in the log', { path })
        continue
      }
      const savedAs = join(asideFolder(folder), basename(path))
      disk.makeFolder(asideFolder(folder))
      disk.rename(path, savedAs)
      onReport('error', 'a segment is damaged: its messages are lost', { path, savedAs })
    }
  }

  close(): void {
    const { log } = this
    if (log === undefined) return
    const bell = new Doorbell(this.parts.shardBell)
    const deadline = performance.now() + closeMs
    for (;;) {
      const seen = bell.seen()
      log.flush()
      log.urge()
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
