// What a client asks of an open channel, by method. Each handler gives an error to close the channel
// (or connection) with, or undefined; answers that need a shard come later.

import { EntryFlag } from '../../../shared/bus/wire.ts'
import type { PeerError } from '../../../shared/errors.ts'
import type { Method } from '../codec/method.ts'
import {
  channelOpenTwice,
  confirmInTx,
  notImplemented,
  notTransactional,
  txInConfirm,
} from '../mapping/refusals.ts'
import { recover, settleDeferred } from './acknowledgement.ts'
import { failMethod } from './ask.ts'
import type { Channel } from './channel.ts'
import { cancel, consume, get } from './consume-methods.ts'
import { fence, perform } from './operation.ts'
import { setPrefetch } from './prefetch-methods.ts'
import { handleTopologyMethod } from './topology-methods.ts'

/** Carries out a method on an open channel. */
export function handleMethod(channel: Channel, method: Method): void {
  const error = dispatch(channel, method)
  if (error !== undefined) failMethod(channel, method.kind, error)
}

function dispatch(channel: Channel, method: Method): PeerError | undefined {
  switch (method.kind) {
    case 'basic.consume':
      return consume(channel, method)
    case 'basic.cancel':
      return cancel(channel, method)
    case 'basic.get':
      return get(channel, method)
    case 'basic.qos':
      return setPrefetch(channel, method)
    case 'basic.recover':
    case 'basic.recover-async':
      return recoverAll(channel, method.requeue, method.kind === 'basic.recover')
    case 'confirm.select':
      return selectConfirms(channel, method.noWait)
    case 'tx.select':
      return selectTransactions(channel)
    case 'tx.commit':
      return commit(channel)
    case 'tx.rollback':
      return rollback(channel)
    case 'channel.flow':
      return setFlow(channel, method.active)
    case 'channel.close':
      closeByClient(channel)
      return undefined
    case 'channel.open':
      return channelOpenTwice()
    case 'access.request':
      channel.context.send(channel.number, { kind: 'access.request-ok', ticket: 1 })
      return undefined
    default:
      return handleTopologyMethod(channel, method)
  }
}

function recoverAll(channel: Channel, requeue: boolean, answer: boolean): PeerError | undefined {
  if (!requeue) return notImplemented('requeue=false')
  recover(channel.context, channel)
  if (answer) channel.context.send(channel.number, { kind: 'basic.recover-ok' })
  return undefined
}

function selectConfirms(channel: Channel, noWait: boolean): PeerError | undefined {
  if (channel.transaction !== undefined) return confirmInTx()
  channel.publishFlags = EntryFlag.confirm
  if (noWait) return undefined
  // Returns of what was published before come before the answer, as from RabbitMQ.
  const { context } = channel
  context.await(channel)
  fence(context.port, channel, -1, true, () => {
    context.answered(channel)
    if (channel.open) context.send(channel.number, { kind: 'confirm.select-ok' })
    context.sendLate()
  })
  return undefined
}

function selectTransactions(channel: Channel): PeerError | undefined {
  if ((channel.publishFlags & EntryFlag.confirm) !== 0) return txInConfirm()
  channel.selectTransactions()
  channel.context.send(channel.number, { kind: 'tx.select-ok' })
  return undefined
}

function commit(channel: Channel): PeerError | undefined {
  const { context, transaction } = channel
  if (transaction === undefined) return notTransactional()
  settleDeferred(context, channel, transaction)
  context.whenSettled(() => {
    if (!channel.open) return
    const { published } = transaction
    transaction.published = false
    if (published) endTransaction(channel, 'txCommit', 'tx.commit')
    else context.send(channel.number, { kind: 'tx.commit-ok' })
  })
  return undefined
}

function rollback(channel: Channel): PeerError | undefined {
  const { context, transaction } = channel
  if (transaction === undefined) return notTransactional()
  transaction.restore(channel.unacked)
  const { published } = transaction
  transaction.published = false
  if (published) endTransaction(channel, 'txRollback', 'tx.rollback')
  else context.send(channel.number, { kind: 'tx.rollback-ok' })
  return undefined
}

function endTransaction(
  channel: Channel,
  op: 'txCommit' | 'txRollback',
  kind: 'tx.commit' | 'tx.rollback',
): void {
  const { context } = channel
  perform(
    context,
    channel,
    channel.traffic.ingress,
    { op, channel: channel.slot },
    {
      onReply: (reply) => {
        if (reply.error !== undefined) failMethod(channel, kind, reply.error)
        else if (channel.open) context.send(channel.number, { kind: `${kind}-ok` })
      },
    },
  )
}

function setFlow(channel: Channel, active: boolean): PeerError | undefined {
  if (!active) return notImplemented('active=false')
  channel.context.send(channel.number, { kind: 'channel.flow-ok', active })
  return undefined
}

function closeByClient(channel: Channel): void {
  const { context } = channel
  const answer = (): void => {
    // Not behind a connection.close.
    if (context.slot !== 0) context.send(channel.number, { kind: 'channel.close-ok' })
  }
  context.await(channel)
  fence(context.port, channel, -1, false, () => {
    if (channel.open) {
      channel.close(() => {
        channel.forget()
        answer()
      })
    } else {
      // Closed by an error of an earlier publish: the client still owes its close-ok.
      context.answered(channel)
      answer()
    }
  })
}
