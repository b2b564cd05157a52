// Control ops of gateways and of other shards: who handles which, and what is still under way.

import type { ControlOp, ControlReply, PeerError } from '../../shared/bus/control.ts'
import { pack, unpack } from '../../shared/bus/control.ts'
import { Record } from '../../shared/bus/wire.ts'
import { channelError, connectionError } from '../../shared/errors.ts'
import type { MetadataStore } from '../store/metadata-store.ts'
import { StreamQueue } from '../stream/stream-queue.ts'
import type { QueueStats, RegistrySettings } from '../topology/decision.ts'
import { checkVhostAccess } from '../topology/permissions.ts'
import type { QueueRecord } from '../topology/records.ts'
import { noQueue } from '../topology/refusals.ts'
import { Registry } from '../topology/registry.ts'
import type { Actor, AdminOp, DeclareOp, RegistryOp } from '../topology/registry-op.ts'
import type { TopologyEffect } from '../topology/topology.ts'
import { Topology } from '../topology/topology.ts'
import type { TopologyChange } from '../topology/topology-change.ts'
import { answerAccess } from './access-ops.ts'
import type { AdminCommand } from './admin-commands.ts'
import { isShardCommand, joinReplies, runShardCommand, shardsOf } from './admin-commands.ts'
import type { ShardChannel, ShardConnection } from './channel.ts'
import { Claims } from './claims.ts'
import type { GatewayEnd } from './gateway-end.ts'
import { KeyedDesk } from './keyed-desk.ts'
import { lookUp } from './look-ups.ts'
import type { PeerOp, PeerReply } from './peer-desk.ts'
import { PeerDesk } from './peer-desk.ts'
import type { PeerLink } from './peer-link.ts'
import type { Publisher } from './publisher.ts'
import { consume, get, removeConsumer, runQueueOp } from './queue-ops.ts'
import { RegistryDesk } from './registry-desk.ts'
import { isReplyName, ReplyQueues, replyTarget } from './reply-queues.ts'
import {
  cancelConsumers,
  closeChannel,
  closeConnection,
  globalPrefetch,
  openChannel,
  openConnection,
  recheckConsumers,
} from './session-ops.ts'
import { modify } from './settlement.ts'
import type { ShardState } from './shard-state.ts'
import { Sinks } from './sinks.ts'
import type { ShardStorage } from './storage.ts'

type Op<K extends ControlOp['op']> = Extract<ControlOp, { op: K }>

/** A `get` that waits for room in the ring. */
interface PendingGet {
  readonly end: GatewayEnd
  readonly request: number
  readonly op: Op<'get'>
}

/** A `sync` that waits for the log; position -1: there was no room for all that it covers. */
interface PendingSync {
  readonly end: GatewayEnd
  readonly request: number
  position: number
}

export class ControlDesk {
  readonly replies: ReplyQueues
  private readonly state: ShardState
  private readonly storage: ShardStorage
  private readonly peers: PeerDesk
  /** The registry works on shard 0 alone. */
  readonly desk: RegistryDesk | undefined
  private readonly committing: Set<ShardChannel>
  private gets: PendingGet[]
  readonly sinks: Sinks
  private readonly claims: Claims
  private readonly keyed: KeyedDesk | undefined
  private syncs: PendingSync[]

  constructor(
    state: ShardState,
    settings: RegistrySettings,
    storage: ShardStorage,
    metadata: MetadataStore,
  ) {
    this.state = state
    this.storage = storage
    this.peers = new PeerDesk()
    this.replies = new ReplyQueues(state.shard, state.queues, state, state.random)
    this.desk = state.shard === 0 ? this.createDesk(settings, metadata) : undefined
    this.committing = new Set()
    this.gets = []
    this.sinks = new Sinks(state)
    this.claims = new Claims(state.event)
    this.keyed = state.shard === 0 ? new KeyedDesk(metadata) : undefined
    this.syncs = []
  }

  /** What waits for room is tried again. True when something went on. */
  turn(publisher: Publisher): boolean {
    let any = false
    if (this.desk?.turn() === true) any = true
    if (this.keyed?.turn() === true) any = true
    if (this.answerSyncs()) any = true
    if (this.gets.length > 0) {
      const waiting = this.gets
      this.gets = []
      for (const pending of waiting) if (this.tryGet(pending)) any = true
    }
    for (const queue of this.state.unusedQueues.splice(0)) {
      any = true
      if (!queue.deleted && queue.consumers.all.size === 0) this.deleteAllUnused([queue], () => {})
    }
    for (const channel of this.committing) {
      if (!publisher.commit(channel)) continue
      any = true
      this.committing.delete(channel)
      this.committed(channel, 0, false)
    }
    return any
  }

  /** Carries out an operator's command (shard 0 only): an AdminOp, or a ShardCommand of its shard. */
  admin(command: AdminCommand, done: (reply: ControlReply) => void): void {
    if (isShardCommand(command)) this.runShardCommand(command, done)
    else this.runOnRegistry(command as unknown as AdminOp, done)
  }

  /** Runs an op of the node itself on the registry (shard 0 only). */
  runOnRegistry(op: RegistryOp, done: (reply: ControlReply) => void): void {
    this.desk?.run(op, undefined, done)
  }

  /** The metadata is applied: every shard puts back its messages (shard 0 only). */
  recover(done: () => void): void {
    let open = 2
    const one = (): void => {
      open--
      if (open === 0) done()
    }
    this.peers.askAll(this.state.peers, { peer: 'recover' }, one)
    // The others begin at once, since this takes a while here.
    for (const peer of this.state.peers) peer?.lane.flush()
    this.restoreMessages(one)
  }

  /** `done` when the messages are there, and all ids that duplicates are known by. */
  private restoreMessages(done: () => void): void {
    this.storage.recover(this.state)
    this.state.restored = true
    this.state.unreadIds.read(done)
  }

  onGateway(end: GatewayEnd, request: number, payload: Uint8Array): void {
    const op = unpack<ControlOp>(payload)
    switch (op.op) {
      case 'authenticate':
      case 'openConnection':
      case 'closeConnection':
        return this.onConnection(end, request, op)
      case 'recheckAccess':
        return this.onRecheck(end, request, op)
      case 'openChannel':
        return this.onOpenChannel(end, request, op)
      case 'closeChannel':
        return this.onCloseChannel(end, request, op)
      case 'globalPrefetch':
        return globalPrefetch(end, op)
      case 'modify':
        return modify(this.state, end, op)
      case 'fence':
        return this.onFence(end, request)
      case 'txCommit':
      case 'txRollback':
        return this.onTransaction(end, request, op)
      case 'consume':
        return consume(this.state, this.replies, end, request, op)
      case 'cancel':
        return this.onCancel(end, request, op)
      case 'get':
        this.tryGet({ end, request, op })
        return
      case 'sync':
        this.syncs.push({ end, request, position: this.state.log.barrier() })
        return
      case 'claim':
        return this.onClaim(end, request, op)
      case 'checkAccess':
        return answerAccess(this.state, end, request, op)
      case 'openSink':
        return this.sinks.open(end, op)
      case 'bindSink':
      case 'unbindSink':
        this.sinks.bind(end, op)
        return this.state.reply(end, request, {})
      case 'keyedWrite':
      case 'keyedGet':
      case 'keyedScan':
      case 'keyedTake':
        return this.keyed?.run(op, (reply) => this.state.reply(end, request, reply))
      case 'declarePublisher':
      case 'publisherSequence':
      case 'streamSubscribe':
      case 'streamUnsubscribe':
      case 'streamStopped':
      case 'streamStoreOffset':
      case 'streamQueryOffset':
      case 'streamStats':
      case 'describeStreams':
      case 'superStream':
        return this.state.streamClients.run(end, request, op)
      case 'queuePurge':
      case 'transfer':
        return runQueueOp(this.state, end, request, op)
      case 'checkTarget':
      case 'describeQueue':
      case 'listBindings':
        return lookUp(this.state, end, request, op)
      case 'admin':
        return this.admin(op.command, (reply) => this.state.reply(end, request, reply))
      default:
        return this.onDeclare(end, request, op)
    }
  }

  onPeer(peer: PeerLink, type: number, request: number, payload: Uint8Array): void {
    if (type === Record.reply) {
      this.peers.onReply(request, payload)
      return
    }
    const op = unpack<PeerOp>(payload)
    const answer = (reply: PeerReply): void => peer.lane.control(Record.reply, request, pack(reply))
    switch (op.peer) {
      case 'apply':
        this.applyChanges(op.changes)
        return answer({})
      case 'fence':
        return answer({})
      case 'recover':
        return this.restoreMessages(() => answer({}))
      case 'queueStats':
        return answer(this.statsOf(op.queue))
      case 'queueUnused':
        return this.deleteUnused(op.queue, () => answer({}))
      case 'replyOpen':
        return answer({ open: this.replies.isOpen(op.key) })
      case 'command':
        return runShardCommand(this.state, op.command, (reply) => answer({ reply }))
    }
  }

  /** `count` publishes of a committing channel are durable; the last ones answer the commit. */
  committed(channel: ShardChannel, count: number, refused: boolean): void {
    channel.commitOpen -= count
    if (refused) channel.commitRefused = true
    if (channel.commitRequest === 0 || channel.commitOpen > 0 || channel.held.length > 0) return
    const request = channel.commitRequest
    const error = channelError('PRECONDITION_FAILED', 'partial tx completion')
    channel.commitRequest = 0
    this.state.reply(channel.outlet, request, channel.commitRefused ? { error } : {})
    channel.commitRefused = false
  }

  /** Ends a connection whose gateway died. */
  dropConnection(end: GatewayEnd, connection: ShardConnection): void {
    this.endConnection(end, connection, () => {})
  }

  applyChanges(changes: readonly TopologyChange[]): void {
    for (const change of changes) {
      for (const effect of this.state.topology.apply(change)) this.onEffect(effect)
    }
  }

  /** A command on a queue goes to the queue's shard, one on an exchange to every shard in turn. */
  private runShardCommand(command: AdminCommand, done: (reply: ControlReply) => void): void {
    const { state } = this
    const shards = shardsOf(state, command)
    if (!Array.isArray(shards)) return done(shards)
    const replies: ControlReply[] = []
    const next = (): void => {
      const shard = shards[replies.length]
      if (shard === undefined) return done(joinReplies(replies))
      const take = (reply: ControlReply): void => {
        replies.push(reply)
        if (reply.error === undefined) next()
        else done(reply)
      }
      const peer = state.peers[shard]
      if (peer === undefined) runShardCommand(state, command, take)
      else this.peers.ask(peer, { peer: 'command', command }, ({ reply }) => take(reply ?? {}))
    }
    next()
  }

  private createDesk(settings: RegistrySettings, metadata: MetadataStore): RegistryDesk {
    const topology = new Topology()
    return new RegistryDesk(new Registry(topology, settings), topology, {
      state: this.state,
      peers: this.peers,
      metadata,
      applyChanges: (changes) => this.applyChanges(changes),
      statsOf: (queue) => this.statsOf(queue),
    })
  }

  private onEffect(effect: TopologyEffect): void {
    const { state } = this
    if (effect.effect === 'queueCreated') {
      const { queue } = effect
      if (queue.shard !== state.shard) return
      state.createQueue(queue)
    } else if (effect.effect === 'exchangeDeclared' || effect.effect === 'exchangeConfigured') {
      state.delays.configure(effect.exchange)
      state.gates.configure(effect.exchange)
    } else if (effect.effect === 'exchangeDeleted') {
      state.delays.remove(effect.exchange)
      state.gates.remove(effect.exchange)
    } else if (effect.effect === 'queueConfigured') {
      state.queues.get(effect.queue.id)?.configure(effect.queue.settings)
    } else if (effect.effect === 'queuePaused') {
      const queue = state.queues.get(effect.queue.id)
      if (queue === undefined) return
      queue.consumers.paused = effect.queue.paused
      state.wake(queue)
    } else if (effect.effect === 'queueDeleted') {
      this.destroyQueue(effect.queue)
    } else if (effect.effect === 'vhostDeleted') {
      this.sinks.dropVhost(effect.vhost)
      this.closeConnections(
        (c) => c.vhost === effect.vhost,
        `vhost '${effect.vhost.name}' is deleted`,
      )
    } else if (effect.effect === 'userDeleted') {
      this.closeConnections((c) => c.user === effect.user, `user '${effect.user}' is deleted`)
    }
  }

  private destroyQueue(record: QueueRecord): void {
    const { state } = this
    const queue = state.queues.get(record.id)
    if (queue === undefined) return
    state.queues.delete(record.id)
    queue.destroy()
    if (queue instanceof StreamQueue) state.streamClients.dropStream(queue)
    state.redrives.get(record.id)?.cancel()
    state.redrives.delete(record.id)
    cancelConsumers(state, queue.consumers.all)
    const getter = state.getters.get(queue)
    if (getter === undefined) return
    getter.ended = true
    if (getter.unacked === 0) state.holders.remove(getter.slot)
    state.getters.delete(queue)
  }

  /** Told by the registry's shard alone, so that each gateway hears it once. */
  private closeConnections(which: (connection: ShardConnection) => boolean, reason: string): void {
    if (this.desk === undefined) return
    const error = connectionError('CONNECTION_FORCED', reason)
    for (const end of this.state.ends) {
      for (const connection of end.connections) {
        if (connection === undefined || !which(connection)) continue
        this.state.event(end, { event: 'connectionClosed', connection: connection.id, error })
      }
    }
  }

  private statsOf(id: number): QueueStats {
    const queue = this.state.queues.get(id)
    if (queue === undefined) return { messages: 0, consumers: 0 }
    queue.used()
    return { messages: queue.readyCount(), consumers: queue.consumers.all.size }
  }

  private tryGet(pending: PendingGet): boolean {
    if (pending.end.lost || get(this.state, pending.end, pending.request, pending.op)) return true
    this.gets.push(pending)
    return false
  }

  private onConnection(
    end: GatewayEnd,
    request: number,
    op: Op<'authenticate' | 'openConnection' | 'closeConnection'>,
  ): void {
    const { state } = this
    if (op.op === 'authenticate') {
      this.desk?.run(op, undefined, (reply) => state.reply(end, request, reply))
    } else if (op.op === 'openConnection') {
      if (this.desk === undefined) {
        openConnection(state, end, op)
        return
      }
      const { vhostConnections, userConnections } = state.usage
      const asked = {
        ...op,
        open: this.openConnections(),
        openInVhost: vhostConnections.of(op.vhost),
        openOfUser: userConnections.of(op.user),
      }
      this.desk.run(asked, undefined, (reply) => {
        if (reply.error === undefined) openConnection(state, end, op)
        state.reply(end, request, reply)
      })
    } else {
      const connection = end.connections[op.connection]
      if (connection === undefined) state.reply(end, request, {})
      else this.endConnection(end, connection, () => state.reply(end, request, {}))
    }
  }

  private onFence(end: GatewayEnd, request: number): void {
    const { state } = this
    this.peers.askAll(state.peers, { peer: 'fence' }, () => state.reply(end, request, {}))
  }

  private onRecheck(end: GatewayEnd, request: number, op: Op<'recheckAccess'>): void {
    const { state } = this
    const connection = end.connections[op.connection]
    if (connection !== undefined) {
      recheckConsumers(state, connection)
      state.streamClients.recheck(end, connection)
      const { users } = state.topology
      const refused = checkVhostAccess(users, connection.user, connection.vhost.name)
      if (refused !== undefined) return state.refuse(end, request, refused)
    }
    state.reply(end, request, {})
  }

  private onClaim(end: GatewayEnd, request: number, op: Op<'claim'>): void {
    const connection = end.connections[op.connection]
    if (connection === undefined) return this.state.reply(end, request, {})
    if (op.ifFree === true) {
      const claimed = this.claims.claimFree(connection, op.name)
      return this.state.reply(end, request, { claimed })
    }
    this.claims.claim(connection, op.name, () => this.state.reply(end, request, {}))
  }

  /** A sync waits for the log. */
  get awaitsLog(): boolean {
    return this.syncs.length > 0
  }

  /** After the log has come further, too. True when one was answered. */
  answerSyncs(): boolean {
    if (this.syncs.length === 0) return false
    const { log } = this.state
    const waiting = this.syncs
    this.syncs = []
    for (const sync of waiting) {
      if (sync.position < 0) sync.position = log.barrier()
      const durable = sync.position >= 0 && sync.position <= log.committedUpTo
      if (durable) this.state.reply(sync.end, sync.request, {})
      else this.syncs.push(sync)
    }
    return this.syncs.length < waiting.length
  }

  /** The registry's shard is asked, and refuses a user who has too many; the others are told. */
  private onOpenChannel(end: GatewayEnd, request: number, op: Op<'openChannel'>): void {
    const { state, desk } = this
    const connection = end.connections[op.connection]
    if (connection === undefined || desk === undefined || request === 0) {
      openChannel(state, end, op)
      state.reply(end, request, {})
      return
    }
    const { user } = connection
    const open = state.usage.userChannels.of(user)
    desk.run({ op: 'openUserChannel', user, open }, undefined, (reply) => {
      if (reply.error === undefined) openChannel(state, end, op)
      state.reply(end, request, reply)
    })
  }

  private openConnections(): number {
    let count = 0
    for (const end of this.state.ends) count += end.connectionCount
    return count
  }

  private endConnection(end: GatewayEnd, connection: ShardConnection, done: () => void): void {
    const channels = [...connection.channels]
    const unused = closeConnection(this.state, this.replies, end, connection)
    for (const channel of channels) this.dropCommit(channel)
    const gone = (): void => {
      // Who has its name next finds its exclusive queues gone.
      this.claims.release(connection)
      done()
    }
    this.deleteAllUnused(unused, () => {
      if (this.desk === undefined) gone()
      else this.desk.run({ op: 'ownerGone', owner: connection.owner }, undefined, gone)
    })
  }

  private onCloseChannel(end: GatewayEnd, request: number, op: Op<'closeChannel'>): void {
    const channel = end.channels[op.channel]
    if (channel === undefined) {
      this.state.reply(end, request, {})
      return
    }
    const unused = closeChannel(this.state, this.replies, end, channel)
    this.dropCommit(channel)
    this.deleteAllUnused(unused, () => this.state.reply(end, request, {}))
  }

  // What a commit has not dispatched is forgotten; it is answered once the rest is settled.
  private dropCommit(channel: ShardChannel): void {
    if (this.committing.delete(channel)) this.committed(channel, 0, true)
  }

  private onCancel(end: GatewayEnd, request: number, op: Op<'cancel'>): void {
    const consumer = end.consumers[op.consumer]
    const unused = consumer === undefined ? undefined : removeConsumer(this.state, end, consumer)
    if (consumer !== undefined) {
      this.replies.closeQueue(consumer.channel as ShardChannel, consumer.queue)
    }
    this.deleteAllUnused(unused === undefined ? [] : [unused], () =>
      this.state.reply(end, request, {}),
    )
  }

  private onTransaction(end: GatewayEnd, request: number, op: Op<'txCommit' | 'txRollback'>): void {
    const channel = end.channels[op.channel]
    if (channel === undefined) {
      this.state.reply(end, request, {})
    } else if (op.op === 'txRollback') {
      for (const { row } of channel.held) this.state.messages.release(row)
      channel.held.length = 0
      this.state.reply(end, request, {})
    } else if (channel.failed) {
      this.state.refuse(end, request, channelError('PRECONDITION_FAILED', 'channel is closing'))
    } else {
      channel.commitRequest = request
      this.committing.add(channel)
    }
  }

  private onDeclare(
    end: GatewayEnd,
    request: number,
    op: Extract<ControlOp, { op: DeclareOp['op'] }>,
  ): void {
    const { state } = this
    const connection = end.connections[op.connection]
    if (connection === undefined || this.desk === undefined) {
      state.refuse(end, request, connectionError('CHANNEL_ERROR', 'the connection is closed'))
      return
    }
    if (op.op === 'queueDeclare' && isReplyName(op.queue)) {
      this.declareReplyQueue(connection, op.queue, (reply) => state.reply(end, request, reply))
      return
    }
    const actor: Actor = {
      user: connection.user,
      vhost: connection.vhost.name,
      owner: connection.owner,
      clientId: connection.clientId,
    }
    this.desk.run(op, actor, (reply) => state.reply(end, request, reply))
  }

  /** Declaring a direct reply-to name only asks whether it is there. */
  private declareReplyQueue(
    connection: ShardConnection,
    queue: string,
    done: (reply: ControlReply) => void,
  ): void {
    const finish = (open: boolean): void => {
      const error: PeerError = noQueue(queue, connection.vhost.name)
      done(open ? { queue, messages: 0, consumers: 1 } : { error })
    }
    if (queue === this.replies.pseudoName) {
      finish(true)
      return
    }
    const shard = replyTarget(queue)?.shard
    const peer = shard === undefined ? undefined : this.state.peers[shard]
    if (peer === undefined) finish(this.replies.isOpen(queue))
    else
      this.peers.ask(peer, { peer: 'replyOpen', key: queue }, (reply) =>
        finish(reply.open === true),
      )
  }

  private deleteAllUnused(queues: readonly { readonly id: number }[], done: () => void): void {
    let open = 1
    const one = (): void => {
      open--
      if (open === 0) done()
    }
    for (const queue of queues) {
      open++
      const registry = this.state.peers[0]
      if (registry === undefined) this.deleteUnused(queue.id, one)
      else this.peers.ask(registry, { peer: 'queueUnused', queue: queue.id }, one)
    }
    one()
  }

  private deleteUnused(queue: number, done: () => void): void {
    this.desk?.run({ op: 'queueGone', queueId: queue }, undefined, done)
  }
}
