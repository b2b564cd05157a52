// Tables of the types that look at the routing key alone, or at nothing: direct, topic, fanout, and
// the default exchange.

import { foldTopic, topicFilterArgument } from '../../shared/message/native-part.ts'
import type { FieldTable } from '../../shared/message/value.ts'
import { fieldOf, textOf } from '../../shared/message/value.ts'
import type {
  BindingRecord,
  BindingTable,
  QueueRecord,
  RouteInput,
  TargetSink,
} from '../topology/records.ts'
import { ByteMap } from './byte-map.ts'
import type { BindingDraft, ExchangeType } from './exchange-type.ts'
import { acceptAll } from './exchange-type.ts'
import { TargetSet } from './target-set.ts'
import { countHashWords, mqttTopics, TopicTrie } from './topic-trie.ts'

// RabbitMQ's bound since 4.3.5: each `#` multiplies the ways through a key.
const HASH_WORDS_MAX = 2

/** direct: binding key equals routing key. */
export const directExchange: ExchangeType = {
  checkArguments: acceptAll,
  checkBinding: acceptAll,
  createTable: (): BindingTable => new DirectTable(),
}

/** fanout: everything. */
export const fanoutExchange: ExchangeType = {
  checkArguments: acceptAll,
  checkBinding: acceptAll,
  createTable: (): BindingTable => new FanoutTable(),
}

/** topic: words with `*` (one) and `#` (any number). */
export const topicExchange: ExchangeType = {
  checkArguments: acceptAll,
  checkBinding(draft: BindingDraft): string | undefined {
    const filter = topicFilterOf(draft.arguments)
    if (filter !== undefined && foldTopic(filter) !== draft.routingKey) {
      return `Topic filter '${filter}' does not become the binding key '${draft.routingKey}'`
    }
    const count = countHashWords(draft.routingKey)
    if (count <= HASH_WORDS_MAX) return undefined
    return (
      `Topic binding key '${draft.routingKey}' uses ${count} '#' wildcards, ` +
      `at most ${HASH_WORDS_MAX} are allowed`
    )
  },
  createTable: (): BindingTable => new TopicTable(),
}

/** The table of the default exchange: every queue is bound by its name, without a binding. */
export class DefaultTable implements BindingTable {
  readonly cacheable = true
  readonly matchesEveryKey = true
  readonly #queues: ByteMap<QueueRecord>

  constructor(queues: ByteMap<QueueRecord>) {
    this.#queues = queues
  }

  add(): void {}

  remove(): void {}

  match(input: RouteInput, out: TargetSink): void {
    const queue = this.#queues.find(input.bytes, input.keyStart, input.keyEnd)
    if (queue !== undefined) out.push(queue)
  }
}

class DirectTable implements BindingTable {
  readonly cacheable = true
  readonly matchesEveryKey = true
  readonly #targets: ByteMap<TargetSet> = new ByteMap()

  add(binding: BindingRecord): void {
    let targets = this.#targets.get(binding.routingKey)
    if (targets === undefined) {
      targets = new TargetSet()
      this.#targets.set(binding.routingKey, targets)
    }
    targets.add(binding.destination)
  }

  remove(binding: BindingRecord): void {
    const targets = this.#targets.get(binding.routingKey)
    if (targets === undefined) return
    targets.remove(binding.destination)
    if (targets.items.length === 0) this.#targets.delete(binding.routingKey)
  }

  match(input: RouteInput, out: TargetSink): void {
    this.#targets.find(input.bytes, input.keyStart, input.keyEnd)?.collect(out)
  }
}

class FanoutTable implements BindingTable {
  readonly cacheable = true
  readonly matchesEveryKey = false
  readonly #targets = new TargetSet()

  add(binding: BindingRecord): void {
    this.#targets.add(binding.destination)
  }

  remove(binding: BindingRecord): void {
    this.#targets.remove(binding.destination)
  }

  match(_input: RouteInput, out: TargetSink): void {
    this.#targets.collect(out)
  }
}

/** The MQTT topic filter of a binding: it is matched against MQTT topics, where a message has one. */
export function topicFilterOf(args: FieldTable): string | undefined {
  return textOf(fieldOf(args, topicFilterArgument))
}

const SLASH = 0x2f
const DOT = 0x2e

class TopicTable implements BindingTable {
  readonly cacheable = true
  readonly matchesEveryKey = true
  readonly #trie = new TopicTrie()
  /** Bindings with a topic filter. */
  #filters: TopicTrie | undefined = undefined

  add(binding: BindingRecord): void {
    const filter = topicFilterOf(binding.arguments)
    if (filter === undefined) {
      this.#trie.add(binding.routingKey, binding.destination)
      return
    }
    this.#filters ??= new TopicTrie(mqttTopics)
    this.#filters.add(filter, binding.destination)
  }

  remove(binding: BindingRecord): void {
    const filter = topicFilterOf(binding.arguments)
    if (filter === undefined) this.#trie.remove(binding.routingKey, binding.destination)
    else this.#filters?.remove(filter, binding.destination)
  }

  match(input: RouteInput, out: TargetSink): void {
    const { bytes, keyStart, keyEnd, topicStart, topicEnd } = input
    this.#trie.match(bytes, keyStart, keyEnd, out)
    if (this.#filters === undefined) return
    // A routing key is a topic too: its words are the topic's levels.
    if (topicEnd === 0) this.#filters.match(bytes, keyStart, keyEnd, out, DOT)
    else this.#filters.match(bytes, topicStart, topicEnd, out, SLASH)
  }
}
