// Retained messages on their way to a client that has subscribed: page by page, as it takes them.

import { Buffer } from 'node:buffer'
import { copyBytes } from '../../../shared/bytes/copy.ts'
import { PropertyId } from '../codec/constants.ts'
import { publishHead, varintSize, writeU16, writeVarint } from '../codec/encoder.ts'
import type { Client } from './client.ts'
import { isOwnTopic } from './fan-out.ts'
import type { Outbound } from './outbound.ts'
import type { RetainedMessage } from './retained-store.ts'
import { readRetained } from './retained-store.ts'
import type { SentRetained, SessionRows } from './session-rows.ts'
import type { Subscription } from './subscription.ts'

interface Job {
  readonly subscription: Subscription
  messages: RetainedMessage[]
  after: Uint8Array | null
  /** There is more in the store. */
  more: boolean
}

/** Bytes that a page may have, and that may wait in the outbox before the next one is asked for. */
const pageBytes = 64 * 1024
const pieceMax = 64 * 1024

export class RetainedFeed {
  private readonly client: Client
  private readonly outbound: Outbound
  private readonly rows: SessionRows
  private readonly jobs: Job[]
  private asking: boolean
  /** Bytes sent since the outbox was last with the socket. */
  private sent: number

  constructor(client: Client, outbound: Outbound, rows: SessionRows) {
    this.client = client
    this.rows = rows
    this.outbound = outbound
    this.jobs = []
    this.asking = false
    this.sent = 0
  }

  /** A subscription was made (or made again): sends what it is to have. */
  add(subscription: Subscription, isNew: boolean): void {
    const { client } = this
    const { filter, retainHandling, shared } = subscription
    if (shared !== undefined || retainHandling === 2 || (retainHandling === 1 && !isNew)) return
    if (isOwnTopic(filter)) {
      client.hub.sys.tell(client, subscription)
      return
    }
    if (!client.settings.retained) return
    this.jobs.push({ subscription, messages: [], after: null, more: true })
    this.goOn()
  }

  /** Everything written is with the socket. */
  onFlushed(): void {
    this.sent = 0
    if (this.jobs.length > 0) this.goOn()
  }

  /** Sends what can be sent now. */
  goOn(): void {
    while (this.client.live && !this.asking && this.sent < pageBytes) {
      const job = this.jobs[0]
      if (job === undefined) return
      const message = job.messages[0]
      if (message !== undefined) {
        if (!this.send(job.subscription, message)) return
        job.messages.shift()
      } else if (job.more) this.fetch(job)
      else this.jobs.shift()
    }
  }

  /** What an earlier connection was sent and has not acknowledged goes out again [MQTT-4.4.0-1]. */
  resume(sent: readonly SentRetained[]): void {
    const { client, outbound } = this
    // Ids are taken from the top down.
    for (const each of [...sent].sort((a, b) => b.packetId - a.packetId)) {
      const message = each.message === undefined ? undefined : readRetained(each.message)
      outbound.resumeRetained(each.packetId, each.qos, message === undefined)
      if (message === undefined) continue
      const packet = this.packetOf(message, each.qos, each.packetId, each.id, true)
      this.sent += packet.length
      writeAll(client, packet)
    }
  }

  private packetOf(
    message: RetainedMessage,
    qos: number,
    packetId: number,
    id: number,
    dup: boolean,
  ): Buffer {
    const { client } = this
    const { topic, payload, properties, expiresAt } = message
    const seconds = Math.ceil((expiresAt - client.hub.clock.wall()) / 1000)
    const expirySeconds = expiresAt === 0 ? -1 : Math.max(0, seconds)
    const form = { qos, packetId, properties, expirySeconds, id, dup }
    return retainedPacket(client.isV5, topic, payload, form)
  }

  private fetch(job: Job): void {
    const { client } = this
    this.asking = true
    client.hub.retained.find(
      client,
      job.subscription.filter,
      job.after,
      pageBytes,
      (messages, next) => {
        this.asking = false
        job.messages = [...messages]
        job.after = next
        job.more = next !== null
        this.goOn()
      },
    )
  }

  /** False: the client takes no more of QoS 1 and 2 now. */
  private send(subscription: Subscription, message: RetainedMessage): boolean {
    const { client } = this
    const qos = Math.min(subscription.qos, message.qos)
    let packetId = 0
    if (qos > 0) {
      packetId = this.outbound.takeId(qos)
      if (packetId === 0) return false
    }
    const { id } = subscription
    const packet = this.packetOf(message, qos, packetId, id, false)
    if (packet.length > client.packetSizeMax) {
      if (packetId !== 0) this.outbound.giveId(packetId)
      return true
    }
    this.sent += packet.length
    const send = (): void => {
      if (!client.live) return
      writeAll(client, packet)
      client.hub.counters.sent++
    }
    if (qos === 0 || !client.durable) send()
    else this.rows.putSent({ packetId, qos, id, message: message.bytes }, send)
    return true
  }
}

export interface RetainedForm {
  readonly qos: number
  readonly dup?: boolean
  readonly packetId: number
  readonly properties: Uint8Array
  /** -1: none. */
  readonly expirySeconds: number
  /** Subscription identifier; 0: none. */
  readonly id: number
}

/** A PUBLISH with the retain flag. */
export function retainedPacket(
  isV5: boolean,
  topic: string,
  payload: Uint8Array,
  form: RetainedForm,
): Buffer {
  const topicSize = Buffer.byteLength(topic)
  const { expirySeconds, id, packetId, properties, qos } = form
  const expirySize = expirySeconds < 0 ? 0 : 5
  const idSize = id === 0 ? 0 : 1 + varintSize(id)
  const propsSize = properties.length + expirySize + idSize
  const propsPart = isV5 ? varintSize(propsSize) + propsSize : 0
  const remaining = 2 + topicSize + (qos > 0 ? 2 : 0) + propsPart + payload.length
  const packet = Buffer.alloc(1 + varintSize(remaining) + remaining)
  packet[0] = publishHead(qos, form.dup === true, true)
  let at = writeVarint(packet, 1, remaining)
  at = writeU16(packet, at, topicSize)
  at += packet.write(topic, at)
  if (qos > 0) at = writeU16(packet, at, packetId)
  if (isV5) {
    at = writeVarint(packet, at, propsSize)
    if (expirySize > 0) {
      packet[at] = PropertyId.messageExpiry
      at = packet.writeUInt32BE(expirySeconds, at + 1)
    }
    if (idSize > 0) {
      packet[at] = PropertyId.subscriptionId
      at = writeVarint(packet, at + 1, id)
    }
    packet.set(properties, at)
    at += properties.length
  }
  packet.set(payload, at)
  return packet
}

/** Writes a packet of any size. */
export function writeAll(client: Client, packet: Buffer): void {
  const { out } = client
  for (let from = 0; from < packet.length; from += pieceMax) {
    const size = Math.min(pieceMax, packet.length - from)
    out.reserve(size)
    copyBytes(packet, from, out.bytes, out.at, size)
    out.at += size
  }
  out.touch()
}
