import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  formatDestination,
  formatReplyTo,
  parseDestination,
  routeOf,
} from '../../../../gateways/stomp/mapping/destination.ts'

describe('a destination', () => {
  test.each([
    ['/queue/a', { kind: 'queue', name: 'a' }],
    ['/queue/a%2Fb%20c', { kind: 'queue', name: 'a/b%20c' }],
    ['bare', { kind: 'queue', name: 'bare' }],
    ['/amq/queue/a', { kind: 'amq-queue', name: 'a' }],
    ['/topic/a.*.#', { kind: 'topic', key: 'a.*.#' }],
    ['/exchange/x', { kind: 'exchange', name: 'x', key: '' }],
    ['/exchange/x/k', { kind: 'exchange', name: 'x', key: 'k' }],
    ['/temp-queue/t', { kind: 'temp-queue', name: 't' }],
    ['/reply-queue/a/b%2F', { kind: 'reply-queue', name: 'a/b%2F' }],
  ])('is read: %s', (text, destination) => {
    expect(parseDestination(text)).toEqual(destination)
  })

  test.each([
    '',
    '/',
    '/queue',
    '/queue/',
    '/queue/a/b',
    '/exchange',
    '/exchange//k',
    '/exchange/a/b/c',
    '/amq',
    '/amq/other/a',
    '/nothing/a',
    'a/b',
  ])('that means nothing is refused: "%s"', (text) => {
    expect(parseDestination(text)).toMatchObject({ closes: false })
  })

  test('leads to an exchange and a routing key', () => {
    expect(routeOf({ kind: 'queue', name: 'a' }, 'amq.topic')).toEqual({ exchange: '', key: 'a' })
    expect(routeOf({ kind: 'topic', key: 'a.b' }, 'mine')).toEqual({ exchange: 'mine', key: 'a.b' })
    const exchange = { kind: 'exchange', name: 'x', key: 'k' } as const
    expect(routeOf(exchange, 'amq.topic')).toEqual({ exchange: 'x', key: 'k' })
  })

  test('of a message names where it was sent, printable', () => {
    const format = (exchange: string, key: string): string =>
      formatDestination(Buffer.from(exchange), Buffer.from(key))
    expect(format('', 'a b')).toBe('/queue/a%20b')
    expect(format('amq.topic', 'a.b')).toBe('/topic/a.b')
    expect(format('x/y', '')).toBe('/exchange/x%2Fy')
    expect(format('x', 'k%\u00e9')).toBe('/exchange/x/k%25%C3%A9')
  })

  test('of plain names comes back as it was sent', () => {
    const name = fc.stringMatching(/^[A-Za-z0-9._-]{1,20}(\/[a-z]{1,5})?$/)
    fc.assert(
      fc.property(name, (queue) => {
        const text = formatDestination(Buffer.alloc(0), Buffer.from(queue))
        expect(parseDestination(text)).toEqual({ kind: 'queue', name: queue })
      }),
    )
  })

  test('for a reply is one, whoever set it', () => {
    expect(formatReplyTo('answers')).toBe('/reply-queue/answers')
    expect(formatReplyTo('/queue/answers')).toBe('/queue/answers')
  })
})
