// One shard or three, through real rings: publish, deliver, acknowledge, confirm.

import { describe, expect, test } from 'vitest'
import { EntryFlag, Outcome } from '../../../shared/bus/wire.ts'
import { SimNode } from '../../support/sim-node.ts'
import type { SimDelivery } from '../../support/sim-session.ts'
import { SimChannel, SimConnection } from '../../support/sim-session.ts'

interface Client {
  readonly node: SimNode
  readonly connection: SimConnection
  readonly channel: SimChannel
  readonly got: SimDelivery[]
}

function connect(shards: number): Client {
  const node = new SimNode({ shards })
  const { port } = node.startGateway()
  const connection = new SimConnection(port, 'connection 1')
  node.settle()
  const channel = new SimChannel(connection)
  const got: SimDelivery[] = []
  channel.onDelivery = (delivery) => got.push(delivery)
  return { node, connection, channel, got }
}

function declare({ node, connection }: Client, queue: string): void {
  const flags = { passive: false, durable: true, exclusive: false, autoDelete: false }
  let error: unknown = 'no answer'
  connection.request(
    0,
    { op: 'queueDeclare', connection: connection.slot, queue, ...flags, arguments: [] },
    (reply) => {
      error = reply.error
    },
  )
  node.settle()
  expect(error).toBeUndefined()
}

describe.each([1, 3])('a node of %i shards', (shards) => {
  test('carries messages from publisher to consumer, confirms them and forgets them when acknowledged', () => {
    const client = connect(shards)
    const { node, channel, got } = client
    const queues = ['a', 'b', 'c', 'd']
    for (const queue of queues) declare(client, queue)
    for (const queue of queues) channel.consume(queue)
    channel.mode = EntryFlag.confirm
    for (let i = 0; i < 40; i++) {
      expect(channel.publish('', queues[i % 4] ?? '', Buffer.from(`message ${i}`))).toBe(true)
    }
    node.settle()
    expect(channel.confirmed).toBe(40)
    expect(got.map(({ entry }) => entry.body.toString()).sort()).toEqual(
      Array.from({ length: 40 }, (_, i) => `message ${i}`).sort(),
    )
    expect(node.messageCount()).toBe(40)
    for (const delivery of [...channel.unacked]) channel.settle(delivery)
    node.settle()
    expect(node.messageCount()).toBe(0)
  })

  test('cancels consumers that may no longer read when access is looked at again', () => {
    const client = connect(shards)
    const { node, connection, channel } = client
    const queues = ['a', 'b', 'c', 'd']
    for (const queue of queues) declare(client, queue)
    const consumers = queues.map((queue) => channel.consume(queue))
    node.settle()
    const all = { configure: '.*', write: '.*', read: '^[ab]$' }
    node.admin({ op: 'setPermissions', user: 'guest', vhost: '/', ...all })
    let answers = 0
    for (let shard = 0; shard < shards; shard++) {
      const op = { op: 'recheckAccess', connection: connection.slot } as const
      connection.request(shard, op, ({ error }) => {
        expect(error).toBeUndefined()
        answers++
      })
    }
    node.settle()
    expect(answers).toBe(shards)
    expect(consumers.map(({ live }) => live)).toEqual([true, true, false, false])
  })

  test('keeps messages without a consumer, and gives requeued ones again in their place', () => {
    const client = connect(shards)
    const { node, channel, got } = client
    declare(client, 'q')
    for (let i = 0; i < 5; i++) channel.publish('', 'q', Buffer.from(`${i}`))
    const consumer = channel.consume('q', { prefetch: 3 })
    node.settle()
    expect(got.map(({ entry }) => entry.body.toString())).toEqual(['0', '1', '2'])
    const [first, second, third] = got.splice(0) as [SimDelivery, SimDelivery, SimDelivery]
    channel.settle(third, Outcome.requeue)
    channel.settle(first, Outcome.requeue)
    node.settle()
    expect(got.map(({ entry, redelivered }) => [entry.body.toString(), redelivered])).toEqual([
      ['0', true],
      ['2', true],
    ])
    channel.cancel(consumer)
    node.settle()
    channel.settle(second)
    channel.close()
    node.settle()
    expect(node.messageCount()).toBe(4)
  })
})
