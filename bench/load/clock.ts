/** Microseconds of the machine's monotonic clock, the same in every process, modulo 2^32. */
export function stampNow(): number {
  return Number((process.hrtime.bigint() / 1000n) & 0xffffffffn)
}

/** Microseconds from stamp `from` to stamp `to`, right across the wrap. */
export function stampDelta(from: number, to: number): number {
  return (to - from) >>> 0
}
