// Outcomes of AMQP 1.0 and of the bus.

import { Outcome } from '../../../shared/bus/wire.ts'
import type { Composite } from '../codec/spec.ts'
import { symbol, utf8 } from '../codec/value.ts'
import type { AmqpError } from './conditions.ts'
import { amqpError, Condition } from './conditions.ts'

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

/** Why a queue did not take a message. */
export function overflowError(queue: string | undefined, vhost: string): AmqpError {
  const name = queue === undefined ? 'a queue' : `queue '${queue}' in vhost '${vhost}'`
  return amqpError(Condition.resourceLimitExceeded, `${name} exceeded maximum length`, [
    ...(queue === undefined ? [] : [[symbol('queue'), utf8(queue)] as const]),
    [symbol('reason'), symbol('maxlen')],
  ])
}
