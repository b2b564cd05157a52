// What of a session outlives its connection, as rows of the keyed store. Its messages are in queues.
//
//   mqtt.session    vhost id | 0 | client id                    expiry, when it was left, queues in use
//   mqtt.filter     vhost id | 0 | client id | 0 | filter       one subscription
//   mqtt.released   vhost id | 0 | client id | 0 | packet id    place of a QoS 2 message that the client
//                                                               has and that is not completed
//   mqtt.sent       vhost id | 0 | client id | 0 | packet id    a retained message of QoS 1 or 2 that the
//                                                               client was sent; empty: it has it

import { Buffer } from 'node:buffer'
import { sharedParts } from '../mapping/topic.ts'
import type { Client } from './client.ts'
import type { KeyedClient } from './keyed-client.ts'
import type { Marks } from './outbound.ts'
import type { Subscription } from './subscription.ts'

/** The row of a session. Times are milliseconds since 1970. */
export interface SessionRecord {
  /** Whose it is, and where. */
  readonly user: string
  readonly vhost: string
  readonly expirySeconds: number
  /** When its last connection ended; 0: there is one, or the node has crashed. */
  readonly leftAt: number
  /** When its will and its end are due, if they are (departures.ts); 0: no. */
  readonly willAt: number
  readonly endAt: number
  /** Behind the last place in its queue whose message was sent; 0: not known. */
  readonly sentTo: number
  /** It has a queue of QoS 1 and 2. */
  readonly queue: boolean
  /** It has a queue of received ids of QoS 2. */
  readonly received: boolean
  /** Shards on which it has a queue of what shared subscriptions have given it. */
  readonly given: readonly number[]
}

/** A row of a session, whoever's. */
export interface StoredSession {
  readonly vhostId: number
  readonly clientId: string
  readonly record: SessionRecord
}

export interface Mark {
  readonly packetId: number
  readonly position: number
}

/** A retained message that is on its way to the client. */
export interface SentRetained {
  readonly packetId: number
  readonly qos: number
  /** Subscription identifier; 0: none. */
  readonly id: number
  /** As in the store; undefined: the client has it, PUBREL is to be said. */
  readonly message: Uint8Array | undefined
}

const sessions = 'mqtt.session'
const filters = 'mqtt.filter'
const released = 'mqtt.released'
const sent = 'mqtt.sent'
/** QoS and subscription identifier in front of a message. */
const sentHeadBytes = 5
const pageBytes = 16 * 1024
const nothing = (): void => undefined

export class SessionRows implements Marks {
  private readonly keyed: KeyedClient
  private readonly key: Buffer
  private readonly prefix: Buffer

  constructor(client: Pick<Client, 'clientId' | 'hub' | 'vhostId'>) {
    this.keyed = client.hub.keyed
    this.key = Buffer.from(`${client.vhostId}\0${client.clientId}`)
    this.prefix = Buffer.from(`${client.vhostId}\0${client.clientId}\0`)
  }

  load(done: (record: SessionRecord | undefined) => void): void {
    this.keyed.get(sessions, this.key, (value) => done(readRecord(value)))
  }

  save(record: SessionRecord, done: () => void = nothing): void {
    this.keyed.write(sessions, this.key, Buffer.from(JSON.stringify(record)), done)
  }

  loadSubscriptions(done: (subscriptions: readonly Subscription[]) => void): void {
    this.keyed.scanAll(filters, this.prefix, (rows) => {
      done(rows.flatMap(([, value]) => readSubscription(value) ?? []))
    })
  }

  saveSubscription(subscription: Subscription, done: () => void): void {
    const { id, name, noLocal, qos, retainAsPublished, retainHandling } = subscription
    const value = { name, qos, noLocal, retainAsPublished, retainHandling, id }
    this.keyed.write(filters, this.filterKey(name), Buffer.from(JSON.stringify(value)), done)
  }

  removeSubscription(name: string, done: () => void): void {
    this.keyed.write(filters, this.filterKey(name), null, done)
  }

  loadMarks(done: (marks: readonly Mark[]) => void): void {
    this.keyed.scanAll(released, this.prefix, (rows) => {
      done(rows.flatMap(([key, value]) => readMark(key, value) ?? []))
    })
  }

  put(packetId: number, position: number, done: () => void): void {
    const value = Buffer.alloc(8)
    value.writeDoubleBE(position)
    this.keyed.write(released, this.markKey(packetId), value, done)
  }

  remove(packetId: number): void {
    this.keyed.write(released, this.markKey(packetId), null, nothing)
  }

  loadSent(done: (sent: readonly SentRetained[]) => void): void {
    this.keyed.scanAll(sent, this.prefix, (rows) => {
      done(rows.flatMap(([key, value]) => readSent(key, value) ?? []))
    })
  }

  putSent({ id, message, packetId, qos }: SentRetained, done: () => void): void {
    const head = Buffer.alloc(message === undefined ? 0 : sentHeadBytes)
    if (message !== undefined) {
      head[0] = qos
      head.writeUInt32BE(id, 1)
    }
    const value = Buffer.concat([head, message ?? noBytes])
    this.keyed.write(sent, this.markKey(packetId), value, done)
  }

  removeSent(packetId: number): void {
    this.keyed.write(sent, this.markKey(packetId), null, nothing)
  }

  /** The session is gone. */
  discard(done: () => void = nothing): void {
    this.keyed.write(sessions, this.key, null, nothing)
    const drop = (table: string, next: () => void): void => {
      this.keyed.scanAll(table, this.prefix, (rows) => {
        for (const [key] of rows) {
          this.keyed.write(table, Buffer.concat([this.prefix, key]), null, nothing)
        }
        next()
      })
    }
    drop(filters, () => drop(released, () => drop(sent, done)))
  }

  private filterKey(name: string): Buffer {
    return Buffer.concat([this.prefix, Buffer.from(name)])
  }

  private markKey(packetId: number): Buffer {
    return Buffer.concat([this.prefix, Buffer.of(packetId >> 8, packetId & 255)])
  }
}

/** A page of all sessions; `next` says where to go on. */
export function scanSessions(
  keyed: KeyedClient,
  after: Uint8Array | null,
  done: (records: readonly StoredSession[], next: Uint8Array | null) => void,
): void {
  keyed.scan(sessions, noBytes, null, after, pageBytes, (rows, next) => {
    const found = rows.flatMap(([key, value]) => {
      const record = readRecord(value)
      const [vhostId, clientId] = splitKey(key)
      return record === undefined || clientId === undefined ? [] : { vhostId, clientId, record }
    })
    done(found, next)
  })
}

function splitKey(key: Uint8Array): readonly [vhostId: number, clientId: string | undefined] {
  const text = Buffer.from(key).toString('utf8')
  const zero = text.indexOf('\0')
  return [Number(text.slice(0, zero)), zero < 0 ? undefined : text.slice(zero + 1)]
}

/** Whether a session that was left has expired by `now`. */
export function hasExpired(record: SessionRecord, now: number): boolean {
  if (record.leftAt === 0 || record.expirySeconds === 0xffff_ffff) return false
  return record.leftAt + record.expirySeconds * 1000 <= now
}

function readRecord(value: Uint8Array | undefined): SessionRecord | undefined {
  const read = parse(value)
  if (read === undefined) return undefined
  return {
    user: String(read['user'] ?? ''),
    vhost: String(read['vhost'] ?? ''),
    expirySeconds: Number(read['expirySeconds'] ?? 0),
    leftAt: Number(read['leftAt'] ?? 0),
    willAt: Number(read['willAt'] ?? 0),
    endAt: Number(read['endAt'] ?? 0),
    sentTo: Number(read['sentTo'] ?? 0),
    queue: read['queue'] === true,
    received: read['received'] === true,
    given: Array.isArray(read['given']) ? read['given'].map(Number) : [],
  }
}

function readSubscription(value: Uint8Array): Subscription | undefined {
  const read = parse(value)
  const name = read?.['name']
  if (read === undefined || typeof name !== 'string') return undefined
  const shared = sharedParts(name)
  if (shared === 'malformed') return undefined
  return {
    name,
    filter: shared?.filter ?? name,
    shared,
    qos: Number(read['qos'] ?? 0),
    noLocal: read['noLocal'] === true,
    retainAsPublished: read['retainAsPublished'] === true,
    retainHandling: Number(read['retainHandling'] ?? 0),
    id: Number(read['id'] ?? 0),
  }
}

function readMark(key: Uint8Array, value: Uint8Array): Mark | undefined {
  if (key.length !== 2 || value.length !== 8) return undefined
  const packetId = ((key[0] as number) << 8) | (key[1] as number)
  return { packetId, position: Buffer.from(value).readDoubleBE() }
}

function readSent(key: Uint8Array, value: Uint8Array): SentRetained | undefined {
  if (key.length !== 2) return undefined
  const packetId = ((key[0] as number) << 8) | (key[1] as number)
  if (value.length < sentHeadBytes) return { packetId, qos: 2, id: 0, message: undefined }
  const bytes = Buffer.from(value)
  const message = bytes.subarray(sentHeadBytes)
  return { packetId, qos: value[0] as number, id: bytes.readUInt32BE(1), message }
}

function parse(value: Uint8Array | undefined): Readonly<Record<string, unknown>> | undefined {
  if (value === undefined) return undefined
  const read: unknown = JSON.parse(Buffer.from(value).toString('utf8'))
  return typeof read === 'object' && read !== null ? (read as Record<string, unknown>) : undefined
}

const noBytes = Buffer.alloc(0)
