/** Records of a small message through one ring: written, published, read and released in batches. */

import { createRing, RingReader, RingWriter } from '../../shared/bus/ring.ts'
import { publishWords } from '../../shared/bus/wire.ts'
import type { Micro } from './harness.ts'

const CAPACITY_WORDS = 1 << 16
/** A gateway publishes what one socket chunk held: about 800 messages of 16 B in 64 KiB. */
const BATCH = 800

export function ringMicros(): readonly Micro[] {
  return [through('ring: reserve, commit, next', publishWords), through('ring: 64 words', 64)]
}

function through(name: string, words: number): Micro {
  const memory = createRing(CAPACITY_WORDS)
  const writer = new RingWriter(memory)
  const reader = new RingReader(memory)
  let sum = 0
  const batch = (): void => {
    for (let i = 0; i < BATCH; i++) {
      const at = writer.reserve(words)
      if (at < 0) throw new Error('the ring is full')
      writer.words[at] = (words << 8) | 1
      for (let word = 1; word < words; word++) writer.words[at + word] = i
      writer.commit(words)
    }
    writer.publish()
    reader.look()
    for (let at = reader.next(); at >= 0; at = reader.next()) {
      sum = (sum + (reader.words[at + words - 1] as number)) | 0
    }
    reader.release()
    if (sum === 0.5) throw new Error('never: keeps the reads alive')
  }
  return { name, size: BATCH, batch }
}
