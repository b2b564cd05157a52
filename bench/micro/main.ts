/**
 * `node --expose-gc dist/bench/micro/main.js [--quick] [part of a name]`:
 * time and heap growth of the functions that every message passes.
 */

import { codecMicros } from './codec.ts'
import { frameScannerMicros } from './frame-scanner.ts'
import type { Micro } from './harness.ts'
import { measureMicro } from './harness.ts'
import { messagePathMicros } from './message-path.ts'
import { queueMicros } from './queue.ts'
import { ringMicros } from './ring.ts'
import { topicTrieMicros } from './topic-trie.ts'

const args = process.argv.slice(2)
const quick = args.includes('--quick')
const part = args.find((arg) => !arg.startsWith('--')) ?? ''

const micros: readonly Micro[] = [
  ...ringMicros(),
  ...codecMicros(),
  ...messagePathMicros(),
  ...queueMicros(),
  ...topicTrieMicros(quick),
  ...frameScannerMicros(),
]
process.stdout.write(
  `${'per operation'.padEnd(56)}${'time'.padStart(12)}${'heap per 1 M'.padStart(16)}\n`,
)
for (const micro of micros.filter(({ name }) => name.includes(part))) {
  const { name, nsPerOp, heapBytesPerMillion } = measureMicro(micro, quick)
  const heap = `${(heapBytesPerMillion / 1024).toFixed(0)} KiB`
  process.stdout.write(
    `${name.padEnd(56)}${`${nsPerOp.toFixed(1)} ns`.padStart(12)}${heap.padStart(16)}\n`,
  )
}
