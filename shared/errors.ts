// The reply codes of AMQP 0-9-1 and errors as values: what a peer did wrong is told, never thrown.

/** AMQP 0-9-1 reply codes by the name that opens their text (RabbitMQ's spelling). */
export const ReplyCode = {
  CONTENT_TOO_LARGE: 311,
  NO_ROUTE: 312,
  NO_CONSUMERS: 313,
  CONNECTION_FORCED: 320,
  INVALID_PATH: 402,
  ACCESS_REFUSED: 403,
  NOT_FOUND: 404,
  RESOURCE_LOCKED: 405,
  PRECONDITION_FAILED: 406,
  FRAME_ERROR: 501,
  SYNTAX_ERROR: 502,
  COMMAND_INVALID: 503,
  CHANNEL_ERROR: 504,
  UNEXPECTED_FRAME: 505,
  RESOURCE_ERROR: 506,
  NOT_ALLOWED: 530,
  NOT_IMPLEMENTED: 540,
  INTERNAL_ERROR: 541,
} as const

/** The name of a reply code: what a text starts with. */
export type ReplyName = keyof typeof ReplyCode

/** What an error ends. */
export type ErrorScope = 'channel' | 'connection'

/** An error a peer is told: `text` is whole (`NAME - explanation`) and at most 255 bytes of UTF-8. */
export interface PeerError {
  readonly scope: ErrorScope
  readonly code: number
  readonly text: string
}

/** Builds the error value a peer is told; `explanation` is what follows `NAME - `. */
export function peerError(scope: ErrorScope, name: ReplyName, explanation: string): PeerError {
  return { scope, code: ReplyCode[name], text: replyText(name, explanation) }
}

/** `peerError` that closes the channel. */
export function channelError(name: ReplyName, explanation: string): PeerError {
  return peerError('channel', name, explanation)
}

/** `peerError` that closes the connection. */
export function connectionError(name: ReplyName, explanation: string): PeerError {
  return peerError('connection', name, explanation)
}

/** `NAME - explanation`, cut so that it fits a shortstr. */
export function replyText(name: ReplyName, explanation: string): string {
  return cutToShortstr(`${name} - ${explanation}`)
}

// A shortstr holds 255 bytes; a longer text ends in three dots, as RabbitMQ's does.
const SHORTSTR_BYTES_MAX = 255
const ELLIPSIS = '...'

function cutToShortstr(text: string): string {
  // A UTF-16 unit takes at most 3 bytes of UTF-8, so short texts need no count.
  if (text.length * 3 <= SHORTSTR_BYTES_MAX) return text
  const bytes = new TextEncoder().encode(text)
  if (bytes.length <= SHORTSTR_BYTES_MAX) return text
  let end = SHORTSTR_BYTES_MAX - ELLIPSIS.length
  // 10xxxxxx bytes go on with a character: step back to its first byte, so none is cut in two.
  while (((bytes[end] as number) & 0xc0) === 0x80) end--
  return new TextDecoder().decode(bytes.subarray(0, end)) + ELLIPSIS
}

/** A consumer has not settled a delivery in time, in protocols whose consumers know of no channel. */
export function deliveryTimedOut(timeoutMs: number): PeerError {
  return channelError(
    'PRECONDITION_FAILED',
    `delivery acknowledgement timed out. Timeout value used: ${timeoutMs} ms`,
  )
}
