// Frames to a client. Rare ones are built in one piece of scratch memory and copied to the outbox.

import { Buffer } from 'node:buffer'
import { Writer, writeU32 } from '../../../shared/bytes/writer.ts'
import type { Outbox } from '../../host/protocol.ts'
import { blockPieceBytes } from './sizes.ts'

/** Builds one frame at a time. */
export class FrameWriter {
  private readonly out: Outbox
  private readonly writer: Writer

  constructor(out: Outbox) {
    this.out = out
    this.writer = scratch
  }

  begin(key: number, version = 1): this {
    this.writer.at = 0
    this.writer.u32(0)
    return this.u16(key).u16(version)
  }

  u8(value: number): this {
    this.writer.u8(value)
    return this
  }

  u16(value: number): this {
    this.writer.u16(value)
    return this
  }

  u32(value: number): this {
    this.writer.u32(value)
    return this
  }

  u64(value: number): this {
    this.writer.u64(value)
    return this
  }

  i64(value: number): this {
    this.writer.i64(value)
    return this
  }

  string(text: string): this {
    const bytes = Buffer.from(text)
    this.writer.u16(bytes.length)
    this.writer.raw(bytes)
    return this
  }

  strings(texts: readonly string[]): this {
    this.writer.u32(texts.length)
    for (const text of texts) this.string(text)
    return this
  }

  pairs(pairs: readonly (readonly [string, string])[]): this {
    this.writer.u32(pairs.length)
    for (const [key, value] of pairs) this.string(key).string(value)
    return this
  }

  /** The frame is whole: into the outbox with it. */
  send(): void {
    const { out, writer } = this
    const { at } = writer
    writeU32(writer.bytes, 0, at - 4)
    const bytes = Buffer.from(writer.bytes.buffer, writer.bytes.byteOffset, at)
    for (let from = 0; from < at; from += blockPieceBytes) {
      const size = Math.min(blockPieceBytes, at - from)
      out.reserve(size)
      bytes.copy(out.bytes, out.at, from, from + size)
      out.at += size
    }
    out.touch()
  }
}

// One frame at a time is built on a thread.
const scratch = new Writer(4096)
