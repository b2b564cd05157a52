// The two links of a management link pair: requests come on one, responses go out on the other.

import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import type { FrameDecoder } from '../codec/frame.ts'
import { ABSENT } from '../codec/frame.ts'
import type { AmqpError } from '../mapping/conditions.ts'
import { amqpError, Condition } from '../mapping/conditions.ts'
import { encodeResponse, readRequest } from '../mapping/management-message.ts'
import type { ManagedSession } from './management.ts'
import { manage } from './management.ts'
import type { OutgoingTransfers, SendingLink } from './outgoing-transfers.ts'
import { advance, distance } from './serial-number.ts'

/** Requests that a client may send before it has seen a flow. */
const creditMax = 8

/** The session of a pair. */
export interface ManagementOwner extends ManagedSession {
  readonly transfers: OutgoingTransfers
  readonly pairs: ManagementPairs
  sendFlow(handle: number, deliveryCount: number, credit: number): void
}

/** By link name: the halves of each pair, undefined where one is not attached. */
export type ManagementPairs = Map<string, { in?: ManagementLink; out?: ManagementLink }>

export function newManagementPairs(): ManagementPairs {
  return new Map()
}

export class ManagementLink implements SendingLink {
  readonly kind: 'management'
  readonly name: string
  readonly handle: number
  /** Whether requests come on it. */
  readonly incoming: boolean
  readonly settled: boolean
  readonly messageSizeMax: number
  live: boolean
  deliveryCount: number
  credit: number
  private readonly session: ManagementOwner
  /** Responses that have come before the client's credit for them. */
  private readonly waiting: Uint8Array[]
  private readonly parts: Uint8Array[]
  private size: number

  constructor(
    session: ManagementOwner,
    name: string,
    handle: number,
    incoming: boolean,
    deliveryCount: number,
    messageSizeMax: number,
  ) {
    this.kind = 'management'
    this.session = session
    this.name = name
    this.handle = handle
    this.incoming = incoming
    this.settled = true
    this.messageSizeMax = messageSizeMax
    this.live = true
    this.deliveryCount = deliveryCount
    this.credit = incoming ? creditMax : 0
    this.waiting = []
    this.parts = []
    this.size = 0
    const pair = session.pairs.get(name) ?? {}
    if (incoming) pair.in = this
    else pair.out = this
    session.pairs.set(name, pair)
  }

  /** A request, or a part of one. */
  onTransfer({ bytes, payloadAt, payloadSize, settled, more, aborted }: FrameDecoder): void {
    const error = this.check(settled === 1, payloadSize)
    if (error !== undefined) {
      this.session.fail(error)
      return
    }
    if (aborted === 1) {
      this.parts.length = 0
      this.size = 0
      return
    }
    this.parts.push(Uint8Array.prototype.slice.call(bytes, payloadAt, payloadAt + payloadSize))
    this.size += payloadSize
    if (more === 1) return
    const request = Buffer.concat(this.parts)
    this.parts.length = 0
    this.size = 0
    this.deliveryCount = advance(this.deliveryCount, 1)
    this.credit--
    if (this.credit <= creditMax >> 1) {
      this.credit = creditMax
      this.session.sendFlow(this.handle, this.deliveryCount, this.credit)
    }
    this.answer(request)
  }

  /** The client's flow for the half on which responses go out. */
  onFlow({ deliveryCount, linkCredit, drain, echo }: FrameDecoder): void {
    if (this.incoming) {
      if (echo === 1) this.session.sendFlow(this.handle, this.deliveryCount, this.credit)
      return
    }
    const seen = deliveryCount === ABSENT ? 0 : deliveryCount
    const asked = linkCredit === ABSENT ? 0 : linkCredit
    this.credit = Math.max(0, asked - distance(this.deliveryCount, seen))
    this.respond()
    if (drain === 1) {
      this.deliveryCount = advance(this.deliveryCount, this.credit)
      this.credit = 0
    }
    if (drain !== 1 && echo !== 1) return
    this.session.transfers.flow(this, this.deliveryCount, this.credit, 0, drain === 1)
  }

  onTooLarge(size: number): void {
    this.session.fail(
      amqpError(Condition.messageSizeExceeded, `response of ${size} bytes is too large`),
    )
  }

  close(): void {
    const pair = this.session.pairs.get(this.name)
    if (pair === undefined) return
    if (this.incoming) delete pair.in
    else delete pair.out
    if (pair.in === undefined && pair.out === undefined) this.session.pairs.delete(this.name)
  }

  private check(settled: boolean, size: number): AmqpError | undefined {
    if (!this.incoming) {
      return amqpError(Condition.notAllowed, 'transfer on a link of a receiver')
    }
    if (!settled) return amqpError(Condition.notAllowed, 'management requests must be settled')
    if (this.credit <= 0) {
      return amqpError(
        Condition.transferLimitExceeded,
        `insufficient credit (${this.credit}) for management link from client to broker`,
      )
    }
    const whole = this.size + size
    if (whole > requestBytesMax) {
      return amqpError(
        Condition.messageSizeExceeded,
        `message size (${whole} bytes) > maximum message size (${requestBytesMax} bytes)`,
      )
    }
    const response = this.session.pairs.get(this.name)?.out
    if (response === undefined) {
      return amqpError(
        Condition.preconditionFailed,
        'received transfer on half open management link pair',
      )
    }
    // RabbitMQ does not wait for credit at all; a client may grant it a moment after its request.
    if (response.waiting.length < creditMax) return undefined
    return amqpError(
      Condition.preconditionFailed,
      `insufficient credit (${response.credit}) for management link from broker to client`,
    )
  }

  /** Sends the responses that there is credit for. */
  private respond(): void {
    while (this.credit > 0) {
      const next = this.waiting.shift()
      if (next === undefined) return
      this.deliveryCount = advance(this.deliveryCount, 1)
      this.credit--
      this.session.transfers.message(this, next)
    }
  }

  private answer(bytes: Uint8Array): void {
    const { session } = this
    const out = session.pairs.get(this.name)?.out
    if (out === undefined) return
    const request = tryRead(bytes)
    if (typeof request === 'string') {
      session.fail(amqpError(Condition.decodeError, request))
      return
    }
    manage(session, request, (response) => {
      out.waiting.push(encodeResponse(request.messageId, response))
      out.respond()
    })
  }
}

function tryRead(bytes: Uint8Array): Exclude<ReturnType<typeof readRequest>, undefined> | string {
  try {
    return readRequest(bytes) ?? 'request without message-id, to or subject'
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error
    return error.text
  }
}

/** Argument maps are small; nothing larger is kept for a request. */
const requestBytesMax: number = 1024 * 1024
