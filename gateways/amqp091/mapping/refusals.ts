// The errors that the gateway finds by itself, each text once; texts are RabbitMQ's.

import type { PeerError } from '../../../shared/errors.ts'
import { channelError, connectionError } from '../../../shared/errors.ts'

export function unknownDeliveryTag(tag: number): PeerError {
  return channelError('PRECONDITION_FAILED', `unknown delivery tag ${tag}`)
}

/** A consumer has not settled a delivery in time. */
export function deliveryTimedOut(channel: number, timeoutMs: number): PeerError {
  return channelError(
    'PRECONDITION_FAILED',
    `delivery acknowledgement on channel ${channel} timed out. ` +
      `Timeout value used: ${timeoutMs} ms. ` +
      'This timeout value can be configured, see consumers doc guide to learn more',
  )
}

export function messageTooLarge(size: number, max: number): PeerError {
  return channelError(
    'PRECONDITION_FAILED',
    `message size ${size} is larger than configured max size ${max}`,
  )
}

/** Properties must lie in one piece; only a frame_max far above the default lets a client get here. */
export function propertiesTooLarge(size: number): PeerError {
  return channelError('PRECONDITION_FAILED', `message properties of ${size} bytes are too large`)
}

export function wrongUserId(given: string, user: string): PeerError {
  return channelError(
    'PRECONDITION_FAILED',
    `user_id property set to '${given}' but authenticated user was '${user}'`,
  )
}

/** `reason` as RabbitMQ prints it: `no_integer`, `{value_negative,-1}`, ... */
export function invalidExpiration(given: string, reason: string): PeerError {
  return channelError('PRECONDITION_FAILED', `invalid expiration '${given}': ${reason}`)
}

export function invalidSelectorHeader(header: string, given: string): PeerError {
  return channelError(
    'PRECONDITION_FAILED',
    `invalid message: {unacceptable_type_in_header,"${header}",${given}}`,
  )
}

export function noReplyConsumer(): PeerError {
  return channelError('PRECONDITION_FAILED', 'fast reply consumer does not exist')
}

export function secondReplyConsumer(): PeerError {
  return channelError('PRECONDITION_FAILED', 'reply consumer already set')
}

export function replyConsumerAcknowledges(): PeerError {
  return channelError('PRECONDITION_FAILED', 'reply consumer cannot acknowledge')
}

export function noQueue(queue: string, vhost: string): PeerError {
  return channelError('NOT_FOUND', `no queue '${queue}' in vhost '${vhost}'`)
}

export function noLastQueue(): PeerError {
  return channelError('NOT_FOUND', 'no previously declared queue')
}

export function confirmInTx(): PeerError {
  return channelError('PRECONDITION_FAILED', 'cannot switch from tx to confirm mode')
}

export function txInConfirm(): PeerError {
  return channelError('PRECONDITION_FAILED', 'cannot switch from confirm to tx mode')
}

export function notTransactional(): PeerError {
  return channelError('PRECONDITION_FAILED', 'channel is not transactional')
}

export function notImplemented(what: string): PeerError {
  return connectionError('NOT_IMPLEMENTED', what)
}

export function unimplementedMethod(): PeerError {
  return connectionError('COMMAND_INVALID', 'unimplemented method')
}

export function consumerTagInUse(tag: string): PeerError {
  return connectionError('NOT_ALLOWED', `attempt to reuse consumer tag '${tag}'`)
}

export function tooManyConsumers(max: number): PeerError {
  return connectionError('NOT_ALLOWED', `reached maximum (${max}) of consumers per channel`)
}

export function tooManyChannels(count: number, max: number): PeerError {
  return connectionError(
    'NOT_ALLOWED',
    `number of channels opened (${count}) has reached the negotiated channel_max (${max})`,
  )
}

export function channelNotOpen(): PeerError {
  return connectionError('CHANNEL_ERROR', "expected 'channel.open'")
}

export function channelOpenTwice(): PeerError {
  return connectionError('CHANNEL_ERROR', "second 'channel.open' seen")
}

/** `state` as RabbitMQ calls it: starting, tuning, opening, running. */
export function unexpectedMethod(state: string): PeerError {
  return connectionError('CHANNEL_ERROR', `unexpected method in connection state ${state}`)
}

export function unexpectedFrame(what: string): PeerError {
  return connectionError('UNEXPECTED_FRAME', what)
}

export function bodyTooLong(): PeerError {
  return connectionError('FRAME_ERROR', 'content body is longer than its header announced')
}

export function loginRefused(mechanism: string): PeerError {
  return connectionError(
    'ACCESS_REFUSED',
    `Login was refused using authentication mechanism ${mechanism}. ` +
      'For details see the broker logfile.',
  )
}

export function forcedClosure(reason: string): PeerError {
  return connectionError(
    'CONNECTION_FORCED',
    `broker forced connection closure with reason '${reason}'`,
  )
}
