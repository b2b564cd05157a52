// The storage of one shard on this machine: its write-ahead log, and how it is read back at start.

import { basename, join } from 'node:path'
import { assert } from '../../shared/assert.ts'
import { Doorbell } from '../../shared/bus/doorbell.ts'
import { Lane } from '../../shared/bus/lane.ts'
import type { StreamMemory } from '../../shared/bus/mail.ts'
import { RingReader, RingWriter } from '../../shared/bus/ring.ts'
import { levelOf } from '../log/log.ts'
import type { ShardState } from '../shard/shard-state.ts'
import type { ShardMemory, ShardStorage } from '../shard/storage.ts'
import type { Disk } from './disk.ts'
import { EntryKeeper, keepNothing } from './entry-keeper.ts'
import { asideFolder, segmentFolder, walFolder } from './layout.ts'
import type { RecoveryPlace, WalEnd } from './recovery.ts'
import { WalRecovery } from './recovery.ts'
import { Replay } from './replay.ts'
import type { SegmentListing, StoredSegment } from './segment-reader.ts'
import { listSegments, salvageSegment } from './segment-reader.ts'
import { isUnfinished, missingSegments } from './segment-state.ts'
import { StreamDesk } from './stream-desk.ts'
import { recoverStreams } from './stream-recovery.ts'
import { WalLog } from './wal-log.ts'
import { queueOfKey } from './wal-queue.ts'

/** A stop waits this long for the log at most; a supervisor waits a little longer for the shard. */
const closeMs = 400

export interface ShardStoreParts {
  readonly disk: Disk
  readonly folder: string
  readonly ring: SharedArrayBuffer
  readonly requests: SharedArrayBuffer
  readonly replies: SharedArrayBuffer
  readonly salt: number
  /** The process before this one stopped in order. */
  readonly stoppedCleanly: boolean
  readonly queueMemoryBudget: number
  /** For all queues of the node: see SegmentDeskParts. */
  readonly memoryBudget: number
  /** Other than the usual one in tests. */
  readonly generationBytes: number
  /** Of the log thread. */
  readonly bell: SharedArrayBuffer
  /** See ConfirmGate. */
  readonly durable: SharedArrayBuffer
  /** Of the shard: rung by the log thread. */
  readonly shardBell: SharedArrayBuffer
  readonly streams: StreamMemory
  /** A stream is read for the first time: there must be a thread that does it. */
  readonly onReaderNeeded: () => void
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
      salt: this.parts.salt,
      memoryBudget: this.parts.memoryBudget,
      ring: new RingWriter(ring),
      requests: new RingWriter(requests),
      replies: new RingReader(replies),
      bell: new Doorbell(bell),
      durable: this.parts.durable,
      arena: memory.arena,
      slabs: memory.slabs,
      readSlabs: memory.readSlabs,
      messages: memory.messages,
      reclaimer: memory.reclaimer,
      onLost: (queue, messages) =>
        onReport('error', 'messages could not be read back: they are lost', { queue, messages }),
    })
    this.log.streams = this.createStreamDesk(this.log, memory)
    return this.log
  }

  private createStreamDesk(log: WalLog, memory: ShardMemory): StreamDesk {
    const { bell, folder, streams, onReaderNeeded } = this.parts
    const readerBell = new Doorbell(streams.readerBell)
    return new StreamDesk({
      appender: log,
      folder,
      replies: new RingReader(streams.replies),
      logBell: new Doorbell(bell),
      toReader: new Lane(new RingWriter(streams.toReader), readerBell),
      fromReader: new RingReader(streams.fromReader),
      readerBell,
      reclaimer: memory.reclaimer,
      onReaderNeeded,
    })
  }

  recover(state: ShardState): void {
    const { log } = this
    assert(log !== undefined, 'the shard has made its log')
    const { disk, folder } = this.parts
    disk.makeFolder(walFolder(folder))
    disk.makeFolder(segmentFolder(folder))
    const { segments, broken } = this.listSegments(log)
    const keeper = new EntryKeeper(state.arena, state.slabs, state.messages)
    const replay = new Replay(keeper, log.queues.keys())
    for (const { runs, expiries } of segments) {
      for (const run of runs) replay.addStored(run)
      for (const [queue, some] of expiries) replay.addExpiries(queue, some)
    }
    const end = new WalRecovery(this.place(asideFolder(folder)), replay).run()
    const messages = this.putBack(log, replay)
    this.recoverStreams(log)
    let last = -1
    for (const segment of segments) {
      last = Math.max(last, segment.generation)
      if (this.isStray(segment, log, replay)) continue
      log.desk.add(segment.generation, segment.number, segment.size)
      for (const { queue, from, to, count, offset } of segment.runs) {
        log.desk.addRun(queue, from, to, count, offset)
      }
    }
    // What is retired next must not bear the number of a segment that is there.
    log.start({ ...end, generation: Math.max(end.generation, last + 2) })
    for (const name of missingSegments({ segments, broken }, replay)) {
      this.parts.onReport('error', 'a segment is missing: its messages are lost', { name })
    }
    this.report(state.shard, end, replay, messages)
  }

  private recoverStreams(log: WalLog): void {
    const { disk, folder, stoppedCleanly, onReport } = this.parts
    if (log.streams === undefined) return
    recoverStreams(disk, folder, log.streams, !stoppedCleanly, onReport)
  }

  private place(aside: string | undefined): RecoveryPlace {
    const { disk, folder, salt } = this.parts
    return { disk, folder: walFolder(folder), salt, aside }
  }

  /** The segments that there are, with what can be had of damaged ones; unfinished ones are removed. */
  private listSegments(log: WalLog): SegmentListing {
    const { disk, folder, salt, onReport } = this.parts
    const { segments, broken } = listSegments(disk, segmentFolder(folder), salt)
    if (broken.length === 0) return { segments, broken }
    // What the log says decides what a segment without a whole footer is.
    const replay = new Replay(keepNothing, log.queues.keys())
    const end = new WalRecovery(this.place(undefined), replay).run()
    const all = [...segments]
    for (const segment of broken) {
      const { path } = segment
      if (isUnfinished(segment, end, replay)) {
        disk.remove(path)
        onReport('info', 'a segment was not finished: its messages are in the log', { path })
        continue
      }
      const salvaged = salvageSegment(disk, segment, salt)
      if (salvaged.runs.length === 0) {
        const savedAs = this.moveAside(path)
        onReport('error', 'a segment is damaged: its messages are lost', { path, savedAs })
        continue
      }
      onReport('error', 'a segment is damaged at its end: what is whole in it is used', { path })
      all.push(salvaged)
    }
    return { segments: all.sort(byAge), broken }
  }

  /** Holds only messages of queues that nobody knows, though nobody deleted them: it is kept aside. */
  private isStray({ path, runs }: StoredSegment, log: WalLog, replay: Replay): boolean {
    if (runs.some(({ queue }) => log.queues.has(queue))) return false
    const unknown = runs.filter(({ queue }) => !replay.deleted.has(queue))
    if (unknown.length === 0) return false
    const queues = unknown.map(({ queue }) => queue)
    const text = 'a segment holds messages of queues that are gone: moved aside'
    this.parts.onReport('warn', text, { path, savedAs: this.moveAside(path), queues })
    return true
  }

  private moveAside(path: string): string {
    const { disk, folder } = this.parts
    const savedAs = join(asideFolder(folder), basename(path))
    disk.makeFolder(asideFolder(folder))
    disk.rename(path, savedAs)
    return savedAs
  }

  /** Puts the replayed messages into their queues; returns how many there are. */
  private putBack(log: WalLog, replay: Replay): number {
    let messages = 0
    for (const [key, replayed] of replay.queues) {
      const id = queueOfKey(key)
      if (key !== id) log.queues.get(id)?.owner.restoreLevel(levelOf(replayed.base))
      const walQueue = log.queues.get(key)
      if (walQueue === undefined) continue
      const queue = walQueue.owner
      const alive = replayed.stored
      const stored = alive.count
      if (stored > 0)
        queue.restoreStored(stored, alive.firstAlive(0), replayed.storedTo, replayed.bytesStored())
      replayed.marks.each((position, word) => queue.restoreMark(position, word))
      for (const [position, table] of replayed.annotations) {
        queue.restoreAnnotation?.(position, table)
      }
      for (const [position, at] of replayed.expiries) {
        if (replayed.isAlive(position)) queue.restoreExpiry(position, at)
      }
      replayed.each((position, row) => {
        alive.add(position)
        queue.restore(row, position)
      })
      alive.skipTo(replayed.next)
      walQueue.alive = alive
      // As RabbitMQ's classic queues do (head of rabbit_variable_queue.erl, 4.0): what was delivered is
      // remembered over an orderly stop only; after any other, all there was counts as delivered.
      const { next, deliveredTo } = replayed
      queue.restoreEnd(next, this.parts.stoppedCleanly ? Math.min(next, deliveredTo) : next)
      messages += stored + replayed.count
    }
    return messages
  }

  close(): void {
    const { log } = this
    if (log === undefined) return
    log.stop()
    const bell = new Doorbell(this.parts.shardBell)
    const deadline = performance.now() + closeMs
    for (;;) {
      const seen = bell.seen()
      log.flush()
      log.urge()
      const left = deadline - performance.now()
      if (log.isSettled() || left <= 0) return
      if (!log.rest(true)) bell.sleep(seen, left)
    }
  }

  private report(shard: number, end: WalEnd, replay: Replay, messages: number): void {
    const { onReport } = this.parts
    for (const { kind, file, offset, size, savedAs } of end.damage) {
      const text = damageTexts[kind]
      onReport(kind === 'torn tail' ? 'warn' : 'error', text, {
        shard,
        file,
        offset,
        size,
        savedAs,
      })
    }
    if (replay.incomplete > 0) {
      const messages = replay.incomplete
      onReport('error', 'messages of which a part is damaged: they are lost', { shard, messages })
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

const damageTexts = {
  'torn tail': 'the log ended in a write that was not finished: cut there',
  damaged: 'a part of the log is damaged: it was left out',
  missing: 'a part of the log is missing',
  gone: 'the log of this shard is gone, and what was only in it',
} as const

function byAge(a: StoredSegment, b: StoredSegment): number {
  return a.generation - b.generation || a.number - b.number
}
