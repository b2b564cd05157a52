// What all attaches need: their parts, and their refusal, which is an attach without the terminus on
// our side and a detach with the error behind it (2.6.3, figure 2.33).

import { DecodeError } from '../../../shared/bytes/decode-error.ts'
import { asComposite } from '../codec/composite.ts'
import { FaultCode } from '../codec/fault.ts'
import type { Composite } from '../codec/spec.ts'
import { kindOf } from '../codec/spec.ts'
import type { Described } from '../codec/value.ts'
import { entryOf } from '../codec/value.ts'
import type { AmqpError } from '../mapping/conditions.ts'
import { toComposite } from '../mapping/conditions.ts'
import type { SessionState } from './session-state.ts'

export type Attach = Composite<'attach'>

/** Tells the client that there will be no link. */
export function refuseAttach(session: SessionState, frame: Attach, error: AmqpError): void {
  const { context, channel } = session
  const { name, handle, role, source, target, sndSettleMode, rcvSettleMode } = frame
  context.host.log.warn(
    `refusing link '${name}' of ${context.host.peer.name}: ${error.description}`,
  )
  const common = { name, handle, role: !role, sndSettleMode, rcvSettleMode }
  if (role) context.send(channel, 'attach', { ...common, target, initialDeliveryCount: 0 })
  else context.send(channel, 'attach', { ...common, source })
  context.send(channel, 'detach', { handle, closed: true, error: toComposite(error) })
  // The client answers with a detach of its own.
  session.links[handle] = { kind: 'closing' }
}

/** The source or target of an attach; undefined where there is none. */
export function terminusOf<K extends 'source' | 'target'>(
  frame: Attach,
  kind: K,
): Composite<K> | undefined {
  const value = frame[kind] as Described | undefined
  if (value === undefined) return undefined
  if (kindOf(value.descriptor) !== kind)
    throw new DecodeError(FaultCode.invalidField, `${kind} of another type`)
  return asComposite(kind, value)
}

/** A property of an attach. */
export function propertyOf(frame: Attach, key: string): ReturnType<typeof entryOf> {
  return entryOf(frame.properties, key)
}
