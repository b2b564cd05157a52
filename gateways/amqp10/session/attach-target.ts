// Attaching a link on which the client sends: where its messages go.

import type { ControlOp } from '../../../shared/bus/control.ts'
import { utf8Size } from '../../../shared/bytes/utf8.ts'
import { composite } from '../codec/composite.ts'
import type { Composite } from '../codec/spec.ts'
import type { Described } from '../codec/value.ts'
import { textOf, utf8 } from '../codec/value.ts'
import { isVersion2, parseAddressV1, parseTarget, queueAddress } from '../mapping/address.ts'
import type { AmqpError } from '../mapping/conditions.ts'
import { amqpError, Condition, fromPeerError, isAccessRefusal } from '../mapping/conditions.ts'
import type { Attach } from './attach-frame.ts'
import { refuseAttach, terminusOf } from './attach-frame.ts'
import { dynamicNodeProperties, dynamicQueueName, temporaryQueue } from './dynamic-node.ts'
import type { Destination } from './incoming-link.ts'
import { IncomingLink, SndSettleMode } from './incoming-link.ts'
import { perform, registryShard } from './operation.ts'
import type { SessionState } from './session-state.ts'

export function attachTarget(session: SessionState, frame: Attach): AmqpError | undefined {
  const target = terminusOf(frame, 'target')
  if (target === undefined)
    return amqpError(Condition.invalidField, 'attach of a sender without target')
  if (target.dynamic === true) return attachDynamic(session, frame, target)
  const { address } = target
  if (address === undefined) {
    accept(session, frame, undefined, frame.target)
    return undefined
  }
  const text = textOf(address)
  const destination = text === undefined ? undefined : destinationOf(session, text)
  if (destination === undefined) {
    return amqpError(Condition.invalidField, `bad v2 address string: ${String(address.value)}`)
  }
  if ('condition' in destination) return destination
  if (destination.declare === undefined) check(session, frame, destination)
  else declareV1(session, frame, destination, destination.declare)
  return undefined
}

/** What the names of direct reply-to begin with. */
const replyPrefix = 'amq.rabbitmq.reply-to.'

interface Wanted extends Destination {
  /** The queue to declare first. */
  readonly declare: string | undefined
}

function destinationOf(session: SessionState, address: string): Wanted | AmqpError | undefined {
  if (isVersion2(address)) {
    const target = parseTarget(address)
    if (target === undefined || utf8Size(target.exchange) > 255) return undefined
    return utf8Size(target.routingKey) > 255 ? undefined : { ...target, declare: undefined }
  }
  if (!session.context.settings.addressV1Permitted) {
    return amqpError(
      Condition.invalidField,
      `Attach refused: amqp_address_v1_not_permitted, bad v2 address string: ${address}`,
    )
  }
  const found = parseAddressV1(address)
  if (found === undefined || utf8Size(found.name) > 255) return undefined
  if (found.kind === 'exchange') {
    return {
      exchange: found.name,
      routingKey: found.routingKey,
      queue: undefined,
      declare: undefined,
    }
  }
  const queue = found.name === '' ? undefined : found.name
  const declare = found.declares ? queue : undefined
  return { exchange: '', routingKey: found.routingKey, queue, declare }
}

function declareV1(
  session: SessionState,
  frame: Attach,
  destination: Destination,
  queue: string,
): void {
  const durable = (terminusOf(frame, 'target')?.durable ?? 0) > 0
  declareThen(session, frame, queueDeclare(session, queue, durable, false), () =>
    check(session, frame, destination),
  )
}

/** A declare of a queue of its own kind: a default classic queue. */
export function queueDeclare(
  session: SessionState,
  queue: string,
  durable: boolean,
  exclusive: boolean,
  generated = false,
): ControlOp {
  return {
    op: 'queueDeclare',
    connection: session.context.slot,
    queue,
    generated,
    passive: false,
    durable,
    exclusive,
    autoDelete: false,
    arguments: [],
  }
}

/** Declares, then goes on; a refusal is told. */
export function declareThen(
  session: SessionState,
  frame: Attach,
  op: ControlOp,
  next: () => void,
): void {
  perform(session, registryShard, op, (reply) => {
    if (reply.error === undefined) next()
    else if (isAccessRefusal(reply.error)) session.fail(fromPeerError(reply.error))
    else refuseAttach(session, frame, fromPeerError(reply.error))
  })
}

function check(session: SessionState, frame: Attach, destination: Destination): void {
  if (destination.queue?.startsWith(replyPrefix) === true) {
    // A reply queue is no declared one: asked for in its own way.
    const { queue } = destination
    const op = { ...queueDeclare(session, queue, false, false), passive: true } as ControlOp
    declareThen(session, frame, op, () => checkTarget(session, frame, destination, undefined))
  } else checkTarget(session, frame, destination, destination.queue)
}

function checkTarget(
  session: SessionState,
  frame: Attach,
  destination: Destination,
  queue: string | undefined,
): void {
  const { exchange } = destination
  const op = { op: 'checkTarget', connection: session.context.slot, exchange, queue } as const
  perform(session, registryShard, op, ({ error }) => {
    if (error === undefined) accept(session, frame, destination, frame.target)
    else if (isAccessRefusal(error)) session.fail(fromPeerError(error))
    else if (error.text.includes(' internal ')) {
      const what = `exchange '${exchange}' in vhost '${session.context.vhost}'`
      const text = `forbidden to publish to internal ${what}`
      refuseAttach(session, frame, amqpError(Condition.unauthorizedAccess, text))
    } else refuseAttach(session, frame, fromPeerError(error))
  })
}

function attachDynamic(
  session: SessionState,
  frame: Attach,
  target: Composite<'target'>,
): AmqpError | undefined {
  if (target.capabilities?.includes(temporaryQueue) !== true) {
    return amqpError(Condition.notImplemented, 'Dynamic target not supported')
  }
  const queue = dynamicQueueName(session.context.containerId, frame.name)
  const made = composite('target', {
    address: utf8(queueAddress(queue)),
    durable: 0,
    expiryPolicy: 'link-detach',
    timeout: 0,
    dynamic: true,
    dynamicNodeProperties,
    capabilities: [temporaryQueue],
  })
  declareThen(session, frame, queueDeclare(session, queue, false, true, true), () => {
    const link = accept(session, frame, { exchange: '', routingKey: queue, queue }, made)
    link.dynamicQueue = queue
  })
  return undefined
}

function accept(
  session: SessionState,
  frame: Attach,
  destination: Destination | undefined,
  target: Described | undefined,
): IncomingLink {
  const { name, handle, source, sndSettleMode } = frame
  const { context, channel } = session
  const link = new IncomingLink(session, {
    name,
    handle,
    sndSettleMode: sndSettleMode ?? SndSettleMode.mixed,
    initialDeliveryCount: frame.initialDeliveryCount ?? 0,
    destination,
  })
  session.links[handle] = link
  context.send(channel, 'attach', {
    name,
    handle,
    role: true,
    sndSettleMode,
    rcvSettleMode: 0,
    source,
    target,
    maxMessageSize: context.settings.messageSizeMax,
  })
  link.grant()
  return link
}
