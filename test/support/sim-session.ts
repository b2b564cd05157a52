// The least session that can drive a gateway port: connections, channels, consumers; it publishes,
// settles and gives window back, and notes what it is told.

import type { ControlOp, ControlReply } from '../../shared/bus/control.ts'
import type { GatewayLink, GatewayPort } from '../../shared/bus/gateway-port.ts'
import { deliveryCost, EntryFlag, extentWords, LinkFlag, Outcome } from '../../shared/bus/wire.ts'
import { placeQueue } from '../../shared/placement.ts'
import type { SimEntry } from './sim-entry.ts'
import { entryBytes, readEntry } from './sim-entry.ts'

export interface SimDelivery {
  readonly channel: SimChannel
  readonly consumer: SimConsumer | undefined
  readonly shard: number
  /** 0: settled on delivery. */
  readonly id: number
  readonly redelivered: boolean
  readonly entry: SimEntry
}

type Done = (reply: ControlReply) => void

export class SimConnection {
  readonly port: GatewayPort
  readonly slot: number
  readonly owner: string
  readonly channels: Set<SimChannel> = new Set()
  open = false
  closing = false
  /** Called once it is open. */
  readonly onOpen: (() => void)[] = []
  /** By shard: bytes delivered and not given back. */
  readonly owed: number[]

  constructor(port: GatewayPort, owner: string, window: number = 1 << 20) {
    this.port = port
    this.owner = owner
    this.owed = new Array<number>(port.shardCount).fill(0)
    this.slot = port.connections.add({ onClosed: () => undefined })
    const op = { op: 'openConnection', connection: this.slot, owner, user: 'guest' } as const
    const whole = { ...op, vhost: '/', window }
    this.request(0, whole, () => {
      for (let shard = 1; shard < port.shardCount; shard++) port.notify(shard, whole)
      this.open = true
      for (const then of this.onOpen.splice(0)) then()
    })
  }

  request(shard: number, op: ControlOp, done: Done = () => undefined): void {
    this.port.request(shard, op, { onReply: done })
  }

  /** Gives back what is owed to a shard; false when the ring is full. */
  credit(shard: number): boolean {
    const bytes = this.owed[shard] ?? 0
    if (bytes === 0) return true
    if (!this.port.link(shard).credit(this.slot, bytes)) return false
    this.owed[shard] = 0
    return true
  }

  close(done: () => void = () => undefined): void {
    this.closing = true
    for (const channel of this.channels) channel.shut()
    requestAll(this.port, { op: 'closeConnection', connection: this.slot }, () => {
      this.open = false
      for (const channel of this.channels) channel.free()
      this.port.connections.remove(this.slot)
      done()
    })
  }
}

export class SimConsumer {
  readonly channel: SimChannel
  readonly slot: number
  readonly queue: string
  readonly shard: number
  /** False once cancelled by either side. */
  live = true
  ready = false
  /** A cancel op is on its way, whose answer frees the slot. */
  cancelling = false
  /** Of a credited consumer: deliveries received, and credit used up by drains. */
  deliveryCount = 0
  /** What it was told of its link, last. */
  linkState: { count: number; credit: number; available: number; drained: boolean } | undefined
  private freed = false
  /** The consume op was refused so. */
  error: ControlReply['error']

  constructor(channel: SimChannel, queue: string) {
    this.channel = channel
    this.queue = queue
    this.shard = placeQueue('/', queue, channel.port.shardCount)
    this.slot = channel.port.consumers.add({
      onDeliver: (link, at, id, flags) => this.onDeliver(link, at, id, flags),
      onCancelled: () => {
        this.end()
        if (!this.cancelling) this.free()
      },
      onLinkState: (count, credit, available, flags) => {
        const drained = (flags & LinkFlag.drain) !== 0
        this.linkState = { count, credit, available, drained }
        this.deliveryCount = count
      },
    })
  }

  /** Grants link credit; false when the ring is full. */
  grant(credit: number, flags = 0): boolean {
    const link = this.channel.port.link(this.shard)
    return link.linkCredit(this.slot, this.deliveryCount, credit, flags)
  }

  end(): void {
    this.live = false
    this.channel.consumers.delete(this)
  }

  /** Nothing can come for it any more. */
  free(): void {
    if (!this.freed) this.channel.port.consumers.remove(this.slot)
    this.freed = true
  }

  private onDeliver(link: GatewayLink, at: number, id: number, flags: number): void {
    const { channel } = this
    const { words } = link
    const cost = deliveryCost(
      words[at + 2] as number,
      words[at + 4] as number,
      words[at + 5] as number,
    )
    const { owed } = channel.connection
    owed[link.shard] = (owed[link.shard] ?? 0) + cost
    this.deliveryCount++
    if (!channel.open) return
    channel.take(this, link, at, id, flags)
  }
}

export interface PublishOptions {
  readonly flags?: number
  readonly extraKeys?: readonly string[]
  readonly props?: Buffer
}

export class SimChannel {
  readonly connection: SimConnection
  readonly port: GatewayPort
  readonly slot: number
  readonly consumers: Set<SimConsumer> = new Set()
  /** Received and not settled, in order of reception. */
  unacked: SimDelivery[] = []
  /** Shard that publishes go to; -1 before the first. */
  ingress = -1
  open = true
  /** Flags that its mode adds to each publish. */
  mode = 0
  confirmed = 0
  nacked = 0
  returned: SimEntry[] = []
  failed: string | undefined
  limit = 0
  /** What older limits may still let through. */
  limitBefore = 0
  granted = 0
  onDelivery: (delivery: SimDelivery) => void = () => undefined
  private readonly wanting: Set<number> = new Set()
  private readonly settledOn: Set<number> = new Set()
  private published = false

  constructor(connection: SimConnection) {
    this.connection = connection
    this.port = connection.port
    this.slot = this.port.channels.add({
      onConfirm: (count, nack) => {
        if (nack) this.nacked += count
        else this.confirmed += count
      },
      onReturn: (link, at) => this.returned.push(readEntry(this.port.arena, link.words, at)),
      onError: ({ error }) => {
        this.failed = error.text
      },
      onWant: (link) => {
        this.wanting.add(link.shard)
        this.grant()
      },
      onUnused: (count) => {
        this.granted = Math.max(0, this.granted - count)
        this.grant()
      },
    })
    connection.channels.add(this)
    for (let shard = 0; shard < this.port.shardCount; shard++) {
      this.port.notify(shard, {
        op: 'openChannel',
        connection: connection.slot,
        channel: this.slot,
      })
    }
  }

  /** False when the ring or the arena is full: then nothing happened. */
  publish(exchange: string, key: string, body: Buffer, options: PublishOptions = {}): boolean {
    const upload = this.upload(exchange, key, body, options)
    if (upload.attempt()) return true
    upload.abort()
    return false
  }

  /** As `publish`, but keeps the room it has found until there is more. */
  upload(exchange: string, key: string, body: Buffer, options: PublishOptions = {}): SimUpload {
    if (this.ingress < 0) {
      this.ingress =
        exchange === ''
          ? placeQueue('/', key, this.port.shardCount)
          : this.slot % this.port.shardCount
    }
    const flags = (options.flags ?? 0) | this.mode
    const props = options.props ?? Buffer.alloc(2)
    const entry = { exchange, key, extraKeys: options.extraKeys ?? [], props, body }
    return new SimUpload(this.port, this.ingress, this.slot, flags, entry, () => {
      this.published = true
    })
  }

  consume(queue: string, options: Partial<ConsumeOptions> = {}, done?: Done): SimConsumer {
    const consumer = new SimConsumer(this, queue)
    this.consumers.add(consumer)
    const op = { ...defaultConsume, ...options, op: 'consume', queue } as const
    const whole: ControlOp = {
      ...op,
      channel: this.slot,
      consumer: consumer.slot,
      tag: `${consumer.slot}`,
    }
    this.ordered(consumer.shard, whole, (reply) => {
      consumer.ready = reply.error === undefined
      consumer.error = reply.error
      if (reply.error !== undefined) {
        consumer.end()
        consumer.free()
      }
      done?.(reply)
    })
    return consumer
  }

  cancel(consumer: SimConsumer, done?: () => void): void {
    const op = { op: 'cancel', channel: this.slot, consumer: consumer.slot } as const
    consumer.cancelling = true
    this.ordered(consumer.shard, op, () => {
      consumer.end()
      if (this.open) consumer.free()
      done?.()
    })
  }

  /** `onGot` is told undefined for an empty queue or an error. */
  get(queue: string, noAck: boolean, onGot: (delivery: SimDelivery | undefined) => void): void {
    const shard = placeQueue('/', queue, this.port.shardCount)
    this.fence(shard, () => {
      if (!this.open) return onGot(undefined)
      const sink = {
        onReply: () => onGot(undefined),
        onGot: (link: GatewayLink, at: number, id: number, flags: number) => {
          if ((flags & EntryFlag.empty) !== 0 || !this.open) return onGot(undefined)
          onGot(this.take(undefined, link, at, id, flags))
        },
      }
      this.port.request(shard, { op: 'get', channel: this.slot, queue, noAck }, sink)
    })
  }

  /** Settles one delivery; with `upTo` also all before it. False when a ring is full: try again. */
  settle(delivery: SimDelivery, outcome: number = Outcome.complete, upTo = false): boolean {
    if (!upTo) {
      const link = this.port.link(delivery.shard)
      if (!link.settle(this.slot, delivery.id, outcome, false)) return false
      this.forget([delivery])
      return true
    }
    const all = this.unacked.slice(0, this.unacked.indexOf(delivery) + 1)
    for (let shard = 0; shard < this.port.shardCount; shard++) {
      const mine = all.filter((each) => each.shard === shard)
      const last = mine.at(-1)
      if (last === undefined) continue
      if (!this.port.link(shard).settle(this.slot, last.id, outcome, true)) return false
      this.forget(mine)
    }
    return true
  }

  /** An op for one shard, behind everything that this channel has sent. */
  ordered(shard: number, op: ControlOp, done?: Done): void {
    this.fence(shard, () => {
      if (this.open) this.connection.request(shard, op, done)
      else done?.({ error: { scope: 'channel', code: 0, text: 'closed' } })
    })
  }

  globalPrefetch(limit: number): void {
    const before = this.limit === 0 ? Number.POSITIVE_INFINITY : this.limit
    this.limitBefore = Math.max(this.limitBefore, before)
    this.limit = limit
    if (limit === 0) {
      this.granted = 0
      this.wanting.clear()
    }
    for (let shard = 0; shard < this.port.shardCount; shard++) {
      this.port.notify(shard, { op: 'globalPrefetch', channel: this.slot, limit })
    }
    this.grant()
  }

  /** Hands out tokens; false when a ring is full. */
  grant(): boolean {
    for (const shard of this.wanting) {
      const free = this.limit - this.unacked.length - this.granted
      if (free <= 0 || !this.open) return true
      const share = Math.ceil(free / this.wanting.size)
      if (!this.port.link(shard).grant(this.slot, share)) return false
      this.granted += share
      this.wanting.delete(shard)
    }
    return true
  }

  close(done: () => void = () => undefined): void {
    this.shut()
    requestAll(this.port, { op: 'closeChannel', channel: this.slot }, () => {
      this.connection.channels.delete(this)
      this.free()
      done()
    })
  }

  shut(): void {
    this.open = false
    this.unacked = []
  }

  /** The shards have forgotten the channel: its slots may be used again. */
  free(): void {
    for (const consumer of this.consumers) {
      consumer.live = false
      consumer.free()
    }
    this.consumers.clear()
    this.port.channels.remove(this.slot)
  }

  take(
    consumer: SimConsumer | undefined,
    link: GatewayLink,
    at: number,
    id: number,
    flags: number,
  ): SimDelivery {
    const delivery: SimDelivery = {
      channel: this,
      consumer,
      shard: link.shard,
      id,
      redelivered: (flags & EntryFlag.redelivered) !== 0,
      entry: readEntry(this.port.arena, link.words, at),
    }
    if ((flags & EntryFlag.settled) === 0) {
      this.unacked.push(delivery)
      if (consumer !== undefined && this.granted > 0) this.granted--
    }
    this.onDelivery(delivery)
    return delivery
  }

  private forget(settled: readonly SimDelivery[]): void {
    for (const { shard } of settled) this.settledOn.add(shard)
    this.unacked = this.unacked.filter((each) => !settled.includes(each))
    this.grant()
  }

  // As gateways/amqp091/session/operation.ts.
  private fence(shard: number, next: () => void): void {
    const fences = new Set<number>()
    if (this.port.shardCount > 1) {
      for (const settled of this.settledOn) if (settled !== shard) fences.add(settled)
      if (this.published) fences.add(this.ingress)
    }
    this.published = false
    this.settledOn.clear()
    let left = fences.size
    if (left === 0) return next()
    for (const each of fences) {
      this.connection.request(each, { op: 'fence', channel: this.slot }, () => {
        left--
        if (left === 0) next()
      })
    }
  }
}

export interface ConsumeOptions {
  readonly noAck: boolean
  readonly exclusive: boolean
  readonly prefetch: number
  readonly credited?: boolean
  readonly arguments: Extract<ControlOp, { op: 'consume' }>['arguments']
}

const defaultConsume: ConsumeOptions = {
  noAck: false,
  exclusive: false,
  prefetch: 0,
  arguments: [],
}

function requestAll(port: GatewayPort, op: ControlOp, done: () => void): void {
  let left = port.shardCount
  for (let shard = 0; shard < port.shardCount; shard++) {
    port.request(shard, op, {
      onReply: () => {
        left--
        if (left === 0) done()
      },
    })
  }
}

/** One publish: room in slabs, bytes into it, then the record. */
export class SimUpload {
  private readonly port: GatewayPort
  private readonly link: GatewayLink
  private readonly channel: number
  private readonly flags: number
  private readonly entry: SimEntry
  private readonly onSent: () => void
  private readonly extents: number[] = []
  private written = 0
  private done = false

  constructor(
    port: GatewayPort,
    shard: number,
    channel: number,
    flags: number,
    entry: SimEntry,
    onSent: () => void,
  ) {
    this.port = port
    this.link = port.link(shard)
    this.channel = channel
    this.flags = flags
    this.entry = entry
    this.onSent = onSent
  }

  /** Goes on; false when there is no room in the arena or the ring. */
  attempt(): boolean {
    const { slabs } = this.link
    const { bytes, exrkSize, extraSize } = entryBytes(this.entry)
    const { props, body } = this.entry
    const { extents } = this
    while (this.written < bytes.length) {
      const need = this.written === 0 ? bytes.length - body.length : 0
      if (!slabs.takeSome(need, bytes.length - this.written - need)) return false
      const end = this.written + slabs.size
      bytes.copy(this.port.arena.slab(slabs.slab), slabs.at, this.written, end)
      extents.push(slabs.slab, slabs.at, slabs.size)
      this.written = end
    }
    const [slab, at] = extents as [number, number]
    const sizes = [exrkSize, extraSize, props.length, body.length] as const
    const { link, channel, flags } = this
    this.done =
      extents.length === extentWords
        ? link.publish(channel, flags, slab, at, ...sizes)
        : link.publishExtents(channel, flags, slab, at, ...sizes, extents.slice(extentWords))
    if (this.done) this.onSent()
    return this.done
  }

  /** Gives up what was not announced. */
  abort(): void {
    if (this.done) return
    for (let i = 0; i < this.extents.length; i += extentWords)
      this.link.slabs.close(this.extents[i] as number)
    this.done = true
  }
}
