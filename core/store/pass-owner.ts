// Reads single messages of the part of a queue that is on disk only, from its first segment on, while
// the queue itself may read elsewhere: to the segment desk this is a queue of its own, in which only
// those messages are alive.

import type { AliveSet } from '../log/alive-set.ts'
import type { BacklogOwner, SomeSink } from '../log/log.ts'

export class PassOwner implements BacklogOwner {
  readonly marks: undefined
  private readonly owner: BacklogOwner
  private readonly wanted: AliveSet
  private readonly sink: SomeSink

  constructor(owner: BacklogOwner, wanted: AliveSet, sink: SomeSink) {
    this.marks = undefined
    this.owner = owner
    this.wanted = wanted
    this.sink = sink
  }

  storedFrom(): number {
    return this.wanted.firstAlive(0)
  }

  storedTo(): number {
    return Number.POSITIVE_INFINITY
  }

  load(row: number, position: number): void {
    this.sink.loadSome(row, position)
  }

  loadEnd(exhausted: boolean): number {
    this.sink.someEnd(exhausted)
    return 0
  }

  undeliveredFrom(): number {
    return this.owner.undeliveredFrom()
  }

  // Nothing is restored into a pass, nor paged out of it.
  restore(): void {}
  restoreStored(): void {}
  restoreEnd(): void {}
  restoreExpiry(): void {}
  restoreLevel(): void {}
  restoreMark(): void {}
  pageOut(): void {}
}
