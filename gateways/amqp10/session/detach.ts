// How links end.

import { perform, registryShard, settleDown } from './operation.ts'
import type { OutgoingLink } from './outgoing-link.ts'
import type { OpenLink, SessionState } from './session-state.ts'

/** The client detaches: answered when its messages are where they belong, or back in their queue. */
export function detachByClient(session: SessionState, handle: number): void {
  const link = session.links[handle]
  if (link === undefined) return
  if (link.kind === 'closing') {
    session.links[handle] = undefined
    return
  }
  if (link.kind === 'outgoing') {
    detachOutgoing(session, link)
    return
  }
  session.links[handle] = undefined
  dropLink(session, link)
  if (link.kind === 'management') {
    answer(session, handle)
    return
  }
  if (link.dynamicQueue !== undefined) {
    deleteQueue(session, link.dynamicQueue, () => answer(session, handle))
    return
  }
  settleDown(session, () => answer(session, handle))
}

/** What a link holds goes: parts of messages, deliveries that are not settled. */
export function dropLink(session: SessionState, link: OpenLink): void {
  link.live = false
  if (link.kind === 'management') {
    link.close()
    return
  }
  if (link.kind === 'incoming') {
    link.drop()
    session.unconfirmed.orphan(link.handle)
    if (link.dynamicQueue !== undefined && session.links[link.handle] !== undefined) {
      deleteQueue(session, link.dynamicQueue, () => undefined)
    }
    return
  }
  link.onStray = session.giveBack
  session.transfers.drop(link, session.giveBack)
  const { unsettled } = session
  for (let place = unsettled.firstPlace(unsettled.oldest()); place >= 0; ) {
    const next = unsettled.nextPlace(place)
    if (unsettled.handleAt(place) === link.handle) {
      session.giveBack(unsettled.shardAt(place), unsettled.busIdAt(place))
      unsettled.take(place)
    }
    place = next
  }
  unsettled.trim()
}

function detachOutgoing(session: SessionState, link: OutgoingLink): void {
  const { handle } = link
  dropLink(session, link)
  const op = { op: 'cancel', channel: session.slot, consumer: link.slot } as const
  perform(session, link.shard, op, () => {
    // Deliveries that came before the answer have been given back meanwhile.
    link.free()
    session.links[handle] = undefined
    if (link.dynamic) deleteQueue(session, link.queue, () => answer(session, handle))
    else answer(session, handle)
  })
}

function deleteQueue(session: SessionState, queue: string, done: () => void): void {
  const connection = session.context.slot
  const op = { op: 'queueDelete', connection, queue, ifUnused: false, ifEmpty: false } as const
  perform(session, registryShard, op, done)
}

function answer(session: SessionState, handle: number): void {
  session.context.send(session.channel, 'detach', { handle, closed: true })
}
