// A link on which the client sends: transfers of one delivery put together, and published.

import { EntryFlag } from '../../../shared/bus/wire.ts'
import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import { decodeUtf8Lossy, shortstrBytes, utf8Size } from '../../../shared/bytes/utf8.ts'
import { FaultCode } from '../codec/fault.ts'
import type { FrameDecoder } from '../codec/frame.ts'
import { ABSENT } from '../codec/frame.ts'
import { binary, symbol } from '../codec/value.ts'
import { parseTarget } from '../mapping/address.ts'
import type { AmqpError } from '../mapping/conditions.ts'
import { amqpError, Condition } from '../mapping/conditions.ts'
import type { ConnectionContext } from './connection-context.ts'
import type { Publishing } from './publishing.ts'
import { incoming } from './publishing.ts'
import { advance, distance } from './serial-number.ts'
import type { UnconfirmedQueue } from './unconfirmed.ts'

/** Where a link publishes to. */
export interface Destination {
  readonly exchange: string
  /** Undefined: the subject of each message. */
  readonly routingKey: string | undefined
  /** The queue that the address names. */
  readonly queue: string | undefined
}

/** Sender settle modes. */
export const SndSettleMode = { unsettled: 0, settled: 1, mixed: 2 } as const

/** What the link needs of its session. */
export interface IncomingLinkOwner {
  readonly context: ConnectionContext
  readonly publishing: Publishing
  readonly unconfirmed: UnconfirmedQueue
  /** The link that publishes go to: chosen at the first, from its exchange and routing key. */
  ingress(exchange: string, routingKey: string): ReturnType<ConnectionContext['port']['link']>
  /** Whether the client may be given credit. */
  readonly granting: boolean
  /** Tells the client the link's credit. */
  sendCredit(link: IncomingLink): void
  sendOutcome(deliveryId: number, error: AmqpError): void
}

export interface IncomingLinkOptions {
  readonly name: string
  readonly handle: number
  readonly sndSettleMode: number
  readonly initialDeliveryCount: number
  /** Undefined: each message says in `to`. */
  readonly destination: Destination | undefined
}

/** The transfers of a delivery that have come. */
interface Gathered {
  readonly parts: Uint8Array[]
  size: number
  readonly deliveryId: number
  readonly settled: boolean
  /** All of it in one piece, once the last part is there. */
  whole: Uint8Array | undefined
}

/** What a transfer came to. */
export const Taken = {
  ok: 0,
  /** There was no room: the same frame has to come again. */
  again: 1,
} as const

export class IncomingLink {
  readonly kind: 'incoming'
  readonly name: string
  readonly handle: number
  readonly destination: Destination | undefined
  live: boolean
  /** The queue of a dynamic target, which goes with the link. */
  dynamicQueue: string | undefined
  deliveryCount: number
  credit: number
  /** Deliveries that are published and not confirmed. */
  unconfirmed: number
  private readonly owner: IncomingLinkOwner
  private readonly sndSettleMode: number
  private readonly creditMax: number
  /** Exchange and routing key as shortstrs, where they are the same for all messages. */
  private readonly exrk: Uint8Array | undefined
  private gathered: Gathered | undefined

  constructor(owner: IncomingLinkOwner, options: IncomingLinkOptions) {
    const { destination } = options
    this.kind = 'incoming'
    this.owner = owner
    this.name = options.name
    this.handle = options.handle
    this.destination = destination
    this.sndSettleMode = options.sndSettleMode
    this.live = true
    this.dynamicQueue = undefined
    this.deliveryCount = options.initialDeliveryCount
    this.creditMax = owner.context.settings.linkCreditMax
    this.credit = 0
    this.unconfirmed = 0
    this.exrk =
      destination?.routingKey === undefined
        ? undefined
        : exrkOf(destination.exchange, destination.routingKey)
    this.gathered = undefined
  }

  /** Gives all the credit there is, if it is time to. */
  grant(): void {
    if (!this.owner.granting || this.unconfirmed >= this.creditMax) return
    if (this.credit > this.creditMax >> 1) return
    this.credit = this.creditMax
    this.owner.sendCredit(this)
  }

  /** A transfer that needs no more frames to be a delivery is under way. */
  isBetweenDeliveries(): boolean {
    return this.gathered === undefined
  }

  // HOT: once per transfer frame
  /** Takes a transfer. An error ends the link. */
  onTransfer(decoder: FrameDecoder): number | AmqpError {
    if (this.gathered === undefined && decoder.more !== 1 && decoder.aborted !== 1) {
      return this.onWhole(decoder)
    }
    return this.onPart(decoder)
  }

  /** Forgets what has come in part. */
  drop(): void {
    if (this.gathered !== undefined) this.owner.context.gathered -= this.gathered.size
    this.gathered = undefined
  }

  private onWhole(decoder: FrameDecoder): number | AmqpError {
    const { deliveryId, payloadAt, payloadSize } = decoder
    if (deliveryId === ABSENT) return missing('delivery-id')
    const settled = decoder.settled === 1
    const error = this.check(decoder, settled, payloadSize)
    if (error !== undefined) return error
    return this.publish(
      decoder,
      decoder.bytes,
      payloadAt,
      payloadAt + payloadSize,
      deliveryId,
      settled,
    )
  }

  private onPart(decoder: FrameDecoder): number | AmqpError {
    const first = this.gathered
    if (first !== undefined) {
      const error = checkContinuation(decoder, first)
      if (error !== undefined) return error
    } else if (decoder.deliveryId === ABSENT) return missing('delivery-id')
    if (decoder.aborted === 1) {
      // The delivery counts, but there is no message (2.6.14).
      this.drop()
      this.count()
      return Taken.ok
    }
    const gathered = first ?? {
      parts: [],
      size: 0,
      deliveryId: decoder.deliveryId,
      settled: decoder.settled === 1,
      whole: undefined,
    }
    this.gathered = gathered
    if (gathered.whole === undefined) {
      const error = this.gather(decoder, gathered)
      if (error !== undefined) return error
    }
    if (decoder.more === 1) return Taken.ok
    const whole = gathered.whole ?? Buffer.concat(gathered.parts)
    gathered.whole = whole
    const refused = this.check(decoder, gathered.settled, whole.length)
    if (refused !== undefined) return refused
    const { deliveryId, settled } = gathered
    const taken = this.publish(decoder, whole, 0, whole.length, deliveryId, settled)
    if (taken !== Taken.again) this.drop()
    return taken
  }

  private gather(decoder: FrameDecoder, gathered: Gathered): AmqpError | undefined {
    const { context } = this.owner
    const { payloadAt, payloadSize, bytes } = decoder
    const size = gathered.size + payloadSize
    if (size > context.settings.messageSizeMax) return this.tooLarge(size)
    if (context.gathered + payloadSize > gatheredMax) {
      return amqpError(
        Condition.resourceLimitExceeded,
        'too much of unfinished messages on this connection',
      )
    }
    gathered.parts.push(Uint8Array.prototype.slice.call(bytes, payloadAt, payloadAt + payloadSize))
    gathered.size = size
    context.gathered += payloadSize
    return undefined
  }

  // HOT: once per delivery
  private check(decoder: FrameDecoder, settled: boolean, size: number): AmqpError | undefined {
    if (this.credit <= 0) {
      return amqpError(Condition.transferLimitExceeded, 'transfer without link credit')
    }
    const { sndSettleMode } = this
    if (
      (sndSettleMode === SndSettleMode.settled && !settled) ||
      (sndSettleMode === SndSettleMode.unsettled && settled)
    ) {
      const mode = settled ? 'unsettled' : 'settled'
      return amqpError(
        Condition.invalidField,
        `sender settle mode is '${mode}' but transfer settled flag is interpreted as being '${settled}'`,
      )
    }
    if (decoder.rcvSettleMode === 1 && !settled) {
      return amqpError(Condition.notImplemented, 'rcv-settle-mode second not supported')
    }
    return size > this.owner.context.settings.messageSizeMax ? this.tooLarge(size) : undefined
  }

  private tooLarge(size: number): AmqpError {
    const max = this.owner.context.settings.messageSizeMax
    return amqpError(
      Condition.messageSizeExceeded,
      `message size (${size} bytes) > maximum message size (${max} bytes)`,
    )
  }

  // HOT: once per delivery
  private publish(
    decoder: FrameDecoder,
    bytes: Uint8Array,
    at: number,
    end: number,
    deliveryId: number,
    settled: boolean,
  ): number | AmqpError {
    try {
      incoming.convert(bytes, at, end)
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      return unreadable(error)
    }
    const { owner } = this
    if (incoming.userIdAt >= 0 && !owner.context.impersonator) {
      const error = this.checkUserId(bytes)
      if (error !== undefined) return error
    }
    let exrk = this.exrk
    let { destination } = this
    if (exrk === undefined) {
      const found = this.address(bytes)
      if ('condition' in found) return this.refuse(decoder, found, deliveryId, settled)
      destination = found
      exrk = exrkOf(found.exchange, found.routingKey ?? '')
    }
    const link = owner.ingress(destination?.exchange ?? '', destination?.routingKey ?? '')
    // Of a settled message nothing is heard, unless its address may turn out to be wrong.
    const watched = !settled || this.destination === undefined
    const flags = settled
      ? EntryFlag.lenient | (watched ? EntryFlag.confirm : 0)
      : EntryFlag.lenient | EntryFlag.confirm | EntryFlag.mandatory
    if (!owner.publishing.publish(link, exrk, exrk.length, bytes, flags)) return Taken.again
    if (watched) {
      this.unconfirmed++
      owner.unconfirmed.push(deliveryId, this.handle, settled)
    }
    this.count()
    return Taken.ok
  }

  private count(): void {
    this.deliveryCount = advance(this.deliveryCount, 1)
    this.credit--
    if (this.credit <= this.creditMax >> 1) this.grant()
  }

  /** Where a message without a fixed routing key goes. */
  private address(bytes: Uint8Array): Destination | AmqpError {
    const { destination } = this
    if (destination !== undefined) {
      const { subjectAt, subjectSize } = incoming
      const key = subjectAt < 0 ? '' : decodeUtf8Lossy(bytes, subjectAt, subjectAt + subjectSize)
      return { ...destination, routingKey: utf8Size(key) > 255 ? '' : key }
    }
    const { toAt, toSize } = incoming
    if (toAt < 0) {
      return amqpError(
        Condition.preconditionFailed,
        "anonymous terminus requires 'to' address to be set",
      )
    }
    const to = decodeUtf8Lossy(bytes, toAt, toAt + toSize)
    const target = parseTarget(to)
    if (target === undefined || tooLong(target.exchange) || tooLong(target.routingKey)) {
      return amqpError(Condition.preconditionFailed, `bad 'to' address string: ${to}`)
    }
    return target
  }

  // One message of an anonymous terminus went nowhere: rejected, or (settled) the end of the link.
  private refuse(
    decoder: FrameDecoder,
    error: AmqpError,
    deliveryId: number,
    settled: boolean,
  ): number | AmqpError {
    if (!settled) {
      this.owner.sendOutcome(deliveryId, error)
      this.count()
      return Taken.ok
    }
    const { bytes, tagAt, tagSize } = decoder
    const tag =
      tagAt < 0 ? new Uint8Array(0) : Uint8Array.prototype.slice.call(bytes, tagAt, tagAt + tagSize)
    return { ...error, info: [[symbol('delivery-tag'), binary(tag)]] }
  }

  private checkUserId(bytes: Uint8Array): AmqpError | undefined {
    const { userBytes, user } = this.owner.context
    const { userIdAt, userIdSize } = incoming
    let same = userIdSize === userBytes.length
    for (let i = 0; same && i < userIdSize; i++) same = bytes[userIdAt + i] === userBytes[i]
    if (same) return undefined
    const given = decodeUtf8Lossy(bytes, userIdAt, userIdAt + userIdSize)
    return amqpError(
      Condition.unauthorizedAccess,
      `user_id property set to '${given}' but authenticated user was '${user}'`,
    )
  }
}

function exrkOf(exchange: string, routingKey: string): Uint8Array {
  return Buffer.concat([shortstrBytes(exchange), shortstrBytes(routingKey)])
}

function tooLong(text: string): boolean {
  return utf8Size(text) > 255
}

function missing(field: string): AmqpError {
  return amqpError(Condition.invalidField, `transfer without mandatory field ${field}`)
}

function unreadable(error: DecodeError): AmqpError {
  if (error.code === FaultCode.invalidField) return amqpError(Condition.invalidField, error.text)
  return amqpError(Condition.decodeError, `failed to parse message: ${error.text}`)
}

function checkContinuation(decoder: FrameDecoder, first: Gathered): AmqpError | undefined {
  const { deliveryId, settled } = decoder
  if (deliveryId !== ABSENT && distance(deliveryId, first.deliveryId) !== 0) {
    return amqpError(
      Condition.invalidField,
      `delivery-id of continuation transfer (${deliveryId}) differs from delivery-id on first ` +
        `transfer (${first.deliveryId})`,
    )
  }
  if (settled !== ABSENT && (settled === 1) !== first.settled) {
    return amqpError(
      Condition.invalidField,
      `field 'settled' of continuation transfer (${settled === 1}) differs from (interpreted) ` +
        `field 'settled' on first transfer (${first.settled})`,
    )
  }
  return undefined
}

/** Bytes of unfinished messages that one connection may have here, on all its links together. */
const gatheredMax: number = 64 * 1024 * 1024
