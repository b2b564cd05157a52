// The properties of a publish that mean something to the broker: user-id, expiration, CC and BCC,
// reply-to. Most publishes have none of them and never come here.

import { Buffer } from 'node:buffer'
import { Reader } from '../../../shared/bytes/reader.ts'
import { decodeUtf8Lossy } from '../../../shared/bytes/utf8.ts'
import { Writer } from '../../../shared/bytes/writer.ts'
import type { PeerError } from '../../../shared/errors.ts'
import { ReplyCode } from '../../../shared/errors.ts'
import { readValue } from '../../../shared/message/field-table.ts'
import type { PropertyScan } from '../../../shared/message/properties.ts'
import { withoutHeader, withReplyTo } from '../../../shared/message/properties.ts'
import type { FieldValue } from '../../../shared/message/value.ts'
import { fieldTypeName } from '../../../shared/message/value.ts'
import {
  invalidExpiration,
  invalidSelectorHeader,
  noReplyConsumer,
  wrongUserId,
} from '../mapping/refusals.ts'
import { replyToName } from '../mapping/reply-to.ts'
import type { ConnectionContext } from './connection-context.ts'

/** What a channel knows that properties refer to. */
export interface PublishFacts {
  /** What to put in place of the reply-to pseudo queue's name; undefined: the channel has no reply consumer. */
  readonly replyTo: string | undefined
}

/** Properties after they were looked at: verbatim, or rewritten; and further routing keys. */
export class Special {
  props: Uint8Array
  propsAt: number
  propsSize: number
  /** Count byte and shortstrs (wire.ts); empty where there are no further keys. */
  extra: Uint8Array

  constructor() {
    this.props = noBytes
    this.propsAt = 0
    this.propsSize = 0
    this.extra = noBytes
  }

  /** Takes the properties as they came. */
  set(props: Uint8Array, at: number, size: number): void {
    this.replace(props, at, size)
    this.extra = noBytes
  }

  replace(props: Uint8Array, at: number, size: number): void {
    this.props = props
    this.propsAt = at
    this.propsSize = size
  }
}

// HOT: once per publish
/** Whether any property needs a look. */
export function isSpecial(scan: PropertyScan): boolean {
  return (
    scan.userIdAt >= 0 ||
    scan.expirationAt >= 0 ||
    scan.replyToAt >= 0 ||
    scan.ccAt >= 0 ||
    scan.bccAt >= 0
  )
}

/** Checks and rewrites the properties that `special` points to; `scan` has scanned them. */
export function checkProperties(
  context: ConnectionContext,
  channel: PublishFacts,
  scan: PropertyScan,
  special: Special,
): PeerError | undefined {
  const { props } = special
  const error = checkUserId(context, scan, props) ?? checkExpiration(scan, props)
  if (error !== undefined) return error
  if (scan.ccAt >= 0 || scan.bccAt >= 0) {
    const refusal = takeFurtherKeys(scan, special)
    if (refusal !== undefined) return refusal
  }
  const { replyToAt, replyToSize } = scan
  if (replyToAt >= 0 && isText(props, replyToAt, replyToSize, replyToName)) {
    if (channel.replyTo === undefined) return noReplyConsumer()
    const { props: bytes, propsAt, propsSize } = special
    const rewritten = withReplyTo(bytes, propsAt, propsSize, channel.replyTo)
    special.replace(rewritten, 0, rewritten.length)
  }
  return undefined
}

function checkUserId(
  context: ConnectionContext,
  scan: PropertyScan,
  props: Uint8Array,
): PeerError | undefined {
  const { userIdAt, userIdSize } = scan
  if (userIdAt < 0 || context.impersonator) return undefined
  const { userBytes } = context
  let same = userIdSize === userBytes.length
  for (let i = 0; same && i < userIdSize; i++) same = props[userIdAt + i] === userBytes[i]
  if (same) return undefined
  return wrongUserId(decodeUtf8Lossy(props, userIdAt, userIdAt + userIdSize), context.user)
}

// Digits within the limit pass without a string being made.
function checkExpiration(scan: PropertyScan, props: Uint8Array): PeerError | undefined {
  const { expirationAt, expirationSize } = scan
  if (expirationAt < 0) return undefined
  let value = 0
  let digits = 0
  for (let i = expirationAt; i < expirationAt + expirationSize; i++) {
    const digit = (props[i] as number) - 0x30
    if (digit < 0 || digit > 9) break
    value = value * 10 + digit
    digits++
  }
  if (digits > 0 && digits === expirationSize && value <= expirationMsMax) return undefined
  const text = decodeUtf8Lossy(props, expirationAt, expirationAt + expirationSize)
  return checkUnusualExpiration(text)
}

// A sign is allowed in front. The reasons are those that RabbitMQ prints.
function checkUnusualExpiration(text: string): PeerError | undefined {
  const number = /^[+-]?[0-9]+/.exec(text)?.[0]
  if (number === undefined) return invalidExpiration(text, 'no_integer')
  if (number.length < text.length) {
    const rest = JSON.stringify(text.slice(number.length))
    return invalidExpiration(text, `{leftover_string,${rest}}`)
  }
  const value = BigInt(number.startsWith('+') ? number.slice(1) : number)
  if (value < 0n) return invalidExpiration(text, `{value_negative,${value}}`)
  if (value > BigInt(expirationMsMax)) {
    return invalidExpiration(text, `{value_too_large,${value}}`)
  }
  return undefined
}

// CC and BCC hold further routing keys; BCC is not stored.
function takeFurtherKeys(scan: PropertyScan, special: Special): PeerError | undefined {
  const { props, propsAt, propsSize } = special
  const end = propsAt + propsSize
  const keys: (string | Uint8Array)[] = []
  for (const [header, at] of [
    ['CC', scan.ccAt],
    ['BCC', scan.bccAt],
  ] as const) {
    if (at < 0) continue
    const value = readValue(new Reader(props, at, end, ReplyCode.FRAME_ERROR))
    if (value.type !== 'A') return invalidSelectorHeader(header, fieldTypeName(value.type))
    const error = addKeys(header, value.value, keys)
    if (error !== undefined) return error
  }
  if (keys.length > 0) special.extra = encodeKeys(keys)
  if (scan.bccAt >= 0) {
    const rewritten = withoutHeader(props, propsAt, propsSize, 'BCC')
    special.replace(rewritten, 0, rewritten.length)
  }
  return undefined
}

function addKeys(
  header: string,
  values: readonly FieldValue[],
  keys: (string | Uint8Array)[],
): PeerError | undefined {
  for (const value of values) {
    if (value.type !== 'S') continue
    // A routing key is a shortstr everywhere else; the count is one byte on the bus.
    const size =
      typeof value.value === 'string' ? Buffer.byteLength(value.value) : value.value.length
    if (size > 255) return invalidSelectorHeader(header, 'key_too_long')
    if (keys.length === 255) return invalidSelectorHeader(header, 'too_many_keys')
    keys.push(value.value)
  }
  return undefined
}

function encodeKeys(keys: readonly (string | Uint8Array)[]): Uint8Array {
  const writer = new Writer(64)
  writer.u8(keys.length)
  for (const key of keys) {
    if (typeof key === 'string') {
      writer.shortstr(key)
    } else {
      writer.u8(key.length)
      writer.raw(key)
    }
  }
  return writer.finish()
}

function isText(bytes: Uint8Array, at: number, size: number, text: string): boolean {
  if (size !== text.length) return false
  for (let i = 0; i < size; i++) {
    if (bytes[at + i] !== text.codePointAt(i)) return false
  }
  return true
}

/** Ten years, RabbitMQ's limit for times to live. */
const expirationMsMax = 315_360_000_000

const noBytes = new Uint8Array(0)
