import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FrameDecoder, FrameKind } from '../../../../gateways/amqp091/codec/frame.ts'
import { DecodeError } from '../../../../shared/bytes/decode-error.ts'
import { body, frame, header, heartbeat, method, publish, settle } from './frames.ts'

const NO_PROPS = Uint8Array.of(0, 0)
const text = (bytes: Uint8Array, at: number, size: number): string =>
  Buffer.from(bytes.slice(at, at + size)).toString('latin1')

// One line per frame, with body pieces put together so that splits do not show.
class Log {
  readonly lines: string[] = []
  private piece = ''

  take(kind: FrameKind, decoder: FrameDecoder): void {
    const { bytes, channel } = decoder
    switch (kind) {
      case FrameKind.basicPublish: {
        const { exrkAt, exrkSize, exchangeSize, routingKeySize, mandatory, immediate } = decoder
        const names = text(bytes, exrkAt, exrkSize)
        const sizes = `${exchangeSize},${routingKeySize}`
        this.lines.push(`publish ${channel} ${names} ${sizes} ${mandatory} ${immediate}`)
        break
      }
      case FrameKind.contentHeader: {
        const props = text(bytes, decoder.propsAt, decoder.propsSize)
        this.lines.push(`header ${channel} ${decoder.classId} ${decoder.contentSize} ${props}`)
        break
      }
      case FrameKind.contentBody:
        this.piece += text(bytes, decoder.bodyAt, decoder.bodySize)
        if (!decoder.frameEnd) break
        this.lines.push(`body ${channel} ${this.piece}`)
        this.piece = ''
        break
      case FrameKind.method: {
        const args = text(bytes, decoder.argsAt, decoder.argsSize)
        this.lines.push(`method ${channel} ${decoder.classId}.${decoder.methodId} ${args}`)
        break
      }
      case FrameKind.basicAck:
        this.lines.push(`ack ${channel} ${decoder.deliveryTag} ${decoder.multiple}`)
        break
      case FrameKind.basicNack:
        this.lines.push(
          `nack ${channel} ${decoder.deliveryTag} ${decoder.multiple} ${decoder.requeue}`,
        )
        break
      case FrameKind.basicReject:
        this.lines.push(`reject ${channel} ${decoder.deliveryTag} ${decoder.requeue}`)
        break
      case FrameKind.heartbeat:
        this.lines.push(`heartbeat ${channel}`)
        break
      case FrameKind.needMore:
        throw new Error('not a frame')
    }
  }
}

function drain(decoder: FrameDecoder, log: Log): void {
  for (;;) {
    const kind = decoder.next()
    if (kind === FrameKind.needMore) return
    log.take(kind, decoder)
  }
}

function decodeAll(chunks: readonly Uint8Array[], decoder = new FrameDecoder()): string[] {
  const log = new Log()
  for (const chunk of chunks) {
    const copy = Uint8Array.from(chunk)
    decoder.push(copy)
    drain(decoder, log)
    // The decoder must not need the chunk any more.
    copy.fill(0xaa)
  }
  return log.lines
}

function failure(run: () => unknown): DecodeError {
  try {
    run()
  } catch (error) {
    if (error instanceof DecodeError) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

const stream = Buffer.concat([
  method(0, 10, 11, Buffer.from('arguments')),
  heartbeat,
  publish(7, 'ex', 'the.key', 1),
  header(7, 11, Uint8Array.of(0x10, 0, 2)),
  body(7, Buffer.from('hello ')),
  body(7, Buffer.from('world')),
  publish(65535, '', '', 2),
  header(65535, 0, NO_PROPS),
  settle(3, 80, 5n, 1),
  settle(3, 120, 0x1_0000_0001n, 3),
  settle(3, 120, 6n, 0),
  settle(3, 90, 9n, 1),
  body(1, new Uint8Array(0)),
  publish(1, 'caf\u00e9', '\u20ac'.repeat(60)),
  header(1, 300, NO_PROPS),
  body(1, Buffer.alloc(300, 'x')),
])

const expected = [
  'method 0 10.11 arguments',
  'heartbeat 0',
  'publish 7 \u0002ex\u0007the.key 2,7 true false',
  'header 7 60 11 \u0010\u0000\u0002',
  'body 7 hello ',
  'body 7 world',
  'publish 65535 \u0000\u0000 0,0 false true',
  'header 65535 60 0 \u0000\u0000',
  'ack 3 5 true',
  'nack 3 4294967297 true true',
  'nack 3 6 false false',
  'reject 3 9 true',
  'body 1 ',
  `publish 1 \u0005caf\u00c3\u00a9\u00b4${'\u00e2\u0082\u00ac'.repeat(60)} 5,180 false false`,
  'header 1 60 300 \u0000\u0000',
  `body 1 ${'x'.repeat(300)}`,
]

describe('FrameDecoder', () => {
  test('names every frame and sets its fields', () => {
    expect(decodeAll([stream])).toEqual(expected)
  })

  test('gives the same frames for a split at every byte', () => {
    for (let i = 0; i <= stream.length; i++) {
      expect(decodeAll([stream.subarray(0, i), stream.subarray(i)])).toEqual(expected)
    }
    const bytes = [...stream].map((byte) => Uint8Array.of(byte))
    expect(decodeAll(bytes)).toEqual(expected)
  })

  test('gives the same frames for any split', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 400 }), { maxLength: 40 }), (sizes) => {
        const chunks: Uint8Array[] = []
        let at = 0
        for (const size of sizes) {
          chunks.push(stream.subarray(at, at + size))
          at += size
        }
        chunks.push(stream.subarray(Math.min(at, stream.length)))
        expect(decodeAll(chunks)).toEqual(expected)
      }),
    )
  })

  test('points into the chunk itself unless the frame straddles chunks', () => {
    const decoder = new FrameDecoder()
    decoder.push(stream)
    decoder.next()
    expect(decoder.bytes).toBe(stream)
  })

  test('decodes a range of a chunk', () => {
    const chunk = Buffer.concat([Buffer.from('junk'), heartbeat, Buffer.from('junk')])
    const decoder = new FrameDecoder()
    decoder.push(chunk, 4, 4 + heartbeat.length)
    expect([decoder.next(), decoder.next()]).toEqual([FrameKind.heartbeat, FrameKind.needMore])
  })

  test('the end of a body frame is told only with its end byte', () => {
    const bytes = body(1, Buffer.from('abc'))
    const decoder = new FrameDecoder()
    decoder.push(bytes.subarray(0, bytes.length - 1))
    expect(decoder.next()).toBe(FrameKind.contentBody)
    expect([decoder.bodySize, decoder.frameEnd]).toEqual([3, false])
    expect(decoder.next()).toBe(FrameKind.needMore)
    decoder.push(bytes.subarray(bytes.length - 1))
    expect(decoder.next()).toBe(FrameKind.contentBody)
    expect([decoder.bodySize, decoder.frameEnd]).toEqual([0, true])
  })

  test('a tag above 2^53 is a number that no delivery has', () => {
    const decoder = new FrameDecoder()
    decoder.push(settle(1, 80, 0xffff_ffff_ffff_ffffn, 0))
    expect(decoder.next()).toBe(FrameKind.basicAck)
    expect(decoder.deliveryTag).toBeGreaterThan(Number.MAX_SAFE_INTEGER)
  })
})

describe('rewind and backpressure', () => {
  test('rewind gives every frame again, whatever the split', () => {
    for (let step = 1; step < 40; step++) {
      const decoder = new FrameDecoder()
      const log = new Log()
      for (let at = 0; at < stream.length; at += step) {
        decoder.push(stream.subarray(at, at + step))
        for (;;) {
          const first = decoder.next()
          if (first === FrameKind.needMore) break
          decoder.rewind()
          expect(decoder.next()).toBe(first)
          decoder.rewind()
          // A host that stops here may want its read buffer back.
          decoder.keep()
          expect(decoder.next()).toBe(first)
          log.take(first, decoder)
        }
      }
      expect(log.lines).toEqual(expected)
    }
  })

  test('rewind after needMore does nothing', () => {
    const decoder = new FrameDecoder()
    decoder.push(heartbeat)
    decoder.next()
    decoder.next()
    decoder.rewind()
    expect(decoder.next()).toBe(FrameKind.needMore)
  })

  test('chunks pushed while frames are unread are joined', () => {
    for (let step = 1; step < 60; step += 7) {
      const decoder = new FrameDecoder()
      const log = new Log()
      for (let at = 0; at < stream.length; at += step) {
        decoder.push(stream.subarray(at, at + step))
        // Takes at most one frame per chunk, and puts every other one back.
        const kind = decoder.next()
        if (kind === FrameKind.needMore) continue
        if ((at / step) % 2 === 1) decoder.rewind()
        else log.take(kind, decoder)
      }
      drain(decoder, log)
      expect(log.lines).toEqual(expected)
    }
  })

  test('keep() copies also what lies in a Buffer, whose slice() would not', () => {
    const decoder = new FrameDecoder(0)
    const heartbeat = [8, 0, 0, 0, 0, 0, 0, 0xce]
    const chunk = Buffer.from([...heartbeat, ...heartbeat])
    decoder.push(chunk)
    expect(decoder.next()).toBe(FrameKind.heartbeat)
    decoder.keep()
    chunk.fill(0xff)
    expect(decoder.next()).toBe(FrameKind.heartbeat)
  })

  test('keep copies what is unread', () => {
    const chunk = Uint8Array.from(stream)
    const decoder = new FrameDecoder()
    const log = new Log()
    decoder.push(chunk)
    log.take(decoder.next(), decoder)
    decoder.keep()
    chunk.fill(0)
    expect(decoder.unreadSize()).toBeGreaterThan(0)
    drain(decoder, log)
    expect(log.lines).toEqual(expected)
    decoder.keep()
    expect(decoder.unreadSize()).toBe(0)
  })
})

describe('bytes that are no frames', () => {
  test('a wrong end byte is a 501, for every kind of frame and split', () => {
    for (const good of [heartbeat, publish(1, 'a', 'b'), header(1, 5, NO_PROPS), body(1, stream)]) {
      const bad = Uint8Array.from(good)
      bad[bad.length - 1] = 0xcd
      for (let i = 0; i < bad.length; i++) {
        const error = failure(() => decodeAll([bad.subarray(0, i), bad.subarray(i)]))
        expect(error.code).toBe(501)
      }
    }
  })

  test('an unknown frame type is a 501 as soon as the frame head is there', () => {
    expect(failure(() => decodeAll([Uint8Array.of(4, 0, 0, 0, 0, 0, 9)])).code).toBe(501)
    expect(failure(() => decodeAll([Buffer.from('GET / HTTP/1.1\r\n\r\n')])).code).toBe(501)
  })

  test('a frame may take frame_max and 8 bytes, no more', () => {
    const decoder = new FrameDecoder(4096)
    expect(decodeAll([body(1, new Uint8Array(4096))], decoder)).toHaveLength(1)
    expect(failure(() => decodeAll([body(1, new Uint8Array(4097))], decoder)).code).toBe(501)
    const other = new FrameDecoder(4096)
    other.frameMax = 5000
    expect(decodeAll([method(1, 1, 1, new Uint8Array(4996))], other)).toHaveLength(1)
    expect(failure(() => decodeAll([method(1, 1, 1, new Uint8Array(4997))], other)).code).toBe(501)
  })

  test('an oversized frame is refused by its head alone', () => {
    const head = Uint8Array.of(1, 0, 1, 0xff, 0xff, 0xff, 0xff)
    expect(failure(() => decodeAll([head])).code).toBe(501)
  })

  test('a content size above the limit is a 501', () => {
    expect(decodeAll([header(1, 536870912, NO_PROPS)])).toHaveLength(1)
    expect(failure(() => decodeAll([header(1, 536870913, NO_PROPS)])).code).toBe(501)
    const decoder = new FrameDecoder(8192, 10)
    expect(failure(() => decodeAll([header(1, 11, NO_PROPS)], decoder)).code).toBe(501)
  })

  test('names that are not UTF-8 are a 501 with the text of RabbitMQ', () => {
    const bad = Uint8Array.of(0x61, 0xff)
    for (const bytes of [publish(1, bad, 'k'), publish(1, 'e', bad), publish(1, bad, bad)]) {
      expect(failure(() => decodeAll([bytes])).text).toBe('Malformed UTF-8 in shortstr')
    }
    // Half of a character in each name does not make a whole one.
    const split = publish(1, Uint8Array.of(0xc3), Uint8Array.of(0xa9))
    expect(failure(() => decodeAll([split])).code).toBe(501)
  })

  test('hot methods with arguments cut short or too long are a 501', () => {
    const hot = [publish(1, 'ex', 'key'), settle(1, 80, 1n, 0), settle(1, 90, 1n, 0)]
    hot.push(settle(1, 120, 1n, 0))
    for (const good of hot) {
      const payload = good.subarray(7, good.length - 1)
      for (let size = 0; size < payload.length; size++) {
        if (size === 4) continue
        const error = failure(() => decodeAll([frame(1, 1, payload.subarray(0, size))]))
        expect(error.code).toBe(501)
      }
      const long = Buffer.concat([payload, Buffer.of(0)])
      expect(failure(() => decodeAll([frame(1, 1, long)])).code).toBe(501)
    }
    expect(failure(() => decodeAll([frame(8, 0, Uint8Array.of(1))])).code).toBe(501)
    for (let size = 0; size < 14; size++) {
      expect(failure(() => decodeAll([frame(2, 1, new Uint8Array(size))])).code).toBe(501)
    }
  })

  test('any bytes end in frames or a DecodeError', () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.constantFrom<Uint8Array>(...[heartbeat, publish(1, 'a', 'b'), settle(1, 80, 1n, 0)]),
      fc
        .tuple(fc.integer({ min: 0, max: 9 }), fc.uint8Array({ maxLength: 60 }))
        .map(([type, payload]) => frame(type, 1, payload)),
      fc.uint8Array({ maxLength: 60 }).map((args) => method(1, 60, 40, args)),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), fc.integer({ min: 1, max: 50 }), (all, n) => {
        const bytes = Buffer.concat(all)
        const chunks: Uint8Array[] = []
        for (let at = 0; at < bytes.length; at += n) chunks.push(bytes.subarray(at, at + n))
        const outcomes = [chunks, [bytes]].map((given) => {
          try {
            return decodeAll(given).length
          } catch (error) {
            if (error instanceof DecodeError) return `${error.code} ${error.text}`
            throw error
          }
        })
        expect(outcomes[0]).toEqual(outcomes[1])
      }),
      { numRuns: 3000 },
    )
  })

  test('memory for a frame follows what was received, not what its head announces', () => {
    const head = Uint8Array.of(1, 0, 1, 0, 1, 0xff, 0)
    const decoder = new FrameDecoder(131072)
    for (const byte of head) {
      decoder.push(Uint8Array.of(byte))
      expect(decoder.next()).toBe(FrameKind.needMore)
    }
    expect(decoder.carryCapacity()).toBeLessThan(1024)
    decoder.push(new Uint8Array(100_000))
    decoder.next()
    expect(decoder.carryCapacity()).toBeLessThan(200_100)
  })

  test('memory of a large frame is given back with the next chunk', () => {
    const large = method(1, 1, 1, new Uint8Array(8000))
    const decoder = new FrameDecoder(8192)
    decodeAll([large.subarray(0, 5000), large.subarray(5000)], decoder)
    decoder.push(heartbeat)
    expect(decoder.carryCapacity()).toBe(0)
  })
})
