// What is decided, on disk, applied on every shard and answered: in this order.

import { describe, expect, test } from 'vitest'
import type { RegistryDesk } from '../../../core/shard/registry-desk.ts'
import type { Actor, RegistryOp } from '../../../core/topology/registry-op.ts'
import { pack } from '../../../shared/bus/control.ts'
import { SimNode } from '../../support/sim-node.ts'
import { describeDurable, StoredRows } from '../store/stored-rows.ts'
import { exchangeDeclare, guest, queueDeclare } from '../topology/fixture.ts'

class Bench {
  readonly disk: StoredRows = new StoredRows()
  readonly node: SimNode = new SimNode({ shards: 3, metadata: this.disk })
  readonly answers: string[] = []

  constructor() {
    const all = { configure: '.*', write: '.*', read: '.*' }
    this.run('vhost', { op: 'addVhost', name: '/' })
    this.run('user', { op: 'addUser', name: 'guest', password: 'guest', tags: [] })
    this.run('permissions', { op: 'setPermissions', user: 'guest', vhost: '/', ...all })
    this.disk.sync()
    this.node.settle()
    this.answers.length = 0
  }

  get desk(): RegistryDesk {
    const { desk } = this.node.shard(0).control
    if (desk === undefined) throw new Error('no registry')
    return desk
  }

  run(name: string, op: RegistryOp, actor: Actor | undefined = guest): void {
    this.desk.run(op, actor, ({ error }) => {
      this.answers.push(error === undefined ? name : `${name}: ${error.code}`)
    })
  }

  /** Names of the queues that each shard routes to. */
  queues(): string[] {
    return this.node.shards.map(({ state }) => {
      const vhost = state.topology.vhosts.get('/')
      return [...(vhost?.queues.keys() ?? [])].join(' ')
    })
  }
}

describe('a decision', () => {
  test('is applied and answered when it is on disk, not before', () => {
    const bench = new Bench()
    bench.run('declare', queueDeclare('q'))
    bench.node.settle()
    expect(bench.answers).toEqual([])
    expect(bench.queues()).toEqual(['', '', ''])
    bench.disk.sync()
    bench.node.settle()
    expect(bench.answers).toEqual(['declare'])
    expect(bench.queues()).toEqual(['q', 'q', 'q'])
  })

  test('can build on those that wait for the disk with it', () => {
    const bench = new Bench()
    bench.run('x', exchangeDeclare('x', 'topic'))
    bench.run('q', queueDeclare('q'))
    bench.run('bind', {
      op: 'queueBind',
      queue: 'q',
      exchange: 'x',
      routingKey: 'k',
      arguments: [],
    })
    bench.run('again', queueDeclare('q'))
    bench.run('delete', { op: 'exchangeDelete', exchange: 'x', ifUnused: false })
    bench.run('conflict', queueDeclare('q', { autoDelete: true }))
    bench.node.settle()
    // A refusal says nothing that a crash could make untrue for long.
    expect(bench.answers).toEqual(['conflict: 406'])
    bench.disk.sync()
    bench.node.settle()
    expect(bench.answers).toEqual(['conflict: 406', 'x', 'q', 'bind', 'again', 'delete'])
    const { topology } = bench.node.shard(2).state
    expect(describeDurable(topology)).toEqual(describeDurable(bench.disk.restored()))
  })

  test('of transient things keeps its place behind those that wait', () => {
    const bench = new Bench()
    bench.run('own', queueDeclare('own', { exclusive: true }))
    bench.node.settle()
    expect(bench.answers).toEqual(['own'])
    const written = bench.disk.written
    bench.run('q', queueDeclare('q'))
    bench.run('other', queueDeclare('other', { exclusive: true }))
    expect(bench.disk.written).toBe(written + 1)
    bench.node.settle()
    expect(bench.answers).toEqual(['own'])
    bench.disk.sync()
    bench.node.settle()
    expect(bench.answers).toEqual(['own', 'q', 'other'])
  })

  test('does not keep logins waiting', () => {
    const bench = new Bench()
    bench.run('q', queueDeclare('q'))
    const login = { mechanism: 'PLAIN', user: 'guest', password: 'guest', loopback: true }
    bench.run('login', { op: 'authenticate', ...login }, undefined)
    bench.run('open', { op: 'openConnection', user: 'guest', vhost: '/' }, undefined)
    expect(bench.answers).toEqual(['login', 'open'])
  })
})

describe('a full disk', () => {
  const bind = { op: 'queueBind', exchange: 'amq.topic', routingKey: 'k', arguments: [] } as const

  test('undoes what it has not taken, and what was built on it; transient things go on', () => {
    const bench = new Bench()
    bench.run('kept', queueDeclare('kept'))
    bench.disk.sync()
    bench.node.settle()
    const before = describeDurable(bench.desk.topology)
    bench.run('q', queueDeclare('q'))
    bench.run('bind', { ...bind, queue: 'q' })
    bench.run('delete', { op: 'queueDelete', queue: 'kept', ifUnused: false, ifEmpty: false })
    bench.run('own', queueDeclare('own', { exclusive: true }))
    bench.run('passive', queueDeclare('q', { passive: true }))
    bench.disk.refuse()
    bench.node.settle()
    const refusals = ['q: 406', 'bind: 406', 'passive: 404', 'delete: 406']
    expect(bench.answers).toEqual(['kept', ...refusals, 'own'])
    expect(bench.queues()).toEqual(['kept own', 'kept own', 'kept own'])
    expect(describeDurable(bench.desk.topology)).toEqual(before)
    bench.run('later', queueDeclare('later'))
    expect(bench.answers.at(-1)).toBe('later: 406')

    bench.disk.makeRoom()
    bench.run('q again', queueDeclare('q'))
    bench.disk.sync()
    bench.node.settle()
    expect(bench.answers.at(-1)).toBe('q again')
    expect(bench.queues()).toEqual(['kept own q', 'kept own q', 'kept own q'])
    const { topology } = bench.node.shard(2).state
    expect(describeDurable(topology)).toEqual(describeDurable(bench.disk.restored()))
    const ids = [...topology.queuesById.keys()]
    expect(new Set(ids).size).toBe(ids.length)
  })

  test('keeps what a start cannot do without until there is room', () => {
    const bench = new Bench()
    bench.desk.insist({ op: 'addVhost', name: 'v' }, () => bench.answers.push('vhost'))
    bench.desk.markProvisioned(() => bench.answers.push('provisioned'))
    bench.disk.refuse()
    bench.node.settle()
    bench.desk.insist({ op: 'addVhost', name: 'w' }, () => bench.answers.push('another'))
    bench.node.settle()
    expect(bench.answers).toEqual([])
    bench.disk.makeRoom()
    bench.node.settle()
    bench.disk.sync()
    bench.node.settle()
    expect(bench.answers).toEqual(['vhost', 'provisioned', 'another'])
    expect([...bench.disk.restored().vhosts.keys()]).toEqual(['/', 'v', 'w'])
    expect(bench.disk.load().provisioned).toBe(true)
  })

  test('keeps what nobody can be told: the end of an unused queue', () => {
    const bench = new Bench()
    bench.run('auto', queueDeclare('auto', { autoDelete: true }))
    bench.disk.sync()
    bench.node.settle()
    const [queueId = 0] = bench.desk.topology.queuesById.keys()
    bench.run('gone', { op: 'queueGone', queueId }, undefined)
    bench.disk.refuse()
    bench.node.settle()
    expect(bench.answers).toEqual(['auto'])
    bench.disk.makeRoom()
    bench.node.settle()
    bench.disk.sync()
    bench.node.settle()
    expect(bench.answers).toEqual(['auto', 'gone'])
    expect(bench.queues()).toEqual(['', '', ''])
    expect(describeDurable(bench.disk.restored())).toEqual(describeDurable(bench.desk.topology))
  })
})

test('restored changes are on every shard, and no id comes twice', () => {
  const before = new Bench()
  before.run('q', queueDeclare('q'))
  before.run('r', queueDeclare('r'))
  before.disk.sync()
  before.node.settle()
  const lastId = before.desk.topology.lastId
  before.run('delete r', { op: 'queueDelete', queue: 'r', ifUnused: false, ifEmpty: false })
  before.node.settle()
  before.disk.sync()
  before.node.settle()
  expect(before.answers).toEqual(['q', 'r', 'delete r'])

  const stored = before.disk.load()
  const node = new SimNode({ shards: 3, metadata: before.disk })
  const { desk } = node.shard(0).control
  let restored = false
  desk?.restore([pack(stored.changes)], stored.lastId, () => {
    restored = true
  })
  expect(restored).toBe(false)
  node.settle()
  expect(restored).toBe(true)
  for (const { state } of node.shards) {
    expect([...(state.topology.vhosts.get('/')?.queues.keys() ?? [])]).toEqual(['q'])
  }
  desk?.run(queueDeclare('s'), guest, () => {})
  before.disk.sync()
  node.settle()
  expect(node.shard(0).state.topology.vhosts.get('/')?.queues.get('s')?.id).toBe(lastId + 1)
})
