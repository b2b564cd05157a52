// Keys of the keyed store: the table's name, a zero byte, then the row's key as given. Keys that are
// longer than the database takes are cut, and told apart by a hash; their rows carry the whole key.
//
//   key     table | 0 | row key                        up to keyBytesMax
//           table | 0 | row key's begin | 0xff | SHA-256 of all of it

import { createHash } from 'node:crypto'

/** LMDB's limit as lmdb is built, less some. */
export const keyBytesMax = 1900
const hashBytes = 32
const longMark = 0xff

/** The database's key of a row. */
export function tableKey(table: string, key: Uint8Array): Buffer {
  const whole = Buffer.concat([Buffer.from(`${table}\0`), key])
  if (whole.length <= keyBytesMax) return whole
  const kept = whole.subarray(0, keyBytesMax - 1 - hashBytes)
  return Buffer.concat([kept, Buffer.of(longMark), createHash('sha256').update(whole).digest()])
}

/** How much of a row's key is in the database's key; less than all where it was cut. UTF-8 has no byte 0xff. */
export function keptBytes(key: Uint8Array): number {
  const kept = keyBytesMax - 1 - hashBytes
  return key.length === keyBytesMax && key[kept] === longMark ? kept : key.length
}

/** The first key behind all that begin with `prefix`. */
export function behind(prefix: Uint8Array): Buffer {
  const end = Buffer.from(prefix)
  let last = end.length - 1
  while (last >= 0 && end[last] === 0xff) last--
  if (last < 0) return Buffer.alloc(keyBytesMax, 0xff)
  end[last] = (end[last] as number) + 1
  return end.subarray(0, last + 1)
}
