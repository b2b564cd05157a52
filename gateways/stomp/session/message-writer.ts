// From an entry in a slab to a MESSAGE. Most of a head is like that of the message before: the lines
// made of exchange and routing key, and those made of the properties, are kept with the bytes that
// they were made of, and made anew when these differ.

import type { GatewayLink } from '../../../shared/bus/gateway-port.ts'
import { copyBytes } from '../../../shared/bytes/copy.ts'
import { encodeUtf8 } from '../../../shared/bytes/utf8.ts'
import { viewOf } from '../../../shared/bytes/view.ts'
import { Writer } from '../../../shared/bytes/writer.ts'
import { copyOut, inlineMax, writeEntryBody } from '../../host/entry-output.ts'
import { writeDecimal } from '../codec/frame-writer.ts'
import { formatDestination } from '../mapping/destination.ts'
import { escapeHeader, writeMessageHeaders } from '../mapping/message-headers.ts'
import type { StompContext } from './context.ts'

/** Writes the messages of one subscription. */
export class MessageWriter {
  /** `tag@@session@@`, what message ids begin with, as clients give it back. */
  readonly idPrefix: Uint8Array
  private readonly context: StompContext
  private readonly start: string
  private readonly ackLine: Uint8Array
  private readonly end: Uint8Array
  // Made of `names`: from the command up to the delivery tag.
  private names: Uint8Array
  private head: Uint8Array
  // Made of `props`: the lines of properties and headers.
  private props: Uint8Array
  private readonly lines: Writer

  /** `tag` as in message ids; `id` of the subscription, if it has one; `acks`: MESSAGE says what to ACK. */
  constructor(context: StompContext, tag: string, id: string | undefined, acks: boolean) {
    const prefix = `${tag}@@${context.session}@@`
    this.context = context
    this.idPrefix = encodeUtf8(prefix)
    this.start = id === undefined ? 'MESSAGE\n' : `MESSAGE\nsubscription:${escapeHeader(id)}\n`
    this.ackLine = encodeUtf8(acks ? `ack:${escapeHeader(prefix)}` : '')
    this.end = context.settings.trailingLineFeed ? frameEnd : frameEnd.subarray(0, 1)
    this.names = noBytes
    this.head = noBytes
    this.props = noBytes
    this.lines = new Writer(0)
  }

  // HOT: once per delivery
  /** Writes the message whose entry words begin at `at` in `link.words`. */
  write(link: GatewayLink, at: number, tag: number, redelivered: boolean): void {
    const { words } = link
    const { out, port } = this.context
    const entry = port.arena.slab(words[at] as number)
    const entryAt = words[at + 1] as number
    const exrkSize = words[at + 2] as number
    const propsSize = words[at + 4] as number
    const bodySize = words[at + 5] as number
    const propsAt = entryAt + exrkSize + (words[at + 3] as number)
    if (!isSame(entry, entryAt, exrkSize, this.names)) this.setNames(entry, entryAt, exrkSize)
    if (!isSame(entry, propsAt, propsSize, this.props)) this.setProps(entry, propsAt, propsSize)
    const { head, lines } = this
    const headSize = head.length + lines.at + this.ackLine.length + fixedSize
    if (headSize + bodySize <= inlineMax && words[at + 6] === 0) {
      out.reserve(headSize + bodySize)
      const bytes = out.bytes
      let to = this.writeHead(bytes, out.at, tag, redelivered, bodySize)
      copyBytes(entry, propsAt + propsSize, bytes, to, bodySize)
      to += bodySize
      for (let i = 0; i < this.end.length; i++) bytes[to++] = this.end[i] as number
      out.at = to
    } else {
      const scratch = new Uint8Array(headSize)
      copyOut(out, scratch, 0, this.writeHead(scratch, 0, tag, redelivered, bodySize))
      writeEntryBody(out, port, link, at)
      copyOut(out, this.end, 0, this.end.length)
    }
    this.context.touch()
  }

  private writeHead(
    bytes: Uint8Array,
    at: number,
    tag: number,
    redelivered: boolean,
    bodySize: number,
  ): number {
    const { head, lines, ackLine } = this
    copyBytes(head, 0, bytes, at, head.length)
    let to = writeDecimal(bytes, at + head.length, tag)
    const line = redelivered ? redeliveredTrue : redeliveredFalse
    copyBytes(line, 0, bytes, to, line.length)
    to += line.length
    if (ackLine.length > 0) {
      copyBytes(ackLine, 0, bytes, to, ackLine.length)
      to = writeDecimal(bytes, to + ackLine.length, tag)
      bytes[to++] = lf
    }
    if (lines.at > 0) {
      copyBytes(lines.bytes, 0, bytes, to, lines.at)
      to += lines.at
    }
    if (bodySize > 0) {
      copyBytes(contentLength, 0, bytes, to, contentLength.length)
      to = writeDecimal(bytes, to + contentLength.length, bodySize)
      bytes[to++] = lf
    }
    bytes[to++] = lf
    return to
  }

  private setNames(entry: Uint8Array, at: number, size: number): void {
    this.names = new Uint8Array(entry.subarray(at, at + size))
    const { names } = this
    const exchangeSize = names[0] as number
    const destination = formatDestination(
      names.subarray(1, 1 + exchangeSize),
      names.subarray(exchangeSize + 2),
    )
    const text = `${this.start}destination:${escapeHeader(destination)}\nmessage-id:`
    this.head = encodeUtf8(text + escapeHeader(Buffer.from(this.idPrefix).toString('utf8')))
  }

  private setProps(entry: Uint8Array, at: number, size: number): void {
    if (size !== this.props.length) this.props = new Uint8Array(size)
    this.props.set(entry.subarray(at, at + size))
    this.lines.at = 0
    writeMessageHeaders(this.lines, this.props, 0, size)
  }
}

// HOT: twice per delivery
function isSame(bytes: Uint8Array, at: number, size: number, other: Uint8Array): boolean {
  if (size !== other.length) return false
  const a = viewOf(bytes)
  const b = viewOf(other)
  let i = 0
  for (; i + 4 <= size; i += 4) if (a.getInt32(at + i) !== b.getInt32(i)) return false
  for (; i < size; i++) if (a.getUint8(at + i) !== b.getUint8(i)) return false
  return true
}

const redeliveredFalse = encodeUtf8('\nredelivered:false\n')
const redeliveredTrue = encodeUtf8('\nredelivered:true\n')
const contentLength = encodeUtf8('content-length:')
const frameEnd = encodeUtf8('\0\n')
const noBytes = new Uint8Array(0)
const lf = 0x0a

/** Two delivery tags, `redelivered`, `content-length` and the ends of lines and frame, at most. */
const fixedSize = 100
