import { describe, expect, test } from 'vitest'
import { Registry } from '../../../core/topology/registry.ts'
import type { RegistryOp } from '../../../core/topology/registry-op.ts'
import { Topology } from '../../../core/topology/topology.ts'
import { longField, textField } from '../../../shared/message/value.ts'
import { exchangeDeclare, guest, queueDeclare } from '../topology/fixture.ts'
import { describeDurable, StoredRows } from './stored-rows.ts'

/** A registry whose decisions are stored one by one. */
class StoredNode {
  readonly rows: StoredRows = new StoredRows()
  readonly topology: Topology = new Topology()
  private readonly registry: Registry

  constructor() {
    this.registry = new Registry(this.topology, {
      shards: 3,
      randomBytes: (size) => new Uint8Array(size).fill(7),
      permitTransientNonexclusiveQueues: true,
      loopbackUsers: new Set(),
      replyQueueExists: () => false,
      anonymousUser: undefined,
      hashingAlgorithm: 'rabbit_password_hashing_sha256',
      queueCountMax: undefined,
      exchangeCountMax: undefined,
    })
    const all = { configure: '.*', write: '.*', read: '.*' }
    this.run({ op: 'addVhost', name: '/', description: 'the first', tags: ['a', 'b'] })
    this.run({ op: 'addUser', name: 'guest', password: 'guest', tags: ['administrator'] })
    this.run({ op: 'setPermissions', user: 'guest', vhost: '/', ...all })
  }

  run(...ops: readonly RegistryOp[]): void {
    for (const op of ops) {
      const decision = this.registry.decide(op, guest, { messages: 0, consumers: 0 })
      if (decision.kind !== 'decided') throw new Error(JSON.stringify(decision))
      for (const change of decision.changes) {
        this.rows.collect(this.topology, change)
        this.topology.apply(change)
      }
    }
  }

  /** A restart brings back exactly what is durable; returns it. */
  survivors(): string[] {
    const now = describeDurable(this.topology)
    expect(describeDurable(this.rows.restored())).toEqual(now)
    return now
  }
}

const args = [
  ['n', { type: 'l', value: 2n ** 60n }],
  ['x', { type: 'x', value: Uint8Array.of(1, 2, 255) }],
  ['t', { type: 'F', value: [['deep', textField('é')]] }],
  ['none', { type: 'V', value: null }],
] as const

function bind(queue: string, exchange: string, routingKey: string): RegistryOp {
  return { op: 'queueBind', queue, exchange, routingKey, arguments: [] }
}

function bindExchange(destination: string, source: string): RegistryOp {
  return { op: 'exchangeBind', destination, source, routingKey: 'k', arguments: [] }
}

describe('rows of the metadata', () => {
  test('hold vhosts, users, permissions, and what is durable, with its arguments', () => {
    const node = new StoredNode()
    node.run(
      exchangeDeclare('x', 'topic', { arguments: args }),
      exchangeDeclare('passing', 'fanout', { durable: false }),
      queueDeclare('q', { arguments: [['x-max-length', longField(5)]] }),
      queueDeclare('passing', { durable: false }),
      queueDeclare('own', { exclusive: true }),
      bind('q', 'x', 'a.*'),
      { op: 'queueBind', queue: 'q', exchange: 'x', routingKey: 'a.*', arguments: args },
      bind('passing', 'x', 'a'),
      bind('q', 'passing', 'a'),
      bindExchange('x', 'amq.fanout'),
      bindExchange('passing', 'amq.fanout'),
      {
        op: 'setTopicPermissions',
        user: 'guest',
        vhost: '/',
        exchange: 'x',
        write: 'w',
        read: 'r',
      },
    )
    const found = node.survivors().join('\n')
    expect(found).toContain('queue 1 ')
    expect(found.match(/^binding .*$/gm)).toEqual([
      'binding 1 amq.fanout -> exchange x by k []',
      expect.stringMatching(
        /^binding 1 x -> queue q by a\.\* \[\["n",\{"type":"l","value":"1152921504606846976n"/,
      ),
      'binding 1 x -> queue q by a.* []',
    ])
    expect(found).not.toMatch(/passing|own/)
    expect(found).toContain('topic permissions guest / x w r')
  })

  test('go with what they belong to', () => {
    const node = new StoredNode()
    const before = node.survivors()
    const all = { configure: '.*', write: '.*', read: '.*' }
    node.run(
      exchangeDeclare('x', 'topic'),
      exchangeDeclare('y', 'topic', { autoDelete: true }),
      queueDeclare('q'),
      queueDeclare('r'),
      bind('q', 'x', 'a'),
      bind('r', 'x', 'a'),
      bind('q', 'y', 'b'),
      bindExchange('x', 'y'),
      { op: 'queueUnbind', queue: 'r', exchange: 'x', routingKey: 'a', arguments: [] },
      { op: 'queueDelete', queue: 'q', ifUnused: false, ifEmpty: false },
    )
    expect(node.survivors().filter((line) => line.startsWith('binding'))).toEqual([
      'binding 1 y -> exchange x by k []',
    ])
    node.run(
      { op: 'exchangeDelete', exchange: 'x', ifUnused: false },
      { op: 'queueDelete', queue: 'r', ifUnused: false, ifEmpty: false },
      { op: 'addUser', name: 'u', password: 'p', tags: [] },
      { op: 'setPermissions', user: 'u', vhost: '/', ...all },
      { op: 'setTopicPermissions', user: 'u', vhost: '/', exchange: 'x', write: '', read: '' },
      { op: 'setTopicPermissions', user: 'u', vhost: '/', exchange: 'y', write: '', read: '' },
    )
    node.survivors()
    node.run({ op: 'clearTopicPermissions', user: 'u', vhost: '/' })
    node.survivors()
    node.run({ op: 'deleteUser', name: 'u' })
    expect(node.survivors()).toEqual(before)
    node.run({ op: 'deleteVhost', name: '/' })
    expect(node.survivors()).toEqual([expect.stringMatching(/^user guest /)])
    // The fact that the vhost is gone leaves no row behind.
    expect(node.rows.rows.size).toBe(1)
  })

  test('keep names of any length and kind apart', () => {
    const node = new StoredNode()
    const long = 'é'.repeat(120)
    const names = [long, `${long}1`, 'a\0b', 'a', 'A', `${'n'.repeat(254)}1`, `${'n'.repeat(254)}2`]
    for (const name of names) {
      node.run(queueDeclare(name), exchangeDeclare(name, 'direct'))
      for (const key of names) node.run(bind(name, name, key))
    }
    const vhost = 'v'.repeat(2000)
    node.run({ op: 'addVhost', name: `${vhost}1` }, { op: 'addVhost', name: `${vhost}2` })
    const all = { configure: '.*', write: '.*', read: '.*' }
    node.run({ op: 'setPermissions', user: 'guest', vhost: `${vhost}1`, ...all })
    node.run({ op: 'setPermissions', user: 'guest', vhost: `${vhost}2`, ...all })
    expect(node.survivors().filter((line) => line.startsWith('binding'))).toHaveLength(49)
    for (const key of node.rows.rows.keys()) expect(key.length / 2).toBeLessThanOrEqual(1024)
  })

  test('that are damaged or lack what they refer to are told and left out', () => {
    const node = new StoredNode()
    node.run(queueDeclare('q'), exchangeDeclare('x', 'topic'), bind('q', 'x', 'a'))
    const { rows } = node.rows
    const queueKey = [...rows.keys()].find((key) => key.startsWith('07')) ?? ''
    const value = rows.get(queueKey) ?? new Uint8Array()
    value[value.length - 1] = (value.at(-1) ?? 0) ^ 1
    const { changes, damaged, dangling } = node.rows.load()
    expect(damaged).toEqual([`the row ${queueKey} is damaged`])
    expect(dangling).toEqual(["binding from 'x' to queue 'q': its destination is missing"])
    expect(changes.some(({ change }) => change === 'bound')).toBe(false)
    rows.delete([...rows.keys()].find((key) => key.startsWith('02')) ?? '')
    expect(node.rows.load().dangling).toContain("exchange 'x': its vhost is missing")
  })
})
