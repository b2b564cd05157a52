// One connection of the stream protocol: its phases, its frames in order, and what host and shards
// tell it.
//
//   greeting (properties, SASL) -> tuning (tune sent) -> tuned -> open -> closing (close sent) -> ended
//                                                                  \-> leaving (client's close answered)
//
// A command that asks a shard is answered before the next frame is read.

import type { Buffer } from 'node:buffer'
import { NodeWord } from '../../../shared/bus/link.ts'
import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import type { Session, SessionHost } from '../../host/protocol.ts'
import { Code, Key, responseBit } from '../codec/commands.ts'
import { FieldReader, FrameReader } from '../codec/frame-reader.ts'
import { FrameWriter } from '../codec/frame-writer.ts'
import type { StreamProtocolSettings } from '../mapping/settings.ts'
import { Commands } from './commands.ts'
import { Handshake } from './handshake.ts'
import { Heartbeat } from './heartbeat.ts'
import { Publishers } from './publishers.ts'
import { Subscriptions } from './subscriptions.ts'
import { SuperStreams } from './super-streams.ts'

type Phase = 'greeting' | 'tuning' | 'tuned' | 'open' | 'closing' | 'leaving' | 'ended'

/** How long a client may take to answer our close. */
const closeMs = 10_000
/** How long a client may take to close after its close was answered; it may send a second one. */
const leaveMs = 300

export class StreamConnection implements Session {
  readonly host: SessionHost
  readonly settings: StreamProtocolSettings
  readonly fields: FieldReader
  readonly writer: FrameWriter
  phase: Phase
  /** Its slot on the bus; 0 before open. */
  slot: number
  user: string
  vhost: string
  /** Bytes written since the socket took all. */
  unflushed: number
  /** Answers that are still to come before the next frame is read. */
  private open: number
  private readonly reader: FrameReader
  private readonly heartbeat: Heartbeat
  private readonly handshake: Handshake
  readonly publishers: Publishers
  readonly subscriptions: Subscriptions
  private readonly commands: Commands
  private readonly superStreams: SuperStreams
  /** The frame was not used up: the bus had no room. */
  private stuck: boolean
  /** It has published too fast: no frame is read before this; 0: it may. */
  private heldUntil: number
  private giveUpAt: number
  /** Holds once the vhost is open. */
  private tunedFrameMax: number

  constructor(host: SessionHost, settings: StreamProtocolSettings) {
    this.host = host
    this.settings = settings
    this.fields = new FieldReader()
    this.writer = new FrameWriter(host.out)
    this.phase = 'greeting'
    this.slot = 0
    this.user = ''
    this.vhost = ''
    this.unflushed = 0
    this.open = 0
    this.reader = new FrameReader(settings.initialFrameMax)
    this.heartbeat = new Heartbeat(this.writer)
    this.handshake = new Handshake(this)
    this.publishers = new Publishers(this)
    this.subscriptions = new Subscriptions(this)
    this.commands = new Commands(this)
    this.superStreams = new SuperStreams(this)
    this.stuck = false
    this.heldUntil = 0
    this.tunedFrameMax = 0
    this.giveUpAt = host.now() + settings.handshakeTimeoutMs
  }

  get blocked(): boolean {
    if (this.phase === 'ended') return false
    if (this.open > 0 || this.stuck || this.heldUntil > 0) return true
    return this.publishers.isFull() || this.reader.unfinished
  }

  onBytes(chunk: Buffer): void {
    if (this.phase === 'ended') return
    this.heartbeat.received = true
    this.reader.push(chunk)
    this.read()
  }

  keep(): void {
    this.reader.keep()
  }

  resume(): void {
    if (this.heldUntil > 0 && this.host.now() >= this.heldUntil) this.heldUntil = 0
    if (this.stuck && !this.publishAgain()) return
    this.read()
  }

  onFlushed(): void {
    this.unflushed = 0
    this.subscriptions.pump()
  }

  deadline(): number {
    // The end of an alarm, and slabs becoming free, ring no bell.
    if (this.stuck) return this.host.now()
    return Math.min(this.giveUpAt, this.heartbeat.deadline(), this.subscriptions.deadline())
  }

  onDeadline(now: number): void {
    if (this.stuck) this.resume()
    if (now >= this.subscriptions.deadline()) {
      this.close(Code.internalError, 'a consumer update was not answered')
    }
    if (now >= this.giveUpAt) {
      if (this.phase !== 'leaving') {
        const { name } = this.host.peer
        this.host.log.error(`closing stream connection ${name}: ${this.phase} timeout`)
      }
      this.drop()
      return
    }
    if (this.heartbeat.onDeadline(now, this.blocked)) return
    this.host.log.error(`closing stream connection ${this.host.peer.name}: missed heartbeats`)
    this.drop()
  }

  onShutdown(reason: string): void {
    this.host.log.debug(`closing stream connection ${this.host.peer.name}: ${reason}`)
    this.drop()
  }

  onClosed(error: Error | undefined): void {
    const { log, peer } = this.host
    if (this.phase === 'open') {
      const facts = { vhost: this.vhost, user: this.user, error: error?.message }
      log.info(`stream connection ${peer.name} closed`, facts)
    }
    this.phase = 'ended'
    this.leave(() => {})
  }

  /** It has published too fast: no more is read for `ms`. */
  holdFor(ms: number): void {
    this.heldUntil = Math.max(this.heldUntil, this.host.now() + ms)
    this.host.wakeAt(this.heldUntil)
  }

  /** The next frame waits for an answer. */
  await(): void {
    this.open++
  }

  /** The answer is there. False if the connection is over. */
  answered(): boolean {
    this.open--
    return this.phase === 'open' || isGreeting(this.phase)
  }

  /** Begins the response to a request, with its code. */
  respond(key: number, correlation: number, code: number): FrameWriter {
    this.heartbeat.wrote = true
    return this.writer
      .begin(key | responseBit)
      .u32(correlation)
      .u16(code)
  }

  /** The handshake is done as far as the limits of frames go. */
  onTuned(frameMax: number, heartbeatSeconds: number): void {
    this.phase = 'tuned'
    this.tunedFrameMax = frameMax
    this.heartbeat.start(heartbeatSeconds, this.host.now())
  }

  onOpened(): void {
    this.phase = 'open'
    this.reader.frameMax = this.tunedFrameMax
    this.giveUpAt = Number.POSITIVE_INFINITY
    const { log, peer } = this.host
    log.info(
      `stream connection ${peer.name}: user '${this.user}' granted access to '${this.vhost}'`,
    )
  }

  /** Tells the client why, then ends. */
  close(code: number, reason: string): void {
    if (this.phase !== 'open') return
    this.host.log.error(`closing stream connection ${this.host.peer.name}: ${reason}`, { code })
    this.writer.begin(Key.close).u32(0).u16(code).string(reason).send()
    this.phase = 'closing'
    this.giveUpAt = this.host.now() + closeMs
    this.leave(() => {})
  }

  /** Ends at once, after what was written. */
  drop(): void {
    this.phase = 'ended'
    this.giveUpAt = Number.POSITIVE_INFINITY
    this.host.end()
  }

  private read(): void {
    try {
      while (this.open === 0 && !this.stuck && this.phase !== 'ended') {
        if (this.heldUntil > 0 || this.publishers.isFull()) return
        const found = this.reader.next()
        if (found === 'none') return
        if (found === 'large') return this.onLarge()
        this.onFrame()
      }
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      if (this.phase === 'open') this.close(Code.unknownFrame, 'unknown frame')
      else this.drop()
    }
  }

  private onLarge(): void {
    if (this.phase === 'open') this.close(Code.frameTooLarge, 'frame too large')
    else this.drop()
    if (this.phase === 'closing') this.drop()
  }

  // HOT: once per frame
  private onFrame(): void {
    const { reader, fields } = this
    fields.set(reader.bytes, reader.at, reader.end)
    const key = fields.u16()
    const version = fields.u16()
    if (this.phase === 'open') {
      if (key === Key.publish) this.publish(version)
      else this.onCommand(key)
    } else if (this.phase === 'closing') {
      if (key === (Key.close | responseBit)) this.drop()
    } else if (this.phase === 'leaving') {
      if (key === Key.close) this.closeByClient()
    } else this.onGreeting(key)
  }

  private publish(version: number): void {
    const { nodeWords } = this.host.port
    if (nodeWords[NodeWord.alarms] !== 0 || !this.publishers.onPublish(this.fields, version)) {
      this.stuck = true
    }
  }

  /** Goes on with the frame that found no room. */
  private publishAgain(): boolean {
    const { host, reader, fields } = this
    if (host.port.nodeWords[NodeWord.alarms] !== 0) return false
    fields.set(reader.bytes, reader.at, reader.end)
    fields.u16()
    const version = fields.u16()
    this.stuck = !this.publishers.onPublish(fields, version)
    return !this.stuck
  }

  private onGreeting(key: number): void {
    if (key === Key.heartbeat) return
    if (key === Key.close) this.closeByClient()
    else if (!this.handshake.onFrame(key)) {
      const { name } = this.host.peer
      this.host.log.error(`closing stream connection ${name}: command ${key} before open`)
      this.drop()
    }
  }

  private onCommand(key: number): void {
    if (key === Key.heartbeat) return
    if (key === Key.close) return this.closeByClient()
    if (key === Key.credit) return this.subscriptions.onCredit(this.fields)
    if (key === Key.storeOffset) return this.commands.storeOffset(this.fields)
    if (key === (Key.consumerUpdate | responseBit)) return this.subscriptions.onUpdated(this.fields)
    if (key === (Key.close | responseBit)) return
    const correlation = this.fields.u32()
    const known =
      this.publishers.onCommand(key, correlation, this.fields) ||
      this.subscriptions.onCommand(key, correlation, this.fields) ||
      this.superStreams.onCommand(key, correlation, this.fields) ||
      this.commands.onCommand(key, correlation, this.fields) ||
      this.handshake.onLateFrame(key, correlation)
    if (!known) this.close(Code.unknownFrame, 'unknown frame')
  }

  private closeByClient(): void {
    const correlation = this.fields.u32()
    this.await()
    this.phase = 'leaving'
    this.leave(() => {
      this.open--
      if (this.phase === 'ended') return
      this.respond(Key.close, correlation, Code.ok).send()
      this.giveUpAt = this.host.now() + leaveMs
    })
  }

  /** Takes the connection off all shards. */
  private leave(next: () => void): void {
    const { port } = this.host
    const { slot } = this
    this.subscriptions.end()
    this.publishers.end()
    if (slot === 0) {
      next()
      return
    }
    this.slot = 0
    port.requestAll({ op: 'closeConnection', connection: slot }, () => {
      port.connections.remove(slot)
      this.publishers.release()
      this.subscriptions.release()
      next()
    })
  }
}

function isGreeting(phase: Phase): boolean {
  return phase === 'greeting' || phase === 'tuning' || phase === 'tuned'
}
