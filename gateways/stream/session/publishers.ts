// The publishers of one connection.

import { Buffer } from 'node:buffer'
import { viewOf } from '../../../shared/bytes/view.ts'
import { placeQueue } from '../../../shared/placement.ts'
import { Code, Key } from '../codec/commands.ts'
import type { FieldReader } from '../codec/frame-reader.ts'
import { confirmIdsMax } from '../codec/sizes.ts'
import { codeOf } from '../mapping/codes.ts'
import type { StreamConnection } from './connection.ts'
import type { PublisherOwner } from './publisher.ts'
import { Publisher } from './publisher.ts'

export class Publishers implements PublisherOwner {
  private readonly connection: StreamConnection
  private readonly publishers: Map<number, Publisher>
  /** Ended, whose slots are to be given back. */
  private readonly closed: Publisher[]
  /** Entries without a confirm. */
  private unconfirmed: number
  private full: boolean
  /** Bytes of the current frame that are published already. */
  private done: number

  constructor(connection: StreamConnection) {
    this.connection = connection
    this.publishers = new Map()
    this.closed = []
    this.unconfirmed = 0
    this.full = false
    this.done = 0
  }

  /** As many entries wait for their confirm as may. */
  isFull(): boolean {
    return this.full
  }

  /** A command with an answer. False: it is none of publishers'. */
  onCommand(key: number, correlation: number, fields: FieldReader): boolean {
    if (key === Key.declarePublisher) {
      this.declare(correlation, fields.u8(), fields.string(), fields.string())
    } else if (key === Key.deletePublisher) {
      this.delete(correlation, fields.u8())
    } else if (key === Key.queryPublisherSequence) {
      this.query(correlation, fields.string(), fields.string())
    } else return false
    return true
  }

  // HOT: once per publish frame
  /** Publishes the frame (or the rest of it). False when the bus has no room: again later. */
  onPublish(fields: FieldReader, version: number): boolean {
    const publisher = this.publishers.get(fields.u8())
    fields.u32()
    const { bytes, at, end } = fields
    const filters = version === 2
    if (publisher === undefined || publisher.ended) {
      const code = publisher === undefined ? Code.noPublisher : Code.streamUnavailable
      this.refuseAll(bytes[at - 5] ?? 0, bytes, at, end, filters, code)
      return true
    }
    const before = publisher.ids.count()
    const from = at + this.done
    const next = publisher.publish(bytes, from, end, filters)
    this.unconfirmed += publisher.ids.count() - before
    if (this.unconfirmed >= this.connection.settings.unconfirmedMax) this.full = true
    if (next < 0) {
      this.done = 0
      this.refuseAll(publisher.id, bytes, -1 - next, end, filters, Code.preconditionFailed)
      return true
    }
    if (next < end || !publisher.retry()) {
      this.done = next - at
      return false
    }
    this.done = 0
    return true
  }

  // HOT: once per confirmed record
  onConfirmed(
    publisher: Publisher,
    ids: Buffer,
    at: number,
    count: number,
    refused: boolean,
  ): void {
    this.unconfirmed -= count
    if (this.unconfirmed <= this.connection.settings.unconfirmedLow) this.full = false
    if (this.connection.phase !== 'open' || !this.publishers.has(publisher.id)) return
    for (let from = 0; from < count; from += confirmIdsMax) {
      const some = Math.min(confirmIdsMax, count - from)
      if (refused) this.refuseIds(publisher.id, ids, at + 8 * from, some, Code.streamUnavailable)
      else this.confirm(publisher.id, ids, at + 8 * from, some)
    }
  }

  onEnded(publisher: Publisher): void {
    this.connection.subscriptions.onStreamGone(publisher.stream)
  }

  /** The publishers of a stream are gone with it. */
  dropStream(stream: string): void {
    for (const publisher of this.publishers.values()) {
      if (publisher.stream !== stream) continue
      this.publishers.delete(publisher.id)
      this.closeChannel(publisher, () => {})
    }
  }

  /** The connection ends; shards forget its channels with it. */
  end(): void {
    this.closed.push(...this.publishers.values())
    this.publishers.clear()
    this.full = false
  }

  /** The shards have forgotten them. */
  release(): void {
    for (const publisher of this.closed) this.connection.host.port.channels.remove(publisher.slot)
    this.closed.length = 0
  }

  private declare(correlation: number, id: number, reference: string, stream: string): void {
    const { connection } = this
    const { host, settings } = connection
    const { port } = host
    const isTaken = [...this.publishers.values()].some(
      (other) => reference !== '' && other.reference === reference && other.stream === stream,
    )
    const isLong = Buffer.byteLength(reference) > 255
    if (this.publishers.has(id) || isTaken || isLong) {
      connection.respond(Key.declarePublisher, correlation, Code.preconditionFailed).send()
      return
    }
    const shard = placeQueue(connection.vhost, stream, port.shardCount)
    const link = port.link(shard)
    const { batchBytesMax } = settings
    const publisher = new Publisher(id, stream, reference, link, port.arena, batchBytesMax, this)
    const slot = port.channels.add(publisher)
    publisher.slot = slot
    port.notify(shard, { op: 'openChannel', connection: connection.slot, channel: slot })
    connection.await()
    port.request(
      shard,
      { op: 'declarePublisher', channel: slot, stream, reference },
      {
        onReply: ({ error }) => {
          const isWanted = connection.answered()
          if (!isWanted || error !== undefined) this.closeChannel(publisher, () => {})
          if (!isWanted) return
          if (error === undefined) this.publishers.set(id, publisher)
          connection.respond(Key.declarePublisher, correlation, codeOf(error)).send()
        },
      },
    )
  }

  private delete(correlation: number, id: number): void {
    const { connection } = this
    const publisher = this.publishers.get(id)
    if (publisher === undefined) {
      connection.respond(Key.deletePublisher, correlation, Code.noPublisher).send()
      return
    }
    this.publishers.delete(id)
    connection.await()
    this.closeChannel(publisher, () => {
      if (!connection.answered()) return
      connection.respond(Key.deletePublisher, correlation, Code.ok).send()
    })
  }

  private closeChannel(publisher: Publisher, next: () => void): void {
    const { port } = this.connection.host
    const { slot, link } = publisher
    this.unconfirmed -= publisher.ids.count()
    if (this.unconfirmed <= this.connection.settings.unconfirmedLow) this.full = false
    port.request(
      link.shard,
      { op: 'closeChannel', channel: slot },
      {
        onReply: () => {
          port.channels.remove(slot)
          next()
        },
      },
    )
  }

  private query(correlation: number, reference: string, stream: string): void {
    const { connection } = this
    const { port } = connection.host
    const shard = placeQueue(connection.vhost, stream, port.shardCount)
    const op = {
      op: 'publisherSequence',
      connection: connection.slot,
      stream,
      reference,
    } as const
    connection.await()
    port.request(shard, op, {
      onReply: (reply) => {
        if (!connection.answered()) return
        connection
          .respond(Key.queryPublisherSequence, correlation, codeOf(reply.error))
          .u64(Number(reply['sequence'] ?? 0))
          .send()
      },
    })
  }

  private confirm(id: number, ids: Buffer, at: number, count: number): void {
    const { out } = this.connection.host
    const size = 13 + 8 * count
    out.reserve(size)
    const view = viewOf(out.bytes)
    view.setUint32(out.at, size - 4)
    view.setUint16(out.at + 4, Key.publishConfirm)
    view.setUint16(out.at + 6, 1)
    view.setUint8(out.at + 8, id)
    view.setUint32(out.at + 9, count)
    ids.copy(out.bytes, out.at + 13, at, at + 8 * count)
    out.at += size
    out.touch()
  }

  private refuseIds(id: number, ids: Buffer, at: number, count: number, code: number): void {
    const { writer } = this.connection
    const view = viewOf(ids)
    writer.begin(Key.publishError).u8(id).u32(count)
    for (let i = at; i < at + 8 * count; i += 8) {
      writer
        .u32(view.getUint32(i))
        .u32(view.getUint32(i + 4))
        .u16(code)
    }
    writer.send()
  }

  /** Refuses the entries at `bytes[at, end)`, as far as they can be told apart. */
  private refuseAll(
    id: number,
    bytes: Buffer,
    at: number,
    end: number,
    filters: boolean,
    code: number,
  ): void {
    const view = viewOf(bytes)
    const ids: Buffer[] = []
    for (let i = at; i + 12 <= end; ) {
      ids.push(bytes.subarray(i, i + 8))
      let entryAt = i + 8
      if (filters) entryAt += 2 + Math.max(0, view.getInt16(entryAt))
      if (entryAt + 4 > end) break
      const head = view.getUint32(entryAt)
      const isBatch = head >= 0x80000000
      if (isBatch && entryAt + 11 > end) break
      i = entryAt + (isBatch ? 11 + view.getUint32(entryAt + 7) : 4 + head)
    }
    for (let from = 0; from < ids.length; from += confirmIdsMax) {
      const some = Buffer.concat(ids.slice(from, from + confirmIdsMax))
      this.refuseIds(id, some, 0, some.length / 8, code)
    }
  }
}
