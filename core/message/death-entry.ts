// The head of a dead-lettered message: new exchange and routing keys, and properties that tell of the
// death (x-death and its companions, without `expiration`) as RabbitMQ 4 writes them. The body is
// not touched.
//
// Most messages die once and have no x-death: their property bytes are copied around the new headers
// and nothing is decoded. A message that has died before is decoded as far as its x-death goes.

import { Reader } from '../../shared/bytes/reader.ts'
import { shortstrBytes } from '../../shared/bytes/utf8.ts'
import { viewOf } from '../../shared/bytes/view.ts'
import { Writer, writeU16, writeU32 } from '../../shared/bytes/writer.ts'
import { ReplyCode } from '../../shared/errors.ts'
import { readValue, skipValue, writeValue } from '../../shared/message/field-table.ts'
import { PropertyScan, withHeaders } from '../../shared/message/properties.ts'
import type { FieldTable, FieldValue } from '../../shared/message/value.ts'
import { fieldOf, longField } from '../../shared/message/value.ts'

/** One entry of a message's history, newest first. */
export interface PastDeath {
  readonly queue: string
  readonly reason: string
}

/** Where the dead-lettered message is published to. */
export interface DeathTarget {
  readonly exchange: string
  /** Undefined: all keys that the message came with. */
  readonly routingKey: string | undefined
}

/** Builds one head after another; the results of the last `build` are in the public fields. */
export class DeathEntry {
  /** exchange and routing key, further keys and native part, properties: one behind the other. */
  bytes: Uint8Array
  exrkSize: number
  extraSize: number
  propsSize: number
  /** Deaths of the message so far, the new one first. */
  readonly deaths: PastDeath[]
  private readonly writer: Writer
  private readonly scan: PropertyScan
  // Of the entry at hand.
  private source: Uint8Array
  private keyAt: number
  private keyEnd: number

  constructor() {
    this.writer = new Writer(1024)
    this.bytes = this.writer.bytes
    this.exrkSize = 0
    this.extraSize = 0
    this.propsSize = 0
    this.deaths = []
    this.scan = new PropertyScan()
    this.source = this.bytes
    this.keyAt = 0
    this.keyEnd = 0
  }

  /**
   * Builds the head for the entry whose head lies at `source[at..]`. `seconds`: since 1970. `diedBefore`:
   * its x-death is the broker's own; what a client has put there counts for nothing (RabbitMQ 4.0).
   */
  build(
    source: Uint8Array,
    at: number,
    sizes: { readonly exrk: number; readonly extra: number; readonly props: number },
    target: DeathTarget,
    queue: string,
    reason: string,
    seconds: number,
    diedBefore: boolean,
  ): void {
    const { writer } = this
    this.source = source
    this.keyAt = at + 1 + (source[at] as number) + 1
    this.keyEnd = this.keyAt + (source[this.keyAt - 1] as number)
    const extraAt = at + sizes.exrk
    const propsAt = extraAt + sizes.extra
    this.scan.scan(source, propsAt, sizes.props)
    writer.at = 0
    this.writeKeys(target)
    this.exrkSize = writer.at
    this.writeExtra(target, extraAt, sizes.extra)
    this.extraSize = writer.at - this.exrkSize
    const exchange = Buffer.from(source.buffer, source.byteOffset + at + 1, source[at] as number)
    const keys = this.recordedKeys(extraAt, sizes.extra)
    this.writeProps(propsAt, sizes.props, exchange, keys, queue, reason, seconds, diedBefore)
    this.propsSize = writer.at - this.exrkSize - this.extraSize
    this.bytes = writer.bytes
  }

  /** As `build` for a message that goes elsewhere without having died; it may lose what tells of deaths. */
  redirect(
    source: Uint8Array,
    at: number,
    sizes: { readonly exrk: number; readonly extra: number; readonly props: number },
    target: DeathTarget,
    keepDeaths: boolean,
  ): void {
    const { writer } = this
    this.source = source
    this.keyAt = at + 1 + (source[at] as number) + 1
    this.keyEnd = this.keyAt + (source[this.keyAt - 1] as number)
    const extraAt = at + sizes.exrk
    const propsAt = extraAt + sizes.extra
    writer.at = 0
    this.writeKeys(target)
    this.exrkSize = writer.at
    this.writeExtra(target, extraAt, sizes.extra)
    this.extraSize = writer.at - this.exrkSize
    const dropped = keepDeaths ? none : ['x-death', ...firstKeys, ...lastKeys]
    const props = withHeaders(source, propsAt, sizes.props, [], dropped)
    writer.raw(props)
    this.propsSize = props.length
    this.bytes = writer.bytes
    this.deaths.length = 0
  }

  private writeKeys(target: DeathTarget): void {
    const { writer } = this
    writer.shortstr(target.exchange)
    if (target.routingKey !== undefined) writer.shortstr(target.routingKey)
    else writer.raw(this.source.subarray(this.keyAt - 1, this.keyEnd))
  }

  /** Further keys hold for the new exchange too unless it gets a key of its own; the native part stays. */
  private writeExtra(target: DeathTarget, at: number, size: number): void {
    if (size === 0) return
    if (target.routingKey === undefined) {
      this.writer.raw(this.source.subarray(at, at + size))
      return
    }
    const keysEnd = endOfKeys(this.source, at)
    if (keysEnd === at + size) return
    this.writer.u8(0)
    this.writer.raw(this.source.subarray(keysEnd, at + size))
  }

  /** Further keys that are told: those of CC, not those of BCC. */
  private recordedKeys(at: number, size: number): readonly string[] {
    if (size === 0 || this.source[at] === 0 || this.scan.ccAt < 0) return none
    const told = new Set<string>()
    const value = readValue(this.reader(this.scan.ccAt))
    if (value.type !== 'A') return none
    for (const item of value.value) told.add(String(item.value))
    const keys: string[] = []
    let from = at + 1
    for (let i = 0; i < (this.source[at] as number); i++) {
      const end = from + 1 + (this.source[from] as number)
      const key = Buffer.from(this.source.subarray(from + 1, end)).toString()
      if (told.delete(key)) keys.push(key)
      from = end
    }
    return keys
  }

  private writeProps(
    at: number,
    size: number,
    exchange: Buffer,
    keys: readonly string[],
    queue: string,
    reason: string,
    seconds: number,
    diedBefore: boolean,
  ): void {
    const { writer, scan, source } = this
    const flagsAt = writer.at
    const flags = viewOf(source).getUint16(at)
    writer.raw(source.subarray(at, scan.headersSlotAt))
    const sizeAt = writer.reserve(4)
    const past = this.copyHeaders(diedBefore)
    this.deaths.length = 0
    this.deaths.push({ queue, reason })
    writer.raw(headX)
    const arrayAt = writer.reserve(4)
    this.writeDeaths(past, exchange, keys, queue, reason, seconds)
    writeU32(writer.bytes, arrayAt, writer.at - arrayAt - 4)
    if (past === undefined) this.writeNames(firstNames, reason, queue, exchange)
    this.writeNames(lastNames, reason, queue, exchange)
    writeU32(writer.bytes, sizeAt, writer.at - sizeAt - 4)
    const tail = scan.headersSlotAt + scan.headersSize
    if (scan.expirationAt < 0) writer.raw(source.subarray(tail, at + size))
    else {
      writer.raw(source.subarray(tail, scan.expirationAt - 1))
      writer.raw(source.subarray(scan.expirationAt + scan.expirationSize, at + size))
    }
    writeU16(writer.bytes, flagsAt, (flags | headersFlag) & ~expirationFlag)
  }

  /**
   * Copies the headers but for those that tell of deaths, x-first-death-* excepted where they stay.
   * Gives the x-death that goes on, if there is one.
   */
  private copyHeaders(diedBefore: boolean): readonly FieldValue[] | undefined {
    const { scan, source, writer } = this
    if (scan.headersAt < 0) return undefined
    const view = viewOf(source)
    const end = scan.headersAt + scan.headersSize
    let past: readonly FieldValue[] | undefined
    let from = scan.headersAt + 4
    let at = from
    while (at < end) {
      const valueAt = at + 1 + view.getUint8(at)
      const next = skipValue(view, valueAt, end, ReplyCode.FRAME_ERROR, 1)
      const kind = deathHeader(source, at)
      if (kind !== 'other' && !(kind === 'first' && diedBefore)) {
        if (at > from) writer.raw(source.subarray(from, at))
        from = next
        if (kind === 'history' && diedBefore) past = arrayAt(this.reader(valueAt))
      }
      at = next
    }
    if (end > from) writer.raw(source.subarray(from, end))
    return past
  }

  /** The new death, or the one of the same queue and reason counted up, in front of the others. */
  private writeDeaths(
    past: readonly FieldValue[] | undefined,
    exchange: Buffer,
    keys: readonly string[],
    queue: string,
    reason: string,
    seconds: number,
  ): void {
    const { writer } = this
    const again = past?.find((death) => isDeathOf(death, queue, reason))
    if (again === undefined) this.writeNewDeath(exchange, keys, queue, reason, seconds)
    else writeValue(writer, countedUp(again))
    if (past === undefined) return
    for (const death of past) {
      if (death === again || death.type !== 'F') continue
      writeValue(writer, death)
      this.deaths.push({
        queue: String(fieldOf(death.value, 'queue')?.value),
        reason: String(fieldOf(death.value, 'reason')?.value),
      })
    }
  }

  private writeNewDeath(
    exchange: Buffer,
    keys: readonly string[],
    queue: string,
    reason: string,
    seconds: number,
  ): void {
    const { writer, scan, source } = this
    writer.u8(tableTag)
    const sizeAt = writer.reserve(4)
    if (scan.expirationAt >= 0) {
      const to = scan.expirationAt + scan.expirationSize
      writer.raw(nameExpiration)
      writer.longBytes(source.subarray(scan.expirationAt, to))
    }
    writer.raw(countOne)
    writer.raw(nameReason)
    writer.longstr(reason)
    writer.raw(nameQueue)
    writer.longstr(queue)
    writer.raw(nameTime)
    writer.u64(seconds)
    writer.raw(nameExchange)
    writer.longBytes(exchange)
    writer.raw(nameKeys)
    const keysAt = writer.reserve(4)
    writer.u8(textTag)
    writer.longBytes(source.subarray(this.keyAt, this.keyEnd))
    for (const key of keys) {
      writer.u8(textTag)
      writer.longstr(key)
    }
    writeU32(writer.bytes, keysAt, writer.at - keysAt - 4)
    writeU32(writer.bytes, sizeAt, writer.at - sizeAt - 4)
  }

  private writeNames(
    names: readonly [Uint8Array, Uint8Array, Uint8Array],
    reason: string,
    queue: string,
    exchange: Buffer,
  ): void {
    const { writer } = this
    writer.raw(names[0])
    writer.longstr(reason)
    writer.raw(names[1])
    writer.longstr(queue)
    writer.raw(names[2])
    writer.longBytes(exchange)
  }

  private reader(at: number): Reader {
    const end = this.scan.headersAt + this.scan.headersSize
    return new Reader(this.source, at, end, ReplyCode.FRAME_ERROR)
  }
}

/**
 * Whether a message with these deaths (newest first) must not come to `queue` again: it died there
 * before, and nobody has rejected it since. A newest death by rejection ends every cycle.
 */
export function isDeathCycle(deaths: readonly PastDeath[], queue: string): boolean {
  for (const death of deaths) {
    if (death.reason === 'rejected') return false
    if (death.queue === queue) return true
  }
  return false
}

/** The position behind the further keys of an extra region (shared/bus/wire.ts). */
export function endOfKeys(bytes: Uint8Array, at: number): number {
  let end = at + 1
  for (let i = 0; i < (bytes[at] as number); i++) end += 1 + (bytes[end] as number)
  return end
}

function arrayAt(reader: Reader): readonly FieldValue[] | undefined {
  const value = readValue(reader)
  return value.type === 'A' ? value.value : undefined
}

function isDeathOf(death: FieldValue, queue: string, reason: string): boolean {
  return (
    death.type === 'F' &&
    fieldOf(death.value, 'queue')?.value === queue &&
    fieldOf(death.value, 'reason')?.value === reason
  )
}

function countedUp(death: FieldValue): FieldValue {
  if (death.type !== 'F') return death
  const value: FieldTable = death.value.map(([key, field]) =>
    key === 'count' ? [key, longField(Number(field.value) + 1)] : [key, field],
  )
  return { type: 'F', value }
}

/** What the header whose key shortstr is at `at` has to do with deaths. */
function deathHeader(bytes: Uint8Array, at: number): 'other' | 'history' | 'first' | 'last' {
  const size = bytes[at] as number
  // 'x-death', 'x-last-death-queue' to 'x-first-death-exchange'; all begin with 'x-'.
  if (size < 7 || size > 22 || bytes[at + 1] !== 0x78 || bytes[at + 2] !== 0x2d) return 'other'
  const key = Buffer.from(bytes.subarray(at + 1, at + 1 + size)).toString('latin1')
  if (key === 'x-death') return 'history'
  if (firstKeys.includes(key)) return 'first'
  return lastKeys.includes(key) ? 'last' : 'other'
}

const headersFlag = 0x2000
const expirationFlag = 0x0100
const tableTag = 0x46
const textTag = 0x53
const none: readonly string[] = []
const firstKeys = ['x-first-death-reason', 'x-first-death-queue', 'x-first-death-exchange']
const lastKeys = ['x-last-death-reason', 'x-last-death-queue', 'x-last-death-exchange']
// Keys with the type byte of what follows them.
const headX = named('x-death', 'A')
const nameExpiration = named('original-expiration', 'S')
const nameReason = named('reason', 'S')
const nameQueue = named('queue', 'S')
const nameTime = named('time', 'T')
const nameExchange = named('exchange', 'S')
const nameKeys = named('routing-keys', 'A')
const countOne = entryOf('count', longField(1))
const firstNames = namesOf(firstKeys)
const lastNames = namesOf(lastKeys)

function namesOf(keys: readonly string[]): readonly [Uint8Array, Uint8Array, Uint8Array] {
  const [reason = '', queue = '', exchange = ''] = keys
  return [named(reason, 'S'), named(queue, 'S'), named(exchange, 'S')]
}

function named(key: string, type: FieldValue['type']): Uint8Array {
  return Uint8Array.of(...shortstrBytes(key), type.charCodeAt(0))
}

function entryOf(key: string, value: FieldValue): Uint8Array {
  const writer = new Writer(32)
  writer.shortstr(key)
  writeValue(writer, value)
  return writer.finish()
}
