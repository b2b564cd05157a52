// One AMQP 0-9-1 connection: its phases, and what the host and the shards tell it.
//
//   handshake -> running -> closing (we sent close, wait for close-ok) -> ended
//                       \-> leaving (the client sent close, shards clean up) -> ended
//
// Reading stops while any bit of `context.waits` is set and goes on in `resume`.

import type { Buffer } from 'node:buffer'
import { randomUUID } from 'node:crypto'
import type { PeerError } from '../../../shared/errors.ts'
import { ReplyCode } from '../../../shared/errors.ts'
import type { Session, SessionHost } from '../../host/protocol.ts'
import type { Method, MethodOf } from '../codec/method.ts'
import { methodIds } from '../codec/method.ts'
import { ProtocolHeader } from '../codec/protocol-header.ts'
import {
  channelNotOpen,
  forcedClosure,
  unexpectedFrame,
  unexpectedMethod,
} from '../mapping/refusals.ts'
import type { AmqpSettings } from '../mapping/settings.ts'
import type { Tuning } from '../mapping/tuning.ts'
import { ChannelTable } from './channel-table.ts'
import { ConnectionContext, Wait } from './connection-context.ts'
import type { FrameOwner } from './frame-reader.ts'
import { FrameReader } from './frame-reader.ts'
import type { HandshakeOwner } from './handshake.ts'
import { Handshake } from './handshake.ts'
import { Heartbeat } from './heartbeat.ts'
import { fence } from './operation.ts'

type Phase = 'handshake' | 'running' | 'closing' | 'leaving' | 'ended'

export class AmqpConnection implements Session, HandshakeOwner, FrameOwner {
  /** FrameOwner: false once nothing that comes can matter. */
  reading: boolean
  /** HandshakeOwner: false once the handshake's answers come too late. */
  wanted: boolean
  private readonly context: ConnectionContext
  private readonly host: SessionHost
  private readonly header: ProtocolHeader
  private readonly reader: FrameReader
  private readonly handshake: Handshake
  private readonly heartbeat: Heartbeat
  private readonly channels: ChannelTable
  private phase: Phase
  private heartbeatSeconds: number
  // When to give up what the phase waits for.
  private giveUpAt: number
  private sawBytes: boolean

  constructor(host: SessionHost, settings: AmqpSettings) {
    this.host = host
    this.reading = true
    this.wanted = true
    this.context = new ConnectionContext(host, settings, (error, classId, methodId) =>
      this.fail(error, classId, methodId),
    )
    this.header = new ProtocolHeader()
    this.channels = new ChannelTable(this.context)
    this.reader = new FrameReader(this.context, this.channels, this)
    this.handshake = new Handshake(this.context, this, `${host.peer.name} ${randomUUID()}`)
    this.heartbeat = new Heartbeat(this.context)
    this.phase = 'handshake'
    this.heartbeatSeconds = 0
    this.giveUpAt = host.now() + settings.handshakeTimeoutMs
    this.sawBytes = false
  }

  /**
   * Session: the host asks after each input. Also true when a wait has ended but not all bytes are
   * read yet, since it is `resume` that goes on with them.
   */
  get blocked(): boolean {
    return this.context.waits !== 0 || (this.reading && this.reader.unfinished)
  }

  onBytes(chunk: Buffer): void {
    this.heartbeat.received = true
    let from = 0
    if (this.phase === 'handshake' && this.handshake.step === 'header') {
      if (!this.sawBytes) this.host.log.info(`accepting AMQP connection ${this.host.peer.name}`)
      this.sawBytes = true
      from = this.header.push(chunk)
      const kind = this.header.kind()
      if (kind === undefined) return
      this.handshake.onHeader(kind)
    }
    if (this.reading) this.reader.push(chunk, from)
  }

  keep(): void {
    this.reader.keep()
  }

  resume(): void {
    const { context } = this
    if ((context.waits & Wait.bus) !== 0) {
      if (!context.retry()) return
      // Also when it was a slab that was missing: the frame that needs it asks again.
      context.waits &= ~Wait.bus
    }
    context.endAlarm()
    context.endHold()
    this.reader.read()
  }

  onFlushed(): void {
    if (!this.context.window.giveBack(this.context.slot)) this.context.waits |= Wait.bus
  }

  deadline(): number {
    // The end of an alarm, and slabs becoming free, ring no bell.
    if ((this.context.waits & (Wait.alarm | Wait.bus)) !== 0) return this.host.now()
    return Math.min(this.giveUpAt, this.heartbeat.deadline())
  }

  onDeadline(now: number): void {
    if (now >= this.giveUpAt) {
      this.giveUp()
      return
    }
    if ((this.context.waits & (Wait.alarm | Wait.bus)) !== 0) this.resume()
    if (this.phase !== 'running') return
    if (this.heartbeat.onDeadline(now, this.context.waits !== 0)) return
    this.host.log.error(
      `closing AMQP connection ${this.host.peer.name}: ` +
        `missed heartbeats from client, timeout: ${this.heartbeatSeconds}s`,
    )
    this.enter('ended')
    this.host.destroy()
  }

  onShutdown(reason: string): void {
    if (this.phase === 'handshake') {
      this.enter('ended')
      this.host.end()
    } else {
      this.fail(forcedClosure(reason), 0, 0)
    }
  }

  onClosed(error: Error | undefined): void {
    const { log, peer } = this.host
    if (this.phase === 'running') {
      log.warn(`closing AMQP connection ${peer.name}: client unexpectedly closed TCP connection`, {
        vhost: this.context.vhost,
        user: this.context.user,
        error: error?.message,
      })
    } else if (!this.sawBytes) {
      log.debug(`connection ${peer.name} closed before it sent anything`)
    }
    this.enter('ended')
    this.leave(() => undefined)
  }

  /** HandshakeOwner. */
  onWrongVersion(): void {
    this.enter('ended')
    this.host.end()
  }

  /** HandshakeOwner. */
  drop(reason: string): void {
    this.host.log.error(`closing AMQP connection ${this.host.peer.name}: ${reason}`)
    this.enter('ended')
    this.giveUpAt = this.host.now() + silentDropMs
  }

  /** HandshakeOwner. */
  onTuned(tuning: Tuning): void {
    const now = this.host.now()
    this.reader.setFrameMax(tuning.frameMax)
    this.channels.max = tuning.channelMax
    this.heartbeatSeconds = tuning.heartbeat
    this.heartbeat.start(tuning.heartbeat, now)
    this.context.slot = this.host.port.connections.add({
      onClosed: (event) => this.fail(event.error, 0, 0),
      onHeld: (ms) => this.context.holdFor(ms),
    })
  }

  /** HandshakeOwner. */
  onOpened(): void {
    const { user, vhost } = this.context
    const { connectionName } = this.handshake
    const { name } = this.host.peer
    const label = connectionName === '' ? name : `${name} - ${connectionName}`
    this.enter('running')
    this.giveUpAt = Number.POSITIVE_INFINITY
    this.host.log.info(
      `connection ${label}: user '${user}' authenticated and granted access to vhost '${vhost}'`,
    )
  }

  /** FrameOwner. */
  onConnectionMethod(method: Method): void {
    if (method.kind === 'connection.close') {
      this.closeByClient(method)
    } else if (this.phase === 'closing') {
      if (method.kind === 'connection.close-ok') this.finish()
    } else if (this.phase === 'handshake') {
      this.handshake.onMethod(method)
    } else if (method.kind === 'connection.update-secret') {
      this.recheckAccess()
    } else {
      const { classId, methodId } = methodIds(method.kind)
      this.onStrayMethod(classId, methodId)
    }
  }

  /** FrameOwner. */
  onStrayMethod(classId: number, methodId: number): void {
    const state = this.phase === 'handshake' ? this.handshake.step : 'running'
    this.fail(unexpectedMethod(state), classId, methodId)
  }

  /** FrameOwner. */
  onUnopened(number: number, classId: number, methodId: number): void {
    if (this.phase === 'handshake') {
      this.fail(unexpectedFrame(`frame for channel ${number} before connection.open`), 0, 0)
    } else if (this.phase === 'running') {
      const opens = classId === channelOpen.classId && methodId === channelOpen.methodId
      const error = opens ? this.channels.open(number) : channelNotOpen()
      if (error !== undefined) this.fail(error, classId, methodId)
    }
  }

  /** FrameOwner. Behind broken bytes no frame can be found, so no close-ok either. */
  onBrokenFrames(error: PeerError): void {
    this.fail(error, 0, 0)
    if (this.phase !== 'ended') this.finish()
  }

  // The password store has no secrets that expire, so like RabbitMQ's it takes any new one. What the
  // user may do can have changed: every shard looks at its consumers.
  private recheckAccess(): void {
    const { context } = this
    context.await(this)
    this.host.port.requestAll({ op: 'recheckAccess', connection: context.slot }, (error) => {
      if (!context.answered(this) || this.phase !== 'running') return
      if (error === undefined) context.send(0, { kind: 'connection.update-secret-ok' })
      else this.refuseSecret(error)
    })
  }

  private refuseSecret(error: PeerError): void {
    const { classId, methodId } = methodIds('connection.update-secret')
    this.fail(error, classId, methodId)
  }

  private closeByClient(method: MethodOf<'connection.close'>): void {
    const { context } = this
    const { log, peer } = this.host
    if (this.phase === 'closing') {
      context.send(0, { kind: 'connection.close-ok' })
      this.finish()
      return
    }
    log.info(`closing AMQP connection ${peer.name}`, {
      vhost: context.vhost,
      user: context.user,
      code: method.replyCode,
      text: method.replyText,
    })
    this.enter('leaving')
    context.await(this)
    this.fenceAll(() =>
      this.leave(() => {
        if (this.phase !== 'leaving') return
        context.send(0, { kind: 'connection.close-ok' })
        this.finish()
      }),
    )
  }

  // What was published before the close is where it belongs when close-ok goes out.
  private fenceAll(next: () => void): void {
    const channels = this.channels.list()
    let left = channels.length + 1
    const one = (): void => {
      left--
      if (left === 0) next()
    }
    for (const channel of channels) {
      if (channel.open) fence(this.host.port, channel, -1, false, one)
      else one()
    }
    one()
  }

  // Takes the connection off all shards, then gives its slots back.
  private leave(next: () => void): void {
    const { context } = this
    const { port } = this.host
    const { slot } = context
    const channels = this.channels.list()
    for (const channel of channels) if (channel.open) channel.shut()
    if (slot === 0) {
      next()
      return
    }
    // From now on nothing goes out under this number.
    context.slot = 0
    port.requestAll({ op: 'closeConnection', connection: slot }, () => {
      for (const channel of channels) channel.release()
      port.connections.remove(slot)
      next()
    })
  }

  private fail(error: PeerError, classId: number, methodId: number): void {
    const { context } = this
    const { phase } = this
    if (phase !== 'handshake' && phase !== 'running') return
    this.host.log.error(`error on AMQP connection ${this.host.peer.name}: ${error.text}`, {
      vhost: context.vhost,
      user: context.user,
      code: error.code,
    })
    if (phase === 'handshake' && !this.mayTell(error)) {
      this.enter('ended')
      this.giveUpAt = this.host.now() + silentDropMs
      return
    }
    this.enter('closing')
    const waitMs = this.heartbeatSeconds === 0 ? closeOkMs : this.heartbeatSeconds * 1000
    this.giveUpAt = this.host.now() + Math.min(waitMs, closeOkMs)
    context.send(0, {
      kind: 'connection.close',
      replyCode: error.code,
      replyText: error.text,
      classId,
      methodId,
    })
    this.leave(() => undefined)
    // Nothing that was waited for matters now: the close-ok must be read.
    context.operating = undefined
    context.waits = 0
  }

  // Before tune a client is told nothing, but for a refused login if it asked for that.
  private mayTell(error: PeerError): boolean {
    const { step } = this.handshake
    if (step === 'header') return false
    return step !== 'starting' || error.code === ReplyCode.ACCESS_REFUSED
  }

  private giveUp(): void {
    if (this.phase === 'handshake') {
      this.host.log.error(`closing AMQP connection ${this.host.peer.name}: handshake_timeout`, {
        step: this.handshake.step,
      })
    }
    this.enter('ended')
    this.host.destroy()
  }

  private finish(): void {
    this.enter('ended')
    this.host.end()
  }

  private enter(phase: Phase): void {
    this.phase = phase
    this.reading = phase !== 'ended'
    this.wanted = phase === 'handshake'
    if (phase === 'ended') this.giveUpAt = Number.POSITIVE_INFINITY
  }
}

const channelOpen = methodIds('channel.open')

/** How long a client may take to answer our close: RabbitMQ waits for a heartbeat, at most this. */
const closeOkMs = 30_000

/** A client that is refused without a word waits this long, which slows down guessing. */
const silentDropMs = 3000
