// Copies between byte arrays.

/** Copies `n` bytes of `src` at `from` to `dst` at `to`. */
export function copyBytes(
  src: Uint8Array,
  from: number,
  dst: Uint8Array,
  to: number,
  n: number,
): void {
  if (n > 128) {
    dst.set(src.subarray(from, from + n), to)
    return
  }
  for (let i = 0; i < n; i++) dst[to + i] = src[from + i] as number
}
