// Control ops of a client, and how their answers come back.

import type { ControlOp, ControlReply, PeerError } from '../../../shared/bus/control.ts'
import type { GatewayPort } from '../../../shared/bus/gateway-port.ts'
import { ReplyCode } from '../../../shared/errors.ts'
import { foldTopic, topicFilterArgument } from '../../../shared/message/native-part.ts'
import type { FieldEntry } from '../../../shared/message/value.ts'
import { longField, textField } from '../../../shared/message/value.ts'
import { Reason } from '../codec/constants.ts'
import type { Client } from './client.ts'

/** The shard of the registry, where everything is declared. */
export const registryShard = 0

type Done = (reply: ControlReply) => void

export function ask(port: GatewayPort, shard: number, op: ControlOp, done: Done): void {
  port.request(shard, op, { onReply: done })
}

/**
 * Declares a queue for what a client subscribes. That of a session which ends with its connection is
 * exclusive and goes with it. Another expires when it was not used for as long as sessions may last:
 * not the session's own expiry, which each connection can change, and which is watched elsewhere.
 */
export function declareQueue(
  client: Client,
  name: string,
  durable: boolean,
  type: 'classic' | 'quorum',
  done: Done,
): void {
  const { sessionExpirySecondsMax: max } = client.settings
  const args: FieldEntry[] = []
  if (durable && max < forEver) args.push(['x-expires', longField(Math.max(1, max) * 1000)])
  if (durable) args.push(['x-queue-type', textField(type)])
  ask(
    client.port,
    registryShard,
    {
      op: 'queueDeclare',
      connection: client.slot,
      queue: name,
      passive: false,
      durable: true,
      exclusive: !durable,
      autoDelete: false,
      arguments: args,
    },
    (reply) => {
      // It is there from a time with other settings.
      const there = reply.error?.code === ReplyCode.PRECONDITION_FAILED
      done(there ? {} : reply)
    },
  )
}

/** Binds a queue to a topic filter of MQTT, or takes that back. */
export function bindQueue(
  client: Client,
  bind: 'queueBind' | 'queueUnbind',
  queue: string,
  filter: string,
  done: Done,
): void {
  const { port, settings, slot } = client
  const op = {
    op: bind,
    connection: slot,
    queue,
    exchange: settings.exchange,
    routingKey: foldTopic(filter),
    arguments: [[topicFilterArgument, textField(filter)]],
  } as const
  ask(port, registryShard, op, done)
}

export function deleteQueue(client: Client, queue: string, ifUnused: boolean, done: Done): void {
  const { port, slot } = client
  const op = { op: 'queueDelete', connection: slot, queue, ifUnused, ifEmpty: false } as const
  ask(port, registryShard, op, done)
}

/** The reason that MQTT 5 has for what a shard refuses. */
export function reasonOf(error: PeerError): number {
  switch (error.code) {
    case ReplyCode.ACCESS_REFUSED:
    case ReplyCode.NOT_ALLOWED:
      return Reason.notAuthorized
    case ReplyCode.RESOURCE_ERROR:
    case ReplyCode.PRECONDITION_FAILED:
      return Reason.quotaExceeded
    default:
      return Reason.unspecified
  }
}

/** An expiry that means never [MQTT 5, 3.1.2.11.2]. */
export const forEver = 0xffff_ffff
