// Direct reply-to: whoever has the name may send, nobody else, and only while the channel is there.

import { describe, expect, test } from 'vitest'
import { MemoryLog } from '../../../core/log/log.ts'
import { MessageTable } from '../../../core/message/message-table.ts'
import type { ClassicQueue } from '../../../core/queue/classic-queue.ts'
import type { ShardChannel } from '../../../core/shard/channel.ts'
import { isReplyName, ReplyQueues, replyTarget } from '../../../core/shard/reply-queues.ts'
import { ShardClock } from '../../../core/time/clock.ts'
import { TimerWheel } from '../../../core/time/timer-wheel.ts'
import { Arena, createArena } from '../../../shared/bus/arena.ts'
import { SlabReclaimer } from '../../../shared/bus/slab-reclaimer.ts'
import { placeQueue } from '../../../shared/placement.ts'
import { SimNode } from '../../support/sim-node.ts'
import { SimChannel, SimConnection } from '../../support/sim-session.ts'

const prefix = 'amq.rabbitmq.reply-to.'

interface Rig {
  readonly replies: ReplyQueues
  readonly queues: Map<number, ClassicQueue>
}

function rig(shard: number): Rig {
  const arena = new Arena(createArena(0, 4096))
  const queues = new Map<number, ClassicQueue>()
  const context = {
    messages: new MessageTable(arena, new SlabReclaimer(arena)),
    log: new MemoryLog(),
    queueMemoryBudget: Number.MAX_SAFE_INTEGER,
    clock: new ShardClock(),
    timers: new TimerWheel(),
    deaths: { add: (): void => {} },
    unused: () => {},
    wake: (): void => {},
    want: (): void => {},
  }
  let last = 0
  return { replies: new ReplyQueues(shard, queues, context, () => ++last * 0x1234567), queues }
}

// A channel is a key here, no more.
function channel(): ShardChannel {
  return {} as ShardChannel
}

/** A name made by somebody who knows its form but no secret. */
function forged(place: string, secret = 'c2VjcmV0'): string {
  return `${prefix}${Buffer.from(place).toString('base64url')}.${secret}`
}

/** The secret of a name, as it stands there. */
function secretOf(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1)
}

describe('a reply-to name', () => {
  test('leads to its queue, which no declared queue can be', () => {
    const { replies, queues } = rig(2)
    const { name, queue } = replies.open(channel())
    const target = replies.target(name)
    expect(target?.shard).toBe(2)
    expect(queues.get(target?.id ?? 0)).toBe(queue)
    expect(queue.id).toBeLessThan(0)
    expect([replies.isOpen(name), isReplyName(name)]).toEqual([true, true])
    expect([isReplyName('amq.rabbitmq.reply-to'), isReplyName('amq.rabbitmq.reply-tos')]).toEqual([
      true,
      false,
    ])
  })

  test('is each channel its own, with its own secret', () => {
    const { replies } = rig(0)
    const one = replies.open(channel()).name
    const other = replies.open(channel()).name
    expect(secretOf(one)).not.toBe(secretOf(other))
    expect(replies.isOpen(forged('0:2', secretOf(one)))).toBe(false)
    expect(replies.isOpen(forged('0:2', secretOf(other)))).toBe(true)
  })

  test('with a wrong secret leads nowhere on its own shard', () => {
    const { replies } = rig(0)
    const { name } = replies.open(channel())
    for (const key of [forged('0:1'), forged('0:1', ''), `${name}x`, name.slice(0, -1)]) {
      expect(replies.isOpen(key)).toBe(false)
      expect(replies.target(key)).toBeUndefined()
    }
  })

  test('of another shard is passed on, but never open here', () => {
    const { replies } = rig(0)
    const { name } = rig(1).replies.open(channel())
    expect(replies.target(name)).toMatchObject({ shard: 1, id: -1 })
    replies.open(channel())
    expect(replies.isOpen(name)).toBe(false)
  })

  test.each([
    ['the pseudo queue itself', 'amq.rabbitmq.reply-to'],
    ['nothing behind the prefix', prefix],
    ['no secret', forged('0:1').slice(0, -9)],
    ['a further part', `${forged('0:1')}.x`],
    ['no place', forged('')],
    ['an exclusive place', forged('0:-1')],
    ['queue 0', forged('1:0')],
    // As int32 this is 1, the id of a declared queue.
    ['a number that wraps', forged('1:4294967295')],
    ['a number of 2^31', forged('1:2147483648')],
  ])('is none with %s', (_title, key) => {
    expect(replyTarget(key)).toBeUndefined()
  })
})

describe('a reply queue', () => {
  test('goes with its channel, and replies to it are dropped', () => {
    const { replies, queues } = rig(0)
    const asking = channel()
    const staying = replies.open(channel())
    const { name, queue } = replies.open(asking)
    replies.close(asking)
    replies.close(asking)
    expect([replies.isOpen(name), replies.target(name), queue.deleted]).toEqual([
      false,
      undefined,
      true,
    ])
    expect([...queues.values()]).toEqual([staying.queue])
    // A route may still be remembered.
    expect(queue.accept(new Int32Array(7), 0, 0, -1)).toBe(-1)
    expect(queue.readyCount()).toBe(0)
  })

  test('goes with its consumer, another queue of the channel does not take it along', () => {
    const { replies } = rig(0)
    const asking = channel()
    const { name, queue } = replies.open(asking)
    replies.closeQueue(asking, { settled: (): void => {} })
    replies.closeQueue(channel(), queue)
    expect(replies.isOpen(name)).toBe(true)
    replies.closeQueue(asking, queue)
    expect(replies.isOpen(name)).toBe(false)
  })
})

test('no name reaches a declared queue, on whichever shard', () => {
  const shards = 3
  const node = new SimNode({ shards })
  const { port } = node.startGateway()
  const connection = new SimConnection(port, 'connection 1')
  node.settle()
  const flags = { passive: false, durable: false, exclusive: false, autoDelete: false }
  for (let i = 0; i < 6; i++) {
    const op = { op: 'queueDeclare', connection: connection.slot, queue: `q${i}` } as const
    connection.request(0, { ...op, ...flags, arguments: [] })
  }
  node.settle()
  expect(new Set([0, 1, 2, 3, 4, 5].map((i) => placeQueue('/', `q${i}`, shards))).size).toBe(3)
  const publisher = new SimChannel(connection)
  publisher.mode = 0
  for (let shard = 0; shard < shards; shard++) {
    for (let id = 0; id < 30; id++) {
      publisher.publish('', forged(`${shard}:${id}`), Buffer.from('x'))
      publisher.publish('', forged(`${shard}:${2 ** 32 - id}`), Buffer.from('x'))
      node.settle()
    }
  }
  expect(node.messageCount()).toBe(0)
})
