// What a connection's user may do, for gateways that have to know before they do it.

import type { AccessQuestion, ControlOp, PeerError } from '../../shared/bus/control.ts'
import { channelError } from '../../shared/errors.ts'
import { checkAccess, checkTopicAccess, hasTopicPermissions } from '../topology/permissions.ts'
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
  const { kind } = question
  if (kind === 'every topic') {
    const limited = hasTopicPermissions(users, user, vhost.name, question.exchange)
    return limited ? channelError('ACCESS_REFUSED', 'topic permissions hold') : undefined
  }
  if (kind !== 'topic') {
    const { access, name } = question
    const refused = checkAccess(users, user, vhost.name, kind, name, access)
    if (refused !== undefined || kind === 'queue') return refused
    const there = vhost.exchanges.has(name)
    return there ? undefined : noExchange(name, vhost.name)
  }
  const { access, exchange, key } = question
  return checkTopicAccess(users, user, vhost.name, exchange, key, access, clientId)
}
