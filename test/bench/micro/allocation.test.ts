import { expect, test } from 'vitest'
import { codecMicros } from '../../../bench/micro/codec.ts'
import type { Micro } from '../../../bench/micro/harness.ts'
import { measureMicro } from '../../../bench/micro/harness.ts'
import { queueMicros } from '../../../bench/micro/queue.ts'
import { ringMicros } from '../../../bench/micro/ring.ts'
import { topicTrieMicros } from '../../../bench/micro/topic-trie.ts'

// The smallest object takes 16 bytes; what the test runner allocates meanwhile stays below 4.
const BYTES_PER_OP_MAX = 4

// Positions of levels are above 2^31: between functions that V8 does not inline each is a heap number.
const LEVEL_BYTES_PER_OP_MAX = 72
// So is the time of expiry that the queue and the log are told.
const TIME_BYTES_PER_OP_MAX = 40

function bytesPerOp(micro: Micro): number {
  // A rerun: a function that is optimised late allocates until then.
  const runs = [measureMicro(micro, true), measureMicro(micro, true)]
  return Math.min(...runs.map(({ heapBytesPerMillion }) => heapBytesPerMillion)) / 1e6
}

const micros = [...codecMicros(), ...ringMicros(), ...queueMicros(), ...topicTrieMicros(true)]
// Copying more than 128 bytes takes a view, once per large body.
const small = micros.filter(({ name }) => !name.includes('encode deliver 1 KiB'))

test.each(small)('$name makes no object per message', (micro) => {
  const hasLevels = micro.name.includes('priorities')
  const hasTime = /ttl|expiration/.test(micro.name)
  const max = hasLevels
    ? LEVEL_BYTES_PER_OP_MAX
    : hasTime
      ? TIME_BYTES_PER_OP_MAX
      : BYTES_PER_OP_MAX
  expect(bytesPerOp(micro)).toBeLessThan(max)
})

test('the measure sees one small object per operation', () => {
  const kept: object[] = [{}]
  const batch = (): void => {
    for (let i = 0; i < 1000; i++) kept[0] = { i }
  }
  expect(bytesPerOp({ name: 'an object', size: 1000, batch })).toBeGreaterThan(15)
})
