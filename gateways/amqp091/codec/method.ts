// Methods as plain objects, for everything but the hot frames. Interpreted from the table in
// spec.ts rather than generated: these are rare, and a table that is also the type cannot drift.

import { assert } from '../../../shared/assert.ts'
import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import { Reader } from '../../../shared/bytes/reader.ts'
import type { Writer } from '../../../shared/bytes/writer.ts'
import { writeU32 } from '../../../shared/bytes/writer.ts'
import { ReplyCode } from '../../../shared/errors.ts'
import { readTable, writeTable } from '../../../shared/message/field-table.ts'
import type { FieldTable } from '../../../shared/message/value.ts'
import { FRAME_END, FRAME_HEAD_SIZE, FrameType } from './constants.ts'
import type { FieldKind, MethodSpec, ReservedKind } from './spec.ts'
import { METHODS } from './spec.ts'

/** `queue.declare`, `basic.consume-ok`, ...: class and method as the specification spells them. */
export type MethodKind = keyof typeof METHODS

/** One method: `kind` and the fields of spec.ts, without the reserved ones. */
export type MethodOf<K extends MethodKind> = {
  readonly kind: K
} & FieldsOf<(typeof METHODS)[K]['fields']>

/** Any method, told apart by `kind`. */
export type Method = { [K in MethodKind]: MethodOf<K> }[MethodKind]

/**
 * Decodes the arguments `bytes[at..at + size)` of a method. Throws DecodeError: 503 for an unknown
 * class, 540 for an unknown method, 501 for arguments that are malformed, too short or too long.
 */
export function decodeMethod(
  classId: number,
  methodId: number,
  bytes: Uint8Array,
  at: number,
  size: number,
): Method {
  const layout = BY_ID.get((classId << 16) | methodId)
  if (layout === undefined) return unknownMethod(classId, methodId)
  const reader = new Reader(bytes, at, at + size, ReplyCode.FRAME_ERROR)
  const method = readFields(reader, layout)
  if (reader.left() !== 0) reader.fail(`bytes behind the arguments of ${layout.kind}`)
  return method
}

/**
 * Appends a whole method frame. A field that does not fit its wire type (a name above 255 bytes) is
 * the caller's mistake and throws RangeError.
 */
export function encodeMethodFrame(writer: Writer, channel: number, method: Method): void {
  const layout = layoutOf(method.kind)
  const headAt = writer.at
  writer.u8(FrameType.method)
  writer.u16(channel)
  writer.u32(0)
  writer.u16(layout.classId)
  writer.u16(layout.methodId)
  writeFields(writer, layout.fields, method)
  writeU32(writer.bytes, headAt + 3, writer.at - headAt - FRAME_HEAD_SIZE)
  writer.u8(FRAME_END)
}

/** Class and method id of a kind, for the close methods. */
export function methodIds(kind: MethodKind): { classId: number; methodId: number } {
  const { classId, methodId } = layoutOf(kind)
  return { classId, methodId }
}

/** `basic.publish` for 60, 40; undefined for ids that no method has. */
export function methodKind(classId: number, methodId: number): MethodKind | undefined {
  return BY_ID.get((classId << 16) | methodId)?.kind
}

type FieldsOf<F extends Readonly<Record<string, FieldKind>>> = {
  readonly [N in keyof F as F[N] extends ReservedKind ? never : N]: ValueOf<F[N]>
}

type ValueOf<K extends FieldKind> = K extends 'octet' | 'short' | 'long' | 'longlong'
  ? number
  : K extends 'bit'
    ? boolean
    : K extends 'longbytes'
      ? Uint8Array
      : K extends 'table'
        ? FieldTable
        : string

interface Layout {
  readonly kind: MethodKind
  readonly classId: number
  readonly methodId: number
  readonly fields: readonly (readonly [name: string, kind: FieldKind])[]
}

type Values = Record<string, string | number | boolean | Uint8Array | FieldTable>

function readFields(reader: Reader, layout: Layout): Method {
  const out: Values = { kind: layout.kind }
  let bits = 0
  let bitIndex = 0
  for (const [name, kind] of layout.fields) {
    if (kind === 'bit' || kind === 'reservedBit') {
      // Neighbouring bits share an octet, the first in the lowest place; no method has nine.
      if (bitIndex === 0) bits = reader.u8()
      if (kind === 'bit') out[name] = ((bits >> bitIndex) & 1) !== 0
      bitIndex += 1
      continue
    }
    bitIndex = 0
    const value = readField(reader, kind)
    if (value !== undefined) out[name] = value
  }
  // The one cast: `out` was filled by the very table that Method is derived from.
  return out as unknown as Method
}

function readField(
  reader: Reader,
  kind: Exclude<FieldKind, 'bit' | 'reservedBit'>,
): string | number | Uint8Array | FieldTable | undefined {
  switch (kind) {
    case 'octet':
      return reader.u8()
    case 'short':
      return reader.u16()
    case 'long':
      return reader.u32()
    case 'longlong':
      return reader.u64()
    case 'shortstr':
      return reader.shortstr()
    case 'longstr':
      return reader.longstr()
    case 'longbytes':
      return reader.longBytes()
    case 'table':
      return readTable(reader)
    case 'reservedShort':
      reader.take(2)
      return undefined
    case 'reservedShortstr':
      reader.take(reader.u8())
      return undefined
    case 'reservedLongstr':
      reader.take(reader.u32())
      return undefined
  }
}

function writeFields(writer: Writer, fields: Layout['fields'], method: Method): void {
  const values: Readonly<Record<string, unknown>> = { ...method }
  let bitIndex = 0
  let bitsAt = 0
  for (const [name, kind] of fields) {
    if (kind === 'bit' || kind === 'reservedBit') {
      if (bitIndex === 0) {
        bitsAt = writer.reserve(1)
        writer.bytes[bitsAt] = 0
      }
      const bits = writer.bytes[bitsAt] as number
      if (values[name] === true) writer.bytes[bitsAt] = bits | (1 << bitIndex)
      bitIndex += 1
      continue
    }
    bitIndex = 0
    writeField(writer, kind, values[name])
  }
}

function writeField(
  writer: Writer,
  kind: Exclude<FieldKind, 'bit' | 'reservedBit'>,
  value: unknown,
): void {
  switch (kind) {
    case 'octet':
      return writer.u8(numberIn(value))
    case 'short':
      return writer.u16(numberIn(value))
    case 'long':
      return writer.u32(numberIn(value))
    case 'longlong':
      return writer.u64(numberIn(value))
    case 'shortstr':
      return writer.shortstr(textIn(value))
    case 'longstr':
      return writer.longstr(textIn(value))
    case 'longbytes':
      assert(value instanceof Uint8Array, 'method field: bytes')
      return writer.longBytes(value)
    case 'table':
      assert(Array.isArray(value), 'method field: table')
      return writeTable(writer, value)
    case 'reservedShort':
      return writer.u16(0)
    case 'reservedShortstr':
      return writer.u8(0)
    case 'reservedLongstr':
      return writer.u32(0)
  }
}

function numberIn(value: unknown): number {
  assert(typeof value === 'number', 'method field: number')
  return value
}

function textIn(value: unknown): string {
  assert(typeof value === 'string', 'method field: text')
  return value
}

function layoutOf(kind: MethodKind): Layout {
  const layout = BY_KIND.get(kind)
  assert(layout !== undefined, `no method ${kind}`)
  return layout
}

function unknownMethod(classId: number, methodId: number): never {
  const code = CLASSES.has(classId) ? ReplyCode.NOT_IMPLEMENTED : ReplyCode.COMMAND_INVALID
  throw new DecodeError(code, `unknown method ${classId}.${methodId}`)
}

const BY_KIND: ReadonlyMap<string, Layout> = new Map(
  Object.entries(METHODS).map(([kind, spec]) => [kind, toLayout(kind as MethodKind, spec)]),
)

const BY_ID: ReadonlyMap<number, Layout> = new Map(
  [...BY_KIND.values()].map((layout) => [(layout.classId << 16) | layout.methodId, layout]),
)

const CLASSES: ReadonlySet<number> = new Set([...BY_KIND.values()].map((l) => l.classId))

function toLayout(kind: MethodKind, spec: MethodSpec): Layout {
  const [classId, methodId] = spec.id
  return { kind, classId, methodId, fields: Object.entries(spec.fields) }
}
