// Listens to every ring of a node and holds what it hears against the model. After each turn of a
// shard: first what the shard has handled (inputs), then what it wrote (outputs), then what must hold
// at the end of a turn.

import type { ControlReply } from '../../shared/bus/control.ts'
import {
  EntryFlag,
  entryWords,
  extentWords,
  Outcome,
  priorityOf,
  Record,
} from '../../shared/bus/wire.ts'
import type { SimEntry } from '../support/sim-entry.ts'
import { readEntry } from '../support/sim-entry.ts'
import type { SimGateway, SimNode } from '../support/sim-node.ts'
import { CreditModel } from './credit-model.ts'
import type { Input, Output } from './link-model.ts'
import { LinkModel } from './link-model.ts'
import type {
  ChannelModel,
  ConsumerModel,
  Copy,
  MessageModel,
  QueueModel,
  RequestModel,
} from './model.ts'
import { check, Violation } from './model.ts'
import { RingTap } from './ring-tap.ts'
import type { TopologyModel } from './topology-model.ts'
import { TopologyObserver } from './topology-observer.ts'

type Delivery = Extract<Output, { kind: 'deliver' | 'got' }>
type Control = Extract<Input, { kind: 'control' }>

/** A forward record on its way; `end` is the ring position behind it. */
interface Forward {
  readonly end: number
  readonly message: MessageModel
  readonly queues: readonly QueueModel[]
}

interface PeerModel {
  readonly from: number
  readonly to: number
  readonly tap: RingTap
  readonly forwards: Forward[]
}

const forwardEntryAt = 3

export class Observer {
  readonly topology: TopologyModel
  readonly messages: Map<number, MessageModel> = new Map()
  readonly links: Set<LinkModel> = new Set()
  /** Deliveries seen, for the record. */
  delivered = 0
  private readonly node: SimNode
  private readonly declared: TopologyObserver
  private readonly peers: PeerModel[]
  private turn = 1
  /** Messages routed in this turn, and copies that went to a shard for which there must be a forward. */
  private mustForward: Copy[] = []
  /** Channels and consumers to take away at the end of the turn. */
  private endings: (() => void)[] = []

  constructor(node: SimNode) {
    this.node = node
    this.declared = new TopologyObserver(node, this.links)
    this.topology = this.declared.topology
    this.peers = node.peerRings.flatMap((row, from) =>
      row.flatMap((memory, to) =>
        from === to ? [] : [{ from, to, tap: new RingTap(memory), forwards: [] }],
      ),
    )
    // What the node did before this is not of interest.
    for (const { tap } of this.peers) while (tap.next() >= 0);
  }

  addGateway(gateway: SimGateway): void {
    for (const [shard, memory] of gateway.links.entries())
      this.links.add(new LinkModel(memory, gateway.index, shard, this.node.arena))
  }

  /** The gateway has flushed its link to `shard`. */
  flushed(gateway: number, shard: number): void {
    for (const link of this.links) {
      if (link.gateway === gateway && link.shard === shard)
        link.listen((request) => this.declared.ask(link, request))
    }
  }

  /** Shard `shard` has turned. */
  turned(shard: number): void {
    this.turn++
    this.declared.learnQueueIds()
    for (const peer of this.peers) if (peer.to === shard) this.arrivals(peer)
    const mine = [...this.links].filter((link) => link.shard === shard && !link.lost)
    for (const link of mine) for (const input of link.takeHandled()) this.handle(link, input)
    for (const peer of this.peers) if (peer.from === shard) this.departures(peer)
    this.outputs(mine)
    for (const copy of this.mustForward) {
      check(copy.state !== 'pending', () => `${nameOf(copy)} was not forwarded`)
    }
    this.mustForward = []
    this.endTurn()
  }

  /** Shard `shard` has been told that the gateway is gone. */
  lost(gateway: number, shard: number): void {
    this.turn++
    for (const link of this.links) {
      if (link.gateway !== gateway || link.shard !== shard) continue
      link.lost = true
      for (const connection of link.connections.values()) this.declared.ownerGone(connection.owner)
      for (const channel of link.channels.values()) this.endChannel(link, channel)
      for (const request of link.requests.values()) this.abandon(request)
      this.links.delete(link)
    }
    this.endTurn()
  }

  /** All of the node at rest: nothing may be on its way. */
  rested(): void {
    this.endTurn()
    this.declared.resolve()
    for (const link of this.links) {
      for (const request of link.requests.values())
        throw new Violation(`no answer to ${JSON.stringify(request.op)}`)
      for (const channel of link.channels.values()) {
        const waiting = channel.awaiting.length
        check(waiting === 0, () => `${waiting} publishes are not confirmed`)
      }
    }
    for (const queue of this.topology.queues) this.checkAtRest(queue)
    this.checkRows()
  }

  // Its gateway is gone: nobody will hear what came of it.
  private abandon(request: RequestModel): void {
    this.declared.abandon(request)
    for (const message of request.channel?.committing ?? []) abandonMessage(message)
  }

  private handle(link: LinkModel, input: Input): void {
    if (input.kind === 'publish') this.publish(link, input)
    else if (input.kind === 'settle') this.settle(link, input)
    else if (input.kind === 'credit') {
      const connection = link.connections.get(input.connection)
      if (connection !== undefined) connection.outstanding -= input.bytes
    } else if (input.kind === 'linkCredit') {
      const { count, credit, flags } = input
      link.consumers.get(input.consumer)?.credit?.granted(this.turn, count, credit, flags)
    } else if (input.kind === 'control') this.control(link, input)
  }

  private publish(link: LinkModel, input: Extract<Input, { kind: 'publish' }>): void {
    const message = this.messages.get(messageId(input.entry))
    check(message !== undefined, () => 'a publish that nobody made')
    const channel = link.channels.get(input.channel)
    if (channel === undefined || channel.ending || channel.failed) return
    message.publisher = channel
    if (this.topology.route(input.entry.exchange, keysOf(message)) === undefined) {
      channel.failed = true
      return
    }
    message.seq = channel.published++
    if ((input.flags & EntryFlag.transactional) !== 0) {
      channel.held.push(message)
      return
    }
    this.route(message, link.shard, false)
    if ((input.flags & EntryFlag.confirm) !== 0) channel.awaiting.push(message)
  }

  private route(message: MessageModel, shard: number, committing: boolean): void {
    const route = this.topology.route(message.entry.exchange, keysOf(message))
    check(route !== undefined, () => 'no exchange')
    message.routedAt = committing ? this.declared.changes : -1
    message.unroutable = route.must.size > 0 ? 'no' : route.may.size > 0 ? 'maybe' : 'yes'
    for (const queue of route.must) {
      const remote = queue.shard !== shard
      const copy = this.addCopy(message, queue, committing || remote ? 'pending' : stateIn(queue))
      if (!remote && !committing) this.setExpiry(copy)
      if (remote && !committing) this.mustForward.push(copy)
    }
    for (const queue of route.may) this.addCopy(message, queue, 'maybe')
  }

  private addCopy(message: MessageModel, queue: QueueModel, state: Copy['state']): Copy {
    const since = this.turn
    const copy: Copy = { message, queue, state, since, deliveries: 0, expiry: Infinity }
    message.copies.set(queue, copy)
    queue.copies.add(copy)
    return copy
  }

  private setExpiry(copy: Copy): void {
    if (copy.queue.ttl !== undefined) copy.expiry = this.node.now + copy.queue.ttl
  }

  private settle(link: LinkModel, input: Extract<Input, { kind: 'settle' }>): void {
    const channel = link.channels.get(input.channel)
    if (channel === undefined) return
    const ids = input.upTo ? [...channel.unacked.keys()].filter((id) => id <= input.id) : [input.id]
    for (const id of ids) this.settleOne(channel, id, input.outcome)
  }

  private settleOne(channel: ChannelModel, id: number, outcome: number): void {
    const unacked = channel.unacked.get(id)
    if (unacked === undefined) return
    channel.unacked.delete(id)
    const { copy, consumer } = unacked
    if (consumer !== undefined) consumer.unacked--
    if (outcome !== Outcome.requeue) copy.state = 'gone'
    else this.giveBack(copy)
  }

  private giveBack(copy: Copy): void {
    copy.state = copy.queue.status === 'present' ? stateIn(copy.queue) : 'maybe'
    if (copy.queue.status === 'gone') copy.state = 'gone'
    copy.since = this.turn
  }

  private control(link: LinkModel, { op, request }: Control): void {
    switch (op.op) {
      case 'openConnection': {
        const { owner, window } = op
        link.connections.set(op.connection, { owner, window, outstanding: 0 })
        return
      }
      case 'openChannel':
        return this.openChannel(link, op.connection, op.channel)
      case 'closeChannel': {
        const channel = link.channels.get(op.channel)
        if (channel !== undefined) this.endChannel(link, channel)
        return
      }
      case 'closeConnection': {
        const connection = link.connections.get(op.connection)
        for (const channel of link.channels.values())
          if (channel.connection === connection) this.endChannel(link, channel)
        this.endings.push(() => link.connections.delete(op.connection))
        return
      }
      case 'consume':
      case 'cancel':
      case 'get':
      case 'queuePurge':
        if (request !== undefined) this.queueOp(link, op, request)
        return
      case 'fence': {
        const channel = link.channels.get(op.channel)
        if (request === undefined || channel === undefined) return
        request.channel = channel
        request.before = channel.published
        return
      }
      case 'txCommit':
        return this.commit(link, op.channel, request)
      case 'txRollback': {
        const channel = link.channels.get(op.channel)
        if (channel !== undefined) channel.held = []
        return
      }
      default:
    }
  }

  private openChannel(link: LinkModel, connection: number, slot: number): void {
    const opened = link.connections.get(connection)
    check(opened !== undefined, () => `channel ${slot} on no connection`)
    link.channels.set(slot, {
      slot,
      connection: opened,
      unacked: new Map(),
      lastDelivery: 0,
      published: 0,
      awaiting: [],
      held: [],
      committing: [],
      failed: false,
      ending: false,
    })
  }

  private endChannel(link: LinkModel, channel: ChannelModel): void {
    channel.ending = true
    for (const consumer of link.consumers.values())
      if (consumer.channel === channel) this.endConsumer(link, consumer)
    for (const id of [...channel.unacked.keys()]) this.settleOne(channel, id, Outcome.requeue)
    for (const message of channel.committing) abandonMessage(message)
    channel.held = []
    this.endings.push(() => {
      if (link.channels.get(channel.slot) === channel) link.channels.delete(channel.slot)
    })
  }

  private endConsumer(link: LinkModel, consumer: ConsumerModel): void {
    consumer.ending = true
    const { queue } = consumer
    this.endings.push(() => {
      if (!queue.consumers.includes(consumer)) return
      queue.consumers = queue.consumers.filter((each) => each !== consumer)
      if (queue.active === consumer) queue.active = undefined
      if (link.consumers.get(consumer.slot) === consumer) link.consumers.delete(consumer.slot)
    })
    const left = queue.consumers.filter((each) => !each.ending && each.ok)
    if (queue.autoDelete && left.length === 0) this.declared.leave(queue)
  }

  private queueOp(
    link: LinkModel,
    op: Extract<RequestModel['op'], { op: 'consume' | 'cancel' | 'get' | 'queuePurge' }>,
    request: RequestModel,
  ): void {
    if (op.op === 'cancel') {
      const consumer = link.consumers.get(op.consumer)
      if (consumer !== undefined) this.endConsumer(link, consumer)
      return
    }
    const queue = this.topology.find(op.queue)
    request.queue = queue
    if (queue === undefined) return
    if (op.op === 'get') {
      request.channel = link.channels.get(op.channel)
    } else if (op.op === 'queuePurge') {
      const owner = link.connections.get(op.connection)?.owner
      if (queue.owner !== undefined && queue.owner !== owner) return
      for (const copy of queue.copies) {
        if (copy.state === 'pending') copy.state = 'maybe'
        if (copy.state === 'ready') copy.state = copy.since < this.turn ? 'purging' : 'maybe'
      }
    } else {
      const channel = link.channels.get(op.channel)
      if (channel === undefined) return
      const consumer: ConsumerModel = {
        slot: op.consumer,
        channel,
        queue,
        noAck: op.noAck,
        prefetch: op.noAck ? 0 : op.prefetch,
        credit: op.credited === true ? new CreditModel() : undefined,
        registered: this.turn,
        unacked: 0,
        ok: false,
        ending: false,
      }
      request.consumer = consumer
      link.consumers.set(op.consumer, consumer)
      queue.consumers.push(consumer)
    }
  }

  private commit(link: LinkModel, slot: number, request: RequestModel | undefined): void {
    const channel = link.channels.get(slot)
    if (channel === undefined || request === undefined) return
    request.channel = channel
    request.before = this.declared.changes
    if (channel.failed) return
    channel.committing = channel.held
    channel.held = []
    for (const message of channel.committing) this.route(message, link.shard, true)
  }

  private arrivals(peer: PeerModel): void {
    while (peer.forwards.length > 0) {
      const { end, message, queues } = peer.forwards[0] as Forward
      if (!peer.tap.passed(end)) return
      peer.forwards.shift()
      for (const queue of queues) {
        const copy = message.copies.get(queue)
        if (copy === undefined || copy.state !== 'coming') continue
        this.giveBack(copy)
        this.setExpiry(copy)
      }
    }
  }

  private departures(peer: PeerModel): void {
    const { tap } = peer
    for (let i = tap.next(); i >= 0; i = tap.next()) {
      if (((tap.words[i] as number) & 255) !== Record.forward) continue
      const e = i + forwardEntryAt
      const message = this.messageOf(readEntry(this.node.arena, tap.words, e))
      const idsAt = e + entryWords + (tap.words[e + 6] as number) * extentWords
      const queues: QueueModel[] = []
      for (let k = 1; k <= (tap.words[idsAt] as number); k++) {
        const id = tap.words[idsAt + k] as number
        const queue = this.declared.queueById(id)
        if (queue === undefined) continue
        const copy = this.copyFor(message, queue)
        check(
          copy.state === 'pending' || copy.state === 'maybe',
          () => `${nameOf(copy)} goes twice`,
        )
        copy.state = 'coming'
        queues.push(queue)
      }
      peer.forwards.push({ end: tap.end, message, queues })
    }
  }

  /** The message whose entry this is, byte for byte. */
  messageOf(entry: SimEntry): MessageModel {
    const message = this.messages.get(messageId(entry))
    check(message !== undefined, () => `a message that nobody published: ${JSON.stringify(entry)}`)
    const whole =
      message.entry.exchange === entry.exchange &&
      message.entry.key === entry.key &&
      message.entry.props.equals(entry.props) &&
      message.entry.body.equals(entry.body)
    check(whole, () => `message ${message.id} has changed`)
    return message
  }

  private outputs(links: readonly LinkModel[]): void {
    const rest: [LinkModel, Output][] = []
    const toEnding: [LinkModel, Delivery][] = []
    for (const link of links) {
      for (const output of link.takeOutputs()) {
        const channel = channelOf(link, output)
        if ((output.kind === 'deliver' || output.kind === 'got') && !output.empty && channel) {
          this.checkDeliveryId(channel, output)
          if (output.kind === 'deliver') this.checkWindow(channel, output)
          if (channel.ending) {
            toEnding.push([link, output])
            continue
          }
        }
        rest.push([link, output])
      }
    }
    // What went to a channel before it ended has come back, and may have gone to another since.
    toEnding.sort(([, a], [, b]) => Number(a.redelivered) - Number(b.redelivered))
    for (const [link, output] of toEnding) {
      this.deliver(link, output)
      if (output.kind === 'got') link.requests.delete(output.target)
      const channel = channelOf(link, output)
      if (channel === undefined) continue
      for (const id of [...channel.unacked.keys()]) this.settleOne(channel, id, Outcome.requeue)
    }
    const order = new Map<string, number>()
    for (const [link, output] of rest) this.output(link, output, order)
  }

  private output(link: LinkModel, output: Output, order: Map<string, number>): void {
    if (output.kind === 'deliver') {
      const copy = this.deliver(link, output)
      this.checkOrder(link, copy, order)
    } else if (output.kind === 'got') {
      const request = link.requests.get(output.target)
      if (output.empty) this.checkEmpty(request?.queue)
      else this.deliver(link, output)
      link.requests.delete(output.target)
    } else if (output.kind === 'confirm') {
      this.confirm(link, output)
    } else if (output.kind === 'returned') {
      const message = this.messageOf(output.entry)
      const right = message.unroutable !== 'no' || this.mayDiffer(message)
      check(right, () => `message ${message.id} came back, but has a queue`)
      check((message.flags & EntryFlag.mandatory) !== 0, () => `message ${message.id} came back`)
      check(!message.returned, () => `message ${message.id} came back twice`)
      message.returned = true
      for (const copy of message.copies.values()) copy.state = 'gone'
    } else if (output.kind === 'reply') {
      const request = link.requests.get(output.request)
      check(request !== undefined, () => `an answer to nothing: ${JSON.stringify(output.reply)}`)
      link.requests.delete(output.request)
      this.reply(link, request, output.reply)
    } else if (output.kind === 'event') {
      this.event(link, output.event)
    } else if (output.kind === 'linkState') {
      const { consumer, count, credit, flags } = output
      link.consumers.get(consumer)?.credit?.stated(count, credit, flags, `consumer ${consumer}`)
    }
  }

  private copyFor(message: MessageModel, queue: QueueModel): Copy {
    const copy = message.copies.get(queue)
    if (copy !== undefined) return copy
    check(this.mayDiffer(message), () => `message ${message.id} is not for ${queue.name}`)
    return this.addCopy(message, queue, 'maybe')
  }

  // A commit may take several turns, and something else may have changed before it was done.
  private mayDiffer({ routedAt }: MessageModel): boolean {
    return routedAt >= 0 && routedAt !== this.declared.changes
  }

  private checkDeliveryId(channel: ChannelModel, { settled, id }: Delivery): void {
    if (settled) {
      check(id === 0, () => 'a settled delivery has an id')
    } else {
      check(id === channel.lastDelivery + 1, () => `delivery ${id} after ${channel.lastDelivery}`)
      channel.lastDelivery = id
    }
  }

  private checkWindow({ slot, connection }: ChannelModel, { cost }: Delivery): void {
    const { outstanding, window } = connection
    check(outstanding < window, () => `channel ${slot}: ${outstanding} bytes of ${window} are out`)
    connection.outstanding += cost
  }

  private deliver(link: LinkModel, output: Delivery): Copy {
    const consumer = output.kind === 'deliver' ? link.consumers.get(output.target) : undefined
    const request = output.kind === 'got' ? link.requests.get(output.target) : undefined
    const queue = consumer?.queue ?? request?.queue
    const channel = consumer?.channel ?? request?.channel
    check(queue !== undefined && channel !== undefined, () => 'a delivery to nobody')
    check(output.entry !== undefined, () => 'a delivery of nothing')
    const message = this.messageOf(output.entry)
    const copy = this.copyFor(message, queue)
    const { state } = copy
    const there = state === 'ready' || state === 'purging' || state === 'maybe'
    check(there || state === 'pending', () => `${nameOf(copy)} is ${state}, but was delivered`)
    check(
      output.redelivered === copy.deliveries > 0,
      () => `${nameOf(copy)}: redelivered is ${output.redelivered} after ${copy.deliveries}`,
    )
    // One that comes at once is delivered, whatever its time.
    const late = copy.expiry <= this.node.now && copy.since < this.turn
    check(!late, () => `${nameOf(copy)} is delivered ${this.node.now - copy.expiry} ms late`)
    copy.deliveries++
    queue.served.push(copy)
    this.delivered++
    if (output.settled) copy.state = 'gone'
    else {
      copy.state = 'unacked'
      channel.unacked.set(output.id, { copy, consumer })
    }
    if (consumer !== undefined) this.checkConsumer(consumer, output)
    else
      check(output.settled === (request?.op.op === 'get' && request.op.noAck), () => 'got: noAck')
    return copy
  }

  private checkConsumer(consumer: ConsumerModel, output: Delivery): void {
    const { queue } = consumer
    const at = `consumer ${consumer.slot} of ${queue.name}`
    check(consumer.ok, () => `${at}: a delivery before consume-ok`)
    check(output.settled === consumer.noAck, () => `${at}: settled is ${output.settled}`)
    if (!output.settled) consumer.unacked++
    consumer.credit?.delivered(this.turn, at)
    check(
      consumer.prefetch === 0 || consumer.unacked <= consumer.prefetch,
      () => `${at}: ${consumer.unacked} unacknowledged, prefetch ${consumer.prefetch}`,
    )
    if (!queue.singleActive || consumer.ending) return
    const { active } = queue
    const earlier = queue.consumers.find(
      (each) => !each.ending && each.ok && each.registered < consumer.registered,
    )
    check(earlier === undefined, () => `${at} is not the first in line`)
    const other = active !== undefined && active !== consumer && !active.ending
    check(!other, () => `${at}: another is the active consumer`)
    queue.active = consumer
  }

  // Within one ring, messages of one publisher that waited together come in order.
  private checkOrder(link: LinkModel, copy: Copy, order: Map<string, number>): void {
    const { publisher, seq } = copy.message
    if (copy.since >= this.turn || publisher === undefined) return
    const key = `${link.id} ${copy.queue.name} ${this.publisherId(publisher)} ${levelOf(copy)}`
    const last = order.get(key)
    check(last === undefined || last < seq, () => `${nameOf(copy)} comes after a later message`)
    order.set(key, seq)
  }

  private readonly publisherIds: Map<ChannelModel, number> = new Map()

  private publisherId(publisher: ChannelModel): number {
    const known = this.publisherIds.get(publisher)
    if (known !== undefined) return known
    this.publisherIds.set(publisher, this.publisherIds.size)
    return this.publisherIds.size - 1
  }

  private checkEmpty(queue: QueueModel | undefined): void {
    if (queue?.status !== 'present') return
    for (const copy of queue.copies) {
      const there = copy.state === 'ready' && copy.since < this.turn
      check(!there, () => `get found nothing, but ${nameOf(copy)} is ready`)
    }
  }

  private confirm(link: LinkModel, output: Extract<Output, { kind: 'confirm' }>): void {
    const channel = link.channels.get(output.channel)
    check(channel !== undefined, () => `a confirm for channel ${output.channel}, which is closed`)
    const settled = channel.awaiting.splice(0, output.count)
    check(settled.length === output.count, () => `${output.count} confirms for ${settled.length}`)
    for (const message of settled) {
      const { id, flags, unroutable, returned } = message
      const copies = [...message.copies.values()]
      const refuses = copies.some(({ queue }) => queue.refuses && queue.bounded)
      check(!output.nack || refuses, () => `a nack for message ${id}`)
      for (const copy of copies) {
        check(copy.state !== 'coming', () => `message ${id} is confirmed too early`)
      }
      const lost = unroutable === 'yes' && (flags & EntryFlag.mandatory) !== 0 && !returned
      check(!lost, () => `message ${id} is confirmed, but did not come back`)
    }
  }

  private reply(link: LinkModel, request: RequestModel, reply: ControlReply): void {
    const { op, consumer } = request
    const failed = reply.error !== undefined
    this.declared.answer(request, failed)
    if (op.op === 'consume' && consumer !== undefined) {
      consumer.ok = !failed
      if (!failed) return
      const index = consumer.queue.consumers.indexOf(consumer)
      if (index >= 0) consumer.queue.consumers.splice(index, 1)
      if (link.consumers.get(consumer.slot) === consumer) link.consumers.delete(consumer.slot)
    } else if (op.op === 'fence') {
      this.checkFence(request)
    } else if (op.op === 'txCommit') {
      this.committed(request)
    }
  }

  private checkFence({ channel, before }: RequestModel): void {
    for (const { forwards } of this.peers) {
      for (const { message } of forwards) {
        const behind = message.publisher === channel && message.seq < before
        check(!behind || channel === undefined, () => `message ${message.id} missed its fence`)
      }
    }
  }

  private committed({ channel, before }: RequestModel): void {
    if (channel === undefined) return
    for (const message of channel.committing) {
      const { id, flags, unroutable, returned, copies } = message
      const sure = before === this.declared.changes
      for (const copy of copies.values()) {
        check(copy.state !== 'coming', () => `the commit of message ${id} comes too early`)
        if (copy.state !== 'pending') continue
        const remote = copy.queue.shard !== this.ingressOf(message)
        check(!remote || !sure, () => `${nameOf(copy)} was not forwarded`)
        copy.state = sure && copy.queue.status === 'present' ? stateIn(copy.queue) : 'maybe'
        copy.since = this.turn
      }
      const lost = sure && unroutable === 'yes' && (flags & EntryFlag.mandatory) !== 0 && !returned
      check(!lost, () => `message ${id} is committed, but did not come back`)
    }
    channel.committing = []
  }

  private ingressOf(message: MessageModel): number {
    for (const link of this.links)
      for (const channel of link.channels.values())
        if (channel === message.publisher) return link.shard
    return -1
  }

  private event(link: LinkModel, event: Extract<Output, { kind: 'event' }>['event']): void {
    if (event.event === 'channelError') {
      const channel = link.channels.get(event.channel)
      check(channel === undefined || channel.failed, () => `channel error: ${event.error.text}`)
    } else if (event.event === 'consumerCancelled') {
      const consumer = link.consumers.get(event.consumer)
      if (consumer === undefined) return
      check(consumer.queue.status !== 'present', () => 'a consumer was cancelled for no reason')
      this.endConsumer(link, consumer)
    } else {
      throw new Violation('a connection was closed for no reason')
    }
  }

  private endTurn(): void {
    for (const end of this.endings) end()
    this.endings = []
    for (const queue of this.topology.queues) {
      for (const copy of queue.copies) if (copy.state === 'purging') copy.state = 'gone'
      if (queue.served.length > 0) this.checkFirst(queue)
      queue.served = []
      for (const copy of queue.copies) if (copy.state === 'gone') queue.copies.delete(copy)
      if (queue.status === 'leaving') this.declared.checkGone(queue)
    }
  }

  // Nothing that waited through the whole turn may come before what was delivered.
  private checkFirst(queue: QueueModel): void {
    if (queue.status !== 'present') return
    const firsts = new Map<string, Copy>()
    for (const copy of queue.copies) {
      const { publisher, seq } = copy.message
      if (copy.state !== 'ready' || copy.since >= this.turn || publisher === undefined) continue
      const key = `${this.publisherId(publisher)} ${levelOf(copy)}`
      const first = firsts.get(key)
      if (first === undefined || first.message.seq > seq) firsts.set(key, copy)
    }
    for (const copy of queue.served) {
      const { publisher, seq } = copy.message
      const key = publisher === undefined ? '' : `${this.publisherId(publisher)} ${levelOf(copy)}`
      const first = firsts.get(key)
      check(
        first === undefined || first.message.seq > seq,
        () => `${nameOf(copy)} was delivered before message ${first?.message.id}, which was ready`,
      )
    }
  }

  private checkAtRest(queue: QueueModel): void {
    if (queue.status !== 'present') return
    const engine = this.node.shard(queue.shard).state.queues.get(queue.id)
    check(engine !== undefined, () => `queue ${queue.name} has no engine`)
    const count = (state: Copy['state']): number =>
      [...queue.copies].filter((copy) => copy.state === state).length
    check(count('coming') === 0 && count('pending') === 0, () => `${queue.name}: on the way`)
    const [ready, unacked, maybe] = [count('ready'), count('unacked'), count('maybe')]
    const found = engine.readyCount()
    check(
      found >= ready && found <= ready + maybe,
      () => `${queue.name}: ${found} ready, should be ${ready} (and ${maybe} unclear)`,
    )
    check(
      engine.unackedCount === unacked,
      () => `${queue.name}: ${engine.unackedCount} unacked, should be ${unacked}`,
    )
    if (found === 0) for (const copy of queue.copies) if (copy.state === 'maybe') this.drop(copy)
    if (found === ready + maybe && !queue.bounded)
      for (const copy of queue.copies) if (copy.state === 'maybe') copy.state = 'ready'
    check(
      engine.consumers.all.size === queue.consumers.length,
      () => `${queue.name}: ${engine.consumers.all.size} consumers, not ${queue.consumers.length}`,
    )
  }

  private drop(copy: Copy): void {
    copy.state = 'gone'
    copy.queue.copies.delete(copy)
  }

  // Each shard keeps exactly what its queues and transactions hold.
  private checkRows(): void {
    const sure = this.node.shards.map(() => new Set<number>())
    const all = this.node.shards.map(() => new Set<number>())
    for (const { copies } of this.messages.values()) {
      for (const { state, queue, message } of copies.values()) {
        if (state === 'gone') continue
        all[queue.shard]?.add(message.id)
        if (state === 'ready' || state === 'unacked') sure[queue.shard]?.add(message.id)
      }
    }
    for (const link of this.links) {
      for (const channel of link.channels.values()) {
        for (const message of channel.held) {
          sure[link.shard]?.add(message.id)
          all[link.shard]?.add(message.id)
        }
      }
    }
    for (const [index, shard] of this.node.shards.entries()) {
      const { count } = shard.state.messages
      const least = sure[index]?.size ?? 0
      const most = all[index]?.size ?? 0
      check(
        count >= least && count <= most,
        () => `shard ${index} keeps ${count} messages, should be ${least} to ${most}`,
      )
    }
  }
}

/** What a copy is that waits. */
function stateIn(queue: QueueModel): Copy['state'] {
  return queue.bounded ? 'maybe' : 'ready'
}

/** Order holds among messages of one level. */
function levelOf({ message, queue }: Copy): number {
  return Math.min(priorityOf(message.flags), queue.priorityMax)
}

/** What decides about a message whose commit nobody will hear of. */
function abandonMessage(message: MessageModel): void {
  for (const copy of message.copies.values()) if (copy.state === 'pending') copy.state = 'maybe'
}

function channelOf(link: LinkModel, output: Output): ChannelModel | undefined {
  if (output.kind === 'deliver') return link.consumers.get(output.target)?.channel
  if (output.kind === 'got') return link.requests.get(output.target)?.channel
  return undefined
}

function keysOf({ entry }: MessageModel): readonly string[] {
  return [entry.key, ...entry.extraKeys]
}

/** Messages carry their number as message-id, the only property. */
export function messageId(entry: SimEntry): number {
  return Number(entry.props.toString('latin1', 3))
}

export function messageProps(id: number): Buffer {
  const text = `${id}`
  return Buffer.concat([Buffer.from([0, 0x80, text.length]), Buffer.from(text)])
}

function nameOf({ message, queue }: Copy): string {
  return `message ${message.id} in ${queue.name}`
}
