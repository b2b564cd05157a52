// One STOMP connection: its phases, the loop over its frames, and what the host and the shards tell
// it.
//
//   login -> running -> leaving (DISCONNECT: everything sent before is settled) -> ended
//
// Reading stops while any bit of `context.waits` is set and goes on in `resume`.

import type { PeerError } from '../../../shared/errors.ts'
import { connectionError } from '../../../shared/errors.ts'
import type { Session, SessionHost } from '../../host/protocol.ts'
import { Command, commandName } from '../codec/command.ts'
import type { Frame } from '../codec/frame.ts'
import { FrameDecoder, FrameKind } from '../codec/frame-decoder.ts'
import { Header } from '../codec/header-name.ts'
import type { Destination } from '../mapping/destination.ts'
import { parseDestination, routeOf } from '../mapping/destination.ts'
import type { Failure } from '../mapping/failure.ts'
import {
  alreadyConnected,
  badCommand,
  forbiddenHeader,
  missingDestination,
  notLoggedIn,
  refusal,
  wrongDestination,
} from '../mapping/failure.ts'
import type { HeartBeat } from '../mapping/login.ts'
import type { StompSettings } from '../mapping/settings.ts'
import { StompContext, Wait } from './context.ts'
import { Heartbeat } from './heartbeat.ts'
import type { LoginOwner } from './login.ts'
import { connectedHeaders, logIn } from './login.ts'
import { Publisher } from './publisher.ts'
import { Subscriptions } from './subscriptions.ts'
import { Transactions } from './transactions.ts'

type Phase = 'login' | 'running' | 'leaving' | 'ended'

export class StompConnection implements Session, LoginOwner {
  private readonly context: StompContext
  private readonly host: SessionHost
  private readonly input: FrameDecoder
  private readonly heartbeat: Heartbeat
  private readonly publisher: Publisher
  private readonly subscriptions: Subscriptions
  private readonly transactions: Transactions
  private phase: Phase
  /** Frames of a transaction that is being committed, and the receipt for its end. */
  private replay: FrameDecoder | undefined
  private replayReceipt: string | undefined
  /** Bytes of the last chunk have not been read yet. */
  private unfinished: boolean
  private giveUpAt: number
  private sawBytes: boolean
  /** Logged in without CONNECT, so without CONNECTED. */
  private implicit: boolean

  constructor(host: SessionHost, settings: StompSettings) {
    this.host = host
    this.context = new StompContext(host, settings, (failure) => this.onFailure(failure))
    this.input = new FrameDecoder(settings.frameMaxUnauthenticated)
    this.heartbeat = new Heartbeat(this.context)
    this.publisher = new Publisher(this.context)
    this.subscriptions = new Subscriptions(this.context)
    this.transactions = new Transactions()
    this.phase = 'login'
    this.replay = undefined
    this.replayReceipt = undefined
    this.unfinished = false
    this.giveUpAt = host.now() + settings.loginTimeoutMs
    this.sawBytes = false
    this.implicit = false
  }

  get blocked(): boolean {
    return this.reading() && (this.context.waits !== 0 || this.unfinished)
  }

  onBytes(chunk: Buffer): void {
    this.heartbeat.received = true
    if (!this.sawBytes) this.host.log.info(`accepting STOMP connection ${this.host.peer.name}`)
    this.sawBytes = true
    if (!this.reading()) return
    this.input.push(chunk)
    this.unfinished = true
    this.read()
  }

  keep(): void {
    this.input.keep()
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
    this.read()
  }

  onFlushed(): void {
    const { context } = this
    if (!context.window.giveBack(context.slot)) context.waits |= Wait.bus
  }

  deadline(): number {
    // The end of an alarm, and slabs becoming free, ring no bell.
    if ((this.context.waits & (Wait.alarm | Wait.bus)) !== 0) return this.host.now()
    return Math.min(this.giveUpAt, this.heartbeat.deadline())
  }

  onDeadline(now: number): void {
    const { context, host } = this
    if (now >= this.giveUpAt) {
      if (this.phase === 'login') {
        host.log.error(`closing STOMP connection ${host.peer.name}: login timeout`)
      }
      this.drop()
      return
    }
    if ((context.waits & (Wait.alarm | Wait.bus)) !== 0) this.resume()
    if (this.phase !== 'running') return
    if (this.heartbeat.onDeadline(now, context.waits !== 0)) return
    host.log.error(`closing STOMP connection ${host.peer.name}: missed heart-beats from client`)
    this.drop()
  }

  onShutdown(reason: string): void {
    const text = `broker forced connection closure with reason '${reason}'`
    if (this.phase === 'login') this.end()
    else this.onForced(connectionError('CONNECTION_FORCED', text))
  }

  onClosed(error: Error | undefined): void {
    const { context, host } = this
    if (this.phase === 'running') {
      host.log.warn(`closing STOMP connection ${host.peer.name}: client closed its socket`, {
        vhost: context.vhost,
        user: context.user,
        error: error?.message,
      })
    }
    this.phase = 'ended'
    this.leave(() => undefined)
  }

  /** LoginOwner. */
  onLoggedIn(heartBeat: HeartBeat): void {
    const { context, host, input } = this
    this.phase = 'running'
    this.giveUpAt = Number.POSITIVE_INFINITY
    input.frameMax = context.settings.frameMax
    input.trim = context.version === '1.0'
    const { user, version, vhost } = context
    host.log.info(
      `connection ${host.peer.name}: STOMP ${version}, user '${user}' authenticated and granted ` +
        `access to vhost '${vhost}'`,
    )
    if (!this.implicit) context.send('CONNECTED', connectedHeaders(context, heartBeat), '')
    this.heartbeat.start(heartBeat.sendMs, heartBeat.receiveMs, host.now())
  }

  /** LoginOwner. */
  onRefused(failure: Failure): void {
    this.context.sendError(failure, undefined)
    if (this.implicit) this.end()
  }

  /** LoginOwner. */
  onForced(error: PeerError): void {
    this.onFailure(refusal(error))
  }

  private reading(): boolean {
    return this.phase === 'login' || this.phase === 'running'
  }

  // HOT: once per frame
  private read(): void {
    const { context, input } = this
    while (context.waits === 0 && this.reading()) {
      if (this.replay !== undefined) {
        this.readReplay(this.replay)
        continue
      }
      const kind = input.next()
      if (kind === FrameKind.needMore) {
        this.unfinished = false
        return
      }
      if (kind === FrameKind.repeat) this.repeatSend(input)
      else this.onFrame(input.frame, input)
    }
  }

  private readReplay(replay: FrameDecoder): void {
    if (replay.next() !== FrameKind.needMore) {
      this.onFrame(replay.frame, replay)
      return
    }
    this.replay = undefined
    if (this.replayReceipt !== undefined) this.context.sendReceipt(this.replayReceipt)
  }

  private onFrame(frame: Frame, decoder: FrameDecoder): void {
    const { command } = frame
    if (this.phase === 'login') this.beforeLogin(frame, decoder)
    else if (command === Command.send) this.onSend(frame, decoder)
    else if (command === Command.ack || command === Command.nack) this.onSettle(frame, decoder)
    else this.onRare(frame)
  }

  private beforeLogin(frame: Frame, decoder: FrameDecoder): void {
    const { context } = this
    if (frame.command === Command.connect || frame.command === Command.stomp) {
      logIn(context, frame, this)
    } else if (context.settings.implicitConnect) {
      this.implicit = true
      decoder.rewind()
      logIn(context, undefined, this)
    } else {
      context.sendError(notLoggedIn(), undefined)
    }
  }

  // HOT: once per SEND like the one before
  private repeatSend(input: FrameDecoder): void {
    const { body, bodyAt, bodySize } = input
    if (!this.publisher.publish(body, bodyAt, bodySize, undefined)) input.rewind()
  }

  private onSend(frame: Frame, decoder: FrameDecoder): void {
    if (this.isHeldBack(frame)) return
    const receipt = frame.text(Header.receipt)
    const text = frame.text(Header.destination)
    const destination = sendDestination(frame, text)
    if ('message' in destination) {
      this.refuse(destination, receipt)
      return
    }
    // The frame comes again when what it needs is there; a refusal steps over it.
    const done = (failure: Failure | undefined): void => {
      if (failure === undefined) decoder.rewind()
      else this.refuse(failure, receipt)
    }
    const { subscriptions } = this
    if (destination.kind === 'queue' && !subscriptions.ensureQueue(frame, destination.name, done)) {
      return
    }
    const replyTo = this.replyQueue(frame, done)
    if (replyTo === false) return
    const route = routeOf(destination, this.context.settings.topicExchange)
    // The publisher keeps one head only.
    this.input.forget()
    const failure = this.publisher.send(frame, route, replyTo)
    if (failure !== undefined) {
      this.refuse(failure, receipt)
      return
    }
    if (!this.publisher.publish(frame.bytes, frame.at + frame.bodyFrom, frame.bodySize, receipt)) {
      decoder.rewind()
    } else if (receipt === undefined && this.replay === undefined) {
      decoder.remember(frame.find(Header.contentLength) >= 0)
    }
  }

  /** The queue that a temporary reply-to stands for; false when it has to be made first. */
  private replyQueue(
    frame: Frame,
    done: (failure: Failure | undefined) => void,
  ): string | undefined | false {
    if (frame.find(Header.replyTo) < 0) return undefined
    const destination = parseDestination(frame.text(Header.replyTo) ?? '')
    if ('message' in destination || destination.kind !== 'temp-queue') return undefined
    return this.subscriptions.temporaryQueue(destination.name, done) ?? false
  }

  // HOT: once per ACK or NACK
  private onSettle(frame: Frame, decoder: FrameDecoder): void {
    if (this.isHeldBack(frame)) return
    const nack = frame.command === Command.nack
    const failure = this.subscriptions.settle(frame, nack ? 'NACK' : 'ACK')
    if (failure !== undefined) this.refuse(failure, frame.text(Header.receipt))
    else if (decoder === this.input && frame.find(Header.receipt) >= 0) this.receipt(frame)
  }

  /** A frame of a transaction waits for the commit; its receipt does not, but for a SEND's. */
  private isHeldBack(frame: Frame): boolean {
    if (this.replay !== undefined || frame.find(Header.transaction) < 0) return false
    const failure = this.transactions.keep(frame)
    if (failure !== undefined) this.refuse(failure, frame.text(Header.receipt))
    else if (frame.command !== Command.send) this.receipt(frame)
    return true
  }

  private onRare(frame: Frame): void {
    const receipt = frame.text(Header.receipt)
    const done = (failure: Failure | undefined): void => {
      if (failure !== undefined) this.refuse(failure, receipt)
      else if (receipt !== undefined) this.context.sendReceipt(receipt)
    }
    switch (frame.command) {
      case Command.subscribe:
        this.subscriptions.subscribe(frame, done)
        break
      case Command.unsubscribe:
        this.subscriptions.unsubscribe(frame, done)
        break
      case Command.begin:
        done(this.transactions.begin(frame))
        break
      case Command.abort:
        done(this.transactions.abort(frame))
        break
      case Command.commit:
        this.commit(frame, receipt)
        break
      case Command.disconnect:
        this.disconnect(receipt)
        break
      case Command.connect:
      case Command.stomp:
        done(alreadyConnected())
        break
      default:
        done(badCommand(commandName(frame.command) || frame.commandText()))
    }
  }

  private commit(frame: Frame, receipt: string | undefined): void {
    const frames = this.transactions.commit(frame)
    if ('message' in frames) {
      this.refuse(frames, receipt)
      return
    }
    this.replay = new FrameDecoder(this.context.settings.frameMax)
    this.replay.trim = this.input.trim
    this.replay.push(frames)
    this.replayReceipt = receipt
  }

  private disconnect(receipt: string | undefined): void {
    const { context, host } = this
    this.phase = 'leaving'
    this.giveUpAt = host.now() + leaveMs
    host.log.info(`closing STOMP connection ${host.peer.name}`, {
      vhost: context.vhost,
      user: context.user,
    })
    this.publisher.settle(() => {
      if (this.phase !== 'leaving') return
      this.leave(() => {
        if (this.phase !== 'leaving') return
        if (receipt !== undefined) context.sendReceipt(receipt)
        this.end()
      })
    })
  }

  private receipt(frame: Frame): void {
    const id = frame.text(Header.receipt)
    if (id !== undefined) this.context.sendReceipt(id)
  }

  private refuse(failure: Failure, receipt: string | undefined): void {
    const { context, host } = this
    if (!context.alive) return
    host.log.error(`error on STOMP connection ${host.peer.name}: ${failure.message}`, {
      vhost: context.vhost,
      user: context.user,
      text: failure.body.trim(),
    })
    context.sendError(failure, receipt)
    if (failure.closes) this.end()
  }

  private onFailure(failure: Failure): void {
    if (this.phase !== 'ended') this.refuse(failure, undefined)
  }

  /** Says goodbye to the shards and, once what was written is sent, to the client. */
  private end(): void {
    if (this.phase === 'ended') return
    this.phase = 'ended'
    this.giveUpAt = Number.POSITIVE_INFINITY
    this.leave(() => undefined)
    this.host.end()
  }

  private drop(): void {
    this.phase = 'ended'
    this.giveUpAt = Number.POSITIVE_INFINITY
    this.host.destroy()
  }

  // Takes the connection off all shards, then gives its slots back.
  private leave(next: () => void): void {
    const { context, publisher, subscriptions } = this
    const { slot } = context
    context.alive = false
    context.waits = 0
    publisher.close()
    if (slot === 0) {
      next()
      return
    }
    // From now on nothing goes out under this number.
    context.slot = 0
    context.port.requestAll({ op: 'closeConnection', connection: slot }, () => {
      publisher.release()
      subscriptions.release()
      context.port.connections.remove(slot)
      next()
    })
  }
}

function sendDestination(frame: Frame, text: string | undefined): Destination | Failure {
  if (frame.find(Header.messageId) >= 0) return forbiddenHeader('message-id', 'SEND')
  if (text === undefined) return missingDestination('SEND')
  const destination = parseDestination(text)
  const temporary = !('message' in destination) && destination.kind === 'temp-queue'
  return temporary ? wrongDestination(text, 'SEND') : destination
}

/** How long what was sent before a DISCONNECT may take until it is settled. */
const leaveMs = 30_000
