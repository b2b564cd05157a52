// Queue arguments by one table: who knows them, what values they take, with which reason they are
// refused. Arguments that no queue type knows are accepted and kept.

import type { PeerError } from '../../shared/errors.ts'
import type { FieldTable, FieldType, FieldValue } from '../../shared/message/value.ts'
import { fieldOf, fieldTypeName, integerOf } from '../../shared/message/value.ts'
import { sameFieldValue } from '../routing/field-equality.ts'
import type { QueueTypeName } from './records.ts'
import { preconditionFailed, resourceText } from './refusals.ts'

const queueTypes: readonly QueueTypeName[] = ['classic', 'quorum', 'stream']

/** The queue type of that name, undefined where there is none. */
export function queueTypeOf(name: string): QueueTypeName | undefined {
  return queueTypes.find((type) => type === name)
}

/** The name that error texts have for a queue type. */
export function queueTypeModule(type: QueueTypeName): string {
  return `rabbit_${type}_queue`
}

/** Checks the type that a declare names: undefined, or the 406. */
export function checkQueueTypeArgument(
  name: string,
  vhost: string,
  args: FieldTable,
): PeerError | undefined {
  const value = fieldOf(args, 'x-queue-type')
  // The empty name asks for the default type.
  if (value === undefined || value.value === '') return undefined
  const reason = checkQueueType(value)
  return reason === undefined ? undefined : invalidArgument('x-queue-type', name, vhost, reason)
}

/** Checks the arguments of a new queue of type `type`: undefined, or the 406. */
export function checkQueueArguments(
  name: string,
  vhost: string,
  type: QueueTypeName,
  args: FieldTable,
): PeerError | undefined {
  return checkArguments(queueArguments, name, vhost, type, args)
}

/** Checks the arguments of a consumer of a queue of type `type`: undefined, or the 406. */
export function checkConsumerArguments(
  name: string,
  vhost: string,
  type: QueueTypeName,
  args: FieldTable,
): PeerError | undefined {
  return checkArguments(consumerArguments, name, vhost, type, args)
}

/** Compares the arguments of a re-declare with those of the queue: undefined, or the 406. */
export function checkQueueEquivalence(
  name: string,
  vhost: string,
  type: QueueTypeName,
  current: FieldTable,
  received: FieldTable,
): PeerError | undefined {
  const resource = resourceText('queue', name, vhost)
  for (const rule of queueArguments) {
    if (!rule.types.includes(type) && rule.name !== 'x-queue-type') continue
    const refusal = checkSameArgument(resource, rule.name, current, received)
    if (refusal !== undefined) return refusal
  }
  return undefined
}

/** Compares one argument of a re-declare: undefined, or the 406. `resource` as by `resourceText`. */
export function checkSameArgument(
  resource: string,
  key: string,
  current: FieldTable,
  received: FieldTable,
): PeerError | undefined {
  const have = fieldOf(current, key)
  const got = fieldOf(received, key)
  if (have === undefined && got === undefined) return undefined
  if (have !== undefined && got !== undefined) {
    if (sameFieldValue(have, got)) return undefined
    return inequivalent(resource, key, `'${printed(got)}'`, `'${printed(have)}'`)
  }
  return inequivalent(resource, key, describe(got), describe(have))
}

/** The 406 for a re-declare that differs. */
export function inequivalent(
  resource: string,
  key: string,
  received: string,
  current: string,
): PeerError {
  return preconditionFailed(
    `inequivalent arg '${key}' for ${resource}: received ${received} but current is ${current}`,
  )
}

type Check = (value: FieldValue, args: FieldTable) => string | undefined

interface ArgumentRule {
  readonly name: string
  readonly types: readonly QueueTypeName[]
  /** The reason against a value, undefined where it will do. */
  readonly check: Check
}

const C: readonly QueueTypeName[] = ['classic']
const Q: readonly QueueTypeName[] = ['quorum']
const S: readonly QueueTypeName[] = ['stream']
const CQ: readonly QueueTypeName[] = ['classic', 'quorum']
const CQS: readonly QueueTypeName[] = ['classic', 'quorum', 'stream']

// Ten years: RabbitMQ's bound for everything that expires.
const EXPIRY_MS_MAX = 315_360_000_000
const PRIORITY_MAX = 255
const SEGMENT_BYTES_MAX = 3_000_000_000
const FILTER_BYTES_MIN = 16
const FILTER_BYTES_MAX = 255

const queueArguments: readonly ArgumentRule[] = [
  { name: 'x-queue-type', types: CQS, check: checkQueueType },
  { name: 'x-expires', types: CQ, check: (value) => checkPositive(value) ?? checkExpiry(value) },
  { name: 'x-message-ttl', types: CQ, check: (value) => checkInteger(value) ?? checkExpiry(value) },
  { name: 'x-dead-letter-exchange', types: CQ, check: checkText },
  { name: 'x-dead-letter-routing-key', types: CQ, check: checkDeadLetterKey },
  {
    name: 'x-dead-letter-strategy',
    types: Q,
    check: oneOf(['at-most-once', 'at-least-once'], 'invalid_dlx_strategy'),
  },
  { name: 'x-max-length', types: CQ, check: checkCount },
  { name: 'x-max-length-bytes', types: CQS, check: checkCount },
  { name: 'x-max-in-memory-length', types: Q, check: checkCount },
  { name: 'x-max-in-memory-bytes', types: Q, check: checkCount },
  { name: 'x-max-priority', types: C, check: atMost(PRIORITY_MAX, 'max_value_exceeded') },
  {
    name: 'x-overflow',
    types: CQ,
    check: oneOf(['drop-head', 'reject-publish', 'reject-publish-dlx'], 'invalid_overflow'),
  },
  { name: 'x-queue-mode', types: C, check: named(['default', 'lazy'], 'queue mode') },
  { name: 'x-queue-version', types: C, check: checkQueueVersion },
  { name: 'x-single-active-consumer', types: CQ, check: checkBool },
  { name: 'x-delivery-limit', types: Q, check: checkInteger },
  { name: 'x-quorum-initial-group-size', types: Q, check: checkPositive },
  { name: 'x-consumer-timeout', types: CQS, check: checkCount },
  { name: 'x-consumer-disconnected-timeout', types: Q, check: checkCount },
  {
    name: 'x-delayed-retry-type',
    types: Q,
    check: oneOf(['all', 'failed', 'returned', 'disabled'], 'invalid_delayed_retry_type'),
  },
  { name: 'x-delayed-retry-min', types: Q, check: checkCount },
  { name: 'x-delayed-retry-max', types: Q, check: checkCount },
  {
    name: 'x-queue-leader-locator',
    types: CQS,
    check: oneOf(
      ['client-local', 'balanced', 'random', 'least-leaders', 'min-masters'],
      'invalid_queue_locator_arg',
    ),
  },
  // Deprecated in RabbitMQ, without effect here: there is one node.
  { name: 'x-queue-master-locator', types: C, check: checkText },
  { name: 'x-max-age', types: S, check: checkMaxAge },
  {
    name: 'x-stream-max-segment-size-bytes',
    types: S,
    check: atMost(SEGMENT_BYTES_MAX, 'value_too_large'),
  },
  { name: 'x-stream-filter-size-bytes', types: S, check: checkFilterSize },
  { name: 'x-initial-cluster-size', types: S, check: checkPositive },
  // Warren's own.
  { name: 'x-max-publish-rate', types: CQS, check: checkRate },
  { name: 'x-message-deduplication', types: CQ, check: checkBool },
  { name: 'x-cache-size', types: CQ, check: checkPositiveText },
  { name: 'x-cache-ttl', types: CQ, check: checkPositiveText },
  {
    name: 'x-cache-persistence',
    types: CQ,
    check: oneOf(['disk', 'memory'], 'invalid_cache_persistence'),
  },
]

const consumerArguments: readonly ArgumentRule[] = [
  { name: 'x-priority', types: CQ, check: checkInteger },
  { name: 'x-cancel-on-ha-failover', types: CQS, check: checkBool },
  { name: 'x-consumer-timeout', types: CQS, check: checkCount },
  { name: 'x-stream-offset', types: S, check: () => undefined },
  { name: 'x-stream-filter', types: S, check: () => undefined },
  { name: 'x-stream-match-unfiltered', types: S, check: checkBool },
]

function checkArguments(
  rules: readonly ArgumentRule[],
  name: string,
  vhost: string,
  type: QueueTypeName,
  args: FieldTable,
): PeerError | undefined {
  for (const rule of rules) {
    const value = fieldOf(args, rule.name)
    if (value === undefined || !rule.types.includes(type)) continue
    const reason = rule.check(value, args)
    if (reason !== undefined) return invalidArgument(rule.name, name, vhost, reason)
  }
  for (const [key] of args) {
    const rule = rules.find((candidate) => candidate.name === key)
    if (rule === undefined || rule.types.includes(type)) continue
    const resource = resourceText('queue', name, vhost)
    return preconditionFailed(
      `invalid arg '${key}' for ${resource} of queue type ${queueTypeModule(type)}`,
    )
  }
  return undefined
}

// Reasons are in the notation of the texts that clients know: {value_negative,-5}, "a sentence".

function invalidArgument(key: string, name: string, vhost: string, reason: string): PeerError {
  return preconditionFailed(
    `invalid arg '${key}' for ${resourceText('queue', name, vhost)}: ${reason}`,
  )
}

function checkInteger(value: FieldValue): string | undefined {
  if (integerOf(value) !== undefined) return undefined
  return `"expected integer, got ${fieldTypeName(value.type)}"`
}

function checkCount(value: FieldValue): string | undefined {
  const wrong = checkInteger(value)
  if (wrong !== undefined) return wrong
  return Number(value.value) < 0 ? `{value_negative,${value.value}}` : undefined
}

function checkPositive(value: FieldValue): string | undefined {
  const wrong = checkCount(value)
  if (wrong !== undefined) return wrong
  return Number(value.value) === 0 ? '{value_zero,0}' : undefined
}

/** Messages a second, also less than one. */
function checkRate(value: FieldValue): string | undefined {
  if (value.type !== 'f' && value.type !== 'd') return checkPositive(value)
  return value.value > 0 && Number.isFinite(value.value)
    ? undefined
    : `{value_negative,${value.value}}`
}

/** As a text too: the deduplication plugin takes both. */
function checkPositiveText(value: FieldValue): string | undefined {
  if (value.type !== 'S') return checkPositive(value)
  return /^0*[1-9]\d*$/.test(String(value.value)) ? undefined : unacceptableType(value.type)
}

function checkExpiry(value: FieldValue): string | undefined {
  const ms = Number(value.value)
  if (ms < 0) return `{value_negative,${value.value}}`
  return ms > EXPIRY_MS_MAX ? `{value_too_large,${value.value}}` : undefined
}

function atMost(max: number, reason: string): Check {
  return (value) => {
    const wrong = checkCount(value)
    if (wrong !== undefined) return wrong
    return Number(value.value) > max ? `{${reason},${value.value}}` : undefined
  }
}

function checkFilterSize(value: FieldValue): string | undefined {
  const wrong = checkCount(value)
  if (wrong !== undefined) return wrong
  if (Number(value.value) < FILTER_BYTES_MIN) return `{value_too_small,${value.value}}`
  return Number(value.value) > FILTER_BYTES_MAX ? `{value_too_large,${value.value}}` : undefined
}

function checkBool(value: FieldValue): string | undefined {
  return value.type === 't' ? undefined : unacceptableType(value.type)
}

function checkText(value: FieldValue): string | undefined {
  return value.type === 'S' ? undefined : unacceptableType(value.type)
}

function checkDeadLetterKey(value: FieldValue, args: FieldTable): string | undefined {
  const wrong = checkText(value)
  if (wrong !== undefined) return wrong
  const exchange = fieldOf(args, 'x-dead-letter-exchange')
  return exchange === undefined ? 'routing_key_but_no_dlx_defined' : undefined
}

function oneOf(values: readonly string[], reason: string): Check {
  return (value) => {
    if (value.type !== 'S') return unacceptableType(value.type)
    return values.includes(String(value.value)) ? undefined : reason
  }
}

function named(values: readonly string[], what: string): Check {
  return (value) => {
    if (value.type !== 'S') return unacceptableType(value.type)
    if (values.includes(String(value.value))) return undefined
    return `"unsupported ${what} '${String(value.value)}'"`
  }
}

function checkQueueType(value: FieldValue): string | undefined {
  if (value.type !== 'S') return unacceptableType(value.type)
  if (queueTypeOf(String(value.value)) !== undefined) return undefined
  return `"unsupported queue type '${String(value.value)}'"`
}

function checkQueueVersion(value: FieldValue): string | undefined {
  const wrong = checkCount(value)
  if (wrong !== undefined) return wrong
  // Version 1 is gone in RabbitMQ 4.3; before, it was accepted. Both mean the same here.
  const version = Number(value.value)
  return version === 1 || version === 2 ? undefined : `"unsupported queue version '${version}'"`
}

function checkMaxAge(value: FieldValue): string | undefined {
  if (value.type !== 'S') return unacceptableType(value.type)
  return /^0*[1-9]\d*[YMDhms]$/.test(String(value.value)) ? undefined : 'invalid_max_age'
}

function unacceptableType(type: FieldType): string {
  return `{unacceptable_type,${fieldTypeName(type)}}`
}

function describe(value: FieldValue | undefined): string {
  if (value === undefined) return 'none'
  return `the value '${printed(value)}' of type '${fieldTypeName(value.type)}'`
}

function printed(value: FieldValue): string {
  return String(value.value)
}
