// Blocks that outboxes write into. A connection holds one only between its first byte of a turn and
// the moment the kernel has taken it, so 10 000 idle connections hold none.

import { blockBytes } from './protocol.ts'

/** Size of the block that a connection begins with: enough for confirms and small replies. */
export const smallBlockBytes: number = 4096

// 64 large blocks are 8 MiB: what busy connections of one thread have in flight at once; the small
// ones 4 MiB, a turn that touches 1000 connections. What comes back beyond that is left to the GC.
const largeBlocksKept = 64
const smallBlocksKept = 1024

/** The blocks of one thread, in two sizes. */
export class BlockPool {
  private readonly small: Buffer[]
  private readonly large: Buffer[]

  constructor() {
    this.small = []
    this.large = []
  }

  /** A block of at least `size` bytes; `size` is at most `blockBytes`. */
  take(size: number): Buffer {
    if (size <= smallBlockBytes) return this.small.pop() ?? Buffer.allocUnsafeSlow(smallBlockBytes)
    return this.large.pop() ?? Buffer.allocUnsafeSlow(blockBytes)
  }

  /** Takes back what `take` gave. */
  give(block: Buffer): void {
    if (block.length === blockBytes) {
      if (this.large.length < largeBlocksKept) this.large.push(block)
    } else if (this.small.length < smallBlocksKept) {
      this.small.push(block)
    }
  }
}
