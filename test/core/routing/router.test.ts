import { describe, expect, test } from 'vitest'
import type { Route } from '../../../core/routing/router.ts'
import { newRoute, noFacts, Router } from '../../../core/routing/router.ts'
import type { MessageFacts } from '../../../core/topology/records.ts'
import { EntryForm } from '../../../shared/bus/wire.ts'
import { foldTopic, MqttFlag, topicFilterArgument } from '../../../shared/message/native-part.ts'
import type { FieldTable } from '../../../shared/message/value.ts'
import type { Node } from '../topology/fixture.ts'
import {
  bindExchange,
  bindQueue,
  exchangeDeclare,
  newNode,
  queueDeclare,
  table,
} from '../topology/fixture.ts'

let randomState = 1
const router = new Router(() => {
  randomState = Math.imul(randomState, 1664525) + 1013904223
  return randomState >>> 0
})

function shortstr(text: string): Buffer {
  const bytes = Buffer.from(text)
  return Buffer.concat([Buffer.from([bytes.length]), bytes])
}

function facts(headers: FieldTable): MessageFacts {
  return { headers: () => headers, delay: () => 0, property: () => undefined }
}

function routed(
  node: Node,
  exchange: string,
  key: string,
  extraKeys: readonly string[] = [],
  message: MessageFacts = noFacts,
): Route {
  const route = newRoute()
  const junk = Buffer.from([9, 9, 9])
  const extra = [Buffer.from([extraKeys.length]), ...extraKeys.map(shortstr)]
  const bytes = Buffer.concat([junk, shortstr(exchange), shortstr(key), ...extra])
  const extraAt = 3 + shortstr(exchange).length + shortstr(key).length
  const extraSize = extraKeys.length === 0 ? 0 : bytes.length - extraAt
  router.route(node.vhost, bytes, 3, extraAt, extraSize, message, route)
  return route
}

/** Routes what an MQTT client publishes; `ownTopic`: the native part has the topic. */
function routedTopic(node: Node, topic: string, key: string, ownTopic: boolean): string[] {
  const route = newRoute()
  const text = Buffer.from(topic)
  const native = ownTopic
    ? [Buffer.of(0, EntryForm.mqtt, MqttFlag.topic, text.length >> 8, text.length & 255), text]
    : [Buffer.of(0, EntryForm.mqtt, 0)]
  const exrk = Buffer.concat([shortstr('amq.topic'), shortstr(key)])
  const bytes = Buffer.concat([exrk, ...native, Buffer.alloc(8)])
  const extraSize = bytes.length - exrk.length
  router.route(node.vhost, bytes, 0, exrk.length, extraSize, noFacts, route)
  return names(route)
}

function names(route: Route): string[] {
  return route.queues.map((queue) => queue.name).sort()
}

function nodeWith(queues: readonly string[]): Node {
  const node = newNode()
  for (const queue of queues) node.must(queueDeclare(queue))
  return node
}

describe('topic exchange, MQTT topic filters', () => {
  const node = nodeWith(['plain', 'filter', 'wild'])
  const bind = (queue: string, filter: string): void => {
    const args = table({ [topicFilterArgument]: filter })
    bindQueue(node, queue, 'amq.topic', foldTopic(filter), args)
  }
  bindQueue(node, 'plain', 'amq.topic', 'a.*.c')
  bind('filter', 'a/+/c')
  bind('wild', '+/#')

  test('match the topic as published, dots and all', () => {
    expect(routedTopic(node, 'a/b/c', 'a.b.c', false)).toEqual(['filter', 'plain', 'wild'])
    expect(routedTopic(node, 'a/b.b/c', 'a.b.b.c', true)).toEqual(['filter', 'wild'])
    expect(routedTopic(node, 'a.b/c', 'a.b.c', true)).toEqual(['plain', 'wild'])
  })

  test('match the routing key of what other protocols publish', () => {
    expect(names(routed(node, 'amq.topic', 'a.b.c'))).toEqual(['filter', 'plain', 'wild'])
  })

  test('match the routing key of a message that got another one than its topic', () => {
    expect(routedTopic(node, 'x.y/z', 'a.b.c', true)).toEqual(['filter', 'plain', 'wild'])
  })

  test('in front do not match topics that begin with $', () => {
    expect(routedTopic(node, '$SYS/x', '$SYS.x', false)).toEqual([])
    expect(routedTopic(node, '', '', false)).toEqual(['wild'])
  })

  test('a topic longer than a routing key is matched whole', () => {
    const long = `${'x'.repeat(300)}/b/c`
    bind('filter', `${'x'.repeat(300)}/+/c`)
    expect(routedTopic(node, long, 'x'.repeat(255), true)).toEqual(['filter', 'wild'])
    expect(routedTopic(node, `${long}/d`, 'x'.repeat(255), true)).toEqual(['wild'])
  })

  test('are refused where they are not what the binding key says', () => {
    const op = { op: 'queueBind', queue: 'plain', exchange: 'amq.topic' } as const
    const args = table({ [topicFilterArgument]: 'secret/#' })
    expect(node.refusal({ ...op, routingKey: 'a.b', arguments: args })).toBe(
      "channel 406 PRECONDITION_FAILED - Topic filter 'secret/#' does not become the binding key 'a.b'",
    )
  })
})

describe('default exchange', () => {
  test('routes to the queue of that name', () => {
    const node = nodeWith(['q', 'r'])
    expect(names(routed(node, '', 'q'))).toEqual(['q'])
    expect(names(routed(node, '', 'nobody'))).toEqual([])
    expect(names(routed(node, '', 'q', ['r', 'q', 'nobody']))).toEqual(['q', 'r'])
  })

  test('forgets a deleted queue', () => {
    const node = nodeWith(['q'])
    node.must({ op: 'queueDelete', queue: 'q', ifUnused: false, ifEmpty: false })
    expect(names(routed(node, '', 'q'))).toEqual([])
  })
})

describe('exchanges by routing key', () => {
  test('an exchange that is not there is told apart from one without bindings', () => {
    const node = nodeWith([])
    expect(routed(node, 'nothing', 'k').exchange).toBeUndefined()
    expect(routed(node, 'amq.direct', 'k').exchange?.name).toBe('amq.direct')
  })

  test('direct: equal keys only, each queue once', () => {
    const node = nodeWith(['q', 'r'])
    bindQueue(node, 'q', 'amq.direct', 'k')
    bindQueue(node, 'q', 'amq.direct', 'l')
    bindQueue(node, 'r', 'amq.direct', 'k')
    expect(names(routed(node, 'amq.direct', 'k'))).toEqual(['q', 'r'])
    expect(names(routed(node, 'amq.direct', 'l'))).toEqual(['q'])
    expect(names(routed(node, 'amq.direct', 'k', ['l']))).toEqual(['q', 'r'])
    expect(names(routed(node, 'amq.direct', 'K'))).toEqual([])
  })

  test('direct: a binding stays while another with other arguments remains', () => {
    const node = nodeWith(['q'])
    bindQueue(node, 'q', 'amq.direct', 'k', table({ n: 1 }))
    bindQueue(node, 'q', 'amq.direct', 'k')
    const unbind = {
      op: 'queueUnbind',
      queue: 'q',
      exchange: 'amq.direct',
      routingKey: 'k',
    } as const
    node.must({ ...unbind, arguments: [] })
    expect(names(routed(node, 'amq.direct', 'k'))).toEqual(['q'])
    node.must({ ...unbind, arguments: table({ n: 1 }) })
    expect(names(routed(node, 'amq.direct', 'k'))).toEqual([])
  })

  test('fanout: all, whatever the key', () => {
    const node = nodeWith(['q', 'r'])
    bindQueue(node, 'q', 'amq.fanout', 'x')
    bindQueue(node, 'r', 'amq.fanout', 'y')
    expect(names(routed(node, 'amq.fanout', 'z'))).toEqual(['q', 'r'])
  })

  test('fanout: many queues come and go', () => {
    const all = Array.from({ length: 40 }, (_, i) => `q${i}`)
    const node = nodeWith(all)
    for (const queue of all) bindQueue(node, queue, 'amq.fanout', '')
    for (const queue of all.slice(0, 39)) {
      node.must({ op: 'queueDelete', queue, ifUnused: false, ifEmpty: false })
    }
    expect(names(routed(node, 'amq.fanout', ''))).toEqual(['q39'])
  })

  test('topic: patterns, and each further key', () => {
    const node = nodeWith(['q', 'r'])
    bindQueue(node, 'q', 'amq.topic', 'a.*')
    bindQueue(node, 'q', 'amq.topic', 'a.#')
    bindQueue(node, 'r', 'amq.topic', 'b')
    expect(names(routed(node, 'amq.topic', 'a.x'))).toEqual(['q'])
    expect(names(routed(node, 'amq.topic', 'a.x', ['b']))).toEqual(['q', 'r'])
    expect(routed(node, 'amq.topic', 'a.x').cacheable).toBe(true)
  })
})

describe('headers exchange', () => {
  const cases: readonly (readonly [string, FieldTable, FieldTable, boolean])[] = [
    ['all is the default', table({ a: 1, b: 'x' }), table({ a: 1, b: 'x', c: 2 }), true],
    ['all: one differs', table({ a: 1, b: 'x' }), table({ a: 1, b: 'y' }), false],
    ['all: one misses', table({ 'x-match': 'all', a: 1, b: 1 }), table({ a: 1 }), false],
    ['any: one is enough', table({ 'x-match': 'any', a: 1, b: 1 }), table({ b: 1 }), true],
    ['any: none', table({ 'x-match': 'any', a: 1, b: 1 }), table({ a: 2 }), false],
    ['all of nothing matches', table({}), table({}), true],
    ['any of nothing does not', table({ 'x-match': 'any' }), table({ a: 1 }), false],
    ['void asks for presence', table({ a: null }), table({ a: 'whatever' }), true],
    ['void is not met by absence', table({ a: null }), table({ b: 1 }), false],
    ['x- arguments are ignored', table({ a: 1, 'x-b': 2 }), table({ a: 1 }), true],
    ['any ignores them too', table({ 'x-match': 'any', 'x-b': 2 }), table({ 'x-b': 2 }), false],
    ['all-with-x heeds them', table({ 'x-match': 'all-with-x', 'x-b': 2 }), table({}), false],
    [
      'any-with-x heeds them',
      table({ 'x-match': 'any-with-x', 'x-b': 2 }),
      table({ 'x-b': 2 }),
      true,
    ],
    ['integers are equal across widths', table({ a: 1 }), [['a', { type: 'l', value: 1 }]], true],
    ['an integer is no float', table({ a: 1 }), [['a', { type: 'd', value: 1 }]], false],
    ['a number is no text', table({ a: 1 }), table({ a: '1' }), false],
    ['booleans', table({ a: true }), table({ a: true }), true],
    [
      'arrays by their items',
      [['a', { type: 'A', value: [{ type: 'I', value: 1 }] }]],
      [['a', { type: 'A', value: [{ type: 'l', value: 1n }] }]],
      true,
    ],
  ]
  test.each(cases)('%s', (_title, binding, headers, hit) => {
    const node = nodeWith(['q'])
    bindQueue(node, 'q', 'amq.headers', 'ignored', binding)
    const route = routed(node, 'amq.headers', 'k', [], facts(headers))
    expect(names(route)).toEqual(hit ? ['q'] : [])
    expect(route.cacheable).toBe(false)
  })

  test('a message without headers meets only what asks for nothing', () => {
    const node = nodeWith(['q', 'r'])
    bindQueue(node, 'q', 'amq.match', '', table({ a: 1 }))
    bindQueue(node, 'r', 'amq.match', '')
    expect(names(routed(node, 'amq.match', ''))).toEqual(['r'])
  })
})

describe('exchanges that choose', () => {
  const queues = ['q1', 'q2', 'q3', 'q4']

  function counts(node: Node, exchange: string, message?: (i: number) => MessageFacts): number[] {
    const counted = new Map(queues.map((queue) => [queue, 0]))
    for (let i = 0; i < 4000; i++) {
      const found = names(routed(node, exchange, message ? '' : `key.${i}`, [], message?.(i)))
      expect(found).toHaveLength(1)
      const name = found[0] as string
      counted.set(name, (counted.get(name) ?? 0) + 1)
    }
    return [...counted.values()]
  }

  test('consistent hash: even weights share evenly, and a key stays where it is', () => {
    const node = nodeWith(queues)
    node.must(exchangeDeclare('x', 'x-consistent-hash'))
    for (const queue of queues) bindQueue(node, queue, 'x', '1')
    for (const count of counts(node, 'x')) expect(Math.abs(count - 1000)).toBeLessThan(120)
    expect(names(routed(node, 'x', 'k'))).toEqual(names(routed(node, 'x', 'k')))
    expect(routed(node, 'x', 'k').cacheable).toBe(true)
  })

  test('consistent hash: the binding key is a weight', () => {
    const node = nodeWith(queues)
    node.must(exchangeDeclare('x', 'x-consistent-hash'))
    queues.forEach((queue, i) => {
      bindQueue(node, queue, 'x', String(i + 1))
    })
    counts(node, 'x').forEach((count, i) => {
      expect(Math.abs(count - 400 * (i + 1))).toBeLessThan(120)
    })
  })

  test('consistent hash: a queue that goes moves only its own keys', () => {
    const node = nodeWith(queues)
    node.must(exchangeDeclare('x', 'x-consistent-hash'))
    for (const queue of queues) bindQueue(node, queue, 'x', '1')
    const keys = Array.from({ length: 1000 }, (_, i) => `key.${i}`)
    const before = keys.map((key) => names(routed(node, 'x', key))[0])
    node.must({ op: 'queueDelete', queue: 'q2', ifUnused: false, ifEmpty: false })
    keys.forEach((key, i) => {
      if (before[i] !== 'q2') expect(names(routed(node, 'x', key))).toEqual([before[i]])
    })
  })

  test('consistent hash on a header, and on a property', () => {
    const node = nodeWith(queues)
    node.must(
      exchangeDeclare('h', 'x-consistent-hash', { arguments: table({ 'hash-header': 'id' }) }),
    )
    const property = table({ 'hash-property': 'message_id' })
    node.must(exchangeDeclare('p', 'x-consistent-hash', { arguments: property }))
    for (const queue of queues) {
      bindQueue(node, queue, 'h', '1')
      bindQueue(node, queue, 'p', '1')
    }
    for (const count of counts(node, 'h', (i) => facts(table({ id: i })))) {
      expect(count).toBeGreaterThan(800)
    }
    const byId = (i: number): MessageFacts => ({
      headers: () => undefined,
      delay: () => 0,
      property: () => `m${i}`,
    })
    for (const count of counts(node, 'p', byId)) expect(count).toBeGreaterThan(800)
    expect(routed(node, 'h', 'k').cacheable).toBe(false)
  })

  test('modulus hash: one queue a key, all queues used', () => {
    const node = nodeWith(queues)
    node.must(exchangeDeclare('x', 'x-modulus-hash'))
    for (const queue of queues) bindQueue(node, queue, 'x', 'ignored')
    for (const count of counts(node, 'x')) expect(count).toBeGreaterThan(800)
    expect(names(routed(node, 'x', 'k'))).toEqual(names(routed(node, 'x', 'k')))
  })

  test.each(['x-random', 'x-local-random'])('%s: any one, never from a cache', (type) => {
    const node = nodeWith(queues)
    node.must(exchangeDeclare('x', type))
    for (const queue of queues) bindQueue(node, queue, 'x', '')
    for (const count of counts(node, 'x')) expect(count).toBeGreaterThan(800)
    expect(routed(node, 'x', 'k').cacheable).toBe(false)
  })
})

describe('the graph of exchanges', () => {
  test('each queue once, over every way, and loops end', () => {
    const node = nodeWith(['q', 'r'])
    for (const name of ['a', 'b', 'c']) node.must(exchangeDeclare(name, 'fanout'))
    bindExchange(node, 'b', 'a', '')
    bindExchange(node, 'c', 'b', '')
    bindExchange(node, 'a', 'c', '')
    for (const name of ['a', 'b', 'c']) bindQueue(node, 'q', name, '')
    bindQueue(node, 'r', 'c', '')
    expect(names(routed(node, 'a', ''))).toEqual(['q', 'r'])
  })

  test('further keys go along, and one headers exchange makes the whole route uncacheable', () => {
    const node = nodeWith(['q'])
    node.must(exchangeDeclare('a', 'fanout'))
    bindExchange(node, 'amq.direct', 'a', '')
    bindQueue(node, 'q', 'amq.direct', 'cc')
    expect(names(routed(node, 'a', 'k', ['cc']))).toEqual(['q'])
    expect(routed(node, 'a', 'k').cacheable).toBe(true)
    bindExchange(node, 'amq.headers', 'a', '')
    expect(routed(node, 'a', 'k').cacheable).toBe(false)
  })

  test('the alternate exchange gets what matched nothing, over a chain that may loop', () => {
    const node = nodeWith(['q', 'unrouted'])
    const alternate = (name: string) => ({ arguments: table({ 'alternate-exchange': name }) })
    node.must(exchangeDeclare('a', 'direct', alternate('b')))
    node.must(exchangeDeclare('b', 'direct', alternate('c')))
    node.must(exchangeDeclare('c', 'direct', alternate('a')))
    bindQueue(node, 'q', 'a', 'k')
    expect(names(routed(node, 'a', 'k'))).toEqual(['q'])
    expect(names(routed(node, 'a', 'other'))).toEqual([])
    bindQueue(node, 'unrouted', 'c', 'other')
    expect(names(routed(node, 'a', 'other'))).toEqual(['unrouted'])
    expect(names(routed(node, 'a', 'k'))).toEqual(['q'])
  })

  test('an exchange that reaches another one has matched, whatever comes of it', () => {
    const node = nodeWith(['unrouted'])
    node.must(exchangeDeclare('a', 'fanout', { arguments: table({ 'alternate-exchange': 'b' }) }))
    node.must(exchangeDeclare('b', 'fanout'))
    bindQueue(node, 'unrouted', 'b', '')
    bindExchange(node, 'amq.direct', 'a', '')
    expect(names(routed(node, 'a', 'k'))).toEqual([])
  })

  test('routing by text gives the same', () => {
    const node = nodeWith(['q', 'r'])
    bindQueue(node, 'q', 'amq.topic', '#.end')
    bindQueue(node, 'r', 'amq.topic', 'cc')
    const route = newRoute()
    router.routeText(node.vhost, 'amq.topic', [`${'long.'.repeat(100)}end`, 'cc'], noFacts, route)
    expect(names(route)).toEqual(['q', 'r'])
    router.routeText(node.vhost, 'gone', ['k'], noFacts, route)
    expect(route.exchange).toBeUndefined()
    expect(route.queues).toEqual([])
  })
})
