// Methods that declare, bind and delete, as control ops.

import type { ControlOp } from '../../../shared/bus/control.ts'
import type { MethodOf } from '../codec/method.ts'
import { wireArguments } from './arguments.ts'

export function exchangeDeclareOp(
  connection: number,
  method: MethodOf<'exchange.declare'>,
): ControlOp {
  return {
    op: 'exchangeDeclare',
    connection,
    exchange: withoutLineEnds(method.exchange),
    type: method.type,
    passive: method.passive,
    durable: method.durable,
    autoDelete: method.autoDelete,
    internal: method.internal,
    arguments: wireArguments(method.arguments),
  }
}

export function exchangeDeleteOp(
  connection: number,
  method: MethodOf<'exchange.delete'>,
): ControlOp {
  return {
    op: 'exchangeDelete',
    connection,
    exchange: withoutLineEnds(method.exchange),
    ifUnused: method.ifUnused,
  }
}

export function exchangeBindOp(
  connection: number,
  method: MethodOf<'exchange.bind'> | MethodOf<'exchange.unbind'>,
): ControlOp {
  return {
    op: method.kind === 'exchange.bind' ? 'exchangeBind' : 'exchangeUnbind',
    connection,
    destination: withoutLineEnds(method.destination),
    source: withoutLineEnds(method.source),
    routingKey: method.routingKey,
    arguments: wireArguments(method.arguments),
  }
}

export function queueDeclareOp(connection: number, method: MethodOf<'queue.declare'>): ControlOp {
  return {
    op: 'queueDeclare',
    connection,
    queue: withoutLineEnds(method.queue),
    passive: method.passive,
    durable: method.durable,
    exclusive: method.exclusive,
    autoDelete: method.autoDelete,
    arguments: wireArguments(method.arguments),
  }
}

/** `queue` and `routingKey` are given because an empty one may stand for the last declared queue. */
export function queueBindOp(
  connection: number,
  method: MethodOf<'queue.bind'> | MethodOf<'queue.unbind'>,
  queue: string,
  routingKey: string,
): ControlOp {
  return {
    op: method.kind === 'queue.bind' ? 'queueBind' : 'queueUnbind',
    connection,
    queue,
    exchange: withoutLineEnds(method.exchange),
    routingKey,
    arguments: wireArguments(method.arguments),
  }
}

/** Names lose CR and LF, as in RabbitMQ: they come from shell scripts. */
export function withoutLineEnds(name: string): string {
  return name.includes('\r') || name.includes('\n') ? name.replaceAll(/[\r\n]/g, '') : name
}
