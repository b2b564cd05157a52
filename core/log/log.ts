// The seam between queues and what makes them durable. A queue appends what it has decided and goes
// on; nothing may assume that a commit is local or instant. On one node the log is a write-ahead log
// of the shard (core/store/wal-log.ts), in a cluster a replicated one; `MemoryLog` is for what keeps
// nothing: all is committed at the end of the batch that appended it.

import type { Marks } from '../queue/marks.ts'
import type { AliveSet } from './alive-set.ts'
import type { StreamLog, StreamOwner, StreamSettings } from './stream-log.ts'

/** Of a queue with priorities, the messages of each level have positions from `level * levelSpan` on. */
export const levelSpan: number = 2 ** 45

export function levelOf(position: number): number {
  return Math.floor(position / levelSpan)
}

/** What a log knows of one durable queue, or of one level of a queue with priorities. */
export interface QueueLog {
  readonly queue: number
}

/** What a log that stores messages asks of a queue. Positions are the queue's own. */
export interface BacklogOwner {
  /** After a restart: message `row` (held for the queue) is in it at `position`. In rising order. */
  restore(row: number, position: number): void
  /** After a restart: the `count` messages in [from, to), with about so many bytes of bodies, are on disk only. */
  restoreStored(count: number, from: number, to: number, bytes: number): void
  /** After a restart: fresh messages get positions from `next` on; those below `deliveredTo` may have been delivered. */
  restoreEnd(next: number, deliveredTo: number): void
  /** After a restart, before `restore`: the message at `position` expires at the wall-clock time `at`. */
  restoreExpiry(position: number, at: number): void
  /** After a restart: there are messages of another level, which is opened now if it was not. */
  restoreLevel(level: number): void
  /**
   * All persistent messages below `to` can be read back from disk: their rows may go. At most `bytes` of
   * messages may stay, even if the queue's own budget is larger.
   */
  pageOut(to: number, bytes: number): void
  /** No message from this position on was ever delivered. */
  undeliveredFrom(): number
  /** Messages that are on disk only are in [storedFrom, storedTo); equal when there are none. */
  storedFrom(): number
  storedTo(): number
  /** A message that was on disk only is in memory as `row`, held for the queue. In rising order. */
  load(row: number, position: number): void
  /** What the queue remembers of single messages, as it has told the log by `mark`; undefined: nothing. */
  readonly marks: Marks | undefined
  /** After a restart, before `restore`: `mark` was the last to be told of a message. */
  restoreMark(position: number, word: number): void
  /** Header tables of messages, as told to the log by `annotate`. */
  readonly annotations?: ReadonlyMap<number, Uint8Array> | undefined
  /** After a restart, before `restore`: `annotate` was the last to be told of a message. */
  restoreAnnotation?(position: number, table: Uint8Array): void
  /** A `fetch` has ended; `exhausted`: nothing is left on disk. Returns how many messages are missing then. */
  loadEnd(exhausted: boolean): number
}

/** Takes what `Log.readSome` reads. */
export interface SomeSink {
  /** A message is in memory as `row`, held for the sink. */
  loadSome(row: number, position: number): void
  /** A read has ended; `exhausted`: the pass is over, wherever what is still wanted may be. */
  someEnd(exhausted: boolean): void
}

/** Log positions count up from 1; 0 means "nothing to wait for". Queue positions are the queue's own. */
export interface Log {
  /** A durable queue is there, or one more level of it; what it appends there names it by the result. */
  openQueue(queue: number, owner: BacklogOwner, level: number): QueueLog
  /** The queue is deleted, with all that it holds. */
  deleteQueue(log: QueueLog): void
  /** A stream is there; `name` is its queue's. */
  openStream(queue: number, name: string, settings: StreamSettings, owner: StreamOwner): StreamLog
  /**
   * True when a message with `extents` further extents may be put into `queues` durable queues now.
   * When false, the shard's doorbell rings once that may have changed.
   */
  hasRoom(extents: number, queues: number): boolean
  /**
   * A message was put into a durable queue at `position`; it expires at the wall-clock time `expiry`, 0:
   * never. Returns the log position that covers it.
   */
  enqueue(log: QueueLog, position: number, row: number, expiry: number): number
  /** The `count` messages at and above `from` are settled for good (those of them that there are). */
  settle(log: QueueLog, from: number, count: number): void
  /** The message at `position` has got the mark `word` (core/queue/marks.ts), until it is settled. */
  mark(log: QueueLog, position: number, word: number): void
  /** The message at `position` has got further headers: an encoded table, until it is settled. */
  annotate(log: QueueLog, position: number, table: Uint8Array): void
  /** Whether the message at `position` is logged and not settled. */
  isAlive(log: QueueLog, position: number): boolean
  /** The lowest position from `from` on that is logged and not settled; `Infinity`: there is none. */
  nextAlive(log: QueueLog, from: number): number
  /** Reads on in the part of the queue that is on disk only; `load` and `loadEnd` follow. */
  fetch(log: QueueLog): void
  /** The next `fetch` begins again at the first message that is on disk. Not while one is under way. */
  rewind(log: QueueLog): void
  /**
   * Begins a pass over the part of a queue that is on disk only, for the messages in `wanted` alone,
   * which may change meanwhile. Each call of the result reads a little; `sink` is told.
   */
  readSome(log: QueueLog, wanted: AliveSet, sink: SomeSink): () => void
  /** Takes what the log has to say (the answers to `fetch`). True when there was anything. */
  poll(): boolean
  /**
   * The position that covers all that was appended so far, settles too, which is committed without
   * more to come; -1: some of it found no room yet, ask again.
   */
  barrier(): number
  /** Everything up to this position is as durable as the log promises. */
  readonly committedUpTo: number
  /**
   * The turn ends. `isAwaited`: somebody waits for what this shard knows to be committed, so it wants to
   * be woken by the next commit. True when there has been one meanwhile.
   */
  rest(isAwaited: boolean): boolean
  /** The batch ends: starts (in memory: ends) the commit of what was appended, and looks how far commits are. */
  flush(): void
}

/** The log of a node without storage: order and positions, no bytes. */
export class MemoryLog implements Log {
  committedUpTo: number
  private appended: number

  constructor() {
    this.committedUpTo = 0
    this.appended = 0
  }

  openQueue(queue: number, _owner: BacklogOwner, _level: number): QueueLog {
    return { queue }
  }

  /** Positions only: nothing can be read back. */
  openStream(): StreamLog {
    return {
      folder: '',
      append: () => ++this.appended,
      appendBatch: () => ++this.appended,
      writer: () => 1,
      storeOffset: () => {},
      configure: () => {},
      openCursor: () => ({ allow: () => {}, close: () => {} }),
      delete: () => {},
    }
  }

  fetch(_log: QueueLog): void {}

  rewind(_log: QueueLog): void {}

  isAlive(_log: QueueLog, _position: number): boolean {
    return false
  }

  nextAlive(_log: QueueLog, _from: number): number {
    return Number.POSITIVE_INFINITY
  }

  readSome(_log: QueueLog, _wanted: AliveSet, _sink: SomeSink): () => void {
    return () => {}
  }

  poll(): boolean {
    return false
  }

  deleteQueue(_log: QueueLog): void {
    this.appended++
  }

  hasRoom(_extents: number, _queues: number): boolean {
    return true
  }

  enqueue(_log: QueueLog, _position: number, _row: number, _expiry: number): number {
    return ++this.appended
  }

  settle(_log: QueueLog, _from: number, _count: number): void {
    this.appended++
  }

  mark(_log: QueueLog, _position: number, _word: number): void {
    this.appended++
  }

  annotate(_log: QueueLog, _position: number, _table: Uint8Array): void {
    this.appended++
  }

  barrier(): number {
    return this.appended
  }

  rest(): boolean {
    return false
  }

  flush(): void {
    this.committedUpTo = this.appended
  }
}
