// Messages at most once: one sink per vhost takes each message once, and this hands it to all clients
// of the gateway that want it.

import type { DeliverySink, GatewayLink, GatewayPort } from '../../../shared/bus/gateway-port.ts'
import { copyBytes } from '../../../shared/bytes/copy.ts'
import { routingSize } from '../../../shared/message/native-part.ts'
import { hashBytes } from '../../../shared/placement.ts'
import { Version } from '../codec/constants.ts'
import type { Client } from './client.ts'
import { FilterTrie } from './filter-trie.ts'
import type { Hub } from './hub.ts'
import type { MessageView } from './message-view.ts'
import type { PublishForm } from './publish-writer.ts'
import { packetSize, writePublish } from './publish-writer.ts'
import type { Subscription, Wish } from './subscription.ts'
import { wishOf } from './subscription.ts'

interface Holder {
  readonly client: Client
  readonly subscription: Subscription
}

/** A client that gets a message, and how. */
interface Receiver {
  readonly client: Client
  readonly wish: Wish
}

/** A filter that the sink is bound to. */
interface Binding {
  holders: number
  /** Every shard has it. */
  bound: boolean
  /** Who waits for that. */
  readonly waiting: (() => void)[]
}

interface Known {
  readonly key: Uint8Array
  readonly receivers: readonly Receiver[]
}

/** Topics whose receivers are remembered; then it starts afresh. */
const knownMax = 4096
/** Packets up to this size are copied from one client's outbox to the next's. */
const sameMax = 4096

export class FanOut implements DeliverySink {
  private readonly port: GatewayPort
  private readonly vhost: string
  private readonly exchange: string
  private readonly trie: FilterTrie<Holder>
  private readonly holders: Map<Client, Map<string, Holder>>
  private readonly bindings: Map<string, Binding>
  /** Slot of the sink; 0: not opened. */
  private sink: number
  private known: Map<number, Known>
  private last: Known | undefined
  private readonly view: MessageView
  private readonly form: PublishForm

  constructor(hub: Hub, vhost: string) {
    this.port = hub.port
    this.vhost = vhost
    this.exchange = hub.settings.exchange
    this.trie = new FilterTrie()
    this.holders = new Map()
    this.bindings = new Map()
    this.sink = 0
    this.known = new Map()
    this.last = undefined
    this.view = hub.view
    this.form = {
      version: Version.mqtt311,
      qos: 0,
      dup: false,
      retain: false,
      packetId: 0,
      ids: [],
      alias: 0,
      aliasKnown: false,
    }
  }

  /** Adds a subscription of QoS 0; `done` when every shard knows. */
  add(client: Client, subscription: Subscription, done: () => void): void {
    const holder = { client, subscription }
    let ofClient = this.holders.get(client)
    if (ofClient === undefined) {
      ofClient = new Map()
      this.holders.set(client, ofClient)
    }
    ofClient.set(subscription.name, holder)
    this.trie.add(subscription.filter, holder)
    this.forget()
    this.bind(subscription.filter, done)
  }

  /** Takes a subscription away, if it is here. */
  remove(client: Client, name: string): void {
    const ofClient = this.holders.get(client)
    const holder = ofClient?.get(name)
    if (ofClient === undefined || holder === undefined) return
    ofClient.delete(name)
    if (ofClient.size === 0) this.holders.delete(client)
    this.trie.remove(holder.subscription.filter, holder)
    this.forget()
    this.unbind(holder.subscription.filter)
  }

  removeAll(client: Client): void {
    for (const name of [...(this.holders.get(client)?.keys() ?? [])]) this.remove(client, name)
  }

  /** A client's subscriptions above QoS 0 have changed: what goes by its queue does not go by here. */
  forget(): void {
    if (this.known.size > 0) this.known = new Map()
    this.last = undefined
  }

  // HOT: once per message of QoS 0 (or to subscribers of QoS 0)
  onDeliver(link: GatewayLink, at: number): void {
    const { words } = link
    const bytes = this.port.arena.slab(words[at] as number)
    const entryAt = words[at + 1] as number
    const size = routingSize(bytes, entryAt, words[at + 2] as number, words[at + 3] as number)
    const receivers = this.receiversOf(bytes, entryAt, size, words, at)
    if (receivers.length === 0) return
    const { view } = this
    view.look(words, at)
    if (view.expired || !view.hasTopic) return
    this.send(link, receivers)
  }

  onCancelled(): void {
    // The vhost is gone, and with it all its clients.
    if (this.sink !== 0) this.port.consumers.remove(this.sink)
    this.sink = 0
    this.bindings.clear()
  }

  /** Delivers what the gateway itself has to say: `$SYS` topics. */
  eachReceiver(topic: string, give: (client: Client, wish: Wish) => void): void {
    for (const { client, wish } of this.match(topic)) give(client, wish)
  }

  // HOT: once per message and client
  private send(link: GatewayLink, receivers: readonly Receiver[]): void {
    const { form, view } = this
    let same: Buffer | undefined
    let sameAt = 0
    let sameSize = 0
    let sameVersion = 0
    for (let i = 0; i < receivers.length; i++) {
      const { client, wish } = receivers[i] as Receiver
      if (wish.noLocal && view.isFrom(client.publisher)) continue
      const { out } = client
      const retain = wish.retainAsPublished && view.retain
      // The topic's alias, the client's own ids and retain flag make a packet its own.
      const plain = wish.ids.length === 0 && client.aliasMax === 0 && !retain
      if (plain && same !== undefined && sameVersion === client.version) {
        if (!client.takesDirect(sameSize)) continue
        out.reserve(sameSize)
        copyBytes(same, sameAt, out.bytes, out.at, sameSize)
        out.at += sameSize
        out.touch()
        continue
      }
      form.version = client.version
      form.retain = retain
      form.ids = wish.ids
      if (client.version === Version.mqtt5) view.findProperties()
      client.chooseAlias(view, form)
      const size = packetSize(view, form)
      if (!client.takesDirect(size)) {
        client.dropAlias(form)
        continue
      }
      writePublish(this.port, out, link, view, form)
      out.touch()
      if (!plain || size > sameMax) continue
      same = out.bytes
      sameAt = out.at - size
      sameSize = size
      sameVersion = client.version
    }
  }

  // HOT: once per message
  private receiversOf(
    bytes: Buffer,
    at: number,
    size: number,
    words: Int32Array,
    record: number,
  ): readonly Receiver[] {
    const { last } = this
    if (last !== undefined && isSame(last.key, bytes, at, size)) return last.receivers
    const hash = hashBytes(bytes, at, at + size)
    const known = this.known.get(hash)
    if (known !== undefined && isSame(known.key, bytes, at, size)) {
      this.last = known
      return known.receivers
    }
    this.view.look(words, record)
    const receivers = this.view.hasTopic ? this.match(this.view.topic()) : []
    if (this.known.size >= knownMax) this.known = new Map()
    const key = new Uint8Array(bytes.subarray(at, at + size))
    this.last = { key, receivers }
    this.known.set(hash, this.last)
    return receivers
  }

  private match(topic: string): readonly Receiver[] {
    const found: Holder[] = []
    this.trie.match(topic, found)
    if (found.length === 0) return []
    const byClient = new Map<Client, Subscription[]>()
    for (const { client, subscription } of found) {
      const known = byClient.get(client)
      if (known === undefined) byClient.set(client, [subscription])
      else known.push(subscription)
    }
    const receivers: Receiver[] = []
    for (const [client, subscriptions] of byClient) {
      // It gets the message once, at the higher QoS, by its queue.
      if (client.subscriptions.isQueued(topic)) continue
      receivers.push({ client, wish: wishOf(subscriptions) })
    }
    return receivers
  }

  /** Gets what a filter matches, though nobody has it yet; `letGo` takes that back. */
  hold(filter: string): void {
    this.bind(filter, () => undefined)
  }

  letGo(filter: string): void {
    this.unbind(filter)
  }

  private bind(filter: string, done: () => void): void {
    // What the gateway itself publishes does not come by the bus.
    if (isOwnTopic(filter)) {
      done()
      return
    }
    const known = this.bindings.get(filter)
    if (known !== undefined) {
      known.holders++
      if (known.bound) done()
      else known.waiting.push(done)
      return
    }
    const binding: Binding = { holders: 1, bound: false, waiting: [done] }
    this.bindings.set(filter, binding)
    this.openSink()
    this.tellAll('bindSink', filter, () => {
      binding.bound = true
      for (const each of binding.waiting.splice(0)) each()
    })
  }

  private unbind(filter: string): void {
    const binding = this.bindings.get(filter)
    if (binding === undefined) return
    binding.holders--
    if (binding.holders > 0) return
    this.bindings.delete(filter)
    this.tellAll('unbindSink', filter, () => undefined)
  }

  private openSink(): void {
    if (this.sink !== 0) return
    const { port, vhost } = this
    this.sink = port.consumers.add(this)
    for (let shard = 0; shard < port.shardCount; shard++) {
      port.notify(shard, { op: 'openSink', sink: this.sink, vhost })
    }
  }

  private tellAll(op: 'bindSink' | 'unbindSink', filter: string, done: () => void): void {
    const { exchange, port, sink } = this
    let left = port.shardCount
    const onReply = (): void => {
      left--
      if (left === 0) done()
    }
    for (let shard = 0; shard < port.shardCount; shard++) {
      port.request(shard, { op, sink, exchange, filter }, { onReply })
    }
  }
}

/** Whether a topic or filter is of those that the broker publishes about itself. */
export function isOwnTopic(topic: string): boolean {
  return topic === '$SYS' || topic.startsWith('$SYS/')
}

function isSame(key: Uint8Array, bytes: Uint8Array, at: number, size: number): boolean {
  if (key.length !== size) return false
  for (let i = 0; i < size; i++) if (key[i] !== bytes[at + i]) return false
  return true
}
