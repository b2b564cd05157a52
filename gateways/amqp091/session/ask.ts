// The usual course of a method that needs a shard: ask, then the error or the answer.

import type { ControlOp, ControlReply } from '../../../shared/bus/control.ts'
import type { PeerError } from '../../../shared/errors.ts'
import type { Method, MethodKind } from '../codec/method.ts'
import { methodIds } from '../codec/method.ts'
import type { Channel } from './channel.ts'
import { perform } from './operation.ts'

/** The shard of the registry, where everything is declared. */
export const registryShard = 0

/**
 * Sends `op`; its reply becomes the method that `answer` makes of it (undefined: nothing is sent),
 * an error ends the channel with the ids of `kind`.
 */
export function ask(
  channel: Channel,
  kind: MethodKind,
  shard: number,
  op: ControlOp,
  answer: (reply: ControlReply) => Method | undefined,
): void {
  perform(channel.context, channel, shard, op, {
    onReply: (reply) => {
      if (reply.error !== undefined) {
        failMethod(channel, kind, reply.error)
        return
      }
      if (!channel.open) return
      const method = answer(reply)
      if (method !== undefined) channel.context.send(channel.number, method)
    },
  })
}

/** Ends the channel (or connection) for what a method did. */
export function failMethod(channel: Channel, kind: MethodKind, error: PeerError): void {
  const { classId, methodId } = methodIds(kind)
  channel.fail(error, classId, methodId)
}

/** A count in a reply; 0 where it has none. */
export function countIn(reply: ControlReply, field: string): number {
  const value = reply[field]
  return typeof value === 'number' ? value : 0
}

/** A text in a reply; empty where it has none. */
export function textIn(reply: ControlReply, field: string): string {
  const value = reply[field]
  return typeof value === 'string' ? value : ''
}
