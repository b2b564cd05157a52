// How links begin: checks, what the broker has to say, the answer.

import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import { Descriptor } from '../codec/spec.ts'
import type { Described } from '../codec/value.ts'
import type { AmqpError } from '../mapping/conditions.ts'
import { amqpError, Condition, fromDecodeError } from '../mapping/conditions.ts'
import type { Attach } from './attach-frame.ts'
import { refuseAttach } from './attach-frame.ts'
import { attachManagement, isManagement } from './attach-management.ts'
import { attachSource } from './attach-source.ts'
import { attachTarget } from './attach-target.ts'
import type { SessionState } from './session-state.ts'

/** A client's attach. */
export function attach(session: SessionState, frame: Attach): void {
  const { handle } = frame
  if (handle > session.handleMax) {
    session.context.fail(
      amqpError(
        Condition.framingError,
        `link handle value (${handle}) exceeds maximum link handle value (${session.handleMax})`,
      ),
    )
    return
  }
  if (session.links[handle] !== undefined) {
    session.fail(
      amqpError(Condition.handleInUse, `handle ${handle} is already associated with a link`),
    )
    return
  }
  const error = checkAttach(frame) ?? tryAttach(session, frame)
  if (error !== undefined) refuseAttach(session, frame, error)
}

function tryAttach(session: SessionState, frame: Attach): AmqpError | undefined {
  try {
    if (isManagement(frame)) return attachManagement(session, frame)
    return frame.role ? attachSource(session, frame) : attachTarget(session, frame)
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error
    return fromDecodeError(error)
  }
}

function checkAttach(frame: Attach): AmqpError | undefined {
  const { target, role, initialDeliveryCount, unsettled, sndSettleMode } = frame
  if (target?.descriptor.value === Descriptor.coordinator || isCoordinator(target)) {
    return amqpError(Condition.notImplemented, 'Transactions not supported')
  }
  if ((unsettled ?? []).length > 0 || frame.incompleteUnsettled === true) {
    return amqpError(Condition.notImplemented, 'Link recovery not supported')
  }
  // A receiver that asks for it is answered `first` (RabbitMQ 4.3).
  if (!role && frame.rcvSettleMode === 1 && sndSettleMode !== 1) {
    return amqpError(Condition.notImplemented, 'rcv-settle-mode second not supported')
  }
  if (!role && initialDeliveryCount === undefined) {
    return amqpError(Condition.invalidField, 'attach of a sender without initial-delivery-count')
  }
  return undefined
}

function isCoordinator(target: Described | undefined): boolean {
  return target?.descriptor.value === 'amqp:coordinator:list'
}
