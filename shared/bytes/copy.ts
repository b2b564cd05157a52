// Copies between byte arrays, either or both of which may lie on shared memory.

import { Buffer } from 'node:buffer'
import type { ByteView } from './view.ts'
import { viewOf } from './view.ts'

/** Up to this size four bytes at a time are faster than the call that copies memory whole. */
export const WORD_COPY_MAX = 128

// HOT: no allocation up to WORD_COPY_MAX, one view above; bench/micro/message-path.ts
/** Copies `n` bytes of `src` at `from` to `dst` at `to`. The two ranges must not overlap. */
export function copyBytes(
  src: Uint8Array,
  from: number,
  dst: Uint8Array,
  to: number,
  n: number,
): void {
  if (n > WORD_COPY_MAX) copyLong(src, from, dst, to, n)
  else copyWords(viewOf(src), from, viewOf(dst), to, n)
}

// HOT: as copyBytes
/** As copyBytes, where the views are at hand. */
export function copyViewed(
  src: ByteView,
  from: number,
  dst: ByteView,
  to: number,
  n: number,
): void {
  if (n > WORD_COPY_MAX) copyLong(src.bytes, from, dst.bytes, to, n)
  else copyWords(src, from, dst, to, n)
}

/** As copyBytes, for short ranges where the views are at hand. */
export function copyWords(src: DataView, from: number, dst: DataView, to: number, n: number): void {
  if (n < 4) {
    for (let i = 0; i < n; i++) dst.setUint8(to + i, src.getUint8(from + i))
    return
  }
  // Whole words, then the last one once more at its own place: it overlaps what is copied already.
  const last = from + n - 4
  const lastTo = to + n - 4
  let at = to
  for (let i = from; i < last; i += 4) {
    dst.setInt32(at, src.getInt32(i))
    at += 4
  }
  dst.setInt32(lastTo, src.getInt32(last))
}

/** As copyBytes, for ranges that are known to be long. */
export function copyLong(
  src: Uint8Array,
  from: number,
  dst: Uint8Array,
  to: number,
  n: number,
): void {
  const range = new Uint8Array(src.buffer, src.byteOffset + from, n)
  if (n >= FILL_MIN && (isShared(src) || isShared(dst))) {
    // V8 copies shared memory word by word, and byte by byte where the two sides are not equally
    // aligned: 42 us for 64 KiB here. Buffer's fill() is a plain memcpy: 2 us.
    if (n >= FILL_ALWAYS || ((range.byteOffset ^ (dst.byteOffset + to)) & 7) !== 0) {
      Buffer.prototype.fill.call(dst, range, to, to + n)
      return
    }
  }
  dst.set(range, to)
}

function isShared(bytes: Uint8Array): boolean {
  return bytes.buffer instanceof SharedArrayBuffer
}

/** Below this the checks of fill() cost more than a bytewise copy; above the next one it always wins. */
const FILL_MIN = 256
const FILL_ALWAYS = 2048
