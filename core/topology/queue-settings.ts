// What holds for a queue: its arguments and the policies that apply to it, merged. For most limits the
// lower value wins; names are taken from the argument; for quorum queues and streams some keys are the
// policy's to decide (as RabbitMQ 4.0 has it, key by key).

import type { FieldTable } from '../../shared/message/value.ts'
import { fieldOf, integerOf, textOf } from '../../shared/message/value.ts'
import type { PolicyDefinition } from './policy-keys.ts'
import { lowerLimit } from './policy-keys.ts'
import type { QueueTypeName } from './records.ts'

/** What a queue engine goes by; undefined: not set. */
export interface QueueSettings {
  readonly type: QueueTypeName
  readonly messageTtlMs: number | undefined
  /** The part of the arguments in `messageTtlMs`: whatever policies say or said, it was never more. */
  readonly declaredTtlMs: number | undefined
  readonly expiresMs: number | undefined
  readonly lengthMax: number | undefined
  readonly bytesMax: number | undefined
  readonly overflow: 'drop-head' | 'reject-publish' | 'reject-publish-dlx'
  readonly deadLetterExchange: string | undefined
  readonly deadLetterRoutingKey: string | undefined
  readonly deadLetterStrategy: 'at-most-once' | 'at-least-once'
  /** Failed deliveries allowed; negative: any number. */
  readonly deliveryLimit: number | undefined
  readonly consumerTimeoutMs: number | undefined
  readonly delayedRetry: DelayedRetrySettings | undefined
  readonly priorityMax: number | undefined
  readonly singleActiveConsumer: boolean
  /** Retention of a stream, as `7D`. */
  readonly maxAge: string | undefined
  readonly segmentBytesMax: number | undefined
  readonly filterBytes: number | undefined
  /** Header whose value is the key of a message's group. */
  readonly messageGroups: string | undefined
  /** Messages a second that the queue takes. */
  readonly publishRateMax: number | undefined
  readonly deduplication: DeduplicationSettings | undefined
}

/** Which messages wait, and how long, when they come back: see core/queue/delayed-retry.ts. */
export interface DelayedRetrySettings {
  readonly type: 'all' | 'failed' | 'returned'
  readonly minMs: number
  readonly maxMs: number
}

/** Which messages count as the same, and for how long. */
export interface DeduplicationSettings {
  /** Ids remembered at most; undefined: those of the messages that are in the queue. */
  readonly sizeMax: number | undefined
  readonly ttlMs: number | undefined
  /** Whether ids survive a restart of the node. */
  readonly durable: boolean
}

/** Which of policy and argument holds where both are given. */
type Precedence = 'least' | 'limit' | 'argument' | 'policy'

/** The settings of a queue of type `type` with (checked) arguments, under a merged definition. */
export function queueSettings(
  args: FieldTable,
  type: QueueTypeName = 'classic',
  definition: PolicyDefinition = {},
): QueueSettings {
  const number = (key: string, precedence: Precedence): number | undefined =>
    numberSetting(args, definition, key, precedence)
  const text = (key: string, precedence: Precedence): string | undefined =>
    textSetting(args, definition, key, precedence)
  const typeDecides = type === 'classic' ? 'argument' : 'policy'
  const overflow = text('overflow', typeDecides)
  const rejects = overflow === 'reject-publish' || overflow === 'reject-publish-dlx'
  const atLeastOnce = text('dead-letter-strategy', 'policy') === 'at-least-once'
  return {
    type,
    messageTtlMs: number('message-ttl', 'least'),
    declaredTtlMs: argumentNumber(args, 'x-message-ttl'),
    expiresMs: number('expires', 'least'),
    lengthMax: number('max-length', 'least'),
    bytesMax: number('max-length-bytes', type === 'stream' ? 'policy' : 'least'),
    overflow: rejects ? overflow : 'drop-head',
    deadLetterExchange: text('dead-letter-exchange', 'argument'),
    deadLetterRoutingKey: text('dead-letter-routing-key', 'argument'),
    deadLetterStrategy: atLeastOnce ? 'at-least-once' : 'at-most-once',
    deliveryLimit: number('delivery-limit', 'limit'),
    consumerTimeoutMs: number('consumer-timeout', 'least'),
    delayedRetry: delayedRetry(
      text('delayed-retry-type', 'policy'),
      number('delayed-retry-min', 'policy'),
      number('delayed-retry-max', 'policy'),
    ),
    priorityMax: number('max-priority', 'argument'),
    singleActiveConsumer: fieldOf(args, 'x-single-active-consumer')?.value === true,
    maxAge: text('max-age', 'policy'),
    segmentBytesMax: number('stream-max-segment-size-bytes', 'policy'),
    filterBytes: number('stream-filter-size-bytes', 'policy'),
    messageGroups: textOf(fieldOf(args, 'x-message-groups')),
    publishRateMax: number('max-publish-rate', 'least'),
    deduplication: deduplicationSettings(args, definition),
  }
}

/** Settings of a queue that was declared without arguments. */
export const plainSettings: QueueSettings = queueSettings([])

/** The deduplication that arguments and policy of a queue or exchange ask for. */
export function deduplicationSettings(
  args: FieldTable,
  definition: PolicyDefinition,
): DeduplicationSettings | undefined {
  const asked = fieldOf(args, 'x-message-deduplication')?.value
  if ((asked ?? definition['message-deduplication']) !== true) return undefined
  return {
    sizeMax: numberSetting(args, definition, 'cache-size', 'argument'),
    ttlMs: numberSetting(args, definition, 'cache-ttl', 'argument'),
    durable: textOf(fieldOf(args, 'x-cache-persistence')) !== 'memory',
  }
}

function delayedRetry(
  type: string | undefined,
  minMs: number | undefined,
  maxMs: number | undefined,
): DelayedRetrySettings | undefined {
  if (type !== 'all' && type !== 'failed' && type !== 'returned') return undefined
  if (minMs === undefined || minMs === 0) return undefined
  return { type, minMs, maxMs: Math.max(minMs, maxMs ?? Number.POSITIVE_INFINITY) }
}

function numberSetting(
  args: FieldTable,
  definition: PolicyDefinition,
  key: string,
  precedence: Precedence,
): number | undefined {
  const argument = argumentNumber(args, `x-${key}`)
  const policy = definition[key]
  if (typeof policy !== 'number') return argument
  if (argument === undefined) return policy
  if (precedence === 'least') return Math.min(argument, policy)
  if (precedence === 'limit') return lowerLimit(argument, policy)
  return precedence === 'argument' ? argument : policy
}

function textSetting(
  args: FieldTable,
  definition: PolicyDefinition,
  key: string,
  precedence: Precedence,
): string | undefined {
  const argument = textOf(fieldOf(args, `x-${key}`))
  const policy = definition[key]
  if (typeof policy !== 'string') return argument
  return argument === undefined || precedence === 'policy' ? policy : argument
}

function argumentNumber(args: FieldTable, key: string): number | undefined {
  const field = fieldOf(args, key)
  if (field === undefined) return undefined
  if (field.type === 'f' || field.type === 'd') return field.value
  if (field.type === 'S') return Number(field.value)
  const value = integerOf(field)
  return value === undefined ? undefined : Number(value)
}
