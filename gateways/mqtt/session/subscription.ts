// A session's subscriptions, and what they make of a message.

import type { SharedFilter } from '../mapping/topic.ts'
import { matches } from '../mapping/topic.ts'
import { FilterTrie } from './filter-trie.ts'

export interface Subscription {
  /** As the client gave it, `$share/` and all. */
  readonly name: string
  /** What topics are matched by. */
  readonly filter: string
  readonly shared: SharedFilter | undefined
  readonly qos: number
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  readonly retainHandling: number
  /** Subscription identifier; 0: none. */
  readonly id: number
}

/** How a session wants a message: what all subscriptions that match it come to. */
export interface Wish {
  /** The highest of them. */
  readonly qos: number
  readonly ids: readonly number[]
  readonly retainAsPublished: boolean
  /** None of them wants what the client itself has published. */
  readonly noLocal: boolean
}

/** Up to here a loop over all filters beats a trie. */
const loopMax = 8

export class SubscriptionSet {
  readonly byName: Map<string, Subscription>
  /** How many have a QoS above 0 and are not shared. */
  queued: number
  private trie: FilterTrie<Subscription> | undefined

  constructor() {
    this.byName = new Map()
    this.queued = 0
    this.trie = undefined
  }

  add(subscription: Subscription): void {
    this.remove(subscription.name)
    this.byName.set(subscription.name, subscription)
    if (subscription.shared !== undefined) return
    if (subscription.qos > 0) this.queued++
    if (this.trie !== undefined) this.trie.add(subscription.filter, subscription)
    else if (this.byName.size > loopMax) this.index()
  }

  remove(name: string): Subscription | undefined {
    const subscription = this.byName.get(name)
    if (subscription === undefined) return undefined
    this.byName.delete(name)
    if (subscription.shared !== undefined) return subscription
    if (subscription.qos > 0) this.queued--
    this.trie?.remove(subscription.filter, subscription)
    return subscription
  }

  /** What the (unshared) subscriptions that match `topic` come to; undefined: none does. */
  wish(topic: string): Wish | undefined {
    const found: Subscription[] = []
    if (this.trie !== undefined) this.trie.match(topic, found)
    else {
      for (const each of this.byName.values()) {
        if (each.shared === undefined && matches(each.filter, topic)) found.push(each)
      }
    }
    return found.length === 0 ? undefined : wishOf(found)
  }

  /** What the shared subscriptions that match `topic` come to; those that gave it may be gone. */
  sharedWish(topic: string): Wish {
    const found = [...this.byName.values()].filter(
      ({ filter, shared }) => shared !== undefined && matches(filter, topic),
    )
    return found.length === 0 ? anyWish : { ...wishOf(found), noLocal: false }
  }

  /** Whether a subscription above QoS 0 matches, so that the message comes by the session's queue. */
  isQueued(topic: string): boolean {
    if (this.queued === 0) return false
    const wish = this.wish(topic)
    return wish !== undefined && wish.qos > 0
  }

  private index(): void {
    this.trie = new FilterTrie()
    for (const each of this.byName.values()) {
      if (each.shared === undefined) this.trie.add(each.filter, each)
    }
  }
}

export function wishOf(subscriptions: readonly Subscription[]): Wish {
  let qos = 0
  let retainAsPublished = false
  let noLocal = true
  const ids: number[] = []
  for (const each of subscriptions) {
    qos = Math.max(qos, each.qos)
    retainAsPublished ||= each.retainAsPublished
    noLocal &&= each.noLocal
    if (each.id !== 0) ids.push(each.id)
  }
  return { qos, ids, retainAsPublished, noLocal }
}

const anyWish: Wish = { qos: 2, ids: [], retainAsPublished: false, noLocal: false }
