// Bytes of any size into an outbox, whose blocks are limited.

import { copyBytes } from '../../../shared/bytes/copy.ts'
import type { Outbox } from '../../host/protocol.ts'

/** Copies `bytes[at..at + size)` behind what the outbox holds. */
export function copyOut(out: Outbox, bytes: Uint8Array, at: number, size: number): void {
  let from = at
  let left = size
  while (left > 0) {
    const piece = Math.min(left, pieceMax)
    out.reserve(piece)
    copyBytes(bytes, from, out.bytes, out.at, piece)
    out.at += piece
    from += piece
    left -= piece
  }
}

/** Well within a block of the outbox (host/protocol.ts, blockBytes). */
const pieceMax = 64 * 1024
