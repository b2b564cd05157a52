// What filters compare: the simple values of messages and of filter expressions.

import type { AmqpValue } from '../../codec/value.ts'

/**
 * Integers are bigint, approximate numbers are number. Text and bytes are strings of one character
 * per byte, text in UTF-8: they compare as bytes do. Undefined is unknown: no value, or null.
 */
export type FilterValue = bigint | number | boolean | string | undefined

/** Unknown for values that are not simple, and for decimals. */
export function toFilterValue(value: AmqpValue): FilterValue {
  switch (value.type) {
    case 'boolean':
    case 'float':
    case 'double':
      return value.value
    case 'ubyte':
    case 'ushort':
    case 'uint':
    case 'ulong':
    case 'byte':
    case 'short':
    case 'int':
    case 'long':
    case 'char':
    case 'timestamp':
      return BigInt(value.value)
    case 'utf8':
    case 'symbol':
      return textBytes(value.value)
    case 'binary':
    case 'uuid':
      return Buffer.from(value.value).toString('latin1')
    default:
      return undefined
  }
}

/** Text as a FilterValue. */
export function textBytes(text: string): string {
  return ASCII.test(text) ? text : Buffer.from(text).toString('latin1')
}

/** Whether two known values are equal; numbers are by what they are, of whatever type. */
export function equal(a: FilterValue, b: FilterValue): boolean {
  if (typeof a === 'bigint' && typeof b === 'number') return a === exactInteger(b)
  if (typeof a === 'number' && typeof b === 'bigint') return exactInteger(a) === b
  return a === b
}

function exactInteger(value: number): bigint | undefined {
  return Number.isInteger(value) ? BigInt(value) : undefined
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII is meant
const ASCII = /^[\x00-\x7f]*$/
