// What clients ask of `/management`: declare, bind, unbind, purge, delete and look at things.

import type { ControlOp, ControlReply, PeerError } from '../../../shared/bus/control.ts'
import { ReplyCode } from '../../../shared/errors.ts'
import type { FieldTable } from '../../../shared/message/value.ts'
import { placeQueue } from '../../../shared/placement.ts'
import { NULL } from '../codec/value.ts'
import { unquote } from '../mapping/address.ts'
import type { AmqpError } from '../mapping/conditions.ts'
import { explanationOf, fromPeerError } from '../mapping/conditions.ts'
import type { BindingEnds } from '../mapping/management-fields.ts'
import {
  bindingBody,
  countBody,
  flagIn,
  hashOf,
  listBody,
  queueBody,
  readBinding,
  readExchange,
  readLocation,
  readQueue,
  tableIn,
  textIn,
} from '../mapping/management-fields.ts'
import type { ManagementRequest, ManagementResponse } from '../mapping/management-message.ts'
import { failure } from '../mapping/management-message.ts'
import { nodeName } from '../mapping/server-properties.ts'
import type { Operator } from './operation.ts'
import { perform, registryShard } from './operation.ts'

/** The session that a request came on. */
export interface ManagedSession extends Operator {
  /** A refusal for want of permission ends it. */
  fail(error: AmqpError): void
}

type Done = (response: ManagementResponse) => void
type Handler = (session: ManagedSession, request: ManagementRequest, done: Done) => void

/** Carries out a request; `done` gets the response, unless the session ends for it. */
export function manage(session: ManagedSession, request: ManagementRequest, done: Done): void {
  const { method, path } = request
  const route = ROUTES.find(
    (each) =>
      each.path.length === path.length && each.path.every((p, i) => p === '*' || p === path[i]),
  )
  const handler = ROUTES.find(
    (each) => each.path === route?.path && each.method === method,
  )?.handler
  if (route === undefined) done(failure(404, `no such path: /${path.join('/')}`))
  else if (handler === undefined) done(failure(405, `${method} is not allowed here`))
  else handler(session, request, done)
}

const queuePath = ['queues', '*']
const exchangePath = ['exchanges', '*']
const bindingsPath = ['bindings']

const ROUTES: readonly {
  readonly method: string
  readonly path: readonly string[]
  readonly handler: Handler
}[] = [
  { method: 'GET', path: queuePath, handler: getQueue },
  { method: 'PUT', path: queuePath, handler: putQueue },
  { method: 'DELETE', path: queuePath, handler: deleteQueue },
  { method: 'DELETE', path: ['queues', '*', 'messages'], handler: purgeQueue },
  { method: 'PUT', path: exchangePath, handler: putExchange },
  { method: 'DELETE', path: exchangePath, handler: deleteExchange },
  { method: 'POST', path: bindingsPath, handler: postBinding },
  { method: 'GET', path: bindingsPath, handler: getBindings },
  { method: 'DELETE', path: ['bindings', '*'], handler: deleteBinding },
  { method: 'PUT', path: ['auth', 'tokens'], handler: putToken },
]

/** Asks; a refusal becomes a status by `statusOf`, or the end of the session. */
function ask(
  session: ManagedSession,
  shard: number,
  op: ControlOp,
  statusOf: (error: PeerError) => number,
  done: Done,
  next: (reply: ControlReply) => void,
): void {
  perform(session, shard, op, (reply) => {
    const { error } = reply
    if (error === undefined) next(reply)
    else if (error.code === ReplyCode.ACCESS_REFUSED && !isRule(error)) {
      session.fail(fromPeerError(error))
    } else done(failure(isRule(error) ? 403 : statusOf(error), explanationOf(error)))
  })
}

/** A 403 that no permission would lift. */
function isRule({ text }: PeerError): boolean {
  return (
    text.includes('reserved prefix') ||
    text.includes('default exchange') ||
    text.includes('queue limit') ||
    text.includes('system exchange')
  )
}

function declareStatus({ code }: PeerError): number {
  return code === ReplyCode.PRECONDITION_FAILED ? 409 : 400
}

function lookStatus({ code }: PeerError): number {
  return code === ReplyCode.NOT_FOUND ? 404 : 400
}

function badRequest(): number {
  return 400
}

/** The name in the second part of the path; undefined where it is no UTF-8. */
function nameOf({ path }: ManagementRequest): string | undefined {
  return unquote(path[1] ?? '')
}

function checkName(
  kind: 'queue' | 'exchange',
  name: string | undefined,
  vhost: string,
): ManagementResponse | undefined {
  if (name === undefined) return failure(400, 'name is not percent-encoded UTF-8')
  if (kind === 'exchange' && (name === '' || name === 'amq.default')) {
    return failure(403, 'operation not permitted on the default exchange')
  }
  if (name === '') return failure(400, 'declare queue with empty name not allowed')
  if (/[\r\n]/.test(name)) {
    const why = 'line feed and carriage return characters not allowed'
    return failure(400, `Bad name '${name}': ${why}`)
  }
  if (Buffer.byteLength(name) > 255) return failure(400, `name is longer than 255 bytes`)
  if (!name.startsWith('amq.')) return undefined
  return failure(403, `${kind} '${name}' in vhost '${vhost}' starts with reserved prefix 'amq.'`)
}

function ownerOf({ context }: ManagedSession, queue: string): number {
  return placeQueue(context.vhost, queue, context.port.shardCount)
}

function describe(
  session: ManagedSession,
  queue: string,
  status: number,
  done: Done,
  missing: () => void,
): void {
  const { context } = session
  const op = { op: 'describeQueue', connection: context.slot, queue } as const
  perform(session, ownerOf(session, queue), op, (reply) => {
    if (reply.error === undefined) {
      done({ status, body: queueBody(reply, context.vhost, nodeName()) })
    } else if (reply.error.code === ReplyCode.NOT_FOUND) missing()
    else session.fail(fromPeerError(reply.error))
  })
}

function getQueue(session: ManagedSession, request: ManagementRequest, done: Done): void {
  const queue = nameOf(request) ?? ''
  describe(session, queue, 200, done, () =>
    done(failure(404, `queue '${queue}' in vhost '${session.context.vhost}' not found`)),
  )
}

function putQueue(session: ManagedSession, request: ManagementRequest, done: Done): void {
  const { context } = session
  const fields = readQueue(request.body)
  const queue = nameOf(request)
  if (typeof fields === 'string') return done(failure(400, fields))
  const refused = checkName('queue', queue, context.vhost)
  if (refused !== undefined || queue === undefined) return done(refused ?? failure(400, ''))
  const look = { op: 'describeQueue', connection: context.slot, queue } as const
  perform(session, ownerOf(session, queue), look, (found) => {
    const op: ControlOp = {
      op: 'queueDeclare',
      connection: context.slot,
      queue,
      passive: false,
      durable: flagIn(fields, 'durable', true),
      exclusive: flagIn(fields, 'exclusive', false),
      autoDelete: flagIn(fields, 'auto_delete', false),
      arguments: tableIn(fields, 'arguments'),
    }
    const status = found.error === undefined ? 200 : 201
    ask(session, registryShard, op, declareStatus, done, () =>
      describe(session, queue, status, done, () => done(failure(404, 'queue is gone again'))),
    )
  })
}

function deleteQueue(session: ManagedSession, request: ManagementRequest, done: Done): void {
  const op: ControlOp = {
    op: 'queueDelete',
    connection: session.context.slot,
    queue: nameOf(request) ?? '',
    ifUnused: false,
    ifEmpty: false,
  }
  ask(session, registryShard, op, badRequest, done, (reply) =>
    done({ status: 200, body: countBody(reply['messages']) }),
  )
}

function purgeQueue(session: ManagedSession, request: ManagementRequest, done: Done): void {
  const queue = nameOf(request) ?? ''
  const op = { op: 'queuePurge', connection: session.context.slot, queue } as const
  ask(session, ownerOf(session, queue), op, lookStatus, done, (reply) =>
    done({ status: 200, body: countBody(reply['messages']) }),
  )
}

function putExchange(session: ManagedSession, request: ManagementRequest, done: Done): void {
  const fields = readExchange(request.body)
  const exchange = nameOf(request)
  if (typeof fields === 'string') return done(failure(400, fields))
  const refused = checkName('exchange', exchange, session.context.vhost)
  // One of the broker's own may be declared as it is.
  if (exchange === undefined || (refused !== undefined && !exchange.startsWith('amq.'))) {
    return done(refused ?? failure(400, ''))
  }
  const op: ControlOp = {
    op: 'exchangeDeclare',
    connection: session.context.slot,
    exchange,
    type: textIn(fields, 'type') ?? 'direct',
    passive: false,
    durable: flagIn(fields, 'durable', true),
    autoDelete: flagIn(fields, 'auto_delete', false),
    internal: flagIn(fields, 'internal', false),
    arguments: tableIn(fields, 'arguments'),
  }
  ask(session, registryShard, op, declareStatus, done, () => done(noContent))
}

function deleteExchange(session: ManagedSession, request: ManagementRequest, done: Done): void {
  const { context } = session
  const exchange = nameOf(request)
  const refused = checkName('exchange', exchange, context.vhost)
  if (refused !== undefined || exchange === undefined) return done(refused ?? failure(400, ''))
  const op = {
    op: 'exchangeDelete',
    connection: context.slot,
    exchange,
    ifUnused: false,
  } as const
  ask(session, registryShard, op, badRequest, done, () => done(noContent))
}

function postBinding(session: ManagedSession, request: ManagementRequest, done: Done): void {
  const fields = readBinding(request.body)
  if (typeof fields === 'string') return done(failure(400, fields))
  const queue = textIn(fields, 'destination_queue')
  const destination = queue ?? textIn(fields, 'destination_exchange')
  const source = textIn(fields, 'source')
  if (destination === undefined || source === undefined) {
    return done(failure(400, 'a binding needs a source and a destination'))
  }
  const ends: BindingEnds = {
    source,
    destination,
    destinationKind: queue === undefined ? 'exchange' : 'queue',
    routingKey: textIn(fields, 'binding_key') ?? '',
  }
  changeBinding(session, 'Bind', ends, tableIn(fields, 'arguments'), done)
}

function changeBinding(
  session: ManagedSession,
  verb: 'Bind' | 'Unbind',
  ends: BindingEnds,
  table: FieldTable,
  done: Done,
): void {
  const { source, destination, destinationKind, routingKey } = ends
  const nameless = source === '' || (destinationKind === 'exchange' && destination === '')
  if (nameless) return done(failure(403, 'operation not permitted on the default exchange'))
  if (Buffer.byteLength(routingKey) > 255) return done(failure(400, 'binding key is too long'))
  const common = { connection: session.context.slot, routingKey, arguments: table }
  const op: ControlOp =
    destinationKind === 'queue'
      ? { op: `queue${verb}`, queue: destination, exchange: source, ...common }
      : { op: `exchange${verb}`, destination, source, ...common }
  ask(session, registryShard, op, badRequest, done, () => done(noContent))
}

function listBindings(
  session: ManagedSession,
  ends: Omit<BindingEnds, 'routingKey'> & { readonly routingKey: string | undefined },
  next: (
    bindings: readonly { readonly routingKey: string; readonly arguments: FieldTable }[],
  ) => void,
): void {
  const op: ControlOp = { op: 'listBindings', connection: session.context.slot, ...ends }
  perform(session, registryShard, op, (reply) => next(reply['bindings'] as never))
}

function getBindings(session: ManagedSession, { query }: ManagementRequest, done: Done): void {
  const source = query.get('src')
  const queue = query.get('dstq')
  const destination = queue ?? query.get('dste')
  if (source === undefined || destination === undefined) {
    return done(failure(400, 'src and dstq or dste are needed'))
  }
  const destinationKind = queue === undefined ? 'exchange' : 'queue'
  const ends = { source, destination, destinationKind, routingKey: query.get('key') } as const
  listBindings(session, ends, (bindings) => {
    const bodies = bindings.map((each) =>
      bindingBody({ ...ends, routingKey: each.routingKey }, each.arguments),
    )
    done({ status: 200, body: listBody(bodies) })
  })
}

function deleteBinding(session: ManagedSession, { path }: ManagementRequest, done: Done): void {
  const found = readLocation(path[1] ?? '')
  if (found === undefined) return done(failure(400, `bad binding path segment '${path[1] ?? ''}'`))
  const { hash, ...ends } = found
  listBindings(session, ends, (bindings) => {
    const binding = bindings.find((each) => hashOf(each.arguments) === hash)
    if (binding === undefined) done(noContent)
    else changeBinding(session, 'Unbind', ends, binding.arguments, done)
  })
}

/** A new token for the same user: what the user may do is looked at again. */
function putToken(session: ManagedSession, request: ManagementRequest, done: Done): void {
  const { context } = session
  if (request.body.type !== 'binary') return done(failure(400, 'expected a binary token'))
  context.await(session)
  context.port.requestAll({ op: 'recheckAccess', connection: context.slot }, (error) => {
    context.answered(session)
    if (error === undefined) done(noContent)
    else context.fail(fromPeerError(error))
  })
}

const noContent: ManagementResponse = { status: 204, body: NULL }
