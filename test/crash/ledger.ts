// What a broker owes us: per queue, which messages must be there after a restart, which may be, and
// which must not.

/** A message in one queue. */
interface Entry {
  /** The broker has promised it. */
  confirmed: boolean
  /** It was acknowledged, which the broker may have heard or not. */
  acked: boolean
  /** Something that was logged after its acknowledgement was confirmed. */
  settled: boolean
}

/** A message as it was found in a queue. */
export interface Found {
  readonly body: Buffer
}

/** Bodies tell who sent them, in which place, and whether they are whole. */
export function bodyOf(publisher: string, place: number, size: number): Buffer {
  const head = `${publisher}:${place}:${size}:`
  return Buffer.alloc(Math.max(size, head.length), head)
}

export class Ledger {
  readonly problems: string[] = []
  /** By queue, then by `publisher:place`. */
  private readonly queues: Map<string, Map<string, Entry>> = new Map()
  /** Was not there after a restart, or is settled: may never come back. */
  private readonly gone: Map<string, Set<string>> = new Map()

  sent(queue: string, id: string): void {
    this.entries(queue).set(id, { confirmed: false, acked: false, settled: false })
  }

  confirmed(queue: string, id: string): void {
    const entry = this.entries(queue).get(id)
    if (entry !== undefined) entry.confirmed = true
  }

  acked(queue: string, id: string): void {
    const entry = this.entries(queue).get(id)
    if (entry !== undefined) entry.acked = true
  }

  settled(queue: string, id: string): void {
    const entry = this.entries(queue).get(id)
    if (entry !== undefined) entry.settled = true
  }

  /** Confirmed messages that nobody has acknowledged. */
  owed(): number {
    let count = 0
    for (const entries of this.queues.values()) {
      for (const { confirmed, acked } of entries.values()) if (confirmed && !acked) count++
    }
    return count
  }

  /** Compares with what a queue holds after a restart, which from now on is what it has to hold. */
  check(queue: string, found: readonly Found[]): void {
    const expected = this.entries(queue)
    const gone = this.goneOf(queue)
    const present = new Set<string>()
    const places = new Map<string, number>()
    for (const { body } of found) {
      const [publisher = '', place = '', size = ''] = body.toString('latin1', 0, 80).split(':')
      const id = `${publisher}:${place}`
      if (!body.equals(bodyOf(publisher, Number(place), Number(size)))) {
        this.say(queue, id, 'is not as it was sent')
      }
      if (present.has(id)) this.say(queue, id, 'is there twice')
      else if (gone.has(id)) this.say(queue, id, 'was gone and came back')
      else if (!expected.has(id)) this.say(queue, id, 'was never sent there')
      else if (expected.get(id)?.settled === true) this.say(queue, id, 'was settled and came back')
      if (Number(place) < (places.get(publisher) ?? -1)) this.say(queue, id, 'is out of order')
      places.set(publisher, Number(place))
      present.add(id)
    }
    for (const [id, entry] of expected) {
      if (present.has(id)) {
        // It is on disk, whoever was told.
        expected.set(id, { confirmed: true, acked: false, settled: false })
        continue
      }
      if (entry.confirmed && !entry.acked) this.say(queue, id, 'was confirmed and is lost')
      expected.delete(id)
      gone.add(id)
    }
  }

  private say(queue: string, id: string, what: string): void {
    this.problems.push(`${queue}: ${id} ${what}`)
  }

  private entries(queue: string): Map<string, Entry> {
    let entries = this.queues.get(queue)
    if (entries === undefined) {
      entries = new Map()
      this.queues.set(queue, entries)
    }
    return entries
  }

  private goneOf(queue: string): Set<string> {
    let gone = this.gone.get(queue)
    if (gone === undefined) {
      gone = new Set()
      this.gone.set(queue, gone)
    }
    return gone
  }
}
