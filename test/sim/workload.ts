// What clients of one gateway do, by chance: one thing at a time per connection, as a session would.

import type { ControlOp, ControlReply } from '../../shared/bus/control.ts'
import { EntryFlag, LinkFlag, Outcome, priorityShift } from '../../shared/bus/wire.ts'
import type { FieldValue } from '../../shared/message/value.ts'
import type { SimGateway } from '../support/sim-node.ts'
import type { SimConsumer, SimDelivery, SimUpload } from '../support/sim-session.ts'
import { SimChannel, SimConnection } from '../support/sim-session.ts'
import { check } from './model.ts'
import type { Observer } from './observer.ts'
import { messageProps } from './observer.ts'
import type { Random } from './random.ts'

const exchanges = { direct: 'd', fanout: 'f', topic: 't' } as const
const queueNames = ['q0', 'q1', 'q2', 'q3', 'q4', 'q5', 'q6', 'q7']
const keys = ['k', 'l', 'k.l', 'k.l.m', 'l.m', '']
const patterns = ['#', 'k', 'k.#', '*.l', '*.*', 'l.m', '']

interface Client {
  readonly connection: SimConnection
  /** Waits for the answer to an op: does nothing else. */
  busy: boolean
  /** What found no room: tried again first. */
  blocked: (() => boolean) | undefined
  /** The publish that found no room. */
  upload: SimUpload | undefined
  readonly channels: SimChannel[]
  closing: boolean
  /** Gives window back eagerly. */
  readonly quick: boolean
}

export class Workload {
  private readonly random: Random
  private readonly gateway: SimGateway
  private readonly observer: Observer
  private readonly note: (text: string) => void
  private clients: Client[] = []
  private opened = 0

  constructor(
    random: Random,
    gateway: SimGateway,
    observer: Observer,
    note: (text: string) => void,
  ) {
    this.random = random
    this.gateway = gateway
    this.observer = observer
    this.note = note
  }

  /** The exchanges, which stay, on a connection that stays. */
  declareExchanges(): void {
    const client = this.connect()
    const flags = { passive: false, durable: true, autoDelete: false, internal: false }
    for (const [type, exchange] of Object.entries(exchanges)) {
      this.observer.topology.exchanges.set(exchange, type)
      this.whenOpen(client, () =>
        client.connection.request(0, {
          op: 'exchangeDeclare',
          connection: client.connection.slot,
          exchange,
          type,
          ...flags,
          arguments: [],
        }),
      )
    }
  }

  /** Queues and bindings to begin with, and the clients. */
  prepare(): void {
    const client = this.connect()
    this.whenOpen(client, () => {
      for (const queue of queueNames) {
        if (this.random.chance(0.2)) continue
        client.connection.request(0, this.declaration(client, queue))
        for (let i = this.random.between(0, 3); i > 0; i--) {
          const exchange = this.random.pick(['d', 'f', 't']) ?? ''
          const routingKey = this.random.pick(exchange === 't' ? patterns : keys) ?? ''
          const connection = client.connection.slot
          const op = { op: 'queueBind', connection, queue, exchange, routingKey } as const
          client.connection.request(0, { ...op, arguments: [] })
        }
      }
    })
    for (let i = this.random.between(0, 3); i > 0; i--) this.connect()
  }

  /** Does something, or nothing. */
  act(): void {
    const client = this.random.pick(this.clients)
    if (client === undefined || (this.clients.length < 3 && this.random.chance(0.1))) {
      this.connect()
      return
    }
    if (!client.connection.open || client.closing) return
    if (client.quick || this.random.chance(0.1)) this.credit(client)
    for (const channel of client.channels) channel.grant()
    if (client.busy || client.blocked !== undefined) return
    const failed = client.channels.find(({ open, failed }) => open && failed !== undefined)
    if (failed !== undefined) return this.closeChannel(client, failed)
    const channel = this.random.pick(client.channels.filter(({ open }) => open))
    if (channel === undefined || (client.channels.length < 3 && this.random.chance(0.05))) {
      this.openChannel(client)
      return
    }
    this.actOn(client, channel)
  }

  /** The doorbell rang: what was refused is tried again. */
  retry(): void {
    for (const client of this.clients) {
      for (const channel of client.channels) channel.grant()
      if (client.blocked?.() === true) this.unblock(client)
    }
  }

  /** Sockets take everything; false when there was nothing. */
  relax(): boolean {
    let any = false
    for (const client of this.clients) {
      const { open, owed } = client.connection
      if (!open || client.closing || !owed.some((bytes) => bytes > 0)) continue
      any = true
      this.credit(client)
    }
    return any
  }

  /** Gives memory back: acknowledges all, empties all queues. */
  relieve(): void {
    for (const client of this.clients) {
      if (!client.connection.open || client.closing) continue
      for (const channel of client.channels) {
        if (!channel.open) continue
        const transactional = channel.mode === EntryFlag.transactional
        if (transactional && channel.ingress >= 0 && !client.busy)
          client.connection.request(channel.ingress, { op: 'txRollback', channel: channel.slot })
        const last = channel.unacked.at(-1)
        if (last !== undefined) channel.settle(last, Outcome.complete, true)
      }
      this.credit(client)
    }
    const open = this.clients.filter(({ connection, closing }) => connection.open && !closing)
    if (open.length === 0) this.connect()
    for (const { name, owner, status, shard } of this.observer.topology.queues) {
      // Nobody but its owner may purge an exclusive queue.
      const client = open.find(
        ({ connection }) => owner === undefined || connection.owner === owner,
      )
      if (client === undefined || status !== 'present') continue
      const { connection } = client
      const op = { op: 'queuePurge', connection: connection.slot, queue: name } as const
      connection.request(shard, op)
    }
  }

  /** Whether a client waits for room. */
  isBlocked(): boolean {
    return this.clients.some(({ blocked }) => blocked !== undefined)
  }

  /** Publishes that still find no room are not made. */
  giveUp(): void {
    for (const client of this.clients) this.unblock(client)
  }

  private unblock(client: Client): void {
    client.blocked = undefined
    client.upload?.abort()
    client.upload = undefined
  }

  checkResting(): void {
    for (const { connection, busy, channels } of this.clients) {
      check(!busy, () => `connection ${connection.owner} waits for an answer`)
      for (const channel of channels) {
        channel.limitBefore = channel.unacked.length
        for (const consumer of channel.consumers) this.checkServed(channel, consumer)
      }
    }
  }

  closeAll(): void {
    for (const client of this.clients) this.closeConnection(client)
  }

  deleteQueues(): void {
    const client = this.connect()
    this.whenOpen(client, () => {
      for (const { name, owner } of this.observer.topology.queues) {
        if (owner !== undefined) continue
        client.connection.request(0, {
          op: 'queueDelete',
          connection: client.connection.slot,
          queue: name,
          ifUnused: false,
          ifEmpty: false,
        })
      }
    })
  }

  // At rest, a consumer of a queue that has messages must have a reason not to get them.
  private checkServed(channel: SimChannel, consumer: SimConsumer): void {
    const queue = this.observer.topology.find(consumer.queue)
    if (!channel.open || !consumer.ready || queue?.status !== 'present') return
    const ready = [...queue.copies].filter(({ state }) => state === 'ready').length
    const model = queue.consumers.find(
      (each) =>
        each.slot === consumer.slot && each.channel.connection.owner === channel.connection.owner,
    )
    if (model === undefined) return
    const waits = queue.singleActive && queue.consumers[0] !== model
    const full = model.prefetch > 0 && model.unacked >= model.prefetch
    const spent = channel.limit > 0 && !model.noAck && channel.unacked.length >= channel.limit
    const broke = model.credit !== undefined && model.credit.left() === 0
    const at = `${consumer.queue} has ${ready} messages, consumer ${consumer.slot}`
    check(
      ready === 0 || waits || full || spent || broke,
      () => `${at} of ${channel.connection.owner} is not served`,
    )
    const idle = full || spent
    check(model.credit?.draining !== true || idle, () => `${at} drains and is not answered`)
  }

  private connect(): Client {
    const { random, gateway } = this
    const owner = `g${gateway.index}c${++this.opened}`
    const window = random.chance(0.5) ? 2000 : 1 << 20
    this.note(`connection ${owner} opens, window ${window}`)
    const client: Client = {
      connection: new SimConnection(gateway.port, owner, window),
      busy: false,
      blocked: undefined,
      upload: undefined,
      channels: [],
      closing: false,
      quick: random.chance(0.6),
    }
    this.clients.push(client)
    return client
  }

  private whenOpen(client: Client, then: () => void): void {
    if (client.connection.open) then()
    else client.connection.onOpen.push(then)
  }

  private openChannel(client: Client): void {
    const channel = new SimChannel(client.connection)
    const mode = this.random.weighted({ plain: 4, confirm: 5, tx: 2 })
    if (mode === 'confirm') channel.mode = EntryFlag.confirm
    if (mode === 'tx') channel.mode = EntryFlag.transactional
    const limit = this.random.chance(0.25) ? this.random.between(1, 5) : 0
    if (limit > 0) {
      channel.globalPrefetch(limit)
      channel.limitBefore = 0
    }
    channel.onDelivery = (delivery) => this.onDelivery(delivery)
    client.channels.push(channel)
    this.note(
      `channel ${channel.slot} of ${client.connection.owner} opens: ${mode}, limit ${limit}`,
    )
  }

  private onDelivery(delivery: SimDelivery): void {
    const { channel, entry } = delivery
    // Byte for byte once more: the slab must not have been used again before it was read.
    this.observer.messageOf(entry)
    const counted = channel.unacked.filter(({ consumer }) => consumer !== undefined).length
    check(
      channel.limit === 0 || counted <= Math.max(channel.limit, channel.limitBefore),
      () => `channel ${channel.slot} has ${counted} unacknowledged, limit ${channel.limit}`,
    )
  }

  private credit({ connection }: Client): void {
    for (let shard = 0; shard < connection.owed.length; shard++) connection.credit(shard)
  }

  private actOn(client: Client, channel: SimChannel): void {
    const kind = this.random.weighted({
      publish: 40,
      settle: 30,
      consume: 12,
      grant: 12,
      cancel: 2,
      get: 5,
      declare: 6,
      delete: 1,
      bind: 6,
      unbind: 2,
      purge: 1,
      commit: channel.mode === EntryFlag.transactional ? 30 : 0,
      limit: channel.limit > 0 ? 1 : 0,
      closeChannel: 1,
      closeConnection: this.random.chance(0.5) ? 1 : 0,
    })
    if (kind === 'publish') this.publishSome(client, channel)
    else if (kind === 'settle') this.settleSome(client, channel)
    else if (kind === 'consume') this.consume(client, channel)
    else if (kind === 'grant') this.grantSome(channel)
    else if (kind === 'cancel') this.cancel(client, channel)
    else if (kind === 'get') this.get(client, channel)
    else if (kind === 'commit') this.endTransaction(client, channel)
    else if (kind === 'limit') this.changeLimit(channel)
    else if (kind === 'closeChannel') this.closeChannel(client, channel)
    else if (kind === 'closeConnection') this.closeConnection(client)
    else this.declareSome(client, channel, kind)
  }

  private publishSome(client: Client, channel: SimChannel): void {
    const { random } = this
    const size = random.weighted({ few: 180, many: 19, flood: 1 })
    const [least, most] = { few: [1, 5], many: [10, 60], flood: [200, 500] }[size] as [
      number,
      number,
    ]
    const count = random.between(least, most)
    const target = random.weighted({ '': 4, d: 3, f: 1, t: 3 })
    const steady = random.chance(0.5) ? this.keyFor(target) : undefined
    for (let i = 0; i < count && client.blocked === undefined; i++) {
      this.publish(client, channel, target, steady ?? this.keyFor(target))
    }
  }

  private keyFor(exchange: string): string {
    const key = exchange === '' ? this.random.pick(queueNames) : this.random.pick(keys)
    return key ?? ''
  }

  private publish(client: Client, channel: SimChannel, target: string, key: string): void {
    const { random } = this
    const exchange = random.chance(0.002) ? 'missing' : target
    const id = this.observer.messages.size + 1
    const kind = random.weighted({ small: 60, empty: 5, medium: 8, large: 3 })
    const most = { small: 200, empty: 0, medium: 6000, large: 45_000 }[kind]
    const body = content(id, random.below(most + 1))
    const flags =
      (random.chance(0.3) ? EntryFlag.mandatory : 0) |
      (random.chance(0.5) ? EntryFlag.persistent : 0) |
      (random.chance(0.3) ? random.below(7) << priorityShift : 0)
    const extraKeys = random.chance(0.05) ? [this.keyFor(exchange), this.keyFor(exchange)] : []
    const props = messageProps(id)
    this.observer.messages.set(id, {
      id,
      entry: { exchange, key, extraKeys, props, body },
      flags: flags | channel.mode,
      seq: 0,
      publisher: undefined,
      copies: new Map(),
      unroutable: 'no',
      returned: false,
      routedAt: -1,
    })
    this.note(
      `channel ${channel.slot} publishes ${id} to '${exchange}' ${key}, ${body.length} bytes`,
    )
    const upload = channel.upload(exchange, key, body, { flags, extraKeys, props })
    if (upload.attempt()) return
    client.upload = upload
    client.blocked = () => upload.attempt()
  }

  private attempt(client: Client, what: () => boolean): void {
    if (!what()) client.blocked = what
  }

  private settleSome(client: Client, channel: SimChannel): void {
    const { random } = this
    const delivery = random.chance(0.5) ? channel.unacked[0] : random.pick(channel.unacked)
    if (delivery === undefined) return
    const outcome = Outcome[random.weighted({ complete: 6, requeue: 2, discard: 1 } as const)]
    const upTo = random.chance(0.3)
    this.note(`channel ${channel.slot} settles ${delivery.id}: ${outcome}${upTo ? ' up to' : ''}`)
    this.attempt(
      client,
      () => !channel.unacked.includes(delivery) || channel.settle(delivery, outcome, upTo),
    )
  }

  private consume(client: Client, channel: SimChannel): void {
    const { random } = this
    const queue = random.pick(queueNames) ?? ''
    if (this.observer.topology.find(queue)?.status !== 'present') return
    const noAck = random.chance(0.25)
    const prefetch = random.chance(0.5) ? random.between(1, 6) : 0
    const priority = random.chance(0.2) ? random.between(-1, 2) : 0
    const exclusive = random.chance(0.05)
    const credited = random.chance(0.4)
    this.note(`channel ${channel.slot} consumes ${queue}, prefetch ${prefetch}, noAck ${noAck}`)
    client.busy = true
    channel.consume(
      queue,
      {
        noAck,
        exclusive,
        prefetch,
        credited,
        arguments: priority === 0 ? [] : [['x-priority', { type: 'I', value: priority }]],
      },
      () => {
        client.busy = false
      },
    )
  }

  private grantSome(channel: SimChannel): void {
    const { random } = this
    const consumer = random.pick([...channel.consumers].filter(({ ready }) => ready))
    if (consumer === undefined) return
    const credit = random.between(0, 8)
    const flags =
      (random.chance(0.2) ? LinkFlag.drain : 0) | (random.chance(0.1) ? LinkFlag.echo : 0)
    this.note(`consumer ${consumer.slot}: credit ${credit} at ${consumer.deliveryCount}, ${flags}`)
    consumer.grant(credit, flags)
  }

  private cancel(client: Client, channel: SimChannel): void {
    const consumer = this.random.pick([...channel.consumers].filter(({ ready }) => ready))
    if (consumer === undefined) return
    this.note(`channel ${channel.slot} cancels consumer ${consumer.slot} of ${consumer.queue}`)
    client.busy = true
    channel.cancel(consumer, () => {
      client.busy = false
    })
  }

  private get(client: Client, channel: SimChannel): void {
    const queue = this.random.pick(queueNames) ?? ''
    if (this.observer.topology.find(queue)?.status !== 'present') return
    this.note(`channel ${channel.slot} gets from ${queue}`)
    client.busy = true
    channel.get(queue, this.random.chance(0.5), () => {
      client.busy = false
    })
  }

  private endTransaction(client: Client, channel: SimChannel): void {
    if (channel.ingress < 0) return
    const op = this.random.chance(0.8) ? 'txCommit' : 'txRollback'
    this.note(`channel ${channel.slot}: ${op}`)
    client.busy = true
    client.connection.request(channel.ingress, { op, channel: channel.slot }, () => {
      client.busy = false
    })
  }

  private changeLimit(channel: SimChannel): void {
    const limit = this.random.chance(0.3) ? 0 : this.random.between(1, 6)
    this.note(`channel ${channel.slot}: limit ${limit}`)
    channel.globalPrefetch(limit)
  }

  private declareSome(
    client: Client,
    channel: SimChannel,
    kind: 'declare' | 'delete' | 'bind' | 'unbind' | 'purge',
  ): void {
    const op = this.topologyOp(client, kind)
    if (op === undefined) return
    const shard = op.op === 'queuePurge' ? this.observer.topology.find(op.queue)?.shard : 0
    this.note(JSON.stringify(op))
    client.busy = true
    channel.ordered(shard ?? 0, op, (_reply: ControlReply) => {
      client.busy = false
    })
  }

  private topologyOp(client: Client, kind: string): ControlOp | undefined {
    const { random } = this
    const connection = client.connection.slot
    const queue = random.pick(queueNames) ?? ''
    const found = this.observer.topology.find(queue)
    if (kind === 'declare') {
      // One of a name at a time: which of two a message went to could not be told.
      if (found !== undefined) return undefined
      return this.declaration(client, queue)
    }
    if (found?.status !== 'present') return undefined
    if (kind === 'delete') {
      const [ifUnused, ifEmpty] = [random.chance(0.2), random.chance(0.2)]
      return { op: 'queueDelete', connection, queue, ifUnused, ifEmpty }
    }
    if (kind === 'purge') return { op: 'queuePurge', connection, queue }
    const exchange = random.pick(['d', 'f', 't']) ?? ''
    const routingKey = random.pick(exchange === 't' ? patterns : keys) ?? ''
    const op = kind === 'bind' ? 'queueBind' : 'queueUnbind'
    return { op, connection, queue, exchange, routingKey, arguments: [] }
  }

  private declaration(client: Client, queue: string): ControlOp {
    const { random } = this
    const args: [string, FieldValue][] = []
    const number = (key: string, value: number): void => {
      args.push([key, { type: 'I', value }])
    }
    if (random.chance(0.2)) args.push(['x-single-active-consumer', { type: 't', value: true }])
    if (random.chance(0.15)) number('x-message-ttl', random.pick([0, 20, 20, 400, 400]) ?? 0)
    if (random.chance(0.1)) number('x-max-length', random.below(10))
    if (random.chance(0.05)) number('x-max-length-bytes', random.below(5000))
    if (random.chance(0.2)) number('x-max-priority', random.between(1, 5))
    if (random.chance(0.3)) {
      const value = random.chance(0.6) ? 'reject-publish' : 'reject-publish-dlx'
      args.push(['x-overflow', { type: 'S', value }])
    }
    return {
      op: 'queueDeclare',
      connection: client.connection.slot,
      queue,
      passive: false,
      durable: random.chance(0.7),
      exclusive: random.chance(0.1),
      autoDelete: random.chance(0.15),
      arguments: args,
    }
  }

  private closeChannel(client: Client, channel: SimChannel): void {
    this.note(`channel ${channel.slot} closes`)
    client.channels.splice(client.channels.indexOf(channel), 1)
    client.busy = true
    channel.close(() => {
      client.busy = false
    })
  }

  private closeConnection(client: Client): void {
    if (client.closing || !client.connection.open) return
    this.note(`connection ${client.connection.owner} closes`)
    this.unblock(client)
    client.closing = true
    client.busy = true
    client.connection.close(() => {
      client.busy = false
      this.clients = this.clients.filter((each) => each !== client)
    })
  }
}

/** A body that can be told from any other. */
function content(id: number, size: number): Buffer {
  const body = Buffer.alloc(size)
  let state = Math.imul(id, 0x9e3779b1)
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0
    body[i] = state >>> 24
  }
  return body
}
