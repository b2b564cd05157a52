// What comes due after a connection is gone: its will after the delay, its session's end. Rows of the
// keyed store in the order of their time, so that a restart forgets none and looks at none too early.
//
//   mqtt.due   when, ms since 1970 (u64) | vhost id | 0 | client id | 0 | kind     what to do, for whom

import { Buffer } from 'node:buffer'
import type { Client } from './client.ts'
import type { Deputy } from './deputy.ts'
import { actFor } from './deputy.ts'
import type { Hub } from './hub.ts'
import { forEver } from './ops.ts'
import type { SessionRecord, StoredSession } from './session-rows.ts'
import { hasExpired, SessionRows, scanSessions } from './session-rows.ts'
import type { Will } from './will.ts'
import { decodeWill, encodeWill } from './will.ts'

const table = 'mqtt.due'
const timeBytes = 8
const pageBytes = 16 * 1024
/** Another gateway may have written something that this one does not know of. */
const lookMs = 30_000

interface Due {
  readonly kind: 'will' | 'end'
  readonly user: string
  readonly vhost: string
  readonly clientId: string
  readonly will: Will | undefined
}

export class Departures {
  private readonly hub: Hub
  /** On the clock of the host. */
  private next: number
  private looking: boolean

  /** Sessions that a crash has left are still looked for. */
  private sweeping: boolean

  constructor(hub: Hub) {
    this.hub = hub
    this.next = 0
    this.looking = false
    this.sweeping = true
  }

  deadline(): number {
    return this.next
  }

  onDeadline(now: number): void {
    this.next = now + lookMs
    if (!this.looking) this.look(now)
    if (this.sweeping) this.sweep(null)
    this.sweeping = false
  }

  /** The will is published at `at` (ms since 1970), unless `cancel` comes first. */
  addWill(client: Client, at: number, will: Will): void {
    this.add(client, at, 'will', will)
  }

  /** The session ends at `at`. */
  addEnd(client: Client, at: number): void {
    this.add(client, at, 'end', undefined)
  }

  /** The client is back: nothing of the time between is due any more. 0: nothing was. */
  cancel(client: Client, willAt: number, endAt: number): void {
    const { keyed } = this.hub
    if (willAt > 0) keyed.write(table, keyOf(client, willAt, 'will'), null, () => undefined)
    if (endAt > 0) keyed.write(table, keyOf(client, endAt, 'end'), null, () => undefined)
  }

  /** The session ends before its will was due: takes the will out. */
  takeWill(client: Client, at: number, done: (will: Will | undefined) => void): void {
    this.hub.keyed.take(table, keyOf(client, at, 'will'), (value) => {
      done(value === undefined ? undefined : readDue(value)?.will)
    })
  }

  private add(client: Client, at: number, kind: Due['kind'], will: Will | undefined): void {
    const { clientId, user, vhost } = client
    const value = { kind, user, vhost, clientId, will: will && encodeWill(will) }
    const bytes = Buffer.from(JSON.stringify(value))
    this.hub.keyed.write(table, keyOf(client, at, kind), bytes, () => undefined)
    this.next = Math.min(this.next, this.hub.clock.now() + Math.max(0, at - this.hub.clock.wall()))
  }

  private look(now: number): void {
    const { keyed } = this.hub
    this.looking = true
    const wall = this.hub.clock.wall()
    keyed.scan(table, noBytes, null, null, pageBytes, (rows, more) => {
      this.looking = false
      for (const [key] of rows) {
        const at = Number(Buffer.from(key).readBigUInt64BE())
        if (at > wall) {
          this.next = Math.min(this.next, now + at - wall)
          return
        }
        // Of several gateways that look, one gets it.
        keyed.take(table, key, (value) => {
          const due = value === undefined ? undefined : readDue(value)
          if (due !== undefined) this.act(due)
        })
      }
      if (more !== null) this.next = now
    })
  }

  private act(due: Due): void {
    const { clientId, kind, user, vhost, will } = due
    actFor(this.hub, { user, vhost, clientId }, (deputy) => {
      if (kind === 'will') {
        if (will === undefined) deputy.close()
        else deputy.publish(will, () => deputy.close())
        return
      }
      this.endIfExpired(deputy)
    })
  }

  /** Ends the session of a client that is gone, if it is time; of one whose end nobody saw, begins it. */
  private endIfExpired(deputy: Deputy, done: () => void = () => undefined): void {
    const { client } = deputy
    const close = (): void => {
      deputy.close()
      done()
    }
    deputy.claim((claimed) => {
      if (!claimed) return close()
      const rows = new SessionRows(client)
      rows.load((record) => {
        const now = this.hub.clock.wall()
        if (record === undefined) return close()
        if (hasExpired(record, now)) return this.end(client, rows, record, close)
        if (record.leftAt !== 0) return close()
        const endAt = now + record.expirySeconds * 1000
        rows.save({ ...record, leftAt: now, endAt }, close)
        this.addEnd(client, endAt)
      })
    })
  }

  /**
   * At the start: sessions that were connected when the node (or their gateway) crashed are left from
   * now on; what else is overdue ends.
   */
  private sweep(after: Uint8Array | null): void {
    scanSessions(this.hub.keyed, after, (sessions, next) => {
      const now = this.hub.clock.wall() - lookMs
      const stale = sessions.filter(
        ({ record }) =>
          hasExpired(record, now) || (record.leftAt === 0 && record.expirySeconds < forEver),
      )
      const goOn = (): void => {
        const each = stale.pop()
        if (each !== undefined) this.tend(each, goOn)
        else if (next !== null) this.sweep(next)
      }
      goOn()
    })
  }

  private tend({ clientId, record, vhostId }: StoredSession, done: () => void): void {
    const { user, vhost } = record
    const { hub } = this
    const act = (deputy: Deputy): void => this.endIfExpired(deputy, done)
    actFor(hub, { user, vhost, clientId }, act, () => {
      // Its vhost or its user is gone; queues end with the vhost, or when nobody has used them.
      new SessionRows({ hub, vhostId, clientId }).discard(done)
    })
  }

  private end(client: Client, rows: SessionRows, record: SessionRecord, done: () => void): void {
    rows.discard(() => this.hub.deleteQueues(client, record, done))
  }
}

function keyOf(client: Client, at: number, kind: Due['kind']): Buffer {
  const time = Buffer.alloc(timeBytes)
  time.writeBigUInt64BE(BigInt(Math.floor(at)))
  return Buffer.concat([time, Buffer.from(`${client.vhostId}\0${client.clientId}\0${kind}`)])
}

function readDue(value: Uint8Array): Due | undefined {
  const read: unknown = JSON.parse(Buffer.from(value).toString('utf8'))
  if (typeof read !== 'object' || read === null) return undefined
  const fields = read as Readonly<Record<string, unknown>>
  const { kind, user, vhost, clientId, will } = fields
  if (kind !== 'will' && kind !== 'end') return undefined
  const hasWill = typeof will === 'object' && will !== null
  return {
    kind,
    user: String(user),
    vhost: String(vhost),
    clientId: String(clientId),
    will: hasWill ? decodeWill(will as Record<string, unknown>) : undefined,
  }
}

const noBytes = Buffer.alloc(0)
