// What a client is told in an ERROR frame. Messages and bodies are RabbitMQ's.

import type { PeerError } from '../../../shared/errors.ts'
import { ReplyCode } from '../../../shared/errors.ts'

/** An ERROR frame: its `message` header, its body, and whether the connection ends with it. */
export interface Failure {
  readonly message: string
  readonly body: string
  readonly closes: boolean
  /** Of the subscription that is concerned. */
  readonly subscription?: string
}

function failure(message: string, body: string): Failure {
  return { message, body, closes: false }
}

function fatal(message: string, body: string): Failure {
  return { message, body, closes: true }
}

const prefixes = '/temp-queue, /topic, /exchange, /queue, /amq/queue, /reply-queue'

export function versionMismatch(): Failure {
  return failure('Version mismatch', 'Supported versions are 1.0,1.1,1.2\n')
}

export function notLoggedIn(): Failure {
  return failure('Illegal command', 'You must log in using CONNECT first')
}

export function alreadyConnected(): Failure {
  return failure('Illegal command', 'The connection is logged in already')
}

/** A login that failed. */
export function badConnect(body: string): Failure {
  return failure('Bad CONNECT', body)
}

export function unknownDestination(destination: string): Failure {
  return failure(
    'Unknown destination',
    `'${destination}' is not a valid destination.\nValid destination types are: ${prefixes}.\n`,
  )
}

export function invalidDestination(rest: string, type: string): Failure {
  return failure('Invalid destination', `'${rest}' is not a valid ${type} destination\n`)
}

export function wrongDestination(destination: string, command: string): Failure {
  return failure(
    'Invalid destination',
    `'${destination}' is not a valid destination for '${command}'\n`,
  )
}

export function blankDestination(): Failure {
  return failure('Invalid destination', 'Destination cannot be blank')
}

export function missingDestination(command: string): Failure {
  return failure('Missing destination', `"${command}" must include a 'destination' header\n`)
}

export function missingHeader(command: string, header: string): Failure {
  return failure('Missing header', `"${command}" must include the "${header}" header\n`)
}

export function invalidHeader(command: string, header: string): Failure {
  return failure('Invalid header', `"${command}" must include a valid "${header}" header\n`)
}

export function forbiddenHeader(header: string, command: string): Failure {
  return failure('Invalid header', `'${header}' is not allowed on '${command}'.\n`)
}

/** RabbitMQ takes no notice of a selector; a client that gave one wants not to get everything. */
export function selectorRefused(): Failure {
  return failure('Invalid header', "'selector' is not supported on 'SUBSCRIBE'.\n")
}

export function missingIdForDurable(): Failure {
  return failure('Missing Header', "Header 'id' is required for durable subscriptions")
}

export function noSubscriptionForMessage(messageId: string): Failure {
  return failure('Subscription not found', `Message with id "${messageId}" has no subscription`)
}

/** `description` as `id='1'` or `destination='/queue/q'`. */
export function noSubscription(description: string): Failure {
  return failure(
    'No subscription found',
    'UNSUBSCRIBE must refer to an existing subscription.\n' +
      `Subscription to "${description}" not found.\n`,
  )
}

export function missingSubscriptionId(): Failure {
  return failure(
    'Missing destination or id',
    "UNSUBSCRIBE must include a 'destination' or 'id' header",
  )
}

export function reservedSubscriptionId(command: string): Failure {
  return failure('Invalid id', `${command} 'id' may not start with /temp-queue/\n`)
}

export function missingTransaction(command: string): Failure {
  return failure('Missing transaction', `"${command}" must include a 'transaction' header\n`)
}

export function badTransaction(id: string): Failure {
  return failure('Bad transaction', `Invalid transaction identifier: "${id}"\n`)
}

export function transactionTooLarge(bytesMax: number): Failure {
  return fatal('Transaction too large', `A connection may hold back ${bytesMax} bytes\n`)
}

export function badCommand(command: string): Failure {
  return failure('Bad command', `Could not interpret command "${command}"\n`)
}

export function duplicateSubscription(tag: string): Failure {
  return fatal(
    'Duplicated subscription identifier',
    `A subscription identified by '${tag}' already exists.`,
  )
}

export function subscriptionCancelled(subscription: string, description: string): Failure {
  const body =
    'The server has canceled a subscription.\n' +
    `No more messages will be delivered for "${description}".\n`
  return { message: 'Server cancelled subscription', body, closes: false, subscription }
}

/** A value that cannot be taken over into a message or a queue. */
export function processingError(body: string): Failure {
  return fatal('Processing error', `${body}\n`)
}

/** The queue was full, or the broker could not keep the message: no RECEIPT will come for it. */
export function messageRejected(): Failure {
  return failure('Message rejected', 'The broker did not take the message\n')
}

/** What a shard refused: the name of its code is the message. */
export function refusal({ code, text }: PeerError): Failure {
  const found = Object.entries(ReplyCode).find(([, each]) => each === code)
  return fatal((found?.[0] ?? 'INTERNAL_ERROR').toLowerCase(), text)
}
