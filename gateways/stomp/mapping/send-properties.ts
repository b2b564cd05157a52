// The headers of a SEND as the properties of the message.

import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import type { Writer } from '../../../shared/bytes/writer.ts'
import { writeU16, writeU32 } from '../../../shared/bytes/writer.ts'
import type { Frame } from '../codec/frame.ts'
import { Escaped } from '../codec/frame.ts'
import { Header, headerName } from '../codec/header-name.ts'
import type { Failure } from './failure.ts'
import { processingError, refusal } from './failure.ts'

/** What the broker has to know of the sender. */
export interface Sender {
  readonly user: string
  /** May send under any user-id. */
  readonly impersonator: boolean
}

/** Headers of their own name, in the order of the property list; the flag of each. */
const properties: readonly (readonly [number, number, 'text' | 'octet' | 'time'])[] = [
  [Header.priority, 0x0800, 'octet'],
  [Header.correlationId, 0x0400, 'text'],
  [Header.replyTo, 0x0200, 'text'],
  [Header.expiration, 0x0100, 'text'],
  [Header.amqpMessageId, 0x0080, 'text'],
  [Header.timestamp, 0x0040, 'time'],
  [Header.type, 0x0020, 'text'],
  [Header.userId, 0x0010, 'text'],
  [Header.appId, 0x0008, 'text'],
]

const contentTypeFlag = 0x8000
const contentEncodingFlag = 0x4000
const headersFlag = 0x2000
const deliveryModeFlag = 0x1000

// By header id: 1 where a header of that name is no entry of the header table.
const apart = new Uint8Array(256)
apart[Header.destination] = 1
apart[Header.persistent] = 1
apart[Header.contentType] = 1
apart[Header.contentEncoding] = 1
for (const [id] of properties) apart[id] = 1

/**
 * Writes the properties of a SEND behind what `out` holds. `replyTo`, where given, takes the place
 * of that header. All other headers become entries of the header table, as text, and so do those
 * that concern only the frame (`receipt`, `content-length`): RabbitMQ keeps them.
 */
export function writeProperties(
  out: Writer,
  frame: Frame,
  sender: Sender,
  replyTo: string | undefined,
): Failure | undefined {
  const refused = checkUserId(frame, sender) ?? checkExpiration(frame)
  if (refused !== undefined) return refused
  try {
    const from = out.at
    out.u16(0)
    let flags = writeShortText(out, frame, Header.contentType, contentTypeFlag)
    flags |= writeShortText(out, frame, Header.contentEncoding, contentEncodingFlag)
    flags |= writeHeaders(out, frame)
    if (frame.is(Header.persistent, 'true')) {
      flags |= deliveryModeFlag
      out.u8(2)
    }
    for (const [id, flag, kind] of properties) {
      if (frame.find(id) < 0) continue
      flags |= flag
      if (id === Header.replyTo && replyTo !== undefined) out.shortstr(replyTo)
      else if (kind === 'text') writeShort(out, frame, frame.find(id))
      else if (kind === 'octet') out.u8(readInteger(frame, id, 255))
      else out.u64(readInteger(frame, id, Number.MAX_SAFE_INTEGER))
    }
    writeU16(out.bytes, from, flags)
    return undefined
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error
    return processingError(error.text)
  }
}

/** The whole number in a header; throws DecodeError for anything else. */
export function readInteger(frame: Frame, id: number, max: number): number {
  const text = frame.text(id)?.trim() ?? ''
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (!(value <= max)) unusable(headerName(id))
  return value
}

function writeShortText(out: Writer, frame: Frame, id: number, flag: number): number {
  const place = frame.find(id)
  if (place < 0) return 0
  writeShort(out, frame, place)
  return flag
}

function writeShort(out: Writer, frame: Frame, place: number): void {
  const sizeAt = out.reserve(1)
  const size = writeValue(out, frame, place)
  if (size > 255) unusable(frame.nameAt(place))
  out.bytes[sizeAt] = size
}

function writeHeaders(out: Writer, frame: Frame): number {
  let sizeAt = -1
  for (let place = 0; place < frame.count; place++) {
    if (apart[frame.ids[place] as number] === 1) continue
    const escaped = frame.escaped[place] as number
    if ((escaped & Escaped.repeated) !== 0) continue
    if (sizeAt < 0) sizeAt = out.reserve(4)
    writeName(out, frame, place, (escaped & Escaped.name) !== 0)
    out.u8(longstrTag)
    const valueAt = out.reserve(4)
    const size = writeValue(out, frame, place)
    writeU32(out.bytes, valueAt, size)
  }
  if (sizeAt < 0) return 0
  writeU32(out.bytes, sizeAt, out.at - sizeAt - 4)
  return headersFlag
}

function writeName(out: Writer, frame: Frame, place: number, escaped: boolean): void {
  const sizeAt = out.reserve(1)
  const from = frame.nameFrom[place] as number
  const to = frame.nameTo[place] as number
  const size = copyText(out, frame, from, to, escaped)
  if (size > 255) throw new DecodeError(0, 'a header name is longer than 255 bytes')
  // The broker looks for further routing keys under these names, and they are lists there.
  if (size === 2 || size === 3) refuseSelector(frame.nameAt(place))
  out.bytes[sizeAt] = size
}

function writeValue(out: Writer, frame: Frame, place: number): number {
  const from = frame.valueFrom[place] as number
  const to = frame.valueTo[place] as number
  return copyText(out, frame, from, to, ((frame.escaped[place] as number) & Escaped.value) !== 0)
}

// Copies a name or value without its escapes; returns the size.
function copyText(out: Writer, frame: Frame, from: number, to: number, escaped: boolean): number {
  const { bytes, at } = frame
  const start = out.reserve(to - from)
  const target = out.bytes
  let k = start
  if (!escaped) {
    for (let i = at + from; i < at + to; i++) target[k++] = bytes[i] as number
    return to - from
  }
  for (let i = at + from; i < at + to; i++) {
    let byte = bytes[i] as number
    if (byte === backslash) {
      i++
      byte = unescaped(bytes[i] as number)
    }
    target[k++] = byte
  }
  out.at = k
  return k - start
}

function unescaped(letter: number): number {
  if (letter === 0x6e) return 0x0a
  if (letter === 0x72) return 0x0d
  return letter === 0x63 ? 0x3a : backslash
}

function checkUserId(frame: Frame, sender: Sender): Failure | undefined {
  const given = frame.text(Header.userId)
  if (given === undefined || given === sender.user || sender.impersonator) return undefined
  const text = `user_id property set to '${given}' but authenticated user was '${sender.user}'`
  return refusal({ scope: 'channel', code: 406, text: `PRECONDITION_FAILED - ${text}` })
}

function checkExpiration(frame: Frame): Failure | undefined {
  const given = frame.text(Header.expiration)
  if (given === undefined) return undefined
  if (/^\d{1,12}$/.test(given) && Number(given) <= expirationMsMax) return undefined
  const reason = /^\d+$/.test(given) ? `{value_too_large,${given}}` : 'no_integer'
  const text = `PRECONDITION_FAILED - invalid expiration '${given}': ${reason}`
  return refusal({ scope: 'channel', code: 406, text })
}

function refuseSelector(name: string): void {
  if (name !== 'CC' && name !== 'BCC') return
  throw new DecodeError(0, `the header '${name}' is reserved`)
}

function unusable(name: string): never {
  throw new DecodeError(0, `the header '${name}' has a value that cannot be taken over`)
}

/** Ten years, RabbitMQ's limit for times to live. */
const expirationMsMax = 315_360_000_000

const backslash = 0x5c
const longstrTag = 0x53
