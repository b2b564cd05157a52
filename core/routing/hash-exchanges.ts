// Types that choose one of their targets: by a hash (x-consistent-hash, x-modulus-hash) or by chance
// (x-random, x-local-random).

import type { FieldTable, FieldValue } from '../../shared/message/value.ts'
import { fieldOf, textOf } from '../../shared/message/value.ts'
import { hashBytes, hashText, mixHash } from '../../shared/placement.ts'
import type {
  BindingRecord,
  BindingTable,
  RouteInput,
  RouteTarget,
  TargetSink,
} from '../topology/records.ts'
import type { BindingDraft, ExchangeType } from './exchange-type.ts'
import { acceptAll } from './exchange-type.ts'
import { TargetSet } from './target-set.ts'

const HASH_HEADER = 'hash-header'
const HASH_PROPERTY = 'hash-property'
const PROPERTIES = ['message_id', 'correlation_id', 'timestamp'] as const
type HashProperty = (typeof PROPERTIES)[number]

/** x-consistent-hash: the binding key is a weight; few messages move when a binding comes or goes. */
export const consistentHashExchange: ExchangeType = {
  checkArguments(args: FieldTable): string | undefined {
    const property = fieldOf(args, HASH_PROPERTY)
    if (property === undefined) return undefined
    if (fieldOf(args, HASH_HEADER) !== undefined) {
      return 'hash-header and hash-property are mutually exclusive'
    }
    if (hashPropertyOf(args) !== undefined) return undefined
    return `Unsupported property: ${String(property.value)}`
  },
  checkBinding(draft: BindingDraft): string | undefined {
    const key = draft.routingKey
    if (!/^[+-]?\d+$/.test(key)) return `The binding key must be an integer: <<"${key}">>`
    return Number(key) < 1 ? 'The binding key must be greater than 0' : undefined
  },
  createTable: (args: FieldTable): BindingTable => new ConsistentHashTable(args),
}

/** x-modulus-hash: the hash of the routing key modulo the number of targets; binding keys are ignored. */
export const modulusHashExchange: ExchangeType = {
  checkArguments: acceptAll,
  checkBinding: acceptAll,
  createTable: (): BindingTable => new ModulusHashTable(),
}

/** x-random: any one of the targets. */
export const randomExchange: ExchangeType = {
  checkArguments: acceptAll,
  checkBinding: acceptAll,
  createTable: (): BindingTable => new RandomTable(),
}

/** x-local-random: any one of the queues on this node, which on one node are all. */
export const localRandomExchange: ExchangeType = {
  checkArguments: acceptAll,
  checkBinding(draft: BindingDraft): string | undefined {
    if (draft.routingKey !== '') return `Non empty binding '${draft.routingKey}' key not permitted`
    if (draft.queueType === undefined) return 'Destination not found'
    if (draft.queueType === 'classic') return undefined
    return `Queue type rabbit_${draft.queueType}_queue not valid for this exchange type`
  },
  createTable: (): BindingTable => new RandomTable(),
}

interface WeightedTarget {
  readonly target: RouteTarget
  readonly weight: number
  /** Hash of the target's identity. */
  readonly seed: number
}

/**
 * Rendezvous hashing: each target scores the message by a hash of both, the best score wins. So the
 * choice depends on no order of binding, every shard agrees, and a target that goes takes only its
 * own messages along. With weight w the score is -ln(u) / w, least wins, which gives w its share.
 */
class ConsistentHashTable implements BindingTable {
  readonly cacheable: boolean
  readonly matchesEveryKey = false
  readonly #header: string | undefined
  readonly #property: HashProperty | undefined
  readonly #bindings: BindingRecord[] = []
  readonly #targets: WeightedTarget[] = []
  #evenWeights = true

  constructor(args: FieldTable) {
    this.#header = textOf(fieldOf(args, HASH_HEADER))
    this.#property = hashPropertyOf(args)
    this.cacheable = this.#header === undefined && this.#property === undefined
  }

  add(binding: BindingRecord): void {
    const seed = hashText(binding.destination.name, hashText(binding.destination.kind))
    const weight = Number(binding.routingKey)
    this.#bindings.push(binding)
    this.#targets.push({ target: binding.destination, weight, seed: mixHash(seed) })
    this.#compareWeights()
  }

  remove(binding: BindingRecord): void {
    const at = this.#bindings.indexOf(binding)
    if (at < 0) return
    this.#bindings.splice(at, 1)
    this.#targets.splice(at, 1)
    this.#compareWeights()
  }

  match(input: RouteInput, out: TargetSink): void {
    const targets = this.#targets
    if (targets.length === 0) return
    const hash = this.#hash(input)
    let best = targets[0] as WeightedTarget
    let bestScore = Infinity
    for (let i = 0; i < targets.length; i++) {
      const candidate = targets[i] as WeightedTarget
      const mixed = mixHash(Math.imul(hash ^ candidate.seed, 0x9e3779b1) ^ candidate.seed)
      const score = this.#evenWeights ? mixed : -Math.log((mixed + 1) / 2 ** 32) / candidate.weight
      if (score >= bestScore) continue
      best = candidate
      bestScore = score
    }
    out.push(best.target)
  }

  #hash(input: RouteInput): number {
    if (this.#header !== undefined) {
      const headers = input.facts.headers()
      const value = headers === undefined ? undefined : fieldOf(headers, this.#header)
      return value === undefined ? 0 : hashField(value)
    }
    if (this.#property !== undefined) {
      return hashText(input.facts.property(this.#property) ?? '')
    }
    return hashBytes(input.bytes, input.keyStart, input.keyEnd)
  }

  #compareWeights(): void {
    const first = this.#targets[0]
    this.#evenWeights = this.#targets.every((target) => target.weight === first?.weight)
  }
}

class ModulusHashTable implements BindingTable {
  readonly cacheable = true
  readonly matchesEveryKey = false
  readonly #targets = new TargetSet()
  #sorted: RouteTarget[] | undefined = undefined

  add(binding: BindingRecord): void {
    this.#targets.add(binding.destination)
    this.#sorted = undefined
  }

  remove(binding: BindingRecord): void {
    this.#targets.remove(binding.destination)
    this.#sorted = undefined
  }

  match(input: RouteInput, out: TargetSink): void {
    // By name, so that every shard counts alike whatever order the bindings came in.
    this.#sorted ??= this.#targets.items.toSorted(byName)
    if (this.#sorted.length === 0) return
    const hash = mixHash(hashBytes(input.bytes, input.keyStart, input.keyEnd))
    out.push(this.#sorted[hash % this.#sorted.length] as RouteTarget)
  }
}

class RandomTable implements BindingTable {
  readonly cacheable = false
  readonly matchesEveryKey = false
  readonly #targets = new TargetSet()

  add(binding: BindingRecord): void {
    this.#targets.add(binding.destination)
  }

  remove(binding: BindingRecord): void {
    this.#targets.remove(binding.destination)
  }

  match(input: RouteInput, out: TargetSink): void {
    const targets = this.#targets.items
    if (targets.length > 0) out.push(targets[input.random() % targets.length] as RouteTarget)
  }
}

function hashPropertyOf(args: FieldTable): HashProperty | undefined {
  const name = textOf(fieldOf(args, HASH_PROPERTY))
  return PROPERTIES.find((property) => property === name)
}

function hashField(field: FieldValue): number {
  return field.value instanceof Uint8Array
    ? hashBytes(field.value, 0, field.value.length)
    : hashText(String(field.value))
}

function byName(a: RouteTarget, b: RouteTarget): number {
  if (a.kind !== b.kind) return a.kind < b.kind ? -1 : 1
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0
}
