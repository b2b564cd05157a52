// The `expiration` property, found without looking at the rest: for shards, which have no scan.

import { viewOf } from '../bytes/view.ts'

// HOT: once per message with an expiration
/**
 * The expiration of the (well-formed) properties at `bytes[at..]` in milliseconds; -1 when there is
 * none, or none that is a number.
 */
export function expirationOf(bytes: Uint8Array, at: number): number {
  const view = viewOf(bytes)
  const flags = view.getUint16(at)
  if ((flags & 0x0100) === 0) return -1
  let to = at + 2
  if ((flags & 0x8000) !== 0) to += 1 + view.getUint8(to)
  if ((flags & 0x4000) !== 0) to += 1 + view.getUint8(to)
  if ((flags & 0x2000) !== 0) to += 4 + view.getUint32(to)
  if ((flags & 0x1000) !== 0) to += 1
  if ((flags & 0x0800) !== 0) to += 1
  if ((flags & 0x0400) !== 0) to += 1 + view.getUint8(to)
  if ((flags & 0x0200) !== 0) to += 1 + view.getUint8(to)
  return numberAt(bytes, to + 1, to + 1 + view.getUint8(to))
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
