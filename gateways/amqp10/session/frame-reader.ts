// The loop over a connection's frames: the hot ones go straight to their session, others are decoded.

import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import { asPerformative } from '../codec/composite.ts'
import { FaultCode } from '../codec/fault.ts'
import { FrameDecoder, FrameKind, FrameType } from '../codec/frame.ts'
import type { Performative } from '../codec/spec.ts'
import { ValueReader } from '../codec/value-reader.ts'
import type { AmqpError } from '../mapping/conditions.ts'
import { fromDecodeError } from '../mapping/conditions.ts'
import type { ConnectionContext } from './connection-context.ts'

/** A session as frames come to it. */
export interface FrameSession {
  readonly open: boolean
  /** False: there was no room, and the same frame has to come again. */
  onTransfer(decoder: FrameDecoder): boolean
  onDisposition(decoder: FrameDecoder): void
  onFlow(decoder: FrameDecoder): void
}

/** What the reader asks of its connection. */
export interface FrameOwner {
  /** False: nothing more is read. */
  readonly reading: boolean
  /** Whether sessions may be used: after open, before close. */
  readonly running: boolean
  /** The session on a channel, also one that is ending. */
  sessionOn(channel: number): FrameSession | undefined
  onPerformative(channel: number, performative: Performative): void
  /** A protocol header, at `bytes[at..at + 8)`. */
  onHeader(bytes: Uint8Array, at: number): void
  /** No more frames can be told apart, or one that breaks the rules. */
  onFault(error: AmqpError): void
}

export class FrameReader {
  /** Bytes of the last chunk have not been read yet. */
  unfinished: boolean
  readonly decoder: FrameDecoder
  private readonly context: ConnectionContext
  private readonly owner: FrameOwner

  constructor(context: ConnectionContext, owner: FrameOwner) {
    this.unfinished = false
    this.context = context
    this.owner = owner
    this.decoder = new FrameDecoder(context.settings.initialFrameMax, FrameType.sasl)
    this.decoder.expectHeader = true
  }

  /** Takes a chunk, all of it before the next one. */
  push(chunk: Uint8Array): void {
    this.unfinished = true
    this.decoder.push(chunk)
    this.read()
  }

  /** Copies what is not read yet: the chunk's memory is about to be used again. */
  keep(): void {
    this.decoder.keep()
  }

  /** Goes on with what was pushed, as far as the connection's waits allow. */
  read(): void {
    try {
      this.readFrames()
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      this.owner.onFault(fromDecodeError(error))
    }
  }

  // HOT: once per frame
  private readFrames(): void {
    const { decoder, context, owner } = this
    while (context.waits === 0 && owner.reading) {
      const kind = decoder.next()
      if (kind === FrameKind.needMore) {
        this.unfinished = false
        return
      }
      if (kind === FrameKind.empty) continue
      if (kind === FrameKind.header) {
        owner.onHeader(decoder.bytes, decoder.performativeAt)
        continue
      }
      if (kind === FrameKind.performative) {
        this.onPerformative()
        continue
      }
      const session = owner.running ? owner.sessionOn(decoder.channel) : undefined
      // A session that we have ended, or none: nothing that comes for it matters.
      if (session === undefined || !session.open) continue
      if (kind === FrameKind.transfer) {
        if (!session.onTransfer(decoder)) decoder.rewind()
      } else if (kind === FrameKind.disposition) session.onDisposition(decoder)
      else session.onFlow(decoder)
    }
  }

  private onPerformative(): void {
    const { decoder } = this
    const values = new ValueReader(decoder.bytes, decoder.performativeAt, decoder.performativeEnd)
    const value = values.read()
    const found = value.type === 'described' ? asPerformative(value) : undefined
    if (found === undefined) {
      throw new DecodeError(FaultCode.notImplemented, 'unknown performative')
    }
    if (!values.done()) throw new DecodeError(0, 'bytes behind the performative')
    this.owner.onPerformative(decoder.channel, found)
  }
}
