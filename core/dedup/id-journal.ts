// Ids in the log, so that they are known after a restart: each is an entry of a queue that nobody
// consumes from, settled when the id is forgotten. Its body:
//
//   position of the message that has it (Float64, -1: none) | expires at, milliseconds since 1970
//   (Float64, Infinity: never) | the id, UTF-8

import type { Arena } from '../../shared/bus/arena.ts'
import type { SlabWriter } from '../../shared/bus/slab-writer.ts'
import { EntryFlag, entryWords } from '../../shared/bus/wire.ts'
import { viewOf } from '../../shared/bytes/view.ts'
import type { BacklogOwner, Log, QueueLog } from '../log/log.ts'
import type { MessageTable } from '../message/message-table.ts'
import type { ShardClock } from '../time/clock.ts'
import type { SeenId } from './id-window.ts'

export interface JournalContext {
  readonly log: Log
  readonly arena: Arena
  readonly slabs: SlabWriter
  readonly messages: MessageTable
  readonly clock: ShardClock
  /** Where journals say what a restart has left unread. */
  readonly unreadIds?: UnreadIds
}

/** The journals of a shard whose ids are not all known yet after a restart. */
export class UnreadIds {
  private readonly journals: Set<IdJournal>
  private readonly waiting: (() => void)[]

  constructor() {
    this.journals = new Set()
    this.waiting = []
  }

  add(journal: IdJournal): void {
    this.journals.add(journal)
  }

  remove(journal: IdJournal): void {
    if (this.journals.delete(journal) && this.journals.size === 0) {
      for (const next of this.waiting.splice(0)) next()
    }
  }

  /** Has all read, and calls `next` when they are. */
  read(next: () => void): void {
    this.waiting.push(next)
    for (const journal of [...this.journals]) journal.readBack()
    if (this.journals.size === 0) for (const each of this.waiting.splice(0)) each()
  }
}

/** Takes ids that were known before the restart; `restored` gives undefined for one that does not count any more. */
export interface JournalOwner {
  restored(id: string, expiresAt: number, position: number): SeenId | undefined
  /** All that were known have been told. */
  allRestored(): void
}

/** Two empty names, no properties: what an entry has to have in front of its body. */
const headBytes = 4
const fixedBytes = 16

export class IdJournal implements BacklogOwner {
  readonly marks: undefined
  private readonly context: JournalContext
  private readonly log: QueueLog
  private readonly owner: JournalOwner
  private readonly words: Int32Array
  private next: number
  private unwritten: SeenId[]
  /** After a restart: ids on disk that have not been read. */
  private unread: number
  private readTo: number
  private reading: boolean

  constructor(id: number, context: JournalContext, owner: JournalOwner) {
    this.marks = undefined
    this.context = context
    this.owner = owner
    this.words = new Int32Array(entryWords)
    this.next = 0
    this.unwritten = []
    this.unread = 0
    this.readTo = 0
    this.reading = false
    this.log = context.log.openQueue(id, this, 0)
  }

  /** Notes an id. One that finds no room in the log or in memory is noted with the next. */
  add(seen: SeenId): void {
    const late = this.unwritten
    this.unwritten = []
    for (const each of late) this.write(each)
    this.write(seen)
  }

  private write(seen: SeenId): void {
    const { log, slabs, arena, messages, clock } = this.context
    const text = Buffer.from(seen.id)
    const size = headBytes + fixedBytes + text.length
    if (!log.hasRoom(0, 1) || !slabs.take(size)) {
      this.unwritten.push(seen)
      return
    }
    const { slab, at } = slabs
    const bytes = arena.slab(slab)
    bytes.fill(0, at, at + headBytes)
    const view = viewOf(bytes)
    view.setFloat64(at + headBytes, seen.position, true)
    view.setFloat64(at + headBytes + 8, clock.toWall(seen.expiresAt), true)
    text.copy(bytes, at + headBytes + fixedBytes)
    this.words.set([slab, at, 2, 0, 2, size - headBytes, 0])
    const row = messages.add(this.words, 0, EntryFlag.persistent)
    slabs.close(slab)
    seen.journal = this.next++
    log.enqueue(this.log, seen.journal, row, 0)
    // The log has what it needs; the id itself is in memory.
    messages.release(row)
  }

  remove(seen: SeenId): void {
    if (seen.journal >= 0) this.context.log.settle(this.log, seen.journal, 1)
    else if (this.unwritten.length > 0) {
      this.unwritten = this.unwritten.filter((each) => each !== seen)
    }
    seen.journal = -1
  }

  delete(): void {
    this.context.log.deleteQueue(this.log)
    this.context.unreadIds?.remove(this)
  }

  /** Reads what a restart has left on disk; then it is not among `unreadIds` any more. */
  readBack(): void {
    if (this.unread === 0 || this.reading) return
    this.reading = true
    this.context.log.fetch(this.log)
  }

  restore(row: number, position: number): void {
    const { messages, arena, clock } = this.context
    const at = (messages.at[row] as number) + headBytes
    const bytes = arena.slab(messages.slab[row] as number)
    const view = viewOf(bytes)
    const end = at + (messages.bodySize[row] as number)
    const id = bytes.toString('utf8', at + fixedBytes, end)
    const expiresAt = clock.fromWall(view.getFloat64(at + 8, true))
    const seen = this.owner.restored(id, expiresAt, view.getFloat64(at, true))
    if (seen === undefined) this.context.log.settle(this.log, position, 1)
    else seen.journal = position
    messages.release(row)
  }

  restoreStored(count: number, _from: number, to: number): void {
    this.unread = count
    this.readTo = to
  }

  restoreEnd(next: number, _deliveredTo: number): void {
    this.next = next
    if (this.unread > 0) this.context.unreadIds?.add(this)
    else this.owner.allRestored()
  }

  restoreMark(_position: number, _word: number): void {}

  restoreLevel(_level: number): void {}

  restoreExpiry(_position: number, _at: number): void {}

  pageOut(_to: number): void {}

  undeliveredFrom(): number {
    return 0
  }

  storedFrom(): number {
    return this.unread > 0 ? 0 : this.readTo
  }

  storedTo(): number {
    return this.readTo
  }

  load(row: number, position: number): void {
    this.unread--
    this.restore(row, position)
  }

  loadEnd(exhausted: boolean): number {
    this.reading = false
    if (exhausted) this.unread = 0
    if (this.unread > 0) this.readBack()
    else {
      this.owner.allRestored()
      this.context.unreadIds?.remove(this)
    }
    return 0
  }
}
