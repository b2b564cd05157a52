// What a connection's user may do, for gateways that have to know before they do it.

import type { AccessQuestion, ControlOp, PeerError } from '../../shared/bus/control.ts'
import { checkAccess, checkTopicAccess } from '../topology/permissions.ts'
import { noExchange } from '../topology/refusals.ts'
import type { ShardConnection } from './channel.ts'
import type { GatewayEnd } from './gateway-end.ts'
import type { ShardState } from './shard-state.ts'

type Op<K extends ControlOp['op']> = Extract<ControlOp, { op: K }>

export function answerAccess(
  state: ShardState,
  end: GatewayEnd,
  request: number,
  op: Op<'checkAccess'>,
): void {
  const connection = end.connections[op.connection]
  if (connection === undefined) return state.reply(end, request, { refused: [] })
  const refused = op.questions.map((question) => judge(state, connection, question) ?? null)
  state.reply(end, request, { refused })
}

function judge(
  state: ShardState,
  connection: ShardConnection,
  question: AccessQuestion,
): PeerError | undefined {
  const { users } = state.topology
  const { user, vhost, clientId } = connection
  const { kind, access } = question
  if (kind !== 'topic') {
    const refused = checkAccess(users, user, vhost.name, kind, question.name, access)
    if (refused !== undefined || kind === 'queue') return refused
    const there = vhost.exchanges.has(question.name)
    return there ? undefined : noExchange(question.name, vhost.name)
  }
  const { exchange, key } = question
  return checkTopicAccess(users, user, vhost.name, exchange, key, access, clientId)
}
