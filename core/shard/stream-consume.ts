// What consumers of a stream may ask for, and what of it is refused, with RabbitMQ's texts.

import type { ControlOp, PeerError } from '../../shared/bus/control.ts'
import { connectionError } from '../../shared/errors.ts'
import type { FieldTable } from '../../shared/message/value.ts'
import { fieldOf, textOf } from '../../shared/message/value.ts'
import { offsetSpecOf } from '../stream/offset-argument.ts'
import type { ReadOptions } from '../stream/stream-queue.ts'
import { checkConsumerArguments } from '../topology/arguments.ts'
import type { QueueRecord } from '../topology/records.ts'
import { preconditionFailed, resourceText } from '../topology/refusals.ts'

type Consume = Extract<ControlOp, { op: 'consume' }>

/**
 * How a consumer with these arguments reads, or why it may not. `hasGlobalPrefetch`: its channel has.
 * `now`: milliseconds since 1970.
 */
export function streamReadOptions(
  record: QueueRecord,
  op: Consume,
  hasGlobalPrefetch: boolean,
  now: number,
): ReadOptions | PeerError {
  const { name, vhost } = record
  const resource = resourceText('queue', name, vhost.name)
  const credited = op.credited === true
  if (!credited && op.noAck) {
    const text = `automatic acknowledgement not supported by stream ${resource}`
    return connectionError('NOT_IMPLEMENTED', text)
  }
  if (!credited && op.prefetch === 0 && !hasGlobalPrefetch) {
    return preconditionFailed(`consumer prefetch count is not set for stream ${resource}`)
  }
  if (hasGlobalPrefetch) {
    return connectionError('NOT_IMPLEMENTED', `${resource} does not support global qos`)
  }
  const wrong = checkConsumerArguments(name, vhost.name, 'stream', op.arguments)
  if (wrong !== undefined) return wrong
  const from = offsetSpecOf(op.arguments, now)
  if (typeof from === 'string') {
    return preconditionFailed(`failed consuming from stream ${resource}: ${from}`)
  }
  return {
    from,
    filter: filterOf(op.arguments),
    matchUnfiltered: fieldOf(op.arguments, 'x-stream-match-unfiltered')?.value === true,
    name: textOf(fieldOf(op.arguments, 'x-stream-consumer-name')),
    singleActive: fieldOf(op.arguments, 'x-single-active-consumer')?.value === true,
  }
}

/** basic.get on a stream. */
export function streamGetRefusal(record: QueueRecord): PeerError {
  const resource = resourceText('queue', record.name, record.vhost.name)
  return connectionError('NOT_IMPLEMENTED', `basic.get not supported by stream queues ${resource}`)
}

/** queue.purge on a stream. */
export function streamPurgeRefusal(record: QueueRecord): PeerError {
  const resource = resourceText('queue', record.name, record.vhost.name)
  const text = `queue.purge not supported by stream queues ${resource}`
  return connectionError('NOT_IMPLEMENTED', text)
}

function filterOf(args: FieldTable): readonly string[] | undefined {
  const field = fieldOf(args, 'x-stream-filter')
  const single = textOf(field)
  if (single !== undefined) return [single]
  if (field?.type !== 'A') return undefined
  const values = field.value.map(textOf)
  return values.filter((value): value is string => value !== undefined)
}
