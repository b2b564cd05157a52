import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FrameDecoder, FrameKind } from '../../../../gateways/amqp091/codec/frame.ts'
import type { Method, MethodKind } from '../../../../gateways/amqp091/codec/method.ts'
import {
  decodeMethod,
  encodeMethodFrame,
  methodIds,
  methodKind,
} from '../../../../gateways/amqp091/codec/method.ts'
import type { MethodSpec } from '../../../../gateways/amqp091/codec/spec.ts'
import { METHODS } from '../../../../gateways/amqp091/codec/spec.ts'
import { DecodeError } from '../../../../shared/bytes/decode-error.ts'
import { Writer } from '../../../../shared/bytes/writer.ts'
import { fieldTable } from '../../../shared/message/field-value.ts'

const shortText = fc.string({ unit: 'grapheme', maxLength: 20 })

// An arbitrary method of each kind, made from the table as any client might make it.
function arbitraryMethod(kind: MethodKind): fc.Arbitrary<Method> {
  const spec: MethodSpec = METHODS[kind]
  const fields: Record<string, fc.Arbitrary<unknown>> = {}
  for (const [name, fieldKind] of Object.entries(spec.fields)) {
    const value = {
      octet: fc.nat(255),
      short: fc.nat(65_535),
      long: fc.nat(0xffff_ffff),
      longlong: fc.maxSafeNat(),
      bit: fc.boolean(),
      shortstr: shortText,
      longstr: fc.string({ unit: 'grapheme' }),
      longbytes: fc.uint8Array(),
      table: fieldTable,
      reservedShort: undefined,
      reservedBit: undefined,
      reservedShortstr: undefined,
      reservedLongstr: undefined,
    }[fieldKind]
    if (value !== undefined) fields[name] = value
  }
  return fc.record({ kind: fc.constant(kind), ...fields }) as unknown as fc.Arbitrary<Method>
}

const kinds = Object.keys(METHODS) as MethodKind[]
const anyMethod = fc.oneof(...kinds.map(arbitraryMethod))

function encode(method: Method): Uint8Array {
  const writer = new Writer()
  encodeMethodFrame(writer, 3, method)
  return writer.finish()
}

function decodeArgs(frame: Uint8Array, size: number = frame.length - 12): Method {
  const [classId, methodId] = [frame[8] as number, frame[10] as number]
  return decodeMethod(classId, methodId, frame, 11, size)
}

function outcome(run: () => unknown): unknown {
  try {
    return run()
  } catch (error) {
    if (error instanceof DecodeError) return error.code
    throw error
  }
}

describe('methods', () => {
  test.each(kinds)('%s comes back as it was encoded', (kind) => {
    fc.assert(
      fc.property(arbitraryMethod(kind), (method) => {
        expect(decodeArgs(encode(method))).toEqual(method)
      }),
      { numRuns: 20 },
    )
  })

  test('pass through the frame decoder', () => {
    const decoder = new FrameDecoder()
    const method: Method = { kind: 'exchange.unbind-ok' }
    decoder.push(encode(method))
    expect(decoder.next()).toBe(FrameKind.method)
    const { classId, methodId, bytes, argsAt, argsSize, channel } = decoder
    expect([channel, classId, methodId]).toEqual([3, 40, 51])
    expect(decodeMethod(classId, methodId, bytes, argsAt, argsSize)).toEqual(method)
  })

  test('have the bytes that clients send', () => {
    const frame = encode({
      kind: 'queue.declare',
      queue: 'q',
      passive: false,
      durable: true,
      exclusive: false,
      autoDelete: true,
      noWait: false,
      arguments: [],
    })
    const hex = '01' + '0003' + '0000000d' + '0032000a' + '0000' + '0171' + '0a' + '00000000' + 'ce'
    expect(Buffer.from(frame).toString('hex')).toBe(hex)
  })

  test('skip reserved fields whatever a client writes there', () => {
    const open = Buffer.concat([Buffer.of(1), Buffer.from('/'), Buffer.of(3), Buffer.from('abc')])
    const args = Buffer.concat([open, Buffer.of(1)])
    const method = decodeMethod(10, 40, args, 0, args.length)
    expect(method).toEqual({ kind: 'connection.open', virtualHost: '/' })
  })

  test('cut short or too long are a 501', () => {
    fc.assert(
      fc.property(anyMethod, (method) => {
        const frame = encode(method)
        const size = frame.length - 12
        const longer = Buffer.concat([frame, Buffer.of(0)])
        expect(outcome(() => decodeArgs(longer, size + 1))).toBe(501)
        for (let cut = 0; cut < size; cut++) {
          expect(outcome(() => decodeArgs(frame, cut))).toBe(501)
        }
      }),
      { numRuns: 100 },
    )
  })

  test('of any ids with any arguments end in a method or a DecodeError', () => {
    const ids = fc.oneof(
      fc.constantFrom(...kinds.map((kind) => METHODS[kind].id)),
      fc.tuple(fc.nat(65_535), fc.nat(65_535)),
    )
    fc.assert(
      fc.property(ids, fc.uint8Array({ maxLength: 60 }), ([classId, methodId], args) => {
        const result = outcome(() => decodeMethod(classId, methodId, args, 0, args.length))
        const code = typeof result === 'number' ? result : 0
        expect([0, 501, 503, 540]).toContain(code)
      }),
      { numRuns: 3000 },
    )
  })

  test('that do not exist are a 503 for the class or a 540 for the method', () => {
    const none = new Uint8Array(0)
    expect(outcome(() => decodeMethod(61, 10, none, 0, 0))).toBe(503)
    expect(outcome(() => decodeMethod(60, 12, none, 0, 0))).toBe(540)
    expect(outcome(() => decodeMethod(65_535, 65_535, none, 0, 0))).toBe(503)
  })

  test('with a name that is not UTF-8 are a 501 with the text of RabbitMQ', () => {
    const args = Buffer.of(0, 0, 1, 0xff, 0)
    const run = (): unknown => decodeMethod(50, 30, args, 0, args.length)
    expect(run).toThrow('Malformed UTF-8 in shortstr')
  })

  test('are found by kind and by ids', () => {
    expect(methodIds('basic.nack')).toEqual({ classId: 60, methodId: 120 })
    expect(methodKind(60, 120)).toBe('basic.nack')
    expect(methodKind(1, 1)).toBeUndefined()
    const ids = kinds.map((kind) => METHODS[kind].id.join('.'))
    expect(new Set(ids).size).toBe(kinds.length)
  })

  test('with a name of more than 255 bytes are the mistake of the caller', () => {
    const run = (): unknown => encode({ kind: 'basic.cancel-ok', consumerTag: 'x'.repeat(256) })
    expect(run).toThrow(RangeError)
  })
})
