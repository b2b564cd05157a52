/**
 * Latencies in logarithmic buckets with linear steps inside each octave, so that a percentile is
 * never more than 1/128 (0.8 %) off, at any magnitude, in one fixed typed array.
 */

/** Steps per octave; values below it have a bucket of their own. */
const STEPS = 128
const STEP_BITS = 7
/** Values are clamped to 2^31 - 1 (36 minutes in microseconds). */
const VALUE_MAX = 0x7fffffff
const BUCKET_COUNT = STEPS * (31 - STEP_BITS + 1)

/** Percentiles of one run, in the unit that was recorded. */
export type Percentiles = {
  readonly count: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

/** Counts non-negative integers; `record` allocates nothing. */
export class Histogram {
  readonly counts: Float64Array
  count: number
  max: number

  constructor() {
    this.counts = new Float64Array(BUCKET_COUNT)
    this.count = 0
    this.max = 0
  }

  /** HOT: one value, clamped to 0 .. 2^31 - 1. */
  record(value: number): void {
    const v = value < 0 ? 0 : value > VALUE_MAX ? VALUE_MAX : value | 0
    const bucket = bucketOf(v)
    this.counts[bucket] = (this.counts[bucket] as number) + 1
    this.count++
    if (v > this.max) this.max = v
  }

  /** Smallest bucket value at or under which `share` (0 .. 1) of the values lie; 0 when empty. */
  percentile(share: number): number {
    const rank = Math.max(1, Math.ceil(share * this.count))
    let seen = 0
    for (let bucket = 0; bucket < BUCKET_COUNT; bucket++) {
      seen += this.counts[bucket] as number
      if (seen >= rank) return Math.min(upperValueOf(bucket), this.max)
    }
    return this.max
  }

  /** Forgets everything, to begin measuring after a warm-up. */
  reset(): void {
    this.counts.fill(0)
    this.count = 0
    this.max = 0
  }

  /** The figures that are reported. */
  summary(): Percentiles {
    return {
      count: this.count,
      p50: this.percentile(0.5),
      p99: this.percentile(0.99),
      p999: this.percentile(0.999),
      max: this.max,
    }
  }
}

/*
 * A value of n bits (n > 7) keeps its 8 highest: shift = n - 8, step = (v >> shift) - 128 in 0..127.
 * Buckets: 0..127 exact, then 128 per shift.
 */
function bucketOf(v: number): number {
  if (v < STEPS) return v
  const shift = 31 - STEP_BITS - Math.clz32(v)
  return STEPS * shift + (v >> shift)
}

function upperValueOf(bucket: number): number {
  if (bucket < STEPS * 2) return bucket
  const shift = Math.floor(bucket / STEPS) - 1
  const step = bucket - STEPS * shift
  return step * 2 ** shift + 2 ** shift - 1
}
