/** The load generator's own reading: what it costs must stay far below what the broker costs. */

import { FrameScanner } from '../load/frame-scanner.ts'
import { FrameKind, frame, MethodId, methodFrame, short, u8, u32 } from '../load/wire.ts'
import type { Micro } from './harness.ts'

const CHUNK_SIZE = 64 * 1024

export function frameScannerMicros(): readonly Micro[] {
  return [
    scan('load generator: count deliveries of 16 B', false),
    scan('the same with stamps', true),
  ]
}

function scan(name: string, stamps: boolean): Micro {
  const deliver = [short('c'), u32(0), u32(1), u8(0), short(''), short('bench.queue')]
  const header = Buffer.alloc(15)
  header.writeUInt32BE(16, 8)
  const delivery = Buffer.concat([
    methodFrame(1, MethodId.basicDeliver, ...deliver),
    frame(FrameKind.header, 1, header),
    frame(FrameKind.body, 1, Buffer.alloc(16)),
  ])
  const count = Math.floor(CHUNK_SIZE / delivery.length)
  const bytes = Buffer.concat(Array.from({ length: count }, () => delivery))
  const listener = { onConfirm: () => {}, onMethod: () => {}, onStamp: () => {} }
  const scanner = new FrameScanner(listener, 8, stamps)
  return { name, size: count, batch: () => scanner.push(bytes, bytes.length) }
}
