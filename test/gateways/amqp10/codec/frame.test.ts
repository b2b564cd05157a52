// Frames of every performative: whole, split anywhere, cut short anywhere, and bytes that are none.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { asPerformative, composite } from '../../../../gateways/amqp10/codec/composite.ts'
import { FrameDecoder, FrameKind } from '../../../../gateways/amqp10/codec/frame.ts'
import {
  encodeDisposition,
  encodeFlow,
  encodeTransfer,
} from '../../../../gateways/amqp10/codec/frame-writer.ts'
import type { Described } from '../../../../gateways/amqp10/codec/value.ts'
import { list, symbol, ulong, utf8 } from '../../../../gateways/amqp10/codec/value.ts'
import { ValueReader } from '../../../../gateways/amqp10/codec/value-reader.ts'
import { DecodeError } from '../../../../shared/bytes/decode-error.ts'
import { frameBytes } from '../../../support/amqp10-peer.ts'

const accepted: Described = { type: 'described', descriptor: ulong(0x24), value: list([]) }
const error = {
  kind: 'error',
  condition: 'amqp:not-found',
  description: 'gone',
  info: undefined,
} as const
const payload = Buffer.from([0, 0x53, 0x75, 0xa0, 3, 1, 2, 3])

const frames: readonly [string, Buffer][] = [
  ['open', frameBytes(0, 0, 'open', { containerId: 'c', hostname: 'h', channelMax: 9 })],
  ['begin', frameBytes(0, 1, 'begin', { nextOutgoingId: 0, incomingWindow: 9, outgoingWindow: 9 })],
  [
    'attach',
    frameBytes(0, 1, 'attach', {
      name: 'n',
      handle: 0,
      role: true,
      source: composite('source', {
        address: utf8('/queues/q'),
        filter: [[symbol('f'), accepted]],
      }),
      target: composite('target', {}),
    }),
  ],
  [
    'flow',
    frameBytes(0, 1, 'flow', {
      nextIncomingId: 1,
      incomingWindow: 2,
      nextOutgoingId: 300,
      outgoingWindow: 4,
      handle: 5,
      deliveryCount: 6,
      linkCredit: 70_000,
      drain: true,
    }),
  ],
  [
    'transfer',
    frameBytes(
      0,
      1,
      'transfer',
      { handle: 1, deliveryId: 2, deliveryTag: Buffer.from('tag'), settled: true, state: accepted },
      payload,
    ),
  ],
  [
    'disposition',
    frameBytes(0, 1, 'disposition', { role: true, first: 1, last: 9, state: accepted }),
  ],
  ['detach', frameBytes(0, 1, 'detach', { handle: 1, closed: true, error: error })],
  ['end', frameBytes(0, 1, 'end', { error: error })],
  ['close', frameBytes(0, 0, 'close', {})],
  ['an empty frame', Buffer.from([0, 0, 0, 8, 2, 0, 0, 0])],
]

/** What a decoder shows of a frame. */
function show(decoder: FrameDecoder, kind: number): unknown {
  const { bytes } = decoder
  if (kind === FrameKind.transfer) {
    const { handle, deliveryId, tagAt, tagSize, settled, more, payloadAt, payloadSize } = decoder
    const tag = Buffer.from(bytes.slice(tagAt, tagAt + tagSize)).toString()
    const body = Buffer.from(bytes.slice(payloadAt, payloadAt + payloadSize)).toString('hex')
    return { kind, channel: decoder.channel, handle, deliveryId, tag, settled, more, body }
  }
  if (kind === FrameKind.disposition) {
    const { role, first, last, settled, state } = decoder
    return { kind, role, first, last, settled, state }
  }
  if (kind === FrameKind.flow) {
    const { nextIncomingId, incomingWindow, nextOutgoingId, handle, deliveryCount } = decoder
    const { linkCredit, drain, echo } = decoder
    return {
      kind,
      nextIncomingId,
      incomingWindow,
      nextOutgoingId,
      handle,
      deliveryCount,
      linkCredit,
      drain,
      echo,
    }
  }
  if (kind !== FrameKind.performative) return { kind }
  const { performativeAt, performativeEnd } = decoder
  const value = new ValueReader(bytes, performativeAt, performativeEnd).read()
  return { kind, performative: value.type === 'described' ? asPerformative(value) : undefined }
}

/** Everything in chunks of the given sizes (the last one takes the rest). */
function decode(input: Uint8Array, cuts: readonly number[]): unknown[] {
  const decoder = new FrameDecoder(131072, 0)
  const seen: unknown[] = []
  let from = 0
  for (const to of [...cuts, input.length]) {
    // A memory of its own, scribbled over afterwards: nothing may be kept of it.
    const chunk = Uint8Array.prototype.slice.call(input, from, to)
    decoder.push(chunk)
    for (let kind = decoder.next(); kind !== FrameKind.needMore; kind = decoder.next()) {
      seen.push(show(decoder, kind))
    }
    chunk.fill(0xee)
    from = to
  }
  return seen
}

const all = Buffer.concat(frames.map(([, bytes]) => bytes))

describe('the decoder', () => {
  test('gives the same frames for every split of the same bytes', () => {
    const whole = decode(all, [])
    expect(whole).toHaveLength(frames.length)
    for (let cut = 1; cut < all.length; cut++) expect(decode(all, [cut])).toEqual(whole)
    const bytewise = Array.from({ length: all.length - 1 }, (_, i) => i + 1)
    expect(decode(all, bytewise)).toEqual(whole)
  })

  test('reads the fields of the hot frames', () => {
    expect(decode(all, []).filter((each) => (each as { kind: number }).kind < 4)).toEqual([
      {
        kind: FrameKind.flow,
        nextIncomingId: 1,
        incomingWindow: 2,
        nextOutgoingId: 300,
        handle: 5,
        deliveryCount: 6,
        linkCredit: 70_000,
        drain: 1,
        echo: -1,
      },
      {
        kind: FrameKind.transfer,
        channel: 1,
        handle: 1,
        deliveryId: 2,
        tag: 'tag',
        settled: 1,
        more: -1,
        body: payload.toString('hex'),
      },
      { kind: FrameKind.disposition, role: 1, first: 1, last: 9, settled: -1, state: 0x24 },
    ])
  })

  test('gives a frame that was put back once more, also one that straddled chunks', () => {
    const decoder = new FrameDecoder(131072, 0)
    const [, transfer] = frames[4] as [string, Buffer]
    for (const cut of [0, 1, 9, transfer.length]) {
      decoder.push(transfer.subarray(0, cut))
      if (cut < transfer.length) {
        expect(decoder.next()).toBe(FrameKind.needMore)
        decoder.push(transfer.subarray(cut))
      }
      const first = show(decoder, decoder.next())
      decoder.rewind()
      decoder.keep()
      expect(show(decoder, decoder.next())).toEqual(first)
      expect(decoder.next()).toBe(FrameKind.needMore)
    }
  })

  test.each(frames.slice(0, -1))(
    'finds %s cut short anywhere, in a frame of the right size',
    (_name, frame) => {
      for (
        let size = 9;
        size < frame.length - (_name === 'transfer' ? payload.length : 0);
        size++
      ) {
        const cut = Buffer.from(frame.subarray(0, size))
        cut.writeUInt32BE(size, 0)
        expect(() => decode(cut, []), `${size}`).toThrow(DecodeError)
      }
    },
  )

  test.each([
    ['smaller than its head', [0, 0, 0, 7, 2, 0, 0, 0]],
    ['larger than agreed', [0, 2, 0, 1, 2, 0, 0, 0]],
    ['with a data offset of 1', [0, 0, 0, 9, 1, 0, 0, 0, 0]],
    ['with a data offset beyond its end', [0, 0, 0, 9, 3, 0, 0, 0, 0]],
    ['of another type', [0, 0, 0, 9, 2, 1, 0, 0, 0]],
  ])('refuses a frame %s', (_what, bytes) => {
    expect(() => decode(Uint8Array.from(bytes), [])).toThrow(DecodeError)
  })

  test('ends any bytes in frames or a DecodeError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 80 }), fc.nat(2), (input, hot) => {
        const head = Buffer.from([0, 0, 0, 0, 2, 0, 0, 0, 0, 0x53, [0x13, 0x14, 0x15][hot] ?? 0])
        const frame = Buffer.concat([head, input])
        frame.writeUInt32BE(frame.length, 0)
        try {
          decode(frame, [])
        } catch (thrown) {
          if (!(thrown instanceof DecodeError)) throw thrown
        }
      }),
      { numRuns: 3000 },
    )
  })
})

describe('the encoders', () => {
  const bytes = new Uint8Array(200)

  test.each([
    [0, 0, false],
    [300, 0xffff_ffff, true],
  ])('write a transfer on handle %d', (handle, id, more) => {
    const at = encodeTransfer(bytes, 3, 7, handle, id, true, more, 4)
    bytes.set([9, 9, 9, 9], at)
    const [frame] = decode(bytes.subarray(3, at + 4), [])
    expect(frame).toMatchObject({
      channel: 7,
      handle,
      deliveryId: id,
      settled: 1,
      body: '09090909',
    })
    expect(frame).toMatchObject({ more: more ? 1 : -1 })
  })

  test('write dispositions and flows', () => {
    const one = encodeDisposition(bytes, 0, 1, true, 5, 5, true, 0x24)
    expect(decode(bytes.subarray(0, one), [])[0]).toMatchObject({ first: 5, last: 5, state: 0x24 })
    const many = encodeDisposition(bytes, 0, 1, false, 5, 500, true, 0x26)
    expect(decode(bytes.subarray(0, many), [])[0]).toMatchObject({
      role: 0,
      last: 500,
      state: 0x26,
    })
    const flow = encodeFlow(bytes, 0, 1, 1, 0, 256, 3, 4, 5, 6, true)
    expect(decode(bytes.subarray(0, flow), [])[0]).toMatchObject({
      incomingWindow: 0,
      nextOutgoingId: 256,
      handle: 3,
      deliveryCount: 4,
      linkCredit: 5,
      drain: 1,
    })
    const plain = encodeFlow(bytes, 0, 1, 1, 0, 256, -1, 0, 0, -1, false)
    expect(decode(bytes.subarray(0, plain), [])[0]).toMatchObject({ handle: -1, linkCredit: -1 })
  })
})
