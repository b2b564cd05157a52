import { describe, expect, test } from 'vitest'
import { copyBytes } from '../../../shared/bytes/copy.ts'

const SIZE = 6000
const source = Uint8Array.from({ length: SIZE }, (_, i) => (i * 7 + 3) & 0xff)

function sharedCopy(): Uint8Array {
  const bytes = new Uint8Array(new SharedArrayBuffer(SIZE))
  bytes.set(source)
  return bytes
}

describe('copyBytes', () => {
  const sources: [string, Uint8Array][] = [
    ['plain', source],
    ['Buffer', Buffer.from(source)],
    ['shared', sharedCopy()],
  ]
  for (const [name, src] of sources) {
    test(`copies any size from ${name} memory and touches nothing else`, () => {
      const sizes = [0, 1, 7, 8, 9, 31, 64, 127, 128, 129, 255, 256, 257, 1000, 4096, 5000]
      for (const shared of [false, true]) {
        for (const size of sizes) {
          for (const [from, to] of [
            [0, 0],
            [3, 5],
            [8, 16],
            [1, 9],
          ] as const) {
            const dst = shared
              ? new Uint8Array(new SharedArrayBuffer(SIZE)).fill(0xee)
              : new Uint8Array(SIZE).fill(0xee)
            copyBytes(src, from, dst, to, size)
            const wanted = new Uint8Array(SIZE).fill(0xee)
            wanted.set(source.subarray(from, from + size), to)
            expect(Buffer.compare(dst, wanted)).toBe(0)
          }
        }
      }
    })
  }
})
