// One frame as it lies in the bytes that came, and its parser.
//
//   command EOL | ( name ":" value EOL )* | EOL | body | NUL         EOL: LF or CR LF
//
// With content-length the body has that many bytes and may hold NULs; without it ends at the first.
// Nothing is copied: the columns hold positions, counted from the frame's first byte, so that they
// stay right when the bytes move. STOMP 1.2, "Augmented BNF".

import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import { commandId } from './command.ts'
import { Header, headerCount, headerId } from './header-name.ts'

/** As RabbitMQ: more headers than this end the connection. */
export const headersMax = 100

/** What `parse` found. */
export const Parsed = {
  /** The head has not ended. */
  head: 0,
  /** The body has not ended; `missing` more bytes will do, or -1: it ends at a NUL. */
  body: 1,
  whole: 2,
} as const
export type Parsed = (typeof Parsed)[keyof typeof Parsed]

/** The frame that was parsed last. One per thread: it is used up before the next is parsed. */
export class Frame {
  bytes: Uint8Array
  /** Of the frame's first byte in `bytes`. */
  at: number
  /** From `at`: where the command ends, the body begins, the frame ends (behind its NUL). */
  commandSize: number
  bodyFrom: number
  bodySize: number
  size: number
  command: number
  /** Headers; of a repeated one only the first counts, the others are marked as `repeated`. */
  count: number
  readonly ids: Uint8Array
  readonly nameFrom: Int32Array
  readonly nameTo: Int32Array
  readonly valueFrom: Int32Array
  readonly valueTo: Int32Array
  /** Bits of `Escaped`. */
  readonly escaped: Uint8Array
  missing: number
  // By header id: its place, or -1.
  private readonly places: Int8Array

  constructor() {
    this.bytes = noBytes
    this.at = 0
    this.commandSize = 0
    this.bodyFrom = 0
    this.bodySize = 0
    this.size = 0
    this.command = 0
    this.count = 0
    this.ids = new Uint8Array(headersMax)
    this.nameFrom = new Int32Array(headersMax)
    this.nameTo = new Int32Array(headersMax)
    this.valueFrom = new Int32Array(headersMax)
    this.valueTo = new Int32Array(headersMax)
    this.escaped = new Uint8Array(headersMax)
    this.missing = 0
    this.places = new Int8Array(headerCount).fill(-1)
  }

  // HOT: once per frame that is not like the one before
  /**
   * Parses `bytes[at..end)`, which begins with the command. `trim`: values lose leading spaces
   * (STOMP 1.0). Throws DecodeError for what no frame can begin with.
   */
  parse(bytes: Uint8Array, at: number, end: number, trim: boolean): Parsed {
    this.bytes = bytes
    this.at = at
    this.missing = -1
    for (let i = 0; i < this.count; i++) this.places[this.ids[i] as number] = -1
    this.count = 0
    let i = at
    while (i < end && bytes[i] !== lf) i++
    if (i === end) return Parsed.head
    const commandTo = i > at && bytes[i - 1] === cr ? i - 1 : i
    this.commandSize = commandTo - at
    this.command = commandId(bytes, at, commandTo)
    i++
    for (;;) {
      if (i === end) return Parsed.head
      const first = bytes[i] as number
      if (first === lf) {
        i += 1
        break
      }
      if (first === cr) {
        if (i + 1 === end) return Parsed.head
        if (bytes[i + 1] !== lf) malformed('a header name with a carriage return')
        i += 2
        break
      }
      i = this.parseHeader(bytes, i, end, trim)
      if (i < 0) return Parsed.head
    }
    return this.parseBody(bytes, i, end)
  }

  /** The place of a header, or -1. */
  find(id: number): number {
    return this.places[id] as number
  }

  /** The value of a header, undefined where it is absent. */
  text(id: number): string | undefined {
    const place = this.places[id] as number
    return place < 0 ? undefined : this.valueAt(place)
  }

  /** The name of the header in `place`. */
  nameAt(place: number): string {
    const unescaped = ((this.escaped[place] as number) & Escaped.name) !== 0
    return this.read(this.nameFrom[place] as number, this.nameTo[place] as number, unescaped)
  }

  /** The value of the header in `place`. */
  valueAt(place: number): string {
    const unescaped = ((this.escaped[place] as number) & Escaped.value) !== 0
    return this.read(this.valueFrom[place] as number, this.valueTo[place] as number, unescaped)
  }

  /** The value of the first header of that name, for names without an id. */
  other(name: string): string | undefined {
    for (let i = 0; i < this.count; i++) {
      if (this.ids[i] === Header.other && this.nameAt(i) === name) return this.valueAt(i)
    }
    return undefined
  }

  /** True where the value of `id` is `text`, which must be ASCII. */
  is(id: number, text: string): boolean {
    const place = this.places[id] as number
    if (place < 0) return false
    const from = this.at + (this.valueFrom[place] as number)
    if ((this.valueTo[place] as number) - (this.valueFrom[place] as number) !== text.length) {
      return false
    }
    for (let i = 0; i < text.length; i++) {
      if (this.bytes[from + i] !== text.codePointAt(i)) return false
    }
    return true
  }

  /** The command as it was written. */
  commandText(): string {
    return this.read(0, this.commandSize, false)
  }

  private read(from: number, to: number, unescaped: boolean): string {
    const { bytes, at } = this
    const text = Buffer.from(bytes.buffer, bytes.byteOffset + at + from, to - from).toString('utf8')
    return unescaped ? text.replaceAll(/\\[nrc\\]/g, unescapeOne) : text
  }

  // HOT: once per header. The position behind it, or -1 where it has not ended.
  private parseHeader(bytes: Uint8Array, from: number, end: number, trim: boolean): number {
    let i = from
    let escaped = 0
    let b = 0
    for (; i < end; i++) {
      b = bytes[i] as number
      if (b === colon || b === lf) break
      if (b === backslash) {
        if (!this.isEscape(bytes, i, end)) return -1
        escaped |= Escaped.name
        i++
      }
    }
    if (i >= end) return -1
    if (b === lf) malformed('a header without a colon')
    const nameTo = i
    let valueFrom = i + 1
    for (i = valueFrom; i < end; i++) {
      b = bytes[i] as number
      if (b === lf) break
      if (b === backslash) {
        if (!this.isEscape(bytes, i, end)) return -1
        escaped |= Escaped.value
        i++
      }
    }
    if (i >= end) return -1
    const valueTo = i > valueFrom && bytes[i - 1] === cr ? i - 1 : i
    if (trim) while (valueFrom < valueTo && bytes[valueFrom] === space) valueFrom++
    if (this.count === headersMax) malformed('too many headers')
    const { at } = this
    const place = this.count++
    const id = (escaped & Escaped.name) === 0 ? headerId(bytes, from, nameTo) : Header.other
    this.ids[place] = id
    this.nameFrom[place] = from - at
    this.nameTo[place] = nameTo - at
    this.valueFrom[place] = valueFrom - at
    this.valueTo[place] = valueTo - at
    const first = id === Header.other ? this.isFirst(place) : (this.places[id] as number) < 0
    this.escaped[place] = first ? escaped : escaped | Escaped.repeated
    if (first) this.places[id] = place
    return i + 1
  }

  private isEscape(bytes: Uint8Array, at: number, end: number): boolean {
    if (at + 1 === end) return false
    const b = bytes[at + 1]
    if (b !== letterN && b !== letterR && b !== letterC && b !== backslash) {
      malformed('an undefined escape sequence')
    }
    return true
  }

  // Whether no header before has the same name, byte for byte.
  private isFirst(place: number): boolean {
    const { bytes, at, nameFrom, nameTo } = this
    const from = at + (nameFrom[place] as number)
    const size = (nameTo[place] as number) - (nameFrom[place] as number)
    for (let k = 0; k < place; k++) {
      if ((nameTo[k] as number) - (nameFrom[k] as number) !== size) continue
      const other = at + (nameFrom[k] as number)
      let i = 0
      while (i < size && bytes[other + i] === bytes[from + i]) i++
      if (i === size) return false
    }
    return true
  }

  private parseBody(bytes: Uint8Array, from: number, end: number): Parsed {
    this.bodyFrom = from - this.at
    const place = this.places[Header.contentLength] as number
    if (place < 0) {
      const nul = bytes.subarray(from, end).indexOf(0)
      if (nul < 0) return Parsed.body
      this.bodySize = nul
    } else {
      this.bodySize = this.digits(place)
      const nul = from + this.bodySize
      if (nul >= end) {
        this.missing = nul + 1 - end
        return Parsed.body
      }
      if (bytes[nul] !== 0) malformed('a body that is longer than its content-length')
    }
    this.size = this.bodyFrom + this.bodySize + 1
    return Parsed.whole
  }

  // The value of content-length. Spaces around it are as good as none.
  private digits(place: number): number {
    const { bytes, at } = this
    let from = at + (this.valueFrom[place] as number)
    let to = at + (this.valueTo[place] as number)
    while (from < to && bytes[from] === space) from++
    while (to > from && bytes[to - 1] === space) to--
    // 15 digits are exact in a double.
    if (from === to || to - from > 15) malformed('a content-length that is no number')
    let value = 0
    for (let i = from; i < to; i++) {
      const digit = (bytes[i] as number) - 0x30
      if (digit < 0 || digit > 9) malformed('a content-length that is no number')
      value = value * 10 + digit
    }
    return value
  }
}

/** What of a header is not as it stands. */
export const Escaped = {
  name: 1,
  value: 2,
  /** A header of the same name came before. */
  repeated: 4,
} as const

/** Ends the connection: RabbitMQ gives no ERROR for what is no frame. */
export function malformed(what: string): never {
  throw new DecodeError(501, `malformed STOMP frame: ${what}`)
}

function unescapeOne(sequence: string): string {
  if (sequence === '\\n') return '\n'
  if (sequence === '\\r') return '\r'
  return sequence === '\\c' ? ':' : '\\'
}

const lf = 0x0a
const cr = 0x0d
const space = 0x20
const colon = 0x3a
const backslash = 0x5c
const letterN = 0x6e
const letterR = 0x72
const letterC = 0x63

const noBytes = new Uint8Array(0)
