// From a message to the set of its queues: bindings, exchange-to-exchange bindings, alternate
// exchanges, CC and BCC keys. Each queue is in the result once, whatever ways lead to it.

import { Buffer } from 'node:buffer'
import { isFolded, NativePart } from '../../shared/message/native-part.ts'
import type {
  ExchangeRecord,
  MessageFacts,
  QueueRecord,
  RouteTarget,
  VhostRecord,
} from '../topology/records.ts'
import { TargetList } from './target-list.ts'

/** Where a message goes. Made once by `newRoute` and filled again and again, or kept by a cache. */
export interface Route {
  /** The exchange it was published to; undefined: there is none of that name (404). */
  exchange: ExchangeRecord | undefined
  /** The queues, each once. */
  readonly queues: QueueRecord[]
  /** The exchanges that hold the message back, each once: what lies behind them is not in `queues`. */
  readonly delayedBy: ExchangeRecord[]
  /** The exchanges that drop duplicates first, each once: what lies behind is not in `queues`. */
  readonly gatedBy: ExchangeRecord[]
  /** Whether every message with the same exchange and keys goes the same way until the topology changes. */
  cacheable: boolean
}

/** An empty result to fill. */
export function newRoute(): Route {
  return { exchange: undefined, queues: [], delayedBy: [], gatedBy: [], cacheable: true }
}

/** A message without headers or properties. */
export const noFacts: MessageFacts = {
  headers: () => undefined,
  delay: () => 0,
  property: () => undefined,
}

const encoder = new TextEncoder()

/** Routes messages of one shard. One router per topology: it marks the records it has seen. */
export class Router {
  readonly #input: {
    bytes: Uint8Array
    keyStart: number
    keyEnd: number
    topicStart: number
    topicEnd: number
    facts: MessageFacts
    random: () => number
  }
  readonly #targets = new TargetList()
  #queueCount = 0
  readonly #work: ExchangeRecord[] = []
  #stamp = 0
  /** Delayed exchanges route at once. */
  #ignoresDelays = false
  /** The deduplicating exchange that has let the message through. */
  #passed: ExchangeRecord | undefined = undefined
  // Further keys: start and end of each in the input's bytes.
  readonly #extraKeys: number[] = []
  readonly #native = new NativePart()

  /** `random` gives whole numbers, 0 to 2^32 - 1, for the exchange types that choose by chance. */
  constructor(random: () => number) {
    this.#input = {
      bytes: new Uint8Array(0),
      keyStart: 0,
      keyEnd: 0,
      topicStart: 0,
      topicEnd: 0,
      facts: noFacts,
      random,
    }
  }

  /**
   * Fills `into` with the route of one message. At `exrkAt` of `bytes` lie exchange and routing key
   * as shortstrs, at `extraAt` the `extraSize` bytes of further keys and native part, if any. Checks
   * neither permissions nor `internal`.
   */
  // HOT: on every miss of the shard's route cache; no allocation.
  route(
    vhost: VhostRecord,
    bytes: Uint8Array,
    exrkAt: number,
    extraAt: number,
    extraSize: number,
    facts: MessageFacts,
    into: Route,
  ): void {
    const exchangeEnd = exrkAt + 1 + (bytes[exrkAt] as number)
    const exchange = vhost.exchangesByBytes.find(bytes, exrkAt + 1, exchangeEnd)
    this.routeFrom(exchange, bytes, exrkAt, extraAt, extraSize, facts, into)
  }

  /** `route` as if no exchange delayed or dropped anything. */
  routeNow(
    vhost: VhostRecord,
    bytes: Uint8Array,
    exrkAt: number,
    extraAt: number,
    extraSize: number,
    facts: MessageFacts,
    into: Route,
  ): void {
    this.#ignoresDelays = true
    this.route(vhost, bytes, exrkAt, extraAt, extraSize, facts, into)
    this.#ignoresDelays = false
  }

  /** `routeFrom` for a message that the deduplicating `exchange` has let through. */
  routeBehind(
    exchange: ExchangeRecord,
    bytes: Uint8Array,
    exrkAt: number,
    extraAt: number,
    extraSize: number,
    facts: MessageFacts,
    into: Route,
  ): void {
    this.#passed = exchange
    this.routeFrom(exchange, bytes, exrkAt, extraAt, extraSize, facts, into)
    this.#passed = undefined
  }

  /** `route` from an exchange that need not be the one that the message was published to. */
  routeFrom(
    exchange: ExchangeRecord | undefined,
    bytes: Uint8Array,
    exrkAt: number,
    extraAt: number,
    extraSize: number,
    facts: MessageFacts,
    into: Route,
  ): void {
    const keySizeAt = exrkAt + 1 + (bytes[exrkAt] as number)
    const keyStart = keySizeAt + 1
    const keyEnd = keyStart + (bytes[keySizeAt] as number)
    this.#extraKeys.length = 0
    this.#input.topicEnd = 0
    if (extraSize > 0) {
      this.#readExtraKeys(bytes, extraAt)
      this.#findTopic(bytes, extraAt, extraSize, keyStart, keyEnd)
    }
    this.#start(exchange, bytes, keyStart, keyEnd, facts, into)
  }

  /** `route` for names that are text: dead-lettering, the internal API. Not for hot paths. */
  routeText(
    vhost: VhostRecord,
    exchangeName: string,
    keys: readonly string[],
    facts: MessageFacts,
    into: Route,
  ): void {
    const encoded = keys.map((key) => encoder.encode(key))
    const bytes = Buffer.concat(encoded)
    const exchange = vhost.exchanges.get(exchangeName)
    const keyEnd = encoded[0]?.length ?? 0
    this.#extraKeys.length = 0
    this.#input.topicEnd = 0
    let at = keyEnd
    for (const key of encoded.slice(1)) {
      this.#extraKeys.push(at, at + key.length)
      at += key.length
    }
    this.#start(exchange, bytes, 0, keyEnd, facts, into)
  }

  #readExtraKeys(bytes: Uint8Array, extraAt: number): void {
    const count = bytes[extraAt] as number
    let at = extraAt + 1
    for (let i = 0; i < count; i++) {
      const end = at + 1 + (bytes[at] as number)
      this.#extraKeys.push(at + 1, end)
      at = end
    }
  }

  #findTopic(
    bytes: Uint8Array,
    extraAt: number,
    extraSize: number,
    keyStart: number,
    keyEnd: number,
  ): void {
    const native = this.#native
    native.look(bytes, extraAt, extraSize)
    const { topicAt, topicSize } = native
    if (topicSize === 0) return
    if (!isFolded(bytes, topicAt, topicSize, bytes, keyStart, keyEnd - keyStart)) return
    this.#input.topicStart = topicAt
    this.#input.topicEnd = topicAt + topicSize
  }

  #start(
    exchange: ExchangeRecord | undefined,
    bytes: Uint8Array,
    keyStart: number,
    keyEnd: number,
    facts: MessageFacts,
    into: Route,
  ): void {
    into.exchange = exchange
    into.cacheable = true
    this.#queueCount = 0
    if (into.delayedBy.length > 0) into.delayedBy.length = 0
    if (into.gatedBy.length > 0) into.gatedBy.length = 0
    if (exchange !== undefined) this.#traverse(exchange, bytes, keyStart, keyEnd, facts, into)
    // Only now: an array that is emptied first gives its memory back.
    if (into.queues.length !== this.#queueCount) into.queues.length = this.#queueCount
  }

  #traverse(
    exchange: ExchangeRecord,
    bytes: Uint8Array,
    keyStart: number,
    keyEnd: number,
    facts: MessageFacts,
    into: Route,
  ): void {
    const input = this.#input
    input.bytes = bytes
    input.keyStart = keyStart
    input.keyEnd = keyEnd
    input.facts = facts
    this.#stamp = (this.#stamp + 1) | 0
    exchange.routeMark = this.#stamp
    this.#work.push(exchange)
    for (;;) {
      const next = this.#work.pop()
      if (next === undefined) break
      this.#visit(next, keyStart, keyEnd, into)
    }
    input.facts = noFacts
  }

  #visit(exchange: ExchangeRecord, keyStart: number, keyEnd: number, into: Route): void {
    if (exchange.deduplication !== undefined && this.#isGated(exchange, into)) return
    if (exchange.delayed && this.#isHeldBack(exchange, into)) return
    const input = this.#input
    const targets = this.#targets
    const table = exchange.table
    targets.clear()
    input.keyStart = keyStart
    input.keyEnd = keyEnd
    table.match(input, targets)
    if (this.#extraKeys.length > 0 && table.matchesEveryKey) this.#matchExtraKeys(exchange)
    if (!table.cacheable) into.cacheable = false
    if (targets.count === 0) this.#visitAlternate(exchange)
    for (let i = 0; i < targets.count; i++) this.#reach(targets.items[i] as RouteTarget, into)
  }

  #isGated(exchange: ExchangeRecord, into: Route): boolean {
    // A deduplicating exchange behind another one sees what the first lets through.
    if (this.#ignoresDelays || exchange === this.#passed) return false
    into.gatedBy.push(exchange)
    return true
  }

  #isHeldBack(exchange: ExchangeRecord, into: Route): boolean {
    into.cacheable = false
    if (this.#ignoresDelays || this.#input.facts.delay() <= 0) return false
    into.delayedBy.push(exchange)
    return true
  }

  #matchExtraKeys(exchange: ExchangeRecord): void {
    const input = this.#input
    const keys = this.#extraKeys
    for (let i = 0; i < keys.length; i += 2) {
      input.keyStart = keys[i] as number
      input.keyEnd = keys[i + 1] as number
      exchange.table.match(input, this.#targets)
    }
  }

  #visitAlternate(exchange: ExchangeRecord): void {
    if (exchange.alternate === undefined) return
    const alternate = exchange.vhost.exchanges.get(exchange.alternate)
    // The mark cuts loops of alternates.
    if (alternate === undefined || alternate.routeMark === this.#stamp) return
    alternate.routeMark = this.#stamp
    this.#work.push(alternate)
  }

  #reach(target: RouteTarget, into: Route): void {
    if (target.routeMark === this.#stamp) return
    target.routeMark = this.#stamp
    if (target.kind === 'queue') into.queues[this.#queueCount++] = target
    else this.#work.push(target)
  }
}
