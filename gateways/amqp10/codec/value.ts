// Values of the AMQP 1.0 type system (part 1), each with its type, so that what is decoded can be
// encoded again as the same type.

/** A decoded value. 64-bit integers are bigint only where a number would not be exact. */
export type AmqpValue =
  | { readonly type: 'null'; readonly value: null }
  | { readonly type: 'boolean'; readonly value: boolean }
  | { readonly type: IntegerType; readonly value: number }
  | { readonly type: 'ulong' | 'long' | 'timestamp'; readonly value: number | bigint }
  | { readonly type: 'float' | 'double'; readonly value: number }
  /** The bytes as they are on the wire: no arithmetic is done with decimals. */
  | { readonly type: 'decimal32' | 'decimal64' | 'decimal128'; readonly value: Uint8Array }
  | { readonly type: 'uuid' | 'binary'; readonly value: Uint8Array }
  | { readonly type: 'utf8' | 'symbol'; readonly value: string }
  | { readonly type: 'list'; readonly value: readonly AmqpValue[] }
  | { readonly type: 'map'; readonly value: AmqpMap }
  /** All elements are of one type; `element` is needed where there is none. */
  | { readonly type: 'array'; readonly element: number; readonly value: readonly AmqpValue[] }
  | Described

export type IntegerType = 'ubyte' | 'ushort' | 'uint' | 'byte' | 'short' | 'int' | 'char'

/** Entries in wire order; keys may be of any type, and may repeat. */
export type AmqpMap = readonly (readonly [AmqpValue, AmqpValue])[]

/** A value with a descriptor in front that says what it means. */
export interface Described {
  readonly type: 'described'
  readonly descriptor: AmqpValue
  readonly value: AmqpValue
}

export type AmqpType = AmqpValue['type']

export const NULL: AmqpValue = { type: 'null', value: null }

export function utf8(value: string): AmqpValue {
  return { type: 'utf8', value }
}

export function symbol(value: string): AmqpValue {
  return { type: 'symbol', value }
}

export function bool(value: boolean): AmqpValue {
  return { type: 'boolean', value }
}

export function uint(value: number): AmqpValue {
  return { type: 'uint', value }
}

export function ulong(value: number | bigint): AmqpValue {
  return { type: 'ulong', value }
}

export function binary(value: Uint8Array): AmqpValue {
  return { type: 'binary', value }
}

export function list(value: readonly AmqpValue[]): AmqpValue {
  return { type: 'list', value }
}

export function map(value: AmqpMap): AmqpValue {
  return { type: 'map', value }
}

/** A map with symbols as keys, as most maps of the standard have. */
export function symbolMap(fields: Readonly<Record<string, AmqpValue>>): AmqpValue {
  return map(Object.entries(fields).map(([key, value]) => [symbol(key), value]))
}

/** A map with strings as keys. */
export function stringMap(fields: Readonly<Record<string, AmqpValue>>): AmqpValue {
  return map(Object.entries(fields).map(([key, value]) => [utf8(key), value]))
}

/** The value under a key, whether symbol or string. */
export function entryOf(entries: AmqpMap | undefined, key: string): AmqpValue | undefined {
  for (const [name, value] of entries ?? []) if (name.value === key) return value
  return undefined
}

/** The text of a string or symbol. */
export function textOf(value: AmqpValue | undefined): string | undefined {
  return value?.type === 'utf8' || value?.type === 'symbol' ? value.value : undefined
}

/** The integer in a value, whatever its width; undefined for other types and where it is not exact. */
export function integerOf(value: AmqpValue | undefined): number | undefined {
  switch (value?.type) {
    case 'ubyte':
    case 'ushort':
    case 'uint':
    case 'byte':
    case 'short':
    case 'int':
      return value.value
    case 'ulong':
    case 'long':
      return typeof value.value === 'number' ? value.value : undefined
    default:
      return undefined
  }
}
