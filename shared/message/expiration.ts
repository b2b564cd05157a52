// The `expiration` property, found without looking at the rest: for shards, which have no scan.

import { readU32 } from '../bytes/reader.ts'

// HOT: once per message with an expiration
/**
 * The expiration of the (well-formed) properties at `bytes[at..]` in milliseconds; -1 when there is
 * none, or none that is a number.
 */
export function expirationOf(bytes: Uint8Array, at: number): number {
  const first = bytes[at] as number
  // Flags are given from bit 15 downwards: expiration is the last of the first byte.
  if ((first & 0x01) === 0) return -1
  let to = at + 2
  if ((first & 0x80) !== 0) to += 1 + (bytes[to] as number)
  if ((first & 0x40) !== 0) to += 1 + (bytes[to] as number)
  if ((first & 0x20) !== 0) to += 4 + readU32(bytes, to)
  if ((first & 0x10) !== 0) to += 1
  if ((first & 0x08) !== 0) to += 1
  if ((first & 0x04) !== 0) to += 1 + (bytes[to] as number)
  if ((first & 0x02) !== 0) to += 1 + (bytes[to] as number)
  return numberAt(bytes, to + 1, to + 1 + (bytes[to] as number))
}

// A sign is allowed in front, as the gateway that took it allows it.
function numberAt(bytes: Uint8Array, from: number, to: number): number {
  const signed = bytes[from] === 0x2b || bytes[from] === 0x2d
  const first = signed ? from + 1 : from
  if (first >= to) return -1
  let value = 0
  for (let i = first; i < to; i++) {
    const digit = (bytes[i] as number) - 0x30
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return bytes[from] === 0x2d && value > 0 ? -1 : value
}
