// The format codes of AMQP 1.0 (1.6) as one table. The high nibble of a code says how wide a value
// is (figure 1.2), so that a value can be stepped over without knowing its type.

import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import type { AmqpType } from './value.ts'

/** Format codes that hot code writes or compares. */
export const Code = {
  described: 0x00,
  null: 0x40,
  true: 0x41,
  false: 0x42,
  uint0: 0x43,
  ulong0: 0x44,
  list0: 0x45,
  ubyte: 0x50,
  smallUint: 0x52,
  smallUlong: 0x53,
  boolean: 0x56,
  ushort: 0x60,
  uint: 0x70,
  ulong: 0x80,
  timestamp: 0x83,
  uuid: 0x98,
  binary8: 0xa0,
  utf8: 0xa1,
  symbol8: 0xa3,
  binary32: 0xb0,
  utf32: 0xb1,
  symbol32: 0xb3,
  list8: 0xc0,
  map8: 0xc1,
  list32: 0xd0,
  map32: 0xd1,
  array8: 0xe0,
  array32: 0xf0,
} as const

/** What a format code stands for. */
export interface Constructor {
  readonly type: AmqpType
  /** fixed: `width` bytes; sized: a size of `width` bytes, then that many; compound, array: as in 1.6.22 to 1.6.24. */
  readonly form: 'fixed' | 'sized' | 'compound' | 'array'
  readonly width: number
}

const TABLE: readonly (readonly [number, AmqpType, Constructor['form'], number])[] = [
  [0x40, 'null', 'fixed', 0],
  [0x41, 'boolean', 'fixed', 0],
  [0x42, 'boolean', 'fixed', 0],
  [0x56, 'boolean', 'fixed', 1],
  [0x50, 'ubyte', 'fixed', 1],
  [0x60, 'ushort', 'fixed', 2],
  [0x43, 'uint', 'fixed', 0],
  [0x52, 'uint', 'fixed', 1],
  [0x70, 'uint', 'fixed', 4],
  [0x44, 'ulong', 'fixed', 0],
  [0x53, 'ulong', 'fixed', 1],
  [0x80, 'ulong', 'fixed', 8],
  [0x51, 'byte', 'fixed', 1],
  [0x61, 'short', 'fixed', 2],
  [0x54, 'int', 'fixed', 1],
  [0x71, 'int', 'fixed', 4],
  [0x55, 'long', 'fixed', 1],
  [0x81, 'long', 'fixed', 8],
  [0x72, 'float', 'fixed', 4],
  [0x82, 'double', 'fixed', 8],
  [0x74, 'decimal32', 'fixed', 4],
  [0x84, 'decimal64', 'fixed', 8],
  [0x94, 'decimal128', 'fixed', 16],
  [0x73, 'char', 'fixed', 4],
  [0x83, 'timestamp', 'fixed', 8],
  [0x98, 'uuid', 'fixed', 16],
  [0xa0, 'binary', 'sized', 1],
  [0xb0, 'binary', 'sized', 4],
  [0xa1, 'utf8', 'sized', 1],
  [0xb1, 'utf8', 'sized', 4],
  [0xa3, 'symbol', 'sized', 1],
  [0xb3, 'symbol', 'sized', 4],
  [0x45, 'list', 'compound', 0],
  [0xc0, 'list', 'compound', 1],
  [0xd0, 'list', 'compound', 4],
  [0xc1, 'map', 'compound', 1],
  [0xd1, 'map', 'compound', 4],
  [0xe0, 'array', 'array', 1],
  [0xf0, 'array', 'array', 4],
]

const constructors: (Constructor | undefined)[] = new Array<undefined>(256).fill(undefined)
for (const [code, type, form, width] of TABLE) constructors[code] = { type, form, width }

/** The constructor of a format code; undefined for 0 (described) and for codes that do not exist. */
export function constructorOf(code: number): Constructor | undefined {
  return constructors[code]
}

/** Bytes behind a format code of each high nibble; SIZE_8 and SIZE_32: a size and what it says. */
const SIZE_8 = -1
const SIZE_32 = -4
const WIDTHS = Int8Array.from([
  0,
  0,
  0,
  0,
  0,
  1,
  2,
  4,
  8,
  16,
  SIZE_8,
  SIZE_32,
  SIZE_8,
  SIZE_32,
  SIZE_8,
  SIZE_32,
])

/** Descriptors may have descriptors; nobody has a use for it. */
const descriptorDepthMax = 4

// HOT: once per field that is not looked at
/** Position behind the value at `at`. Throws DecodeError where it passes `end` or has no known form. */
export function skipValue(view: DataView, at: number, end: number, depth = 0): number {
  if (at >= end) return truncated()
  const code = view.getUint8(at)
  if (code < 0x40) {
    if (code !== Code.described) return unknownCode(code)
    if (depth === descriptorDepthMax) throw new DecodeError(0, 'descriptors nested too deep')
    return skipValue(view, skipValue(view, at + 1, end, depth + 1), end, depth + 1)
  }
  const width = WIDTHS[code >> 4] as number
  let to = at + 1 + width
  if (width === SIZE_8) {
    if (at + 2 > end) return truncated()
    to = at + 2 + view.getUint8(at + 1)
  } else if (width === SIZE_32) {
    if (at + 5 > end) return truncated()
    to = at + 5 + view.getUint32(at + 1)
  }
  return to > end ? truncated() : to
}

export function truncated(): never {
  throw new DecodeError(0, 'value passes the end of its bytes')
}

export function unknownCode(code: number): never {
  throw new DecodeError(0, `unknown format code 0x${code.toString(16).padStart(2, '0')}`)
}
