// Deduplication of one queue. Without a size or a time the ids are those of the messages in the queue:
// an id goes with its message. With either, an id is remembered for so long or until so many
// others have come, wherever its message is.

import type { DeduplicationSettings } from '../topology/queue-settings.ts'
import type { JournalContext, JournalOwner } from './id-journal.ts'
import { IdJournal } from './id-journal.ts'
import type { SeenId } from './id-window.ts'
import { IdWindow } from './id-window.ts'
import { MessageIdentity } from './message-id.ts'

export class QueueIds implements JournalOwner {
  private readonly context: JournalContext
  private settings: DeduplicationSettings
  private readonly window: IdWindow
  private readonly byPosition: Map<number, SeenId>
  private readonly journal: IdJournal | undefined
  private readonly identity: MessageIdentity
  private readonly isInQueue: (position: number) => boolean
  /** Restored ids have been compared with the messages that are there. */
  private checked: boolean
  /** Of the log: everything that was accepted so far is covered by it. */
  private logPosition: number

  /** `isInQueue` is asked after a restart about messages that had an id. */
  constructor(
    queue: number,
    durable: boolean,
    settings: DeduplicationSettings,
    context: JournalContext,
    isInQueue: (position: number) => boolean,
  ) {
    this.context = context
    this.settings = settings
    this.window = new IdWindow(settings.sizeMax, (seen) => this.forgotten(seen))
    this.byPosition = new Map()
    this.identity = new MessageIdentity()
    this.isInQueue = isInQueue
    this.checked = false
    this.logPosition = 0
    this.journal = durable && settings.durable ? new IdJournal(-queue, context, this) : undefined
  }

  configure(settings: DeduplicationSettings): void {
    this.settings = settings
    this.window.sizeMax = settings.sizeMax
  }

  /** Whether the message at `words[e..]` has come before. If not, `kept` is to follow when it is kept. */
  isDuplicate(words: Int32Array, e: number): boolean {
    if (!this.checked) this.check()
    const propsAt = (words[e + 1] as number) + (words[e + 2] as number) + (words[e + 3] as number)
    const bytes = this.context.arena.slab(words[e] as number)
    this.identity.look(bytes, propsAt, words[e + 4] as number)
    const { id } = this.identity
    return id !== undefined && this.window.find(id, this.context.clock.now) !== undefined
  }

  /** What a duplicate waits for before it is confirmed: the first one is as safe then. */
  coveredBy(): number {
    return this.logPosition
  }

  /** The message that was asked about is in the queue. `logPosition`: 0 where it is not logged. */
  kept(position: number, logPosition: number): void {
    const { id, ttlMs = this.settings.ttlMs } = this.identity
    if (id === undefined) return
    const expiresAt = this.context.clock.now + (ttlMs ?? Number.POSITIVE_INFINITY)
    const seen = this.put(this.window.add(id, expiresAt), position)
    if (logPosition === 0) return
    this.logPosition = logPosition
    this.journal?.add(seen)
  }

  /** The message that was asked about has passed through, and nobody will settle it. */
  passed(): void {
    const { id, ttlMs = this.settings.ttlMs } = this.identity
    if (id === undefined || this.byMessage()) return
    const expiresAt = this.context.clock.now + (ttlMs ?? Number.POSITIVE_INFINITY)
    this.journal?.add(this.window.add(id, expiresAt))
  }

  /** The message at `position` has left the queue. */
  gone(position: number): void {
    const seen = this.byPosition.get(position)
    if (seen === undefined) return
    this.byPosition.delete(position)
    seen.position = -1
    if (this.byMessage()) this.window.forget(seen)
  }

  /** All messages that wait have left the queue (purge), as far as that was not told one by one. */
  emptied(isThere: (position: number) => boolean): void {
    for (const position of [...this.byPosition.keys()]) if (!isThere(position)) this.gone(position)
  }

  size(): number {
    return this.window.size()
  }

  destroy(): void {
    this.journal?.delete()
  }

  private byMessage(): boolean {
    return this.settings.sizeMax === undefined && this.settings.ttlMs === undefined
  }

  private put(seen: SeenId, position: number): SeenId {
    seen.position = position
    if (position >= 0) this.byPosition.set(position, seen)
    return seen
  }

  /** JournalOwner. */
  restored(id: string, expiresAt: number, position: number): SeenId | undefined {
    let at = position
    if (this.checked) {
      // Read back late: since then its message may have gone, and another may have come with the id.
      if (this.window.find(id, this.context.clock.now) !== undefined) return undefined
      if (at >= 0 && !this.isInQueue(at)) {
        if (this.byMessage()) return undefined
        at = -1
      }
    }
    return this.put(this.window.restore(id, expiresAt), at)
  }

  /** JournalOwner. */
  allRestored(): void {
    this.window.restored()
  }

  private forgotten(seen: SeenId): void {
    if (seen.position >= 0) this.byPosition.delete(seen.position)
    this.journal?.remove(seen)
  }

  /** The log may have forgotten an id's message and not yet the id when the node was killed. */
  private check(): void {
    this.checked = true
    for (const seen of this.window.all()) {
      if (seen.position >= 0 && !this.isInQueue(seen.position)) this.gone(seen.position)
    }
  }
}
