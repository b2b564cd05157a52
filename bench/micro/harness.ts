/**
 * Measures a hot function in this thread: nanoseconds and bytes of JavaScript heap per operation.
 * Bytes are all that was allocated, also what a collection took away again meanwhile.
 */

import { GCProfiler } from 'node:v8'

/** Figures of one function. */
export type MicroResult = {
  readonly name: string
  readonly nsPerOp: number
  /** Heap bytes allocated for a million operations. Under a byte per operation means: no object. */
  readonly heapBytesPerMillion: number
}

/** What to measure: `batch` does `size` operations. */
export type Micro = { readonly name: string; readonly size: number; readonly batch: () => void }

/** Long enough for the optimising compiler to be done with it. */
const WARMUP_MS = 300
const MEASURED_MS = 700
const HEAP_OPS = 1_000_000
/** For a check only: a tenth of the time, a fifth of the operations. */
const WARMUP_MS_QUICK = 60
const MEASURED_MS_QUICK = 30
const HEAP_OPS_QUICK = 200_000

/** Runs one function; needs `--expose-gc` for steady heap figures, works without. */
export function measureMicro({ name, size, batch }: Micro, quick: boolean): MicroResult {
  repeat(batch, size, 0, quick ? WARMUP_MS_QUICK : WARMUP_MS)
  const { ops, ns } = repeat(batch, size, 0, quick ? MEASURED_MS_QUICK : MEASURED_MS)
  return { name, nsPerOp: ns / ops, heapBytesPerMillion: heapGrowth(batch, size, quick) }
}

/** Runs `batch` until both `opsMin` and `ms` are reached. */
function repeat(
  batch: () => void,
  size: number,
  opsMin: number,
  ms: number,
): { readonly ops: number; readonly ns: number } {
  const startedAt = performance.now()
  let ops = 0
  let elapsed = 0
  while (ops < opsMin || elapsed < ms) {
    batch()
    ops += size
    elapsed = performance.now() - startedAt
  }
  return { ops, ns: elapsed * 1e6 }
}

function heapGrowth(batch: () => void, size: number, quick: boolean): number {
  globalThis.gc?.()
  const profiler = new GCProfiler()
  profiler.start()
  const before = process.memoryUsage().heapUsed
  const { ops } = repeat(batch, size, quick ? HEAP_OPS_QUICK : HEAP_OPS, 0)
  const after = process.memoryUsage().heapUsed
  let collected = 0
  for (const { beforeGC, afterGC } of profiler.stop().statistics) {
    collected += beforeGC.heapStatistics.usedHeapSize - afterGC.heapStatistics.usedHeapSize
  }
  return Math.max(0, ((after - before + collected) / ops) * 1e6)
}
