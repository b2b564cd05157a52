// basic.ack, nack, reject and recover: delivery tags to settlements on the bus.

import type { UnackedTags } from '../../../shared/bus/unacked-tags.ts'
import { Outcome } from '../../../shared/bus/wire.ts'
import type { PeerError } from '../../../shared/errors.ts'
import { unknownDeliveryTag } from '../mapping/refusals.ts'
import type { ConnectionContext } from './connection-context.ts'
import type { GlobalPrefetch } from './global-prefetch.ts'
import type { Traffic } from './operation.ts'
import type { Transaction } from './transaction.ts'

/** What acknowledging needs of its channel. */
export interface AcknowledgingChannel {
  readonly slot: number
  readonly unacked: UnackedTags
  readonly globalPrefetch: GlobalPrefetch
  readonly traffic: Traffic
  readonly transaction: Transaction | undefined
}

// HOT: once per acknowledgement
/** Settles one tag, or with `multiple` all up to it (0: all). An error closes the channel. */
export function acknowledge(
  context: ConnectionContext,
  channel: AcknowledgingChannel,
  tag: number,
  multiple: boolean,
  outcome: number,
): PeerError | undefined {
  if (channel.transaction !== undefined) return defer(channel, tag, multiple, outcome)
  if (multiple) return acknowledgeRange(context, channel, tag, outcome)
  const { unacked } = channel
  if (!unacked.take(tag)) return unknownDeliveryTag(tag)
  channel.traffic.settled[unacked.shard] = 1
  context.settle(unacked.shard, channel.slot, unacked.deliveryId, outcome, false)
  if (unacked.counted !== 0) channel.globalPrefetch.onSettled(1)
  return undefined
}

/** basic.recover: everything unacknowledged goes back to its queue. */
export function recover(context: ConnectionContext, channel: AcknowledgingChannel): void {
  if (channel.transaction?.hasDeferred() !== true) {
    acknowledgeRange(context, channel, 0, Outcome.requeue)
    return
  }
  // "Up to" would include what waits for the commit.
  let counted = 0
  channel.unacked.takeAll((_tag, shard, deliveryId, count) => {
    channel.traffic.settled[shard] = 1
    context.settle(shard, channel.slot, deliveryId, Outcome.requeue, false)
    counted += count
  })
  channel.globalPrefetch.onSettled(counted)
}

/** tx.commit: the deferred acknowledgements become settlements. */
export function settleDeferred(
  context: ConnectionContext,
  channel: AcknowledgingChannel,
  transaction: Transaction,
): void {
  let settled = 0
  transaction.drain((shard, deliveryId, counted, outcome) => {
    channel.traffic.settled[shard] = 1
    context.settle(shard, channel.slot, deliveryId, outcome, false)
    settled += counted
  })
  channel.globalPrefetch.onSettled(settled)
}

// Delivery ids of a channel rise by one each per shard, so one record per shard settles the range.
function acknowledgeRange(
  context: ConnectionContext,
  channel: AcknowledgingChannel,
  tag: number,
  outcome: number,
): PeerError | undefined {
  const { rangeIds, rangePresent } = context
  rangePresent.fill(0)
  if (!channel.unacked.takeRange(tag, rangeIds, rangePresent)) return unknownDeliveryTag(tag)
  const counted = channel.unacked.counted
  for (let shard = 0; shard < rangePresent.length; shard++) {
    if (rangePresent[shard] === 0) continue
    channel.traffic.settled[shard] = 1
    context.settle(shard, channel.slot, rangeIds[shard] as number, outcome, true)
  }
  if (counted > 0) channel.globalPrefetch.onSettled(counted)
  return undefined
}

function defer(
  channel: AcknowledgingChannel,
  tag: number,
  multiple: boolean,
  outcome: number,
): PeerError | undefined {
  const { unacked, transaction } = channel
  const take = (each: number, shard: number, deliveryId: number, counted: number): void =>
    transaction?.defer(each, shard, deliveryId, counted, outcome)
  if (!multiple) {
    if (!unacked.take(tag)) return unknownDeliveryTag(tag)
    take(tag, unacked.shard, unacked.deliveryId, unacked.counted)
    return undefined
  }
  if (tag === 0) unacked.takeAll(take)
  else if (!unacked.takeUpTo(tag, take)) return unknownDeliveryTag(tag)
  return undefined
}
