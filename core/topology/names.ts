// Names of queues and exchanges: which are reserved, and those the broker makes up.

import { Buffer } from 'node:buffer'
import type { PeerError } from '../../shared/errors.ts'
import { channelError } from '../../shared/errors.ts'

/** The pseudo queue of direct reply-to, and the start of the real names behind it. */
export const DIRECT_REPLY_TO = 'amq.rabbitmq.reply-to'

const RESERVED_PREFIX = 'amq.'
// 128 bits: nobody guesses a name; 22 characters of base64url.
const GENERATED_NAME_BYTES = 16

/** CR and LF are taken out of names, as RabbitMQ does. */
export function stripLineBreaks(name: string): string {
  return name.replace(/[\r\n]/g, '')
}

/** The 403 for making something whose name is reserved, or undefined. */
export function reservedName(kind: 'exchange' | 'queue', name: string): PeerError | undefined {
  if (!name.startsWith(RESERVED_PREFIX)) return undefined
  return channelError(
    'ACCESS_REFUSED',
    `${kind} name '${name}' contains reserved prefix '${RESERVED_PREFIX}*'`,
  )
}

/** `prefix` and 22 random characters: `amq.gen-...`, `amq.ctag-...`. */
export function generatedName(prefix: string, randomBytes: (size: number) => Uint8Array): string {
  const random = Buffer.from(randomBytes(GENERATED_NAME_BYTES)).toString('base64url')
  return `${prefix}-${random}`
}
