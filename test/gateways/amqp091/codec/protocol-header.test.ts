import { describe, expect, test } from 'vitest'
import type { HeaderKind } from '../../../../gateways/amqp091/codec/protocol-header.ts'
import {
  ANSWER_091,
  ANSWER_SASL,
  ProtocolHeader,
  protocolHeaderAnswer,
} from '../../../../gateways/amqp091/codec/protocol-header.ts'

function kindOf(bytes: Uint8Array): HeaderKind | undefined {
  const header = new ProtocolHeader()
  header.push(bytes)
  return header.kind()
}

const amqp = (...version: number[]): Uint8Array =>
  Buffer.concat([Buffer.from('AMQP'), Buffer.from(version)])

describe('protocol header', () => {
  test.each([
    [amqp(0, 0, 9, 1), 'amqp091', undefined],
    [amqp(1, 1, 0, 9), 'amqp09', undefined],
    [amqp(3, 1, 0, 0), 'amqp10Sasl', undefined],
    [amqp(0, 1, 0, 0), 'amqp10', ANSWER_SASL],
    [amqp(0, 0, 9, 2), 'wrongVersion', ANSWER_091],
    [amqp(0, 0, 10, 0), 'wrongVersion', ANSWER_091],
    [amqp(0, 0, 8, 0), 'unknown', ANSWER_SASL],
    [amqp(2, 1, 0, 0), 'unknown', ANSWER_SASL],
    [Buffer.from('GET / HT'), 'unknown', ANSWER_SASL],
    [Buffer.from('1603010200010001', 'hex'), 'unknown', ANSWER_SASL],
  ] as const)('%o is %s', (bytes, kind, answer) => {
    expect(kindOf(bytes)).toBe(kind)
    expect(protocolHeaderAnswer(kind)).toEqual(answer)
  })

  test('is gathered from chunks and leaves what follows', () => {
    const bytes = Buffer.concat([amqp(0, 0, 9, 1), Buffer.from('rest')])
    for (let i = 0; i < 8; i++) {
      const header = new ProtocolHeader()
      expect(header.push(bytes, 0, i)).toBe(i)
      expect(header.kind()).toBeUndefined()
      expect(header.push(bytes, i)).toBe(8 - i)
      expect(header.kind()).toBe('amqp091')
      expect(header.push(bytes)).toBe(0)
    }
  })
})
