/** Matching random routing keys of four words against few and many topic bindings. */

import { ByteMap } from '../../core/routing/byte-map.ts'
import { TargetList } from '../../core/routing/target-list.ts'
import { TopicTrie } from '../../core/routing/topic-trie.ts'
import { PolicySet } from '../../core/topology/policies.ts'
import { queueSettings } from '../../core/topology/queue-settings.ts'
import type { QueueRecord, VhostRecord } from '../../core/topology/records.ts'
import { EMPTY_TABLE } from '../../shared/message/value.ts'
import { bindingKeys, topicKeys } from '../load/topology.ts'
import type { Micro } from './harness.ts'

const QUEUES = 100

export function topicTrieMicros(quick: boolean): readonly Micro[] {
  return [matching(10), matching(quick ? 1000 : 100_000)]
}

function matching(bindings: number): Micro {
  const vhost = makeVhost()
  const queues = Array.from({ length: QUEUES }, (_, i) => makeQueue(vhost, i))
  const trie = new TopicTrie()
  for (const [i, key] of bindingKeys(bindings).entries()) {
    const queue = queues[i % QUEUES]
    if (queue !== undefined) trie.add(key, queue)
  }
  const keys = topicKeys(1).map((key) => Buffer.from(key))
  const out = new TargetList()
  const batch = (): void => {
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i] as Buffer
      out.clear()
      trie.match(key, 0, key.length, out)
    }
  }
  return { name: `topic trie: match among ${bindings} bindings`, size: keys.length, batch }
}

function makeVhost(): VhostRecord {
  return {
    id: 1,
    name: '/',
    description: '',
    tags: [],
    defaultQueueType: undefined,
    limits: {},
    policies: new PolicySet(),
    operatorPolicies: new PolicySet(),
    parameters: new Map(),
    exchanges: new Map(),
    queues: new Map(),
    exchangesByBytes: new ByteMap(),
    queuesByBytes: new ByteMap(),
  }
}

function makeQueue(vhost: VhostRecord, id: number): QueueRecord {
  return {
    kind: 'queue',
    id,
    vhost,
    name: `queue${id}`,
    type: 'classic',
    durable: true,
    autoDelete: false,
    owner: undefined,
    arguments: EMPTY_TABLE,
    policy: undefined,
    operatorPolicy: undefined,
    settings: queueSettings(EMPTY_TABLE),
    shard: 0,
    inbound: new Set(),
    paused: false,
    deleted: false,
    routeMark: 0,
  }
}
