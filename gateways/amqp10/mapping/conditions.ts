// Errors as AMQP 1.0 tells them: condition, description, and what ends with them.

import type { DecodeError } from '../../../shared/bytes/decode-error.ts'
import type { PeerError } from '../../../shared/errors.ts'
import { ReplyCode } from '../../../shared/errors.ts'
import { FaultCode } from '../codec/fault.ts'
import type { Composite } from '../codec/spec.ts'
import type { AmqpMap } from '../codec/value.ts'

/** What the peer is told: a composite of kind `error`. */
export interface AmqpError {
  readonly condition: string
  readonly description: string
  readonly info?: AmqpMap | undefined
}

export const Condition = {
  internalError: 'amqp:internal-error',
  notFound: 'amqp:not-found',
  unauthorizedAccess: 'amqp:unauthorized-access',
  decodeError: 'amqp:decode-error',
  resourceLimitExceeded: 'amqp:resource-limit-exceeded',
  notAllowed: 'amqp:not-allowed',
  invalidField: 'amqp:invalid-field',
  notImplemented: 'amqp:not-implemented',
  resourceLocked: 'amqp:resource-locked',
  preconditionFailed: 'amqp:precondition-failed',
  resourceDeleted: 'amqp:resource-deleted',
  illegalState: 'amqp:illegal-state',
  frameSizeTooSmall: 'amqp:frame-size-too-small',
  framingError: 'amqp:connection:framing-error',
  windowViolation: 'amqp:session:window-violation',
  handleInUse: 'amqp:session:handle-in-use',
  unattachedHandle: 'amqp:session:unattached-handle',
  transferLimitExceeded: 'amqp:link:transfer-limit-exceeded',
  messageSizeExceeded: 'amqp:link:message-size-exceeded',
} as const

export function amqpError(condition: string, description: string, info?: AmqpMap): AmqpError {
  return { condition, description, info }
}

/** An error as a field of a performative. */
export function toComposite(error: AmqpError): Composite<'error'> {
  const { condition, description, info } = error
  return { kind: 'error', condition, description, info }
}

const BY_CODE: Readonly<Record<number, string>> = {
  [ReplyCode.ACCESS_REFUSED]: Condition.unauthorizedAccess,
  [ReplyCode.NOT_FOUND]: Condition.notFound,
  [ReplyCode.RESOURCE_LOCKED]: Condition.resourceLocked,
  [ReplyCode.PRECONDITION_FAILED]: Condition.preconditionFailed,
  [ReplyCode.NOT_ALLOWED]: Condition.notAllowed,
  [ReplyCode.NOT_IMPLEMENTED]: Condition.notImplemented,
  [ReplyCode.RESOURCE_ERROR]: Condition.resourceLimitExceeded,
}

/** A shard's refusal: the condition by its code, the text without the code's name in front. */
export function fromPeerError(error: PeerError): AmqpError {
  return amqpError(BY_CODE[error.code] ?? Condition.internalError, explanationOf(error))
}

/** What follows `NAME - ` in the text of a refusal. */
export function explanationOf(error: PeerError): string {
  const at = error.text.indexOf(' - ')
  return at < 0 ? error.text : error.text.slice(at + 3)
}

/** What malformed bytes end the connection with. */
export function fromDecodeError(error: DecodeError): AmqpError {
  const condition =
    error.code === FaultCode.framing
      ? Condition.framingError
      : error.code === FaultCode.invalidField
        ? Condition.invalidField
        : error.code === FaultCode.notImplemented
          ? Condition.notImplemented
          : Condition.decodeError
  return amqpError(condition, error.text)
}

/** Whether a refusal is one of permission, which ends the whole session. */
export function isAccessRefusal(error: PeerError): boolean {
  return error.code === ReplyCode.ACCESS_REFUSED && !error.text.includes(' internal ')
}
