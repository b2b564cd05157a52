// SASL: which mechanisms are offered, and responses to credentials.

import { Buffer } from 'node:buffer'
import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import { Reader } from '../../../shared/bytes/reader.ts'
import { Writer } from '../../../shared/bytes/writer.ts'
import { readTable } from '../../../shared/message/field-table.ts'
import { fieldOf, textOf } from '../../../shared/message/value.ts'
import type { Amqp10Settings } from './settings.ts'

/** Who the client says it is; `password` is undefined where the transport has proved it. */
export interface Credentials {
  readonly user: string
  readonly password: string | undefined
}

/** Codes of sasl-outcome that are used. */
export const SaslCode = { ok: 0, auth: 1 } as const

/** The mechanisms for a connection, in order of preference; `certificateUser` as in the host's Peer. */
export function offeredMechanisms(
  settings: Amqp10Settings,
  certificateUser: string | undefined,
): readonly string[] {
  return settings.mechanisms.filter((name) => {
    if (name === 'EXTERNAL') return certificateUser !== undefined
    if (name !== 'ANONYMOUS') return true
    return settings.anonymousUser !== 'none' && settings.anonymousPassword !== 'none'
  })
}

/** The credentials in an initial response, or undefined where it is malformed. */
export function readCredentials(
  mechanism: string,
  response: Uint8Array,
  settings: Amqp10Settings,
  certificateUser: string | undefined,
): Credentials | undefined {
  switch (mechanism) {
    case 'PLAIN':
      return readPlain(response)
    case 'AMQPLAIN':
      return readAmqplain(response)
    case 'ANONYMOUS':
      return { user: settings.anonymousUser, password: settings.anonymousPassword }
    case 'EXTERNAL':
      return certificateUser === undefined
        ? undefined
        : { user: certificateUser, password: undefined }
    default:
      return undefined
  }
}

// RFC 4616: authorization identity, NUL, user, NUL, password. Acting for another user is not offered,
// so the first may only be left out or be the same.
function readPlain(response: Uint8Array): Credentials | undefined {
  const [authorization, user, password, ...more] = Buffer.from(response)
    .toString('utf8')
    .split('\0')
  if (user === undefined || password === undefined || more.length > 0) return undefined
  return authorization === '' || authorization === user ? { user, password } : undefined
}

// The entries of a 0-9-1 table without the size that usually goes in front.
function readAmqplain(response: Uint8Array): Credentials | undefined {
  const writer = new Writer(response.length + 4)
  writer.longBytes(response)
  try {
    const table = readTable(new Reader(writer.bytes, 0, writer.at))
    const user = textOf(fieldOf(table, 'LOGIN'))
    const password = textOf(fieldOf(table, 'PASSWORD'))
    return user === undefined || password === undefined ? undefined : { user, password }
  } catch (error) {
    if (error instanceof DecodeError) return undefined
    throw error
  }
}
