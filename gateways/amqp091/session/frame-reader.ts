// The loop over a connection's frames: the hot ones go straight to their channel, methods are
// decoded, and what may not come now ends the connection.

import { Outcome } from '../../../shared/bus/wire.ts'
import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import type { PeerError, ReplyName } from '../../../shared/errors.ts'
import { connectionError, ReplyCode } from '../../../shared/errors.ts'
import { BASIC_ACK, BASIC_NACK, BASIC_PUBLISH, BASIC_REJECT, ClassId } from '../codec/constants.ts'
import { FrameDecoder, FrameKind } from '../codec/frame.ts'
import type { Method } from '../codec/method.ts'
import { decodeMethod } from '../codec/method.ts'
import { notImplemented, unexpectedFrame } from '../mapping/refusals.ts'
import { acknowledge } from './acknowledgement.ts'
import type { Channel } from './channel.ts'
import { handleMethod } from './channel-methods.ts'
import type { ChannelTable } from './channel-table.ts'
import type { ConnectionContext } from './connection-context.ts'
import { Wait } from './connection-context.ts'
import type { ContentAssembly } from './content.ts'
import { ContentState } from './content.ts'

/** What the reader asks of its connection. */
export interface FrameOwner {
  /** False: nothing more is read. */
  readonly reading: boolean
  /** A method on channel 0. */
  onConnectionMethod(method: Method): void
  /** A method of class basic on channel 0, where only those of the connection may come. */
  onStrayMethod(classId: number, methodId: number): void
  /** A method for a channel that is not open. */
  onUnopened(number: number, classId: number, methodId: number): void
  /** No more frames can be told apart. */
  onBrokenFrames(error: PeerError): void
}

export class FrameReader {
  /** Bytes of the last chunk have not been read yet. */
  unfinished: boolean
  private readonly context: ConnectionContext
  private readonly channels: ChannelTable
  private readonly owner: FrameOwner
  private readonly decoder: FrameDecoder
  private readonly wholeMax: number
  private chunk: Uint8Array
  // Who has the names of a publish in the chunk.
  private holder: ContentAssembly | undefined

  constructor(context: ConnectionContext, channels: ChannelTable, owner: FrameOwner) {
    this.unfinished = false
    this.context = context
    this.channels = channels
    this.owner = owner
    this.decoder = new FrameDecoder(context.settings.initialFrameMax)
    // What is taken whole must fit a slab, also with keys and a reply-to put in.
    this.wholeMax = Math.min(wholeContentMax, context.port.arena.slabBytes >> 2)
    this.chunk = noBytes
    this.holder = undefined
  }

  /** Sets the negotiated frame_max; 0: no limit. */
  setFrameMax(frameMax: number): void {
    this.decoder.frameMax = frameMax
  }

  /** Takes `chunk` from `from` on, all of it before the next one. */
  push(chunk: Uint8Array, from: number): void {
    this.chunk = chunk
    this.unfinished = true
    this.decoder.push(chunk, from)
    this.read()
  }

  /** Copies what is not read yet: the chunk's memory is about to be used again. */
  keep(): void {
    this.holder?.saveNames()
    this.decoder.keep()
    this.chunk = noBytes
  }

  /** Goes on with what was pushed, as far as the connection's waits allow. */
  read(): void {
    try {
      this.readFrames()
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      this.owner.onBrokenFrames(decodeFailure(error))
    }
  }

  // HOT: once per frame; the order of the tests is that of how often they hold
  private readFrames(): void {
    const { decoder, context, channels } = this
    while (context.waits === 0 && this.owner.reading) {
      const kind = decoder.next()
      if (kind === FrameKind.needMore) {
        this.releaseChunk()
        return
      }
      const channel = channels.find(decoder.channel)
      if (channel === undefined || !channel.open) {
        this.onOtherFrame(kind, channel)
        continue
      }
      const state = channel.content.state
      if (kind === FrameKind.contentBody && state === ContentState.body) this.onBody(channel)
      else if (kind === FrameKind.contentHeader && state === ContentState.header) {
        this.onHeader(channel)
      } else if (state !== ContentState.idle) this.onContentExpected(channel, kind)
      else if (kind === FrameKind.basicPublish) this.onPublish(channel)
      else if (kind === FrameKind.method) this.onMethod(channel)
      else this.onSettle(channel, kind)
    }
  }

  // HOT: once per publish
  private onPublish(channel: Channel): void {
    const { decoder } = this
    const { content } = channel
    if (decoder.immediate) {
      failHot(channel, BASIC_PUBLISH, notImplemented('immediate=true'))
      return
    }
    if (decoder.takeContent(this.wholeMax)) {
      const error = content.whole(decoder)
      if (error !== undefined) failHot(channel, BASIC_PUBLISH, error)
      else this.rewindIfStuck(channel)
      return
    }
    // The chunk stays until it is used up; the decoder's own buffer does not.
    if (this.holder !== undefined && this.holder !== content) this.holder.saveNames()
    content.begin(decoder, decoder.bytes === this.chunk)
    this.holder = content
  }

  // HOT: once per publish
  private onHeader(channel: Channel): void {
    const { decoder } = this
    if (decoder.classId !== ClassId.basic) {
      const got = `got one for class ${decoder.classId} instead`
      this.failContent(channel, `expected content header for class 60, ${got}`)
      return
    }
    const error = channel.content.header(decoder)
    if (error !== undefined) failHot(channel, BASIC_PUBLISH, error)
    else this.rewindIfStuck(channel)
  }

  // HOT: once per body piece
  private onBody(channel: Channel): void {
    const error = channel.content.body(this.decoder)
    if (error !== undefined) failHot(channel, BASIC_PUBLISH, error)
    else this.rewindIfStuck(channel)
  }

  // No slab was free: the same bytes come again. (A full ring keeps the whole message instead.)
  private rewindIfStuck(channel: Channel): void {
    if ((this.context.waits & Wait.bus) === 0) return
    if (channel.content.state !== ContentState.unsent) this.decoder.rewind()
  }

  // HOT: once per acknowledgement
  private onSettle(channel: Channel, kind: FrameKind): void {
    const { context, decoder } = this
    const tag = decoder.deliveryTag
    if (kind === FrameKind.basicAck) {
      const error = acknowledge(context, channel, tag, decoder.multiple, Outcome.complete)
      if (error !== undefined) failHot(channel, BASIC_ACK, error)
    } else if (kind === FrameKind.basicNack) {
      const outcome = decoder.requeue ? Outcome.requeue : Outcome.discard
      const error = acknowledge(context, channel, tag, decoder.multiple, outcome)
      if (error !== undefined) failHot(channel, BASIC_NACK, error)
    } else if (kind === FrameKind.basicReject) {
      // RabbitMQ 4.3: a rejected delivery counts as failed, one that is nacked only as returned.
      const outcome = decoder.requeue ? Outcome.requeueFailed : Outcome.discard
      const error = acknowledge(context, channel, tag, false, outcome)
      if (error !== undefined) failHot(channel, BASIC_REJECT, error)
    } else {
      this.failFrame(kind)
    }
  }

  private onMethod(channel: Channel): void {
    const method = this.decode()
    if (method !== undefined) handleMethod(channel, method)
  }

  private onContentExpected(channel: Channel, kind: FrameKind): void {
    if (kind === FrameKind.heartbeat) {
      this.failFrame(kind)
    } else if (channel.content.state === ContentState.header) {
      const got = 'got non content header frame instead'
      this.failContent(channel, `expected content header for class 60, ${got}`)
    } else {
      this.failContent(channel, 'expected content body, got non content body frame instead')
    }
  }

  // A frame for channel 0, or for a channel that is closing or not open.
  private onOtherFrame(kind: FrameKind, closing: Channel | undefined): void {
    const { channel, classId, methodId } = this.decoder
    const isMethod = kind === FrameKind.method
    const id = isMethod ? (classId << 16) | methodId : hotMethodOf(kind)
    if (channel === 0 && kind === FrameKind.heartbeat) return
    if (closing !== undefined) {
      if (isMethod) this.channels.onClosingMethod(closing, classId, methodId)
    } else if (id === 0) {
      this.failFrame(kind)
    } else if (channel !== 0) {
      this.owner.onUnopened(channel, id >>> 16, id & 0xffff)
    } else if (!isMethod) {
      this.owner.onStrayMethod(id >>> 16, id & 0xffff)
    } else {
      const method = this.decode()
      if (method !== undefined) this.owner.onConnectionMethod(method)
    }
  }

  private decode(): Method | undefined {
    const { decoder } = this
    const { classId, methodId } = decoder
    try {
      return decodeMethod(classId, methodId, decoder.bytes, decoder.argsAt, decoder.argsSize)
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      this.context.fail(decodeFailure(error), classId, methodId)
      return undefined
    }
  }

  private failFrame(kind: FrameKind): void {
    const what =
      kind === FrameKind.heartbeat
        ? `heartbeat on channel ${this.decoder.channel}`
        : 'expected method frame, got non method frame instead'
    this.context.fail(unexpectedFrame(what), 0, 0)
  }

  private failContent(channel: Channel, what: string): void {
    failHot(channel, BASIC_PUBLISH, unexpectedFrame(what))
  }

  private releaseChunk(): void {
    this.holder?.saveNames()
    this.holder = undefined
    this.chunk = noBytes
    this.unfinished = false
  }
}

function failHot(channel: Channel, method: number, error: PeerError): void {
  channel.fail(error, method >>> 16, method & 0xffff)
}

// Class and method id of the frames that the decoder tells apart; 0 for those that are no methods.
function hotMethodOf(kind: FrameKind): number {
  if (kind === FrameKind.basicPublish) return BASIC_PUBLISH
  if (kind === FrameKind.basicAck) return BASIC_ACK
  if (kind === FrameKind.basicNack) return BASIC_NACK
  return kind === FrameKind.basicReject ? BASIC_REJECT : 0
}

/** The codec knows the code and the explanation; the name in front comes from the code. */
function decodeFailure(error: DecodeError): PeerError {
  return connectionError(nameOf(error.code), error.text)
}

function nameOf(code: number): ReplyName {
  for (const name of Object.keys(ReplyCode) as ReplyName[]) {
    if (ReplyCode[name] === code) return name
  }
  return 'FRAME_ERROR'
}

/** Contents up to this are copied at once; for larger ones the way through the frames is no cost. */
const wholeContentMax = 32 * 1024

const noBytes = new Uint8Array(0)
