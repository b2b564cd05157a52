// Commands about streams that exist, or are to: create, delete, metadata, offsets, statistics.

import { placeQueue } from '../../../shared/placement.ts'
import { BloomMatcher } from '../../../shared/stream/bloom.ts'
import type { StreamEnd } from '../../../shared/stream/chunk.ts'
import { ChunkType, chunkHeaderBytes } from '../../../shared/stream/chunk.ts'
import type { OffsetSpec } from '../../../shared/stream/log-cursor.ts'
import { LogCursor } from '../../../shared/stream/log-cursor.ts'
import { Code, commandVersions, Key, OffsetType } from '../codec/commands.ts'
import type { FieldReader } from '../codec/frame-reader.ts'
import { streamArguments } from '../mapping/arguments.ts'
import { codeOf, codeOfState } from '../mapping/codes.ts'
import type { StreamConnection } from './connection.ts'
import { followedStreams } from './follower.ts'
import { advertisedAddress } from './handshake.ts'
import { filtersIn, readOffset } from './subscriptions.ts'

const registryShard = 0
/** In metadata: no broker leads the stream. */
const noReference = 0xffff

type Reply = { readonly [field: string]: unknown }

export class Commands {
  private readonly connection: StreamConnection

  constructor(connection: StreamConnection) {
    this.connection = connection
  }

  /** A command with an answer. False: it is none of these. */
  onCommand(key: number, correlation: number, fields: FieldReader): boolean {
    switch (key) {
      case Key.create:
        this.create(correlation, fields.string(), fields.pairs())
        return true
      case Key.delete:
        this.delete(correlation, fields.string())
        return true
      case Key.metadata:
        this.metadata(correlation, fields.strings())
        return true
      case Key.queryOffset:
        this.queryOffset(correlation, fields.string(), fields.string())
        return true
      case Key.streamStats:
        this.stats(correlation, fields.string())
        return true
      case Key.exchangeCommandVersions:
        this.exchangeVersions(correlation, fields)
        return true
      case Key.resolveOffsetSpec:
        this.resolve(correlation, fields)
        return true
      default:
        return false
    }
  }

  storeOffset(fields: FieldReader): void {
    const name = fields.string()
    const stream = fields.string()
    const offset = fields.u64()
    const { slot, host } = this.connection
    const op = { op: 'streamStoreOffset', connection: slot, stream, name, offset } as const
    host.port.notify(this.shardOf(stream), op)
  }

  private create(correlation: number, name: string, given: ReadonlyMap<string, string>): void {
    const { connection } = this
    const stream = name.replaceAll(/[\r\n]/g, '')
    const args = streamArguments(given)
    const answer = (code: number): void => connection.respond(Key.create, correlation, code).send()
    if (args === undefined || stream === '' || stream.startsWith('amq.')) {
      return answer(Code.preconditionFailed)
    }
    this.describe([stream], ([state]) => {
      const op = {
        op: 'queueDeclare',
        connection: connection.slot,
        queue: stream,
        passive: false,
        durable: true,
        exclusive: false,
        autoDelete: false,
        arguments: args,
      } as const
      this.ask(registryShard, op, ({ error }) => {
        if (error === undefined && state === 0) return answer(Code.streamExists)
        return answer(codeOf(error))
      })
    })
  }

  private delete(correlation: number, stream: string): void {
    const { connection } = this
    const answer = (code: number): void => connection.respond(Key.delete, correlation, code).send()
    this.describe([stream], ([state]) => {
      if (state === 404) return answer(Code.noStream)
      const op = {
        op: 'queueDelete',
        connection: connection.slot,
        queue: stream,
        ifUnused: false,
        ifEmpty: false,
      } as const
      this.ask(registryShard, op, ({ error }) => answer(codeOf(error)))
    })
  }

  private metadata(correlation: number, streams: readonly string[]): void {
    const { connection } = this
    this.describe(streams, (states) => {
      const { host, port } = advertisedAddress(connection)
      const { writer } = connection
      writer.begin(Key.metadata | 0x8000).u32(correlation)
      writer.u32(1).u16(0).string(host).u32(port)
      writer.u32(streams.length)
      for (const [i, stream] of streams.entries()) {
        const code = codeOfState(states[i])
        writer
          .string(stream)
          .u16(code)
          .u16(code === Code.ok ? 0 : noReference)
          .u32(0)
      }
      writer.send()
    })
  }

  private queryOffset(correlation: number, name: string, stream: string): void {
    const { connection } = this
    const op = { op: 'streamQueryOffset', connection: connection.slot, stream, name } as const
    this.ask(this.shardOf(stream), op, (reply) => {
      const offset = reply['offset']
      const code = reply.error !== undefined ? codeOf(reply.error) : Code.noOffset
      const found = typeof offset === 'number' ? offset : undefined
      connection
        .respond(Key.queryOffset, correlation, found === undefined ? code : Code.ok)
        .u64(found ?? 0)
        .send()
    })
  }

  private stats(correlation: number, stream: string): void {
    const { connection } = this
    const op = { op: 'streamStats', connection: connection.slot, stream } as const
    this.ask(this.shardOf(stream), op, (reply) => {
      const writer = connection.respond(Key.streamStats, correlation, codeOf(reply.error))
      if (reply.error !== undefined) {
        writer.u32(0).send()
        return
      }
      const end = reply['end'] as StreamEnd
      const isEmpty = end.lastChunk < 0
      writer.u32(4)
      writer.string('first_chunk_id').i64(isEmpty ? -1 : Number(reply['first']))
      writer.string('last_chunk_id').i64(end.lastChunk)
      writer.string('committed_chunk_id').i64(end.lastChunk)
      writer.string('committed_offset').i64(end.next - 1)
      writer.send()
    })
  }

  private exchangeVersions(correlation: number, fields: FieldReader): void {
    const { connection } = this
    connection.subscriptions.exchangeVersions(fields)
    const writer = connection.respond(Key.exchangeCommandVersions, correlation, Code.ok)
    writer.u32(commandVersions.length)
    for (const [key, min, max] of commandVersions) writer.u16(key).u16(min).u16(max)
    writer.send()
  }

  private resolve(correlation: number, fields: FieldReader): void {
    const { connection } = this
    const stream = fields.string()
    const from = readOffset(fields) ?? { kind: 'next' }
    const properties = fields.end > fields.at ? fields.pairs() : new Map<string, string>()
    const filters = filtersIn(properties)
    const unfiltered = properties.get('match-unfiltered') === 'true'
    const matcher = filters.length === 0 ? undefined : new BloomMatcher(filters, unfiltered)
    const op = { op: 'streamStats', connection: connection.slot, stream } as const
    this.ask(this.shardOf(stream), op, (reply) => {
      const code = codeOf(reply.error)
      const offset = code === Code.ok ? this.offsetOf(reply, from, matcher) : 0
      connection
        .respond(Key.resolveOffsetSpec, correlation, code)
        .u16(OffsetType.offset)
        .u64(offset)
        .send()
    })
  }

  /** The offset that a reader with this specification would be given first. */
  private offsetOf(reply: Reply, from: OffsetSpec, matcher: BloomMatcher | undefined): number {
    const { host } = this.connection
    const end = reply['end'] as StreamEnd
    if (host.files === undefined) return end.next
    const { files, window } = followedStreams(host.port, host.files)
    const cursor = new LogCursor(files, String(reply['folder']))
    try {
      cursor.attach(from, end)
      while (cursor.look(end, window) === 'chunk') {
        const { header, fd, position } = cursor
        const size = header.bloomSize
        const at = window.find(fd, position + chunkHeaderBytes, size, cursor.limit(end))
        const matches = matcher === undefined || matcher.matches(window.bytes, at, size)
        const isPast = header.firstOffset + header.records > cursor.startOffset
        if (header.type === ChunkType.user && isPast && matches) {
          return Math.max(header.firstOffset, cursor.startOffset)
        }
        cursor.pass()
      }
      return end.next
    } finally {
      cursor.close()
    }
  }

  /** Whether streams exist and may be used: 0, 403 or 404 for each. */
  describe(streams: readonly string[], next: (states: readonly number[]) => void): void {
    const op = { op: 'describeStreams', connection: this.connection.slot, streams } as const
    this.ask(registryShard, op, (reply) => next(reply['codes'] as readonly number[]))
  }

  private ask(
    shard: number,
    op: Parameters<StreamConnection['host']['port']['request']>[1],
    next: (reply: Reply & { readonly error?: Parameters<typeof codeOf>[0] }) => void,
  ): void {
    const { connection } = this
    connection.await()
    connection.host.port.request(shard, op, {
      onReply: (reply) => {
        if (connection.answered()) next(reply as Parameters<typeof next>[0])
      },
    })
  }

  private shardOf(stream: string): number {
    const { host, vhost } = this.connection
    return placeQueue(vhost, stream, host.port.shardCount)
  }
}
