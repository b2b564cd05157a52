// The seam between queues and what makes them durable. A queue appends what it has decided and goes
// on; nothing may assume that a commit is local or instant. On one node the log is a write-ahead log
// of the shard, in a cluster a replicated one; here it is memory, where all is committed at the end
// of the batch that appended it.

/** Positions count up from 1; 0 means "nothing to wait for". */
export interface Log {
  /** A message was put into a durable queue at `queuePosition`. Returns the log position that covers it. */
  enqueue(queue: number, queuePosition: number, row: number): number
  /** A delivery of a durable queue's message was settled for good. */
  settle(queue: number, queuePosition: number): number
  /** All ready messages of a durable queue were dropped. */
  purge(queue: number): number
  /** Everything up to this position is as durable as the log promises. */
  readonly committedUpTo: number
  /** The batch ends: starts (in memory: ends) the commit of what was appended. */
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

  enqueue(_queue: number, _queuePosition: number, _row: number): number {
    return ++this.appended
  }

  settle(_queue: number, _queuePosition: number): number {
    return ++this.appended
  }

  purge(_queue: number): number {
    return ++this.appended
  }

  flush(): void {
    this.committedUpTo = this.appended
  }
}
