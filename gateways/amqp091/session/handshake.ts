// From the protocol header to connection.open-ok.
//
//   header -> starting (start sent) -> tuning (tune sent) -> opening -> done

import type { ControlReply } from '../../../shared/bus/control.ts'
import { connectionWindow } from '../../../shared/bus/wire.ts'
import { encodeUtf8 } from '../../../shared/bytes/utf8.ts'
import type { PeerError } from '../../../shared/errors.ts'
import { offeredMechanisms, readCredentials } from '../../../shared/login/sasl.ts'
import { FRAME_OVERHEAD } from '../codec/constants.ts'
import type { Method, MethodOf } from '../codec/method.ts'
import { methodIds } from '../codec/method.ts'
import { ANSWER_091, HeaderKind, protocolHeaderAnswer } from '../codec/protocol-header.ts'
import { loginRefused, unexpectedMethod } from '../mapping/refusals.ts'
import {
  clientCapabilities,
  connectionName,
  serverProperties,
} from '../mapping/server-properties.ts'
import type { Tuning } from '../mapping/tuning.ts'
import { checkTuning } from '../mapping/tuning.ts'
import { registryShard } from './ask.ts'
import type { ConnectionContext } from './connection-context.ts'

/** What the handshake reports to its connection. */
export interface HandshakeOwner {
  /** The client asked for a version that is not served: `answer` was written, the socket ends. */
  onWrongVersion(): void
  /** The client may not go on and is not told why. */
  drop(reason: string): void
  onTuned(tuning: Tuning): void
  /** The vhost may be used: open-ok follows. */
  onOpened(): void
  /** Whether the connection still wants to be opened. */
  readonly wanted: boolean
}

type Step = 'header' | 'starting' | 'tuning' | 'opening' | 'done'

export class Handshake {
  step: Step
  /** The name that the client gave the connection, or empty. */
  connectionName: string
  private readonly context: ConnectionContext
  private readonly owner: HandshakeOwner
  private readonly connectionOwner: string

  /** `connectionOwner` is the name under which the connection owns exclusive queues. */
  constructor(context: ConnectionContext, owner: HandshakeOwner, connectionOwner: string) {
    this.context = context
    this.owner = owner
    this.connectionOwner = connectionOwner
    this.step = 'header'
    this.connectionName = ''
  }

  /** The protocol header is complete. */
  onHeader(kind: HeaderKind): void {
    // AMQP 1.0 is not served: say so with the version that is.
    const answer = kind === HeaderKind.amqp10Sasl ? ANSWER_091 : protocolHeaderAnswer(kind)
    if (answer !== undefined) {
      const { out } = this.context
      out.reserve(answer.length)
      out.bytes.set(answer, out.at)
      out.at += answer.length
      this.context.touch()
      this.owner.onWrongVersion()
      return
    }
    this.step = 'starting'
    this.context.send(0, {
      kind: 'connection.start',
      versionMajor: 0,
      versionMinor: 9,
      serverProperties: serverProperties(this.context.settings),
      mechanisms: this.mechanisms().join(' '),
      locales: 'en_US',
    })
  }

  /** A method on channel 0 before open-ok. */
  onMethod(method: Method): void {
    if (this.step === 'starting' && method.kind === 'connection.start-ok') this.onStartOk(method)
    else if (this.step === 'tuning' && method.kind === 'connection.tune-ok') this.onTuneOk(method)
    else if (this.step === 'opening' && method.kind === 'connection.open') this.onOpen(method)
    else this.fail(unexpectedMethod(this.step), method.kind)
  }

  private mechanisms(): readonly string[] {
    return offeredMechanisms(this.context.settings, this.context.host.peer.certificateUser)
  }

  private onStartOk(method: MethodOf<'connection.start-ok'>): void {
    const { context } = this
    const { peer, port } = context.host
    const { mechanism } = method
    context.capabilities = clientCapabilities(method.clientProperties)
    this.connectionName = connectionName(method.clientProperties)
    if (!this.mechanisms().includes(mechanism)) {
      this.owner.drop(`unknown authentication mechanism '${mechanism}'`)
      return
    }
    const credentials = readCredentials(
      mechanism,
      method.response,
      context.settings,
      peer.certificateUser,
      { byteArrays: true },
    )
    if (credentials === undefined) {
      this.owner.drop(`malformed response for authentication mechanism ${mechanism}`)
      return
    }
    const { user, password } = credentials
    context.await(this)
    port.request(
      registryShard,
      { op: 'authenticate', mechanism, user, password, loopback: peer.loopback },
      { onReply: (reply) => this.onAuthenticated(reply, mechanism, user) },
    )
  }

  private onAuthenticated(reply: ControlReply, mechanism: string, user: string): void {
    const { context } = this
    if (!context.answered(this) || !this.owner.wanted) return
    if (reply.error !== undefined) {
      const { log, peer } = context.host
      log.error(`${mechanism} login refused: user '${user}'`, {
        peer: peer.name,
        reason: reply.error.text,
      })
      if (context.capabilities.authenticationFailureClose) {
        context.fail(loginRefused(mechanism), 0, 0)
      } else {
        this.owner.drop('login refused')
      }
      return
    }
    context.user = typeof reply['user'] === 'string' ? reply['user'] : user
    context.userBytes = encodeUtf8(context.user)
    const tags: unknown = reply['tags']
    context.impersonator = Array.isArray(tags) && tags.includes('impersonator')
    this.step = 'tuning'
    const { channelMax, frameMax, heartbeatSeconds } = context.settings
    context.send(0, { kind: 'connection.tune', channelMax, frameMax, heartbeat: heartbeatSeconds })
  }

  private onTuneOk(tuning: MethodOf<'connection.tune-ok'>): void {
    const { context } = this
    const error = checkTuning(tuning, context.settings)
    if (error !== undefined) {
      this.fail(error, tuning.kind)
      return
    }
    // Without a limit a body goes out in one frame, whatever its size.
    context.bodyFrameMax =
      tuning.frameMax === 0 ? Number.MAX_SAFE_INTEGER : tuning.frameMax - FRAME_OVERHEAD
    this.step = 'opening'
    this.owner.onTuned(tuning)
  }

  private onOpen(method: MethodOf<'connection.open'>): void {
    const { context } = this
    const { port } = context
    const slot = context.slot
    const op = {
      op: 'openConnection',
      connection: slot,
      owner: this.connectionOwner,
      user: context.user,
      vhost: method.virtualHost,
      window: connectionWindow,
    } as const
    context.vhost = method.virtualHost
    context.await(this)
    port.request(registryShard, op, {
      onReply: (reply) => {
        if (!context.answered(this) || !this.owner.wanted) return
        if (reply.error !== undefined) {
          this.fail(reply.error, method.kind)
          return
        }
        for (let shard = 1; shard < port.shardCount; shard++) port.notify(shard, op)
        this.step = 'done'
        this.owner.onOpened()
        context.send(0, { kind: 'connection.open-ok' })
      },
    })
  }

  private fail(error: PeerError, kind: Method['kind']): void {
    const { classId, methodId } = methodIds(kind)
    this.context.fail(error, classId, methodId)
  }
}
