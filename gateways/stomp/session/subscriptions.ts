// SUBSCRIBE, UNSUBSCRIBE, ACK and NACK, and the queues that go with them.

import { Outcome } from '../../../shared/bus/wire.ts'
import type { FieldTable } from '../../../shared/message/value.ts'
import { EMPTY_TABLE } from '../../../shared/message/value.ts'
import { placeQueue } from '../../../shared/placement.ts'
import type { Frame } from '../codec/frame.ts'

import { Header, headerName } from '../codec/header-name.ts'
import type { Destination } from '../mapping/destination.ts'
import { parseDestination, routeOf } from '../mapping/destination.ts'
import type { Failure } from '../mapping/failure.ts'
import {
  duplicateSubscription,
  invalidHeader,
  missingDestination,
  missingHeader,
  missingIdForDurable,
  missingSubscriptionId,
  noSubscription,
  noSubscriptionForMessage,
  processingError,
  refusal,
  reservedSubscriptionId,
  selectorRefused,
  subscriptionCancelled,
  wrongDestination,
} from '../mapping/failure.ts'
import type { QueuePlan } from '../mapping/queue-headers.ts'
import {
  consumerArguments,
  isDurable,
  planNamedQueue,
  planSubscriptionQueue,
} from '../mapping/queue-headers.ts'
import type { StompContext } from './context.ts'
import { registryShard } from './context.ts'
import type { AckMode, SubscriptionFacts, SubscriptionOwner } from './subscription.ts'
import { Subscription } from './subscription.ts'

/** Called when it is done, or with what it was refused for. */
export type Done = (failure: Failure | undefined) => void

interface Plan {
  readonly facts: SubscriptionFacts
  /** Declared first; undefined for a queue that must be there. */
  readonly declare: QueuePlan | undefined
  readonly queue: string
  readonly prefetch: number
  readonly arguments: FieldTable
}

export class Subscriptions implements SubscriptionOwner {
  private readonly context: StompContext
  private readonly byTag: Map<string, Subscription>
  /** Unsubscribed from, with deliveries that may still be acknowledged. */
  private readonly departed: Set<Subscription>
  /** Queues that were declared: once per connection is enough. */
  private readonly declared: Set<string>
  /** Queues behind /temp-queue, by the name that the client gave. */
  private readonly temporary: Map<string, string>
  // Whose message was acknowledged last.
  private recent: Subscription | undefined

  constructor(context: StompContext) {
    this.context = context
    this.byTag = new Map()
    this.departed = new Set()
    this.declared = new Set()
    this.temporary = new Map()
    this.recent = undefined
  }

  subscribe(frame: Frame, done: Done): void {
    const plan = this.plan(frame)
    if ('message' in plan) {
      done(plan)
      return
    }
    if (this.byTag.has(plan.facts.tag)) {
      done(duplicateSubscription(plan.facts.tag))
      return
    }
    const { declare } = plan
    if (declare === undefined) this.consume(plan, plan.queue, done)
    else this.declare(declare, done, (queue) => this.bind(plan, queue, done))
  }

  unsubscribe(frame: Frame, done: Done): void {
    const named = tagOf(frame, 'UNSUBSCRIBE')
    if ('message' in named) {
      done(named)
      return
    }
    const durable = isDurable(frame)
    if (durable && frame.find(Header.id) < 0) {
      done(missingIdForDurable())
      return
    }
    const subscription = this.byTag.get(named.tag)
    if (subscription === undefined || subscription.cancelling) {
      done(noSubscription(named.description))
      return
    }
    subscription.cancelling = true
    const { channel, consumer, shard } = subscription
    this.context.ask(shard, { op: 'cancel', channel, consumer }, () => {
      this.forget(subscription)
      if (durable && subscription.facts.destination.kind === 'topic')
        this.deleteQueue(subscription.queue, done)
      else done(undefined)
    })
  }

  // HOT: once per ACK or NACK
  /** Settles what an ACK or NACK names. */
  settle(frame: Frame, command: 'ACK' | 'NACK'): Failure | undefined {
    const header = this.context.version === '1.2' ? Header.id : Header.messageId
    const place = frame.find(header)
    if (place < 0) return missingHeader(command, headerName(header))
    let outcome: number = Outcome.complete
    if (command === 'NACK') {
      const requeue = frame.is(Header.requeue, 'true')
        ? true
        : frame.is(Header.requeue, 'false')
          ? false
          : this.context.settings.nackRequeues
      outcome = requeue ? Outcome.requeue : Outcome.discard
    }
    const { recent } = this
    if (recent !== undefined && frame.escaped[place] === 0) {
      const tag = tagBehind(frame, place, recent.writer.idPrefix)
      if (tag >= 0 && recent.settle(tag, outcome)) {
        if (recent.unacked.live === 0 && this.departed.size > 0) this.dropDeparted()
        return undefined
      }
    }
    return this.settleByText(frame.valueAt(place), command, headerName(header), outcome)
  }

  /** Declares the queue of a /queue destination, unless it was before. Calls `done` at once or later. */
  ensureQueue(frame: Frame, name: string, done: Done): boolean {
    if (this.declared.has(name)) return true
    const plan = planNamedQueue(frame, name)
    if ('message' in plan) done(plan)
    else this.declare(plan, done, () => done(undefined))
    return false
  }

  /** The queue behind a temporary one; undefined when it has to be made first, and then `done`. */
  temporaryQueue(id: string, done: Done): string | undefined {
    const known = this.temporary.get(id)
    if (known !== undefined) return known
    const path = `/temp-queue/${id}`
    const facts: SubscriptionFacts = {
      tag: `T_${path}`,
      id: path,
      name: path,
      description: `id='${path}'`,
      destination: { kind: 'temp-queue', name: id },
      ackMode: 'auto',
    }
    const declare = {
      queue: '',
      durable: false,
      exclusive: true,
      autoDelete: true,
      arguments: EMPTY_TABLE,
    }
    const plan = { facts, declare, queue: '', prefetch: 0, arguments: EMPTY_TABLE }
    this.declare(declare, done, (queue) => {
      this.temporary.set(id, queue)
      this.consume(plan, queue, done)
    })
    return undefined
  }

  /** SubscriptionOwner. */
  onServerCancelled(subscription: Subscription): void {
    const { context } = this
    if (!context.alive || this.byTag.get(subscription.facts.tag) !== subscription) return
    const { description, name } = subscription.facts
    this.declared.delete(subscription.queue)
    context.fail(subscriptionCancelled(name, description))
    // An UNSUBSCRIBE on its way still names the slot: its answer frees it.
    if (!subscription.cancelling) this.forget(subscription)
  }

  /** The shards have forgotten the connection. */
  release(): void {
    for (const subscription of this.byTag.values()) subscription.release()
    for (const subscription of this.departed) subscription.release()
    this.byTag.clear()
    this.departed.clear()
    this.recent = undefined
  }

  private plan(frame: Frame): Plan | Failure {
    const named = tagOf(frame, 'SUBSCRIBE')
    if (isDurable(frame) && frame.find(Header.id) < 0) return missingIdForDurable()
    const text = frame.text(Header.destination)
    if (text === undefined) return missingDestination('SUBSCRIBE')
    const destination = parseDestination(text)
    if ('message' in destination) return destination
    if (destination.kind === 'temp-queue') return wrongDestination(text, 'SUBSCRIBE')
    if ('message' in named) return named
    if (frame.find(Header.selector) >= 0) return selectorRefused()
    const ackMode = frame.text(Header.ack) ?? 'auto'
    if (!isAckMode(ackMode)) return processingError(`the ack mode '${ackMode}' is unknown`)
    const found = consumerArguments(frame)
    if ('message' in found) return found
    const declare = planDeclare(frame, destination)
    if (declare !== undefined && 'message' in declare) return declare
    const prefetch = frame.find(Header.prefetchCount) < 0 ? 0 : readPrefetch(frame)
    if (prefetch < 0) return processingError('the prefetch-count is no number up to 65535')
    return {
      facts: { ...named, id: frame.text(Header.id), destination, ackMode },
      declare,
      queue: 'name' in destination ? destination.name : '',
      prefetch,
      arguments: found,
    }
  }

  private declare(plan: QueuePlan, done: Done, next: (queue: string) => void): void {
    const { context } = this
    const op = {
      op: 'queueDeclare',
      connection: context.slot,
      passive: false,
      ...plan,
    } as const
    context.ask(registryShard, op, (reply) => {
      if (reply.error !== undefined) {
        done(refusal(reply.error))
        return
      }
      const queue = typeof reply['queue'] === 'string' ? reply['queue'] : plan.queue
      this.declared.add(queue)
      next(queue)
    })
  }

  private bind(plan: Plan, queue: string, done: Done): void {
    const { context } = this
    const route = routeOf(plan.facts.destination, context.settings.topicExchange)
    if (route.exchange === '') {
      this.consume(plan, queue, done)
      return
    }
    const op = {
      op: 'queueBind',
      connection: context.slot,
      queue,
      exchange: route.exchange,
      routingKey: route.key,
      arguments: EMPTY_TABLE,
    } as const
    context.ask(registryShard, op, (reply) => {
      if (reply.error !== undefined) done(refusal(reply.error))
      else this.consume(plan, queue, done)
    })
  }

  private consume(plan: Plan, queue: string, done: Done): void {
    const { context } = this
    const { facts } = plan
    const shard = placeQueue(context.vhost, queue, context.port.shardCount)
    const subscription = new Subscription(context, this, facts, queue, shard)
    this.byTag.set(facts.tag, subscription)
    const op = {
      op: 'consume',
      channel: subscription.channel,
      consumer: subscription.consumer,
      queue,
      tag: facts.tag,
      noAck: facts.ackMode === 'auto',
      exclusive: false,
      prefetch: plan.prefetch,
      arguments: plan.arguments,
    } as const
    context.ask(shard, op, (reply) => {
      if (reply.error === undefined) {
        this.recent = subscription
        done(undefined)
        return
      }
      this.forget(subscription)
      done(refusal(reply.error))
    })
  }

  private deleteQueue(queue: string, done: Done): void {
    const { context } = this
    const op = {
      op: 'queueDelete',
      connection: context.slot,
      queue,
      ifUnused: false,
      ifEmpty: false,
    } as const
    this.declared.delete(queue)
    context.ask(registryShard, op, (reply) =>
      done(reply.error === undefined ? undefined : refusal(reply.error)),
    )
  }

  // The consumer has ended. What it delivered may be acknowledged for as long as the connection lasts.
  private forget(subscription: Subscription): void {
    const { tag } = subscription.facts
    if (this.byTag.get(tag) === subscription) this.byTag.delete(tag)
    subscription.freeConsumer()
    if (subscription.unacked.live > 0) {
      this.departed.add(subscription)
      return
    }
    if (this.recent === subscription) this.recent = undefined
    subscription.closeChannel()
  }

  private dropDeparted(): void {
    for (const subscription of this.departed) {
      if (subscription.unacked.live > 0) continue
      if (this.recent === subscription) this.recent = undefined
      this.departed.delete(subscription)
      subscription.closeChannel()
    }
  }

  private settleByText(
    text: string,
    command: string,
    header: string,
    outcome: number,
  ): Failure | undefined {
    const parts = /^(.*)@@(session-[^@]*)@@(\d{1,16})$/s.exec(text)
    const [, subscriptionTag = '', session, digits] = parts ?? []
    if (session !== this.context.session) return invalidHeader(command, header)
    const tag = Number(digits)
    let known = false
    for (const subscription of this.candidates(subscriptionTag)) {
      known = true
      if (!subscription.settle(tag, outcome)) continue
      this.recent = subscription
      this.dropDeparted()
      return undefined
    }
    if (!known) return noSubscriptionForMessage(text)
    const unknown = `PRECONDITION_FAILED - unknown delivery tag ${tag}`
    return refusal({ scope: 'channel', code: 406, text: unknown })
  }

  private *candidates(tag: string): Generator<Subscription> {
    const present = this.byTag.get(tag)
    if (present !== undefined) yield present
    for (const subscription of this.departed) {
      if (subscription.facts.tag === tag) yield subscription
    }
  }
}

function planDeclare(frame: Frame, destination: Destination): QueuePlan | Failure | undefined {
  if (destination.kind === 'queue') return planNamedQueue(frame, destination.name)
  if (destination.kind === 'topic' || destination.kind === 'exchange')
    return planSubscriptionQueue(frame, destination)
  return undefined
}

// What a subscription is known by: its id, or without one its destination.
function tagOf(
  frame: Frame,
  command: string,
): { readonly tag: string; readonly name: string; readonly description: string } | Failure {
  const id = frame.text(Header.id)
  if (id !== undefined) {
    if (id.startsWith('/temp-queue/')) return reservedSubscriptionId(command)
    return { tag: `T_${id}`, name: id, description: `id='${id}'` }
  }
  const destination = frame.text(Header.destination)
  if (destination === undefined) return missingSubscriptionId()
  const description = `destination='${destination}'`
  return { tag: `Q_${destination}`, name: destination, description }
}

function isAckMode(text: string): text is AckMode {
  return text === 'auto' || text === 'client' || text === 'client-individual'
}

function readPrefetch(frame: Frame): number {
  const text = frame.text(Header.prefetchCount)?.trim() ?? ''
  return /^\d{1,5}$/.test(text) && Number(text) <= 65535 ? Number(text) : -1
}

// The number behind `prefix` in a header's value; -1 where the value is another.
function tagBehind(frame: Frame, place: number, prefix: Uint8Array): number {
  const { bytes, at } = frame
  const from = at + (frame.valueFrom[place] as number)
  const to = at + (frame.valueTo[place] as number)
  const size = prefix.length
  if (to - from <= size || to - from > size + 15) return -1
  // The tail differs first: tags rise, and subscriptions have their ids in front.
  for (let i = size - 1; i >= 0; i--) if (bytes[from + i] !== prefix[i]) return -1
  let tag = 0
  for (let i = from + size; i < to; i++) {
    const digit = (bytes[i] as number) - 0x30
    if (digit < 0 || digit > 9) return -1
    tag = tag * 10 + digit
  }
  return tag
}
