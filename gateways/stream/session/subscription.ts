// One subscription: chunks go from the stream's files to the socket as they are, one for each credit,
// as long as the socket takes them.

import { Buffer } from 'node:buffer'
import type { DeliverySink, GatewayLink } from '../../../shared/bus/gateway-port.ts'
import { viewOf } from '../../../shared/bytes/view.ts'
import { BloomMatcher } from '../../../shared/stream/bloom.ts'
import { ChunkType, chunkHeaderBytes, writeU64 } from '../../../shared/stream/chunk.ts'
import type { OffsetSpec } from '../../../shared/stream/log-cursor.ts'
import { LogCursor } from '../../../shared/stream/log-cursor.ts'
import type { Outbox } from '../../host/protocol.ts'
import { Key } from '../codec/commands.ts'
import { deliverHeadBytes, deliverHeadBytes2 } from '../codec/sizes.ts'
import type { FollowedStream, FollowedStreams, Follower } from './follower.ts'

/** Larger chunks are read into memory of their own, which the socket takes without a copy. */
const copyBytesMax: number = 32 * 1024

/** What a subscription needs of its connection. */
export interface SubscriptionOwner {
  readonly out: Outbox
  /** 1 or 2: of the deliver command, as the client understands. */
  readonly deliverVersion: number
  /** Bytes that may be written now. */
  room(): number
  wrote(bytes: number): void
  onGone(subscription: Subscription): void
  onActive(subscription: Subscription, active: boolean): void
  onDamage(subscription: Subscription, reason: string): void
}

/** What a client asks for. */
export interface SubscribeOptions {
  readonly id: number
  readonly stream: string
  readonly from: OffsetSpec
  readonly credit: number
  readonly filter: readonly string[]
  readonly matchUnfiltered: boolean
  readonly name: string
  readonly singleActive: boolean
  readonly superStream: string
}

export class Subscription implements DeliverySink, Follower {
  readonly options: SubscribeOptions
  readonly link: GatewayLink
  /** Its consumer slot on the bus. */
  slot: number
  credit: number
  /** It is its turn to read (always, without single active consumer). */
  active: boolean
  private readonly owner: SubscriptionOwner
  private readonly matcher: BloomMatcher | undefined
  private streams: FollowedStreams | undefined
  private stream: FollowedStream | undefined
  private cursor: LogCursor | undefined
  /** Where something was found that is no chunk: told once. */
  private damageAt: number

  constructor(options: SubscribeOptions, link: GatewayLink, owner: SubscriptionOwner) {
    this.options = options
    this.link = link
    this.slot = 0
    this.credit = options.credit
    this.active = false
    this.owner = owner
    const { filter, matchUnfiltered } = options
    this.matcher = filter.length === 0 ? undefined : new BloomMatcher(filter, matchUnfiltered)
    this.streams = undefined
    this.stream = undefined
    this.cursor = undefined
    this.damageAt = -1
  }

  /** The shard has agreed. */
  follow(streams: FollowedStreams, stream: FollowedStream): void {
    this.streams = streams
    this.stream = stream
  }

  /** Reads from `from` on. */
  start(from: OffsetSpec): void {
    const { streams, stream } = this
    if (streams === undefined || stream === undefined) return
    this.active = true
    this.cursor?.close()
    this.cursor = new LogCursor(streams.files, stream.folder)
    this.attach(from)
    this.pump()
  }

  /** It is no longer its turn. */
  stop(): void {
    this.active = false
    this.cursor?.close()
    this.cursor = undefined
  }

  end(): void {
    this.stop()
    if (this.stream !== undefined) this.streams?.unfollow(this.stream, this)
    this.stream = undefined
  }

  onDeliver(): void {}

  onCancelled(): void {
    this.owner.onGone(this)
  }

  onActive(active: boolean): void {
    this.owner.onActive(this, active)
  }

  /** Sends chunks while there are credit, room and chunks. */
  pump(): void {
    const { cursor, stream, owner, streams } = this
    if (cursor === undefined || stream === undefined || streams === undefined) return
    let wrote = false
    try {
      while (this.credit > 0 && owner.room() > 0) {
        const found = cursor.look(stream.end, streams.window)
        if (found === 'end') break
        if (found === 'damaged') {
          this.tellDamage(cursor.position)
          if (!cursor.skipDamage(stream.end)) break
          continue
        }
        if (this.isWanted(cursor)) {
          if (!this.send(cursor, stream, streams)) {
            this.tellDamage(cursor.position)
            if (!cursor.skipDamage(stream.end)) break
            continue
          }
          wrote = true
          this.credit--
        }
        cursor.pass()
      }
    } catch (error) {
      // Retention took the segment: goes on with what is there now.
      owner.onDamage(this, error instanceof Error ? error.message : String(error))
      const value = Math.max(cursor.header.firstOffset, cursor.startOffset)
      this.attach({ kind: 'offset', value })
    }
    if (wrote) owner.out.touch()
  }

  private tellDamage(position: number): void {
    if (this.damageAt === position) return
    this.damageAt = position
    this.owner.onDamage(this, `no chunk at ${position}`)
  }

  private attach(from: OffsetSpec): void {
    const { cursor, stream } = this
    if (cursor === undefined || stream === undefined) return
    for (let tries = 0; ; tries++) {
      try {
        cursor.attach(from, stream.end)
        return
      } catch (error) {
        // Between a look at the folder and the opening of a file, retention may take it.
        if (tries === 3) {
          this.owner.onDamage(this, error instanceof Error ? error.message : String(error))
          return
        }
      }
    }
  }

  private isWanted({ header, fd, position, startOffset }: LogCursor): boolean {
    if (header.type !== ChunkType.user) return false
    if (header.firstOffset + header.records <= startOffset) return false
    const { matcher, streams } = this
    if (matcher === undefined || streams === undefined) return true
    const { window } = streams
    const size = header.bloomSize
    const at = window.find(fd, position + chunkHeaderBytes, size, Number.MAX_SAFE_INTEGER)
    return matcher.matches(window.bytes, at, at < 0 ? 0 : size)
  }

  // HOT: once per chunk
  /** Sends the chunk at the cursor. False when it is not all there: nothing is sent then. */
  private send(
    cursor: LogCursor,
    stream: FollowedStream,
    { window, files }: FollowedStreams,
  ): boolean {
    const { out, deliverVersion } = this.owner
    const { header, fd, position } = cursor
    const { dataSize, bloomSize } = header
    const dataFrom = chunkHeaderBytes + bloomSize
    const isSmall = dataSize <= copyBytesMax
    const wanted = isSmall ? dataFrom + dataSize : chunkHeaderBytes
    const at = window.find(fd, position, wanted, cursor.limit(stream.end))
    const large = isSmall ? undefined : readLarge(stream, files, fd, position + dataFrom, dataSize)
    if (at < 0 || (!isSmall && large === undefined)) return false
    const head = deliverVersion === 2 ? deliverHeadBytes2 : deliverHeadBytes
    out.reserve(head + chunkHeaderBytes)
    const view = viewOf(out.bytes)
    view.setUint32(out.at, head - 4 + chunkHeaderBytes + dataSize)
    view.setUint16(out.at + 4, Key.deliver)
    view.setUint16(out.at + 6, deliverVersion)
    view.setUint8(out.at + 8, this.options.id)
    if (deliverVersion === 2) writeU64(view, out.at + 9, Math.max(0, stream.end.lastChunk))
    window.bytes.copy(out.bytes, out.at + head, at, at + chunkHeaderBytes)
    out.at += head + chunkHeaderBytes
    if (large === undefined) {
      out.reserve(dataSize)
      window.bytes.copy(out.bytes, out.at, at + dataFrom, at + dataFrom + dataSize)
      out.at += dataSize
    } else out.view(large, nothing)
    this.owner.wrote(head + chunkHeaderBytes + dataSize)
    return true
  }
}

/** The data of a large chunk, which subscriptions at the same place share; undefined: not all there. */
function readLarge(
  stream: FollowedStream,
  files: FollowedStreams['files'],
  fd: number,
  position: number,
  size: number,
): Buffer | undefined {
  const { chunk } = stream
  if (chunk?.fd === fd && chunk.position === position) return chunk.bytes
  const bytes = Buffer.allocUnsafeSlow(size)
  if (files.read(fd, bytes, 0, size, position) < size) return undefined
  stream.chunk = { fd, position, bytes }
  return bytes
}

function nothing(): void {}
