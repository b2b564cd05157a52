// The streams that a gateway thread has subscriptions to: how far each may be read, and files and
// buffers that the subscriptions share.

import type { Buffer } from 'node:buffer'
import type { GatewayPort, StreamSink } from '../../../shared/bus/gateway-port.ts'
import type { StreamEnd } from '../../../shared/stream/chunk.ts'
import type { LogFiles } from '../../../shared/stream/log-cursor.ts'
import { ReadWindow } from '../../../shared/stream/read-window.ts'
import { SharedFiles } from '../../../shared/stream/shared-files.ts'

/** Reads of small chunks bring this much. */
const windowBytes: number = 64 * 1024

/** Who reads a stream. */
export interface Follower {
  /** There is more to read. */
  pump(): void
}

/** One stream. */
export class FollowedStream implements StreamSink {
  readonly id: number
  readonly folder: string
  readonly followers: Set<Follower>
  end: StreamEnd
  /** The last chunk that was read by itself, for the others at the same place. */
  chunk: { readonly fd: number; readonly position: number; readonly bytes: Buffer } | undefined

  constructor(id: number, folder: string, end: StreamEnd) {
    this.id = id
    this.folder = folder
    this.end = end
    this.followers = new Set()
    this.chunk = undefined
  }

  onAdvanced(next: number, lastChunk: number, base: number, position: number): void {
    this.end = { next, lastChunk, base, position }
    for (const follower of this.followers) follower.pump()
  }
}

/** Of one gateway thread. */
export class FollowedStreams {
  readonly files: SharedFiles
  readonly window: ReadWindow
  private readonly port: GatewayPort
  private readonly streams: Map<number, FollowedStream>

  constructor(port: GatewayPort, files: LogFiles) {
    this.port = port
    this.streams = new Map()
    this.files = new SharedFiles(files, (fd) => this.forget(fd))
    this.window = new ReadWindow(
      (fd, bytes, at, size, position) => files.read(fd, bytes, at, size, position),
      windowBytes,
    )
  }

  /** `follower` reads the stream from now on; it is committed up to `end`. */
  follow(id: number, folder: string, end: StreamEnd, follower: Follower): FollowedStream {
    let stream = this.streams.get(id)
    if (stream === undefined) {
      stream = new FollowedStream(id, folder, end)
      this.streams.set(id, stream)
      this.port.streams.set(id, stream)
    }
    stream.end = end
    stream.followers.add(follower)
    return stream
  }

  unfollow(stream: FollowedStream, follower: Follower): void {
    stream.followers.delete(follower)
    if (stream.followers.size > 0) return
    this.streams.delete(stream.id)
    this.port.streams.delete(stream.id)
  }

  private forget(fd: number): void {
    this.window.forget(fd)
    for (const stream of this.streams.values()) {
      if (stream.chunk?.fd === fd) stream.chunk = undefined
    }
  }
}

const byPort = new WeakMap<GatewayPort, FollowedStreams>()

/** The one of this thread. */
export function followedStreams(port: GatewayPort, files: LogFiles): FollowedStreams {
  let found = byPort.get(port)
  if (found === undefined) {
    found = new FollowedStreams(port, files)
    byPort.set(port, found)
  }
  return found
}
