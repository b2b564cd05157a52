// One AMQP 1.0 connection: its phases, its sessions, and what the host and the shards tell it.
//
//   handshake -> running -> closing (we sent close, wait for the client's) -> ended
//                       \-> leaving (the client sent close, shards clean up) -> ended
//
// Reading stops while any bit of `context.waits` is set and goes on in `resume`.

import { randomUUID } from 'node:crypto'
import { NodeWord } from '../../../shared/bus/link.ts'
import type { Session, SessionHost } from '../../host/protocol.ts'
import type { Composite, Performative } from '../codec/spec.ts'
import type { AmqpError } from '../mapping/conditions.ts'
import { amqpError, Condition, explanationOf, toComposite } from '../mapping/conditions.ts'
import type { Amqp10Settings } from '../mapping/settings.ts'
import { attach } from './attach.ts'
import { ConnectionContext, Wait } from './connection-context.ts'
import type { FrameOwner } from './frame-reader.ts'
import { FrameReader } from './frame-reader.ts'
import type { HandshakeOwner } from './handshake.ts'
import { Handshake } from './handshake.ts'
import { IdleTimer } from './idle-timer.ts'
import { fence } from './operation.ts'
import { Amqp10Session } from './session.ts'

type Phase = 'handshake' | 'running' | 'closing' | 'leaving' | 'ended'

export class Amqp10Connection implements Session, HandshakeOwner, FrameOwner {
  /** FrameOwner: false once nothing that comes can matter. */
  reading: boolean
  /** FrameOwner. */
  running: boolean
  private readonly context: ConnectionContext
  private readonly host: SessionHost
  private readonly reader: FrameReader
  private readonly handshake: Handshake
  private readonly idle: IdleTimer
  /** By channel. */
  private readonly sessions: (Amqp10Session | undefined)[]
  private phase: Phase
  // When to give up what the phase waits for, and what to say then.
  private giveUpAt: number
  private lastWords: (() => void) | undefined

  constructor(host: SessionHost, settings: Amqp10Settings) {
    this.host = host
    this.reading = true
    this.running = false
    this.context = new ConnectionContext(
      host,
      settings,
      `${host.peer.name} ${randomUUID()}`,
      (error) => this.fail(error),
    )
    this.reader = new FrameReader(this.context, this)
    this.handshake = new Handshake(this.context, this)
    this.idle = new IdleTimer(this.context)
    this.sessions = []
    this.phase = 'handshake'
    this.giveUpAt = host.now() + settings.handshakeTimeoutMs
    this.lastWords = undefined
    host.log.info(`accepting AMQP 1.0 connection ${host.peer.name}`)
  }

  /** HandshakeOwner. */
  get wanted(): boolean {
    return this.phase === 'handshake' && this.lastWords === undefined
  }

  /** Session: also true when a wait has ended but not all bytes are read yet. */
  get blocked(): boolean {
    return this.context.waits !== 0 || (this.reading && this.reader.unfinished)
  }

  onBytes(chunk: Buffer): void {
    this.idle.received = true
    if (this.reading) this.reader.push(chunk)
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
    context.endHold()
    this.reader.read()
  }

  onFlushed(): void {
    if (!this.context.retry()) this.context.waits |= Wait.bus
  }

  deadline(): number {
    // The end of an alarm, and slabs becoming free, ring no bell.
    if ((this.context.waits & Wait.bus) !== 0 || this.isShut()) return this.host.now()
    return Math.min(this.giveUpAt, this.idle.deadline())
  }

  onDeadline(now: number): void {
    if (now >= this.giveUpAt) {
      this.giveUp()
      return
    }
    if ((this.context.waits & Wait.bus) !== 0) this.resume()
    if (this.phase !== 'running') return
    this.lookAtAlarms()
    if (this.idle.onDeadline(now, this.context.waits !== 0)) return
    this.fail(
      amqpError(
        Condition.resourceLimitExceeded,
        'no frame received from client within idle timeout threshold',
      ),
    )
  }

  onShutdown(reason: string): void {
    if (this.phase === 'handshake') {
      this.enter('ended')
      this.host.end()
    } else this.fail(amqpError(Condition.internalError, `Connection forced: "${reason}"`))
  }

  onClosed(error: Error | undefined): void {
    const { log, peer } = this.host
    if (this.phase === 'running') {
      log.warn(`AMQP 1.0 connection ${peer.name}: client closed the TCP connection`, {
        vhost: this.context.vhost,
        user: this.context.user,
        error: error?.message,
      })
    }
    this.enter('ended')
    this.leave(() => undefined)
  }

  /** HandshakeOwner. */
  setFrames(type: number, max: number): void {
    const { decoder } = this.reader
    decoder.expectHeader = false
    decoder.frameType = type
    decoder.frameMax = max
  }

  /** HandshakeOwner. */
  expectHeader(): void {
    this.reader.decoder.expectHeader = true
  }

  /** FrameOwner. */
  onHeader(bytes: Uint8Array, at: number): void {
    this.handshake.onHeader(bytes, at)
  }

  /** HandshakeOwner. */
  drop(reason: string, told: (() => void) | undefined): void {
    this.host.log.error(`closing AMQP 1.0 connection ${this.host.peer.name}: ${reason}`)
    this.reading = false
    this.lastWords = told ?? ((): void => {})
    this.giveUpAt = this.host.now() + (told === undefined ? 0 : failedLoginMs)
    if (told === undefined) this.finish()
  }

  /** HandshakeOwner. */
  onOpening(): void {
    this.context.slot = this.host.port.connections.add({
      onClosed: ({ error }) =>
        this.fail(
          amqpError(Condition.internalError, `Connection forced: "${explanationOf(error)}"`),
        ),
      onHeld: (ms) => this.context.holdFor(ms),
    })
  }

  /** HandshakeOwner. */
  onOpened(open: Composite<'open'>): void {
    const { user, vhost, settings } = this.context
    const now = this.host.now()
    this.enter('running')
    this.giveUpAt = Number.POSITIVE_INFINITY
    this.idle.start(open.idleTimeOut ?? 0, settings.heartbeatSeconds * 1000, now)
    this.host.log.info(
      `AMQP 1.0 container '${open.containerId}' on ${this.host.peer.name}: ` +
        `user '${user}' authenticated and granted access to vhost '${vhost}'`,
    )
  }

  /** HandshakeOwner. */
  refuse(error: AmqpError): void {
    this.handshake.sendOpen()
    this.enter('running')
    this.fail(error)
  }

  /** FrameOwner. */
  sessionOn(channel: number): Amqp10Session | undefined {
    return this.sessions[channel]
  }

  /** FrameOwner. */
  onPerformative(channel: number, frame: Performative): void {
    if (this.phase === 'handshake') {
      this.handshake.onPerformative(frame)
      return
    }
    if (frame.kind === 'close') this.onClose(frame)
    else if (this.phase !== 'running') return
    else if (frame.kind === 'begin') this.onBegin(channel, frame)
    else if (frame.kind === 'attach' || frame.kind === 'detach' || frame.kind === 'end') {
      const session = this.sessions[channel]
      if (session === undefined) return
      if (frame.kind === 'end') session.onEnd()
      else if (!session.open) return
      else if (frame.kind === 'attach') attach(session, frame)
      else session.onDetach(frame)
    } else this.fail(amqpError(Condition.notAllowed, `unexpected ${frame.kind}`))
  }

  /** FrameOwner. Behind broken bytes no frame can be found, so no close either. */
  onFault(error: AmqpError): void {
    if (this.phase === 'handshake') {
      this.drop(error.description, undefined)
      return
    }
    this.fail(error)
    this.finish()
  }

  private onBegin(channel: number, begin: Composite<'begin'>): void {
    const { channelMax } = this.handshake
    if (channel > channelMax) {
      const text = `channel number (${channel}) exceeds maximum channel number (${channelMax})`
      this.fail(amqpError(Condition.framingError, text))
      return
    }
    if (this.sessions[channel] !== undefined) {
      this.fail(amqpError(Condition.illegalState, `channel ${channel} has a session already`))
      return
    }
    this.sessions[channel] = new Amqp10Session(this.context, channel, begin, (session) => {
      if (this.sessions[channel] === session) this.sessions[channel] = undefined
    })
  }

  // What the sessions have sent before the close is where it belongs when ours goes out.
  private onClose({ error }: Composite<'close'>): void {
    const { context } = this
    const { log, peer } = this.host
    if (this.phase === 'closing') {
      this.finish()
      return
    }
    if (this.phase !== 'running') return
    log.info(`closing AMQP 1.0 connection ${peer.name}`, {
      vhost: context.vhost,
      user: context.user,
      error: error?.description ?? error?.condition,
    })
    this.enter('leaving')
    context.await(this)
    this.fenceAll(() =>
      this.leave(() => {
        if (this.phase !== 'leaving') return
        context.send(0, 'close', {})
        this.finish()
      }),
    )
  }

  private fenceAll(next: () => void): void {
    const open = this.openSessions()
    let left = open.length + 1
    const one = (): void => {
      left--
      if (left === 0) next()
    }
    for (const session of open) fence(session, one)
    one()
  }

  // Takes the connection off all shards, then gives its slots back.
  private leave(next: () => void): void {
    const { context } = this
    const { port } = this.host
    const { slot } = context
    const sessions = this.sessions.filter((each) => each !== undefined)
    for (const session of sessions) if (session.open) session.shut()
    if (slot === 0) {
      next()
      return
    }
    // From now on nothing goes out under this number.
    context.slot = 0
    port.requestAll({ op: 'closeConnection', connection: slot }, () => {
      for (const session of sessions) session.release()
      port.connections.remove(slot)
      next()
    })
  }

  private fail(error: AmqpError): void {
    const { context } = this
    if (this.phase !== 'running') return
    this.host.log.error(
      `error on AMQP 1.0 connection ${this.host.peer.name}: ${error.description}`,
      {
        vhost: context.vhost,
        user: context.user,
        condition: error.condition,
      },
    )
    this.enter('closing')
    const { heartbeatSeconds } = context.settings
    const waitMs = heartbeatSeconds === 0 ? closeMs : Math.min(heartbeatSeconds * 1000, closeMs)
    this.giveUpAt = this.host.now() + waitMs
    context.send(0, 'close', { error: toComposite(error) })
    this.leave(() => undefined)
    // Nothing that was waited for matters now: the client's close must be read.
    context.abandon()
  }

  private giveUp(): void {
    if (this.lastWords !== undefined) {
      this.lastWords()
      this.finish()
      return
    }
    if (this.phase === 'handshake') {
      this.host.log.error(`closing AMQP 1.0 connection ${this.host.peer.name}: handshake_timeout`, {
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
    this.running = phase === 'running'
    if (phase === 'ended') this.giveUpAt = Number.POSITIVE_INFINITY
  }

  private openSessions(): Amqp10Session[] {
    return this.sessions.filter((each) => each !== undefined).filter(({ open }) => open)
  }

  private isShut(): boolean {
    for (const session of this.sessions) if (session?.incoming.shut === true) return true
    return false
  }

  private lookAtAlarms(): void {
    const shut = this.host.port.nodeWords[NodeWord.alarms] !== 0
    for (const session of this.openSessions()) {
      if (session.incoming.shut && !shut) session.lookAtAlarms()
    }
  }
}

/** A client that may not log in waits this long, which slows down guessing. */
const failedLoginMs = 3000

/** How long a client may take to answer our close, at most. */
const closeMs = 30_000
