// UTF-8 in byte ranges: check, decode, encode. Ranges may lie on shared memory.

import { Buffer } from 'node:buffer'

/** True if `bytes[from..to)` is well-formed UTF-8 (no surrogates, no overlong forms, <= U+10FFFF). */
export function isUtf8(bytes: Uint8Array, from: number, to: number): boolean {
  // HOT: names on the wire are ASCII nearly always, so one OR over the range decides most calls.
  let seen = 0
  for (let i = from; i < to; i++) seen |= bytes[i] as number
  return seen < 0x80 || isUtf8Slow(bytes, from, to)
}

/** Decodes `bytes[from..to)`, or gives undefined if it is not well-formed UTF-8. */
export function decodeUtf8(bytes: Uint8Array, from: number, to: number): string | undefined {
  if (!isUtf8(bytes, from, to)) return undefined
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('utf8')
}

/** Decodes `bytes[from..to)`; ill-formed parts become U+FFFD. For texts that are only shown. */
export function decodeUtf8Lossy(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('utf8')
}

/** The UTF-8 form of a string, in its own memory. */
export function encodeUtf8(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** `text` with a one-byte length in front; RangeError above 255 bytes of UTF-8. */
export function shortstrBytes(text: string): Uint8Array {
  const encoded = encodeUtf8(text)
  if (encoded.length > 255) throw new RangeError(`${encoded.length} bytes are no shortstr`)
  const out = new Uint8Array(1 + encoded.length)
  out[0] = encoded.length
  out.set(encoded, 1)
  return out
}

/** Bytes that `text` takes in UTF-8. */
export function utf8Size(text: string): number {
  return Buffer.byteLength(text, 'utf8')
}

function isUtf8Slow(bytes: Uint8Array, from: number, to: number): boolean {
  let i = from
  while (i < to) {
    const lead = bytes[i] as number
    if (lead < 0x80) {
      i += 1
      continue
    }
    const size = sequenceSize(lead)
    if (size === 0 || i + size > to) return false
    const second = bytes[i + 1] as number
    if (second < secondMin(lead) || second > secondMax(lead)) return false
    for (let k = 2; k < size; k++) {
      if (((bytes[i + k] as number) & 0xc0) !== 0x80) return false
    }
    i += size
  }
  return true
}

// 0xC0, 0xC1 could only start overlong forms, 0xF5 and above lie beyond U+10FFFF (RFC 3629, 3).
function sequenceSize(lead: number): number {
  if (lead >= 0xc2 && lead <= 0xdf) return 2
  if (lead >= 0xe0 && lead <= 0xef) return 3
  if (lead >= 0xf0 && lead <= 0xf4) return 4
  return 0
}

// The second byte alone shows overlong forms (E0, F0), surrogates (ED) and too large values (F4).
function secondMin(lead: number): number {
  if (lead === 0xe0) return 0xa0
  if (lead === 0xf0) return 0x90
  return 0x80
}

function secondMax(lead: number): number {
  if (lead === 0xed) return 0x9f
  if (lead === 0xf4) return 0x8f
  return 0xbf
}
