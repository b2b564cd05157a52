// What is declared and deleted, from the requests and answers on the rings. From request to answer a
// queue or binding may or may not be there; where several requests meet, the registry says who won.

import { placeQueue } from '../../shared/placement.ts'
import type { SimNode } from '../support/sim-node.ts'
import type { LinkModel } from './link-model.ts'
import type { BindingModel, QueueModel, RequestModel } from './model.ts'
import { check } from './model.ts'
import { TopologyModel } from './topology-model.ts'

export class TopologyObserver {
  readonly topology: TopologyModel = new TopologyModel()
  /** Goes up whenever something begins or ends to change: a route from before may differ from now. */
  changes = 0
  private readonly node: SimNode
  private readonly links: ReadonlySet<LinkModel>

  constructor(node: SimNode, links: ReadonlySet<LinkModel>) {
    this.node = node
    this.links = links
  }

  /** A request was sent: what it may change is uncertain from now on. */
  ask(link: LinkModel, request: RequestModel): void {
    const { op } = request
    const { topology } = this
    if (op.op === 'queueDeclare' && !op.passive) {
      // Also where there is one: it may be deleted before this is handled.
      this.changes++
      request.queue = topology.arriving(op.queue) ?? this.newQueue(op.queue)
      request.queue.declares++
    } else if (op.op === 'queueDelete') {
      request.queue = topology.find(op.queue)
      if (request.queue !== undefined) this.leave(request.queue)
    } else if (op.op === 'queueBind' || op.op === 'queueUnbind') {
      const queue = topology.find(op.queue)
      if (queue === undefined) return
      this.changes++
      request.binding = topology.binding(op.exchange, queue, op.routingKey)
      const { binding } = request
      binding.conflict = binding.requests > 0 || queue.status !== 'present'
      if (binding.requests === 0) binding.before = binding.status
      binding.requests++
      binding.status = 'changing'
    } else if (op.op === 'closeConnection') {
      const connection = link.connections.get(op.connection)
      if (connection !== undefined) this.ownerGone(connection.owner)
    }
  }

  /** The answer to such a request. */
  answer({ op, queue, binding }: RequestModel, failed: boolean): void {
    if (op.op === 'queueDeclare' && queue !== undefined) {
      this.changes++
      queue.declares--
      // Without an id: the one before it was still there, and the answer.
      if (queue.id < 0 && queue.declares === 0) queue.status = 'gone'
      else if (!failed && queue.id >= 0 && queue.status === 'arriving') queue.status = 'present'
    } else if (op.op === 'queueDelete' && queue !== undefined && failed) {
      this.changes++
      queue.leaving--
      if (queue.leaving === 0 && queue.status === 'leaving') queue.status = 'present'
    } else if (binding !== undefined) {
      this.changes++
      binding.requests--
      if (binding.requests > 0) return
      if (binding.conflict) this.resolveBinding(binding)
      else if (failed) binding.status = binding.before
      else binding.status = op.op === 'queueBind' ? 'present' : 'gone'
    }
  }

  /** Nobody will hear what came of the request. */
  abandon(request: RequestModel): void {
    this.changes++
    const { binding } = request
    if (binding !== undefined) binding.conflict = true
  }

  /** The queue may be on its way out. */
  leave(queue: QueueModel): void {
    this.changes++
    queue.leaving++
    if (queue.status !== 'gone') queue.status = 'leaving'
  }

  ownerGone(owner: string): void {
    for (const queue of this.topology.queues) if (queue.owner === owner) this.leave(queue)
  }

  learnQueueIds(): void {
    const vhost = this.node.shard(0).state.topology.vhosts.get('/')
    for (const queue of this.topology.queues) {
      if (queue.id >= 0 || queue.status === 'gone') continue
      const record = vhost?.queues.get(queue.name)
      if (record === undefined || this.queueById(record.id) !== undefined) continue
      queue.id = record.id
      // Of several declares at once, the first that was handled says what it is.
      queue.autoDelete = record.autoDelete
      queue.owner = record.owner
      queue.singleActive = record.arguments.some(
        ([key, { value }]) => key === 'x-single-active-consumer' && value === true,
      )
      const { settings } = record
      queue.ttl = settings.messageTtlMs
      queue.bounded =
        settings.messageTtlMs !== undefined ||
        settings.lengthMax !== undefined ||
        settings.bytesMax !== undefined
      queue.refuses = settings.overflow !== 'drop-head'
      queue.priorityMax = settings.priorityMax ?? 0
      if (queue.owner !== undefined && !this.isOpen(queue.owner)) this.leave(queue)
    }
  }

  queueById(id: number): QueueModel | undefined {
    return this.topology.queues.find((queue) => queue.id === id)
  }

  /** Looks whether a leaving queue is gone from every shard. */
  checkGone(queue: QueueModel): void {
    if (queue.id < 0) return
    const { shards } = this.node
    if (shards[queue.shard]?.state.queues.has(queue.id) === true) return
    for (const shard of shards) if (shard.state.topology.queuesById.has(queue.id)) return
    queue.status = 'gone'
    for (const copy of queue.copies) if (copy.state !== 'unacked') copy.state = 'gone'
  }

  /** At rest: decides what is still uncertain, since its answer was lost with a gateway. */
  resolve(): void {
    for (const queue of this.topology.queues) this.resolveStatus(queue)
    for (const binding of this.topology.bindings) {
      if (binding.status !== 'changing') continue
      binding.requests = 0
      this.resolveBinding(binding)
    }
    this.topology.prune()
  }

  private newQueue(name: string): QueueModel {
    const queue: QueueModel = {
      name,
      shard: placeQueue('/', name, this.node.shards.length),
      autoDelete: false,
      singleActive: false,
      bounded: false,
      ttl: undefined,
      refuses: false,
      priorityMax: 0,
      owner: undefined,
      id: -1,
      status: 'arriving',
      declares: 0,
      leaving: 0,
      copies: new Set(),
      consumers: [],
      active: undefined,
      served: [],
    }
    this.topology.queues.push(queue)
    return queue
  }

  private resolveStatus(queue: QueueModel): void {
    // Its id is learnt as soon as it is there.
    if (queue.id < 0) queue.status = 'gone'
    if (queue.status === 'arriving') {
      const there = this.node.shard(0).state.topology.queuesById.has(queue.id)
      queue.status = there ? 'present' : 'gone'
    }
    if (queue.status === 'leaving') this.checkGone(queue)
    // Otherwise its deletion was lost with the gateway that asked for it.
    if (queue.status !== 'leaving') return
    const must = queue.owner !== undefined && !this.isOpen(queue.owner)
    check(!must, () => `queue ${queue.name} should be gone`)
    queue.status = 'present'
    queue.leaving = 0
  }

  private resolveBinding(binding: BindingModel): void {
    const record = this.node.shard(0).state.topology.queuesById.get(binding.queue.id)
    let there = false
    for (const { source, routingKey } of record?.inbound ?? [])
      if (source.name === binding.exchange && routingKey === binding.key) there = true
    binding.status = there ? 'present' : 'gone'
  }

  private isOpen(owner: string): boolean {
    for (const { connections } of this.links)
      for (const connection of connections.values()) if (connection.owner === owner) return true
    return false
  }
}
