// How links begin: checks, what the broker has to say, the answer. A refusal is an attach without the
// terminus on our side, and a detach with the error behind it (2.6.3, figure 2.33).

import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import { asComposite } from '../codec/composite.ts'
import type { Composite } from '../codec/spec.ts'
import { Descriptor, kindOf } from '../codec/spec.ts'
import type { Described } from '../codec/value.ts'
import { entryOf } from '../codec/value.ts'
import type { AmqpError } from '../mapping/conditions.ts'
import { amqpError, Condition, fromDecodeError } from '../mapping/conditions.ts'
import { attachManagement, isManagement } from './attach-management.ts'
import { attachSource } from './attach-source.ts'
import { attachTarget } from './attach-target.ts'
import type { Amqp10Session } from './session.ts'
import { toComposite } from './session.ts'

export type Attach = Composite<'attach'>

/** A client's attach. */
export function attach(session: Amqp10Session, frame: Attach): void {
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

/** Tells the client that there will be no link. */
export function refuseAttach(session: Amqp10Session, frame: Attach, error: AmqpError): void {
  const { context, channel } = session
  const { name, handle, role, source, target, sndSettleMode, rcvSettleMode } = frame
  context.host.log.warn(`refusing link '${name}' of ${context.host.peer.name}: ${error.description}`)
  const common = { name, handle, role: !role, sndSettleMode, rcvSettleMode }
  if (role) context.send(channel, 'attach', { ...common, target, initialDeliveryCount: 0 })
  else context.send(channel, 'attach', { ...common, source })
  context.send(channel, 'detach', { handle, closed: true, error: toComposite(error) })
  // The client answers with a detach of its own.
  session.links[handle] = { kind: 'closing' }
}

function tryAttach(session: Amqp10Session, frame: Attach): AmqpError | undefined {
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
  if (frame.rcvSettleMode === 1 && sndSettleMode !== 1) {
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

/** The source or target of an attach; undefined where there is none. */
export function terminusOf<K extends 'source' | 'target'>(
  frame: Attach,
  kind: K,
): Composite<K> | undefined {
  const value = frame[kind] as Described | undefined
  if (value === undefined) return undefined
  if (kindOf(value.descriptor) !== kind) throw new DecodeError(2, `${kind} of another type`)
  return asComposite(kind, value)
}

/** A property of an attach. */
export function propertyOf(frame: Attach, key: string): ReturnType<typeof entryOf> {
  return entryOf(frame.properties, key)
}
