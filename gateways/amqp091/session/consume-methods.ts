// basic.consume, basic.cancel, basic.get.

import { randomBytes } from 'node:crypto'
import type { GatewayLink, RequestSink } from '../../../shared/bus/gateway-port.ts'
import { EntryFlag } from '../../../shared/bus/wire.ts'
import type { PeerError } from '../../../shared/errors.ts'
import { placeQueue } from '../../../shared/placement.ts'
import type { MethodOf } from '../codec/method.ts'
import { wireArguments } from '../mapping/arguments.ts'
import {
  consumerTagInUse,
  noLastQueue,
  replyConsumerAcknowledges,
  secondReplyConsumer,
  tooManyConsumers,
} from '../mapping/refusals.ts'
import { replyToName } from '../mapping/reply-to.ts'
import { failMethod, textIn } from './ask.ts'
import type { Channel } from './channel.ts'
import { Consumer } from './consumer.ts'
import { writeGetOk } from './delivery.ts'
import { perform } from './operation.ts'

export function consume(
  channel: Channel,
  method: MethodOf<'basic.consume'>,
): PeerError | undefined {
  const { context, consumers } = channel
  const queue = method.queue === '' ? channel.lastQueue : method.queue
  if (queue === undefined) return noLastQueue()
  const replies = queue === replyToName
  const refusal = checkConsume(channel, method, replies)
  if (refusal !== undefined) return refusal
  const tag = method.consumerTag === '' ? serverTag() : method.consumerTag
  const { shardCount } = context.port
  const shard = replies ? channel.slot % shardCount : placeQueue(context.vhost, queue, shardCount)
  const consumer = new Consumer(context, channel, tag, shard, replies)
  consumers.set(tag, consumer)
  const op = {
    op: 'consume',
    channel: channel.slot,
    consumer: consumer.slot,
    queue,
    tag,
    noAck: method.noAck,
    exclusive: method.exclusive,
    prefetch: channel.prefetch,
    arguments: wireArguments(method.arguments),
  } as const
  perform(context, channel, shard, op, {
    onReply: (reply) => {
      if (reply.error !== undefined) {
        channel.removeConsumer(consumer)
        failMethod(channel, 'basic.consume', reply.error)
      } else if (channel.open) {
        if (replies) channel.replyTo = textIn(reply, 'replyTo')
        // The first delivery may be the very next record.
        if (!method.noWait) {
          context.send(channel.number, { kind: 'basic.consume-ok', consumerTag: tag })
        }
      }
    },
  })
  return undefined
}

export function cancel(channel: Channel, method: MethodOf<'basic.cancel'>): undefined {
  const { context } = channel
  const { consumerTag } = method
  const answer = (): void => {
    if (channel.open && !method.noWait) {
      context.send(channel.number, { kind: 'basic.cancel-ok', consumerTag })
    }
  }
  const consumer = channel.consumers.get(consumerTag)
  if (consumer === undefined) {
    answer()
    return
  }
  consumer.cancelling = true
  const op = { op: 'cancel', channel: channel.slot, consumer: consumer.slot } as const
  perform(context, channel, consumer.shard, op, {
    onReply: () => {
      channel.removeConsumer(consumer)
      answer()
    },
  })
}

export function get(channel: Channel, method: MethodOf<'basic.get'>): PeerError | undefined {
  const { context } = channel
  const queue = method.queue === '' ? channel.lastQueue : method.queue
  if (queue === undefined) return noLastQueue()
  const shard = placeQueue(context.vhost, queue, context.port.shardCount)
  const op = { op: 'get', channel: channel.slot, queue, noAck: method.noAck } as const
  perform(context, channel, shard, op, new GetAnswer(channel))
  return undefined
}

class GetAnswer implements RequestSink {
  private readonly channel: Channel

  constructor(channel: Channel) {
    this.channel = channel
  }

  onReply(reply: { readonly error?: PeerError }): void {
    if (reply.error !== undefined) failMethod(this.channel, 'basic.get', reply.error)
  }

  onGot(link: GatewayLink, at: number, deliveryId: number, flags: number, ready: number): void {
    const { channel } = this
    const { context } = channel
    if (!channel.open) return
    if ((flags & EntryFlag.empty) !== 0) {
      context.send(channel.number, { kind: 'basic.get-empty' })
      return
    }
    const tag = channel.nextDeliveryTag
    channel.nextDeliveryTag = tag + 1
    // Not counted: a prefetch limits consumers, not basic.get.
    if ((flags & EntryFlag.settled) === 0) channel.unacked.add(tag, link.shard, deliveryId, 0)
    writeGetOk(context, channel.number, tag, flags, ready, link, at)
  }
}

function checkConsume(
  channel: Channel,
  method: MethodOf<'basic.consume'>,
  replies: boolean,
): PeerError | undefined {
  const { consumers, context } = channel
  const max = context.settings.consumersPerChannelMax
  if (method.consumerTag !== '' && consumers.has(method.consumerTag)) {
    return consumerTagInUse(method.consumerTag)
  }
  if (consumers.size >= max) return tooManyConsumers(max)
  if (!replies) return undefined
  if (!method.noAck) return replyConsumerAcknowledges()
  for (const consumer of consumers.values()) {
    if (consumer.replies) return secondReplyConsumer()
  }
  return undefined
}

// 16 random bytes are 22 characters of base64url, the form of RabbitMQ's tags.
function serverTag(): string {
  return `amq.ctag-${randomBytes(16).toString('base64url')}`
}
