// What makes two messages the same: the value of the header `x-deduplication-header`, as in RabbitMQ's
// deduplication plugin. Values are compared whole: two that differ are never taken for the same, long
// ones but for a collision of SHA-256.

import { createHash } from 'node:crypto'
import { Reader } from '../../shared/bytes/reader.ts'
import { ReplyCode } from '../../shared/errors.ts'
import { findField, readValue } from '../../shared/message/field-table.ts'
import { PropertyScan } from '../../shared/message/properties.ts'
import type { FieldValue } from '../../shared/message/value.ts'
import { integerOf } from '../../shared/message/value.ts'

const encoder = new TextEncoder()
const idHeader = encoder.encode('x-deduplication-header')
const ttlHeader = encoder.encode('x-cache-ttl')
/** A longer value is remembered by its hash. */
const idBytesMax = 48
const scan = new PropertyScan()

/** Looks at one message after another. */
export class MessageIdentity {
  /** Undefined: the message has none. */
  id: string | undefined
  /** For how long its id is to be remembered, in milliseconds, where the message says so. */
  ttlMs: number | undefined

  constructor() {
    this.id = undefined
    this.ttlMs = undefined
  }

  /** Turns to the message with the (well-formed) properties at `bytes[at, at + size)`. */
  look(bytes: Uint8Array, at: number, size: number): void {
    this.id = undefined
    this.ttlMs = undefined
    scan.scan(bytes, at, size)
    if (scan.headersAt < 0) return
    const value = fieldAt(bytes, idHeader)
    if (value === undefined) return
    this.id = textOf(value)
    const ttl = fieldAt(bytes, ttlHeader)
    const ms = ttl?.type === 'S' ? Number(ttl.value) : Number(integerOf(ttl) ?? 0)
    if (ms > 0 && Number.isFinite(ms)) this.ttlMs = ms
  }
}

function fieldAt(bytes: Uint8Array, key: Uint8Array): FieldValue | undefined {
  const at = findField(bytes, scan.headersAt, key)
  if (at < 0) return undefined
  const end = scan.headersAt + scan.headersSize
  return readValue(new Reader(bytes, at, end, ReplyCode.FRAME_ERROR))
}

/** Undefined for tables, arrays and void, which are no ids. Integers are the same whatever their width. */
function textOf(field: FieldValue): string | undefined {
  const integer = integerOf(field)
  if (integer !== undefined) return `i${integer}`
  if (field.type === 'A' || field.type === 'F' || field.type === 'V') return undefined
  if (field.type === 'D') return `D${field.value.scale} ${field.value.unscaled}`
  const { value } = field
  const bytes = typeof value === 'object' ? Buffer.from(value) : Buffer.from(String(value))
  if (bytes.length > idBytesMax) {
    return `#${createHash('sha256').update(field.type).update(bytes).digest('base64url')}`
  }
  return field.type + (typeof value === 'object' ? bytes.toString('latin1') : String(value))
}
