// When stored messages expire: for the index of a segment, so that a start need not read the messages.

import type { BlockBuilder } from './block-builder.ts'
import { expiriesHeadWords, highWord, joinWords, lowWord, Op } from './wal-format.ts'

/** Of messages of one queue, in the order in which they are stored. Times are wall clock, milliseconds. */
export interface Expiries {
  readonly positions: number[]
  readonly times: number[]
}

/** Pairs in one op. */
const pairsMax = 1024

/** Writes the times of a queue's messages as expiries ops; `flush` empties the block. */
export function writeExpiries(
  queue: number,
  { positions, times }: Expiries,
  block: BlockBuilder,
  flush: () => void,
): void {
  for (let from = 0; from < positions.length; ) {
    if (block.room() < expiriesHeadWords + 2 * pairsMax) flush()
    const [position, time] = [positions[from] as number, times[from] as number]
    const { words, at } = block
    let w = at + expiriesHeadWords
    const end = Math.min(positions.length, from + pairsMax)
    for (; from < end; from++) {
      const step = (positions[from] as number) - position
      const delay = (times[from] as number) - time
      if (!fits(step) || !fits(delay)) break
      words[w++] = step
      words[w++] = delay
    }
    words[at] = ((w - at) << 8) | Op.expiries
    words[at + 1] = queue
    words[at + 2] = lowWord(position)
    words[at + 3] = highWord(position)
    words[at + 4] = lowWord(time)
    words[at + 5] = highWord(time)
    block.at = w
  }
}

/** Adds what the expiries op at `words[w..]` says to `found`, by queue. */
export function readExpiries(words: Int32Array, w: number, found: Map<number, Expiries>): void {
  const queue = words[w + 1] as number
  const position = joinWords(words[w + 2] as number, words[w + 3] as number)
  const time = joinWords(words[w + 4] as number, words[w + 5] as number)
  const end = w + ((words[w] as number) >>> 8)
  for (let i = w + expiriesHeadWords; i < end; i += 2) {
    noteExpiry(found, queue, position + (words[i] as number), time + (words[i + 1] as number))
  }
}

export function noteExpiry(
  found: Map<number, Expiries>,
  queue: number,
  position: number,
  time: number,
): void {
  let expiries = found.get(queue)
  if (expiries === undefined) {
    expiries = { positions: [], times: [] }
    found.set(queue, expiries)
  }
  expiries.positions.push(position)
  expiries.times.push(time)
}

function fits(value: number): boolean {
  return value === (value | 0)
}
