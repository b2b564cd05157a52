// Dispositions of a client to settlements on the bus.

import { Outcome } from '../../../shared/bus/wire.ts'
import type { FieldTable } from '../../../shared/message/value.ts'
import { asComposite } from '../codec/composite.ts'
import type { FrameDecoder } from '../codec/frame.ts'
import { ABSENT } from '../codec/frame.ts'
import { Descriptor } from '../codec/spec.ts'
import type { Described } from '../codec/value.ts'
import { NULL } from '../codec/value.ts'
import { decodeValue } from '../codec/value-reader.ts'
import { amqpError, Condition } from '../mapping/conditions.ts'
import { modifiedHeaders, modifiedOutcome } from '../mapping/outcome.ts'
import { distance } from './serial-number.ts'
import type { SessionState } from './session-state.ts'

// HOT: once per disposition
/** Settles the deliveries that a disposition names. */
export function settleDeliveries(session: SessionState, decoder: FrameDecoder): void {
  const { first, last, state, settled } = decoder
  // No final state: nothing has come of them yet.
  if (state === Descriptor.received || (state === ABSENT && settled !== 1)) return
  if (state === Descriptor.modified) {
    if (!settleModified(session, decoder)) return
  } else {
    const outcome = outcomeOf(session, state)
    if (outcome < 0) return
    settleRange(session, first, last, outcome)
  }
  if (settled === 1) return
  const { bytes, stateAt, stateEnd } = decoder
  const value = state === ABSENT ? NULL : decodeValue(bytes, stateAt, stateEnd)
  session.context.send(session.channel, 'disposition', {
    role: false,
    first,
    last,
    settled: true,
    state: value.type === 'described' ? (value as Described) : undefined,
  })
}

// -1: the session has ended for it.
function outcomeOf(session: SessionState, state: number): number {
  switch (state) {
    case Descriptor.accepted:
      return Outcome.complete
    case Descriptor.rejected:
      return Outcome.discard
    case Descriptor.released:
      return Outcome.requeue
    case ABSENT:
      // The default outcome that our attach has announced.
      return Outcome.requeue
    default:
      session.fail(amqpError(Condition.invalidField, 'Unrecognised state in DISPOSITION'))
      return -1
  }
}

// False: the session has ended for it.
function settleModified(session: SessionState, decoder: FrameDecoder): boolean {
  const { first, last, bytes, stateAt, stateEnd } = decoder
  const state = asComposite('modified', decodeValue(bytes, stateAt, stateEnd) as Described)
  const outcome = modifiedOutcome(state)
  if (typeof outcome !== 'number') {
    session.fail(outcome)
    return false
  }
  const headers = modifiedHeaders(state)
  if (headers.length === 0) settleRange(session, first, last, outcome)
  else modifyRange(session, first, last, outcome, headers)
  return true
}

function modifyRange(
  session: SessionState,
  first: number,
  last: number,
  outcome: number,
  headers: FieldTable,
): void {
  const { unsettled, context, traffic, slot } = session
  let place = unsettled.firstPlace(first)
  while (place >= 0 && distance(unsettled.idAt(place), last) <= 0) {
    const shard = unsettled.shardAt(place)
    const delivery = unsettled.busIdAt(place)
    traffic.settled[shard] = 1
    context.port.notify(shard, { op: 'modify', channel: slot, delivery, outcome, headers })
    unsettled.take(place)
    place = unsettled.nextPlace(place)
  }
  unsettled.trim()
}

// HOT: once per disposition
function settleRange(session: SessionState, first: number, last: number, outcome: number): void {
  const { unsettled, context, traffic, slot } = session
  let place = unsettled.firstPlace(first)
  if (place < 0 || distance(last, first) < 0) return
  if (place === unsettled.firstPlace(unsettled.oldest()) && last !== first) {
    settleFromOldest(session, place, last, outcome)
    return
  }
  while (place >= 0 && distance(unsettled.idAt(place), last) <= 0) {
    const shard = unsettled.shardAt(place)
    traffic.settled[shard] = 1
    context.settle(shard, slot, unsettled.busIdAt(place), outcome, false)
    unsettled.take(place)
    place = unsettled.nextPlace(place)
  }
  unsettled.trim()
}

// All up to `last`: one record per shard, since bus ids rise with delivery-ids per shard.
function settleFromOldest(
  session: SessionState,
  from: number,
  last: number,
  outcome: number,
): void {
  const { unsettled, context, traffic, slot } = session
  const { shardCount } = context.port
  lastIds.length = shardCount
  lastIds.fill(0)
  for (let place = from; place >= 0; place = unsettled.nextPlace(place)) {
    if (distance(unsettled.idAt(place), last) > 0) break
    const shard = unsettled.shardAt(place)
    traffic.settled[shard] = 1
    lastIds[shard] = unsettled.busIdAt(place)
    seen[shard] = 1
    unsettled.take(place)
  }
  unsettled.trim()
  for (let shard = 0; shard < shardCount; shard++) {
    if (seen[shard] !== 1) continue
    seen[shard] = 0
    context.settle(shard, slot, lastIds[shard] as number, outcome, true)
  }
}

// Scratch of settleFromOldest, by shard.
const lastIds: number[] = []
const seen: number[] = []
