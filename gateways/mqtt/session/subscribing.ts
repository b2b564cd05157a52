// SUBSCRIBE and UNSUBSCRIBE. Subscriptions of QoS 0 are the gateway's (fan-out.ts); those above are
// bindings of the session's queue; shared ones are bindings of a queue with several consumers.

import type { AccessQuestion, ControlReply, PeerError } from '../../../shared/bus/control.ts'
import { foldTopic } from '../../../shared/message/native-part.ts'
import { placeQueue } from '../../../shared/placement.ts'
import { Reason } from '../codec/constants.ts'
import type { SubscribePacket, UnsubscribePacket } from '../codec/packets.ts'
import { directQueue, isFilter, sessionQueue, sharedParts, sharedQueue } from '../mapping/topic.ts'
import type { Client } from './client.ts'
import { Wait } from './client.ts'
import { isOwnTopic } from './fan-out.ts'
import { ask, bindQueue, declareQueue, deleteQueue, reasonOf, registryShard } from './ops.ts'
import type { Outbound } from './outbound.ts'
import type { RetainedFeed } from './retained-feed.ts'
import type { SessionRows } from './session-rows.ts'
import type { Subscription } from './subscription.ts'

/** What the rest of the session does about subscriptions. */
export interface SubscribingOwner {
  /** The session has a queue from now on; `done` when that is noted. */
  onQueue(done: () => void): void
}

type Reply = (reason: number) => void

export class Subscribing {
  private readonly client: Client
  private readonly outbound: Outbound
  private readonly retained: RetainedFeed
  private readonly rows: SessionRows
  private readonly owner: SubscribingOwner
  /** The session's queue is declared and consumed. */
  private hasQueue: boolean

  constructor(
    client: Client,
    outbound: Outbound,
    retained: RetainedFeed,
    rows: SessionRows,
    owner: SubscribingOwner,
  ) {
    this.client = client
    this.outbound = outbound
    this.retained = retained
    this.rows = rows
    this.owner = owner
    this.hasQueue = false
  }

  /** SUBSCRIBE; nothing more is read before its SUBACK. */
  subscribe(packet: SubscribePacket, bridge: boolean): void {
    const { client } = this
    const id = packet.properties?.subscriptionIdentifier ?? 0
    const asked = packet.subscriptions.map(({ topic, qos, nl, rap, rh }) =>
      read(topic, qos, nl === true, rap === true || bridge, rh ?? 0, id),
    )
    client.waits |= Wait.reply
    // What is asked for takes effect as soon as it can: while the question is on its way.
    const release = this.prepare(asked)
    this.checkAll(asked, (granted) => {
      if (!client.live) return release()
      this.addAll(asked, granted, (reasons, added) => {
        release()
        client.waits &= ~Wait.reply
        if (!client.live) return
        const { disconnectOnUnauthorized } = client.settings
        if (disconnectOnUnauthorized && reasons.includes(Reason.notAuthorized)) {
          client.owner.disconnect(Reason.notAuthorized, 'may not subscribe there')
          return
        }
        const codes = client.isV5 ? reasons : reasons.map((reason) => Math.min(reason, 0x80))
        client.send({ cmd: 'suback', messageId: packet.messageId ?? 0, granted: [...codes] })
        for (const { subscription, isNew } of added) this.retained.add(subscription, isNew)
      })
    })
  }

  /** UNSUBSCRIBE; nothing more is read before its UNSUBACK. */
  unsubscribe(packet: UnsubscribePacket): void {
    const { client } = this
    const reasons: number[] = []
    client.waits |= Wait.reply
    const goOn = (): void => {
      const name = packet.unsubscriptions[reasons.length]
      if (name === undefined) {
        client.waits &= ~Wait.reply
        if (!client.live) return
        const granted = client.isV5 ? reasons : []
        client.send({ cmd: 'unsuback', messageId: packet.messageId ?? 0, granted })
        return
      }
      this.remove(name, (reason) => {
        reasons.push(reason)
        goOn()
      })
    }
    goOn()
  }

  /** Puts back the subscriptions of a session that was left; `done` when they hold. */
  resume(subscriptions: readonly Subscription[], queue: boolean, done: () => void): void {
    const { client } = this
    let left = subscriptions.length + 1
    const one = (): void => {
      left--
      if (left === 0) done()
    }
    for (const each of subscriptions) {
      client.subscriptions.add(each)
      if (each.shared === undefined && each.qos === 0) {
        client.hub.fanOut(client.vhost).add(client, each, one)
      } else one()
    }
    this.hasQueue = queue
    one()
  }

  /** Consumes what a resumed session has: after its CONNACK. */
  consume(): void {
    const { client, outbound } = this
    if (this.hasQueue) {
      outbound.consume(sessionQueue(client.clientId), undefined, (ok) => {
        if (!ok) client.owner.disconnect(Reason.notAuthorized, 'may not read its session’s queue')
      })
    }
    for (const each of client.subscriptions.byName.values()) {
      if (each.shared !== undefined) this.addShared(each, () => undefined)
    }
  }

  /** The connection ends: what is the gateway's goes. `over`: so does the session. */
  close(over: boolean): void {
    const { client } = this
    client.hub.fanOut(client.vhost).removeAll(client)
    if (!over) return
    for (const { shared } of client.subscriptions.byName.values()) {
      if (shared !== undefined) deleteQueue(client, sharedQueue(shared), true, () => undefined)
    }
  }

  /** Has the gateway get what is subscribed at QoS 0; the result lets go of it again. */
  private prepare(asked: readonly (Subscription | number)[]): () => void {
    const fanOut = this.client.hub.fanOut(this.client.vhost)
    const filters = asked.flatMap((each) => {
      if (typeof each === 'number' || !isDirect(each)) return []
      return each.filter
    })
    for (const filter of filters) fanOut.hold(filter)
    return () => {
      for (const filter of filters) fanOut.letGo(filter)
    }
  }

  /** For each subscription a reason to refuse it, or its QoS. Queues are asked for when they are bound. */
  private checkAll(
    asked: readonly (Subscription | number)[],
    done: (granted: readonly number[]) => void,
  ): void {
    const { client } = this
    const questions: AccessQuestion[] = []
    const from: number[] = []
    for (const each of asked) {
      from.push(questions.length)
      if (typeof each !== 'number' && (isDirect(each) || each.shared !== undefined)) {
        questions.push(...questionsFor(client, each))
      }
    }
    from.push(questions.length)
    if (questions.length === 0) {
      done(asked.map((each) => (typeof each === 'number' ? each : each.qos)))
      return
    }
    const op = { op: 'checkAccess', connection: client.slot, questions } as const
    ask(client.port, registryShard, op, (reply) => {
      const refused = refusedIn(reply)
      done(
        asked.map((each, i) => {
          if (typeof each === 'number') return each
          const first = refused.slice(from[i], from[i + 1]).find((error) => error !== null)
          return first === undefined || first === null ? each.qos : reasonOf(first)
        }),
      )
    })
  }

  private addAll(
    asked: readonly (Subscription | number)[],
    granted: readonly number[],
    done: (
      reasons: readonly number[],
      added: readonly { readonly subscription: Subscription; readonly isNew: boolean }[],
    ) => void,
  ): void {
    const reasons: number[] = []
    const added: { readonly subscription: Subscription; readonly isNew: boolean }[] = []
    const goOn = (i: number): void => {
      const each = asked[i]
      if (each === undefined) return done(reasons, added)
      const grant = granted[i] as number
      if (typeof each === 'number' || grant >= Reason.unspecified) {
        reasons.push(grant)
        return goOn(i + 1)
      }
      const isNew = !this.client.subscriptions.byName.has(each.name)
      this.add(each, (reason) => {
        if (reason < Reason.unspecified) added.push({ subscription: each, isNew })
        reasons.push(reason)
        goOn(i + 1)
      })
    }
    goOn(0)
  }

  /** Adds one, in place of an older one of the same name; `done` gets its QoS or a reason. */
  private add(subscription: Subscription, done: Reply): void {
    const { client } = this
    const old = client.subscriptions.byName.get(subscription.name)
    const finish = (reason: number): void => {
      if (reason >= Reason.unspecified) return done(reason)
      this.replace(old, subscription)
      client.subscriptions.add(subscription)
      client.hub.fanOut(client.vhost).forget()
      this.outbound.forgetWishes()
      const wasQueued = old !== undefined && old.shared === undefined && old.qos > 0
      const saved = (): void => {
        if (!client.durable) done(reason)
        else this.rows.saveSubscription(subscription, () => done(reason))
      }
      // From now on it comes by the gateway alone.
      if (wasQueued && subscription.qos === 0) this.unbind(subscription.filter, saved)
      else saved()
    }
    if (subscription.shared !== undefined) this.addShared(subscription, finish)
    else if (subscription.qos === 0) {
      client.hub.fanOut(client.vhost).remove(client, subscription.name)
      client.hub.fanOut(client.vhost).add(client, subscription, () => finish(0))
    } else if (isOwnTopic(subscription.filter)) {
      client.hub.fanOut(client.vhost).add(client, { ...subscription, qos: 0 }, () => finish(0))
    } else this.addQueued(subscription, finish)
  }

  /** An older subscription that came by the gateway is replaced by one that does not. */
  private replace(old: Subscription | undefined, by: Subscription): void {
    if (old === undefined || old.shared !== undefined || isOwnTopic(old.filter)) return
    const { client } = this
    if (old.qos === 0 && by.qos > 0) client.hub.fanOut(client.vhost).remove(client, old.name)
  }

  private addQueued(subscription: Subscription, done: Reply): void {
    const { client } = this
    const queue = sessionQueue(client.clientId)
    let refused: PeerError | undefined
    if (!this.hasQueue) {
      const type = client.durable ? client.settings.durableQueueType : 'classic'
      declareQueue(client, queue, client.durable, type, ({ error }) => {
        refused = error
      })
    }
    // Behind it in the same ring, so that the message which comes next is in the queue.
    bindQueue(client, 'queueBind', queue, subscription.filter, (bound) => {
      const error = refused ?? bound.error
      if (error !== undefined) done(reasonOf(error))
      else if (this.hasQueue) done(subscription.qos)
      else this.consumeQueue(queue, () => done(subscription.qos), done)
    })
  }

  private consumeQueue(queue: string, done: () => void, fail: Reply): void {
    this.outbound.consume(queue, undefined, (ok) => {
      if (!ok) return fail(Reason.notAuthorized)
      this.hasQueue = true
      this.owner.onQueue(done)
    })
  }

  private addShared(subscription: Subscription, done: Reply): void {
    const { client, outbound } = this
    const { shared } = subscription
    if (shared === undefined) return done(Reason.unspecified)
    const queue = sharedQueue(shared)
    const bound = (): void => {
      outbound.cancel(queue, () => {
        outbound.consume(queue, subscription, (ok) =>
          done(ok ? subscription.qos : Reason.notAuthorized),
        )
      })
    }
    declareQueue(client, queue, true, 'classic', (declared) => {
      if (declared.error !== undefined) return done(reasonOf(declared.error))
      bindQueue(client, 'queueBind', queue, shared.filter, (reply) => {
        const { handover } = outbound
        if (reply.error !== undefined) done(reasonOf(reply.error))
        else if (!client.durable || subscription.qos < 2 || handover === undefined) bound()
        else {
          const shard = placeQueue(client.vhost, queue, client.port.shardCount)
          handover.prepare(shard, (error) => {
            if (error === undefined) bound()
            else done(reasonOf(error))
          })
        }
      })
    })
  }

  private remove(name: string, done: Reply): void {
    const { client, outbound } = this
    const { subscriptions } = client
    const fanOut = client.hub.fanOut(client.vhost)
    const old = subscriptions.remove(name)
    if (old === undefined) return done(Reason.noSubscriptionExisted)
    fanOut.forget()
    outbound.forgetWishes()
    const gone = (): void => {
      if (!client.durable) done(Reason.success)
      else this.rows.removeSubscription(name, () => done(Reason.success))
    }
    fanOut.remove(client, name)
    if (old.shared !== undefined) {
      const queue = sharedQueue(old.shared)
      outbound.cancel(queue, () => deleteQueue(client, queue, true, gone))
    } else if (old.qos > 0 && !isOwnTopic(old.filter)) this.unbind(old.filter, gone)
    else gone()
  }

  private unbind(filter: string, done: () => void): void {
    const { client } = this
    bindQueue(client, 'queueUnbind', sessionQueue(client.clientId), filter, () => done())
  }
}

/** A subscription as asked for, or the reason why not. */
function read(
  name: string,
  qos: number,
  noLocal: boolean,
  retainAsPublished: boolean,
  retainHandling: number,
  id: number,
): Subscription | number {
  const shared = sharedParts(name)
  if (shared === 'malformed') return Reason.topicFilterInvalid
  const filter = shared?.filter ?? name
  if (!isFilter(filter)) return Reason.topicFilterInvalid
  return { name, filter, shared, qos, noLocal, retainAsPublished, retainHandling, id }
}

/** It comes by the gateway, from the bus. */
function isDirect({ filter, qos, shared }: Subscription): boolean {
  return shared === undefined && qos === 0 && !isOwnTopic(filter)
}

function questionsFor(client: Client, subscription: Subscription): AccessQuestion[] {
  const { exchange } = client.settings
  const { filter, qos, shared } = subscription
  const ofSession = qos > 0 ? sessionQueue(client.clientId) : directQueue(client.clientId)
  const name = shared === undefined ? ofSession : sharedQueue(shared)
  return [
    { kind: 'queue', name, access: 'configure' },
    { kind: 'queue', name, access: 'write' },
    { kind: 'queue', name, access: 'read' },
    { kind: 'exchange', name: exchange, access: 'read' },
    { kind: 'topic', exchange, key: foldTopic(filter), access: 'read' },
  ]
}

function refusedIn(reply: ControlReply): readonly (PeerError | null)[] {
  const refused = reply['refused']
  return Array.isArray(refused) ? (refused as (PeerError | null)[]) : []
}
