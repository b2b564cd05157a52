// Serial numbers of 32 bits (RFC 1982): they wrap, and of two that are less than 2^31 apart one is
// ahead.

/** `a` moved on by `n`, unsigned. */
export function advance(a: number, n: number): number {
  return (a + n) >>> 0
}

/** How far `a` is ahead of `b`; negative: behind. */
export function distance(a: number, b: number): number {
  return (a - b) | 0
}
