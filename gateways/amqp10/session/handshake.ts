// From the SASL header to our open.
//
//   saslHeader -> saslInit -> (login) -> amqpHeader -> open -> done

import type { ControlReply } from '../../../shared/bus/control.ts'
import { connectionWindow } from '../../../shared/bus/wire.ts'
import { encodeUtf8 } from '../../../shared/bytes/utf8.ts'
import type { PeerError } from '../../../shared/errors.ts'
import { ReplyCode } from '../../../shared/errors.ts'
import { offeredMechanisms, readCredentials } from '../../../shared/login/sasl.ts'
import { FrameType } from '../codec/frame.ts'
import { HEADER_AMQP, HEADER_SASL } from '../codec/frame-writer.ts'
import type { Composite, Performative } from '../codec/spec.ts'
import type { AmqpError } from '../mapping/conditions.ts'
import { amqpError, Condition, explanationOf, fromPeerError } from '../mapping/conditions.ts'
import { CAPABILITIES, serverProperties, vhostOf } from '../mapping/server-properties.ts'
import type { ConnectionContext } from './connection-context.ts'
import { registryShard } from './operation.ts'

/** Codes of sasl-outcome that are used. */
const SaslCode = { ok: 0, auth: 1 } as const

/** What the handshake reports to its connection. */
export interface HandshakeOwner {
  /** Whether the connection still wants to be opened. */
  readonly wanted: boolean
  /** Frames are of this type from now on, and as large as that. */
  setFrames(type: number, max: number): void
  /** A protocol header comes before the next frame. */
  expectHeader(): void
  /** The client may not go on: closed without a word after a while; `told` is sent then. */
  drop(reason: string, told: (() => void) | undefined): void
  /** The client's open is good: takes the connection's slot on the bus. */
  onOpening(): void
  /** The vhost may be used. */
  onOpened(open: Composite<'open'>): void
  /** The client asked for what is not: our open, then a close. */
  refuse(error: AmqpError): void
}

type Step = 'saslHeader' | 'saslInit' | 'amqpHeader' | 'open' | 'done'

/** The smallest frame that every peer must take (2.8.19). */
const FRAME_MIN_MAX = 512

export class Handshake {
  step: Step
  private readonly context: ConnectionContext
  private readonly owner: HandshakeOwner
  /** The highest channel number. */
  channelMax: number

  constructor(context: ConnectionContext, owner: HandshakeOwner) {
    this.context = context
    this.owner = owner
    this.step = 'saslHeader'
    this.channelMax = 0
  }

  /** A protocol header, at `bytes[at..at + 8)`. */
  onHeader(bytes: Uint8Array, at: number): void {
    const wanted = this.step === 'saslHeader' ? HEADER_SASL : HEADER_AMQP
    if (!wanted.every((byte, i) => byte === bytes[at + i])) {
      this.context.sendBytes(HEADER_SASL)
      this.owner.drop('wrong protocol header', undefined)
      return
    }
    this.context.sendBytes(wanted)
    if (this.step === 'saslHeader') this.offerMechanisms()
    else {
      this.step = 'open'
      this.owner.setFrames(FrameType.amqp, this.context.settings.initialFrameMax)
    }
  }

  /** A frame before the connection is open. */
  onPerformative(performative: Performative): void {
    if (this.step === 'saslInit' && performative.kind === 'saslInit') this.onInit(performative)
    else if (this.step === 'open' && performative.kind === 'open') this.onOpen(performative)
    else this.owner.drop(`unexpected ${performative.kind} in handshake`, undefined)
  }

  private offerMechanisms(): void {
    this.step = 'saslInit'
    this.owner.setFrames(FrameType.sasl, this.context.settings.initialFrameMax)
    const mechanisms = this.mechanisms()
    this.context.sendAs(FrameType.sasl, 0, 'saslMechanisms', { mechanisms })
  }

  private mechanisms(): readonly string[] {
    return offeredMechanisms(this.context.settings, this.context.host.peer.certificateUser)
  }

  private onInit({ mechanism, initialResponse }: Composite<'saslInit'>): void {
    const { context } = this
    const { peer, port } = context.host
    if (!this.mechanisms().includes(mechanism)) {
      this.owner.drop(`unknown authentication mechanism '${mechanism}'`, undefined)
      return
    }
    const response = initialResponse ?? new Uint8Array(0)
    const credentials = readCredentials(
      mechanism,
      response,
      context.settings,
      peer.certificateUser,
      { ownIdentity: true },
    )
    if (credentials === undefined) {
      this.owner.drop(`malformed response for mechanism ${mechanism}`, () => this.refuseLogin())
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
      context.host.log.error(`${mechanism} login refused: user '${user}'`, {
        peer: context.host.peer.name,
        reason: reply.error.text,
      })
      this.owner.drop('login refused', () => this.refuseLogin())
      return
    }
    context.user = typeof reply['user'] === 'string' ? reply['user'] : user
    context.userBytes = encodeUtf8(context.user)
    const tags: unknown = reply['tags']
    context.impersonator = Array.isArray(tags) && tags.includes('impersonator')
    this.step = 'amqpHeader'
    context.sendAs(FrameType.sasl, 0, 'saslOutcome', { code: SaslCode.ok })
    this.owner.expectHeader()
  }

  private refuseLogin(): void {
    this.context.sendAs(FrameType.sasl, 0, 'saslOutcome', { code: SaslCode.auth })
  }

  private onOpen(open: Composite<'open'>): void {
    const { context, owner } = this
    const { settings } = context
    const frameMax = open.maxFrameSize ?? Number.POSITIVE_INFINITY
    const idle = open.idleTimeOut ?? 0
    context.containerId = open.containerId
    this.channelMax = Math.min(open.channelMax ?? 0xffff, settings.sessionsMax - 1)
    if (frameMax < FRAME_MIN_MAX) {
      const text = `max_frame_size (${frameMax}) < minimum maximum frame size (${FRAME_MIN_MAX})`
      owner.refuse(amqpError(Condition.frameSizeTooSmall, text))
      return
    }
    context.frameMax = frameMax
    if (idle > 0 && idle < 1000) {
      const text = `idle-time-out (${idle} ms) < minimum idle-time-out (1000 ms)`
      owner.refuse(amqpError(Condition.notAllowed, text))
      return
    }
    context.vhost = vhostOf(open.hostname, settings)
    this.enterVhost(open)
  }

  private enterVhost(open: Composite<'open'>): void {
    const { context, owner } = this
    const { port, vhost, user } = context
    owner.onOpening()
    const op = {
      op: 'openConnection',
      connection: context.slot,
      owner: context.owner,
      user,
      vhost,
      window: connectionWindow,
    } as const
    context.await(this)
    port.request(registryShard, op, {
      onReply: (reply) => {
        if (!context.answered(this) || !owner.wanted) return
        if (reply.error !== undefined) {
          owner.refuse(openRefusal(reply.error, vhost))
          return
        }
        for (let shard = 1; shard < port.shardCount; shard++) port.notify(shard, op)
        this.step = 'done'
        owner.setFrames(FrameType.amqp, context.settings.frameMax)
        this.sendOpen()
        owner.onOpened(open)
      },
    })
  }

  /** Our open: also in front of a close that refuses the client's. */
  sendOpen(): void {
    const { settings } = this.context
    this.context.send(0, 'open', {
      containerId: settings.clusterName,
      maxFrameSize: settings.frameMax,
      channelMax: this.channelMax,
      idleTimeOut: settings.heartbeatSeconds === 0 ? undefined : settings.heartbeatSeconds * 500,
      offeredCapabilities: CAPABILITIES,
      properties: serverProperties(settings),
    })
  }
}

function openRefusal(error: PeerError, vhost: string): AmqpError {
  if (error.code === ReplyCode.NOT_ALLOWED && error.text.endsWith('not found')) {
    const text = `AMQP 1.0 connection failed: virtual host '${vhost}' does not exist`
    return amqpError(Condition.unauthorizedAccess, text)
  }
  if (error.code === ReplyCode.NOT_ALLOWED && error.text.includes('access to vhost')) {
    return amqpError(Condition.unauthorizedAccess, explanationOf(error))
  }
  if (error.text.includes('limit')) {
    return amqpError(Condition.resourceLimitExceeded, explanationOf(error))
  }
  return fromPeerError(error)
}
