/** Medians: one disturbed round must not decide a figure. */

/** The middle value, or the mean of the two middle ones; NaN of nothing. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const high = sorted[middle] as number
  return sorted.length % 2 === 1 ? high : (high + (sorted[middle - 1] as number)) / 2
}

/** Median of the ratios of values taken in the same round, which the machine disturbed alike. */
export function medianRatio(first: readonly number[], second: readonly number[]): number {
  const ratios: number[] = []
  for (let i = 0; i < Math.min(first.length, second.length); i++) {
    ratios.push((first[i] as number) / (second[i] as number))
  }
  return median(ratios)
}
