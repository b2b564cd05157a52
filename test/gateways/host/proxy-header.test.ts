import { describe, expect, test } from 'vitest'
import { parseProxyHeader } from '../../../gateways/host/proxy-header.ts'

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')

function binary(command: number, family: number, body: readonly number[], more = ''): Buffer {
  const head = Buffer.from([0x20 | command, family, body.length >> 8, body.length & 255])
  return Buffer.concat([signature, head, Buffer.from(body), Buffer.from(more)])
}

const v4 = [10, 0, 0, 1, 192, 168, 1, 2, 0xdd, 0xd5, 0x16, 0x28]

describe('a PROXY header', () => {
  test('of version 1 names both ends', () => {
    const text = 'PROXY TCP4 10.0.0.1 192.168.1.2 56789 5672\r\nAMQP'
    const facts = {
      address: '10.0.0.1',
      localAddress: '192.168.1.2',
      port: 56789,
      localPort: 5672,
    }
    expect(parseProxyHeader(Buffer.from(text))).toEqual({ state: 'whole', size: 44, facts })
    const six = 'PROXY TCP6 2001:db8::1 ::1 1 2\r\n'
    expect(parseProxyHeader(Buffer.from(six))).toMatchObject({ facts: { address: '2001:db8::1' } })
    const unknown = 'PROXY UNKNOWN\r\n'
    expect(parseProxyHeader(Buffer.from(unknown))).toEqual({
      state: 'whole',
      size: unknown.length,
      facts: undefined,
    })
  })

  test('of version 2 names both ends, and may carry more', () => {
    const facts = {
      address: '10.0.0.1',
      localAddress: '192.168.1.2',
      port: 56789,
      localPort: 5672,
    }
    const bytes = binary(1, 0x11, [...v4, 3, 0, 1, 0], 'AMQP')
    expect(parseProxyHeader(bytes)).toEqual({ state: 'whole', size: 32, facts })
    const v6 = [0x20, 1, 0xd, 0xb8, ...Array(11).fill(0), 1, ...Array(15).fill(0), 1, 0, 5, 0, 6]
    expect(parseProxyHeader(binary(1, 0x21, v6))).toMatchObject({
      facts: { address: '2001:db8::1', localAddress: '::1', port: 5, localPort: 6 },
    })
    const local = binary(0, 0, [])
    expect(parseProxyHeader(local)).toEqual({ state: 'whole', size: 16, facts: undefined })
  })

  test.each([
    ['text', Buffer.from('PROXY TCP4 10.0.0.1 192.168.1.2 56789 5672\r\n')],
    ['binary', binary(1, 0x11, v4)],
  ])('is waited for at every split (%s)', (_, bytes) => {
    for (let size = 0; size < bytes.length; size++)
      expect(parseProxyHeader(bytes.subarray(0, size))).toEqual({ state: 'more' })
    expect(parseProxyHeader(bytes)).toMatchObject({ state: 'whole', size: bytes.length })
  })

  test.each([
    ['other bytes', Buffer.from('AMQP\0\0\x09\x01')],
    ['a bad port', Buffer.from('PROXY TCP4 10.0.0.1 10.0.0.2 99999 1\r\n')],
    ['no end', Buffer.from(`PROXY TCP4 ${'1'.repeat(200)}`)],
    ['another version', Buffer.concat([signature, Buffer.from([0x31, 0x11, 0, 12, ...v4])])],
    ['too short', binary(1, 0x11, [1, 2, 3])],
    ['too long', Buffer.concat([signature, Buffer.from([0x21, 0x11, 0xff, 0xff])])],
  ])('that is wrong is refused: %s', (_, bytes) => {
    expect(parseProxyHeader(bytes)).toEqual({ state: 'invalid' })
  })
})
