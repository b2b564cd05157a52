import { expect, test } from 'vitest'
import { codecMicros } from '../../../bench/micro/codec.ts'
import type { Micro } from '../../../bench/micro/harness.ts'
import { measureMicro } from '../../../bench/micro/harness.ts'
import { queueMicros } from '../../../bench/micro/queue.ts'
import { ringMicros } from '../../../bench/micro/ring.ts'
import { topicTrieMicros } from '../../../bench/micro/topic-trie.ts'

// The smallest object takes 16 bytes; what the test runner allocates meanwhile stays below 4.
const BYTES_PER_OP_MAX = 4

// Between functions that V8 does not inline a time or a position is a heap number, and short-lived.
const FEATURE_BYTES_PER_OP_MAX = 64

function bytesPerOp(micro: Micro): number {
  // A rerun: a function that is optimised late allocates until then.
  const runs = [measureMicro(micro, true), measureMicro(micro, true)]
  return Math.min(...runs.map(({ heapBytesPerMillion }) => heapBytesPerMillion)) / 1e6
}

const micros = [...codecMicros(), ...ringMicros(), ...queueMicros(), ...topicTrieMicros(true)]
// Copying more than 128 bytes takes a view, once per large body.
const small = micros.filter(({ name }) => !name.includes('encode deliver 1 KiB'))

test.each(small)('$name makes no object per message', (micro) => {
  const hasFeature = micro.name.includes('settled,')
  const max = hasFeature ? FEATURE_BYTES_PER_OP_MAX : BYTES_PER_OP_MAX
  expect(bytesPerOp(micro)).toBeLessThan(max)
})

test('the measure sees one small object per operation', () => {
  const kept: object[] = [{}]
  const batch = (): void => {
    for (let i = 0; i < 1000; i++) kept[0] = { i }
  }
  expect(bytesPerOp({ name: 'an object', size: 1000, batch })).toBeGreaterThan(15)
})
