// Where a consumer begins: the argument x-stream-offset.

import type { FieldTable, FieldValue } from '../../shared/message/value.ts'
import { fieldOf, integerOf } from '../../shared/message/value.ts'
import type { OffsetSpec } from '../../shared/stream/log-cursor.ts'

/**
 * `first`, `last`, `next` (the default), an interval before now (`5m`), a time, or an offset; negative:
 * so many messages before the end. `now` in milliseconds since 1970. A string is the reason against it.
 */
export function offsetSpecOf(args: FieldTable, now: number): OffsetSpec | string {
  const field = fieldOf(args, 'x-stream-offset')
  if (field === undefined) return { kind: 'next' }
  const integer = integerOf(field)
  if (integer !== undefined) {
    const value = Number(integer)
    return value < 0 ? { kind: 'fromEnd', value: -value } : { kind: 'offset', value }
  }
  if (field.type === 'T') return { kind: 'timestamp', value: Number(field.value) * 1000 }
  if (field.type !== 'S') return `{invalid_offset_arg,${field.type}}`
  return offsetSpecOfText(field, now)
}

/** The milliseconds of `7D` and its like: Y, M, D, h, m, s. Undefined for another text. */
export function intervalMs(text: string): number | undefined {
  const match = /^(\d+)([YMDhms])$/.exec(text)
  const unit = unitMs[match?.[2] ?? '']
  const count = Number(match?.[1])
  return unit === undefined || count === 0 ? undefined : count * unit
}

function offsetSpecOfText(field: FieldValue, now: number): OffsetSpec | string {
  const text = String(field.value)
  if (text === 'first' || text === 'last' || text === 'next') return { kind: text }
  const ms = intervalMs(text)
  return ms === undefined ? 'invalid_max_age' : { kind: 'timestamp', value: now - ms }
}

const dayMs = 86_400_000

const unitMs: Readonly<Record<string, number>> = {
  Y: 365 * dayMs,
  M: 30 * dayMs,
  D: dayMs,
  h: 3_600_000,
  m: 60_000,
  s: 1000,
}
