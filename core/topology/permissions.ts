// Who may do what: patterns per user and vhost. Each check gives the refusal or undefined.

import type { PeerError } from '../../shared/errors.ts'
import { channelError, connectionError } from '../../shared/errors.ts'
import type { NameMatcher } from './name-matcher.ts'
import { compilePattern, quotePattern } from './name-matcher.ts'
import type {
  PermissionPatterns,
  PermissionRecord,
  TopicPermissionRecord,
  UserRecord,
} from './records.ts'
import { resourceText } from './refusals.ts'

export type Access = 'configure' | 'write' | 'read'
export type ResourceKind = 'exchange' | 'queue'
export type UserDirectory = ReadonlyMap<string, UserRecord>

// The default exchange's name for permissions, and in their refusals.
const DEFAULT_EXCHANGE_ALIAS = 'amq.default'

const ACCESSES: readonly Access[] = ['configure', 'write', 'read']

/** Whether `user` may do `access` to a queue or exchange of `vhost`: undefined, or the 403. */
export function checkAccess(
  users: UserDirectory,
  user: string,
  vhost: string,
  kind: ResourceKind,
  name: string,
  access: Access,
): PeerError | undefined {
  const checked = permissionName(kind, name)
  const permission = users.get(user)?.permissions.get(vhost)
  if (permission?.matchers[access].test(checked) === true) return undefined
  const resource = resourceText(kind, checked, vhost)
  return channelError(
    'ACCESS_REFUSED',
    `${access} access to ${resource} refused for user '${user}'`,
  )
}

/** Whether `user` may do anything at all to a queue or exchange: what a passive declare asks. */
export function checkAnyAccess(
  users: UserDirectory,
  user: string,
  vhost: string,
  kind: ResourceKind,
  name: string,
): PeerError | undefined {
  let refusal: PeerError | undefined
  for (const access of ACCESSES) {
    const refused = checkAccess(users, user, vhost, kind, name, access)
    if (refused === undefined) return undefined
    refusal ??= refused
  }
  return refusal
}

/**
 * Whether `user` may publish to (`write`) or bind with (`read`) a key of a topic exchange. Without
 * topic permissions for that exchange everything is allowed.
 */
export function checkTopicAccess(
  users: UserDirectory,
  user: string,
  vhost: string,
  exchange: string,
  key: string,
  access: 'write' | 'read',
  clientId?: string,
): PeerError | undefined {
  const permission = users.get(user)?.topicPermissions.get(vhost)?.get(exchange)
  if (permission === undefined || matcherFor(permission, access, clientId).test(key)) {
    return undefined
  }
  return channelError(
    'ACCESS_REFUSED',
    `${access} access to topic '${key}' in exchange '${exchange}' in vhost '${vhost}' ` +
      `refused for user '${user}'`,
  )
}

// `{client_id}` stands for the id of the MQTT client that asks, quoted.
function matcherFor(
  permission: TopicPermissionRecord,
  access: 'write' | 'read',
  clientId: string | undefined,
): NameMatcher {
  const { clients, matchers } = permission
  if (clients === undefined || clientId === undefined) return matchers[access]
  const known = clients.known.get(clientId)
  if (known !== undefined) return known[access]
  const write = compilePattern(withClient(clients.write, clientId))
  const read = compilePattern(withClient(clients.read, clientId))
  // They compile with any client id, since it is quoted.
  if ('problem' in write || 'problem' in read) return matchers[access]
  if (clients.known.size >= clientsKnownMax) clients.known.clear()
  clients.known.set(clientId, { write, read })
  return access === 'write' ? write : read
}

function withClient(pattern: string, clientId: string): string {
  return pattern.replaceAll(clientVariable, () => quotePattern(clientId))
}

/** Clients whose patterns are kept compiled, per permission: a few hundred bytes each. */
const clientsKnownMax = 10_000
const clientVariable = '{client_id}'

/** Whether `user` has topic permissions for an exchange, so that `checkTopicAccess` is needed. */
export function hasTopicPermissions(
  users: UserDirectory,
  user: string,
  vhost: string,
  exchange: string,
): boolean {
  return users.get(user)?.topicPermissions.get(vhost)?.has(exchange) === true
}

/** Whether `user` may enter `vhost`: undefined, or the 530 that refuses the connection. */
export function checkVhostAccess(
  users: UserDirectory,
  user: string,
  vhost: string,
): PeerError | undefined {
  if (users.get(user)?.permissions.has(vhost) === true) return undefined
  return connectionError('NOT_ALLOWED', `access to vhost '${vhost}' refused for user '${user}'`)
}

/** Compiles what `setPermissions` gives; a string says which pattern is bad and why. */
export function compilePermissions(patterns: PermissionPatterns): PermissionRecord | string {
  const configure = compilePattern(patterns.configure)
  if ('problem' in configure) return badPattern('configure', patterns.configure, configure.problem)
  const write = compilePattern(patterns.write)
  if ('problem' in write) return badPattern('write', patterns.write, write.problem)
  const read = compilePattern(patterns.read)
  if ('problem' in read) return badPattern('read', patterns.read, read.problem)
  return {
    configure: patterns.configure,
    write: patterns.write,
    read: patterns.read,
    matchers: { configure, write, read },
  }
}

/**
 * Compiles what `setTopicPermissions` gives; `{username}` and `{vhost}` stand for themselves, quoted;
 * `{client_id}` for the MQTT client's when one asks.
 */
export function compileTopicPermissions(
  user: string,
  vhost: string,
  patterns: { readonly write: string; readonly read: string },
): TopicPermissionRecord | string {
  const write = topicMatcher(patterns.write, user, vhost)
  if ('problem' in write) return badPattern('write', patterns.write, write.problem)
  const read = topicMatcher(patterns.read, user, vhost)
  if ('problem' in read) return badPattern('read', patterns.read, read.problem)
  const byClient = patterns.write.includes(clientVariable) || patterns.read.includes(clientVariable)
  const clients = byClient
    ? {
        write: expandPattern(patterns.write, user, vhost),
        read: expandPattern(patterns.read, user, vhost),
        known: new Map<string, { readonly write: NameMatcher; readonly read: NameMatcher }>(),
      }
    : undefined
  return { write: patterns.write, read: patterns.read, matchers: { write, read }, clients }
}

function topicMatcher(
  pattern: string,
  user: string,
  vhost: string,
): NameMatcher | { readonly problem: string } {
  const expanded = expandPattern(pattern, user, vhost)
  const sample = compilePattern(withClient(expanded, 'client'))
  // Without a client id the variable stands for itself.
  return 'problem' in sample ? sample : compilePattern(withClient(expanded, clientVariable))
}

function expandPattern(pattern: string, user: string, vhost: string): string {
  return pattern
    .replaceAll('{username}', () => quotePattern(user))
    .replaceAll('{vhost}', () => quotePattern(vhost))
}

function badPattern(access: Access, pattern: string, problem: string): string {
  return `invalid ${access} pattern '${pattern}': ${problem}`
}

function permissionName(kind: ResourceKind, name: string): string {
  return kind === 'exchange' && name === '' ? DEFAULT_EXCHANGE_ALIAS : name
}
