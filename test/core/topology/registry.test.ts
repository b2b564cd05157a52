import { describe, expect, test } from 'vitest'
import { queueSettings } from '../../../core/topology/queue-settings.ts'
import type { Actor } from '../../../core/topology/registry-op.ts'
import { Topology } from '../../../core/topology/topology.ts'
import type { TopologyChange } from '../../../core/topology/topology-change.ts'
import { pack, unpack } from '../../../shared/bus/control.ts'
import { placeQueue } from '../../../shared/placement.ts'
import type { Node } from './fixture.ts'
import {
  bindExchange,
  bindQueue,
  exchangeDeclare,
  guest,
  newNode,
  queueDeclare,
  queueNamed,
  table,
} from './fixture.ts'

function exchanges(node: Node): string[] {
  return [...node.vhost.exchanges.keys()].filter((name) => name !== '' && !name.startsWith('amq.'))
}

function deleteQueue(queue: string) {
  return { op: 'queueDelete', queue, ifUnused: false, ifEmpty: false } as const
}

describe('a new vhost', () => {
  test('has the predeclared exchanges', () => {
    const listed = [...newNode().vhost.exchanges.values()].map(
      ({ name, type, durable, internal }) => `${name} ${type} ${durable} ${internal}`,
    )
    expect(listed).toEqual([
      ' direct true false',
      'amq.direct direct true false',
      'amq.fanout fanout true false',
      'amq.topic topic true false',
      'amq.headers headers true false',
      'amq.match headers true false',
      'amq.rabbitmq.trace topic true true',
    ])
  })

  test('lets a declare of them pass that is equivalent', () => {
    newNode().must(exchangeDeclare('amq.topic', 'topic'))
  })
})

describe('queues', () => {
  test('a new queue is empty and lies on the shard that everybody computes', () => {
    const node = newNode()
    expect(node.must(queueDeclare('q'))).toEqual({ queue: 'q', messages: 0, consumers: 0 })
    const queue = queueNamed(node, 'q')
    expect(queue.shard).toBe(placeQueue('/', 'q', 3))
    expect(node.effects).toEqual([{ effect: 'queueCreated', queue }])
  })

  test('a queue that was there answers with its live counts', () => {
    const node = newNode()
    node.must(queueDeclare('q'))
    const stats = { messages: 7, consumers: 2 }
    const expected = { queue: 'q', ...stats }
    expect(node.must(queueDeclare('q'), guest, stats)).toEqual(expected)
    expect(node.must(queueDeclare('q', { passive: true }), guest, stats)).toEqual(expected)
    expect(node.effects).toEqual([])
  })

  test('the server names queues', () => {
    const node = newNode()
    const first = node.must(queueDeclare(''))
    const second = node.must(queueDeclare('', { exclusive: true }))
    expect(first['queue']).toMatch(/^amq\.gen-[\w-]{22}$/)
    expect(second['queue']).not.toBe(first['queue'])
    node.must(queueDeclare(String(first['queue'])))
  })

  test('CR and LF leave the names', () => {
    const node = newNode()
    expect(node.must(queueDeclare('a\r\nb'))['queue']).toBe('ab')
    node.must(exchangeDeclare('e\n', 'direct'))
    bindQueue(node, 'a\nb', '\re', 'k\n')
    expect([...queueNamed(node, 'ab').inbound].map((binding) => binding.routingKey)).toEqual([
      'k\n',
    ])
  })

  test('an exclusive queue is not durable, and its owner may declare it again', () => {
    const node = newNode()
    node.must(queueDeclare('q', { exclusive: true, durable: true }))
    expect(queueNamed(node, 'q')).toMatchObject({ durable: false, owner: guest.owner })
    node.must(queueDeclare('q', { exclusive: true, durable: true }))
    node.must(queueDeclare('q', { exclusive: true, durable: false }))
  })

  test('exclusive queues go with their connection, and with them what they held up', () => {
    const node = newNode()
    const other: Actor = { ...guest, owner: 'connection 2' }
    node.must(exchangeDeclare('x', 'fanout', { autoDelete: true }))
    node.must(queueDeclare('a', { exclusive: true }))
    node.must(queueDeclare('b', { exclusive: true }))
    node.must(queueDeclare('c', { exclusive: true }), other)
    bindQueue(node, 'a', 'x', '')
    bindQueue(node, 'b', 'x', '')
    const gone = [queueNamed(node, 'a'), queueNamed(node, 'b')]
    node.must({ op: 'ownerGone', owner: guest.owner })
    expect(node.effects).toEqual(gone.map((queue) => ({ effect: 'queueDeleted', queue })))
    expect([...node.vhost.queues.keys()]).toEqual(['c'])
    expect(exchanges(node)).toEqual([])
    node.must({ op: 'ownerGone', owner: guest.owner })
  })

  test('numeric arguments compare by value across widths', () => {
    const node = newNode()
    node.must(queueDeclare('q', { arguments: table({ 'x-max-length': 10 }) }))
    node.must(queueDeclare('q', { arguments: [['x-max-length', { type: 'l', value: 10n }]] }))
    node.must(queueDeclare('q', { arguments: [['x-max-length', { type: 's', value: 10 }]] }))
  })

  test('x-queue-type classic equals none; unknown arguments are not compared', () => {
    const node = newNode()
    node.must(queueDeclare('q', { arguments: table({ 'x-queue-type': 'classic' }) }))
    node.must(queueDeclare('q', { arguments: table({ 'x-queue-type': '', 'x-mine': 1 }) }))
    node.must(queueDeclare('q'))
  })

  test('a default type that does not suit the flags gives way to classic', () => {
    const node = newNode()
    node.must({ op: 'addVhost', name: 'v', defaultQueueType: 'quorum' })
    const all = { configure: '.*', write: '.*', read: '.*' }
    node.must({ op: 'setPermissions', user: 'guest', vhost: 'v', ...all })
    const actor = { ...guest, vhost: 'v' }
    node.must(queueDeclare('q', { exclusive: true }), actor)
    node.must(queueDeclare('r'), actor)
    expect(node.topology.vhosts.get('v')?.queues.get('q')?.type).toBe('classic')
    expect(node.topology.vhosts.get('v')?.queues.get('r')?.type).toBe('quorum')
  })

  test('deleting answers with the count; what is not there is as good as deleted', () => {
    const node = newNode()
    node.must(queueDeclare('q'))
    const queue = queueNamed(node, 'q')
    expect(node.must(deleteQueue('q'), guest, { messages: 3, consumers: 1 })).toEqual({
      messages: 3,
    })
    expect(node.effects).toEqual([{ effect: 'queueDeleted', queue }])
    expect(queue.deleted).toBe(true)
    expect(node.must(deleteQueue('q'))).toEqual({ messages: 0 })
  })

  test('a queue that ended by itself goes once', () => {
    const node = newNode()
    node.must(queueDeclare('q', { autoDelete: true }))
    const queueId = queueNamed(node, 'q').id
    node.must({ op: 'queueGone', queueId })
    expect(node.vhost.queues.size).toBe(0)
    node.must({ op: 'queueGone', queueId })
    node.must(queueDeclare('q', { autoDelete: true }))
    expect(queueNamed(node, 'q').id).toBeGreaterThan(queueId)
  })

  test('direct reply-to names exist while they have a consumer', () => {
    const node = newNode()
    for (const queue of ['amq.rabbitmq.reply-to', 'amq.rabbitmq.reply-to.known']) {
      expect(node.must(queueDeclare(queue))).toEqual({ queue, messages: 0, consumers: 1 })
    }
  })

  test('settings are read from the arguments', () => {
    const args = table({ 'x-message-ttl': 5, 'x-max-priority': 3, 'x-overflow': 'reject-publish' })
    expect(queueSettings(args)).toMatchObject({
      messageTtlMs: 5,
      expiresMs: undefined,
      lengthMax: undefined,
      bytesMax: undefined,
      overflow: 'reject-publish',
      deadLetterExchange: undefined,
      deadLetterRoutingKey: undefined,
      priorityMax: 3,
      singleActiveConsumer: false,
    })
  })
})

describe('bindings', () => {
  test('the same binding again changes nothing, other arguments make another', () => {
    const node = newNode()
    node.must(queueDeclare('q'))
    bindQueue(node, 'q', 'amq.headers', '', table({ a: 1, b: 2 }))
    bindQueue(node, 'q', 'amq.headers', '', table({ b: 2, a: 1 }))
    expect(queueNamed(node, 'q').inbound.size).toBe(1)
    bindQueue(node, 'q', 'amq.headers', '', table({ a: 1 }))
    expect(queueNamed(node, 'q').inbound.size).toBe(2)
  })

  test('unbinding what is not bound, or not there, is fine', () => {
    const node = newNode()
    const unbind = { op: 'queueUnbind', routingKey: 'k', arguments: [] } as const
    node.must({ ...unbind, queue: 'none', exchange: 'amq.direct' })
    node.must({ ...unbind, queue: 'none', exchange: 'none' })
    node.must(queueDeclare('q'))
    node.must({ ...unbind, queue: 'q', exchange: 'amq.direct' })
  })

  test('a deleted queue takes its bindings along', () => {
    const node = newNode()
    node.must(queueDeclare('q'))
    for (const exchange of ['amq.direct', 'amq.topic', 'amq.fanout', 'amq.headers']) {
      bindQueue(node, 'q', exchange, 'k')
    }
    node.must(deleteQueue('q'))
    for (const exchange of node.vhost.exchanges.values()) expect(exchange.outbound.size).toBe(0)
  })

  test('auto-delete exchanges go with their last binding, one after another', () => {
    const node = newNode()
    node.must(queueDeclare('q'))
    for (const name of ['a', 'b', 'c']) {
      node.must(exchangeDeclare(name, 'fanout', { autoDelete: name !== 'a' }))
    }
    bindExchange(node, 'b', 'a', '')
    bindExchange(node, 'c', 'b', '')
    bindQueue(node, 'q', 'c', '')
    bindQueue(node, 'q', 'c', 'more')
    const unbind = { op: 'queueUnbind', queue: 'q', exchange: 'c', arguments: [] } as const
    node.must({ ...unbind, routingKey: 'more' })
    expect(exchanges(node)).toEqual(['a', 'b', 'c'])
    node.must({ ...unbind, routingKey: '' })
    expect(exchanges(node)).toEqual(['a'])
    expect(node.vhost.exchanges.get('a')?.outbound.size).toBe(0)
  })

  test('deleting an exchange leaves auto-delete exchanges before it unused, not those behind it', () => {
    const node = newNode()
    for (const name of ['before', 'x', 'behind']) {
      node.must(exchangeDeclare(name, 'fanout', { autoDelete: true }))
    }
    bindExchange(node, 'x', 'before', '')
    bindExchange(node, 'behind', 'x', '')
    node.must({ op: 'exchangeDelete', exchange: 'x', ifUnused: false })
    expect(exchanges(node)).toEqual(['behind'])
    expect(node.vhost.exchanges.get('behind')?.inbound.size).toBe(0)
    node.must({ op: 'exchangeDelete', exchange: 'x', ifUnused: false })
  })

  test('exchanges bound in a circle can be deleted', () => {
    const node = newNode()
    for (const name of ['a', 'b']) node.must(exchangeDeclare(name, 'fanout', { autoDelete: true }))
    bindExchange(node, 'a', 'b', '')
    bindExchange(node, 'b', 'a', '')
    bindExchange(node, 'a', 'a', '')
    node.must({ op: 'exchangeDelete', exchange: 'a', ifUnused: false })
    expect(exchanges(node)).toEqual([])
  })
})

describe('changes', () => {
  test('applied elsewhere after a trip over the bus, they give the same topology', () => {
    const node = newNode()
    const copy = new Topology()
    const seen: TopologyChange[] = []
    const apply = node.topology.apply.bind(node.topology)
    node.topology.apply = (change) => {
      seen.push(change)
      return apply(change)
    }
    node.must({ op: 'addVhost', name: 'v', description: 'second' })
    node.must({ op: 'addUser', name: 'u', password: 'p', tags: ['monitoring'] })
    const patterns = { configure: 'a', write: 'b', read: 'c' }
    node.must({ op: 'setPermissions', user: 'u', vhost: 'v', ...patterns })
    const actor: Actor = { user: 'admin', vhost: 'v', owner: 'c' }
    node.must({ op: 'addUser', name: 'admin', password: 'p', tags: [] })
    const all = { configure: '.*', write: '.*', read: '.*' }
    node.must({ op: 'setPermissions', user: 'admin', vhost: 'v', ...all })
    node.must(queueDeclare('q', { arguments: table({ 'x-max-length': 5 }) }), actor)
    node.must(queueDeclare('r', { exclusive: true }), actor)
    node.must(exchangeDeclare('x', 'headers', { autoDelete: true }), actor)
    const bind = { op: 'queueBind', exchange: 'x', routingKey: 'k' } as const
    node.must({ ...bind, queue: 'q', arguments: table({ a: 1 }) }, actor)
    node.must({ ...bind, queue: 'r', arguments: [] }, actor)
    node.must(deleteQueue('r'), actor)
    for (const change of seen) copy.apply(unpack<TopologyChange>(pack(change)))
    expect(copy.version).toBe(seen.length)
    const one = node.topology.vhosts.get('v')
    const two = copy.vhosts.get('v')
    expect([...(two?.queues.keys() ?? [])]).toEqual(['q'])
    expect(two?.queues.get('q')?.arguments).toEqual(one?.queues.get('q')?.arguments)
    const outbound = (vhost: typeof one) => [...(vhost?.exchanges.get('x')?.outbound.keys() ?? [])]
    expect(outbound(two)).toEqual(outbound(one))
    expect(outbound(two)).toHaveLength(1)
    expect(copy.users.get('u')?.permissions.get('v')).toMatchObject(patterns)
    expect(copy.users.get('u')?.passwordHash).toBe(node.topology.users.get('u')?.passwordHash)
  })

  test('deleting a vhost deletes its queues and every permission for it', () => {
    const node = newNode()
    node.must(queueDeclare('q'))
    const queue = queueNamed(node, 'q')
    node.must({ op: 'deleteVhost', name: '/' })
    expect(node.effects).toEqual([
      { effect: 'queueDeleted', queue },
      { effect: 'vhostDeleted', vhost: node.vhost },
    ])
    expect(node.topology.users.get('guest')?.permissions.size).toBe(0)
    expect(node.refusal(queueDeclare('q'))).toBe('connection 530 NOT_ALLOWED - vhost / not found')
  })
})
