// Sinks: where a gateway takes what its subscribers at most once want, each message once however
// many of them there are. A sink is the gateway's, not a client's: it is bound to topic filters, it
// is on every shard, so that a message takes no way round, and it is part of no topology that
// anybody lists.

import type { ControlOp } from '../../shared/bus/control.ts'
import { foldTopic, topicFilterArgument } from '../../shared/message/native-part.ts'
import { EMPTY_TABLE, textField } from '../../shared/message/value.ts'
import { ClassicQueue } from '../queue/classic-queue.ts'
import { Consumer } from '../queue/consumer.ts'
import { plainSettings } from '../topology/queue-settings.ts'
import type { BindingRecord, QueueRecord, VhostRecord } from '../topology/records.ts'
import { ShardChannel, ShardConnection } from './channel.ts'
import type { GatewayEnd } from './gateway-end.ts'
import type { ShardState } from './shard-state.ts'

type Op<K extends ControlOp['op']> = Extract<ControlOp, { op: K }>

/** Below the ids of reply queues. */
const firstId = -0x40000000

/** Messages that wait for a gateway, beyond what its ring holds, before it has to wait for itself. */
const backlogMax = 20_000

/** What others publish may pile up further; then the oldest goes. */
const sinkSettings = { ...plainSettings, lengthMax: 5 * backlogMax }

/** One gateway's sink on this shard. */
export class Sink {
  readonly end: GatewayEnd
  readonly consumer: Consumer
  readonly record: QueueRecord
  private readonly queue: ClassicQueue
  private readonly bindings: Map<string, BindingRecord>

  constructor(end: GatewayEnd, queue: ClassicQueue, consumer: Consumer, record: QueueRecord) {
    this.end = end
    this.queue = queue
    this.consumer = consumer
    this.record = record
    this.bindings = new Map()
  }

  // HOT: once per publish and sink
  /** Whether `end` has to wait before it publishes more to this sink: it is its own, and behind. */
  holdsUp(end: GatewayEnd): boolean {
    return end === this.end && this.queue.readyCount() >= backlogMax
  }

  bind(exchange: string, filter: string): void {
    const key = `${exchange.length}:${exchange}${filter}`
    const source = this.record.vhost.exchanges.get(exchange)
    const old = this.bindings.get(key)
    // Declared again, the exchange has another table.
    if (source === undefined || (old !== undefined && old.source === source)) return
    const binding: BindingRecord = {
      source,
      destination: this.record,
      routingKey: foldTopic(filter),
      arguments: [[topicFilterArgument, textField(filter)]],
    }
    source.table.add(binding)
    this.bindings.set(key, binding)
  }

  unbind(exchange: string, filter: string): void {
    const key = `${exchange.length}:${exchange}${filter}`
    const binding = this.bindings.get(key)
    binding?.source.table.remove(binding)
    this.bindings.delete(key)
  }

  destroy(): void {
    for (const binding of this.bindings.values()) binding.source.table.remove(binding)
    this.bindings.clear()
    this.queue.removeConsumer(this.consumer)
    this.queue.destroy()
    this.end.consumers[this.consumer.id] = undefined
  }
}

/** The sinks of one shard. */
export class Sinks {
  private readonly state: ShardState
  private readonly byId: Map<number, Sink>
  private last: number

  constructor(state: ShardState) {
    this.state = state
    this.byId = new Map()
    this.last = firstId
  }

  /** The sink that a routed record stands for. */
  find(id: number): Sink | undefined {
    return this.byId.get(id)
  }

  open(end: GatewayEnd, op: Op<'openSink'>): void {
    const vhost = this.state.topology.vhosts.get(op.vhost)
    if (vhost === undefined) return
    const id = --this.last
    // Nobody gives window back for a sink: its gateway bounds what each subscriber may have waiting.
    const connection = new ShardConnection(0, '', end, '', vhost, 0, Number.MAX_SAFE_INTEGER)
    const channel = new ShardChannel(0, connection, this.state.clock, this.state.confirmed)
    const queue = new ClassicQueue(id, false, sinkSettings, this.state)
    const consumer = new Consumer(op.sink, channel, queue, {
      tag: '',
      noAck: true,
      exclusive: false,
      prefetch: 0,
      priority: 0,
    })
    queue.addConsumer(consumer)
    this.state.queues.set(id, queue)
    end.consumers[op.sink] = consumer
    this.byId.set(id, new Sink(end, queue, consumer, recordOf(id, vhost, this.state.shard)))
  }

  bind(end: GatewayEnd, op: Op<'bindSink' | 'unbindSink'>): void {
    const sink = this.of(end, op.sink)
    if (sink === undefined) return
    if (op.op === 'bindSink') sink.bind(op.exchange, op.filter)
    else sink.unbind(op.exchange, op.filter)
    this.state.topology.version++
  }

  /** The gateway is gone. */
  dropEnd(end: GatewayEnd): void {
    this.drop((sink) => sink.end === end)
  }

  dropVhost(vhost: VhostRecord): void {
    this.drop((sink) => {
      if (sink.record.vhost !== vhost) return false
      this.state.event(sink.end, { event: 'consumerCancelled', consumer: sink.consumer.id })
      return true
    })
  }

  private drop(which: (sink: Sink) => boolean): void {
    for (const [id, sink] of this.byId) {
      if (!which(sink)) continue
      this.byId.delete(id)
      this.state.queues.delete(id)
      sink.destroy()
      this.state.topology.version++
    }
  }

  private of(end: GatewayEnd, consumer: number): Sink | undefined {
    for (const sink of this.byId.values()) {
      if (sink.end === end && sink.consumer.id === consumer) return sink
    }
    return undefined
  }
}

/** What the router knows a sink by. */
function recordOf(id: number, vhost: VhostRecord, shard: number): QueueRecord {
  return {
    kind: 'queue',
    id,
    vhost,
    name: '',
    type: 'classic',
    durable: false,
    autoDelete: false,
    owner: undefined,
    arguments: EMPTY_TABLE,
    policy: undefined,
    operatorPolicy: undefined,
    settings: sinkSettings,
    shard,
    inbound: new Set(),
    paused: false,
    deleted: false,
    routeMark: 0,
  }
}
