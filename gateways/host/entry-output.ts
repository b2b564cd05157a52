// From an entry in a slab (shared/bus/wire.ts) to an outbox: what every protocol's deliveries end in.

import type { GatewayLink, GatewayPort } from '../../shared/bus/gateway-port.ts'
import { entryWords, extentWords } from '../../shared/bus/wire.ts'
import { copyBytes } from '../../shared/bytes/copy.ts'
import type { Outbox } from './protocol.ts'

/** Up to here a copy costs less than one more buffer in the socket's writev. */
export const inlineMax: number = 16 * 1024

/** Well within a block of the outbox (protocol.ts, blockBytes). */
const pieceMax = 64 * 1024

/** Copies `bytes[at..at + size)`, of any size, behind what the outbox holds. */
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

// HOT: once per delivery
/**
 * Writes the body of the entry whose words begin at `at` in `link.words`, and nothing around it:
 * small pieces are copied, large ones handed over as they lie.
 */
export function writeEntryBody(
  out: Outbox,
  port: GatewayPort,
  link: GatewayLink,
  at: number,
): void {
  const { words } = link
  const bodySize = words[at + 5] as number
  if (bodySize === 0) return
  const slab = words[at] as number
  const prefix = (words[at + 2] as number) + (words[at + 3] as number) + (words[at + 4] as number)
  const from = (words[at + 1] as number) + prefix
  const extents = words[at + 6] as number
  let first = bodySize
  for (let i = 0; i < extents; i++) {
    first -= words[at + entryWords + i * extentWords + 2] as number
  }
  writePiece(out, port, link, slab, from, first)
  for (let i = 0; i < extents; i++) {
    const next = at + entryWords + i * extentWords
    const size = words[next + 2] as number
    writePiece(out, port, link, words[next] as number, words[next + 1] as number, size)
  }
}

function writePiece(
  out: Outbox,
  port: GatewayPort,
  link: GatewayLink,
  slab: number,
  from: number,
  size: number,
): void {
  const bytes = port.arena.slab(slab)
  if (size <= inlineMax) {
    out.reserve(size)
    copyBytes(bytes, from, out.bytes, out.at, size)
    out.at += size
    return
  }
  link.pin(slab)
  out.view(bytes.subarray(from, from + size), () => link.unpin(slab))
}
