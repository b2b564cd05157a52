// Who comes in, and what operators decide about users, vhosts and permissions.

import type { PeerError } from '../../shared/errors.ts'
import { connectionError } from '../../shared/errors.ts'
import type { Decision, RegistryContext } from './decision.ts'
import { decided, refused, unchanged } from './decision.ts'
import { checkUserChannels, checkUserConnections, checkVhostConnections } from './limits.ts'
import { hashPassword, isHashingAlgorithm, verifyPassword } from './passwords.ts'
import { checkVhostAccess, compilePermissions, compileTopicPermissions } from './permissions.ts'
import type { UserRecord } from './records.ts'
import { noSuch, preconditionFailed } from './refusals.ts'
import type { AccessOp, Authenticate, OpenChannel, OpenConnection } from './registry-op.ts'
import type { TopologyChange } from './topology-change.ts'
import { defaultsFor } from './vhost-defaults.ts'

type Admin<K extends AccessOp['op']> = Extract<AccessOp, { readonly op: K }>

/** Logs a user in. Reply `{ user, tags }`. */
export function authenticate(context: RegistryContext, op: Authenticate): Decision {
  const anonymous = op.mechanism === 'ANONYMOUS'
  const name = anonymous ? context.settings.anonymousUser : op.user
  const user = name === undefined ? undefined : context.topology.users.get(name)
  const known =
    user !== undefined && (anonymous || op.mechanism === 'EXTERNAL' || provesPassword(user, op))
  const local = op.loopback || name === undefined || !context.settings.loopbackUsers.has(name)
  if (known && local) return unchanged({ user: user.name, tags: user.tags })
  return refused(
    connectionError(
      'ACCESS_REFUSED',
      `Login was refused using authentication mechanism ${op.mechanism}. ` +
        'For details see the broker logfile.',
    ),
  )
}

/** connection.open. Reply `{ vhostId }`. */
export function openConnection(context: RegistryContext, op: OpenConnection): Decision {
  const { connectionCountMax } = context.settings
  if (connectionCountMax !== undefined && (op.open ?? 0) >= connectionCountMax) {
    const limit = `node connection limit (${connectionCountMax}) is reached`
    return refused(connectionError('NOT_ALLOWED', `connection refused: ${limit}`))
  }
  const vhost = context.topology.vhosts.get(op.vhost)
  if (vhost === undefined) {
    return refused(connectionError('NOT_ALLOWED', `vhost ${op.vhost} not found`))
  }
  const { users } = context.topology
  const limits = users.get(op.user)?.limits ?? {}
  const denied =
    checkVhostConnections(vhost, op.user, op.openInVhost ?? 0) ??
    checkUserConnections(limits, op.user, op.openOfUser ?? 0) ??
    checkVhostAccess(users, op.user, op.vhost)
  return denied === undefined ? unchanged({ vhostId: vhost.id }) : refused(denied)
}

/** channel.open, where the user's channels are limited. */
export function openUserChannel(context: RegistryContext, op: OpenChannel): Decision {
  const limits = context.topology.users.get(op.user)?.limits ?? {}
  const denied = checkUserChannels(limits, op.user, op.open)
  return denied === undefined ? unchanged() : refused(denied)
}

/** Adds a vhost with its predeclared exchanges; one that is there stays as it is. */
export function addVhost(context: RegistryContext, op: Admin<'addVhost'>): Decision {
  if (op.name === '') return refused(preconditionFailed('a vhost needs a name'))
  if (context.topology.vhosts.has(op.name)) return unchanged()
  const { vhostCountMax, vhostDefaults } = context.settings
  if (vhostCountMax !== undefined && context.topology.vhosts.size >= vhostCountMax) {
    const limit = `vhost limit of ${vhostCountMax} is reached`
    return refused(preconditionFailed(`cannot create vhost '${op.name}': ${limit}`))
  }
  const id = context.nextId()
  const changes: TopologyChange[] = [
    {
      change: 'vhostAdded',
      id,
      name: op.name,
      description: op.description ?? '',
      tags: op.tags ?? [],
      defaultQueueType: op.defaultQueueType,
    },
  ]
  for (const [name, type, internal] of predeclaredExchanges) {
    changes.push({
      change: 'exchangeDeclared',
      vhost: id,
      id: context.nextId(),
      name,
      type,
      durable: true,
      autoDelete: false,
      internal,
      arguments: [],
    })
  }
  return decided([...changes, ...defaultsFor(vhostDefaults, id, op.name)])
}

export function changeVhost(context: RegistryContext, op: Admin<'changeVhost'>): Decision {
  const vhost = context.topology.vhosts.get(op.name)
  if (vhost === undefined) return refused(noSuch('vhost', op.name))
  return decided([
    {
      change: 'vhostChanged',
      id: vhost.id,
      description: op.description ?? vhost.description,
      tags: op.tags ?? vhost.tags,
      defaultQueueType: op.defaultQueueType ?? vhost.defaultQueueType,
    },
  ])
}

export function deleteVhost(context: RegistryContext, op: Admin<'deleteVhost'>): Decision {
  const vhost = context.topology.vhosts.get(op.name)
  if (vhost === undefined) return refused(noSuch('vhost', op.name))
  return decided([{ change: 'vhostDeleted', id: vhost.id }])
}

/** Adds a user or replaces password and tags of one; permissions stay. */
export function addUser(context: RegistryContext, op: Admin<'addUser'>): Decision {
  if (op.name === '') return refused(preconditionFailed('a user needs a name'))
  if (op.password === '') return refused(preconditionFailed('a password may not be blank'))
  const algorithm = op.hashingAlgorithm ?? context.settings.hashingAlgorithm
  if (!isHashingAlgorithm(algorithm)) {
    return refused(preconditionFailed(`unknown hashing algorithm '${algorithm}'`))
  }
  const passwordHash =
    op.password === undefined
      ? (op.passwordHash ?? '')
      : hashPassword(op.password, algorithm, context.settings.randomBytes)
  return decided([
    { change: 'userSet', name: op.name, passwordHash, hashingAlgorithm: algorithm, tags: op.tags },
  ])
}

export function changePassword(context: RegistryContext, op: Admin<'changePassword'>): Decision {
  const user = context.topology.users.get(op.name)
  if (user === undefined) return refused(noSuch('user', op.name))
  return addUser(context, {
    op: 'addUser',
    name: user.name,
    password: op.password,
    tags: user.tags,
  })
}

export function setUserTags(context: RegistryContext, op: Admin<'setUserTags'>): Decision {
  const user = context.topology.users.get(op.name)
  if (user === undefined) return refused(noSuch('user', op.name))
  const { name, passwordHash, hashingAlgorithm } = user
  return decided([{ change: 'userSet', name, passwordHash, hashingAlgorithm, tags: op.tags }])
}

export function deleteUser(context: RegistryContext, op: Admin<'deleteUser'>): Decision {
  if (!context.topology.users.has(op.name)) return refused(noSuch('user', op.name))
  return decided([{ change: 'userDeleted', name: op.name }])
}

export function setPermissions(context: RegistryContext, op: Admin<'setPermissions'>): Decision {
  const missing = checkUserAndVhost(context, op)
  if (missing !== undefined) return refused(missing)
  const compiled = compilePermissions(op)
  if (typeof compiled === 'string') return refused(preconditionFailed(compiled))
  const { user, vhost, configure, write, read } = op
  return decided([{ change: 'permissionsSet', user, vhost, configure, write, read }])
}

export function clearPermissions(
  context: RegistryContext,
  op: Admin<'clearPermissions'>,
): Decision {
  const missing = checkUserAndVhost(context, op)
  if (missing !== undefined) return refused(missing)
  return decided([{ change: 'permissionsCleared', user: op.user, vhost: op.vhost }])
}

export function setTopicPermissions(
  context: RegistryContext,
  op: Admin<'setTopicPermissions'>,
): Decision {
  const missing = checkUserAndVhost(context, op)
  if (missing !== undefined) return refused(missing)
  const compiled = compileTopicPermissions(op.user, op.vhost, op)
  if (typeof compiled === 'string') return refused(preconditionFailed(compiled))
  const { user, vhost, exchange, write, read } = op
  return decided([{ change: 'topicPermissionsSet', user, vhost, exchange, write, read }])
}

export function clearTopicPermissions(
  context: RegistryContext,
  op: Admin<'clearTopicPermissions'>,
): Decision {
  const missing = checkUserAndVhost(context, op)
  if (missing !== undefined) return refused(missing)
  const { user, vhost, exchange } = op
  return decided([{ change: 'topicPermissionsCleared', user, vhost, exchange }])
}

const predeclaredExchanges: readonly (readonly [name: string, type: string, internal: boolean])[] =
  [
    ['amq.direct', 'direct', false],
    ['amq.fanout', 'fanout', false],
    ['amq.topic', 'topic', false],
    ['amq.headers', 'headers', false],
    ['amq.match', 'headers', false],
    ['amq.rabbitmq.trace', 'topic', true],
  ]

function provesPassword(user: UserRecord, op: Authenticate): boolean {
  if (op.password === undefined) return false
  return verifyPassword(op.password, user.passwordHash, user.hashingAlgorithm)
}

function checkUserAndVhost(
  context: RegistryContext,
  op: { readonly user: string; readonly vhost: string },
): PeerError | undefined {
  if (!context.topology.users.has(op.user)) return noSuch('user', op.user)
  return context.topology.vhosts.has(op.vhost) ? undefined : noSuch('vhost', op.vhost)
}
