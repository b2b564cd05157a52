// Super streams: a direct exchange marked as one, and a stream for each partition bound to it.

import type { ControlOp, ControlReply, PeerError } from '../../../shared/bus/control.ts'
import type { FieldTable } from '../../../shared/message/value.ts'
import { boolField, longField } from '../../../shared/message/value.ts'
import { Code, Key } from '../codec/commands.ts'
import type { FieldReader } from '../codec/frame-reader.ts'
import { streamArguments } from '../mapping/arguments.ts'
import { codeOf } from '../mapping/codes.ts'
import type { StreamConnection } from './connection.ts'

const registryShard = 0

export class SuperStreams {
  private readonly connection: StreamConnection

  constructor(connection: StreamConnection) {
    this.connection = connection
  }

  /** A command with an answer. False: it is none of super streams'. */
  onCommand(key: number, correlation: number, fields: FieldReader): boolean {
    switch (key) {
      case Key.route: {
        const routingKey = fields.string()
        this.list(key, correlation, fields.string(), routingKey)
        return true
      }
      case Key.partitions:
        this.list(key, correlation, fields.string(), undefined)
        return true
      case Key.createSuperStream: {
        const name = fields.string()
        this.create(correlation, name, fields.strings(), fields.strings(), fields.pairs())
        return true
      }
      case Key.deleteSuperStream:
        this.delete(correlation, fields.string())
        return true
      default:
        return false
    }
  }

  private list(
    key: number,
    correlation: number,
    name: string,
    routingKey: string | undefined,
  ): void {
    const { connection } = this
    this.ask({ op: 'superStream', connection: connection.slot, name, routingKey }, (reply) => {
      const streams = reply['streams'] as readonly string[] | undefined
      connection
        .respond(key, correlation, codeOf(reply.error))
        .strings(streams ?? [])
        .send()
    })
  }

  private create(
    correlation: number,
    name: string,
    partitions: readonly string[],
    bindingKeys: readonly string[],
    given: ReadonlyMap<string, string>,
  ): void {
    const { connection } = this
    const answer = (code: number): void =>
      connection.respond(Key.createSuperStream, correlation, code).send()
    const args = streamArguments(given)
    const wrong =
      args === undefined ||
      name === '' ||
      name.startsWith('amq.') ||
      partitions.length === 0 ||
      partitions.length !== bindingKeys.length ||
      partitions.length > connection.settings.partitionsMax ||
      new Set(partitions).size !== partitions.length ||
      partitions.some((partition) => partition === '' || partition.startsWith('amq.'))
    if (wrong) return answer(Code.preconditionFailed)
    this.whenFree(name, partitions, (code) => {
      if (code !== Code.ok) return answer(code)
      const ops = this.creation(name, partitions, bindingKeys, args)
      this.run(ops, 0, (error) => {
        if (error === undefined) return answer(Code.ok)
        this.run(this.deletion(name, partitions), 0, () => answer(codeOf(error)))
      })
    })
  }

  /** Calls `next` with ok if there is neither such an exchange nor such a stream. */
  private whenFree(
    name: string,
    partitions: readonly string[],
    next: (code: number) => void,
  ): void {
    const { slot } = this.connection
    const op = { op: 'superStream', connection: slot, name, routingKey: undefined } as const
    this.ask(op, ({ error }) => {
      if (error === undefined) return next(Code.streamExists)
      if (codeOf(error) !== Code.noStream) return next(codeOf(error))
      this.ask({ op: 'describeStreams', connection: slot, streams: partitions }, (reply) => {
        const codes = reply['codes'] as readonly number[]
        return next(codes.includes(0) ? Code.streamExists : Code.ok)
      })
    })
  }

  private delete(correlation: number, name: string): void {
    const { connection } = this
    const { slot } = connection
    const answer = (code: number): void =>
      connection.respond(Key.deleteSuperStream, correlation, code).send()
    const op = { op: 'superStream', connection: slot, name, routingKey: undefined } as const
    this.ask(op, (reply) => {
      if (reply.error !== undefined) return answer(codeOf(reply.error))
      const partitions = reply['streams'] as readonly string[]
      this.run(this.deletion(name, partitions), 0, (error) => answer(codeOf(error)))
    })
  }

  private creation(
    name: string,
    partitions: readonly string[],
    bindingKeys: readonly string[],
    args: FieldTable,
  ): ControlOp[] {
    const { slot } = this.connection
    const ops: ControlOp[] = [
      {
        op: 'exchangeDeclare',
        connection: slot,
        exchange: name,
        type: 'direct',
        passive: false,
        durable: true,
        autoDelete: false,
        internal: false,
        arguments: [['x-super-stream', boolField(true)]],
      },
    ]
    for (const queue of partitions) {
      ops.push({
        op: 'queueDeclare',
        connection: slot,
        queue,
        passive: false,
        durable: true,
        exclusive: false,
        autoDelete: false,
        arguments: args,
      })
    }
    for (const [i, queue] of partitions.entries()) {
      ops.push({
        op: 'queueBind',
        connection: slot,
        queue,
        exchange: name,
        routingKey: bindingKeys[i] ?? '',
        arguments: [['x-stream-partition-order', longField(i)]],
      })
    }
    return ops
  }

  private deletion(name: string, partitions: readonly string[]): ControlOp[] {
    const { slot } = this.connection
    const ops: ControlOp[] = partitions.map((queue) => ({
      op: 'queueDelete',
      connection: slot,
      queue,
      ifUnused: false,
      ifEmpty: false,
    }))
    ops.push({ op: 'exchangeDelete', connection: slot, exchange: name, ifUnused: false })
    return ops
  }

  /** Carries out one after the other, until one is refused. */
  private run(
    ops: readonly ControlOp[],
    index: number,
    next: (error: PeerError | undefined) => void,
  ): void {
    const op = ops[index]
    if (op === undefined) return next(undefined)
    this.ask(op, ({ error }) => {
      if (error !== undefined) next(error)
      else this.run(ops, index + 1, next)
    })
  }

  private ask(op: ControlOp, next: (reply: ControlReply) => void): void {
    const { connection } = this
    connection.await()
    connection.host.port.request(registryShard, op, {
      onReply: (reply) => {
        if (connection.answered()) next(reply)
      },
    })
  }
}
