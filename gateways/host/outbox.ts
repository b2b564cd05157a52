// Collects what one session sends during a turn: runs of pooled blocks, and views of large bodies
// that go to the socket without a copy.

import { assert } from '../../shared/assert.ts'
import type { ByteView } from '../../shared/bytes/view.ts'
import { viewOf } from '../../shared/bytes/view.ts'
import type { BlockPool } from './block-pool.ts'
import { smallBlockBytes } from './block-pool.ts'
import type { Outbox } from './protocol.ts'
import { blockBytes } from './protocol.ts'

/** What one flush hands to the socket: pieces in order, and what to do when it has taken them all. */
export interface OutboxBatch {
  readonly pieces: readonly Uint8Array[]
  readonly blocks: readonly Buffer[]
  readonly onSent: readonly (() => void)[]
}

/** The outbox of one connection. */
export class BlockOutbox implements Outbox {
  bytes: Buffer
  dataView: ByteView
  at: number
  private start: number
  private lastFlushBytes: number
  private pieces: Uint8Array[]
  private blocks: Buffer[]
  private onSent: (() => void)[]
  private readonly pool: BlockPool
  private readonly onTouch: () => void

  constructor(pool: BlockPool, onTouch: () => void) {
    this.pool = pool
    this.onTouch = onTouch
    this.bytes = noBytes
    this.dataView = noView
    this.at = 0
    this.start = 0
    this.lastFlushBytes = 0
    this.pieces = []
    this.blocks = []
    this.onSent = []
  }

  // HOT: once per delivery
  reserve(size: number): void {
    if (this.bytes.length - this.at < size) this.roll(size)
  }

  view(bytes: Uint8Array, onSent: () => void): void {
    this.cut()
    this.pieces.push(bytes)
    this.onSent.push(onSent)
  }

  touch(): void {
    this.onTouch()
  }

  /**
   * Everything written since the last call, undefined when that is nothing. With `compact`, the
   * socket is known to be stuck: a few bytes must not keep a whole block.
   */
  collect(compact: boolean): OutboxBatch | undefined {
    this.cut()
    this.bytes = noBytes
    this.dataView = noView
    this.at = 0
    this.start = 0
    const pieces = this.pieces
    const blocks = this.blocks
    if (pieces.length === 0) {
      this.giveBlocks()
      return undefined
    }
    let size = 0
    for (const piece of pieces) size += piece.length
    this.lastFlushBytes = size
    const onSent = this.onSent
    this.pieces = []
    if (onSent.length > 0) this.onSent = []
    else if (compact && size <= smallBlockBytes / 2) {
      const copy = Buffer.concat(pieces, size)
      this.giveBlocks()
      return { pieces: [copy], blocks: noBlocks, onSent: noCalls }
    }
    this.blocks = []
    return { pieces, blocks, onSent: onSent.length > 0 ? onSent : noCalls }
  }

  /** The socket has taken the batch, or never will. */
  settle(batch: OutboxBatch): void {
    for (const block of batch.blocks) this.pool.give(block)
    for (const call of batch.onSent) call()
  }

  private giveBlocks(): void {
    for (const block of this.blocks) this.pool.give(block)
    this.blocks.length = 0
  }

  /** Ends the run of bytes written since the last cut. */
  private cut(): void {
    if (this.at === this.start) return
    this.pieces.push(this.bytes.subarray(this.start, this.at))
    this.start = this.at
  }

  private roll(size: number): void {
    assert(size <= blockBytes, 'a reserve fits in a block')
    this.cut()
    // A connection that filled a small block in the last turn, or in this one, gets a large one.
    const busy = this.lastFlushBytes > smallBlockBytes || this.blocks.length > 0
    const block = this.pool.take(busy ? blockBytes : size)
    this.blocks.push(block)
    this.bytes = block
    this.dataView = viewOf(block)
    this.at = 0
    this.start = 0
  }
}

const noBytes = Buffer.alloc(0)
const noView = viewOf(noBytes)
const noBlocks: readonly Buffer[] = []
const noCalls: readonly (() => void)[] = []
