// SASL, alike in AMQP 0-9-1, AMQP 1.0 and the stream protocol: which mechanisms are offered, and
// responses to credentials.

import { Buffer } from 'node:buffer'
import { DecodeError } from '../bytes/decode-error.ts'
import { Reader } from '../bytes/reader.ts'
import { Writer } from '../bytes/writer.ts'
import { ReplyCode } from '../errors.ts'
import { readTable } from '../message/field-table.ts'
import type { FieldValue } from '../message/value.ts'
import { fieldOf, textOf } from '../message/value.ts'

/** What a protocol's settings say of it. */
export interface SaslSettings {
  readonly mechanisms: readonly string[]
  readonly anonymousUser: string
  readonly anonymousPassword: string
}

/** Who the client says it is; `password` is undefined where the transport has proved it. */
export interface Credentials {
  readonly user: string
  readonly password: string | undefined
}

/** In what the protocols' readers differ; without it, what RabbitMQ takes. */
export interface SaslForms {
  /** PLAIN: the user may stand as its own authorization identity. */
  readonly ownIdentity?: boolean
  /** AMQPLAIN: a byte array is as good as a longstr. */
  readonly byteArrays?: boolean
}

/** The mechanisms for a connection, in order of preference; `certificateUser` as in the host's Peer. */
export function offeredMechanisms(
  settings: SaslSettings,
  certificateUser: string | undefined,
): readonly string[] {
  return settings.mechanisms.filter((name) => {
    if (name === 'EXTERNAL') return certificateUser !== undefined
    if (name !== 'ANONYMOUS') return true
    return settings.anonymousUser !== 'none' && settings.anonymousPassword !== 'none'
  })
}

/** The credentials in the client's (first) response, or undefined where it is malformed. */
export function readCredentials(
  mechanism: string,
  response: Uint8Array,
  settings: SaslSettings,
  certificateUser: string | undefined,
  forms: SaslForms = {},
): Credentials | undefined {
  switch (mechanism) {
    case 'PLAIN':
      return readPlain(response, forms.ownIdentity === true)
    case 'AMQPLAIN':
      return readAmqplain(response, forms.byteArrays === true)
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

// RFC 4616: authorization identity, NUL, user, NUL, password. Acting for another user is not offered:
// the first is left out or, with `ownIdentity`, the same. RabbitMQ takes no other form than the former.
function readPlain(response: Uint8Array, ownIdentity: boolean): Credentials | undefined {
  const parts = Buffer.from(response).toString('utf8').split('\0')
  const [authorization, user, password] = parts
  if (parts.length !== 3 || user === undefined) return undefined
  const isFor = authorization === '' || (ownIdentity && authorization === user)
  return isFor ? { user, password } : undefined
}

// The entries of a field table without the size that usually goes in front.
function readAmqplain(response: Uint8Array, byteArrays: boolean): Credentials | undefined {
  const writer = new Writer(response.length + 4)
  writer.longBytes(response)
  try {
    const table = readTable(new Reader(writer.bytes, 0, writer.at, ReplyCode.SYNTAX_ERROR))
    const read = byteArrays ? textIn : textOf
    const user = read(fieldOf(table, 'LOGIN'))
    const password = read(fieldOf(table, 'PASSWORD'))
    return user === undefined || password === undefined ? undefined : { user, password }
  } catch (error) {
    if (error instanceof DecodeError) return undefined
    throw error
  }
}

// A longstr, or a byte array with the same bytes.
function textIn(field: FieldValue | undefined): string | undefined {
  if (field?.type !== 'S' && field?.type !== 'x') return undefined
  return typeof field.value === 'string' ? field.value : Buffer.from(field.value).toString('utf8')
}
