// Control ops through real rings: what waits for room, what ends with its channel, who is told.

import { describe, expect, test } from 'vitest'
import type { ControlOp, ControlReply } from '../../../shared/bus/control.ts'
import { EntryFlag, Outcome } from '../../../shared/bus/wire.ts'
import { placeQueue } from '../../../shared/placement.ts'
import { SimNode } from '../../support/sim-node.ts'
import type { SimDelivery } from '../../support/sim-session.ts'
import { SimChannel, SimConnection } from '../../support/sim-session.ts'

const plainQueue = { passive: false, durable: false, exclusive: false, autoDelete: false }

/** One node, one gateway, any number of connections and channels. */
class Bench {
  readonly node: SimNode
  readonly port: SimConnection['port']
  private connections = 0

  constructor(shards: number, ringWords = 4096) {
    this.node = new SimNode({ shards, ringWords })
    this.port = this.node.startGateway().port
  }

  connect(window = 1 << 20): SimConnection {
    const connection = new SimConnection(this.port, `connection ${++this.connections}`, window)
    this.node.settle()
    return connection
  }

  ask(connection: SimConnection, shard: number, op: ControlOp): ControlReply {
    let got: ControlReply = { error: { scope: 'channel', code: 0, text: 'no answer' } }
    connection.request(shard, op, (reply) => {
      got = reply
    })
    this.node.settle()
    return got
  }

  declare(
    connection: SimConnection,
    queue: string,
    flags: Partial<typeof plainQueue> = {},
  ): ControlReply {
    const op = { op: 'queueDeclare', connection: connection.slot, queue, arguments: [] } as const
    return this.ask(connection, 0, { ...op, ...plainQueue, ...flags })
  }

  /** A queue name that lives on `shard`. */
  nameOn(shard: number): string {
    const shards = this.node.shards.length
    for (let i = 0; ; i++) if (placeQueue('/', `q${i}`, shards) === shard) return `q${i}`
  }
}

function bodies(deliveries: readonly SimDelivery[]): string[] {
  return deliveries.map(({ entry }) => entry.body.toString())
}

describe('global prefetch', () => {
  test('ends with limit 0: consumers that waited for a token go on', () => {
    const bench = new Bench(1)
    const connection = bench.connect()
    bench.declare(connection, 'q')
    const channel = new SimChannel(connection)
    channel.globalPrefetch(2)
    channel.consume('q')
    for (let i = 0; i < 6; i++) channel.publish('', 'q', Buffer.from(`${i}`))
    bench.node.settle()
    expect(channel.unacked.length).toBe(2)
    channel.globalPrefetch(0)
    bench.node.settle()
    expect(bodies(channel.unacked)).toEqual(['0', '1', '2', '3', '4', '5'])
  })

  test('hands tokens from shard to shard as they come back', () => {
    const bench = new Bench(3)
    const connection = bench.connect()
    const channel = new SimChannel(connection)
    channel.globalPrefetch(3)
    for (let shard = 0; shard < 3; shard++) {
      bench.declare(connection, bench.nameOn(shard))
      channel.consume(bench.nameOn(shard))
      bench.node.settle()
      for (let i = 0; i < 5; i++) channel.publish('', bench.nameOn(shard), Buffer.from('m'))
    }
    bench.node.settle()
    let seen = 0
    while (channel.unacked.length > 0) {
      expect(channel.unacked.length).toBeLessThanOrEqual(3)
      seen++
      channel.settle(channel.unacked[0] as SimDelivery)
      bench.node.settle()
    }
    expect(seen).toBe(15)
  })
})

describe('the registry', () => {
  test('answers a declare of what is there only when every shard has it', () => {
    const bench = new Bench(3)
    const [first, second] = [bench.connect(), bench.connect()]
    const { node, port } = bench
    const replies: string[] = []
    for (const connection of [first, second]) {
      const op = { op: 'queueDeclare', queue: bench.nameOn(1), arguments: [] } as const
      connection.request(0, { ...op, connection: connection.slot, ...plainQueue }, () =>
        replies.push(connection.owner),
      )
    }
    port.flush()
    // Shard 0 decides and shard 1 applies; shard 2 has not had its turn.
    for (let i = 0; i < 5; i++) {
      for (const shard of [0, 1]) node.turn(shard)
      port.drain()
    }
    expect(replies).toEqual([])
    node.settle()
    expect(replies).toEqual(['connection 1', 'connection 2'])
  })
})

describe('a channel that ends', () => {
  // Fills the ring to the gateway, so that answers must wait.
  function jam(bench: Bench, connection: SimConnection): void {
    bench.declare(connection, 'jam')
    const channel = new SimChannel(connection)
    channel.consume('jam', { noAck: true })
    bench.node.settle()
    for (let i = 0; i < 200; i++) channel.publish('', 'jam', Buffer.from('x'))
    bench.port.flush()
    bench.node.turn(0)
    for (let i = 0; i < 300; i++) channel.publish('', 'jam', Buffer.from('x'))
    bench.port.flush()
    bench.node.turn(0)
    // Deliveries leave room for a large one; answers fill it.
    for (let i = 0; i < 200; i++) channel.get('jam', true, () => undefined)
    bench.port.flush()
    bench.node.turn(0)
  }

  test('answers a get that waits for room before its slot is used again', () => {
    const bench = new Bench(1)
    const connection = bench.connect()
    bench.declare(connection, 'q')
    const channel = new SimChannel(connection)
    channel.publish('', 'q', Buffer.from('kept'))
    bench.node.settle()
    jam(bench, connection)
    let answers = 0
    channel.get('q', false, () => answers++)
    bench.port.flush()
    bench.node.turn(0)
    channel.close()
    bench.port.flush()
    bench.node.turn(0)
    bench.node.settle()
    expect(answers).toBe(1)
    const next = new SimChannel(connection)
    let got: SimDelivery | undefined
    next.get('q', true, (delivery) => {
      got = delivery
    })
    bench.node.settle()
    expect(got?.entry.body.toString()).toBe('kept')
    expect(got?.redelivered).toBe(false)
  })

  test('answers a commit that waits for room', () => {
    const bench = new Bench(1)
    const connection = bench.connect()
    const channel = new SimChannel(connection)
    channel.mode = EntryFlag.transactional
    for (let i = 0; i < 3; i++) {
      channel.publish('', 'nowhere', Buffer.from('x'), { flags: EntryFlag.mandatory })
    }
    bench.node.settle()
    jam(bench, connection)
    let answers = 0
    connection.request(0, { op: 'txCommit', channel: channel.slot }, () => answers++)
    bench.port.flush()
    bench.node.turn(0)
    channel.close()
    bench.port.flush()
    bench.node.turn(0)
    bench.node.settle()
    expect(answers).toBe(1)
    expect(bench.node.messageCount()).toBe(0)
  })

  test('commits nothing after a publish was refused', () => {
    const bench = new Bench(1)
    const connection = bench.connect()
    bench.declare(connection, 'q')
    const channel = new SimChannel(connection)
    channel.mode = EntryFlag.transactional
    channel.publish('', 'q', Buffer.from('one'))
    channel.publish('missing', 'q', Buffer.from('two'))
    const reply = bench.ask(connection, 0, { op: 'txCommit', channel: channel.slot })
    expect(reply.error).toBeDefined()
    expect(channel.failed).toContain('NOT_FOUND')
    channel.close()
    bench.node.settle()
    expect(bench.node.messageCount()).toBe(0)
  })
})

describe('direct reply-to', () => {
  interface Requester {
    readonly channel: SimChannel
    readonly replyTo: string
    readonly got: SimDelivery[]
  }

  function requester(bench: Bench, connection: SimConnection): Requester {
    const channel = new SimChannel(connection)
    const got: SimDelivery[] = []
    channel.onDelivery = (delivery) => got.push(delivery)
    let replyTo: unknown
    channel.consume('amq.rabbitmq.reply-to', { noAck: true }, (reply) => {
      replyTo = reply['replyTo']
    })
    bench.node.settle()
    return { channel, replyTo: String(replyTo), got }
  }

  test.each([1, 3])(
    'carries a reply to its requester on %i shards, and to nobody else',
    (shards) => {
      const bench = new Bench(shards)
      const connection = bench.connect()
      const { replyTo, got } = requester(bench, connection)
      const server = new SimChannel(connection)
      for (let shard = 0; shard < shards; shard++) {
        server.ingress = shard
        server.publish('', replyTo, Buffer.from(`from ${shard}`))
        const guessed = replyTo.replace(/[^.]*$/, 'Z3Vlc3NlZA')
        server.publish('', guessed, Buffer.from('guessed'))
      }
      bench.node.settle()
      const all = Array.from({ length: shards }, (_, shard) => `from ${shard}`)
      expect(bodies(got).sort()).toEqual(all)
      expect(bench.node.messageCount()).toBe(0)
    },
  )

  test.each(['cancels', 'closes'])('drops what comes after the requester %s', (how) => {
    const bench = new Bench(1)
    const connection = bench.connect()
    const { channel, replyTo, got } = requester(bench, connection)
    const server = new SimChannel(connection)
    server.publish('', replyTo, Buffer.from('in time'))
    bench.node.settle()
    if (how === 'closes') channel.close()
    else for (const consumer of channel.consumers) channel.cancel(consumer)
    bench.node.settle()
    for (let i = 0; i < 3; i++) server.publish('', replyTo, Buffer.from('late'))
    bench.node.settle()
    expect(bodies(got)).toEqual(['in time'])
    expect(bench.node.messageCount()).toBe(0)
  })
})

describe('a lost gateway', () => {
  test('gives back its unacknowledged messages, exclusive queues and slabs', () => {
    const bench = new Bench(3)
    const { node } = bench
    const other = node.startGateway()
    const doomed = new SimConnection(other.port, 'doomed')
    node.settle()
    const survivor = bench.connect()
    bench.declare(survivor, 'shared')
    bench.declare(doomed, 'own', { exclusive: true })
    const channel = new SimChannel(doomed)
    channel.consume('shared')
    for (let i = 0; i < 20; i++) {
      channel.publish('', 'shared', Buffer.alloc(3000, i))
      channel.publish('', 'own', Buffer.alloc(3000, i))
    }
    node.settle()
    expect(channel.unacked.length).toBe(20)
    node.gateways[other.index] = undefined
    for (const [shard, link] of other.links.entries()) node.shard(shard).loseGateway(link.id)
    node.settle()
    const vhost = node.shard(1).state.topology.vhosts.get('/')
    expect([...(vhost?.queues.keys() ?? [])]).toEqual(['shared'])
    const heir = new SimChannel(survivor)
    heir.consume('shared')
    node.settle()
    expect(heir.unacked.map(({ redelivered }) => redelivered)).toEqual(Array(20).fill(true))
    heir.settle(heir.unacked.at(-1) as SimDelivery, Outcome.complete, true)
    node.settle()
    expect(node.messageCount()).toBe(0)
    expect(node.arena.used()).toBeLessThanOrEqual(6)
  })
})
