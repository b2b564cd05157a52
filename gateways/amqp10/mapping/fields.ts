// Values of 0-9-1 tables and of AMQP 1.0 as objects, both ways: for messages of other protocols, and
// for the arguments of management. Types are paired as RabbitMQ pairs them.

import type { FieldTable, FieldValue } from '../../../shared/message/value.ts'
import type { AmqpMap, AmqpValue } from '../codec/value.ts'
import { map, NULL, symbol, utf8 } from '../codec/value.ts'

/** Text that is scanned for being text; longer bytes are binary, as in RabbitMQ. */
const textBytesMax = 4096

/** A table value as a 1.0 value. */
export function toAmqp(field: FieldValue): AmqpValue {
  switch (field.type) {
    case 't':
      return { type: 'boolean', value: field.value }
    case 'b':
      return { type: 'byte', value: field.value }
    case 'B':
      return { type: 'ubyte', value: field.value }
    case 's':
      return { type: 'short', value: field.value }
    case 'u':
      return { type: 'ushort', value: field.value }
    case 'I':
      return { type: 'int', value: field.value }
    case 'i':
      return { type: 'uint', value: field.value }
    case 'l':
      return { type: 'long', value: field.value }
    case 'T':
      return { type: 'timestamp', value: scaled(field.value) }
    case 'f':
      return { type: 'float', value: field.value }
    case 'd':
      return { type: 'double', value: field.value }
    case 'D':
      return { type: 'double', value: field.value.unscaled / 10 ** field.value.scale }
    case 'S':
      return fromLongstr(field.value)
    case 'x':
      return { type: 'binary', value: field.value }
    case 'V':
      return NULL
    case 'A':
      return { type: 'list', value: field.value.map((each) => toAmqp(each)) }
    case 'F':
      return map(field.value.map(([key, value]) => [symbol(key), toAmqp(value)]))
  }
}

/** A table as a map with strings as keys. */
export function toStringMap(table: FieldTable): AmqpValue {
  return map(table.map(([key, value]) => [utf8(key), toAmqp(value)]))
}

/** A 1.0 value as a table value; undefined where 0-9-1 has no type for it. */
export function fromAmqp(value: AmqpValue): FieldValue | undefined {
  switch (value.type) {
    case 'null':
      return { type: 'V', value: null }
    case 'boolean':
      return { type: 't', value: value.value }
    case 'byte':
      return { type: 'b', value: value.value }
    case 'ubyte':
      return { type: 'B', value: value.value }
    case 'short':
      return { type: 's', value: value.value }
    case 'ushort':
      return { type: 'u', value: value.value }
    case 'int':
      return { type: 'I', value: value.value }
    case 'uint':
    case 'char':
      return { type: 'i', value: value.value }
    case 'long':
    case 'ulong':
      return { type: 'l', value: value.value }
    case 'timestamp':
      return { type: 'T', value: Math.floor(Number(value.value) / 1000) }
    case 'float':
      return { type: 'f', value: value.value }
    case 'double':
      return { type: 'd', value: value.value }
    case 'utf8':
    case 'symbol':
      return { type: 'S', value: value.value }
    case 'binary':
      return { type: 'S', value: value.value }
    case 'list':
    case 'array':
      return { type: 'A', value: value.value.map(fromAmqp).filter((each) => each !== undefined) }
    case 'map':
      return { type: 'F', value: toTable(value.value) }
    default:
      return undefined
  }
}

/** A map as a table: entries whose key is no text, or whose value has no 0-9-1 form, are left out. */
export function toTable(entries: AmqpMap): FieldTable {
  const table: (readonly [string, FieldValue])[] = []
  for (const [key, value] of entries) {
    const field = fromAmqp(value)
    if ((key.type === 'utf8' || key.type === 'symbol') && field !== undefined) {
      table.push([key.value, field])
    }
  }
  return table
}

function fromLongstr(value: string | Uint8Array): AmqpValue {
  if (typeof value !== 'string') return { type: 'binary', value }
  const text = value.length <= textBytesMax && !value.includes('\0')
  return text ? utf8(value) : { type: 'binary', value: Buffer.from(value) }
}

function scaled(seconds: number | bigint): number | bigint {
  const ms = BigInt(seconds) * 1000n
  return ms <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(ms) : BigInt.asIntN(64, ms)
}
