// Headers of SUBSCRIBE (and of the first SEND to a queue) as the flags and arguments of queues and
// consumers.

import { createHash, randomBytes } from 'node:crypto'
import type { FieldEntry, FieldTable, FieldValue } from '../../../shared/message/value.ts'
import { boolField, longField, textField } from '../../../shared/message/value.ts'
import type { Frame } from '../codec/frame.ts'
import { Header } from '../codec/header-name.ts'
import type { Destination } from './destination.ts'
import type { Failure } from './failure.ts'
import { processingError } from './failure.ts'

/** What to declare. */
export interface QueuePlan {
  readonly queue: string
  readonly durable: boolean
  readonly exclusive: boolean
  readonly autoDelete: boolean
  readonly arguments: FieldTable
}

type Kind = 'text' | 'integer' | 'boolean'

/** Those that RabbitMQ's documentation names, and what newer queues have beside them. */
const queueArguments: readonly (readonly [string, Kind])[] = [
  ['x-dead-letter-exchange', 'text'],
  ['x-dead-letter-routing-key', 'text'],
  ['x-dead-letter-strategy', 'text'],
  ['x-overflow', 'text'],
  ['x-queue-type', 'text'],
  ['x-queue-mode', 'text'],
  ['x-queue-leader-locator', 'text'],
  ['x-max-age', 'text'],
  ['x-expires', 'integer'],
  ['x-message-ttl', 'integer'],
  ['x-max-length', 'integer'],
  ['x-max-length-bytes', 'integer'],
  ['x-max-priority', 'integer'],
  ['x-delivery-limit', 'integer'],
  ['x-consumer-timeout', 'integer'],
  ['x-stream-max-segment-size-bytes', 'integer'],
  ['x-stream-filter-size-bytes', 'integer'],
  ['x-single-active-consumer', 'boolean'],
]

/** The queue of /queue/NAME: durable unless a header says otherwise. */
export function planNamedQueue(frame: Frame, name: string): QueuePlan | Failure {
  return planQueue(frame, name, flagOf(frame, Header.durable) ?? true, undefined, undefined)
}

/**
 * The queue of a subscription to an exchange or a topic: its own and gone with it, or, if it is to
 * be durable, named after the subscription's id and destination so that it is found again.
 */
export function planSubscriptionQueue(frame: Frame, destination: Destination): QueuePlan | Failure {
  const durable = isDurable(frame)
  const name = frame.text(Header.queueName) ?? subscriptionQueue(frame, destination, durable)
  return planQueue(frame, name, durable, !durable, true)
}

/** True where `durable` or `persistent` says so. */
export function isDurable(frame: Frame): boolean {
  return frame.is(Header.durable, 'true') || frame.is(Header.persistent, 'true')
}

/** Arguments of the consumer. */
export function consumerArguments(frame: Frame): FieldTable | Failure {
  const found: FieldEntry[] = []
  const priority = frame.other('x-priority')
  if (priority !== undefined) {
    if (!/^-?\d{1,9}$/.test(priority)) return badValue('x-priority')
    found.push(['x-priority', { type: 'I', value: Number(priority) }])
  }
  const offset = frame.other('x-stream-offset')
  if (offset !== undefined) {
    const value = streamOffset(offset)
    if (value === undefined) return badValue('x-stream-offset')
    found.push(['x-stream-offset', value])
  }
  const filter = frame.other('x-stream-filter')
  if (filter !== undefined) {
    const words = filter.split(',').map((word) => textField(word))
    const [only] = words
    const value: FieldValue =
      words.length === 1 && only !== undefined ? only : { type: 'A', value: words }
    found.push(['x-stream-filter', value])
  }
  const unfiltered = frame.other('x-stream-match-unfiltered')
  if (unfiltered === 'true' || unfiltered === 'false') {
    found.push(['x-stream-match-unfiltered', boolField(unfiltered === 'true')])
  }
  return found
}

function planQueue(
  frame: Frame,
  queue: string,
  durable: boolean,
  exclusive: boolean | undefined,
  autoDelete: boolean | undefined,
): QueuePlan | Failure {
  const found = readArguments(frame)
  if ('message' in found) return found
  return {
    queue,
    durable,
    exclusive: flagOf(frame, Header.exclusive) ?? exclusive ?? !durable,
    autoDelete: flagOf(frame, Header.autoDelete) ?? autoDelete ?? !durable,
    arguments: found,
  }
}

function readArguments(frame: Frame): FieldTable | Failure {
  const found: FieldEntry[] = []
  for (const [name, kind] of queueArguments) {
    const text = frame.other(name)
    if (text === undefined) continue
    const value = argument(kind, text)
    if (value === undefined) return badValue(name)
    found.push([name, value])
  }
  return found
}

function argument(kind: Kind, text: string): FieldValue | undefined {
  if (kind === 'text') return textField(text)
  if (kind === 'boolean') {
    return text === 'true' || text === 'false' ? boolField(text === 'true') : undefined
  }
  return /^-?\d{1,15}$/.test(text.trim()) ? longField(Number(text)) : undefined
}

function streamOffset(text: string): FieldValue | undefined {
  if (text === 'first' || text === 'last' || text === 'next') return textField(text)
  const parts = /^(offset|timestamp)=(\d{1,15})$/.exec(text)
  if (parts === null) return undefined
  const value = Number(parts[2])
  return parts[1] === 'offset' ? longField(value) : { type: 'T', value }
}

function subscriptionQueue(frame: Frame, destination: Destination, durable: boolean): string {
  if (!durable) return `stomp-subscription-${randomBytes(16).toString('base64url')}`
  const key = 'key' in destination ? destination.key : destination.name
  const name = destination.kind === 'exchange' ? `${destination.name}/${key}` : key
  const hash = createHash('md5').update(`${name}\0${frame.text(Header.id) ?? ''}`)
  return `stomp-subscription-${hash.digest('base64url')}`
}

function flagOf(frame: Frame, id: number): boolean | undefined {
  if (frame.is(id, 'true')) return true
  return frame.is(id, 'false') ? false : undefined
}

function badValue(header: string): Failure {
  return processingError(`the header '${header}' has a value that cannot be used`)
}
