// The header `x-delay`: milliseconds, in any form that the delayed-message plugin of RabbitMQ takes.

import { Reader } from '../../shared/bytes/reader.ts'
import { ReplyCode } from '../../shared/errors.ts'
import { findField, readValue } from '../../shared/message/field-table.ts'
import { PropertyScan, withHeaders } from '../../shared/message/properties.ts'
import type { FieldValue } from '../../shared/message/value.ts'
import { integerOf } from '../../shared/message/value.ts'

const headerName = 'x-delay'
const headerKey = new TextEncoder().encode(headerName)
const scan = new PropertyScan()

/**
 * The delay that the (well-formed) properties at `bytes[at, at + size)` ask for, in whole
 * milliseconds; 0 where they ask for none, or for nothing that is a number; negative where it has
 * been served already.
 */
export function delayOf(bytes: Uint8Array, at: number, size: number): number {
  scan.scan(bytes, at, size)
  if (scan.headersAt < 0) return 0
  const valueAt = findField(bytes, scan.headersAt, headerKey)
  if (valueAt < 0) return 0
  const end = scan.headersAt + scan.headersSize
  return numberIn(readValue(new Reader(bytes, valueAt, end, ReplyCode.FRAME_ERROR)))
}

/** The same properties, saying that a delay of `delayMs` has been served: as the plugin, by its negative. */
export function withServedDelay(
  bytes: Uint8Array,
  at: number,
  size: number,
  delayMs: number,
): Uint8Array {
  const type = delayMs > 0x7fff_ffff ? 'l' : 'I'
  return withHeaders(bytes, at, size, [[headerName, { type, value: -delayMs }]])
}

function numberIn(field: FieldValue): number {
  const integer = integerOf(field)
  if (integer !== undefined) return Number(integer)
  if (field.type === 'f' || field.type === 'd') return whole(field.value)
  if (field.type === 'D') return whole(field.value.unscaled / 10 ** field.value.scale)
  if (field.type !== 'S' || typeof field.value !== 'string') return 0
  return /^[+-]?\d+(\.\d+)?$/.test(field.value) ? whole(Number(field.value)) : 0
}

function whole(value: number): number {
  return Number.isFinite(value) ? Math.trunc(value) : 0
}
