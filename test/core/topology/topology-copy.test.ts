// A topology told as changes makes the same again.

import { expect, test } from 'vitest'
import { Topology } from '../../../core/topology/topology.ts'
import type { TopologyChange } from '../../../core/topology/topology-change.ts'
import { changesThatMake } from '../../../core/topology/topology-copy.ts'

const x = { autoDelete: false, internal: false, arguments: [] }
const q = { autoDelete: false, owner: undefined, arguments: [], shard: 1 }
const anything = { configure: '.*', write: '.*', read: '^a' }
const policy = {
  name: 'p',
  pattern: '^q',
  applyTo: 'queues',
  priority: 3,
  definition: { 'max-length': 7 },
} as const
const bound = { change: 'bound', vhost: 1, source: 'x', routingKey: 'k', arguments: [] } as const

const vhostAdded = {
  change: 'vhostAdded',
  id: 1,
  name: 'v',
  description: 'd',
  tags: ['t'],
  defaultQueueType: 'quorum',
} as const

const made: readonly TopologyChange[] = [
  { change: 'parameterSet', vhost: undefined, component: '', name: 'g', value: 1 },
  vhostAdded,
  { change: 'vhostLimitsSet', vhost: 1, limits: { 'max-queues': 9 } },
  { change: 'policySet', vhost: 1, operator: false, policy },
  { change: 'policySet', vhost: 1, operator: true, policy: { ...policy, name: 'o' } },
  { change: 'parameterSet', vhost: 1, component: 'c', name: 'n', value: { a: [2] } },
  { change: 'userSet', name: 'u', passwordHash: 'h', hashingAlgorithm: 'a', tags: ['admin'] },
  { change: 'userLimitsSet', user: 'u', limits: { 'max-channels': 4 } },
  { change: 'permissionsSet', user: 'u', vhost: 'v', ...anything },
  { change: 'topicPermissionsSet', user: 'u', vhost: 'v', exchange: 'x', write: 'w', read: 'r' },
  { change: 'exchangeDeclared', vhost: 1, id: 2, name: 'x', type: 'topic', durable: true, ...x },
  { change: 'exchangeDeclared', vhost: 1, id: 3, name: 'y', type: 'fanout', durable: false, ...x },
  {
    change: 'queueDeclared',
    vhost: 1,
    id: 4,
    name: 'q1',
    type: 'quorum',
    durable: true,
    ...q,
    arguments: [['x-max-length', { type: 'I', value: 5 }]],
  },
  { change: 'queuePaused', vhost: 1, name: 'q1', paused: true },
  {
    change: 'queueDeclared',
    vhost: 1,
    id: 5,
    name: 'q2',
    type: 'classic',
    durable: false,
    ...q,
    owner: 'me',
  },
  { ...bound, destinationKind: 'queue', destination: 'q1' },
  { ...bound, destinationKind: 'exchange', destination: 'y' },
]

function lines(changes: Iterable<TopologyChange>): string[] {
  return [...changes].map((change) => JSON.stringify(Object.entries(change).sort())).sort()
}

test('is the same again, with everything that can be declared', () => {
  const first = new Topology()
  for (const change of made) first.apply(change)
  expect(lines(changesThatMake(first))).toEqual(lines(made))
  const second = new Topology()
  second.apply({ ...vhostAdded, id: 77, name: 'was there' })
  second.become(changesThatMake(first))
  expect(lines(changesThatMake(second))).toEqual(lines(made))
  expect(second.lastId).toBe(77)
})
