// Delayed exchanges of a node whose clock the test moves.

import { describe, expect, test } from 'vitest'
import type { AdminCommand } from '../../../core/shard/admin-commands.ts'
import type { ControlReply } from '../../../shared/bus/control.ts'
import { EntryFlag } from '../../../shared/bus/wire.ts'
import { decodeHeaders, encodeProperties } from '../../../shared/message/properties.ts'
import type { FieldTable } from '../../../shared/message/value.ts'
import { SimNode } from '../../support/sim-node.ts'
import { SimChannel, SimConnection } from '../../support/sim-session.ts'

class World {
  readonly node: SimNode
  readonly connection: SimConnection
  readonly channel: SimChannel
  readonly got: string[] = []
  readonly headers: FieldTable[] = []

  constructor(shards: number) {
    this.node = new SimNode({ shards, slabs: 256 })
    const { port } = this.node.startGateway()
    this.connection = new SimConnection(port, 'owner')
    this.node.settle()
    this.channel = new SimChannel(this.connection)
    this.channel.mode = EntryFlag.confirm
    this.channel.onDelivery = ({ entry }) => {
      this.got.push(entry.body.toString())
      this.headers.push(decodeHeaders(entry.props, 0, entry.props.length))
    }
    this.node.settle()
  }

  exchange(name: string, args: Record<string, string | boolean>, type = 'x-delayed-message'): void {
    const fields: FieldTable = Object.entries(args).map(([key, value]) =>
      typeof value === 'string' ? [key, { type: 'S', value }] : [key, { type: 't', value }],
    )
    const flags = { passive: false, durable: true, autoDelete: false, internal: false }
    this.declare({ op: 'exchangeDeclare', exchange: name, type, ...flags, arguments: fields })
  }

  queue(name: string, exchange: string, key = name): void {
    const flags = { passive: false, durable: true, exclusive: false, autoDelete: false }
    this.declare({ op: 'queueDeclare', queue: name, ...flags, arguments: [] })
    this.declare({ op: 'queueBind', queue: name, exchange, routingKey: key, arguments: [] })
    this.channel.consume(name, { noAck: true })
    this.node.settle()
  }

  declare(op: object): void {
    let error: unknown
    const whole = { ...op, connection: this.connection.slot } as never
    this.connection.request(0, whole, (reply) => {
      error = reply.error
    })
    this.node.settle()
    expect(error).toBe(undefined)
  }

  publish(exchange: string, key: string, delay: number | undefined, body: string, flags = 0): void {
    const headers: FieldTable =
      delay === undefined ? [] : [['x-delay', { type: 'l', value: delay }]]
    const props = Buffer.from(encodeProperties({ headers, deliveryMode: 2 }))
    const all = flags | EntryFlag.persistent | EntryFlag.headers
    expect(this.channel.publish(exchange, key, Buffer.from(body), { props, flags: all })).toBe(true)
  }

  command(command: AdminCommand): ControlReply {
    let got: ControlReply = {}
    this.node.shard(0).control.admin({ vhost: '/', ...command }, (reply) => {
      got = reply
    })
    this.node.settle()
    return got
  }
}

describe.each([1, 3])('a delayed exchange on %i shards', (shards) => {
  test('delivers when a message is due, not before, and in order of time', () => {
    const world = new World(shards)
    world.exchange('x', { 'x-delayed-type': 'direct' })
    world.queue('q', 'x')
    world.publish('x', 'q', 3000, 'c')
    world.publish('x', 'q', 1000, 'a')
    world.publish('x', 'q', 2000, 'b')
    world.publish('x', 'q', 2000, 'b2')
    world.publish('x', 'q', 0, 'now')
    world.publish('x', 'q', -5, 'now too')
    world.publish('x', 'q', undefined, 'and now')
    world.node.settle()
    expect(world.got).toEqual(['now', 'now too', 'and now'])
    expect(world.channel.confirmed).toBe(7)
    world.node.pass(999)
    expect(world.got.length).toBe(3)
    world.node.pass(1)
    expect(world.got.slice(3)).toEqual(['a'])
    world.node.pass(1000)
    expect(world.got.slice(3)).toEqual(['a', 'b', 'b2'])
    world.node.pass(5000)
    expect(world.got.slice(3)).toEqual(['a', 'b', 'b2', 'c'])
    expect(world.headers[3]).toEqual([['x-delay', { type: 'I', value: -1000 }]])
    expect(world.headers[1]).toEqual([['x-delay', { type: 'l', value: -5 }]])
    expect(world.node.messageCount()).toBe(0)
  })

  test('routes as its type does, by the bindings that there are when the message is due', () => {
    const world = new World(shards)
    world.exchange('x', { 'x-delayed-type': 'topic' })
    world.queue('early', 'x', 'a.*')
    world.publish('x', 'a.b', 1000, 'm')
    world.node.settle()
    world.queue('late', 'x', '#')
    world.node.pass(1000)
    expect(world.got).toEqual(['m', 'm'])
  })

  test('a delay of years is kept', () => {
    const world = new World(shards)
    world.exchange('x', { 'x-delayed-type': 'fanout' })
    world.queue('q', 'x')
    const year = 365 * 86_400_000
    world.publish('x', '', 3 * year, 'm')
    world.node.settle()
    world.node.pass(2 * year)
    expect(world.got).toEqual([])
    world.node.pass(year)
    expect(world.got).toEqual(['m'])
  })

  test('mandatory: what no queue would get now is returned at once', () => {
    const world = new World(shards)
    world.exchange('x', { 'x-delayed-type': 'direct' })
    world.queue('q', 'x')
    world.publish('x', 'nowhere', 1000, 'm', EntryFlag.mandatory)
    world.publish('x', 'q', 1000, 'n', EntryFlag.mandatory)
    world.node.settle()
    expect(world.channel.returned.length).toBe(1)
    expect(world.channel.confirmed).toBe(2)
    expect(world.command({ op: 'listDelayed', exchange: 'x' })).toMatchObject({ count: 1 })
    world.node.pass(1000)
    expect(world.got).toEqual(['n'])
  })

  test('a message comes to it over a binding, too', () => {
    const world = new World(shards)
    world.exchange('x', { 'x-delayed-type': 'fanout' })
    world.queue('delayed', 'x')
    world.queue('direct', 'amq.fanout')
    const bind = { op: 'exchangeBind', destination: 'x', source: 'amq.fanout' }
    world.declare({ ...bind, routingKey: '', arguments: [] })
    world.publish('amq.fanout', '', 1000, 'm')
    world.node.settle()
    expect(world.got).toEqual(['m'])
    world.node.pass(1000)
    expect(world.got).toEqual(['m', 'm'])
  })

  test('operators list, cancel and hurry messages', () => {
    const world = new World(shards)
    world.exchange('x', { 'x-delayed-type': 'direct' })
    world.queue('q', 'x')
    for (const [i, body] of ['a', 'b', 'c'].entries()) world.publish('x', 'q', 1000 * (i + 1), body)
    world.node.settle()
    const { count, items } = world.command({ op: 'listDelayed', exchange: 'x' })
    expect(count).toBe(3)
    const [a, b, c] = items as { id: string; dueAt: number; routingKey: string }[]
    expect(a).toMatchObject({ exchange: 'x', routingKey: 'q', bodyBytes: 1 })
    expect((b?.dueAt ?? 0) - (a?.dueAt ?? 0)).toBe(1000)
    expect(world.command({ op: 'cancelDelayed', exchange: 'x', id: b?.id })).toEqual({ done: 1 })
    expect(world.command({ op: 'cancelDelayed', exchange: 'x', id: b?.id })).toEqual({ done: 0 })
    expect(world.command({ op: 'deliverDelayed', exchange: 'x', id: c?.id })).toEqual({ done: 1 })
    expect(world.got).toEqual(['c'])
    world.node.pass(10_000)
    expect(world.got).toEqual(['c', 'a'])
    expect(world.command({ op: 'listDelayed', exchange: 'x' })).toEqual({ count: 0, items: [] })
    expect(world.node.messageCount()).toBe(0)
  })

  test('with the exchange goes what it holds', () => {
    const world = new World(shards)
    world.exchange('x', { 'x-delayed-type': 'direct' })
    world.queue('q', 'x')
    world.publish('x', 'q', 1000, 'old')
    world.node.settle()
    world.declare({ op: 'exchangeDelete', exchange: 'x', ifUnused: false })
    expect(world.node.messageCount()).toBe(0)
    world.exchange('x', { 'x-delayed-type': 'direct' })
    world.node.pass(2000)
    expect(world.got).toEqual([])
  })

  test('a policy makes any exchange delay; without it, what is held goes out', () => {
    const world = new World(shards)
    world.queue('q', 'amq.direct')
    const policy = { op: 'setPolicy', name: 'p', pattern: '^amq.direct$' }
    world.command({ ...policy, definition: { 'delayed-message': true } })
    world.publish('amq.direct', 'q', 60_000, 'm')
    world.node.settle()
    expect(world.got).toEqual([])
    world.command({ op: 'clearPolicy', name: 'p' })
    expect(world.got).toEqual(['m'])
    world.publish('amq.direct', 'q', 60_000, 'n')
    world.node.settle()
    expect(world.got).toEqual(['m', 'n'])
  })
})
