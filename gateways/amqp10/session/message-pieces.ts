// A message as the ranges of memory that it lies in, so that any part of it can be written: head,
// body over the extents of its entry, tail.

import type { Arena } from '../../../shared/bus/arena.ts'
import type { GatewayLink } from '../../../shared/bus/gateway-port.ts'
import { entryWords, extentWords } from '../../../shared/bus/wire.ts'
import { copyBytes } from '../../../shared/bytes/copy.ts'
import type { Outbox } from '../../host/protocol.ts'
import type { MessageOut } from '../mapping/message-out.ts'
import { joinDataSections } from '../mapping/message-out.ts'
import { BodyLayout } from '../mapping/native-part.ts'

interface Piece {
  readonly bytes: Uint8Array
  readonly at: number
  readonly size: number
  /** -1: no slab. */
  readonly slab: number
}

/** For one message after another. */
export class MessagePieces {
  size: number
  private pieces: Piece[]
  private link: GatewayLink | undefined

  constructor() {
    this.size = 0
    this.pieces = []
    this.link = undefined
  }

  /** A message that lies in one piece. */
  set(bytes: Uint8Array): void {
    this.link = undefined
    this.pieces = []
    this.size = 0
    this.add(bytes, 0, bytes.length, -1)
  }

  /** The message that `out` has rendered from the entry in `words`. */
  setEntry(arena: Arena, out: MessageOut, link: GatewayLink, words: Int32Array): void {
    this.pieces = []
    this.size = 0
    this.link = link
    const { head } = out
    this.add(head.bytes, 0, head.at, -1)
    const bodySize = words[5] as number
    let further = 0
    for (let i = entryWords; i < words.length; i += extentWords) further += words[i + 2] as number
    const prefix = (words[2] as number) + (words[3] as number) + (words[4] as number)
    const slab = words[0] as number
    this.add(arena.slab(slab), (words[1] as number) + prefix, bodySize - further, slab)
    for (let i = entryWords; i < words.length; i += extentWords) {
      const extent = words[i] as number
      this.add(arena.slab(extent), words[i + 1] as number, words[i + 2] as number, extent)
    }
    if (out.layout === BodyLayout.dataList) {
      const body = Buffer.concat(
        this.pieces.slice(1).map(({ bytes, at, size }) => bytes.subarray(at, at + size)),
      )
      this.set(joinDataSections(out, arena.slab(slab), body))
      return
    }
    this.add(out.tail, out.tailAt, out.tailSize, -1)
  }

  /** Writes `size` bytes from position `from` on: large pieces in slabs as views, the rest as copies. */
  write(outbox: Outbox, from: number, size: number): void {
    let skip = from
    let left = size
    for (const piece of this.pieces) {
      if (left === 0) return
      if (skip >= piece.size) {
        skip -= piece.size
        continue
      }
      const part = Math.min(piece.size - skip, left)
      this.writePart(outbox, piece, piece.at + skip, part)
      left -= part
      skip = 0
    }
  }

  private add(bytes: Uint8Array, at: number, size: number, slab: number): void {
    if (size <= 0) return
    this.pieces.push({ bytes, at, size, slab })
    this.size += size
  }

  private writePart(outbox: Outbox, { bytes, slab }: Piece, at: number, size: number): void {
    const { link } = this
    if (size > inlineMax && slab >= 0 && link !== undefined) {
      link.pin(slab)
      outbox.view(bytes.subarray(at, at + size), () => link.unpin(slab))
      return
    }
    let from = at
    let left = size
    while (left > 0) {
      const part = Math.min(left, copyMax)
      outbox.reserve(part)
      copyBytes(bytes, from, outbox.bytes, outbox.at, part)
      outbox.at += part
      from += part
      left -= part
    }
  }
}

/** Up to here a copy costs less than one more buffer in the socket's writev. */
const inlineMax = 16 * 1024

/** Well within a block of the outbox. */
const copyMax = 64 * 1024
