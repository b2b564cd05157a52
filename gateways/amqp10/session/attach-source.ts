// Attaching a link on which we send: which queue it consumes from, and how.

import type { ControlReply, WireArguments } from '../../../shared/bus/control.ts'
import type { FieldEntry } from '../../../shared/message/value.ts'
import { placeQueue } from '../../../shared/placement.ts'
import { composite } from '../codec/composite.ts'
import type { Composite, CompositeFields } from '../codec/spec.ts'
import { Descriptor } from '../codec/spec.ts'
import type { AmqpMap } from '../codec/value.ts'
import { integerOf, map, symbol, textOf, ulong, utf8 } from '../codec/value.ts'
import { isVersion2, parseAddressV1, parseSource, queueAddress } from '../mapping/address.ts'
import type { AmqpError } from '../mapping/conditions.ts'
import { amqpError, Condition, fromPeerError, isAccessRefusal } from '../mapping/conditions.ts'
import type { ParsedFilter } from '../mapping/filter/filter-set.ts'
import { parseFilter } from '../mapping/filter/filter-set.ts'
import { OUTCOMES } from '../mapping/outcome.ts'
import type { Attach } from './attach-frame.ts'
import { propertyOf, refuseAttach, terminusOf } from './attach-frame.ts'
import { declareThen, queueDeclare } from './attach-target.ts'
import {
  dynamicNodeProperties,
  dynamicQueueName,
  temporaryQueue,
  volatileQueue,
} from './dynamic-node.ts'
import { SndSettleMode } from './incoming-link.ts'
import { perform } from './operation.ts'
import { OutgoingLink } from './outgoing-link.ts'
import type { SessionState } from './session-state.ts'

type Source = Composite<'source'>

/** The pseudo queue of direct reply-to. */
const replyToName = 'amq.rabbitmq.reply-to'

export function attachSource(session: SessionState, frame: Attach): AmqpError | undefined {
  const source = terminusOf(frame, 'source')
  if (source === undefined)
    return amqpError(Condition.invalidField, 'Attach refused: source_required')
  if (source.dynamic === true) return attachDynamic(session, frame, source)
  const unsupported = source.outcomes?.find((outcome) => !OUTCOMES.includes(outcome))
  if (unsupported !== undefined) {
    return amqpError(Condition.notImplemented, `Outcomes not supported: ${unsupported}`)
  }
  const address = textOf(source.address)
  if (address === undefined) return badAddress(String(source.address?.value))
  if (!isVersion2(address)) return attachV1(session, frame, source, address)
  const queue = parseSource(address)
  if (queue === undefined) return badAddress(address)
  consume(session, frame, { queue, source, dynamic: false })
  return undefined
}

function badAddress(address: string): AmqpError {
  return amqpError(Condition.invalidField, `Attach refused: bad v2 address string: ${address}`)
}

interface Wanted {
  readonly queue: string
  /** As the client asked, or as we have made it. */
  readonly source: CompositeFields<'source'>
  readonly dynamic: boolean
}

function attachV1(
  session: SessionState,
  frame: Attach,
  source: Source,
  address: string,
): AmqpError | undefined {
  if (!session.context.settings.addressV1Permitted) {
    return amqpError(
      Condition.invalidField,
      `Attach refused: amqp_address_v1_not_permitted, bad v2 address string: ${address}`,
    )
  }
  const found = parseAddressV1(address)
  if (found === undefined || (found.kind === 'queue' && found.name === ''))
    return badAddress(address)
  const durable = (source.durable ?? 0) > 0
  if (found.kind === 'queue') {
    const wanted = { queue: found.name, source, dynamic: false }
    if (!found.declares) consume(session, frame, wanted)
    else {
      declareThen(session, frame, queueDeclare(session, found.name, durable, false), () =>
        consume(session, frame, wanted),
      )
    }
    return undefined
  }
  const queue = dynamicQueueName('', frame.name).replace('amq.dyn-', 'amq.gen')
  const bind = {
    op: 'queueBind',
    connection: session.context.slot,
    queue,
    exchange: found.name,
    routingKey: found.routingKey ?? '',
    arguments: [],
  } as const
  declareThen(session, frame, queueDeclare(session, queue, durable, !durable, true), () =>
    declareThen(session, frame, bind, () =>
      consume(session, frame, { queue, source, dynamic: false }),
    ),
  )
  return undefined
}

function attachDynamic(
  session: SessionState,
  frame: Attach,
  source: Source,
): AmqpError | undefined {
  const capabilities = source.capabilities ?? []
  if (capabilities.includes(volatileQueue) && isVolatile(frame, source)) {
    const made = {
      durable: source.durable,
      expiryPolicy: source.expiryPolicy,
      timeout: 0,
      dynamic: true,
      dynamicNodeProperties,
      distributionMode: 'move',
      capabilities: [volatileQueue],
    }
    consume(session, frame, { queue: replyToName, source: made, dynamic: false })
    return undefined
  }
  if (!capabilities.includes(temporaryQueue)) {
    return amqpError(Condition.notImplemented, 'Dynamic source not supported')
  }
  const queue = dynamicQueueName(session.context.containerId, frame.name)
  const made = {
    address: utf8(queueAddress(queue)),
    durable: 0,
    expiryPolicy: 'link-detach',
    timeout: 0,
    dynamic: true,
    dynamicNodeProperties,
    capabilities: [temporaryQueue],
  }
  declareThen(session, frame, queueDeclare(session, queue, false, true, true), () =>
    consume(session, frame, { queue, source: made, dynamic: true }),
  )
  return undefined
}

function isVolatile(frame: Attach, source: Source): boolean {
  return (
    frame.sndSettleMode === SndSettleMode.settled &&
    (source.durable ?? 0) === 0 &&
    source.expiryPolicy === 'link-detach' &&
    (source.timeout ?? 0) === 0
  )
}

function consume(session: SessionState, frame: Attach, wanted: Wanted): void {
  const { context } = session
  const { shardCount } = context.port
  const replies = wanted.queue === replyToName
  const shard = replies
    ? session.slot % shardCount
    : placeQueue(context.vhost, wanted.queue, shardCount)
  const asked = Number(frame.maxMessageSize ?? 0)
  const settled = frame.sndSettleMode === SndSettleMode.settled
  const link = new OutgoingLink(session, {
    name: frame.name,
    handle: frame.handle,
    queue: wanted.queue,
    shard,
    settled,
    messageSizeMax: asked === 0 ? Number.POSITIVE_INFINITY : asked,
  })
  const filter = parseFilter(wanted.source.filter)
  const op = {
    op: 'consume',
    channel: session.slot,
    consumer: link.slot,
    queue: wanted.queue,
    tag: `ctag-${frame.handle}`,
    noAck: settled,
    exclusive: false,
    prefetch: 0,
    credited: true,
    arguments: argumentsOf(frame, filter),
  } as const
  perform(session, shard, op, (reply) => {
    if (reply.error === undefined) {
      session.links[frame.handle] = link
      link.dynamic = wanted.dynamic
      if (replies) answerReplyTo(session, frame, link, wanted, reply)
      else describe(session, frame, link, wanted, filter)
      return
    }
    link.free()
    if (isAccessRefusal(reply.error) && !reply.error.text.includes('exclusive use')) {
      session.fail(fromPeerError(reply.error))
    } else refuseAttach(session, frame, fromPeerError(reply.error))
  })
}

function argumentsOf(frame: Attach, filter: ParsedFilter): WireArguments {
  const table: FieldEntry[] = [...filter.arguments]
  const priority = integerOf(propertyOf(frame, 'rabbitmq:priority'))
  if (priority !== undefined) table.push(['x-priority', { type: 'l', value: priority }])
  const timeout = integerOf(propertyOf(frame, 'rabbitmq:consumer-timeout'))
  if (timeout !== undefined) table.push(['x-consumer-timeout', { type: 'l', value: timeout }])
  return table
}

function answerReplyTo(
  session: SessionState,
  frame: Attach,
  link: OutgoingLink,
  wanted: Wanted,
  reply: ControlReply,
): void {
  const queue = String(reply['replyTo'])
  link.queue = queue
  answer(session, frame, { ...wanted.source, address: utf8(queueAddress(queue)) }, undefined)
}

// The kind of the queue decides which filters hold, and what the link can do.
function describe(
  session: SessionState,
  frame: Attach,
  link: OutgoingLink,
  wanted: Wanted,
  filter: ParsedFilter,
): void {
  const op = {
    op: 'describeQueue',
    connection: session.context.slot,
    queue: wanted.queue,
  } as const
  perform(session, link.shard, op, (reply) => {
    const stream = reply['type'] === 'stream'
    if (stream && filter.messages !== undefined) link.screen(filter.messages)
    const source = {
      ...wanted.source,
      distributionMode: stream ? 'copy' : 'move',
      filter: stream ? filter.effective : wanted.source.filter && [],
      defaultOutcome: {
        type: 'described',
        descriptor: ulong(Descriptor.released),
        value: { type: 'list', value: [] },
      } as const,
      outcomes: OUTCOMES,
      capabilities: wanted.dynamic ? [temporaryQueue] : undefined,
    }
    const properties = stream && filter.faults.length > 0 ? ignored(filter) : undefined
    answer(session, frame, source, stream ? streamCapabilities : undefined, properties)
  })
}

/** Tells why filters are not in place, where a client that misses them may look. */
function ignored({ faults }: ParsedFilter): AmqpMap {
  const reasons = faults.map(({ name, reason }) => [symbol(name), utf8(reason)] as const)
  return [[symbol('warren:ignored-filters'), map(reasons)]]
}

function answer(
  session: SessionState,
  frame: Attach,
  source: CompositeFields<'source'>,
  offeredCapabilities: readonly string[] | undefined,
  properties?: AmqpMap,
): void {
  const { name, handle, sndSettleMode, target } = frame
  const settled = sndSettleMode === SndSettleMode.settled
  session.context.send(session.channel, 'attach', {
    name,
    handle,
    role: false,
    sndSettleMode: settled ? SndSettleMode.settled : SndSettleMode.unsettled,
    rcvSettleMode: 0,
    source: composite('source', source),
    target,
    initialDeliveryCount: 0,
    maxMessageSize: frame.maxMessageSize,
    offeredCapabilities,
    properties,
  })
}

const streamCapabilities: readonly string[] = ['AMQP_FILTEX_PROP_V1_0', 'AMQP_FILTEX_SQL_V1_0']
