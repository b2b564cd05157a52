import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FRAME_OVERHEAD } from '../../../../gateways/amqp091/codec/constants.ts'
import {
  bodyFramesSize,
  deliverFrameSize,
  encodeAck,
  encodeBody,
  encodeBodyHead,
  encodeContentHeader,
  encodeDeliver,
  encodeDelivery,
  encodeFrameEnd,
  encodeGetOk,
  encodeHeartbeat,
  encodeNack,
  encodeReturn,
  getOkFrameSize,
  headerFrameSize,
  returnFrameSize,
  SETTLE_FRAME_SIZE,
} from '../../../../gateways/amqp091/codec/frame-writer.ts'
import { shortstrBytes } from '../../../../shared/bytes/utf8.ts'
import { viewOf } from '../../../../shared/bytes/view.ts'
import { body, header, heartbeat, method, settle, shortstr, u16, u64 } from './frames.ts'

const channelNumber = fc.nat(65_535)
const tagNumber = fc.oneof(fc.nat(1000), fc.maxSafeNat())
const name = fc.string({ unit: 'binary-ascii', maxLength: 60 })
const someBytes = fc.uint8Array({ maxLength: 400 })

// Runs an encoder in the middle of a buffer and gives what it wrote; all else must stay untouched.
function written(size: number, encode: (out: Uint8Array, at: number) => number): Buffer {
  const out = Buffer.alloc(size + 20, 0xee)
  expect(encode(out, 9)).toBe(9 + size)
  expect(out.subarray(0, 9).every((byte) => byte === 0xee)).toBe(true)
  expect(out.subarray(9 + size).every((byte) => byte === 0xee)).toBe(true)
  return Buffer.from(out.subarray(9, 9 + size))
}

function same(actual: Uint8Array, ...expected: Uint8Array[]): void {
  expect(Buffer.from(actual).toString('hex')).toBe(Buffer.concat(expected).toString('hex'))
}

function deliver(
  channel: number,
  consumerTag: string,
  tag: number,
  redelivered: boolean,
  exrk: Uint8Array,
): Uint8Array {
  const bits = Uint8Array.of(redelivered ? 1 : 0)
  return method(channel, 60, 60, shortstr(consumerTag), u64(BigInt(tag)), bits, exrk)
}

describe('frame writer', () => {
  test('writes a whole delivery from an entry, on plain and on shared memory', () => {
    fc.assert(
      fc.property(
        fc.tuple(channelNumber, name, tagNumber, fc.boolean(), name, name),
        fc.tuple(someBytes, someBytes, fc.nat(40), fc.boolean()),
        (
          [channel, consumerTag, tag, redelivered, exchange, key],
          [props, payload, skip, shared],
        ) => {
          const exrk = Buffer.concat([shortstr(exchange), shortstr(key)])
          const entry = Buffer.concat([
            Buffer.of(1, 2, 3),
            exrk,
            Buffer.alloc(skip),
            props,
            payload,
          ])
          const source = shared ? Buffer.from(new SharedArrayBuffer(entry.length)) : entry
          if (shared) source.set(entry)
          const tagBytes = shortstrBytes(consumerTag)
          const size =
            deliverFrameSize(tagBytes.length, exrk.length) +
            headerFrameSize(props.length) +
            bodyFramesSize(payload.length, 8192)
          const out = written(size, (to, at) =>
            encodeDelivery(
              viewOf(to),
              at,
              channel,
              viewOf(tagBytes),
              tag,
              redelivered,
              viewOf(source),
              3,
              exrk.length,
              skip,
              props.length,
              payload.length,
            ),
          )
          const bodies = payload.length === 0 ? [] : [body(channel, payload)]
          const first = deliver(channel, consumerTag, tag, redelivered, exrk)
          same(out, first, header(channel, payload.length, props), ...bodies)
        },
      ),
      { numRuns: 500 },
    )
  })

  test('writes deliver, get-ok and return with names from a slab', () => {
    fc.assert(
      fc.property(
        fc.tuple(channelNumber, tagNumber, fc.boolean(), name, name),
        fc.nat(0xffff_ffff),
        ([channel, tag, flag, exchange, key], count) => {
          const exrk = Buffer.concat([shortstr(exchange), shortstr(key)])
          const [slab, at, size] = [Buffer.concat([Buffer.of(7), exrk]), 1, exrk.length]
          const tagBytes = shortstrBytes('ctag')
          same(
            written(deliverFrameSize(5, size), (out, to) =>
              encodeDeliver(out, to, channel, tagBytes, tag, flag, slab, at, size),
            ),
            deliver(channel, 'ctag', tag, flag, exrk),
          )
          const tagAndFlag = Buffer.concat([u64(BigInt(tag)), Buffer.of(flag ? 1 : 0)])
          const left = Buffer.alloc(4)
          left.writeUInt32BE(count)
          same(
            written(getOkFrameSize(size), (out, to) =>
              encodeGetOk(out, to, channel, tag, flag, slab, at, size, count),
            ),
            method(channel, 60, 71, tagAndFlag, exrk, left),
          )
          const text = shortstrBytes('NO_ROUTE')
          same(
            written(returnFrameSize(text.length, size), (out, to) =>
              encodeReturn(out, to, channel, 312, text, slab, at, size),
            ),
            method(channel, 60, 50, u16(312), text, exrk),
          )
        },
      ),
    )
  })

  test('writes content headers and bodies of any size', () => {
    for (const size of [0, 1, 3, 4, 127, 128, 129, 300, 5000]) {
      const bytes = Buffer.alloc(size + 2, 'ab')
      const props = bytes.subarray(1, 1 + size)
      same(
        written(headerFrameSize(size), (out, at) =>
          encodeContentHeader(out, at, 9, 536_870_912, bytes, 1, size),
        ),
        header(9, 536_870_912, props),
      )
      same(
        written(FRAME_OVERHEAD + size, (out, at) => encodeBody(out, at, 9, bytes, 1, size)),
        body(9, props),
      )
      const parts = written(FRAME_OVERHEAD, (out, at) =>
        encodeFrameEnd(out, encodeBodyHead(out, at, 9, size)),
      )
      same(Buffer.concat([parts.subarray(0, 7), props, parts.subarray(7)]), body(9, props))
    }
  })

  test('writes acks, nacks and heartbeats', () => {
    fc.assert(
      fc.property(channelNumber, tagNumber, fc.boolean(), (channel, tag, multiple) => {
        const bits = multiple ? 1 : 0
        same(
          written(SETTLE_FRAME_SIZE, (out, at) => encodeAck(out, at, channel, tag, multiple)),
          settle(channel, 80, BigInt(tag), bits),
        )
        same(
          written(SETTLE_FRAME_SIZE, (out, at) => encodeNack(out, at, channel, tag, multiple)),
          settle(channel, 120, BigInt(tag), bits),
        )
      }),
    )
    same(written(FRAME_OVERHEAD, encodeHeartbeat), heartbeat)
  })

  test('bodyFramesSize counts a frame per frame_max and none for an empty body', () => {
    expect(bodyFramesSize(0, 4096)).toBe(0)
    expect(bodyFramesSize(1, 4096)).toBe(9)
    expect(bodyFramesSize(4088, 4096)).toBe(4096)
    expect(bodyFramesSize(4089, 4096)).toBe(4089 + 16)
  })
})
