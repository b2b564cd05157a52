// Frames of the server as bytes. MESSAGE, the hot one, is written by session/message-writer.ts.

import { encodeUtf8 } from '../../../shared/bytes/utf8.ts'

/** A header of a frame: its name, and its value with escapes where it may need them. */
export type HeaderLine = readonly [name: string, value: string]

/** A whole frame; `content-length` is added where there is a body. */
export function encodeFrame(
  command: string,
  headers: readonly HeaderLine[],
  body: string,
  trailingLineFeed: boolean,
): Uint8Array {
  const lines = headers.map(([name, value]) => `${name}:${value}\n`).join('')
  const size = Buffer.byteLength(body)
  const length = size === 0 ? '' : `content-length:${size}\n`
  return encodeUtf8(`${command}\n${lines}${length}\n${body}\0${trailingLineFeed ? '\n' : ''}`)
}

/** Digits of a whole number up to 2^53. */
export function decimalSize(value: number): number {
  let size = 1
  for (let left = value; left >= 10; left = Math.floor(left / 10)) size++
  return size
}

// HOT: once or twice per delivery
/** Writes `value` in decimal at `at`; returns the position behind it. */
export function writeDecimal(bytes: Uint8Array, at: number, value: number): number {
  const end = at + decimalSize(value)
  let i = end - 1
  let left = value
  // Above 32 bits only floating-point division is exact.
  while (left > 0x7fff_ffff) {
    const next = Math.floor(left / 10)
    bytes[i--] = 0x30 + (left - next * 10)
    left = next
  }
  let small = left | 0
  do {
    const next = (small / 10) | 0
    bytes[i--] = 0x30 + (small - next * 10)
    small = next
  } while (small > 0)
  return end
}
