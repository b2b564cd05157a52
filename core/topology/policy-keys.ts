// The keys that a policy may set: what values they take (with RabbitMQ's texts), whether operator
// policies may set them, how the two are merged, and which queue types they keep a policy away from.
// Values are JSON. Texts, bounds and merges as RabbitMQ 4.0.5 has them.

import { erlangTerm } from './erlang-term.ts'
import type { QueueTypeName } from './records.ts'

/** What a policy sets, by key. */
export type PolicyDefinition = Readonly<Record<string, unknown>>

/** Which value holds where a policy and an operator policy set the same key. */
type Merge = 'least' | 'limit' | 'greatest' | 'operator'

interface PolicyKey {
  readonly valid: (value: unknown) => boolean
  /** What a bad value is not: `-1 is not <noun>`. */
  readonly noun: string
  /** Undefined: operator policies may not set it. */
  readonly merge: Merge | undefined
}

const leaderLocators = ['client-local', 'balanced', 'random', 'least-leaders', 'min-masters']
const masterLocators = ['client-local', 'random', 'min-masters']
const retryTypes = ['all', 'failed', 'returned', 'disabled']

const keys: Readonly<Record<string, PolicyKey>> = {
  'alternate-exchange': key(isText, 'a valid alternate exchange name'),
  'consumer-disconnected-timeout': key(isCount, 'a valid consumer disconnected timeout'),
  'consumer-timeout': key(isCount, 'a valid consumer timeout', 'least'),
  'dead-letter-exchange': key(isText, 'a valid dead letter exchange name'),
  'dead-letter-routing-key': key(isText, 'a valid dead letter routing key'),
  'dead-letter-strategy': key(
    oneOf(['at-most-once', 'at-least-once']),
    'a valid dead letter strategy',
  ),
  'delayed-retry-max': key(isCount, 'a valid delayed retry maximum', 'least'),
  'delayed-retry-min': key(isCount, 'a valid delayed retry minimum', 'greatest'),
  'delayed-retry-type': key(oneOf(retryTypes), 'a valid delayed retry type', 'operator'),
  'delivery-limit': key(Number.isSafeInteger, 'a valid delivery limit', 'limit'),
  expires: key(isPositive, 'a valid queue expiry', 'least'),
  'federation-upstream': key(isText, 'a valid federation upstream name'),
  'federation-upstream-pattern': key(isText, 'a valid federation upstream pattern name'),
  'federation-upstream-set': key(isText, 'a valid federation upstream set name'),
  'initial-cluster-size': key(isCount, 'a valid cluster size'),
  'max-age': key(isAge, 'a valid max age'),
  'max-in-memory-bytes': key(isCount, 'a valid maximum memory in bytes', 'least'),
  'max-in-memory-length': key(isCount, 'a valid maximum memory in bytes', 'least'),
  'max-length': key(isCount, 'a valid maximum length', 'least'),
  'max-length-bytes': key(isCount, 'a valid maximum length in bytes', 'least'),
  'message-ttl': key(isCount, 'a valid message TTL', 'least'),
  overflow: key(
    oneOf(['drop-head', 'reject-publish', 'reject-publish-dlx']),
    'a valid overflow value',
    'operator',
  ),
  'queue-leader-locator': key(oneOf(leaderLocators), 'a valid queue leader locator value'),
  'queue-master-locator': key(oneOf(masterLocators), 'a valid master locator', 'operator'),
  'queue-mode': key(oneOf(['default', 'lazy']), 'a valid queue-mode value'),
  'queue-version': key(isVersion, 'a valid queue-version value', 'operator'),
  'stream-filter-size-bytes': key(isFilterSize, 'a valid filter size. Valid range is 16-255'),
  'stream-max-segment-size-bytes': key(isSegmentSize, 'a valid segment size'),
  'target-group-size': key(isPositive, 'a valid qq target count value', 'greatest'),
  // Warren's own.
  'cache-size': key(isPositive, 'a valid cache size'),
  'cache-ttl': key(isPositive, 'a valid cache TTL'),
  'delayed-message': key(isBool, 'a valid delayed-message value'),
  'max-publish-rate': key(isRate, 'a valid publish rate', 'least'),
  'message-deduplication': key(isBool, 'a valid message-deduplication value'),
}

const federationKeys = [
  'federation-upstream',
  'federation-upstream-set',
  'federation-upstream-pattern',
]

// A policy with a key that a queue type has no use for does not apply to queues of that type at all.
const classicOnly = ['queue-mode', 'queue-master-locator']
const quorumOnly = [
  'dead-letter-strategy',
  'delivery-limit',
  'max-in-memory-bytes',
  'max-in-memory-length',
  'target-group-size',
]
const streamOnly = ['initial-cluster-size', 'max-age', 'stream-max-segment-size-bytes']
const notForStreams = [
  'dead-letter-exchange',
  'dead-letter-routing-key',
  'expires',
  'max-length',
  'message-ttl',
  'overflow',
]
const uselessKeys: Readonly<Record<QueueTypeName, ReadonlySet<string>>> = {
  classic: new Set([...quorumOnly, ...streamOnly]),
  quorum: new Set([...classicOnly, ...streamOnly]),
  stream: new Set([...classicOnly, ...quorumOnly, ...notForStreams]),
}

/** The keys of a definition that policies (or operator policies) may not set. */
export function unknownKeys(definition: PolicyDefinition, operator: boolean): string[] {
  return Object.keys(definition).filter((name) => {
    const known = Object.hasOwn(keys, name) ? keys[name] : undefined
    return known === undefined || (operator && known.merge === undefined)
  })
}

/** What is wrong with the values of the known keys of a definition, or undefined. */
export function checkPolicyValues(definition: PolicyDefinition): string | undefined {
  for (const name of Object.keys(definition).sort()) {
    const known = Object.hasOwn(keys, name) ? keys[name] : undefined
    const value = definition[name]
    if (known !== undefined && !known.valid(value)) {
      return `${erlangTerm(value)} is not ${known.noun}`
    }
  }
  if (federationKeys.filter((name) => Object.hasOwn(definition, name)).length < 2) return undefined
  return (
    'cannot specify federation-upstream, federation-upstream-set, or ' +
    'federation-upstream-pattern together'
  )
}

/** Whether a policy with this definition may apply to queues of that type. */
export function suitsQueueType(definition: PolicyDefinition, type: QueueTypeName): boolean {
  const useless = uselessKeys[type]
  return !Object.keys(definition).some((name) => useless.has(name))
}

/** What policy and operator policy set together. */
export function mergeDefinitions(
  policy: PolicyDefinition | undefined,
  operator: PolicyDefinition | undefined,
): PolicyDefinition {
  if (operator === undefined) return policy ?? {}
  const merged: Record<string, unknown> = { ...policy }
  for (const [name, value] of Object.entries(operator)) {
    merged[name] = Object.hasOwn(merged, name) ? mergeValues(name, merged[name], value) : value
  }
  return merged
}

/** The lower of two limits of which a negative one means none. */
export function lowerLimit(one: number, other: number): number {
  return one < 0 || other < 0 ? Math.max(one, other) : Math.min(one, other)
}

function mergeValues(name: string, value: unknown, operator: unknown): unknown {
  const merge = keys[name]?.merge
  if (typeof value !== 'number' || typeof operator !== 'number') return operator
  if (merge === 'least') return Math.min(value, operator)
  if (merge === 'greatest') return Math.max(value, operator)
  return merge === 'limit' ? lowerLimit(value, operator) : operator
}

function key(valid: (value: unknown) => boolean, noun: string, merge?: Merge): PolicyKey {
  return { valid, noun, merge }
}

function isText(value: unknown): boolean {
  return typeof value === 'string'
}

function isBool(value: unknown): boolean {
  return typeof value === 'boolean'
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

function isPositive(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) > 0
}

/** Messages a second; below 1 too: one every so many seconds. */
function isRate(value: unknown): boolean {
  return typeof value === 'number' && Number.isFinite(value) && value > 0
}

function isVersion(value: unknown): boolean {
  return value === 1 || value === 2
}

function isAge(value: unknown): boolean {
  return typeof value === 'string' && /^0*[1-9]\d*[YMDhms]$/.test(value)
}

// As the argument: at most 3 GB, and 16 to 255.
function isSegmentSize(value: unknown): boolean {
  return isCount(value) && Number(value) <= 3_000_000_000
}

function isFilterSize(value: unknown): boolean {
  return isCount(value) && Number(value) >= 16 && Number(value) <= 255
}

function oneOf(words: readonly string[]): (value: unknown) => boolean {
  return (value) => typeof value === 'string' && words.includes(value)
}
