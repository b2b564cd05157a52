// SASL: which mechanisms are offered, and responses to credentials.

import type { Buffer } from 'node:buffer'
import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import { Reader } from '../../../shared/bytes/reader.ts'
import { Writer } from '../../../shared/bytes/writer.ts'
import { readTable } from '../../../shared/message/field-table.ts'
import { fieldOf, textOf } from '../../../shared/message/value.ts'
import type { StreamProtocolSettings } from './settings.ts'

/** Who the client says it is; `password` is undefined where the transport has proved it. */
export interface Credentials {
  readonly user: string
  readonly password: string | undefined
}

/** The mechanisms for a connection; `certificateUser` as in the host's Peer. */
export function offeredMechanisms(
  settings: StreamProtocolSettings,
  certificateUser: string | undefined,
): readonly string[] {
  return settings.mechanisms.filter((name) => {
    if (name === 'EXTERNAL') return certificateUser !== undefined
    if (name !== 'ANONYMOUS') return true
    return settings.anonymousUser !== 'none' && settings.anonymousPassword !== 'none'
  })
}

/** The credentials in a response, undefined where it is malformed. */
export function readCredentials(
  mechanism: string,
  response: Buffer,
  settings: StreamProtocolSettings,
  certificateUser: string | undefined,
): Credentials | undefined {
  switch (mechanism) {
    case 'PLAIN': {
      // RFC 4616 without the authorization identity: NUL user NUL password.
      const [first, user, password, ...more] = response.toString('utf8').split('\0')
      if (first !== '' || user === undefined || more.length > 0) return undefined
      return password === undefined ? undefined : { user, password }
    }
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

// The entries of a field table without the size that usually goes in front.
function readAmqplain(response: Buffer): Credentials | undefined {
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
