// Heads of dead letters: keys, x-death and its companions, and what stays as it was.

import { describe, expect, test } from 'vitest'
import { DeathEntry, isDeathCycle } from '../../../core/message/death-entry.ts'
import { shortstrBytes } from '../../../shared/bytes/utf8.ts'
import type { BasicProperties } from '../../../shared/message/properties.ts'
import { decodeProperties, encodeProperties } from '../../../shared/message/properties.ts'
import type { FieldTable, FieldValue } from '../../../shared/message/value.ts'
import { fieldOf, longField, textField } from '../../../shared/message/value.ts'

interface Head {
  readonly exchange: string
  readonly key: string
  readonly extra: Buffer
  readonly props: BasicProperties
}

const none = Buffer.alloc(0)

function encoded(head: Head): { bytes: Buffer; exrk: number; extra: number; props: number } {
  const exrk = Buffer.concat([shortstrBytes(head.exchange), shortstrBytes(head.key)])
  const props = encodeProperties(head.props)
  const bytes = Buffer.concat([Buffer.of(7, 7), exrk, head.extra, props, Buffer.from('body')])
  return { bytes, exrk: exrk.length, extra: head.extra.length, props: props.length }
}

interface Fate {
  readonly queue?: string
  readonly reason?: string
  readonly to?: string
  readonly key?: string
  readonly seconds?: number
  readonly again?: boolean
}

/** The head after a death, and the deaths it tells of. */
function die(head: Head, fate: Fate): Head & { deaths: string[] } {
  const { bytes, ...sizes } = encoded(head)
  const { queue = 'q', reason = 'rejected', to = 'dlx', key, seconds = 1000, again = false } = fate
  const entry = new DeathEntry()
  const target = { exchange: to, routingKey: key }
  entry.build(bytes, 2, sizes, target, queue, reason, seconds, again)
  const made = Buffer.from(entry.bytes)
  const exchangeSize = made[0] as number
  const propsAt = entry.exrkSize + entry.extraSize
  return {
    exchange: made.toString('utf8', 1, 1 + exchangeSize),
    key: made.toString('utf8', 2 + exchangeSize, entry.exrkSize),
    extra: made.subarray(entry.exrkSize, propsAt),
    props: decodeProperties(made, propsAt, entry.propsSize),
    deaths: entry.deaths.map((death) => `${death.queue} ${death.reason}`),
  }
}

function plain(value: FieldValue | undefined): unknown {
  if (value?.type === 'A') return value.value.map(plain)
  if (value?.type === 'F') return value.value.map(([key, field]) => [key, field.type, plain(field)])
  return value?.value
}

function header(head: Head, key: string): unknown {
  return plain(fieldOf(head.props.headers ?? [], key))
}

function message(props: BasicProperties = {}, extra = none): Head {
  return { exchange: 'ex', key: 'rk', extra, props }
}

describe('a dead letter', () => {
  test('tells where, why and when it died, in the order and types of RabbitMQ', () => {
    const dead = die(message(), { seconds: 1234 })
    expect(header(dead, 'x-death')).toEqual([
      [
        ['count', 'l', 1],
        ['reason', 'S', 'rejected'],
        ['queue', 'S', 'q'],
        ['time', 'T', 1234],
        ['exchange', 'S', 'ex'],
        ['routing-keys', 'A', ['rk']],
      ],
    ])
    for (const which of ['first', 'last']) {
      expect(header(dead, `x-${which}-death-reason`)).toBe('rejected')
      expect(header(dead, `x-${which}-death-queue`)).toBe('q')
      expect(header(dead, `x-${which}-death-exchange`)).toBe('ex')
    }
    expect([dead.exchange, dead.key]).toEqual(['dlx', 'rk'])
  })

  test('keeps its other properties and loses its expiration, which is told', () => {
    const props = {
      contentType: 'text/plain',
      headers: [['own', textField('x')]] as FieldTable,
      deliveryMode: 2,
      priority: 3,
      replyTo: 'r',
      expiration: '500',
      messageId: 'm',
      appId: 'a',
    }
    const dead = die(message(props), { reason: 'expired' })
    const { headers: _headers, ...left } = dead.props
    const { expiration: _expiration, headers: _own, ...expected } = props
    expect(left).toEqual(expected)
    expect(header(dead, 'own')).toBe('x')
    const [death] = header(dead, 'x-death') as [string, string, unknown][][]
    expect(death?.[0]).toEqual(['original-expiration', 'S', '500'])
  })

  test('counts up and moves to the front where it died of the same before', () => {
    let dead = die(message({ expiration: '9' }), { queue: 'a', seconds: 1 })
    dead = die(dead, { queue: 'b', reason: 'expired', seconds: 2, again: true })
    dead = die(dead, { queue: 'a', seconds: 3, again: true })
    expect(dead.deaths).toEqual(['a rejected', 'b expired'])
    const [first, second] = header(dead, 'x-death') as [string, string, unknown][][]
    const fields = (of: typeof first): unknown =>
      Object.fromEntries((of ?? []).map(([k, , v]) => [k, v]))
    expect(fields(first)).toEqual({
      'original-expiration': '9',
      count: 2,
      reason: 'rejected',
      queue: 'a',
      time: 1,
      exchange: 'ex',
      'routing-keys': ['rk'],
    })
    expect(fields(second)).toEqual({
      count: 1,
      reason: 'expired',
      queue: 'b',
      time: 2,
      exchange: 'dlx',
      'routing-keys': ['rk'],
    })
    expect(header(dead, 'x-first-death-queue')).toBe('a')
    expect(header(dead, 'x-first-death-exchange')).toBe('ex')
    expect(header(dead, 'x-last-death-queue')).toBe('a')
    expect(header(dead, 'x-last-death-exchange')).toBe('dlx')
  })

  test('starts anew where a client has published an x-death', () => {
    const once = die(message(), { queue: 'old' })
    const dead = die(once, { queue: 'q' })
    expect(dead.deaths).toEqual(['q rejected'])
    expect(header(dead, 'x-death')).toHaveLength(1)
    expect(header(dead, 'x-first-death-queue')).toBe('q')
    expect(dead.props.headers?.filter(([key]) => key.startsWith('x-'))).toHaveLength(7)
  })

  test('keeps all its keys without a key of the queue, and tells those of CC only', () => {
    const cc: FieldTable = [['CC', { type: 'A', value: [textField('c1')] }]]
    const extra = Buffer.concat([Buffer.of(2), shortstrBytes('c1'), shortstrBytes('b1')])
    const dead = die(message({ headers: cc }, extra), {})
    expect(dead.extra).toEqual(extra)
    const [death] = header(dead, 'x-death') as [string, string, unknown][][]
    expect(death?.at(-1)).toEqual(['routing-keys', 'A', ['rk', 'c1']])
    const renamed = die(message({ headers: cc }, extra), { key: 'dead' })
    expect(renamed.key).toBe('dead')
    expect(renamed.extra).toEqual(none)
  })

  test('keeps its native part', () => {
    const native = Buffer.from([1, 9, 8, 7])
    const extra = Buffer.concat([Buffer.of(1), shortstrBytes('c1'), native])
    expect(die(message({}, extra), {}).extra).toEqual(extra)
    const renamed = die(message({}, extra), { key: 'dead' })
    expect(renamed.extra).toEqual(Buffer.concat([Buffer.of(0), native]))
  })

  test('has the same headers from an odd header table', () => {
    const headers: FieldTable = [
      ['x-first-death-reason', longField(1)],
      ['x-deaths', textField('no')],
      ['x-death', textField('not an array')],
      ['z', textField('last')],
    ]
    const dead = die(message({ headers }), {})
    expect(header(dead, 'x-deaths')).toBe('no')
    expect(header(dead, 'z')).toBe('last')
    expect(header(dead, 'x-first-death-reason')).toBe('rejected')
  })
})

describe('a cycle', () => {
  const deaths = (...list: string[]) =>
    list.map((text) => ({ queue: text.slice(0, 1), reason: text.slice(2) }))

  test('is a queue met before, without a rejection since', () => {
    expect(isDeathCycle(deaths('a expired'), 'a')).toBe(true)
    expect(isDeathCycle(deaths('b maxlen', 'a expired'), 'a')).toBe(true)
    expect(isDeathCycle(deaths('b rejected', 'a expired'), 'a')).toBe(false)
    expect(isDeathCycle(deaths('b expired', 'a rejected'), 'a')).toBe(false)
    expect(isDeathCycle(deaths('b expired', 'a expired', 'c rejected'), 'a')).toBe(true)
    expect(isDeathCycle(deaths('b expired'), 'a')).toBe(false)
  })
})
