// A gateway's sink gets each message once, whatever number of its filters match.

import { describe, expect, test } from 'vitest'
import { readEntry } from '../../support/sim-entry.ts'
import type { SimGateway } from '../../support/sim-node.ts'
import { SimNode } from '../../support/sim-node.ts'
import { SimChannel, SimConnection } from '../../support/sim-session.ts'

interface Rig {
  readonly node: SimNode
  readonly got: string[]
  readonly slot: number
  readonly gateway: SimGateway
  ask(op: 'bindSink' | 'unbindSink', filter: string, exchange?: string): void
  publish(key: string, exchange?: string): void
}

function rig(shards: number): Rig {
  const node = new SimNode({ shards })
  const gateway = node.startGateway()
  const publisher = node.startGateway()
  const got: string[] = []
  const slot = gateway.port.consumers.add({
    onDeliver: (link, at) => {
      got.push(readEntry(gateway.port.arena, link.words, at).key)
    },
    onCancelled: () => got.push('cancelled'),
  })
  for (let shard = 0; shard < shards; shard++) {
    gateway.port.notify(shard, { op: 'openSink', sink: slot, vhost: '/' })
  }
  const connection = new SimConnection(publisher.port, 'publisher')
  node.settle()
  const channel = new SimChannel(connection)
  node.settle()
  const ask = (op: 'bindSink' | 'unbindSink', filter: string, exchange = 'amq.topic'): void => {
    for (let shard = 0; shard < shards; shard++) {
      gateway.port.request(shard, { op, sink: slot, exchange, filter }, { onReply: () => {} })
    }
    node.settle()
  }
  const publish = (key: string, exchange = 'amq.topic'): void => {
    channel.publish(exchange, key, Buffer.from('x'))
    node.settle()
  }
  return { node, got, slot, gateway, ask, publish }
}

describe.each([1, 3])('a sink, %i shards', (shards) => {
  test('gets what any of its filters matches, once', () => {
    const { ask, publish, got } = rig(shards)
    publish('a.b')
    ask('bindSink', 'a/+')
    ask('bindSink', '#')
    publish('a.b')
    publish('c')
    expect(got).toEqual(['a.b', 'c'])
    ask('unbindSink', '#')
    publish('a.b')
    publish('c')
    expect(got).toEqual(['a.b', 'c', 'a.b'])
  })

  test('bound to an exchange that is not there, or again, changes nothing', () => {
    const { ask, publish, got } = rig(shards)
    ask('bindSink', 'a', 'no such exchange')
    ask('bindSink', 'a')
    ask('bindSink', 'a')
    publish('a')
    ask('unbindSink', 'a')
    publish('a')
    expect(got).toEqual(['a'])
  })

  test('goes with its gateway and its vhost', () => {
    const one = rig(shards)
    one.ask('bindSink', '#')
    for (const [shard, link] of one.gateway.links.entries()) {
      one.node.shard(shard).loseGateway(link.id)
    }
    one.publish('a')
    const { state } = one.node.shard(0)
    expect([one.got, state.messages.count]).toEqual([[], 0])
    const two = rig(shards)
    two.ask('bindSink', '#')
    two.node.admin({ op: 'deleteVhost', name: '/' })
    two.node.settle()
    expect(two.got).toEqual(new Array(shards).fill('cancelled'))
  })
})
