// When two field values are the same: for headers exchanges, declare arguments and binding identity.

import type { FieldTable, FieldValue } from '../../shared/message/value.ts'
import { integerOf } from '../../shared/message/value.ts'

/** Whether two values are equal: integers by value across widths, all else by kind and value. */
export function sameFieldValue(a: FieldValue, b: FieldValue): boolean {
  switch (a.type) {
    case 't':
      return b.type === 't' && a.value === b.value
    case 'b':
    case 'B':
    case 's':
    case 'u':
    case 'I':
    case 'i':
    case 'l':
    case 'T':
      return sameInteger(a.value, integerValue(b))
    case 'f':
    case 'd':
      return (b.type === 'f' || b.type === 'd') && a.value === b.value
    case 'D':
      return (
        b.type === 'D' && a.value.scale === b.value.scale && a.value.unscaled === b.value.unscaled
      )
    case 'S':
    case 'x':
      return (b.type === 'S' || b.type === 'x') && sameText(a.value, b.value)
    case 'A':
      return b.type === 'A' && sameArray(a.value, b.value)
    case 'F':
      return b.type === 'F' && canonicalTable(a.value) === canonicalTable(b.value)
    case 'V':
      return b.type === 'V'
  }
}

/** A text that two tables share exactly if they have the same fields in any order, types included. */
export function canonicalTable(table: FieldTable): string {
  if (table.length === 0) return ''
  const fields: string[] = []
  for (const [key, value] of table) fields.push(`${JSON.stringify(key)}:${canonicalValue(value)}`)
  return `{${fields.sort().join()}}`
}

function integerValue(field: FieldValue): number | bigint | undefined {
  return field.type === 'T' ? field.value : integerOf(field)
}

function sameInteger(a: number | bigint, b: number | bigint | undefined): boolean {
  if (b === undefined) return false
  // A 64-bit integer is a bigint only beyond 2^53, but a peer thread may have widened it.
  return typeof a === typeof b ? a === b : BigInt(a) === BigInt(b)
}

function sameText(a: string | Uint8Array, b: string | Uint8Array): boolean {
  if (typeof a === 'string' && typeof b === 'string') return a === b
  return canonicalBytes(a) === canonicalBytes(b)
}

function sameArray(a: readonly FieldValue[], b: readonly FieldValue[]): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) {
    if (!sameFieldValue(a[i] as FieldValue, b[i] as FieldValue)) return false
  }
  return true
}

function canonicalValue(field: FieldValue): string {
  switch (field.type) {
    case 'A':
      return `A[${field.value.map(canonicalValue).join()}]`
    case 'F':
      return `F${canonicalTable(field.value)}`
    case 'S':
    case 'x':
      return `${field.type}${canonicalBytes(field.value)}`
    case 'D':
      return `D${field.value.unscaled}e-${field.value.scale}`
    default:
      return `${field.type}${String(field.value)}`
  }
}

function canonicalBytes(value: string | Uint8Array): string {
  const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : value
  let text = ''
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0')
  return text
}
