// Confirms of the shard to dispositions: runs of delivery-ids with the same outcome in one frame.

import { composite } from '../codec/composite.ts'
import { DISPOSITION_SIZE_MAX, encodeDisposition } from '../codec/frame-writer.ts'
import { Descriptor } from '../codec/spec.ts'
import { toComposite } from '../mapping/conditions.ts'
import type { ConnectionContext } from './connection-context.ts'
import type { IncomingLink } from './incoming-link.ts'
import { advance } from './serial-number.ts'
import type { Link, SessionState } from './session-state.ts'
import type { UnconfirmedQueue } from './unconfirmed.ts'

// HOT: once per batch of confirms
/** The first `count` publishes are confirmed: tells the client their outcomes. */
export function sendConfirms(session: SessionState, count: number): void {
  const { unconfirmed, links } = session
  if (session.open) {
    let from = 0
    while (from < count) from = sendRun(session.context, session.channel, unconfirmed, from, count)
    countDown(links, unconfirmed, count)
  }
  unconfirmed.drop(count)
  if (session.doomed.length > 0) detachDoomed(session)
}

function detachDoomed(session: SessionState): void {
  const told = session.doomed.filter(
    ({ sequence }) => ((session.unconfirmed.sequence - sequence) | 0) > 0,
  )
  session.doomed = session.doomed.filter((each) => !told.includes(each))
  for (const { link, error } of told) session.detach(link, error)
}

// Sends the run that begins at `from`; gives where the next begins.
function sendRun(
  context: ConnectionContext,
  channel: number,
  unconfirmed: UnconfirmedQueue,
  from: number,
  count: number,
): number {
  const outcome = unconfirmed.outcomeAt(from)
  const first = unconfirmed.idAt(from)
  if (outcome === 0 || unconfirmed.handleAt(from) < 0) return from + 1
  if (outcome === Descriptor.rejected) {
    const error = unconfirmed.errorAt(from)
    const state = composite('rejected', {
      error: error === undefined ? undefined : toComposite(error),
    })
    context.send(channel, 'disposition', { role: true, first, settled: true, state })
    return from + 1
  }
  let last = first
  let next = from + 1
  while (
    next < count &&
    unconfirmed.outcomeAt(next) === outcome &&
    unconfirmed.idAt(next) === advance(last, 1) &&
    unconfirmed.handleAt(next) >= 0
  ) {
    last = advance(last, 1)
    next++
  }
  const { out } = context
  out.reserve(DISPOSITION_SIZE_MAX)
  out.at = encodeDisposition(out.bytes, out.at, channel, true, first, last, true, outcome)
  context.touch()
  return next
}

// What a link may send more depends on how much of it is confirmed.
function countDown(
  links: readonly (Link | undefined)[],
  unconfirmed: UnconfirmedQueue,
  count: number,
): void {
  let last = -1
  let link: IncomingLink | undefined
  for (let i = 0; i < count; i++) {
    const handle = unconfirmed.handleAt(i)
    if (handle !== last) {
      link?.grant()
      const found = handle < 0 ? undefined : links[handle]
      link = found?.kind === 'incoming' ? found : undefined
      last = handle
    }
    if (link !== undefined) link.unconfirmed--
  }
  link?.grant()
}
