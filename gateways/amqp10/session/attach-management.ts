// Attaching the halves of a management link pair.

import { composite } from '../codec/composite.ts'
import { textOf } from '../codec/value.ts'
import type { AmqpError } from '../mapping/conditions.ts'
import { amqpError, Condition } from '../mapping/conditions.ts'
import type { Attach } from './attach-frame.ts'
import { propertyOf, terminusOf } from './attach-frame.ts'
import { SndSettleMode } from './incoming-link.ts'
import { ManagementLink } from './management-link.ts'
import type { SessionState } from './session-state.ts'

const managementAddress = '/management'

/** Whether an attach is for a half of a management link pair. */
export function isManagement(frame: Attach): boolean {
  if (frame.role) return textOf(terminusOf(frame, 'source')?.address) === managementAddress
  return (
    frame.sndSettleMode === SndSettleMode.settled &&
    textOf(terminusOf(frame, 'target')?.address) === managementAddress
  )
}

export function attachManagement(session: SessionState, frame: Attach): AmqpError | undefined {
  const { name, handle, role, source, target } = frame
  if (propertyOf(frame, 'paired')?.value !== true) {
    return amqpError(
      Condition.invalidField,
      "Link property 'paired' is not set to boolean value 'true'",
    )
  }
  const pair = session.pairs.get(name)
  if ((role ? pair?.out : pair?.in) !== undefined) {
    return amqpError(
      Condition.preconditionFailed,
      `received invalid attach for management link pair '${name}'`,
    )
  }
  const { context, channel } = session
  const max = context.settings.messageSizeMax
  const asked = Number(frame.maxMessageSize ?? 0)
  const sizeMax = asked === 0 ? Number.POSITIVE_INFINITY : asked
  const count = role ? 0 : (frame.initialDeliveryCount ?? 0)
  const link = new ManagementLink(session, name, handle, !role, count, sizeMax)
  session.links[handle] = link
  context.send(channel, 'attach', {
    name,
    handle,
    role: !role,
    sndSettleMode: SndSettleMode.settled,
    rcvSettleMode: 0,
    source: source ?? composite('source', {}),
    target: target ?? composite('target', {}),
    initialDeliveryCount: role ? 0 : undefined,
    maxMessageSize: role ? frame.maxMessageSize : max,
    properties: frame.properties,
  })
  if (!role) session.sendFlow(handle, link.deliveryCount, link.credit)
  return undefined
}
