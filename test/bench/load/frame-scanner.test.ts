import { describe, expect, test } from 'vitest'
import { FrameScanner } from '../../../bench/load/frame-scanner.ts'
import {
  FrameKind,
  frame,
  MethodId,
  methodFrame,
  short,
  u8,
  u32,
} from '../../../bench/load/wire.ts'

type Seen = {
  readonly confirms: [number, number, boolean, boolean][]
  readonly methods: [number, number, string][]
  readonly stamps: number[]
}

function scan(bytes: Buffer, chunkSize: number, stamps: boolean): { scanner: FrameScanner } & Seen {
  const seen: Seen = { confirms: [], methods: [], stamps: [] }
  const scanner = new FrameScanner(
    {
      onConfirm: (channel, tag, multiple, nack) =>
        seen.confirms.push([channel, tag, multiple, nack]),
      onMethod: (channel, id, args) => seen.methods.push([channel, id, args.toString('latin1')]),
      onStamp: (stamp) => seen.stamps.push(stamp),
    },
    8,
    stamps,
  )
  // One buffer for all chunks, as a socket has: the scanner may keep nothing of it.
  const chunk = Buffer.alloc(bytes.length)
  for (let at = 0; at < bytes.length; at += chunkSize) {
    const size = Math.min(chunkSize, bytes.length - at)
    chunk.fill(0xff)
    bytes.copy(chunk, 0, at, at + size)
    scanner.push(chunk, size)
  }
  return { scanner, ...seen }
}

function delivery(channel: number, tag: number, body: Buffer): Buffer {
  const args = [short('c'), u32(0), u32(tag), u8(0), short(''), short('queue')]
  const header = Buffer.alloc(14)
  header.writeUInt16BE(60, 0)
  header.writeUInt32BE(body.length, 8)
  const frames = [
    methodFrame(channel, MethodId.basicDeliver, ...args),
    frame(FrameKind.header, channel, header),
  ]
  for (let at = 0; at < body.length; at += 50) {
    frames.push(frame(FrameKind.body, channel, body.subarray(at, at + 50)))
  }
  return Buffer.concat(frames)
}

function stampedBody(stamp: number, size: number): Buffer {
  // Frame-end marks inside a body must not confuse the walk.
  const body = Buffer.alloc(size, 0xce)
  body.writeUInt32BE(stamp)
  return body
}

const stream = Buffer.concat([
  methodFrame(1, MethodId.basicConsumeOk, short('consumer')),
  delivery(1, 1, stampedBody(111, 16)),
  delivery(2, 1, Buffer.alloc(0)),
  methodFrame(3, MethodId.basicAck, u32(1), u32(5), u8(1)),
  frame(FrameKind.heartbeat, 0, Buffer.alloc(0)),
  delivery(1, 2, stampedBody(0xfffffff0, 120)),
  methodFrame(3, MethodId.basicNack, u32(0), u32(7), u8(0)),
  methodFrame(0, MethodId.connectionClose, short('x'.repeat(200))),
])

describe('frame scanner', () => {
  test('counts deliveries by channel, confirms and other methods in one chunk', () => {
    const { scanner, confirms, methods, stamps } = scan(stream, stream.length, false)
    expect(scanner.deliveries).toBe(3)
    expect([...scanner.deliveriesOn.subarray(0, 4)]).toEqual([0, 2, 1, 0])
    expect(confirms).toEqual([
      [3, 2 ** 32 + 5, true, false],
      [3, 7, false, true],
    ])
    expect(methods).toEqual([
      [1, MethodId.basicConsumeOk, '\x08consumer'],
      [0, MethodId.connectionClose, `\xc8${'x'.repeat(200)}`],
    ])
    expect(stamps).toEqual([])
  })

  test('sees the same for every size of chunk', () => {
    const bodied = Buffer.concat([stream, delivery(1, 3, stampedBody(7, 60))])
    const whole = scan(bodied, bodied.length, true)
    for (let size = 1; size < bodied.length; size++) {
      const split = scan(bodied, size, true)
      expect(split.scanner.deliveries).toBe(whole.scanner.deliveries)
      expect(split.confirms).toEqual(whole.confirms)
      expect(split.methods).toEqual(whole.methods)
      expect(split.stamps).toEqual(whole.stamps)
    }
  })

  test('reads one time stamp per delivered message, from its first body frame', () => {
    const bytes = Buffer.concat([
      delivery(1, 1, stampedBody(111, 16)),
      delivery(1, 2, stampedBody(0xfffffff0, 120)),
    ])
    expect(scan(bytes, bytes.length, true).stamps).toEqual([111, 0xfffffff0])
  })

  test('refuses a frame without its end mark, whole or split', () => {
    const bytes = delivery(1, 1, Buffer.alloc(16))
    bytes[bytes.length - 1] = 0
    expect(() => scan(bytes, bytes.length, false)).toThrow('frame end')
    expect(() => scan(bytes, 10, false)).toThrow('frame end')
    expect(() => scan(bytes, 1, false)).toThrow('frame end')
  })
})
