// Values of header tables and x-arguments. Each keeps its wire type, because brokers compare and
// report by it ("the value '10' of type 'long'") and clients expect to get back what they sent.

/** One table or array value. The letters are the type tags of AMQP 0-9-1 as RabbitMQ reads them. */
export type FieldValue =
  | { readonly type: 't'; readonly value: boolean }
  | { readonly type: 'b' | 'B' | 's' | 'u' | 'I' | 'i'; readonly value: number }
  /** 64-bit: a bigint only where a number would not be exact. */
  | { readonly type: 'l' | 'T'; readonly value: number | bigint }
  | { readonly type: 'f' | 'd'; readonly value: number }
  | { readonly type: 'D'; readonly value: Decimal }
  /** Text where the bytes are UTF-8, else the bytes. */
  | { readonly type: 'S'; readonly value: string | Uint8Array }
  | { readonly type: 'x'; readonly value: Uint8Array }
  | { readonly type: 'A'; readonly value: readonly FieldValue[] }
  | { readonly type: 'F'; readonly value: FieldTable }
  | { readonly type: 'V'; readonly value: null }

export type FieldType = FieldValue['type']

/** `unscaled` * 10^-`scale`; both unsigned. */
export interface Decimal {
  readonly scale: number
  readonly unscaled: number
}

/** Entries in wire order. An array and not an object: keys come from peers (`__proto__`). */
export type FieldTable = readonly FieldEntry[]

export type FieldEntry = readonly [key: string, value: FieldValue]

export const EMPTY_TABLE: FieldTable = []

/** The value under `key`, the first one if a peer sent the key twice. */
export function fieldOf(table: FieldTable, key: string): FieldValue | undefined {
  for (const entry of table) {
    if (entry[0] === key) return entry[1]
  }
  return undefined
}

/** The name that error texts use for a type: `longstr`, `signedint`, `long`, ... */
export function fieldTypeName(type: FieldType): string {
  return TYPE_NAMES[type]
}

/** A text value. */
export function textField(value: string): FieldValue {
  return { type: 'S', value }
}

/** An integer value as a 64-bit `long`. */
export function longField(value: number): FieldValue {
  return { type: 'l', value }
}

/** A boolean value. */
export function boolField(value: boolean): FieldValue {
  return { type: 't', value }
}

/** A nested table. */
export function tableField(value: FieldTable): FieldValue {
  return { type: 'F', value }
}

/** The integer that a value holds, whatever its width; undefined for other types. */
export function integerOf(field: FieldValue | undefined): number | bigint | undefined {
  if (field === undefined) return undefined
  switch (field.type) {
    case 'b':
    case 'B':
    case 's':
    case 'u':
    case 'I':
    case 'i':
    case 'l':
      return field.value
    default:
      return undefined
  }
}

/** The text that a longstr holds; undefined for other types and for bytes that are not UTF-8. */
export function textOf(field: FieldValue | undefined): string | undefined {
  return field !== undefined && field.type === 'S' && typeof field.value === 'string'
    ? field.value
    : undefined
}

const TYPE_NAMES: Readonly<Record<FieldType, string>> = {
  t: 'bool',
  b: 'byte',
  B: 'unsignedbyte',
  s: 'short',
  u: 'unsignedshort',
  I: 'signedint',
  i: 'unsignedint',
  l: 'long',
  T: 'timestamp',
  f: 'float',
  d: 'double',
  D: 'decimal',
  S: 'longstr',
  x: 'binary',
  A: 'array',
  F: 'table',
  V: 'void',
}
