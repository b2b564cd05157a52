// The properties of a message as the header lines of a MESSAGE.

import { readU16, readU32 } from '../../../shared/bytes/reader.ts'
import { decodeUtf8Lossy, encodeUtf8 } from '../../../shared/bytes/utf8.ts'
import type { Writer } from '../../../shared/bytes/writer.ts'
import { formatReplyTo } from './destination.ts'

// The order of the property list, with the name of each line; the header table comes last.
const texts: readonly (readonly [number, Uint8Array])[] = [
  [0x0400, encodeUtf8('correlation-id:')],
  [0x0200, encodeUtf8('reply-to:')],
  [0x0100, encodeUtf8('expiration:')],
  [0x0080, encodeUtf8('amqp-message-id:')],
  [0x0040, encodeUtf8('timestamp:')],
  [0x0020, encodeUtf8('type:')],
  [0x0010, encodeUtf8('user-id:')],
  [0x0008, encodeUtf8('app-id:')],
]

const contentType = encodeUtf8('content-type:')
const contentEncoding = encodeUtf8('content-encoding:')
const persistent = encodeUtf8('persistent:true\n')
const priority = encodeUtf8('priority:')

/** Names that a MESSAGE has of its own: a publisher must not forge them. */
const reserved: readonly Uint8Array[] = [
  'subscription',
  'destination',
  'message-id',
  'redelivered',
  'ack',
  'content-length',
].map(encodeUtf8)

/**
 * Writes the lines for `props[at..at + size)`, which are well-formed (shared/message/properties.ts),
 * behind what `out` holds.
 */
export function writeMessageHeaders(
  out: Writer,
  props: Uint8Array,
  at: number,
  size: number,
): void {
  if (size < 2) return
  const flags = readU16(props, at)
  let from = at + 2
  if ((flags & 0x8000) !== 0) from = writeShortLine(out, contentType, props, from)
  if ((flags & 0x4000) !== 0) from = writeShortLine(out, contentEncoding, props, from)
  const tableAt = (flags & 0x2000) === 0 ? -1 : from
  if (tableAt >= 0) from += 4 + readU32(props, from)
  if ((flags & 0x1000) !== 0) {
    if (props[from] === 2) out.raw(persistent)
    from++
  }
  if ((flags & 0x0800) !== 0) {
    writeLine(out, priority, String(props[from]))
    from++
  }
  for (const [flag, name] of texts) {
    if ((flags & flag) === 0) continue
    if (flag === 0x0040) {
      const high = readU32(props, from)
      const seconds = high * 2 ** 32 + readU32(props, from + 4)
      writeLine(out, name, String(seconds))
      from += 8
    } else if (flag === 0x0200) {
      const end = from + 1 + (props[from] as number)
      writeLine(out, name, formatReplyTo(decodeUtf8Lossy(props, from + 1, end)))
      from = end
    } else {
      from = writeShortLine(out, name, props, from)
    }
  }
  if (tableAt >= 0) writeTable(out, props, tableAt + 4, tableAt + 4 + readU32(props, tableAt))
}

// Texts, integers and booleans; what STOMP cannot say in a line is left out.
function writeTable(out: Writer, props: Uint8Array, from: number, end: number): void {
  let i = from
  while (i < end) {
    const keyAt = i + 1
    const keyEnd = keyAt + (props[i] as number)
    const type = props[keyEnd] as number
    const valueAt = keyEnd + 1
    const size = valueSize(props, type, valueAt)
    if (!isReserved(props, keyAt, keyEnd)) {
      const start = out.at
      writeEscaped(out, props, keyAt, keyEnd)
      out.u8(colon)
      if (type === longstrTag) writeEscaped(out, props, valueAt + 4, valueAt + size)
      else if (!writePlainValue(out, props, type, valueAt)) out.at = start
      if (out.at > start) out.u8(lf)
    }
    i = valueAt + size
  }
}

function writePlainValue(out: Writer, props: Uint8Array, type: number, at: number): boolean {
  const view = Buffer.from(props.buffer, props.byteOffset + at, props.length - at)
  const text = plainText(String.fromCodePoint(type), view)
  if (text !== undefined) out.raw(encodeUtf8(text))
  return text !== undefined
}

function plainText(type: string, value: Buffer): string | undefined {
  switch (type) {
    case 't':
      return value.readUInt8() === 0 ? 'false' : 'true'
    case 'b':
      return String(value.readInt8())
    case 'B':
      return String(value.readUInt8())
    case 's':
      return String(value.readInt16BE())
    case 'u':
      return String(value.readUInt16BE())
    case 'I':
      return String(value.readInt32BE())
    case 'i':
      return String(value.readUInt32BE())
    case 'l':
      return String(value.readBigInt64BE())
    default:
      return undefined
  }
}

// Bytes of a table value behind its type.
function valueSize(props: Uint8Array, type: number, at: number): number {
  switch (String.fromCodePoint(type)) {
    case 't':
    case 'b':
    case 'B':
      return 1
    case 's':
    case 'u':
      return 2
    case 'I':
    case 'i':
    case 'f':
      return 4
    case 'l':
    case 'd':
    case 'T':
      return 8
    case 'D':
      return 5
    case 'V':
      return 0
    default:
      // S, x, A, F: the size comes first.
      return 4 + readU32(props, at)
  }
}

function isReserved(props: Uint8Array, from: number, to: number): boolean {
  for (const name of reserved) {
    if (name.length !== to - from) continue
    let i = 0
    while (i < name.length && name[i] === props[from + i]) i++
    if (i === name.length) return true
  }
  return false
}

function writeLine(out: Writer, name: Uint8Array, text: string): void {
  out.raw(name)
  const bytes = encodeUtf8(text)
  writeEscaped(out, bytes, 0, bytes.length)
  out.u8(lf)
}

function writeShortLine(out: Writer, name: Uint8Array, props: Uint8Array, at: number): number {
  const end = at + 1 + (props[at] as number)
  out.raw(name)
  writeEscaped(out, props, at + 1, end)
  out.u8(lf)
  return end
}

/** Writes `bytes[from..to)` with the escapes of a header; RabbitMQ uses them in every version. */
export function writeEscaped(out: Writer, bytes: Uint8Array, from: number, to: number): void {
  const start = out.reserve((to - from) * 2)
  const target = out.bytes
  let k = start
  for (let i = from; i < to; i++) {
    const byte = bytes[i] as number
    const letter = escapeLetter(byte)
    if (letter !== 0) target[k++] = backslash
    target[k++] = letter === 0 ? byte : letter
  }
  out.at = k
}

function escapeLetter(byte: number): number {
  if (byte === colon) return 0x63
  if (byte === backslash) return backslash
  if (byte === lf) return 0x6e
  return byte === 0x0d ? 0x72 : 0
}

/** A header value with its escapes. */
export function escapeHeader(text: string): string {
  return text.replaceAll(/[\\:\n\r]/g, (found) => {
    if (found === ':') return '\\c'
    if (found === '\n') return '\\n'
    return found === '\r' ? '\\r' : '\\\\'
  })
}

const lf = 0x0a
const colon = 0x3a
const backslash = 0x5c
const longstrTag = 0x53
