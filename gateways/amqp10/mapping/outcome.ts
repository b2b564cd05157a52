// Outcomes of AMQP 1.0 and of the bus.

import { Outcome } from '../../../shared/bus/wire.ts'
import type { FieldTable } from '../../../shared/message/value.ts'
import type { Composite } from '../codec/spec.ts'
import { symbol, utf8 } from '../codec/value.ts'
import type { AmqpError } from './conditions.ts'
import { amqpError, Condition } from './conditions.ts'
import { toTable } from './fields.ts'

/** The outcomes that a source of ours has, by their symbols. */
export const OUTCOMES: readonly string[] = [
  'amqp:accepted:list',
  'amqp:rejected:list',
  'amqp:released:list',
  'amqp:modified:list',
]

/** How a modified delivery is settled; an error where its annotations may not be. */
export function modifiedOutcome(state: Composite<'modified'>): number | AmqpError {
  for (const [key] of state.messageAnnotations ?? []) {
    if (key.type !== 'symbol' || !key.value.startsWith('x-')) {
      return amqpError(
        Condition.invalidField,
        "message annotations of 'modified' must be symbols that begin with x-",
      )
    }
  }
  if (state.undeliverableHere === true) return Outcome.discard
  return state.deliveryFailed === true ? Outcome.requeueFailed : Outcome.requeue
}

/**
 * What a modified delivery's annotations become in the message: headers, as those of publishers do. What
 * the broker itself says of messages is not for consumers to say.
 */
export function modifiedHeaders(state: Composite<'modified'>): FieldTable {
  return toTable(state.messageAnnotations ?? []).filter(([name]) => !BROKERS.test(name))
}

const BROKERS =
  /^x-(?:death|(?:first|last)-death-.*|exchange|routing-key|(?:delivery|acquired)-count)$/

/** Why a queue did not take a message. */
export function overflowError(queue: string | undefined, vhost: string): AmqpError {
  const name = queue === undefined ? 'a queue' : `queue '${queue}' in vhost '${vhost}'`
  return amqpError(Condition.resourceLimitExceeded, `${name} exceeded maximum length`, [
    ...(queue === undefined ? [] : [[symbol('queue'), utf8(queue)] as const]),
    [symbol('reason'), symbol('maxlen')],
  ])
}
