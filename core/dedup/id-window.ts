// The ids that are remembered: the oldest goes when there are too many, and each when its time is up.
// Seeing an id again does not make it younger (as in RabbitMQ's plugin).

/** An id that was seen. */
export interface SeenId {
  readonly id: string
  /** Monotonic; `Infinity`: until it is forgotten for another reason. */
  readonly expiresAt: number
  /** Position of the message that has it; -1: not known, or gone. */
  position: number
  /** Where the journal has it; -1: nowhere. */
  journal: number
}

export class IdWindow {
  /** Undefined: any number. */
  sizeMax: number | undefined
  private readonly ids: Map<string, SeenId>
  private readonly onForgotten: (seen: SeenId) => void

  /** `onForgotten` is called for each id that goes. */
  constructor(sizeMax: number | undefined, onForgotten: (seen: SeenId) => void) {
    this.sizeMax = sizeMax
    this.ids = new Map()
    this.onForgotten = onForgotten
  }

  size(): number {
    return this.ids.size
  }

  /** What is remembered of an id at the time `now`. */
  find(id: string, now: number): SeenId | undefined {
    const seen = this.ids.get(id)
    if (seen === undefined || seen.expiresAt > now) return seen
    this.forget(seen)
    return undefined
  }

  /** Remembers an id that is not known. */
  add(id: string, expiresAt: number): SeenId {
    const seen = this.restore(id, expiresAt)
    this.shrink()
    return seen
  }

  /** Remembers an id that was known before a restart; `restored` follows. */
  restore(id: string, expiresAt: number): SeenId {
    const seen = { id, expiresAt, position: -1, journal: -1 }
    const known = this.ids.get(id)
    if (known !== undefined) this.forget(known)
    this.ids.set(id, seen)
    return seen
  }

  /** All are there that were known before a restart: the oldest are to go first again. */
  restored(): void {
    const all = this.all().sort((one, other) => one.journal - other.journal)
    this.ids.clear()
    for (const seen of all) this.ids.set(seen.id, seen)
    this.shrink()
  }

  forget(seen: SeenId): void {
    if (this.ids.get(seen.id) !== seen) return
    this.ids.delete(seen.id)
    this.onForgotten(seen)
  }

  /** All ids, oldest first. */
  all(): SeenId[] {
    return [...this.ids.values()]
  }

  private shrink(): void {
    if (this.sizeMax === undefined) return
    for (const oldest of this.ids.values()) {
      if (this.ids.size <= this.sizeMax) return
      this.forget(oldest)
    }
  }
}
